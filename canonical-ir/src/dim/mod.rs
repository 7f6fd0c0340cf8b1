//! Symbolic integer sizes.
//!
//! A [`Dim`] is a signed 64-bit integer that is known, or an expression over symbols, or not known
//! at all. Expressions are kept in a canonical form: a polynomial with integer coefficients whose
//! variables are [`Atom`]s (symbols, and functions that no polynomial expresses). Two sizes that
//! the canonical form identifies, such as `2*n + n` and `3*n`, compare equal with `==`.
//!
//! # What an expression means
//!
//! An expression is a partial function of its symbols. It has no value where it divides by zero,
//! where a broadcast meets two different sizes of which neither is 1, or where the value does not
//! fit an `i64`. Every rewrite keeps the value wherever the expression as written has one; the
//! canonical form may have a value at more places (`n*m / n` is `m`, also at `n = 0`). It computes
//! in 128 bits on the way, so that another order of operations does not overflow where the written
//! one fits.
//!
//! # Limits
//!
//! All arithmetic is checked. A result that overflows, that would exceed [`MAX_TERMS`],
//! [`MAX_NODES`] or [`MAX_DEPTH`], or that has a value nowhere (`n / 0`, a broadcast of 2 and 3) is
//! [`Dim::Any`], and any operation on `Any` gives `Any`. No operation panics.

mod expr;
mod range;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::ops;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::entity::SymbolId;

pub use range::Range;
pub use text::{DimDisplay, DimParseError, parse_dim};

/// Most terms that one sum may have.
pub const MAX_TERMS: usize = 64;
/// Most nodes (terms, atoms and their arguments, counted as a tree) that an expression may have.
pub const MAX_NODES: usize = 256;
/// Deepest nesting of functions in an expression; a plain symbol has depth 1.
pub const MAX_DEPTH: usize = 32;

/// A signed 64-bit integer, symbolic or not: a size of an axis, a slice bound, a pad.
///
/// `Ord` is a structural order for sorting and maps; it says nothing about values. Because of it,
/// `a.min(b)` on two owned `Dim`s is [`Ord::min`]: write `Dim::min(&a, &b)` for the smaller value.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Dim {
    /// A known integer.
    Known(i64),
    /// An expression that holds at least one symbol, in canonical form.
    Expr(Arc<DimExpr>),
    /// Nothing is known. Legal in inference results and inside container types only.
    Any,
}

/// A canonical polynomial over [`Atom`]s that is not a constant. Only the operations of [`Dim`]
/// make values of this type.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DimExpr {
    /// Descending in monomial order, distinct monomials, no zero coefficients.
    terms: Vec<Term>,
    nodes: u32,
    depth: u32,
}

/// One summand of a [`DimExpr`]: an integer times a product of atoms.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Term {
    coeff: i64,
    /// Ascending; powers are repetitions. Empty in the constant term.
    atoms: Monomial,
}

type Monomial = SmallVec<[Atom; 2]>;

/// A factor that the polynomial form takes as a unit. An atom inside an expression is canonical: its
/// arguments are never [`Dim::Any`], and lists have two or more distinct entries in sorted order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Atom {
    /// A symbol.
    Symbol(SymbolId),
    /// The first divided by the second, rounded towards negative infinity.
    FloorDiv(Dim, Dim),
    /// The first divided by the second, rounded towards positive infinity. A known divisor is
    /// written as a floor division instead.
    CeilDiv(Dim, Dim),
    /// What floor division leaves: zero, or of the sign of the divisor.
    Mod(Dim, Dim),
    /// The smallest of the values.
    Min(Vec<Dim>),
    /// The greatest of the values.
    Max(Vec<Dim>),
    /// The one value that all those that are not 1 have, or 1.
    Broadcast(Vec<Dim>),
}

impl DimExpr {
    /// The summands, leading one first; a constant comes last.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Number of nodes of the expression as a tree.
    pub fn nodes(&self) -> usize {
        self.nodes as usize
    }

    /// Depth of the nesting of functions.
    pub fn depth(&self) -> usize {
        self.depth as usize
    }
}

impl Term {
    /// The integer factor, never zero.
    pub fn coeff(&self) -> i64 {
        self.coeff
    }

    /// The other factors in sorted order, empty in a constant; a power is a repetition.
    pub fn atoms(&self) -> &[Atom] {
        &self.atoms
    }
}

impl Atom {
    /// The arguments of a function; none for a symbol.
    pub fn args(&self) -> impl Iterator<Item = &Dim> {
        let (pair, list): ([Option<&Dim>; 2], &[Dim]) = match self {
            Atom::Symbol(_) => ([None, None], &[]),
            Atom::FloorDiv(a, b) | Atom::CeilDiv(a, b) | Atom::Mod(a, b) => {
                ([Some(a), Some(b)], &[])
            }
            Atom::Min(v) | Atom::Max(v) | Atom::Broadcast(v) => ([None, None], v),
        };
        pair.into_iter().flatten().chain(list)
    }

    fn eval(&self, env: &dyn Fn(SymbolId) -> Option<i64>) -> Option<i128> {
        let mut list = self.args().map(|d| d.eval_wide(env));
        match self {
            Atom::Symbol(s) => env(*s).map(i128::from),
            Atom::FloorDiv(..) => floor_div(list.next()??, list.next()??),
            Atom::CeilDiv(..) => {
                floor_div(list.next()??.checked_neg()?, list.next()??)?.checked_neg()
            }
            Atom::Mod(..) => {
                let (a, b) = (list.next()??, list.next()??);
                a.checked_sub(floor_div(a, b)?.checked_mul(b)?)
            }
            Atom::Min(_) => list.try_fold(i128::MAX, |acc, x| Some(acc.min(x?))),
            Atom::Max(_) => list.try_fold(i128::MIN, |acc, x| Some(acc.max(x?))),
            Atom::Broadcast(_) => list.try_fold(1, |acc, x| match (acc, x?) {
                (1, x) => Some(x),
                (acc, 1) => Some(acc),
                (acc, x) => (acc == x).then_some(acc),
            }),
        }
    }

    /// Applies the function to `f` of each argument.
    fn rebuild(&self, f: &mut dyn FnMut(&Dim) -> Dim) -> Dim {
        match self {
            Atom::Symbol(s) => Dim::symbol(*s),
            Atom::FloorDiv(a, b) => f(a).floor_div(&f(b)),
            Atom::CeilDiv(a, b) => f(a).ceil_div(&f(b)),
            Atom::Mod(a, b) => f(a).rem(&f(b)),
            Atom::Min(v) => Dim::min_all(v.iter().map(f)),
            Atom::Max(v) => Dim::max_all(v.iter().map(f)),
            Atom::Broadcast(v) => Dim::broadcast_all(v.iter().map(f)),
        }
    }
}

fn floor_div(a: i128, b: i128) -> Option<i128> {
    let (q, r) = (a.checked_div(b)?, a.checked_rem(b)?);
    if r != 0 && (r < 0) != (b < 0) { q.checked_sub(1) } else { Some(q) }
}

fn floor_div_i64(a: i64, b: i64) -> Option<i64> {
    i64::try_from(floor_div(a.into(), b.into())?).ok()
}

fn ceil_div_i64(a: i64, b: i64) -> Option<i64> {
    i64::try_from(-floor_div(-i128::from(a), b.into())?).ok()
}

fn mod_i64(a: i64, b: i64) -> Option<i64> {
    let (a, b) = (i128::from(a), i128::from(b));
    i64::try_from(a - floor_div(a, b)? * b).ok()
}

impl Dim {
    /// The symbol on its own.
    pub fn symbol(id: SymbolId) -> Dim {
        Dim::from_atom(Atom::Symbol(id))
    }

    /// The integer, when it is known.
    pub fn as_known(&self) -> Option<i64> {
        match self {
            Dim::Known(k) => Some(*k),
            _ => None,
        }
    }

    /// The symbol, when this is one symbol and nothing else.
    pub fn as_symbol(&self) -> Option<SymbolId> {
        match self.bare_atom() {
            Some(Atom::Symbol(s)) => Some(*s),
            _ => None,
        }
    }

    /// Whether this is [`Dim::Any`].
    pub fn is_any(&self) -> bool {
        matches!(self, Dim::Any)
    }

    /// The value under `env`. `None` for `Any`, when a symbol has no value, and where the
    /// expression has none: division by zero, sizes that do not broadcast, overflow. What the
    /// canonical form computes on the way is checked in 128 bits, the result in 64.
    pub fn eval(&self, env: &dyn Fn(SymbolId) -> Option<i64>) -> Option<i64> {
        i64::try_from(self.eval_wide(env)?).ok()
    }

    fn eval_wide(&self, env: &dyn Fn(SymbolId) -> Option<i64>) -> Option<i128> {
        match self {
            Dim::Known(k) => Some(i128::from(*k)),
            Dim::Any => None,
            Dim::Expr(e) => {
                let mut sum = 0i128;
                for term in &e.terms {
                    let mut product = i128::from(term.coeff);
                    for atom in &term.atoms {
                        product = product.checked_mul(atom.eval(env)?)?;
                    }
                    sum = sum.checked_add(product)?;
                }
                Some(sum)
            }
        }
    }

    /// Puts `f(s)` in the place of each symbol `s`, and keeps the symbols for which `f` gives
    /// `None`. `f` is called once per occurrence. The result is canonical.
    pub fn substitute(&self, f: &mut dyn FnMut(SymbolId) -> Option<Dim>) -> Dim {
        self.map_atoms(&mut |atom| match atom {
            Atom::Symbol(s) => f(*s).unwrap_or_else(|| Dim::symbol(*s)),
            other => other.rebuild(&mut |d| d.substitute(f)),
        })
    }

    /// Calls `f` with the symbol of each occurrence, in a fixed order; a symbol may come more than
    /// once.
    pub fn symbols(&self, f: &mut impl FnMut(SymbolId)) {
        self.visit_symbols(f);
    }

    fn visit_symbols(&self, f: &mut dyn FnMut(SymbolId)) {
        let Dim::Expr(e) = self else { return };
        for atom in e.terms.iter().flat_map(|t| &t.atoms) {
            if let Atom::Symbol(s) = atom {
                f(*s);
            }
            for arg in atom.args() {
                arg.visit_symbols(f);
            }
        }
    }

    /// Solves `self == value` for the one symbol that `env` gives no value, when what is left has
    /// the form `a*s + b`. `None` when no symbol or more than one is left, when it is not linear,
    /// or when no integer solves it.
    pub fn solve_for(
        &self,
        value: i64,
        env: &dyn Fn(SymbolId) -> Option<i64>,
    ) -> Option<(SymbolId, i64)> {
        let Dim::Expr(left) = self.substitute(&mut |s| env(s).map(Dim::Known)) else { return None };
        let (linear, constant) = match &left.terms[..] {
            [linear] => (linear, 0),
            [linear, last] if last.atoms.is_empty() => (linear, last.coeff),
            _ => return None,
        };
        let [Atom::Symbol(s)] = linear.atoms[..] else { return None };
        let target = i128::from(value) - i128::from(constant);
        let by = i128::from(linear.coeff);
        if target % by != 0 {
            return None;
        }
        Some((s, i64::try_from(target / by).ok()?))
    }
}

/// Solves `expr == value` for its one unbound symbol; see [`Dim::solve_for`].
pub fn solve_for(
    expr: &Dim,
    value: i64,
    env: &dyn Fn(SymbolId) -> Option<i64>,
) -> Option<(SymbolId, i64)> {
    expr.solve_for(value, env)
}

impl From<i64> for Dim {
    fn from(value: i64) -> Dim {
        Dim::Known(value)
    }
}

impl From<SymbolId> for Dim {
    fn from(id: SymbolId) -> Dim {
        Dim::symbol(id)
    }
}

/// Writes symbols by their ids, such as `2*$3 + 1`. For people; [`Dim::display`] writes the form
/// that [`parse_dim`] reads.
impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &|f, s| write!(f, "{s}"))
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $to:ident)*) => {$(
        impl ops::$trait<&Dim> for &Dim {
            type Output = Dim;
            fn $method(self, other: &Dim) -> Dim {
                Dim::$to(self, other)
            }
        }
        impl ops::$trait<i64> for &Dim {
            type Output = Dim;
            fn $method(self, other: i64) -> Dim {
                Dim::$to(self, &Dim::Known(other))
            }
        }
        impl ops::$trait<Dim> for Dim {
            type Output = Dim;
            fn $method(self, other: Dim) -> Dim {
                Dim::$to(&self, &other)
            }
        }
    )*};
}
operators! { Add add add  Sub sub sub  Mul mul mul }

impl ops::Neg for &Dim {
    type Output = Dim;
    fn neg(self) -> Dim {
        Dim::neg(self)
    }
}

impl ops::Neg for Dim {
    type Output = Dim;
    fn neg(self) -> Dim {
        Dim::neg(&self)
    }
}

/// The sizes of the axes of an array.
pub type Shape = SmallVec<[Dim; 6]>;

/// The number of elements of an array of this shape: the product of its sizes, 1 for a scalar.
pub fn numel(shape: &[Dim]) -> Dim {
    shape.iter().fold(Dim::Known(1), |n, d| n.mul(d))
}

/// Two known sizes meet on one axis, differ, and neither is 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("axis {axis} of the result cannot be both {left} and {right}")]
pub struct BroadcastError {
    /// Axis of the result, counted from the left.
    pub axis: usize,
    /// Size in the first shape.
    pub left: i64,
    /// Size in the second shape.
    pub right: i64,
}

/// The common shape of two arrays by NumPy's rule: axes are matched from the right, missing ones
/// count as 1. Fails only where two known sizes cannot meet; what is not known becomes a broadcast
/// expression. A known size other than 1 decides its axis even against [`Dim::Any`].
pub fn broadcast_shapes(left: &[Dim], right: &[Dim]) -> Result<Shape, BroadcastError> {
    let rank = left.len().max(right.len());
    let at = |shape: &[Dim], axis: usize| {
        (axis + shape.len()).checked_sub(rank).and_then(|i| shape.get(i).cloned())
    };
    (0..rank)
        .map(|axis| {
            let (a, b) = match (at(left, axis), at(right, axis)) {
                (Some(a), Some(b)) => (a, b),
                (Some(a), None) | (None, Some(a)) => return Ok(a),
                (None, None) => return Ok(Dim::Known(1)),
            };
            match (&a, &b) {
                (Dim::Known(1), x) | (x, Dim::Known(1)) => Ok(x.clone()),
                (&Dim::Known(left), &Dim::Known(right)) if left != right => {
                    Err(BroadcastError { axis, left, right })
                }
                (k @ Dim::Known(_), _) | (_, k @ Dim::Known(_)) => Ok(k.clone()),
                (a, b) => Ok(a.broadcast(b)),
            }
        })
        .collect()
}
