//! The hub in a `.ir` file.
//!
//! Only this module knows both the hub and the records of the format, so that neither side
//! binds the other: a renamed field of the hub is no change of the format. It is generic
//! over ops through [`crate::op::Op::attrs`] and [`crate::op::Op::from_attrs`].
//!
//! [`from_wire`] is the inverse of [`to_wire`], also for ids that no region reaches.
//! Reading checks that every position is within its table and every name is known; that the
//! program means something is for the verifier to say. Comments cite `schema/SPEC.md`.

mod decode;
mod encode;
mod parts;
#[cfg(test)]
pub(crate) mod tests;

use std::path::Path;

use airconv_schema as schema;
use bytes::Bytes;

pub use airconv_schema::{Limits, ReadOptions, Version, WriteOptions, Written, is_ir};
pub use decode::from_wire;
pub use encode::to_wire;

use crate::entity::{FuncId, NodeId, OriginId, RegionId, ValueId};
use crate::module::{Def, Entity, Module, Node, Region};
use crate::op::FieldError;
use crate::tensor::{Storage, Tensor};

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

impl IrError {
    /// Whether the system failed, rather than the file being wrong.
    pub fn is_system(&self) -> bool {
        matches!(
            self,
            Self::Read(schema::ReadError::Io { .. }) | Self::Write(schema::WriteError::Io { .. })
        )
    }
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
