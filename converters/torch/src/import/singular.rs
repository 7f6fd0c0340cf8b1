//! Reading rules of what follows from singular values and from the eigenvalues of symmetric
//! matrices, for matrices of known, small size.
//!
//! Singular values by Hestenes' one-sided Jacobi method: pairs of columns are rotated until all
//! are orthogonal; their lengths are the singular values then. The vectors themselves, which are
//! determined up to a sign at best, are not given.

use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Gather, IntRounding, OpKind, ReduceKind, Rem, Trilu};

use super::arg::{Arg, Returns};
use super::call::{CallCx, Stop};
use super::factor::known_sizes;
use super::formula::{number, value, when};
use super::index::cut;
use super::linalg::{times, transposed};
use super::order::in_order;
use super::reduce::norm_along;
use super::repeat::{Next, Turn, repeated};
use super::rules::{ImportRule, Outcome};

const MAKES: &[OpKind] = &[OpKind::Loop, OpKind::Matmul, OpKind::Select, OpKind::TopK];

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_linalg_eigh", MAKES, eigh),
    ImportRule::new("aten::_linalg_svd", MAKES, svd),
    ImportRule::new("aten::linalg_cond", MAKES, cond),
    ImportRule::new("aten::linalg_eigh", MAKES, eigh),
    ImportRule::new("aten::linalg_eigvalsh", MAKES, eigvalsh),
    ImportRule::new("aten::linalg_matrix_rank", MAKES, matrix_rank),
    ImportRule::new("aten::linalg_pinv", MAKES, pinv),
    ImportRule::new("aten::linalg_svd", MAKES, svd),
    ImportRule::new("aten::linalg_svdvals", MAKES, svdvals),
    ImportRule::new("aten::pinverse", MAKES, pinv),
    ImportRule::new("aten::svd", MAKES, svd),
];

/// How often every pair is rotated; convergence is quadratic.
const SWEEPS: i64 = 12;
/// The most columns.
const MOST_COLUMNS: i64 = 32;

/// A and V with A V orthogonal: [A V; V] in f64, where A has no fewer rows than columns.
struct Orthogonal {
    /// A V.
    product: ValueId,
    /// V.
    turned: ValueId,
}

fn orthogonal_columns(cx: &mut CallCx<'_>, a: ValueId) -> Result<Orthogonal, Stop> {
    let [m, n] = known_sizes(cx, a)?;
    if n > MOST_COLUMNS {
        return cx.unsupported(format!("singular values of {n} columns"));
    }
    let shape = cx.shape(a)?;
    let rank = shape.len();
    let mut square = shape.to_vec();
    square[rank - 2] = n.into();
    let one = super::create::identity(cx, &[n.into(), n.into()], DType::F64)?;
    let one = cx.broadcast_to(one, &square)?;
    let wide = cx.cast(a, DType::F64)?;
    let pairs = (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q)));
    let (first, second): (Vec<i64>, Vec<i64>) = pairs.unzip();
    if first.is_empty() {
        return Ok(Orthogonal { product: wide, turned: one });
    }
    let both = cx.b().concat(&[wide, one], rank - 2)?;
    let count = cx.b().scalar_int(DType::I64, SWEEPS * first.len() as i64)?;
    let (first, second) = (cx.b().ints(&first)?, cx.b().ints(&second)?);
    let last =
        repeated(cx, Some(count), &[both], &[first, second], |cx, turn| rotated(cx, &turn, m))?;
    let both = last.first().copied().unwrap_or(both);
    let product = cut(cx, both, rank - 2, [0.into(), m.into()], 1)?;
    let turned = cut(cx, both, rank - 2, [m.into(), (m + n).into()], 1)?;
    Ok(Orthogonal { product, turned })
}

/// One rotation: two columns become orthogonal as far as their first m elements go.
fn rotated(cx: &mut CallCx<'_>, turn: &Turn<'_>, m: i64) -> Result<Next, Stop> {
    let (&[x], &[first, second]) = (turn.state, turn.fixed) else {
        return cx.invalid("one value is carried and two are fixed");
    };
    let rank = cx.rank(x)?;
    let pairs = cx.size(first, 0)?;
    let pairs = cx.b().dim_scalar(&pairs)?;
    let at = cx.emit(Rem { rounding: IntRounding::Floor }, &[turn.number, pairs])?;
    let size = cx.size(x, rank - 1)?;
    let numbers = cx.b().iota(DType::I64, size)?;
    let mut marks = Vec::with_capacity(2);
    let mut columns = Vec::with_capacity(2);
    for table in [first, second] {
        let number = cx.emit(Gather { axis: 0 }, &[table, at])?;
        let mark = cx.b().equal(numbers, number)?;
        let mark = cx.cast(mark, DType::F64)?;
        let picked = cx.formula(&(value(x) * value(mark)), DType::F64)?;
        columns.push(cx.b().reduce(ReduceKind::Sum, picked, &[rank - 1], true)?);
        marks.push(value(mark));
    }
    let (p, q) = (columns[0], columns[1]);
    let mut dot = |a: ValueId, b: ValueId| -> Result<ValueId, Stop> {
        let product = cx.b().mul(a, b)?;
        let product = cut(cx, product, rank - 2, [0.into(), m.into()], 1)?;
        Ok(cx.b().reduce(ReduceKind::Sum, product, &[rank - 2], true)?)
    };
    let (pp, qq, pq) = (value(dot(p, p)?), value(dot(q, q)?), value(dot(p, q)?));
    let done = pq.eq(0.0);
    let ratio = (&qq - &pp) / when(&done, 1.0, &pq * 2.0);
    let sign = when(&ratio.lt(0.0), -1.0, 1.0);
    let tangent = sign / (ratio.abs() + (ratio.squared() + 1.0).sqrt());
    let tangent = when(&done, 0.0, tangent);
    let cosine = (tangent.squared() + 1.0).sqrt().inverse();
    let sine = &cosine * &tangent;
    let (p, q) = (value(p), value(q));
    let new_p = &cosine * &p - &sine * &q;
    let new_q = &sine * &p + &cosine * &q;
    let moved = (new_p - p) * &marks[0] + (new_q - q) * &marks[1];
    let next = cx.formula(&(value(x) + moved), DType::F64)?;
    Ok(Next { again: None, state: vec![next] })
}

/// The matrix with no fewer rows than columns: itself, or its transpose.
fn upright(cx: &mut CallCx<'_>, a: ValueId) -> Result<(ValueId, bool), Stop> {
    let [m, n] = known_sizes(cx, a)?;
    Ok(if m < n { (transposed(cx, a)?, true) } else { (a, false) })
}

/// The singular values in f64, the greatest first.
pub(super) fn singular_values(cx: &mut CallCx<'_>, a: ValueId) -> Result<ValueId, Stop> {
    let (a, _) = upright(cx, a)?;
    let product = orthogonal_columns(cx, a)?.product;
    let rank = cx.rank(product)?;
    let lengths = norm_along(cx, product, 2.0, &[rank - 2], false)?;
    Ok(in_order(cx, lengths, rank - 2, true)?[0])
}

/// `linalg_svdvals`.
fn svdvals(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["driver"]);
    let a = cx.tensor("A")?;
    let dtype = cx.dtype(a)?;
    let values = singular_values(cx, a)?;
    Ok(cx.cast(values, dtype)?.into())
}

/// `svd`, `linalg_svd`, `_linalg_svd`, if the vectors are not used.
fn svd(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["driver", "full_matrices", "some", "compute_uv"]);
    if cx.wants(0) || cx.wants(2) {
        return cx.unsupported("singular vectors, which are determined up to a sign only");
    }
    let a = if cx.has("A") { cx.tensor("A")? } else { cx.tensor("self")? };
    let dtype = cx.dtype(a)?;
    let values = singular_values(cx, a)?;
    let values = cx.cast(values, dtype)?;
    Ok(Returns(vec![Arg::None, values.into(), Arg::None]))
}

// Eigenvalues of symmetric matrices.

/// The eigenvalues of the symmetric matrix of one triangle, the least first. A multiple of the
/// identity makes all of them positive first, where they are the singular values.
fn symmetric_values(cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
    let a = if cx.has("A") { cx.tensor("A")? } else { cx.tensor("self")? };
    let dtype = cx.dtype(a)?;
    let upper = matches!(&*cx.string("UPLO")?, "U" | "u");
    let [m, n] = known_sizes(cx, a)?;
    if m != n {
        return cx.invalid("a square matrix is needed");
    }
    let rank = cx.rank(a)?;
    let wide = cx.cast(a, DType::F64)?;
    let whole = symmetric(cx, wide, upper)?;
    let shift = norm_along(cx, whole, 2.0, &[rank - 2, rank - 1], true)?;
    let one = super::create::identity(cx, &[n.into(), n.into()], DType::F64)?;
    let moved = cx.formula(&(value(whole) + value(shift) * value(one)), DType::F64)?;
    let values = singular_values(cx, moved)?;
    let shift = cx.b().squeeze(shift, &[rank - 1])?;
    let values = cx.formula(&(value(values) - value(shift)), DType::F64)?;
    let values = in_order(cx, values, rank - 2, false)?[0];
    cx.cast(values, dtype)
}

/// `linalg_eigvalsh`.
fn eigvalsh(cx: &mut CallCx<'_>) -> Outcome {
    Ok(symmetric_values(cx)?.into())
}

/// `linalg_eigh`, `_linalg_eigh`, if the vectors are not used.
fn eigh(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["compute_v"]);
    if cx.wants(1) {
        return cx.unsupported("eigenvectors, which are determined up to a sign only");
    }
    let values = symmetric_values(cx)?;
    Ok(Returns(vec![values.into(), Arg::None]))
}

// What follows from singular values.

/// A bound that is a number or a tensor, as f64 with an axis behind; `None` if it is not given.
fn bound(cx: &mut CallCx<'_>, name: &str) -> Result<Option<ValueId>, Stop> {
    if !cx.has(name) {
        return Ok(None);
    }
    let Some(bound) = cx.opt_tensor(name)? else { return Ok(None) };
    let bound = cx.cast(bound, DType::F64)?;
    let rank = cx.rank(bound)?;
    Ok(Some(cx.b().unsqueeze(bound, &[rank])?))
}

/// Below which singular values count as zero: the greater of an absolute bound and one that is
/// relative to the greatest. `values` has the greatest first.
fn least_counted(
    cx: &mut CallCx<'_>,
    a: ValueId,
    values: ValueId,
) -> Result<super::formula::Formula, Stop> {
    let rank = cx.rank(values)?;
    if let Some(absolute) = bound(cx, "tol")? {
        return Ok(value(absolute));
    }
    let top = cut(cx, values, rank - 1, [0.into(), 1.into()], 1)?;
    if let Some(relative) = bound(cx, "rcond")? {
        return Ok(value(relative) * value(top));
    }
    let [m, n] = known_sizes(cx, a)?;
    let epsilon = if cx.dtype(a)? == DType::F64 { f64::EPSILON } else { f32::EPSILON.into() };
    let usual = number(epsilon * m.max(n) as f64);
    let absolute = bound(cx, "atol")?;
    let relative = match (bound(cx, "rtol")?, absolute) {
        (Some(relative), _) => value(relative),
        (None, Some(absolute)) => when(&value(absolute).gt(0.0), 0.0, usual),
        (None, None) => usual,
    };
    let absolute = absolute.map_or(number(0.0), value);
    Ok(absolute.max(relative * value(top)))
}

/// The matrix. Of one that is said to be symmetric the lower triangle counts, and the magnitudes
/// of the eigenvalues are the singular values.
fn operand(cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
    // Bounds have no bearing on a matrix without elements.
    cx.ignore(&["tol", "rcond", "atol", "rtol"]);
    let a = if cx.has("input") { cx.tensor("input")? } else { cx.tensor("self")? };
    match cx.has("hermitian") && cx.bool("hermitian")? {
        true => symmetric(cx, a, false),
        false => Ok(a),
    }
}

/// The symmetric matrix of one triangle.
fn symmetric(cx: &mut CallCx<'_>, a: ValueId, upper: bool) -> Result<ValueId, Stop> {
    super::math::real_only(cx, a)?;
    let half = cx.emit(Trilu { upper, k: 0.into() }, &[a])?;
    let k = if upper { 1 } else { -1 };
    let strict = cx.emit(Trilu { upper, k: k.into() }, &[a])?;
    let strict = transposed(cx, strict)?;
    Ok(cx.b().add(half, strict)?)
}

/// `linalg_matrix_rank`: how many singular values count.
fn matrix_rank(cx: &mut CallCx<'_>) -> Outcome {
    let a = operand(cx)?;
    if super::index::is_empty(cx, a)? {
        let shape = cx.shape(a)?;
        let none = super::promote::Number::Int(0.into());
        return Ok(super::shape::filled(cx, &shape[..shape.len() - 2], &none, DType::I64)?.into());
    }
    let values = singular_values(cx, a)?;
    let least = least_counted(cx, a, values)?;
    let counted = cx.formula(&value(values).gt(least), DType::F64)?;
    let counted = cx.cast(counted, DType::I64)?;
    let last = cx.rank(counted)? - 1;
    Ok(cx.b().reduce(ReduceKind::Sum, counted, &[last], false)?.into())
}

/// `linalg_pinv`, `pinverse`: with A V = B of orthogonal columns, V B' over the squares of their
/// lengths, where these count.
fn pinv(cx: &mut CallCx<'_>) -> Outcome {
    let a = operand(cx)?;
    if super::index::is_empty(cx, a)? {
        return Ok(transposed(cx, a)?.into());
    }
    let dtype = cx.dtype(a)?;
    let (tall, turned) = upright(cx, a)?;
    let found = orthogonal_columns(cx, tall)?;
    let rank = cx.rank(tall)?;
    let lengths = norm_along(cx, found.product, 2.0, &[rank - 2], true)?;
    let ordered = cx.b().squeeze(lengths, &[rank - 2])?;
    let ordered = in_order(cx, ordered, rank - 2, true)?[0];
    let least = least_counted(cx, a, ordered)?;
    let least = cx.formula(&least, DType::F64)?;
    let axis = cx.rank(least)?.saturating_sub(1);
    let least = cx.b().unsqueeze(least, &[axis])?;
    let counts = value(lengths).gt(value(least));
    let square = value(lengths).squared();
    let inverse = when(&counts, when(&counts, square, 1.0).inverse(), 0.0);
    let scaled = cx.formula(&(value(found.turned) * inverse), DType::F64)?;
    let across = transposed(cx, found.product)?;
    let y = times(cx, scaled, across)?;
    let y = if turned { transposed(cx, y)? } else { y };
    Ok(cx.cast(y, dtype)?.into())
}

/// `linalg_cond` in the norm 2 or -2: the ratio of the extreme singular values.
fn cond(cx: &mut CallCx<'_>) -> Outcome {
    let a = cx.tensor("self")?;
    let inverse = match cx.arg("p")? {
        Arg::None => false,
        Arg::Str(name) => return cx.unsupported(format!("the condition in the norm `{name}`")),
        _ => match cx.float("p")? {
            2.0 => false,
            -2.0 => true,
            other => return cx.unsupported(format!("the condition in the norm {other}")),
        },
    };
    let dtype = cx.dtype(a)?;
    let values = singular_values(cx, a)?;
    let last = cx.rank(values)? - 1;
    let top = cut(cx, values, last, [0.into(), 1.into()], 1)?;
    let bottom = cut(cx, values, last, [(-1).into(), i64::MAX.into()], 1)?;
    let (top, bottom) = if inverse { (bottom, top) } else { (top, bottom) };
    let ratio = cx.b().div(top, bottom)?;
    let ratio = cx.b().squeeze(ratio, &[last])?;
    Ok(cx.cast(ratio, dtype)?.into())
}
