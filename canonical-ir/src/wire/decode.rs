//! From records to the hub.

use std::sync::Arc;

use airconv_schema::program as w;
use bytes::Bytes;

use super::parts::{Counts, attr_from_wire, dtype, type_from_wire};
use super::{WireError, check_note, check_origin, check_tensor, derived_defs, range};
use crate::dim::Range;
use crate::entity::{Arena, FuncId, NodeId, OriginId, RegionId, TensorId, ValueId};
use crate::module::{
    ArgKindRole, Def, Entity, Function, Input, InputRole, Module, Node, Notes, Origin, Output,
    OutputRole, Region, Symbol, Value,
};
use crate::op::{Op, OpKind};
use crate::tensor::{Storage, Tensor};
use crate::types::Type;

fn kind_from_wire(kind: &w::ArgKind) -> ArgKindRole {
    match kind {
        w::ArgKind::Tensor => ArgKindRole::Tensor,
        w::ArgKind::Int => ArgKindRole::Int,
        w::ArgKind::Float => ArgKindRole::Float,
        w::ArgKind::Bool => ArgKindRole::Bool,
        w::ArgKind::Constant => ArgKindRole::Constant,
    }
}

/// The module of a program. `data` has the bytes of each blob.
pub fn from_wire(program: w::Program, data: &[Bytes]) -> Result<Module, WireError> {
    // C-302: all unknown ops at once.
    let mut kinds = Vec::with_capacity(program.ops.len());
    let mut unknown = Vec::new();
    for name in program.ops {
        match OpKind::from_name(&name) {
            Some(kind) => kinds.push(kind),
            None => unknown.push(name),
        }
    }
    if !unknown.is_empty() {
        return Err(WireError::UnknownOps(unknown));
    }
    if program.entry as usize >= program.functions.len() {
        let count = program.functions.len();
        return Err(WireError::NoEntry { entry: program.entry, count });
    }
    let strings: Vec<Arc<str>> = program.strings.into_iter().map(Arc::from).collect();
    let text = |id: u32, at: &str| {
        let wrong = || WireError::Range { at: at.into(), what: "text", id, count: strings.len() };
        strings.get(id as usize).cloned().ok_or_else(wrong)
    };

    let mut module = Module { entry: FuncId(program.entry), ..Module::default() };
    for (index, tensor) in program.tensors.into_iter().enumerate() {
        let storage = match tensor.storage {
            w::Storage::Blob(id) => {
                range(|| format!("tensor {index}"), "blob", id, data.len())?;
                Storage::Bytes(data.get(id as usize).cloned().unwrap_or_default())
            }
            w::Storage::Splat(bytes) => Storage::Splat(bytes.0),
            w::Storage::Strings(list) => {
                Storage::Strings(list.into_iter().map(|s| Arc::from(&*s.0)).collect())
            }
            w::Storage::External(w::External { path, offset, length }) => {
                Storage::External { path: path.into(), offset, length }
            }
        };
        let tensor = Tensor { dtype: dtype(&tensor.dtype)?, dims: tensor.shape, storage };
        check_tensor(index, &tensor)?;
        module.tensors.push(tensor);
    }
    let origins = program.origins.len();
    for origin in program.origins {
        module.origins.push(match origin {
            w::Origin::Unknown => Origin::Unknown,
            w::Origin::Source(s) => Origin::Source {
                format: text(s.format, "an origin")?,
                path: text(s.path, "an origin")?,
                name: text(s.name, "an origin")?,
                op: text(s.op, "an origin")?,
            },
            w::Origin::Derived(d) => {
                for &id in &d.from {
                    range(|| "an origin".to_owned(), "origin", id, origins)?;
                }
                let from = d.from.into_iter().map(OriginId).collect();
                Origin::Derived { by: text(d.by, "an origin")?, from }
            }
        });
    }
    let functions = program.functions.len();
    for f in program.functions {
        let reader = FunctionReader {
            counts: Counts {
                functions,
                tensors: module.tensors.len(),
                symbols: f.symbols.len(),
                regions: f.regions.len(),
            },
            nodes: f.nodes.len(),
            values: f.values.len(),
            origins,
            kinds: &kinds,
            strings: &strings,
        };
        module.functions.push(reader.read(f)?);
    }
    for note in program.notes {
        let about = match note.about {
            w::About::Program => Entity::Module,
            w::About::Func(f) => Entity::Func(FuncId(f)),
            w::About::Node((f, n)) => Entity::Node(FuncId(f), NodeId(n)),
            w::About::Value((f, v)) => Entity::Value(FuncId(f), ValueId(v)),
            w::About::Region((f, r)) => Entity::Region(FuncId(f), RegionId(r)),
            w::About::Tensor(t) => Entity::Tensor(TensorId(t)),
        };
        check_note(&module, about)?;
        if Notes::insert(&mut module.notes, about, note.texts.0).is_some() {
            return Err(WireError::NoteTwice(about));
        }
    }
    module.opsets = program.opsets.0;
    Ok(module)
}

/// What is known before a function is read.
struct FunctionReader<'a> {
    counts: Counts,
    nodes: usize,
    values: usize,
    origins: usize,
    kinds: &'a [OpKind],
    strings: &'a [Arc<str>],
}

impl FunctionReader<'_> {
    fn value(&self, id: u32, at: &dyn Fn() -> String) -> Result<ValueId, WireError> {
        range(at, "value", id, self.values)?;
        Ok(ValueId(id))
    }

    fn tensor(&self, id: Option<u32>, at: &str) -> Result<Option<TensorId>, WireError> {
        if let Some(id) = id {
            range(|| at.to_owned(), "tensor", id, self.counts.tensors)?;
        }
        Ok(id.map(TensorId))
    }

    fn read(&self, f: w::Function) -> Result<Function, WireError> {
        let name = f.name;
        let at_function = || format!("function `{name}`");
        range(at_function, "region", f.body, self.counts.regions)?;
        let mut inputs = Vec::with_capacity(f.inputs.len());
        for input in f.inputs {
            let at = || format!("input `{}` of function `{name}`", input.name);
            let role = match input.role {
                w::InputRole::User(user) => InputRole::User {
                    default: self.tensor(user.default, &at())?,
                    kind: kind_from_wire(&user.kind),
                },
                w::InputRole::Param(t) => InputRole::Param(self.tensor(t, &at())?),
                w::InputRole::State(t) => InputRole::State(self.tensor(t, &at())?),
            };
            inputs.push(Input { name: input.name, role });
        }
        let outputs = f.outputs.into_iter().map(|output| {
            let role = match output.role {
                w::OutputRole::User(kind) => OutputRole::User(kind_from_wire(&kind)),
                w::OutputRole::StateUpdate(name) => OutputRole::StateUpdate(name),
                w::OutputRole::InputUpdate(index) => OutputRole::InputUpdate(index),
            };
            Output { name: output.name, role }
        });
        let outputs = outputs.collect();
        let symbols = f
            .symbols
            .into_iter()
            .map(|s| Symbol { name: s.name, range: Range { min: s.min, max: s.max }, why: s.why })
            .collect();
        let mut regions: Arena<RegionId, Region> = Arena::default();
        for region in f.regions {
            let at = || format!("a region of function `{name}`");
            let list = |ids: Vec<u32>| {
                ids.into_iter().map(|id| self.value(id, &at)).collect::<Result<Vec<_>, _>>()
            };
            let params = list(region.params)?;
            let results = list(region.results)?;
            for &id in &region.nodes {
                range(at, "node", id, self.nodes)?;
            }
            let nodes = region.nodes.into_iter().map(NodeId).collect();
            regions.push(Region { params, nodes, results });
        }
        let mut nodes: Arena<NodeId, Node> = Arena::default();
        for node in f.nodes {
            let node = self.node(node, nodes.len(), &name)?;
            nodes.push(node);
        }
        let at_type = || format!("a type of function `{name}`");
        let types = f.types.iter().map(|t| type_from_wire(t, &self.counts, 0, &at_type));
        let types = types.collect::<Result<Vec<_>, _>>()?;
        let derived = derived_defs(f.values.len(), regions.values(), nodes.values());
        let mut values: Arena<ValueId, Value> = Arena::default();
        for (value, derived) in f.values.into_iter().zip(derived) {
            let index = values.len();
            let at = || format!("value {index} of function `{name}`");
            range(at, "type", value.ty, types.len())?;
            let ty = types.get(value.ty as usize).cloned().unwrap_or(Type::Unknown);
            if let Some(id) = value.name {
                range(at, "text", id, self.strings.len())?;
            }
            let def = match value.def {
                Some(w::Def::Param((region, index))) => {
                    range(at, "region", region, self.counts.regions)?;
                    Some(Def::Param { region: RegionId(region), index })
                }
                Some(w::Def::Result((node, index))) => {
                    range(at, "node", node, self.nodes)?;
                    Some(Def::Result { node: NodeId(node), index })
                }
                None => derived,
            };
            let no_def = || WireError::NoDef { function: name.clone(), value: index };
            let def = def.ok_or_else(no_def)?;
            let name = value.name.and_then(|id| self.strings.get(id as usize).cloned());
            values.push(Value { ty, def, name });
        }
        let body = RegionId(f.body);
        Ok(Function { name, symbols, inputs, outputs, body, regions, nodes, values })
    }

    fn node(&self, node: w::Node, index: usize, function: &str) -> Result<Node, WireError> {
        let at = || format!("node {index} of function `{function}`");
        range(at, "op", node.op, self.kinds.len())?;
        let Some(&kind) = self.kinds.get(node.op as usize) else {
            return Err(WireError::UnknownOps(Vec::new()));
        };
        check_origin(OriginId(node.origin), self.origins, at)?;
        let mut attrs = std::collections::BTreeMap::new();
        for (name, attr) in node.attrs.0 {
            let attr = attr_from_wire(attr, &self.counts, 0, &at)?;
            attrs.insert(name, attr);
        }
        let op = Op::from_attrs(kind, attrs).map_err(|error| WireError::Field {
            at: at(),
            op: kind.name(),
            error,
        })?;
        let slot = |id: Option<u32>| id.map(|id| self.value(id, &at)).transpose();
        let operands = node.operands.into_iter().map(slot).collect::<Result<_, _>>()?;
        let results = node.results.into_iter().map(slot).collect::<Result<_, _>>()?;
        Ok(Node { op, operands, results, origin: OriginId(node.origin) })
    }
}
