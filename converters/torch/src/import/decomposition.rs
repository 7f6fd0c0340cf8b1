//! Reading rules of solving and factoring, written out for matrices of known, small size.
//!
//! The algorithms are the textbook ones, on blocks of the last two axes: Gauss-Jordan
//! elimination with row pivots, the Cholesky factorisation by columns, substitution by rows.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{ArgKind, ArgReduce, Iota, OpKind, ReduceKind};

use super::call::{CallCx, Stop};
use super::formula::{value, when, work_dtype};
use super::linalg::{block, times, transposed};
use super::promote::Number;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new(
        "aten::_linalg_solve_ex",
        &[OpKind::ArgReduce, OpKind::Select],
        solve_without_factors,
    ),
    ImportRule::new("aten::cholesky", &[OpKind::Sqrt, OpKind::Matmul], cholesky),
    ImportRule::new("aten::cholesky_inverse", &[OpKind::Matmul], cholesky_inverse),
    ImportRule::new("aten::cholesky_solve", &[OpKind::Matmul], cholesky_solve),
    ImportRule::new("aten::inverse", &[OpKind::ArgReduce, OpKind::Select], inv),
    ImportRule::new("aten::linalg_cholesky", &[OpKind::Sqrt, OpKind::Matmul], cholesky),
    ImportRule::new("aten::linalg_cholesky_ex", &[OpKind::Sqrt, OpKind::Matmul], cholesky_ex),
    ImportRule::new("aten::linalg_inv", &[OpKind::ArgReduce, OpKind::Select], inv),
    ImportRule::new("aten::linalg_inv_ex", &[OpKind::ArgReduce, OpKind::Select], inv_ex),
    ImportRule::new("aten::linalg_solve", &[OpKind::ArgReduce, OpKind::Select], solve),
    ImportRule::new("aten::linalg_solve_ex", &[OpKind::ArgReduce, OpKind::Select], solve_ex),
    ImportRule::new("aten::linalg_solve_triangular", &[OpKind::Matmul], solve_triangular),
    ImportRule::new("aten::linalg_tensorinv", &[OpKind::ArgReduce], tensorinv),
    ImportRule::new("aten::linalg_tensorsolve", &[OpKind::ArgReduce], tensorsolve),
    ImportRule::new("aten::triangular_solve", &[OpKind::Matmul], triangular_solve),
];

/// The most rows of a matrix whose factorisation is written out.
pub(super) const MOST_ROWS: i64 = 64;

/// The known size of square matrices.
fn size_of(cx: &CallCx<'_>, x: ValueId) -> Result<i64, Stop> {
    super::math::real_only(cx, x)?;
    let shape = cx.shape(x)?;
    let [.., rows, columns] = &shape[..] else { return cx.invalid("a matrix is needed") };
    match (rows.as_known(), columns.as_known()) {
        (Some(m), Some(n)) if m != n => cx.invalid("a square matrix is needed"),
        (Some(n), Some(_)) if n <= MOST_ROWS => Ok(n),
        (Some(n), _) => cx.unsupported(format!("a matrix of {n} rows")),
        _ => cx.unsupported("a matrix of unknown size"),
    }
}

/// The solution of A X = B for matrices B.
pub(super) fn eliminated(cx: &mut CallCx<'_>, a: ValueId, b: ValueId) -> Result<ValueId, Stop> {
    Ok(eliminated_with_info(cx, a, b)?.0)
}

/// The number of the first pivot for which a condition holds, counted from 1; 0 if there is none.
pub(super) fn first_bad(
    cx: &mut CallCx<'_>,
    info: ValueId,
    pivot: ValueId,
    k: i64,
    bad: fn(&super::formula::Formula) -> super::formula::Formula,
) -> Result<ValueId, Stop> {
    let shape = cx.shape(info)?;
    let pivot = cx.b().reshape(pivot, &shape)?;
    let dtype = cx.dtype(pivot)?;
    let bad = cx.formula(&bad(&value(pivot)), dtype)?;
    let found = value(info).eq(0.0).and(value(bad));
    cx.formula(&when(&found, (k + 1) as f64, value(info)), DType::I32)
}

/// The solution of A X = B for matrices B by elimination in f64, and for every matrix the number
/// of the first pivot that is zero, counted from 1; 0 if there is none.
fn eliminated_with_info(
    cx: &mut CallCx<'_>,
    a: ValueId,
    b: ValueId,
) -> Result<(ValueId, ValueId), Stop> {
    let n = size_of(cx, a)?;
    let mut info = zeros(cx, a)?;
    let dtype = cx.dtype(a)?;
    let (a, b) = (cx.cast(a, DType::F64)?, cx.cast(b, DType::F64)?);
    let (sa, sb) = (cx.shape(a)?, cx.shape(b)?);
    let lead = airconv_ir::dim::broadcast_shapes(&sa[..sa.len() - 2], &sb[..sb.len() - 2])
        .map_err(|e| Stop::Invalid(e.to_string()))?;
    let of = |tail: &[Dim]| -> Vec<Dim> { lead.iter().chain(tail).cloned().collect() };
    let (a, b) = (
        cx.broadcast_to(a, &of(&sa[sa.len() - 2..]))?,
        cx.broadcast_to(b, &of(&sb[sb.len() - 2..]))?,
    );
    let rank = lead.len() + 2;
    let (row, column) = (rank - 2, rank - 1);
    let mut m = cx.b().concat(&[a, b], column)?;
    let shape = cx.shape(m)?;
    let numbers = cx
        .emit(Iota { dtype: DType::I64, dims: of(&[n.into(), 1.into()]), axis: row as i64 }, &[])?;
    for k in 0..n {
        // The row with the greatest element of the column, among those that are left.
        let pivot_column = super::index::cut(cx, m, column, [k.into(), (k + 1).into()], 1)?;
        let at = cx.b().scalar_int(DType::I64, k)?;
        let done = cx.b().less(numbers, at)?;
        let sizes = when(&value(done), -1.0, value(pivot_column).abs());
        let sizes = cx.formula(&sizes, DType::F64)?;
        let op =
            ArgReduce { kind: ArgKind::Max, axis: row as i64, keepdims: true, select_last: false };
        let best = cx.emit(op, &[sizes])?;
        let is_best = cx.b().equal(numbers, best)?;
        let zero = cx.b().scalar(DType::F64, 0.0)?;
        let picked = cx.b().select(is_best, m, zero)?;
        let pivot_row = cx.b().reduce(ReduceKind::Sum, picked, &[row], true)?;
        // It changes places with row k, is divided by its element, and taken off the others.
        let own = super::index::cut(cx, m, row, [k.into(), (k + 1).into()], 1)?;
        let swapped = cx.b().select(is_best, own, m)?;
        let pivot = super::index::cut(cx, pivot_row, column, [k.into(), (k + 1).into()], 1)?;
        if lead[..] == sa[..sa.len() - 2] {
            info = first_bad(cx, info, pivot, k, |p| p.eq(0.0))?;
        }
        let scaled = cx.b().div(pivot_row, pivot)?;
        let factors = super::index::cut(cx, swapped, column, [k.into(), (k + 1).into()], 1)?;
        let taken = cx.b().mul(factors, scaled)?;
        let reduced = cx.b().sub(swapped, taken)?;
        let is_k = cx.b().equal(numbers, at)?;
        m = cx.b().select(is_k, scaled, reduced)?;
        m = cx.b().reshape(m, &shape)?;
    }
    let x = super::index::cut(cx, m, column, [n.into(), i64::MAX.into()], 1)?;
    Ok((cx.cast(x, dtype)?, info))
}

/// The inverse of matrices.
pub(super) fn inverse_of(cx: &mut CallCx<'_>, a: ValueId) -> Result<ValueId, Stop> {
    Ok(inverse_with_info(cx, a)?.0)
}

fn inverse_with_info(cx: &mut CallCx<'_>, a: ValueId) -> Result<(ValueId, ValueId), Stop> {
    let n = size_of(cx, a)?;
    if n == 0 {
        return Ok((a, zeros(cx, a)?));
    }
    let dtype = cx.dtype(a)?;
    let one = super::create::identity(cx, &[n.into(), n.into()], dtype)?;
    eliminated_with_info(cx, a, one)
}

fn matrix(cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
    if cx.has("A") { cx.tensor("A") } else { cx.tensor("self") }
}

/// A zero of i32 for every matrix.
fn zeros(cx: &mut CallCx<'_>, a: ValueId) -> Result<ValueId, Stop> {
    let shape = cx.shape(a)?;
    let lead = &shape[..shape.len().saturating_sub(2)];
    super::shape::filled(cx, lead, &Number::Int(0.into()), DType::I32)
}

/// `inverse`.
fn inv(cx: &mut CallCx<'_>) -> Outcome {
    let a = matrix(cx)?;
    Ok(inverse_of(cx, a)?.into())
}

/// `linalg_inv_ex`: the inverse, and whether there is one.
fn inv_ex(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["check_errors"]);
    let a = matrix(cx)?;
    let (inverse, info) = inverse_with_info(cx, a)?;
    Ok([inverse, info].into())
}

/// The solution for vectors or matrices on the right, or of X A = B, and whether there is one.
fn solution(cx: &mut CallCx<'_>) -> Result<(ValueId, ValueId), Stop> {
    let (a, b) = (cx.tensor("A")?, cx.tensor("B")?);
    let left = cx.bool("left")?;
    let (sa, sb) = (cx.shape(a)?, cx.shape(b)?);
    let vector = sb.len() == 1 || (sb.len() + 1 == sa.len() && sb[..] == sa[..sa.len() - 1]);
    if vector {
        if !left {
            return cx.invalid("vectors on the left");
        }
        let rank = sb.len();
        let column = cx.b().unsqueeze(b, &[rank])?;
        let (x, info) = eliminated_with_info(cx, a, column)?;
        let rank = cx.rank(x)?;
        return Ok((cx.b().squeeze(x, &[rank - 1])?, info));
    }
    if left {
        return eliminated_with_info(cx, a, b);
    }
    let (a, b) = (transposed(cx, a)?, transposed(cx, b)?);
    let (x, info) = eliminated_with_info(cx, a, b)?;
    Ok((transposed(cx, x)?, info))
}

/// `linalg_solve`.
fn solve(cx: &mut CallCx<'_>) -> Outcome {
    Ok(solution(cx)?.0.into())
}

/// `linalg_solve_ex`.
fn solve_ex(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["check_errors"]);
    let (x, info) = solution(cx)?;
    Ok([x, info].into())
}

/// `_linalg_solve_ex`: the solution, if the factors are not used.
fn solve_without_factors(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["check_errors"]);
    if cx.wants(1) || cx.wants(2) {
        return cx.unsupported("the factors of the matrix are used");
    }
    let (x, info) = solution(cx)?;
    let a = cx.tensor("A")?;
    let pivots = {
        let shape = cx.shape(a)?;
        super::shape::filled(cx, &shape[..shape.len() - 1], &Number::Int(0.into()), DType::I32)?
    };
    Ok([x, a, pivots, info].into())
}

/// `linalg_tensorinv`: the inverse of the matrix of the first `ind` axes against the others.
fn tensorinv(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (shape, ind) = (cx.shape(x)?, cx.int("ind")?);
    let Some((first, last)) = usize::try_from(ind).ok().and_then(|i| shape.split_at_checked(i))
    else {
        return cx.invalid("there are not that many axes");
    };
    let n = airconv_ir::dim::numel(first);
    let flat = cx.b().reshape(x, &[n.clone(), n])?;
    let y = inverse_of(cx, flat)?;
    let dims: Vec<Dim> = last.iter().chain(first).cloned().collect();
    Ok(cx.b().reshape(y, &dims)?.into())
}

/// `linalg_tensorsolve`: the tensor whose product with self is other.
fn tensorsolve(cx: &mut CallCx<'_>) -> Outcome {
    let (mut a, b) = (cx.tensor("self")?, cx.tensor("other")?);
    let rank = cx.rank(a)?;
    let moved = cx.axes("dims", rank)?;
    if !moved.is_empty() {
        let rest = (0..rank).filter(|d| !moved.contains(d));
        let perm: Vec<i64> = rest.chain(moved.iter().copied()).map(|d| d as i64).collect();
        a = super::index::permuted(cx, a, &perm)?;
    }
    let (sa, sb) = (cx.shape(a)?, cx.shape(b)?);
    let dims = sa[sb.len().min(sa.len())..].to_vec();
    let n = airconv_ir::dim::numel(&dims);
    let flat = cx.b().reshape(a, &[n.clone(), n.clone()])?;
    let column = cx.b().reshape(b, &[n, 1.into()])?;
    let x = eliminated(cx, flat, column)?;
    Ok(cx.b().reshape(x, &dims)?.into())
}

// Cholesky.

/// The lower Cholesky factor, column by column, and the number of the first pivot that is not
/// positive, counted from 1.
fn factor(cx: &mut CallCx<'_>, a: ValueId) -> Result<(ValueId, ValueId), Stop> {
    let n = size_of(cx, a)?;
    let mut info = zeros(cx, a)?;
    let (dtype, rank) = (cx.dtype(a)?, cx.rank(a)?);
    let work = work_dtype(dtype);
    let a = cx.cast(a, work)?;
    let mut done: Option<ValueId> = None;
    for k in 0..n {
        let mut column = block(cx, a, [k, n], [k, k + 1])?;
        if let Some(done) = done {
            let rest = block(cx, done, [k, n], [0, k])?;
            let row = block(cx, done, [k, k + 1], [0, k])?;
            let row = transposed(cx, row)?;
            let taken = times(cx, rest, row)?;
            column = cx.b().sub(column, taken)?;
        }
        let pivot = block(cx, column, [0, 1], [0, 1])?;
        info = first_bad(cx, info, pivot, k, |p| p.le(0.0).or(p.is_nan()))?;
        let root = cx.b().sqrt(pivot)?;
        let mut column = cx.b().div(column, root)?;
        if k > 0 {
            let mut dims = cx.shape(column)?;
            dims[rank - 2] = k.into();
            let zeros = super::shape::filled(cx, &dims, &Number::Int(0.into()), work)?;
            column = cx.b().concat(&[zeros, column], rank - 2)?;
        }
        done = Some(match done {
            Some(done) => cx.b().concat(&[done, column], rank - 1)?,
            None => column,
        });
    }
    Ok((cx.cast(done.unwrap_or(a), dtype)?, info))
}

fn upper(cx: &mut CallCx<'_>) -> Result<bool, Stop> {
    if cx.has("upper") { cx.bool("upper") } else { Ok(false) }
}

/// `cholesky`: the lower factor, or the upper one.
fn cholesky(cx: &mut CallCx<'_>) -> Outcome {
    let a = cx.tensor("self")?;
    let (l, _) = factor(cx, a)?;
    Ok(if upper(cx)? { transposed(cx, l)? } else { l }.into())
}

/// `linalg_cholesky_ex`.
fn cholesky_ex(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["check_errors"]);
    let a = cx.tensor("self")?;
    let (l, info) = factor(cx, a)?;
    let l = if upper(cx)? { transposed(cx, l)? } else { l };
    Ok([l, info].into())
}

/// The matrix that a Cholesky factor stands for.
fn product_of_factor(cx: &mut CallCx<'_>, l: ValueId, upper: bool) -> Result<ValueId, Stop> {
    let clean = airconv_ir::op::Trilu { upper, k: 0.into() };
    let l = cx.emit(clean, &[l])?;
    let other = transposed(cx, l)?;
    if upper { times(cx, other, l) } else { times(cx, l, other) }
}

/// `cholesky_inverse`: the inverse of the matrix of a factor.
fn cholesky_inverse(cx: &mut CallCx<'_>) -> Outcome {
    let (l, upper) = (cx.tensor("self")?, cx.bool("upper")?);
    super::math::real_only(cx, l)?;
    let l = cx.cast(l, DType::F64)?;
    let a = product_of_factor(cx, l, upper)?;
    let y = inverse_of(cx, a)?;
    let dtype = {
        let x = cx.tensor("self")?;
        cx.dtype(x)?
    };
    Ok(cx.cast(y, dtype)?.into())
}

/// `cholesky_solve`: the solution for the matrix of a factor.
fn cholesky_solve(cx: &mut CallCx<'_>) -> Outcome {
    let (b, l, upper) = (cx.tensor("self")?, cx.tensor("input2")?, cx.bool("upper")?);
    super::math::real_only(cx, l)?;
    let dtype = cx.dtype(b)?;
    let l = cx.cast(l, DType::F64)?;
    let a = product_of_factor(cx, l, upper)?;
    let x = eliminated(cx, a, b)?;
    Ok(cx.cast(x, dtype)?.into())
}

// Triangles.

/// The triangle of a matrix that counts, with ones on the diagonal if it says so.
fn triangle(cx: &mut CallCx<'_>, a: ValueId, upper: bool, unit: bool) -> Result<ValueId, Stop> {
    let clean =
        airconv_ir::op::Trilu { upper, k: if unit { upper_shift(upper) } else { 0.into() } };
    let t = cx.emit(clean, &[a])?;
    if !unit {
        return Ok(t);
    }
    let n = size_of(cx, a)?;
    let dtype = cx.dtype(a)?;
    let one = super::create::identity(cx, &[n.into(), n.into()], dtype)?;
    Ok(cx.b().add(t, one)?)
}

/// The diagonal next to the main one.
fn upper_shift(upper: bool) -> Dim {
    if upper { 1.into() } else { (-1).into() }
}

/// `linalg_solve_triangular`.
fn solve_triangular(cx: &mut CallCx<'_>) -> Outcome {
    let (a, b) = (cx.tensor("self")?, cx.tensor("B")?);
    let (upper, left) = (cx.bool("upper")?, cx.bool("left")?);
    let unit = cx.bool("unitriangular")?;
    size_of(cx, a)?;
    let a = triangle(cx, a, upper, unit)?;
    if left {
        return Ok(eliminated(cx, a, b)?.into());
    }
    let (a, b) = (transposed(cx, a)?, transposed(cx, b)?);
    let x = eliminated(cx, a, b)?;
    Ok(transposed(cx, x)?.into())
}

/// `triangular_solve`: the solution, and the matrix once more.
fn triangular_solve(cx: &mut CallCx<'_>) -> Outcome {
    let (b, a) = (cx.tensor("self")?, cx.tensor("A")?);
    let (upper, turned) = (cx.bool("upper")?, cx.bool("transpose")?);
    let unit = cx.bool("unitriangular")?;
    size_of(cx, a)?;
    let mut t = triangle(cx, a, upper, unit)?;
    if turned {
        t = transposed(cx, t)?;
    }
    let x = eliminated(cx, t, b)?;
    let (sx, sa) = (cx.shape(x)?, cx.shape(a)?);
    let dims: Vec<Dim> = sx[..sx.len() - 2].iter().chain(&sa[sa.len() - 2..]).cloned().collect();
    let a = cx.broadcast_to(a, &dims)?;
    Ok([x, a].into())
}
