//! Which overload of an operator a call means, by the types of its arguments.

use airconv_ir::dtype::{Class, DType};

use super::heap::Heap;
use super::value::Value;
use crate::common::schema::{Param, Schema, Ty, schemas};
use crate::import::arg::strip_optional;

/// A call with the overload that it means.
pub(super) struct Resolved<T> {
    pub schema: &'static Schema,
    /// By position; nothing for what is left out.
    pub args: Vec<Option<Value<T>>>,
}

/// What the search looks at besides the values.
pub(super) struct Types<'a, T> {
    pub heap: &'a Heap<T>,
    /// The dtype of a number that only a run can tell.
    pub dtype: &'a mut dyn FnMut(T) -> Option<DType>,
}

/// The overload that fits best; the first of the table where several do.
pub(super) fn resolve<T: Copy + PartialEq>(
    name: &str,
    args: &[Value<T>],
    named: &[(String, Value<T>)],
    types: &mut Types<'_, T>,
) -> Option<Resolved<T>> {
    let mut best: Option<(u32, &'static Schema)> = None;
    for schema in schemas().overloads(name) {
        if let Some(cost) = cost_of_call(schema, args, named, types)
            && best.is_none_or(|(least, _)| cost < least)
        {
            best = Some((cost, schema));
        }
    }
    let (_, schema) = best?;
    let mut placed: Vec<Option<Value<T>>> = args.iter().cloned().map(Some).collect();
    placed.resize(schema.params.len(), None);
    for (name, value) in named {
        if let Some(slot) = schema.position(name).and_then(|i| placed.get_mut(i)) {
            *slot = Some(value.clone());
        }
    }
    Some(Resolved { schema, args: placed })
}

fn cost_of_call<T: Copy + PartialEq>(
    schema: &Schema,
    args: &[Value<T>],
    named: &[(String, Value<T>)],
    types: &mut Types<'_, T>,
) -> Option<u32> {
    if args.len() > schema.params.len() {
        return None;
    }
    let mut total = 0;
    for (name, _) in named {
        // Each name is one of a parameter that is not given by position.
        schema.position(name).filter(|&i| i >= args.len())?;
    }
    for (i, param) in schema.params.iter().enumerate() {
        let by_name = named.iter().find(|(name, _)| *name == param.name).map(|(_, v)| v);
        let cost = match args.get(i).or(by_name) {
            Some(_) if i < args.len() && param.keyword_only => return None,
            Some(value) => cost(value, param, types)?,
            None if param.default.is_some() => 0,
            None => return None,
        };
        total += cost;
    }
    Some(total)
}

fn cost<T: Copy + PartialEq>(
    value: &Value<T>,
    param: &Param,
    types: &mut Types<'_, T>,
) -> Option<u32> {
    cost_of(value, &param.ty, types)
}

/// How far a value is from a type; `None` where it does not fit.
fn cost_of<T: Copy + PartialEq>(
    value: &Value<T>,
    ty: &Ty,
    types: &mut Types<'_, T>,
) -> Option<u32> {
    let (ty, optional) = strip_optional(ty);
    Some(match (ty, value) {
        (_, Value::None) => return optional.then_some(0),
        (Ty::Other(name), _) if !name.contains(['[', '(']) => 5,
        (Ty::Other(name), Value::Dict(_)) if name.starts_with("Dict") => 1,
        (Ty::Tensor, Value::Tensor(_)) => 0,
        (Ty::Tensor, Value::Number(_)) => 4,
        (Ty::Scalar, Value::Complex(..)) => 1,
        (Ty::Scalar, v) if v.is_number() => 1,
        (Ty::Scalar | Ty::Int | Ty::Float | Ty::Bool, Value::Tensor(_)) => 6,
        (Ty::Int, Value::Int(_)) | (Ty::Float, Value::Float(_)) | (Ty::Bool, Value::Bool(_)) => 0,
        (Ty::Int, Value::Bool(_)) => 3,
        (Ty::Float, Value::Int(_)) => 2,
        (Ty::Int | Ty::Float | Ty::Bool, Value::Number(t)) => {
            let class = (types.dtype)(*t)?.class();
            let want = match ty {
                Ty::Int => Class::Signed,
                Ty::Float => Class::Float,
                _ => Class::Bool,
            };
            return (class == want).then_some(0);
        }
        (Ty::Complex, Value::Complex(..)) => 0,
        (Ty::Str, Value::Str(_)) | (Ty::Device, Value::Device(_)) => 0,
        (Ty::Device, Value::Str(_)) => 1,
        (Ty::ScalarType | Ty::Layout | Ty::MemoryFormat, Value::Int(_)) => 0,
        (Ty::List(element, _), Value::List(at)) => {
            let items = types.heap.list(*at).to_vec();
            cost_of_items(&items, element, types)?
        }
        (Ty::List(element, _), Value::Tuple(items)) => 1 + cost_of_items(items, element, types)?,
        (Ty::List(element, Some(_)), single) => 2 + cost_of(single, element, types)?,
        _ => return None,
    })
}

fn cost_of_items<T: Copy + PartialEq>(
    items: &[Value<T>],
    element: &Ty,
    types: &mut Types<'_, T>,
) -> Option<u32> {
    let mut most = 0;
    for item in items {
        most = most.max(cost_of(item, element, types)?);
    }
    Some(most)
}
