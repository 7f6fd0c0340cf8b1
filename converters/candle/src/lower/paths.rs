//! Which module of the source a node belongs to, by what its origin and its notes say.

use std::collections::BTreeMap;
use std::sync::Arc;

use airconv_ir::entity::OriginId;
use airconv_ir::module::{Entity, Module, Origin};
use rustc_hash::FxHashMap;

use crate::program::Path;

/// The keys of the notes in which PyTorch keeps the modules around a node: in ONNX models their
/// paths and their classes, in its own programs both.
const SCOPES: &str = "onnx.meta.pkg.torch.onnx.name_scopes";
const HIERARCHY: &str = "onnx.meta.pkg.torch.onnx.class_hierarchy";
const STACK: &str = "torch.nn_module_stack";

/// What notes say of the modules of the source.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    /// Module paths by the name of the source node.
    noted: FxHashMap<Arc<str>, Path>,
    /// The names of classes by the dotted path of a module.
    pub classes: BTreeMap<String, String>,
}

impl Paths {
    /// The paths of a module as it was read.
    pub fn of(module: &Module) -> Self {
        let mut noted = FxHashMap::default();
        let mut classes = BTreeMap::new();
        for (entity, notes) in &module.notes {
            if let Some(stack) = notes.get(STACK) {
                let levels = stack.split(';').filter_map(|level| {
                    let mut parts = level.split(',').skip(1);
                    Some((parts.next()?, parts.next()?))
                });
                levels.for_each(|(path, class)| take_down(&mut classes, path, class));
            }
            if let (Some(scopes), Some(hierarchy)) = (notes.get(SCOPES), notes.get(HIERARCHY)) {
                let levels = quoted(scopes).into_iter().zip(quoted(hierarchy));
                levels.for_each(|(path, class)| take_down(&mut classes, path, class));
            }
            let (Entity::Node(func, node), Some(scopes)) = (entity, notes.get(SCOPES)) else {
                continue;
            };
            let node = module.functions.get(*func).and_then(|f| f.nodes.get(*node));
            let source = node.and_then(|n| module.source_of(n.origin));
            if let Some(Origin::Source { name, .. }) = source {
                noted.insert(name.clone(), scope_path(scopes));
            }
        }
        Self { noted, classes }
    }

    /// The path of what comes from an origin.
    pub fn find(&self, module: &Module, origin: OriginId) -> Path {
        match module.source_of(origin) {
            Some(Origin::Source { format, path, .. }) if &**format == "torch" => {
                path.split('.').filter(|s| !s.is_empty()).map(Arc::from).collect()
            }
            Some(Origin::Source { name, .. }) => match self.noted.get(name) {
                Some(path) => path.clone(),
                None => name_path(name),
            },
            _ => Path::from([]),
        }
    }
}

/// The elements of a Python list of strings.
fn quoted(list: &str) -> Vec<&str> {
    list.split('\'').skip(1).step_by(2).collect()
}

/// Takes down what class a module is of, unless it is one of PyTorch's own, which say nothing.
fn take_down(classes: &mut BTreeMap<String, String>, path: &str, class: &str) {
    let name = class.rsplit('.').next().unwrap_or(class);
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain && !path.is_empty() && !class.starts_with("torch.nn.") && class.contains('.') {
        classes.entry(path.to_owned()).or_insert_with(|| name.to_owned());
    }
}

/// The innermost module of a Python list of names such as `['', 'a', 'a.b', 'add_1']`, whose last
/// one is the node.
fn scope_path(scopes: &str) -> Path {
    let names = quoted(scopes);
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
