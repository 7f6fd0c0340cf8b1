//! What a pickle says: a table of values that refer to each other by number.
//!
//! Values that occur twice in the pickle are one entry of the table, so the table is no larger
//! than the pickle, whatever the tree would be that it unfolds to. A pickle can be cyclic:
//! whoever walks it bounds the depth.

use std::sync::Arc;

use airconv_ir::dtype::DType;
use bytes::Bytes;

use super::globals::Global;

/// A value of a [`Pickle`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub(super) u32);

/// A pickle that was read.
#[derive(Clone, Debug, Default)]
pub struct Pickle {
    pub(super) values: Vec<Value>,
    pub(super) root: Id,
}

/// One value; parts of it are other values of the same pickle.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer beyond 64 bits.
    Long(i128),
    /// A float.
    Float(f64),
    /// A complex number.
    Complex(f64, f64),
    /// Text.
    Str(Arc<str>),
    /// Bytes.
    Bytes(Bytes),
    /// A list; sets are lists too.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A dictionary in the order in which it was filled.
    Dict(Vec<(Id, Id)>),
    /// A name from the table.
    Global(Global),
    /// An instance of a class of a TorchScript program, with its state.
    Object {
        /// The qualified name, `__torch__.net.Net`.
        class: Arc<str>,
        /// What the object consists of, once that is said.
        state: Option<Id>,
    },
    /// The elements of tensors, which are elsewhere.
    Storage(StorageRef),
    /// A tensor: a view of a storage.
    Tensor(Arc<TensorRef>),
    /// A device such as `cpu` or `cuda:0`.
    Device(Arc<str>),
}

/// Where elements are.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageRef {
    /// Its name in the file.
    pub key: Arc<str>,
    /// The element type; `None` for a storage of plain bytes.
    pub dtype: Option<DType>,
    /// The device it was saved from.
    pub device: Arc<str>,
    /// The number of elements (of bytes, where there is no element type).
    pub numel: u64,
    /// The first element and the number of elements, if it is a part of the storage of this name
    /// (files before version 1.6 only).
    pub part: Option<(u64, u64)>,
}

/// A tensor of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorRef {
    /// Where the elements are.
    pub storage: StorageRef,
    /// The element type.
    pub dtype: DType,
    /// The first element, counted in elements.
    pub offset: u64,
    /// The size of each axis.
    pub sizes: Vec<u64>,
    /// The distance of neighbours on each axis, counted in elements.
    pub strides: Vec<i64>,
    /// Whether it is trained.
    pub requires_grad: bool,
}

impl Pickle {
    /// The value that the pickle is of.
    pub fn root(&self) -> Id {
        self.root
    }
    /// A value.
    pub fn get(&self, id: Id) -> &Value {
        self.values.get(id.0 as usize).unwrap_or(&Value::None)
    }
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }
    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
    /// The storages that are referred to, in the order of their first mention.
    pub fn storages(&self) -> impl Iterator<Item = &StorageRef> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(storage),
            _ => None,
        })
    }
    /// The text of a value.
    pub fn str(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }
    /// The integer that a value is.
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }
    /// The elements of a list or tuple.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }
    /// The pairs of a dictionary.
    pub fn pairs(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            Value::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }
    /// The value that a dictionary has for a text.
    pub fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let pairs = self.pairs(dict)?;
        pairs.iter().rev().find(|(k, _)| self.str(*k) == Some(key)).map(|(_, v)| *v)
    }
}

impl Value {
    /// What kind of thing it is, for messages.
    pub fn kind(&self) -> String {
        match self {
            Self::None => "None".to_owned(),
            Self::Bool(_) => "a truth value".to_owned(),
            Self::Int(_) | Self::Long(_) => "an integer".to_owned(),
            Self::Float(_) => "a float".to_owned(),
            Self::Complex(..) => "a complex number".to_owned(),
            Self::Str(_) => "a text".to_owned(),
            Self::Bytes(_) => "bytes".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Tuple(_) => "a tuple".to_owned(),
            Self::Dict(_) => "a dictionary".to_owned(),
            Self::Global(g) => format!("`{}`", g.name()),
            Self::Object { class, .. } => format!("an object of class `{class}`"),
            Self::Storage(_) => "a storage".to_owned(),
            Self::Tensor(_) => "a tensor".to_owned(),
            Self::Device(_) => "a device".to_owned(),
        }
    }
}
