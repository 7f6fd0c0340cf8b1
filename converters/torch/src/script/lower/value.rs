//! What the variables of a program hold while it is run.

use std::rc::Rc;
use std::sync::Arc;

use airconv_ir::dim::Dim;

use super::heap::Ref;

/// A value. Lists, dictionaries and objects are on the heap, as they can change.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<T> {
    None,
    Bool(bool),
    Int(Dim),
    Float(f64),
    Complex(f64, f64),
    Str(Arc<str>),
    Device(Arc<str>),
    Tensor(T),
    /// A number that only a run can tell, as a tensor of rank 0.
    Number(T),
    Tuple(Rc<[Value<T>]>),
    /// A named tuple: its class and its fields.
    Named(Arc<str>, Rc<[Value<T>]>),
    List(Ref),
    Dict(Ref),
    Object(Ref),
    /// A function, class or namespace, by its dotted name.
    Name(Arc<str>),
    /// What has no value, and why.
    Missing(Arc<str>),
}

impl<T> Value<T> {
    pub(super) fn int(n: i64) -> Self {
        Self::Int(Dim::Known(n))
    }
    pub(super) fn str(text: &str) -> Self {
        Self::Str(text.into())
    }
    pub(super) fn tuple(items: Vec<Self>) -> Self {
        Self::Tuple(items.into())
    }
    /// What kind of thing it is, for messages.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Complex(..) => "a complex number",
            Self::Str(_) => "a text",
            Self::Device(_) => "a device",
            Self::Tensor(_) => "a tensor",
            Self::Number(_) => "a number known at run time",
            Self::Tuple(_) | Self::Named(..) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Object(_) => "an object",
            Self::Name(name) => return format!("`{name}`"),
            Self::Missing(why) => return format!("a value that is not there ({why})"),
        }
        .to_owned()
    }
    pub(super) fn known_int(&self) -> Option<i64> {
        match self {
            Self::Int(dim) => dim.as_known(),
            Self::Bool(b) => Some((*b).into()),
            _ => None,
        }
    }
    pub(super) fn known_float(&self) -> Option<f64> {
        match self {
            Self::Float(v) => Some(*v),
            _ => self.known_int().map(|n| n as f64),
        }
    }
    /// Whether it is a number, known or not.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Number(_))
    }
}
