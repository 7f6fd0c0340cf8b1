//! Attributes with accounting: each one has to be read, or the node is refused.

use std::cell::RefCell;

use airconv_api::ir::attr::{Attr, Float};
use airconv_api::ir::dtype::DType;
use rustc_hash::FxHashMap;

use crate::common;
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, NodeProto, TensorProto};

/// The values that a function's attributes have in one of its uses.
pub(crate) type Bindings<'p> = FxHashMap<&'p str, &'p AttributeProto>;

/// The attributes of a node. References to attributes of the enclosing function are
/// followed.
pub(crate) struct Attrs<'p> {
    all: Vec<(&'p str, &'p AttributeProto)>,
    read: RefCell<Vec<bool>>,
}

/// What is wrong with an attribute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AttrError {
    #[error("attribute `{0}` is missing")]
    Missing(String),
    #[error("attribute `{name}` has kind {found}, not {wanted}")]
    Kind { name: String, wanted: &'static str, found: String },
    #[error("attribute `{name}`: {message}")]
    Value { name: String, message: String },
    #[error("attribute `{0}` is given twice")]
    Twice(String),
}

impl<'p> Attrs<'p> {
    pub(crate) fn new(
        node: &'p NodeProto,
        bindings: Option<&Bindings<'p>>,
    ) -> Result<Self, AttrError> {
        let mut all: Vec<(&str, &AttributeProto)> = Vec::with_capacity(node.attribute.len());
        for a in &node.attribute {
            if all.iter().any(|(n, _)| *n == a.name()) {
                return Err(AttrError::Twice(a.name().to_owned()));
            }
            if a.ref_attr_name().is_empty() {
                all.push((a.name(), a));
            } else if let Some(bound) = bindings.and_then(|b| b.get(a.ref_attr_name())) {
                all.push((a.name(), bound));
            }
        }
        let read = RefCell::new(vec![false; all.len()]);
        Ok(Self { all, read })
    }

    /// All attributes, marked as read.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = (&'p str, &'p AttributeProto)> + '_ {
        self.read.borrow_mut().fill(true);
        self.all.iter().copied()
    }

    /// The names of those that were not read.
    pub(crate) fn unread(&self) -> Vec<&'p str> {
        let read = self.read.borrow();
        self.all.iter().zip(read.iter()).filter(|(_, r)| !**r).map(|((n, _), _)| *n).collect()
    }

    fn find(&self, name: &str) -> Option<&'p AttributeProto> {
        let i = self.all.iter().position(|(n, _)| *n == name)?;
        if let Some(read) = self.read.borrow_mut().get_mut(i) {
            *read = true;
        }
        self.all.get(i).map(|(_, a)| *a)
    }

    /// The attribute, if present and of the kind.
    fn typed(
        &self,
        name: &str,
        kind: AttributeType,
    ) -> Result<Option<&'p AttributeProto>, AttrError> {
        let Some(a) = self.find(name) else { return Ok(None) };
        // Files of the first IR versions leave the kind out.
        if a.r#type() == AttributeType::Undefined || a.r#type() == kind {
            return Ok(Some(a));
        }
        Err(AttrError::Kind {
            name: name.to_owned(),
            wanted: kind_name(kind),
            found: kind_name(a.r#type()).to_owned(),
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.all.iter().any(|(n, _)| *n == name)
    }
    pub(crate) fn ignore(&self, name: &str) {
        self.find(name);
    }
    pub(crate) fn opt_int(&self, name: &str) -> Result<Option<i64>, AttrError> {
        Ok(self.typed(name, AttributeType::Int)?.map(|a| a.i()))
    }
    pub(crate) fn opt_float(&self, name: &str) -> Result<Option<Float>, AttrError> {
        Ok(self.typed(name, AttributeType::Float)?.map(|a| Float(f64::from(a.f()))))
    }
    pub(crate) fn opt_string(&self, name: &str) -> Result<Option<String>, AttrError> {
        let Some(a) = self.typed(name, AttributeType::String)? else { return Ok(None) };
        utf8(name, a.s()).map(Some)
    }
    pub(crate) fn opt_ints(&self, name: &str) -> Result<Option<Vec<i64>>, AttrError> {
        Ok(self.typed(name, AttributeType::Ints)?.map(|a| a.ints.clone()))
    }
    pub(crate) fn opt_floats(&self, name: &str) -> Result<Option<Vec<Float>>, AttrError> {
        let a = self.typed(name, AttributeType::Floats)?;
        Ok(a.map(|a| a.floats.iter().map(|&f| Float(f64::from(f))).collect()))
    }
    pub(crate) fn opt_strings(&self, name: &str) -> Result<Option<Vec<String>>, AttrError> {
        match self.typed(name, AttributeType::Strings)? {
            Some(a) => a.strings.iter().map(|s| utf8(name, s)).collect::<Result<_, _>>().map(Some),
            None => Ok(None),
        }
    }
    pub(crate) fn opt_tensor(&self, name: &str) -> Result<Option<&'p TensorProto>, AttrError> {
        Ok(self.typed(name, AttributeType::Tensor)?.and_then(|a| a.t.as_deref()))
    }
    pub(crate) fn opt_proto(
        &self,
        name: &str,
        kind: AttributeType,
    ) -> Result<Option<&'p AttributeProto>, AttrError> {
        self.typed(name, kind)
    }
    pub(crate) fn opt_dtype(&self, name: &str) -> Result<Option<DType>, AttrError> {
        match self.opt_int(name)? {
            None => Ok(None),
            Some(n) => common::dtype::from_onnx(n).map(Some).ok_or_else(|| AttrError::Value {
                name: name.to_owned(),
                message: format!("{n} is not an element type"),
            }),
        }
    }
    pub(crate) fn opt_bool(&self, name: &str) -> Result<Option<bool>, AttrError> {
        Ok(self.opt_int(name)?.map(|v| v != 0))
    }

    /// The attribute as a field of this kind; `None` when it is absent.
    pub(crate) fn field(&self, name: &str, kind: &str) -> Result<Option<Attr>, AttrError> {
        Ok(match kind {
            "bool" => self.opt_bool(name)?.map(Attr::Bool),
            "int" => self.opt_int(name)?.map(Attr::Int),
            "float" => self.opt_float(name)?.map(Attr::Float),
            "dtype" => self.opt_dtype(name)?.map(Attr::DType),
            "ints" => self.opt_ints(name)?.map(Attr::Ints),
            "floats" => self.opt_floats(name)?.map(Attr::Floats),
            "strings" => self.opt_strings(name)?.map(Attr::Strs),
            _ => self.opt_string(name)?.map(Attr::Str),
        })
    }
}

pub(crate) fn utf8(name: &str, bytes: &[u8]) -> Result<String, AttrError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| AttrError::Value { name: name.to_owned(), message: "is not UTF-8".to_owned() })
}

fn kind_name(kind: AttributeType) -> &'static str {
    match kind {
        AttributeType::Undefined => "undefined",
        AttributeType::Float => "float",
        AttributeType::Int => "int",
        AttributeType::String => "string",
        AttributeType::Tensor => "tensor",
        AttributeType::Graph => "graph",
        AttributeType::SparseTensor => "sparse tensor",
        AttributeType::TypeProto => "type",
        AttributeType::Floats => "floats",
        AttributeType::Ints => "ints",
        AttributeType::Strings => "strings",
        AttributeType::Tensors => "tensors",
        AttributeType::Graphs => "graphs",
        AttributeType::SparseTensors => "sparse tensors",
        AttributeType::TypeProtos => "types",
    }
}
