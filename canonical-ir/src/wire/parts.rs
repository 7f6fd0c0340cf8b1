//! Sizes, types and attributes.

use std::collections::BTreeMap;

use airconv_schema as schema;
use airconv_schema::program as w;

use super::{WireError, range};
use crate::attr::{Attr, Float};
use crate::dim::{Atom, Dim, MAX_DEPTH, MAX_NODES, MAX_TERMS};
use crate::dtype::DType;
use crate::entity::{FuncId, RegionId, SymbolId, TensorId};
use crate::types::{TensorType, Type};

/// Deepest nesting of attributes or types. The format's own limit is on everything
/// together, and lower; this one guards the stack.
const MAX_NESTING: u32 = 128;

/// The sizes of the tables that sizes, types and attributes refer to.
pub(super) struct Counts {
    pub(super) functions: usize,
    pub(super) tensors: usize,
    pub(super) symbols: usize,
    pub(super) regions: usize,
}

type At<'a> = &'a dyn Fn() -> String;

/// C-304.
pub(super) fn dtype(name: &str) -> Result<DType, WireError> {
    name.parse().map_err(|_| WireError::UnknownDType(name.to_owned()))
}

fn dims_to_wire(dims: &[Dim]) -> Vec<w::Dim> {
    dims.iter().map(dim_to_wire).collect()
}

/// The nesting of sizes is bounded by [`MAX_DEPTH`].
fn dim_to_wire(dim: &Dim) -> w::Dim {
    let expr = match dim {
        Dim::Known(k) => return w::Dim::Known(*k),
        Dim::Any => return w::Dim::Any,
        Dim::Expr(expr) => expr,
    };
    let pair = |a: &Dim, b: &Dim| (dim_to_wire(a), dim_to_wire(b));
    let atom = |atom: &Atom| match atom {
        Atom::Symbol(s) => w::Atom::Symbol(s.0),
        Atom::FloorDiv(a, b) => w::Atom::FloorDiv(pair(a, b)),
        Atom::CeilDiv(a, b) => w::Atom::CeilDiv(pair(a, b)),
        Atom::Mod(a, b) => w::Atom::Mod(pair(a, b)),
        Atom::Min(list) => w::Atom::Min(dims_to_wire(list)),
        Atom::Max(list) => w::Atom::Max(dims_to_wire(list)),
        Atom::Broadcast(list) => w::Atom::Broadcast(dims_to_wire(list)),
    };
    let term = |t: &crate::dim::Term| w::Term {
        coeff: t.coeff(),
        atoms: t.atoms().iter().map(atom).collect(),
    };
    w::Dim::Sum(expr.terms().iter().map(term).collect())
}

/// Computes a size anew, so that a file may hold any form of it: what is canonical may
/// change from version to version.
fn dim_from_wire(
    dim: &w::Dim,
    counts: &Counts,
    depth: usize,
    at: At<'_>,
) -> Result<Dim, WireError> {
    let terms = match dim {
        w::Dim::Known(k) => return Ok(Dim::Known(*k)),
        w::Dim::Any => return Ok(Dim::Any),
        w::Dim::Sum(terms) => terms,
    };
    // C-308
    let over = || WireError::Dim { at: at() };
    if depth > MAX_DEPTH || terms.len() > MAX_TERMS {
        return Err(over());
    }
    let inner = |d: &w::Dim| dim_from_wire(d, counts, depth + 1, at);
    let list = |ds: &[w::Dim]| match ds.len() > MAX_NODES {
        true => Err(over()),
        false => ds.iter().map(inner).collect::<Result<Vec<Dim>, _>>(),
    };
    let mut sum = Dim::Known(0);
    for term in terms {
        let mut product = Dim::Known(term.coeff);
        if term.atoms.len() > MAX_NODES {
            return Err(over());
        }
        for atom in &term.atoms {
            let factor = match atom {
                w::Atom::Symbol(s) => {
                    range(at, "symbol", *s, counts.symbols)?;
                    Dim::symbol(SymbolId(*s))
                }
                w::Atom::FloorDiv((a, b)) => inner(a)?.floor_div(&inner(b)?),
                w::Atom::CeilDiv((a, b)) => inner(a)?.ceil_div(&inner(b)?),
                w::Atom::Mod((a, b)) => inner(a)?.rem(&inner(b)?),
                w::Atom::Min(ds) => Dim::min_all(list(ds)?),
                w::Atom::Max(ds) => Dim::max_all(list(ds)?),
                w::Atom::Broadcast(ds) => Dim::broadcast_all(list(ds)?),
            };
            product = product.mul(&factor);
        }
        sum = sum.add(&product);
        if sum.is_any() {
            return Err(over());
        }
    }
    Ok(sum)
}

fn dims_from_wire(dims: &[w::Dim], counts: &Counts, at: At<'_>) -> Result<Vec<Dim>, WireError> {
    dims.iter().map(|d| dim_from_wire(d, counts, 0, at)).collect()
}

/// `None` when it is nested too deeply.
pub(super) fn type_to_wire(ty: &Type, depth: u32) -> Option<w::Type> {
    if depth > MAX_NESTING {
        return None;
    }
    let inner = |t: &Type| type_to_wire(t, depth + 1).map(Box::new);
    Some(match ty {
        Type::Tensor(t) => w::Type::Tensor(w::TensorType {
            dtype: t.dtype.name().to_owned(),
            shape: dims_to_wire(&t.shape),
        }),
        Type::Unranked(d) => w::Type::Unranked(d.name().to_owned()),
        Type::Sequence(t) => w::Type::Sequence(inner(t)?),
        Type::Optional(t) => w::Type::Optional(inner(t)?),
        Type::Map(key, t) => {
            w::Type::Map(w::MapType { key: key.name().to_owned(), value: inner(t)? })
        }
        Type::Unknown => w::Type::Unknown,
    })
}

pub(super) fn type_from_wire(
    ty: &w::Type,
    counts: &Counts,
    depth: u32,
    at: At<'_>,
) -> Result<Type, WireError> {
    if depth > MAX_NESTING {
        return Err(WireError::TooDeep { at: at() });
    }
    let inner = |t: &w::Type| type_from_wire(t, counts, depth + 1, at).map(Box::new);
    Ok(match ty {
        w::Type::Tensor(t) => {
            Type::Tensor(TensorType::new(dtype(&t.dtype)?, dims_from_wire(&t.shape, counts, at)?))
        }
        w::Type::Unranked(d) => Type::Unranked(dtype(d)?),
        w::Type::Sequence(t) => Type::Sequence(inner(t)?),
        w::Type::Optional(t) => Type::Optional(inner(t)?),
        w::Type::Map(m) => Type::Map(dtype(&m.key)?, inner(&m.value)?),
        w::Type::Unknown => Type::Unknown,
    })
}

/// `None` when it is nested too deeply.
pub(super) fn attr_to_wire(attr: &Attr, depth: u32) -> Option<w::Attr> {
    if depth > MAX_NESTING {
        return None;
    }
    let inner = |a: &Attr| attr_to_wire(a, depth + 1);
    Some(match attr {
        Attr::Bool(v) => w::Attr::Bool(*v),
        Attr::Int(v) => w::Attr::Int(*v),
        Attr::Float(v) => w::Attr::Float(v.0),
        Attr::Str(v) => w::Attr::Str(v.clone()),
        Attr::Bytes(v) => w::Attr::Bytes(schema::Bin(v.clone())),
        Attr::DType(v) => w::Attr::DType(v.name().to_owned()),
        Attr::Dim(v) => w::Attr::Dim(dim_to_wire(v)),
        Attr::Type(v) => w::Attr::Type(type_to_wire(v, 0)?),
        Attr::Tensor(v) => w::Attr::Tensor(v.0),
        Attr::Region(v) => w::Attr::Region(v.0),
        Attr::Func(v) => w::Attr::Func(v.0),
        Attr::Ints(v) => w::Attr::Ints(v.clone()),
        Attr::Floats(v) => w::Attr::Floats(v.iter().map(|x| x.0).collect()),
        Attr::Strs(v) => w::Attr::Strs(v.clone()),
        Attr::Dims(v) => w::Attr::Dims(dims_to_wire(v)),
        Attr::List(v) => w::Attr::List(v.iter().map(inner).collect::<Option<_>>()?),
        Attr::Map(v) => {
            let entries = v.iter().map(|(k, a)| Some((k.clone(), inner(a)?)));
            w::Attr::Map(schema::Named(entries.collect::<Option<_>>()?))
        }
    })
}

pub(super) fn attr_from_wire(
    attr: w::Attr,
    counts: &Counts,
    depth: u32,
    at: At<'_>,
) -> Result<Attr, WireError> {
    if depth > MAX_NESTING {
        return Err(WireError::TooDeep { at: at() });
    }
    let inner = |a: w::Attr| attr_from_wire(a, counts, depth + 1, at);
    Ok(match attr {
        w::Attr::Bool(v) => Attr::Bool(v),
        w::Attr::Int(v) => Attr::Int(v),
        w::Attr::Float(v) => Attr::Float(Float(v)),
        w::Attr::Str(v) => Attr::Str(v),
        w::Attr::Bytes(v) => Attr::Bytes(v.0),
        w::Attr::DType(v) => Attr::DType(dtype(&v)?),
        w::Attr::Dim(v) => Attr::Dim(dim_from_wire(&v, counts, 0, at)?),
        w::Attr::Type(v) => Attr::Type(type_from_wire(&v, counts, 0, at)?),
        w::Attr::Tensor(v) => {
            range(at, "tensor", v, counts.tensors)?;
            Attr::Tensor(TensorId(v))
        }
        w::Attr::Region(v) => {
            range(at, "region", v, counts.regions)?;
            Attr::Region(RegionId(v))
        }
        w::Attr::Func(v) => {
            range(at, "function", v, counts.functions)?;
            Attr::Func(FuncId(v))
        }
        w::Attr::Ints(v) => Attr::Ints(v),
        w::Attr::Floats(v) => Attr::Floats(v.into_iter().map(Float).collect()),
        w::Attr::Strs(v) => Attr::Strs(v),
        w::Attr::Dims(v) => Attr::Dims(dims_from_wire(&v, counts, at)?),
        w::Attr::List(v) => Attr::List(v.into_iter().map(inner).collect::<Result<_, _>>()?),
        w::Attr::Map(v) => {
            let entries = v.0.into_iter().map(|(k, a)| Ok((k, inner(a)?)));
            Attr::Map(entries.collect::<Result<BTreeMap<_, _>, WireError>>()?)
        }
    })
}
