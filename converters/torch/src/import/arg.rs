//! Arguments and results of operator calls.

use std::sync::Arc;

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;

use crate::common::schema::{Param, Ty};

/// An argument or a result of an operator call, in terms of the hub.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arg<T = ValueId> {
    /// Nothing.
    None,
    /// A tensor.
    Tensor(T),
    /// An integer, possibly symbolic.
    Int(Dim),
    /// A float.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A complex number.
    Complex(f64, f64),
    /// A number that only a run can tell: a tensor of rank 0, i64, f64 or bool.
    Number(T),
    /// A string.
    Str(Arc<str>),
    /// A dtype.
    DType(DType),
    /// A device, layout or memory format: where and how elements are stored.
    Placement,
    /// A memory format in which channels are last.
    ChannelsLast,
    /// A list or tuple.
    List(Vec<Arg<T>>),
}

impl<T> Arg<T> {
    /// What kind of thing it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Tensor(_) => "a tensor",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a truth value",
            Self::Complex(..) => "a complex number",
            Self::Number(_) => "a number known at run time",
            Self::Str(_) => "a string",
            Self::DType(_) => "a dtype",
            Self::Placement => "a device or layout",
            Self::ChannelsLast => "a memory format",
            Self::List(_) => "a list",
        }
    }
    /// The integer, if it is one and known.
    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(dim) => dim.as_known(),
            Self::Bool(b) => Some((*b).into()),
            _ => None,
        }
    }

    /// The same with tensors converted.
    pub(crate) fn map<U, E>(&self, f: &mut dyn FnMut(&T) -> Result<U, E>) -> Result<Arg<U>, E> {
        Ok(match self {
            Self::None => Arg::None,
            Self::Tensor(t) => Arg::Tensor(f(t)?),
            Self::Int(dim) => Arg::Int(dim.clone()),
            Self::Float(v) => Arg::Float(*v),
            Self::Bool(b) => Arg::Bool(*b),
            Self::Complex(re, im) => Arg::Complex(*re, *im),
            Self::Number(t) => Arg::Number(f(t)?),
            Self::Str(text) => Arg::Str(text.clone()),
            Self::DType(dtype) => Arg::DType(*dtype),
            Self::Placement => Arg::Placement,
            Self::ChannelsLast => Arg::ChannelsLast,
            Self::List(items) => {
                Arg::List(items.iter().map(|i| i.map(f)).collect::<Result<_, _>>()?)
            }
        })
    }

    /// The default of a parameter; `None` if it has none or it is not understood.
    pub(crate) fn default_of(param: &Param) -> Option<Self> {
        let text = param.default.as_deref()?;
        let (ty, _) = strip_optional(&param.ty);
        if let (Ty::List(_, Some(count)), Self::Int(n)) = (ty, Self::literal(text, ty)?) {
            return Some(Self::List((0..*count).map(|_| Self::Int(n.clone())).collect()));
        }
        Self::literal(text, ty)
    }

    /// A literal of the schema notation.
    fn literal(text: &str, ty: &Ty) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']')?;
            let items = inner.split(',').map(str::trim).filter(|s| !s.is_empty());
            let element = match ty {
                Ty::List(element, _) => element,
                other => other,
            };
            return items.map(|s| Self::literal(s, element)).collect::<Option<_>>().map(Self::List);
        }
        Some(match (text, ty) {
            ("None", _) => Self::None,
            ("True", _) => Self::Bool(true),
            ("False", _) => Self::Bool(false),
            (_, Ty::MemoryFormat | Ty::Layout | Ty::Device) => Self::Placement,
            (quoted, _) if quoted.starts_with('"') => Self::Str(quoted.trim_matches('"').into()),
            ("Mean", _) => Self::Int(1.into()),
            ("contiguous_format", _) => Self::Placement,
            (number, Ty::Float) => Self::Float(number.parse().ok()?),
            (number, _) => match number.parse::<i64>() {
                Ok(n) => Self::Int(n.into()),
                Err(_) => Self::Float(number.parse().ok()?),
            },
        })
    }
}

/// A type without its option, and whether there was one.
pub(crate) fn strip_optional(ty: &Ty) -> (&Ty, bool) {
    match ty {
        Ty::Optional(inner) => (inner, true),
        other => (other, false),
    }
}

impl From<ValueId> for Arg {
    fn from(value: ValueId) -> Self {
        Self::Tensor(value)
    }
}

/// What a rule gives: one item per result of the schema.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Returns(pub Vec<Arg>);

impl From<ValueId> for Returns {
    fn from(value: ValueId) -> Self {
        Self(vec![value.into()])
    }
}

impl From<Arg> for Returns {
    fn from(arg: Arg) -> Self {
        Self(vec![arg])
    }
}

/// A list of tensors as the one result.
impl From<Vec<ValueId>> for Returns {
    fn from(values: Vec<ValueId>) -> Self {
        Self(vec![Arg::List(values.into_iter().map(Arg::Tensor).collect())])
    }
}

/// Several tensors as the results.
impl<const N: usize> From<[ValueId; N]> for Returns {
    fn from(values: [ValueId; N]) -> Self {
        Self(values.into_iter().map(Arg::Tensor).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::schema::schemas;

    #[test]
    fn every_default_is_understood() {
        for schema in schemas().iter() {
            for param in schema.params.iter().filter(|p| p.default.is_some()) {
                assert!(
                    <Arg>::default_of(param).is_some(),
                    "{}: {} = {:?}",
                    schema.display_name(),
                    param.name,
                    param.default
                );
            }
        }
    }

    #[test]
    fn a_number_stands_for_a_list() {
        let pool = schemas().find("aten::max_pool2d", "").unwrap();
        let of = |name: &str| -> Arg {
            Arg::default_of(&pool.params[pool.position(name).unwrap()]).unwrap()
        };
        assert_eq!(of("padding"), Arg::List(vec![Arg::Int(0.into()), Arg::Int(0.into())]));
        assert_eq!(of("stride"), Arg::List(vec![]));
        assert_eq!(of("ceil_mode"), Arg::Bool(false));
    }
}
