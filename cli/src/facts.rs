//! What can be counted in a program.

use std::collections::{BTreeMap, BTreeSet};

use airconv_ir::entity::{NodeId, ValueId};
use airconv_ir::module::{Function, Module};
use airconv_ir::op::Op;
use airconv_ir::tensor::Storage;
use airconv_ir::verify::type_text;

/// What a program consists of, in numbers and names.
pub(crate) struct Facts {
    /// Names and types of the inputs.
    pub inputs: Vec<(String, String)>,
    /// Names and types of the outputs.
    pub outputs: Vec<(String, String)>,
    /// The sizes that are named in the inputs.
    pub symbols: Vec<String>,
    /// Nodes other than constants.
    pub nodes: usize,
    /// How often each op is used; constants and opaque ops are not counted here.
    pub ops: BTreeMap<String, usize>,
    /// Opaque ops: how often, and why the first one is.
    pub opaque: BTreeMap<String, (usize, String)>,
    /// Elements of all tensors in use.
    pub parameters: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Functions of the module.
    pub functions: usize,
}

impl Facts {
    /// Counts what is in a module.
    pub(crate) fn of(module: &Module) -> Self {
        let f = module.main();
        let named = |values: &[ValueId], names: Vec<&String>| {
            names.into_iter().cloned().zip(values.iter().map(|&v| type_text(f, f.ty(v)))).collect()
        };
        let mut out = Self {
            inputs: named(&f.body().params, f.inputs.iter().map(|i| &i.name).collect()),
            outputs: named(&f.body().results, f.outputs.iter().map(|o| &o.name).collect()),
            symbols: airconv_ir::specialize::size_names(module),
            nodes: nodes(module),
            ops: BTreeMap::new(),
            opaque: BTreeMap::new(),
            parameters: 0,
            bytes: 0,
            functions: module.functions.len(),
        };
        let mut tensors = BTreeSet::new();
        for f in module.functions.values() {
            for &id in f.regions.values().flat_map(|r| &r.nodes) {
                let node = &f.nodes[id];
                tensors.extend(airconv_ir::visit::tensors_of(&node.op));
                match &node.op {
                    Op::Constant(_) => {}
                    Op::Opaque(o) => {
                        let name = o.source.full_name();
                        out.opaque.entry(name).or_insert((0, o.reason.clone())).0 += 1;
                    }
                    op => *out.ops.entry(op.name().to_owned()).or_default() += 1,
                }
            }
        }
        for id in tensors {
            if let Some(t) = module.tensors.get(id) {
                out.parameters += t.numel().unwrap_or(0);
                out.bytes += match &t.storage {
                    Storage::Strings(s) => s.iter().map(|s| s.len() as u64).sum(),
                    _ => t.byte_len().unwrap_or(0),
                };
            }
        }
        out
    }
    /// How often each op is used, opaque ones under the names of their format.
    pub(crate) fn all_ops(&self) -> BTreeMap<&str, usize> {
        let opaque = self.opaque.iter().map(|(name, (n, _))| (name.as_str(), *n));
        self.ops.iter().map(|(name, n)| (name.as_str(), *n)).chain(opaque).collect()
    }
}

/// How many nodes a module has, constants left out, as everywhere where nodes are counted.
pub(crate) fn nodes(module: &Module) -> usize {
    let node = |f: &Function, id: &NodeId| !matches!(f.nodes[*id].op, Op::Constant(_));
    let of = |f: &Function| -> usize {
        f.regions.values().map(|r| r.nodes.iter().filter(|id| node(f, id)).count()).sum()
    };
    module.functions.values().map(of).sum()
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}
