//! The names that a pickle may use.

use std::sync::Arc;

use airconv_ir::dtype::DType;

use crate::common::dtype;

/// A name of a pickle, as what it stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Global {
    /// A function or class of the table.
    Known(&'static str, Make),
    /// The class of storages with elements of a dtype.
    Storage(DType),
    /// A dtype.
    DType(DType),
    /// A class of a TorchScript program.
    Script(Arc<str>),
}

/// What calling a name gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// A dictionary, of nothing or of a list of pairs.
    Dict,
    /// A list, of nothing or of a list.
    List,
    /// A tuple of a list.
    Tuple,
    /// What it is called with: the first argument.
    First,
    /// Bytes of a text in Latin-1.
    Latin1,
    /// A complex number.
    Complex,
    /// A device.
    Device,
    /// A tensor of a typed storage.
    Tensor,
    /// A tensor of a storage of bytes, with a dtype.
    TensorOfBytes,
    /// A parameter: a tensor and whether it is trained.
    Parameter,
    /// What another function gives: a tensor in a subclass of tensors.
    FromType,
    /// Nothing: a class that is only named.
    Nothing,
    /// The class of storages of bytes.
    UntypedStorage,
    /// A layout or memory format: how elements are stored, which says nothing of values.
    Layout,
}

/// Module, name, and what a call of it gives.
const TABLE: &[(&str, &str, Make)] = &[
    ("collections", "OrderedDict", Make::Dict),
    ("collections", "defaultdict", Make::Nothing),
    ("builtins", "dict", Make::Dict),
    ("__builtin__", "dict", Make::Dict),
    ("builtins", "set", Make::List),
    ("__builtin__", "set", Make::List),
    ("builtins", "frozenset", Make::List),
    ("builtins", "list", Make::List),
    ("__builtin__", "list", Make::List),
    ("builtins", "tuple", Make::Tuple),
    ("builtins", "complex", Make::Complex),
    ("__builtin__", "complex", Make::Complex),
    ("builtins", "int", Make::Nothing),
    ("builtins", "float", Make::Nothing),
    ("builtins", "bool", Make::Nothing),
    ("builtins", "str", Make::Nothing),
    ("_codecs", "encode", Make::Latin1),
    ("torch", "Size", Make::Tuple),
    ("torch", "device", Make::Device),
    ("torch", "Tensor", Make::Nothing),
    ("torch", "layout", Make::Layout),
    ("torch.serialization", "_get_layout", Make::Layout),
    ("torch", "strided", Make::Layout),
    ("torch", "contiguous_format", Make::Layout),
    ("torch", "channels_last", Make::Layout),
    ("torch", "preserve_format", Make::Layout),
    ("torch.nn.parameter", "Parameter", Make::Nothing),
    ("torch.storage", "UntypedStorage", Make::UntypedStorage),
    ("torch", "UntypedStorage", Make::UntypedStorage),
    ("torch._utils", "_rebuild_tensor", Make::Tensor),
    ("torch._utils", "_rebuild_tensor_v2", Make::Tensor),
    ("torch._utils", "_rebuild_tensor_v3", Make::TensorOfBytes),
    ("torch._utils", "_rebuild_parameter", Make::Parameter),
    ("torch._utils", "_rebuild_parameter_with_state", Make::Parameter),
    ("torch._tensor", "_rebuild_from_type_v2", Make::FromType),
    ("torch.jit._pickle", "build_intlist", Make::First),
    ("torch.jit._pickle", "build_doublelist", Make::First),
    ("torch.jit._pickle", "build_boollist", Make::First),
    ("torch.jit._pickle", "build_tensorlist", Make::First),
    ("torch.jit._pickle", "restore_type_tag", Make::First),
];

impl Global {
    /// What a name stands for; `None` for one that is not allowed.
    pub fn find(module: &str, name: &str) -> Option<Self> {
        let row = TABLE.iter().find(|row| row.0 == module && row.1 == name);
        if let Some(&(_, name, make)) = row {
            return Some(Self::Known(name, make));
        }
        if module == "__torch__" || module.starts_with("__torch__.") {
            return Some(Self::Script(format!("{module}.{name}").into()));
        }
        if !matches!(module, "torch" | "torch.storage") {
            return None;
        }
        if let Some(dtype) = dtype::from_storage(name) {
            return Some(Self::Storage(dtype));
        }
        dtype::from_name(name).map(Self::DType)
    }
    /// The name without its module, for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Known(name, _) => (*name).to_owned(),
            Self::Storage(dtype) => format!("storage of {dtype}"),
            Self::DType(dtype) => format!("dtype {dtype}"),
            Self::Script(name) => name.to_string(),
        }
    }
}
