//! Which module of the source a node belongs to, by what its origin and its notes say.

use std::sync::Arc;

use airconv_ir::entity::OriginId;
use airconv_ir::module::{Entity, Module, Origin};
use rustc_hash::FxHashMap;

use crate::program::Path;

/// The key of the note in which PyTorch keeps the modules around a node.
const SCOPES: &str = "onnx.meta.pkg.torch.onnx.name_scopes";

/// The module paths that notes give, by the name of the source node.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    noted: FxHashMap<Arc<str>, Path>,
}

impl Paths {
    /// The paths of a module as it was read.
    pub fn of(module: &Module) -> Self {
        let mut noted = FxHashMap::default();
        for (entity, notes) in &module.notes {
            let (Entity::Node(func, node), Some(scopes)) = (entity, notes.get(SCOPES)) else {
                continue;
            };
            let node = module.functions.get(*func).and_then(|f| f.nodes.get(*node));
            let source = node.and_then(|n| module.source_of(n.origin));
            if let Some(Origin::Source { name, .. }) = source {
                noted.insert(name.clone(), scope_path(scopes));
            }
        }
        Self { noted }
    }

    /// The path of what comes from an origin.
    pub fn find(&self, module: &Module, origin: OriginId) -> Path {
        match module.source_of(origin) {
            Some(Origin::Source { name, .. }) => match self.noted.get(name) {
                Some(path) => path.clone(),
                None => name_path(name),
            },
            _ => Path::from([]),
        }
    }
}

/// The innermost module of a Python list of names such as `['', 'a', 'a.b', 'add_1']`, whose last
/// one is the node.
fn scope_path(scopes: &str) -> Path {
    let names: Vec<&str> = scopes.split('\'').skip(1).step_by(2).collect();
    let module = names.len().checked_sub(2).and_then(|i| names.get(i)).copied().unwrap_or("");
    if module.contains("from_metadata_hook") {
        return Path::from([]);
    }
    module.split('.').filter(|s| !s.is_empty()).map(Arc::from).collect()
}

/// The path in a name such as `/encoder/layer/layer.0/dense/MatMul`, whose last part is the node.
/// A part that the next one repeats counts once.
fn name_path(name: &str) -> Path {
    let name = name.split(';').next().unwrap_or_default();
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    let parts: Vec<&str> = parts
        .into_iter()
        .map(|p| p.rsplit("::").next().unwrap_or(p))
        .filter(|p| !p.is_empty() && !p.ends_with("__"))
        .collect();
    let mut path: Vec<Arc<str>> = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let repeated = parts
            .get(i + 1)
            .is_some_and(|next| next.strip_prefix(part).is_some_and(|rest| rest.starts_with('.')));
        if !repeated {
            path.extend(part.split('.').filter(|s| !s.is_empty()).map(Arc::from));
        }
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dotted(path: &Path) -> String {
        path.join(".")
    }

    #[test]
    fn names_and_scopes_become_paths() {
        let cases = [
            (
                "/model/model.0/auto_model/encoder/layer.1/dense/MatMul",
                "model.0.auto_model.encoder.layer.1.dense",
            ),
            ("F2::If_0__Inline_0__/decoder/rnn/LSTM", "decoder.rnn"),
            ("a/b/Conv;a/b/Bias", "a.b"),
            ("Conv_3", ""),
        ];
        for (name, path) in cases {
            assert_eq!(dotted(&name_path(name)), path, "{name}");
        }
        assert_eq!(
            dotted(&scope_path("['', 'features', 'features.1.0', 'add_1']")),
            "features.1.0"
        );
        assert_eq!(dotted(&scope_path("['', 'add_1']")), "");
    }
}
