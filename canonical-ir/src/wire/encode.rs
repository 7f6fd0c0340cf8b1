//! From the hub to records.

use std::sync::Arc;

use airconv_schema as schema;
use airconv_schema::program as w;
use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::parts::{attr_to_wire, type_to_wire};
use super::{WireError, check_note, check_origin, check_tensor, derived_defs};
use crate::entity::TensorId;
use crate::entity::ValueId;
use crate::module::{
    ArgKindRole, Def, Entity, Function, Input, InputRole, Module, Origin, Output, OutputRole,
};
use crate::op::OpKind;
use crate::tensor::Storage;
use crate::types::Type;

/// Texts by position, each once.
#[derive(Default)]
struct Strings {
    table: Vec<String>,
    known: FxHashMap<Arc<str>, u32>,
}

impl Strings {
    fn id(&mut self, text: &Arc<str>) -> u32 {
        if let Some(&id) = self.known.get(text) {
            return id;
        }
        let id = self.table.len() as u32;
        self.table.push(text.to_string());
        self.known.insert(text.clone(), id);
        id
    }
}

/// The records of a module, and the bytes of its tensors, which are shared and not copied.
pub fn to_wire(module: &Module) -> Result<schema::Contents, WireError> {
    let mut strings = Strings::default();
    let mut ops: Vec<String> = Vec::new();
    let mut op_ids: FxHashMap<OpKind, u32> = FxHashMap::default();
    let mut op_id = |kind: OpKind| {
        *op_ids.entry(kind).or_insert_with(|| {
            ops.push(kind.name().to_owned());
            ops.len() as u32 - 1
        })
    };
    if module.functions.get(module.entry).is_none() {
        return Err(WireError::NoEntry { entry: module.entry.0, count: module.functions.len() });
    }
    let mut functions = Vec::with_capacity(module.functions.len());
    for f in module.functions.values() {
        functions.push(function_to_wire(module, f, &mut strings, &mut op_id)?);
    }
    let mut data = Vec::new();
    let mut tensors = Vec::with_capacity(module.tensors.len());
    for (id, tensor) in module.tensors.iter() {
        check_tensor(id.0 as usize, tensor)?;
        let storage = match &tensor.storage {
            Storage::Bytes(bytes) => {
                data.push(bytes.clone());
                w::Storage::Blob(data.len() as u32 - 1)
            }
            Storage::Splat(bytes) => w::Storage::Splat(schema::Bin(bytes.clone())),
            Storage::Strings(list) => w::Storage::Strings(
                list.iter().map(|s| schema::Bin(Bytes::copy_from_slice(s))).collect(),
            ),
            Storage::External { path, offset, length } => w::Storage::External(w::External {
                path: path.to_string(),
                offset: *offset,
                length: *length,
            }),
        };
        tensors.push(w::Tensor {
            dtype: tensor.dtype.name().to_owned(),
            shape: tensor.dims.clone(),
            storage,
        });
    }
    let origins = module
        .origins
        .values()
        .map(|origin| match origin {
            Origin::Unknown => w::Origin::Unknown,
            Origin::Source { format, path, name, op } => w::Origin::Source(w::Source {
                format: strings.id(format),
                path: strings.id(path),
                name: strings.id(name),
                op: strings.id(op),
            }),
            Origin::Derived { by, from } => w::Origin::Derived(w::Derived {
                by: strings.id(by),
                from: from.iter().map(|o| o.0).collect(),
            }),
        })
        .collect();
    let mut notes = Vec::with_capacity(module.notes.len());
    for (&entity, texts) in &module.notes {
        check_note(module, entity)?;
        let about = match entity {
            Entity::Module => w::About::Program,
            Entity::Func(f) => w::About::Func(f.0),
            Entity::Node(f, n) => w::About::Node((f.0, n.0)),
            Entity::Value(f, v) => w::About::Value((f.0, v.0)),
            Entity::Region(f, r) => w::About::Region((f.0, r.0)),
            Entity::Tensor(t) => w::About::Tensor(t.0),
        };
        notes.push(w::Note { about, texts: schema::Named(texts.clone()) });
    }
    let program = w::Program {
        functions,
        entry: module.entry.0,
        ops,
        strings: strings.table,
        blobs: Vec::new(),
        tensors,
        origins,
        notes,
        opsets: schema::Named(module.opsets.clone()),
    };
    Ok(schema::Contents { program, data })
}

fn slots(list: &[Option<ValueId>]) -> Vec<Option<u32>> {
    list.iter().map(|v| v.map(|v| v.0)).collect()
}

fn function_to_wire(
    module: &Module,
    f: &Function,
    strings: &mut Strings,
    op_id: &mut dyn FnMut(OpKind) -> u32,
) -> Result<w::Function, WireError> {
    let mut types: Vec<w::Type> = Vec::new();
    let mut type_ids: FxHashMap<&Type, u32> = FxHashMap::default();
    let derived = derived_defs(f.values.len(), f.regions.values(), f.nodes.values());
    let mut values = Vec::with_capacity(f.values.len());
    for ((id, value), derived) in f.values.iter().zip(derived) {
        let ty = match type_ids.get(&value.ty) {
            Some(&known) => known,
            None => {
                types.push(type_to_wire(&value.ty, 0).ok_or_else(|| WireError::TooDeep {
                    at: format!("the type of value {id} of function `{}`", f.name),
                })?);
                type_ids.insert(&value.ty, types.len() as u32 - 1);
                types.len() as u32 - 1
            }
        };
        let def = match value.def {
            def if derived == Some(def) => None,
            Def::Param { region, index } => Some(w::Def::Param((region.0, index))),
            Def::Result { node, index } => Some(w::Def::Result((node.0, index))),
        };
        values.push(w::Value { ty, name: value.name.as_ref().map(|n| strings.id(n)), def });
    }
    let mut nodes = Vec::with_capacity(f.nodes.len());
    for (id, node) in f.nodes.iter() {
        let at = || format!("node {id} of function `{}`", f.name);
        check_origin(node.origin, module.origins.len(), at)?;
        let mut attrs = std::collections::BTreeMap::new();
        for (name, attr) in node.op.attrs() {
            let attr = attr_to_wire(&attr, 0).ok_or_else(|| WireError::TooDeep { at: at() })?;
            attrs.insert(name.to_owned(), attr);
        }
        nodes.push(w::Node {
            op: op_id(node.op.kind()),
            attrs: schema::Named(attrs),
            operands: slots(&node.operands),
            results: slots(&node.results),
            origin: node.origin.0,
        });
    }
    let ids = |list: &[ValueId]| list.iter().map(|v| v.0).collect();
    Ok(w::Function {
        name: f.name.clone(),
        symbols: f
            .symbols
            .values()
            .map(|s| w::Symbol {
                name: s.name.clone(),
                min: s.range.min,
                max: s.range.max,
                why: s.why.clone(),
            })
            .collect(),
        inputs: f.inputs.iter().map(input_to_wire).collect(),
        outputs: f.outputs.iter().map(output_to_wire).collect(),
        body: f.body.0,
        regions: f
            .regions
            .values()
            .map(|r| w::Region {
                params: ids(&r.params),
                nodes: r.nodes.iter().map(|n| n.0).collect(),
                results: ids(&r.results),
            })
            .collect(),
        types,
        nodes,
        values,
    })
}

fn kind_to_wire(kind: ArgKindRole) -> w::ArgKind {
    match kind {
        ArgKindRole::Tensor => w::ArgKind::Tensor,
        ArgKindRole::Int => w::ArgKind::Int,
        ArgKindRole::Float => w::ArgKind::Float,
        ArgKindRole::Bool => w::ArgKind::Bool,
        ArgKindRole::Constant => w::ArgKind::Constant,
    }
}

fn input_to_wire(input: &Input) -> w::Input {
    let id = |t: &Option<TensorId>| t.map(|t| t.0);
    let role = match &input.role {
        InputRole::User { default, kind } => {
            w::InputRole::User(w::UserInput { default: id(default), kind: kind_to_wire(*kind) })
        }
        InputRole::Param(t) => w::InputRole::Param(id(t)),
        InputRole::State(t) => w::InputRole::State(id(t)),
    };
    w::Input { name: input.name.clone(), role }
}

fn output_to_wire(output: &Output) -> w::Output {
    let role = match &output.role {
        OutputRole::User(kind) => w::OutputRole::User(kind_to_wire(*kind)),
        OutputRole::StateUpdate(name) => w::OutputRole::StateUpdate(name.clone()),
        OutputRole::InputUpdate(index) => w::OutputRole::InputUpdate(*index),
    };
    w::Output { name: output.name.clone(), role }
}
