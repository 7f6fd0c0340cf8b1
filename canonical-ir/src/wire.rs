//! The hub in a `.ir` file.
//!
//! Only this module knows both the hub and the records of the format, so that neither side
//! binds the other: a renamed field of the hub is no change of the format. It is generic
//! over ops through [`Op::attrs`] and [`Op::from_attrs`].
//!
//! [`from_wire`] is the inverse of [`to_wire`], also for ids that no region reaches.
//! Reading checks that every position is within its table and every name is known; that the
//! program means something is for the verifier to say. Comments cite `schema/SPEC.md`.

mod parts;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use airconv_schema as schema;
use airconv_schema::program as w;
use bytes::Bytes;
use rustc_hash::FxHashMap;

pub use airconv_schema::{Limits, ReadOptions, Version, WriteOptions, Written};

use crate::dim::Range;
use crate::entity::{Arena, FuncId, NodeId, OriginId, RegionId, SymbolId, TensorId, ValueId};
use crate::module::{
    ArgKindRole, Def, Entity, Function, Input, InputRole, Module, Node, Notes, Origin, Output,
    OutputRole, Region, Symbol, Value,
};
use crate::op::{FieldError, Op, OpKind};
use crate::tensor::{Storage, Tensor};
use crate::types::Type;
use parts::{Counts, attr_from_wire, attr_to_wire, dtype, type_from_wire, type_to_wire};

/// Why a program and a module do not correspond.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// There is no function, or not the one that is the program.
    #[error("C-300: the program is function {entry}, there are {count}")]
    NoEntry {
        /// The position of the entry.
        entry: u32,
        /// The number of functions.
        count: usize,
    },
    /// A position is not within its table.
    #[error("C-301: {at} refers to {what} {id}, there are {count}")]
    Range {
        /// What refers to it.
        at: String,
        /// The kind of entity.
        what: &'static str,
        /// The position.
        id: u32,
        /// The size of the table.
        count: usize,
    },
    /// Ops that this version does not know.
    #[error("C-302: unknown ops: {}", .0.join(", "))]
    UnknownOps(Vec<String>),
    /// The fields of a node are not those of its op.
    #[error("C-303: {at}, op `{op}`: {error}")]
    Field {
        /// The node.
        at: String,
        /// The op.
        op: &'static str,
        /// What is wrong.
        error: FieldError,
    },
    /// A dtype that this version does not know.
    #[error("C-304: `{0}` is not a dtype")]
    UnknownDType(String),
    /// The bytes of a tensor are not what its type asks for.
    #[error("C-305: tensor {tensor}: {message}")]
    Tensor {
        /// The position of the tensor.
        tensor: usize,
        /// What is wrong.
        message: String,
    },
    /// The path of an external tensor leaves the folder of the file.
    #[error("C-306: tensor {tensor}: the path `{path}` is not one below the folder of the file")]
    Path {
        /// The position of the tensor.
        tensor: usize,
        /// The path.
        path: String,
    },
    /// Nothing makes a value.
    #[error("C-307: nothing makes value {value} of function `{function}`")]
    NoDef {
        /// The function.
        function: String,
        /// The position of the value.
        value: usize,
    },
    /// A size is over the limits of symbolic sizes, or has a value nowhere.
    #[error("C-308: {at}: a size is too large an expression or has no value")]
    Dim {
        /// Where it is.
        at: String,
    },
    /// Two notes are about the same entity.
    #[error("C-309: two notes are about {0:?}")]
    NoteTwice(Entity),
    /// Attributes, types or sizes are nested too deeply for the format.
    #[error("C-203: {at}: nested too deeply")]
    TooDeep {
        /// Where they are.
        at: String,
    },
}

/// Why a module could not be read from or written to a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IrError {
    /// The file could not be read.
    #[error(transparent)]
    Read(#[from] schema::ReadError),
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] schema::WriteError),
    /// The program in the file is no module, or the module has no such form.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Reads a module from a file. Tensors are slices of the mapped file.
pub fn read_ir(path: &Path, options: &ReadOptions) -> Result<Module, IrError> {
    let schema::Contents { program, data } = schema::read(path, options)?.contents;
    Ok(from_wire(program, &data)?)
}

/// Reads a module from a file in memory. Tensors are slices of it.
pub fn read_ir_bytes(bytes: Bytes, limits: &Limits) -> Result<Module, IrError> {
    let schema::Contents { program, data } = schema::read_bytes(bytes, limits)?.contents;
    Ok(from_wire(program, &data)?)
}

/// Writes a module to a file: the same module gives the same bytes.
pub fn write_ir(module: &Module, path: &Path, options: &WriteOptions) -> Result<Written, IrError> {
    let contents = to_wire(module)?;
    Ok(schema::write(path, contents, &with_needs(module, options))?)
}

/// Writes a module to memory or another place that can seek.
pub fn write_ir_to(
    module: &Module,
    out: &mut dyn schema::Target,
    options: &WriteOptions,
) -> Result<Written, IrError> {
    let contents = to_wire(module)?;
    Ok(schema::write_to(out, contents, &with_needs(module, options))?)
}

/// The options, with the needs of the ops of the module.
fn with_needs(module: &Module, options: &WriteOptions) -> WriteOptions {
    let mut options = options.clone();
    let mut seen = rustc_hash::FxHashSet::default();
    for node in module.functions.values().flat_map(|f| f.nodes.values()) {
        let info = node.op.info();
        if info.since > 1 && seen.insert(info.kind) {
            options.needs.push(schema::Need {
                minor: u16::try_from(info.since).unwrap_or(u16::MAX),
                feature: format!("op `{}`", info.name).into(),
            });
        }
    }
    options
}

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

fn range(
    at: impl FnOnce() -> String,
    what: &'static str,
    id: u32,
    count: usize,
) -> Result<(), WireError> {
    match (id as usize) < count {
        true => Ok(()),
        false => Err(WireError::Range { at: at(), what, id, count }),
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
        let def = (derived != Some(value.def)).then(|| match value.def {
            Def::Param { region, index } => w::Def::Param((region.0, index)),
            Def::Result { node, index } => w::Def::Result((node.0, index)),
        });
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

fn kind_from_wire(kind: &w::ArgKind) -> ArgKindRole {
    match kind {
        w::ArgKind::Tensor => ArgKindRole::Tensor,
        w::ArgKind::Int => ArgKindRole::Int,
        w::ArgKind::Float => ArgKindRole::Float,
        w::ArgKind::Bool => ArgKindRole::Bool,
        w::ArgKind::Constant => ArgKindRole::Constant,
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

/// What makes each value by the rule of the format: the first region parameter that it is,
/// else the first node result.
fn derived_defs<'a>(
    count: usize,
    regions: impl Iterator<Item = &'a Region>,
    nodes: impl Iterator<Item = &'a Node>,
) -> Vec<Option<Def>> {
    let mut defs = vec![None; count];
    let mut set = |value: ValueId, def: Def| {
        if let Some(slot @ None) = defs.get_mut(value.0 as usize) {
            *slot = Some(def);
        }
    };
    for (region, r) in regions.enumerate() {
        let region = RegionId(region as u32);
        for (index, &value) in r.params.iter().enumerate() {
            set(value, Def::Param { region, index: index as u32 });
        }
    }
    for (node, n) in nodes.enumerate() {
        let node = NodeId(node as u32);
        for (index, &value) in n.results.iter().enumerate() {
            if let Some(value) = value {
                set(value, Def::Result { node, index: index as u32 });
            }
        }
    }
    defs
}

/// C-301 for origins; a program without any may leave them all at 0.
fn check_origin(
    origin: OriginId,
    count: usize,
    at: impl FnOnce() -> String,
) -> Result<(), WireError> {
    match origin.0 {
        0 => Ok(()),
        id => range(at, "origin", id, count),
    }
}

/// C-301 for notes.
fn check_note(module: &Module, entity: Entity) -> Result<(), WireError> {
    let at = || "a note".to_owned();
    let of = |f: FuncId| {
        let count = module.functions.len();
        let wrong = WireError::Range { at: at(), what: "function", id: f.0, count };
        module.functions.get(f).ok_or(wrong)
    };
    match entity {
        Entity::Module => Ok(()),
        Entity::Func(f) => of(f).map(drop),
        Entity::Node(f, n) => range(at, "node", n.0, of(f)?.nodes.len()),
        Entity::Value(f, v) => range(at, "value", v.0, of(f)?.values.len()),
        Entity::Region(f, r) => range(at, "region", r.0, of(f)?.regions.len()),
        Entity::Tensor(t) => range(at, "tensor", t.0, module.tensors.len()),
    }
}

/// C-305, C-306.
fn check_tensor(index: usize, tensor: &Tensor) -> Result<(), WireError> {
    let wrong = |message: String| Err(WireError::Tensor { tensor: index, message });
    let is_string = tensor.dtype == crate::dtype::DType::String;
    if is_string != matches!(tensor.storage, Storage::Strings(_)) {
        return wrong(format!("the storage does not fit dtype {}", tensor.dtype));
    }
    let Some(count) = tensor.numel() else {
        return wrong(format!("the shape {:?} has too many elements", tensor.dims));
    };
    let (found, wanted) = match &tensor.storage {
        Storage::Strings(list) => (list.len() as u64, Some(count)),
        Storage::Bytes(bytes) => (bytes.len() as u64, tensor.byte_len()),
        Storage::Splat(bytes) => (bytes.len() as u64, tensor.dtype.byte_len(1)),
        Storage::External { length, .. } => (*length, tensor.byte_len()),
    };
    if wanted != Some(found) {
        let wanted = wanted.map_or_else(|| "more than a file holds".to_owned(), |n| n.to_string());
        let what = if is_string { "strings" } else { "bytes" };
        let (dtype, dims) = (tensor.dtype, &tensor.dims);
        return wrong(format!("{found} {what} for {dtype}{dims:?}, which takes {wanted}"));
    }
    if let Storage::External { path, offset, length } = &tensor.storage {
        let strange =
            |part: &str| matches!(part, "" | "." | "..") || part.contains(['\\', ':', '\0']);
        if path.split('/').any(strange) {
            return Err(WireError::Path { tensor: index, path: path.to_string() });
        }
        if offset.checked_add(*length).is_none() {
            return wrong("the range leaves any file".to_owned());
        }
    }
    Ok(())
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
        let symbols: Arena<SymbolId, Symbol> = f
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
