//! Attributes: the generic form of every op's payload.
//!
//! The fields of an op are declared once, in its row of the op table. What walks all ops
//! (text form, wire form, structural equality across formats) sees them as a list of
//! named [`Attr`]s; what knows the op uses the typed fields.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::{FuncId, RegionId, TensorId};
use crate::types::Type;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// A float. Compared by its bits, so that NaN equals itself and -0 differs from 0.
    Float(Float),
    /// Text, also the spelling of an enumerated choice.
    Str(String),
    /// Bytes that need not be text.
    Bytes(Bytes),
    /// An element type.
    DType(DType),
    /// A size or size expression.
    Dim(Dim),
    /// A type.
    Type(Type),
    /// A tensor of the module.
    Tensor(TensorId),
    /// A region of the same function.
    Region(RegionId),
    /// A function of the module.
    Func(FuncId),
    /// Integers.
    Ints(Vec<i64>),
    /// Floats.
    Floats(Vec<Float>),
    /// Texts.
    Strs(Vec<String>),
    /// Sizes.
    Dims(Vec<Dim>),
    /// Any other list.
    List(Vec<Attr>),
    /// Named attributes, of opaque ops and calls.
    Map(BTreeMap<String, Attr>),
}

impl Attr {
    /// What kind of attribute this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::DType(_) => "dtype",
            Self::Dim(_) => "dim",
            Self::Type(_) => "type",
            Self::Tensor(_) => "tensor",
            Self::Region(_) => "region",
            Self::Func(_) => "function",
            Self::Ints(_) => "ints",
            Self::Floats(_) => "floats",
            Self::Strs(_) => "strings",
            Self::Dims(_) => "dims",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }

    /// Visits every entity and size in the attribute, so that generic code can find or
    /// rewrite regions, tensors, functions and symbols without knowing the op.
    pub fn visit_mut(&mut self, v: &mut dyn AttrVisitor) {
        match self {
            Self::Dim(d) => v.dim(d),
            Self::Dims(ds) => ds.iter_mut().for_each(|d| v.dim(d)),
            Self::Type(t) => {
                *t = t.map_dims(&mut |d| {
                    let mut d = d.clone();
                    v.dim(&mut d);
                    d
                })
            }
            Self::Tensor(t) => v.tensor(t),
            Self::Region(r) => v.region(r),
            Self::Func(f) => v.func(f),
            Self::List(l) => l.iter_mut().for_each(|a| a.visit_mut(v)),
            Self::Map(m) => m.values_mut().for_each(|a| a.visit_mut(v)),
            Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Str(_)
            | Self::Bytes(_)
            | Self::DType(_)
            | Self::Ints(_)
            | Self::Floats(_)
            | Self::Strs(_) => {}
        }
    }
}

/// What [`Attr::visit_mut`] calls; every method does nothing by default.
pub trait AttrVisitor {
    /// A size.
    fn dim(&mut self, _dim: &mut Dim) {}
    /// A reference to a tensor.
    fn tensor(&mut self, _tensor: &mut TensorId) {}
    /// A reference to a region.
    fn region(&mut self, _region: &mut RegionId) {}
    /// A reference to a function.
    fn func(&mut self, _func: &mut FuncId) {}
}

/// An `f64` compared and hashed by its bits.
#[derive(Clone, Copy, Debug)]
pub struct Float(pub f64);

impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}
impl Eq for Float {}
impl std::hash::Hash for Float {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}
impl From<f64> for Float {
    fn from(v: f64) -> Self {
        Self(v)
    }
}

/// A type that can be a field of an op: it has a generic form and comes back from it.
pub trait Field: Sized + Clone + PartialEq {
    /// The kind's name in the materialised schema.
    const KIND: &'static str;
    /// The generic form; `None` for an absent optional field.
    fn to_attr(&self) -> Option<Attr>;
    /// Back from the generic form; `None` when the kind does not fit.
    fn from_attr(attr: Attr) -> Option<Self>;
}

macro_rules! fields {
    ($($ty:ty, $kind:literal, $variant:ident, $to:expr, $from:expr;)*) => {$(
        impl Field for $ty {
            const KIND: &'static str = $kind;
            fn to_attr(&self) -> Option<Attr> {
                let to: fn(&$ty) -> _ = $to;
                Some(Attr::$variant(to(self)))
            }
            fn from_attr(attr: Attr) -> Option<Self> {
                match attr {
                    Attr::$variant(v) => ($from)(v),
                    _ => None,
                }
            }
        }
    )*};
}

fields! {
    bool, "bool", Bool, |v| *v, Some;
    i64, "int", Int, |v| *v, Some;
    Float, "float", Float, |v| *v, Some;
    String, "string", Str, String::clone, Some;
    DType, "dtype", DType, |v| *v, Some;
    Dim, "dim", Dim, Dim::clone, Some;
    Type, "type", Type, Type::clone, Some;
    TensorId, "tensor", Tensor, |v| *v, Some;
    RegionId, "region", Region, |v| *v, Some;
    FuncId, "function", Func, |v| *v, Some;
    Vec<i64>, "ints", Ints, Vec::clone, Some;
    Vec<Float>, "floats", Floats, Vec::clone, Some;
    Vec<String>, "strings", Strs, Vec::clone, Some;
    Vec<Dim>, "dims", Dims, Vec::clone, Some;
    SourceOp, "source_op", Map, SourceOp::to_map, SourceOp::from_map;
}

impl<T: Field> Field for Option<T> {
    const KIND: &'static str = T::KIND;
    fn to_attr(&self) -> Option<Attr> {
        self.as_ref().and_then(T::to_attr)
    }
    fn from_attr(attr: Attr) -> Option<Self> {
        T::from_attr(attr).map(Some)
    }
}

/// Declares an enumerated choice whose spelling is the same in every form.
macro_rules! attr_enum {
    ($($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $vdoc:literal])* $variant:ident = $text:literal),* $(,)? })*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[doc = $vdoc])* $variant),* }
        impl $name {
            /// Every choice.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The spelling in text, wire and schema.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
            /// The choice with this spelling.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
        impl $crate::attr::Field for $name {
            const KIND: &'static str = concat!("enum(", $($text, " "),* , ")");
            fn to_attr(&self) -> Option<$crate::attr::Attr> {
                Some($crate::attr::Attr::Str(self.as_str().to_owned()))
            }
            fn from_attr(attr: $crate::attr::Attr) -> Option<Self> {
                match attr { $crate::attr::Attr::Str(s) => Self::parse(&s), _ => None }
            }
        }
    )*};
}
pub(crate) use attr_enum;

/// An op as its source format names it: what an opaque op and a call keep so that it can
/// be written back.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SourceOp {
    /// The format whose op this is: `onnx`, `torch` ...
    pub format: String,
    /// The operator domain or namespace; empty for the format's standard one.
    pub domain: String,
    /// The operator's name.
    pub name: String,
    /// The overload, where the format has such.
    pub overload: String,
    /// The version of the domain that the op was read at; 0 when it has none.
    pub version: i64,
    /// The attributes by name.
    pub attributes: BTreeMap<String, Attr>,
}

impl SourceOp {
    /// Domain and name, for people.
    pub fn full_name(&self) -> String {
        match self.domain.as_str() {
            "" => self.name.clone(),
            domain => format!("{domain}::{}", self.name),
        }
    }
    fn to_map(&self) -> BTreeMap<String, Attr> {
        let text = |s: &str| Attr::Str(s.to_owned());
        BTreeMap::from([
            ("format".to_owned(), text(&self.format)),
            ("domain".to_owned(), text(&self.domain)),
            ("name".to_owned(), text(&self.name)),
            ("overload".to_owned(), text(&self.overload)),
            ("version".to_owned(), Attr::Int(self.version)),
            ("attributes".to_owned(), Attr::Map(self.attributes.clone())),
        ])
    }
    fn from_map(mut map: BTreeMap<String, Attr>) -> Option<Self> {
        fn text(map: &mut BTreeMap<String, Attr>, key: &str) -> Option<String> {
            match map.remove(key)? {
                Attr::Str(s) => Some(s),
                _ => None,
            }
        }
        let source = Self {
            format: text(&mut map, "format")?,
            domain: text(&mut map, "domain")?,
            name: text(&mut map, "name")?,
            overload: text(&mut map, "overload")?,
            version: i64::from_attr(map.remove("version")?)?,
            attributes: match map.remove("attributes")? {
                Attr::Map(m) => m,
                _ => return None,
            },
        };
        map.is_empty().then_some(source)
    }
}
