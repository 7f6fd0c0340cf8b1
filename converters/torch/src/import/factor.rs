//! Reading rules of the factorisations of matrices of known, small size into triangles: with row
//! pivots, and by reflections; and of the exponential.
//!
//! The algorithms and the form of their results are those of LAPACK (`getrf`, `geqrf`, `orgqr`,
//! `ormqr`), written out step by step and computed in f64.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{ArgKind, ArgReduce, Det, OpKind, ReduceKind, Trilu};

use super::arg::{Arg, Returns};
use super::call::{CallCx, Stop};
use super::decomposition::{MOST_ROWS, eliminated};
use super::formula::{Formula, number, value, when};
use super::index::cut;
use super::linalg::{times, transposed};
use super::promote::Number;
use super::repeat::{Next, repeated};
use super::rules::{ImportRule, Outcome};

const LU: &[OpKind] = &[OpKind::ArgReduce, OpKind::Select, OpKind::Div];
const QR: &[OpKind] = &[OpKind::Reduce, OpKind::Sqrt, OpKind::Matmul];

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_linalg_det", &[OpKind::Det], det),
    ImportRule::new("aten::_linalg_slogdet", &[OpKind::Det, OpKind::Log], slogdet),
    ImportRule::new("aten::_lu_with_info", LU, lu_factor_ex),
    ImportRule::new("aten::geqrf", QR, geqrf),
    ImportRule::new("aten::linalg_householder_product", QR, householder_product),
    ImportRule::new("aten::linalg_lu", LU, linalg_lu),
    ImportRule::new("aten::linalg_lu_factor", LU, lu_factor),
    ImportRule::new("aten::linalg_lu_factor_ex", LU, lu_factor_ex),
    ImportRule::new("aten::linalg_lu_solve", LU, linalg_lu_solve),
    ImportRule::new("aten::linalg_matrix_exp", EXP, matrix_exp),
    ImportRule::new("aten::linalg_qr", QR, linalg_qr),
    ImportRule::new("aten::lu_solve", LU, lu_solve),
    ImportRule::new("aten::lu_unpack", LU, lu_unpack),
    ImportRule::new("aten::matrix_exp", EXP, matrix_exp),
    ImportRule::new("aten::ormqr", QR, ormqr),
    ImportRule::new("aten::qr", QR, qr),
];

const EXP: &[OpKind] = &[OpKind::Matmul, OpKind::Loop];

/// The known numbers of rows and columns of real matrices.
pub(super) fn known_sizes(cx: &CallCx<'_>, x: ValueId) -> Result<[i64; 2], Stop> {
    super::math::real_only(cx, x)?;
    let shape = cx.shape(x)?;
    let [.., rows, columns] = &shape[..] else { return cx.invalid("a matrix is needed") };
    match (rows.as_known(), columns.as_known()) {
        (Some(m), Some(n)) if m.max(n) <= MOST_ROWS => Ok([m, n]),
        (Some(m), Some(n)) => cx.unsupported(format!("a matrix of {m} rows and {n} columns")),
        _ => cx.unsupported("a matrix of unknown size"),
    }
}

/// The numbers of rows as a column and of columns as a row, in f64.
struct Places {
    row: Formula,
    column: Formula,
}

fn places(cx: &mut CallCx<'_>, [m, n]: [i64; 2]) -> Result<Places, Stop> {
    let row = cx.b().iota(DType::F64, m.into())?;
    let row = cx.b().unsqueeze(row, &[1])?;
    let column = cx.b().iota(DType::F64, n.into())?;
    Ok(Places { row: value(row), column: value(column) })
}

/// One row or one column of matrices.
fn line(cx: &mut CallCx<'_>, x: ValueId, from_last: usize, k: i64) -> Result<ValueId, Stop> {
    let axis = cx.rank(x)? - from_last;
    cut(cx, x, axis, [k.into(), (k + 1).into()], 1)
}

fn row_of(cx: &mut CallCx<'_>, x: ValueId, k: i64) -> Result<ValueId, Stop> {
    line(cx, x, 2, k)
}

fn column_of(cx: &mut CallCx<'_>, x: ValueId, k: i64) -> Result<ValueId, Stop> {
    line(cx, x, 1, k)
}

/// The matrices of a batch of a shape, all the identity.
fn identities(cx: &mut CallCx<'_>, like: ValueId, [m, n]: [i64; 2]) -> Result<ValueId, Stop> {
    let mut shape = cx.shape(like)?.to_vec();
    let rank = shape.len();
    (shape[rank - 2], shape[rank - 1]) = (m.into(), n.into());
    let one = super::create::identity(cx, &[m.into(), n.into()], DType::F64)?;
    cx.broadcast_to(one, &shape)
}

// Rows that change places.

/// Row k changes places with the row of this number, f64 of [..., 1, 1].
fn rows_swapped(
    cx: &mut CallCx<'_>,
    x: ValueId,
    rows: &Formula,
    k: i64,
    at: ValueId,
) -> Result<ValueId, Stop> {
    let (is_k, is_at) = (rows.eq(k as f64), rows.eq(value(at)));
    let picked = cx.formula(&when(&is_at, value(x), 0.0), DType::F64)?;
    let axis = cx.rank(x)? - 2;
    let other = cx.b().reduce(ReduceKind::Sum, picked, &[axis], true)?;
    let own = row_of(cx, x, k)?;
    let shape = cx.shape(x)?;
    let y = when(&is_k, value(other), when(&is_at, value(own), value(x)));
    let y = cx.formula(&y, DType::F64)?;
    cx.broadcast_to(y, &shape)
}

/// The pivot of step k, counted from 0, as f64 of [..., 1, 1].
fn pivot_at(cx: &mut CallCx<'_>, pivots: ValueId, k: i64) -> Result<ValueId, Stop> {
    let rank = cx.rank(pivots)?;
    let one = cut(cx, pivots, rank - 1, [k.into(), (k + 1).into()], 1)?;
    let one = cx.cast(one, DType::F64)?;
    let one = cx.b().unsqueeze(one, &[rank])?;
    cx.formula(&(value(one) - 1.0), DType::F64)
}

// Elimination with row pivots.

/// Both triangles in one matrix of f64, the pivots counted from 1 as i32, and for every matrix
/// the number of the first pivot that is zero.
fn factored(cx: &mut CallCx<'_>, a: ValueId) -> Result<[ValueId; 3], Stop> {
    let [m, n] = known_sizes(cx, a)?;
    let shape = cx.shape(a)?;
    let lead = shape[..shape.len() - 2].to_vec();
    let none = Number::Int(0.into());
    let mut info = super::shape::filled(cx, &lead, &none, DType::I32)?;
    let mut x = cx.cast(a, DType::F64)?;
    let axis = shape.len() - 2;
    let place = places(cx, [m, n])?;
    let mut pivots = Vec::new();
    for k in 0..m.min(n) {
        let column = column_of(cx, x, k)?;
        let sizes = when(&place.row.lt(k as f64), -1.0, value(column).abs());
        let sizes = cx.formula(&sizes, DType::F64)?;
        let op =
            ArgReduce { kind: ArgKind::Max, axis: axis as i64, keepdims: true, select_last: false };
        let best = cx.emit(op, &[sizes])?;
        let best = cx.cast(best, DType::F64)?;
        pivots.push(cx.formula(&(value(best) + 1.0), DType::F64)?);
        x = rows_swapped(cx, x, &place.row, k, best)?;
        let row = row_of(cx, x, k)?;
        let pivot = column_of(cx, row, k)?;
        info = super::decomposition::first_bad(cx, info, pivot, k, |p| p.eq(0.0))?;
        x = below_eliminated(cx, x, &place, k, [row, pivot])?;
        x = cx.broadcast_to(x, &shape)?;
    }
    let count = pivots.len();
    let pivots = match count {
        0 => {
            let dims: Vec<Dim> = lead.iter().cloned().chain([Dim::Known(0)]).collect();
            super::shape::filled(cx, &dims, &none, DType::I32)?
        }
        _ => {
            let all = cx.b().concat(&pivots, axis)?;
            let all = cx.b().squeeze(all, &[axis + 1])?;
            cx.cast(all, DType::I32)?
        }
    };
    Ok([x, pivots, info])
}

/// Takes row k off those below; their factors stay in column k.
fn below_eliminated(
    cx: &mut CallCx<'_>,
    x: ValueId,
    place: &Places,
    k: i64,
    [row, pivot]: [ValueId; 2],
) -> Result<ValueId, Stop> {
    let own = value(column_of(cx, x, k)?);
    let none = value(pivot).eq(0.0);
    let factors = own / when(&none, 1.0, value(pivot));
    let below = place.row.gt(k as f64);
    let taken = value(x) - &factors * value(row);
    let at = place.column.eq(k as f64);
    let right = place.column.gt(k as f64);
    let y = when(&below.and(at), factors, when(&below.and(right), taken, value(x)));
    cx.formula(&y, DType::F64)
}

fn matrix(cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
    let name = if cx.has("A") { "A" } else { "self" };
    if cx.has("pivot") && !cx.bool("pivot")? {
        return cx.unsupported("a factorisation without pivots");
    }
    cx.tensor(name)
}

/// `linalg_lu_factor_ex`, `_lu_with_info`.
fn lu_factor_ex(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["check_errors"]);
    let a = matrix(cx)?;
    let dtype = cx.dtype(a)?;
    let [lu, pivots, info] = factored(cx, a)?;
    Ok([cx.cast(lu, dtype)?, pivots, info].into())
}

/// `linalg_lu_factor`.
fn lu_factor(cx: &mut CallCx<'_>) -> Outcome {
    let a = matrix(cx)?;
    let dtype = cx.dtype(a)?;
    let [lu, pivots, _] = factored(cx, a)?;
    Ok([cx.cast(lu, dtype)?, pivots].into())
}

/// The lower triangle with ones on the diagonal, and the upper one, of both in one matrix.
fn triangles(cx: &mut CallCx<'_>, lu: ValueId) -> Result<[ValueId; 2], Stop> {
    let [m, n] = known_sizes(cx, lu)?;
    let k = m.min(n);
    let rank = cx.rank(lu)?;
    let left = cut(cx, lu, rank - 1, [0.into(), k.into()], 1)?;
    let top = cut(cx, lu, rank - 2, [0.into(), k.into()], 1)?;
    let below = cx.emit(Trilu { upper: false, k: (-1).into() }, &[left])?;
    let one = identities(cx, lu, [m, k])?;
    let lower = cx.b().add(below, one)?;
    let upper = cx.emit(Trilu { upper: true, k: 0.into() }, &[top])?;
    Ok([lower, upper])
}

/// The matrix that puts the rows back in their places.
fn permutation(cx: &mut CallCx<'_>, lu: ValueId, pivots: ValueId) -> Result<ValueId, Stop> {
    let [m, n] = known_sizes(cx, lu)?;
    let place = places(cx, [m, m])?;
    let mut p = identities(cx, lu, [m, m])?;
    for k in 0..m.min(n) {
        let at = pivot_at(cx, pivots, k)?;
        p = rows_swapped(cx, p, &place.row, k, at)?;
    }
    transposed(cx, p)
}

/// `linalg_lu`: permutation, lower and upper triangle.
fn linalg_lu(cx: &mut CallCx<'_>) -> Outcome {
    let a = matrix(cx)?;
    let dtype = cx.dtype(a)?;
    let [lu, pivots, _] = factored(cx, a)?;
    let p = permutation(cx, lu, pivots)?;
    let [lower, upper] = triangles(cx, lu)?;
    Ok([cx.cast(p, dtype)?, cx.cast(lower, dtype)?, cx.cast(upper, dtype)?].into())
}

/// `lu_unpack`: what is not asked for is empty.
fn lu_unpack(cx: &mut CallCx<'_>) -> Outcome {
    let (lu, pivots) = (cx.tensor("LU_data")?, cx.tensor("LU_pivots")?);
    super::math::real_only(cx, lu)?;
    let dtype = cx.dtype(lu)?;
    let wide = cx.cast(lu, DType::F64)?;
    let none = super::shape::filled(cx, &[0.into()], &Number::Int(0.into()), dtype)?;
    let p = match cx.bool("unpack_pivots")? {
        true => permutation(cx, wide, pivots)?,
        false => none,
    };
    let [lower, upper] = match cx.bool("unpack_data")? {
        true => triangles(cx, wide)?,
        false => [none, none],
    };
    Ok([cx.cast(p, dtype)?, cx.cast(lower, dtype)?, cx.cast(upper, dtype)?].into())
}

/// The matrix that was factored.
fn restored(cx: &mut CallCx<'_>, lu: ValueId, pivots: ValueId) -> Result<ValueId, Stop> {
    super::math::real_only(cx, lu)?;
    let wide = cx.cast(lu, DType::F64)?;
    let [lower, upper] = triangles(cx, wide)?;
    let product = times(cx, lower, upper)?;
    let p = permutation(cx, wide, pivots)?;
    times(cx, p, product)
}

/// `linalg_lu_solve`: the solution of A X = B, or X A = B, for a factored A or its transpose.
fn linalg_lu_solve(cx: &mut CallCx<'_>) -> Outcome {
    let (lu, pivots, b) = (cx.tensor("LU")?, cx.tensor("pivots")?, cx.tensor("B")?);
    let (left, adjoint) = (cx.bool("left")?, cx.bool("adjoint")?);
    let dtype = cx.dtype(b)?;
    let mut a = restored(cx, lu, pivots)?;
    if left == adjoint {
        a = transposed(cx, a)?;
    }
    let b = cx.cast(b, DType::F64)?;
    let b = if left { b } else { transposed(cx, b)? };
    let x = eliminated(cx, a, b)?;
    let x = if left { x } else { transposed(cx, x)? };
    Ok(cx.cast(x, dtype)?.into())
}

/// `lu_solve`.
fn lu_solve(cx: &mut CallCx<'_>) -> Outcome {
    let (b, lu) = (cx.tensor("self")?, cx.tensor("LU_data")?);
    let pivots = cx.tensor("LU_pivots")?;
    let dtype = cx.dtype(b)?;
    let a = restored(cx, lu, pivots)?;
    let b = cx.cast(b, DType::F64)?;
    let x = eliminated(cx, a, b)?;
    Ok(cx.cast(x, dtype)?.into())
}

/// The factors that stand beside a determinant, where they are used.
fn factors_beside(cx: &mut CallCx<'_>, a: ValueId, first: usize) -> Result<[Arg; 2], Stop> {
    if !cx.wants(first) && !cx.wants(first + 1) {
        return Ok([Arg::None, Arg::None]);
    }
    let dtype = cx.dtype(a)?;
    let [lu, pivots, _] = factored(cx, a)?;
    Ok([cx.cast(lu, dtype)?.into(), pivots.into()])
}

/// `_linalg_det`: the determinant, and the factors.
fn det(cx: &mut CallCx<'_>) -> Outcome {
    let a = matrix(cx)?;
    super::math::real_only(cx, a)?;
    let det = cx.emit(Det {}, &[a])?;
    let [lu, pivots] = factors_beside(cx, a, 1)?;
    Ok(Returns(vec![det.into(), lu, pivots]))
}

/// `_linalg_slogdet`: sign and logarithm of the magnitude of the determinant, and the factors.
fn slogdet(cx: &mut CallCx<'_>) -> Outcome {
    let a = matrix(cx)?;
    super::math::real_only(cx, a)?;
    let dtype = cx.dtype(a)?;
    let det = cx.emit(Det {}, &[a])?;
    let sign = cx.b().sign(det)?;
    let log = cx.formula(&value(det).abs().log(), dtype)?;
    let [lu, pivots] = factors_beside(cx, a, 2)?;
    Ok(Returns(vec![sign.into(), log.into(), lu, pivots]))
}

// Reflections.

/// I - t v v': the reflection that LAPACK writes as the vector below the diagonal and a factor.
struct Reflection {
    /// [..., m, 1] of f64, 1 at its own row.
    vector: ValueId,
    /// [..., 1, 1] of f64.
    factor: ValueId,
}

/// A reflection applied to matrices from the left.
fn reflected(cx: &mut CallCx<'_>, h: &Reflection, x: ValueId) -> Result<ValueId, Stop> {
    let across = transposed(cx, h.vector)?;
    let along = times(cx, across, x)?;
    let taken = value(h.vector) * (value(h.factor) * value(along));
    cx.formula(&(value(x) - taken), DType::F64)
}

/// The reflection that makes the elements of column k below the diagonal zero.
fn reflection(cx: &mut CallCx<'_>, x: ValueId, place: &Places, k: i64) -> Result<Reflection, Stop> {
    let column = column_of(cx, x, k)?;
    let head = row_of(cx, column, k)?;
    let axis = cx.rank(column)? - 2;
    let below = place.row.gt(k as f64);
    let rest = cx.formula(&when(&below, value(column), 0.0), DType::F64)?;
    let squares = cx.formula(&value(rest).squared(), DType::F64)?;
    let square = cx.b().reduce(ReduceKind::Sum, squares, &[axis], true)?;
    let (head, square) = (value(head), value(square));
    let plain = square.eq(0.0);
    let length = (head.squared() + square).sqrt();
    let end = when(&head.lt(0.0), &length, -&length);
    let factor = when(&plain, 0.0, (&end - &head) / when(&plain, 1.0, &end));
    let tail = value(rest) / when(&plain, 1.0, &head - &end);
    let vector = when(&below, tail, when(&place.row.eq(k as f64), 1.0, 0.0));
    Ok(Reflection {
        vector: cx.formula(&vector, DType::F64)?,
        factor: cx.formula(&factor, DType::F64)?,
    })
}

/// The triangle and the reflections of matrices.
fn reduced_to_triangle(
    cx: &mut CallCx<'_>,
    a: ValueId,
) -> Result<(ValueId, Vec<Reflection>), Stop> {
    let [m, n] = known_sizes(cx, a)?;
    let place = places(cx, [m, n])?;
    let mut x = cx.cast(a, DType::F64)?;
    let mut all = Vec::new();
    for k in 0..m.min(n) {
        let h = reflection(cx, x, &place, k)?;
        x = reflected(cx, &h, x)?;
        all.push(h);
    }
    Ok((cx.emit(Trilu { upper: true, k: 0.into() }, &[x])?, all))
}

/// The product of reflections applied to matrices, or that of its transpose.
fn all_reflected(
    cx: &mut CallCx<'_>,
    all: &[Reflection],
    mut x: ValueId,
    transpose: bool,
) -> Result<ValueId, Stop> {
    for i in 0..all.len() {
        let at = if transpose { i } else { all.len() - 1 - i };
        if let Some(h) = all.get(at) {
            x = reflected(cx, h, x)?;
        }
    }
    Ok(x)
}

/// `geqrf`: the triangle with the vectors below it, and the factors.
fn geqrf(cx: &mut CallCx<'_>) -> Outcome {
    let a = cx.tensor("self")?;
    let (dtype, shape) = (cx.dtype(a)?, cx.shape(a)?);
    let [m, n] = known_sizes(cx, a)?;
    let place = places(cx, [m, n])?;
    let (mut x, all) = reduced_to_triangle(cx, a)?;
    let mut factors = Vec::new();
    for (k, h) in all.iter().enumerate() {
        let own = place.row.gt(k as f64).and(place.column.eq(k as f64));
        x = cx.formula(&when(&own, value(h.vector), value(x)), DType::F64)?;
        factors.push(h.factor);
    }
    let x = cx.broadcast_to(x, &shape)?;
    let rank = shape.len();
    let factors = match factors.is_empty() {
        true => {
            let dims: Vec<Dim> = shape[..rank - 2].iter().cloned().chain([0.into()]).collect();
            super::shape::filled(cx, &dims, &Number::Int(0.into()), dtype)?
        }
        false => {
            let all = cx.b().concat(&factors, rank - 2)?;
            cx.b().squeeze(all, &[rank - 1])?
        }
    };
    Ok([cx.cast(x, dtype)?, cx.cast(factors, dtype)?].into())
}

/// The reflections that are stored in a matrix and a vector of factors.
fn stored(cx: &mut CallCx<'_>, a: ValueId, factors: ValueId) -> Result<Vec<Reflection>, Stop> {
    let [m, n] = known_sizes(cx, a)?;
    let rank = cx.rank(factors)?;
    let Some(count) = cx.size(factors, rank.saturating_sub(1))?.as_known() else {
        return cx.unsupported("reflections of unknown number");
    };
    let place = places(cx, [m, n])?;
    let (a, factors) = (cx.cast(a, DType::F64)?, cx.cast(factors, DType::F64)?);
    let mut all = Vec::new();
    for k in 0..count.min(n) {
        let column = column_of(cx, a, k)?;
        let own = when(&place.row.eq(k as f64), 1.0, 0.0);
        let vector = when(&place.row.gt(k as f64), value(column), own);
        let vector = cx.formula(&vector, DType::F64)?;
        let factor = cut(cx, factors, rank - 1, [k.into(), (k + 1).into()], 1)?;
        let factor = cx.b().unsqueeze(factor, &[rank])?;
        all.push(Reflection { vector, factor });
    }
    Ok(all)
}

/// `linalg_householder_product`: the first columns of the product of stored reflections.
fn householder_product(cx: &mut CallCx<'_>) -> Outcome {
    let (a, factors) = (cx.tensor("input")?, cx.tensor("tau")?);
    let dtype = cx.dtype(a)?;
    let sizes = known_sizes(cx, a)?;
    let all = stored(cx, a, factors)?;
    let one = identities(cx, a, sizes)?;
    let q = all_reflected(cx, &all, one, false)?;
    Ok(cx.cast(q, dtype)?.into())
}

/// `ormqr`: the product of stored reflections, or its transpose, times other matrices.
fn ormqr(cx: &mut CallCx<'_>) -> Outcome {
    let (a, factors, other) = (cx.tensor("self")?, cx.tensor("input2")?, cx.tensor("input3")?);
    let (left, transpose) = (cx.bool("left")?, cx.bool("transpose")?);
    let dtype = cx.dtype(other)?;
    let all = stored(cx, a, factors)?;
    let other = cx.cast(other, DType::F64)?;
    let y = if left {
        all_reflected(cx, &all, other, transpose)?
    } else {
        let other = transposed(cx, other)?;
        let y = all_reflected(cx, &all, other, !transpose)?;
        transposed(cx, y)?
    };
    Ok(cx.cast(y, dtype)?.into())
}

/// An orthogonal matrix and a triangle, with as many columns and rows as there are rows, or as
/// the lesser of both sizes.
fn orthogonal(cx: &mut CallCx<'_>, a: ValueId, complete: bool) -> Result<[ValueId; 2], Stop> {
    let [m, n] = known_sizes(cx, a)?;
    let dtype = cx.dtype(a)?;
    let k = if complete { m } else { m.min(n) };
    let (x, all) = reduced_to_triangle(cx, a)?;
    let rank = cx.rank(x)?;
    let r = cut(cx, x, rank - 2, [0.into(), k.into()], 1)?;
    let one = identities(cx, a, [m, k])?;
    let q = all_reflected(cx, &all, one, false)?;
    Ok([cx.cast(q, dtype)?, cx.cast(r, dtype)?])
}

/// `linalg_qr`.
fn linalg_qr(cx: &mut CallCx<'_>) -> Outcome {
    let a = cx.tensor("A")?;
    let mode = cx.string("mode")?;
    let [q, r] = match &*mode {
        "reduced" | "r" => orthogonal(cx, a, false)?,
        "complete" => orthogonal(cx, a, true)?,
        other => return cx.invalid(format!("the mode is `{other}`")),
    };
    if &*mode == "r" {
        let dtype = cx.dtype(a)?;
        let none = super::shape::filled(cx, &[0.into()], &Number::Int(0.into()), dtype)?;
        return Ok([none, r].into());
    }
    Ok([q, r].into())
}

/// `qr`.
fn qr(cx: &mut CallCx<'_>) -> Outcome {
    let a = cx.tensor("self")?;
    let some = cx.bool("some")?;
    Ok(orthogonal(cx, a, !some)?.into())
}

// The exponential.

/// The degree of the polynomial, enough for matrices of norm 1/2.
const TERMS: i64 = 14;
/// The most squarings: more would be of infinities.
const SQUARINGS: f64 = 1100.0;

/// `matrix_exp`: a polynomial of the matrix over a power of two, and then squares.
fn matrix_exp(cx: &mut CallCx<'_>) -> Outcome {
    let a = cx.tensor("self")?;
    super::math::real_only(cx, a)?;
    let (dtype, rank) = (cx.dtype(a)?, cx.rank(a)?);
    let shape = cx.shape(a)?;
    let [.., rows, columns] = &shape[..] else { return cx.invalid("a matrix is needed") };
    if super::index::is_empty(cx, a)? {
        return Ok(a.into());
    }
    let one = super::create::identity(cx, &[rows.clone(), columns.clone()], DType::F64)?;
    let wide = cx.cast(a, DType::F64)?;
    let sizes = cx.b().abs(wide)?;
    let sums = cx.b().reduce(ReduceKind::Sum, sizes, &[rank - 2], false)?;
    let axes: Vec<usize> = (0..rank - 1).collect();
    let norm = cx.b().reduce(ReduceKind::Max, sums, &axes, false)?;
    let doublings = (value(norm) * 2.0).max(1.0).log() / std::f64::consts::LN_2;
    let count = when(&value(norm).is_nan(), 0.0, doublings.ceil().min(SQUARINGS));
    let count = cx.formula(&count, DType::F64)?;
    let scaled = value(wide) / number(2.0).pow(value(count));
    let scaled = cx.formula(&scaled, DType::F64)?;
    let mut sum = cx.broadcast_to(one, &shape)?;
    for k in (1..=TERMS).rev() {
        let product = times(cx, scaled, sum)?;
        sum = cx.formula(&(value(product) / k as f64 + value(one)), DType::F64)?;
    }
    let count = cx.cast(count, DType::I64)?;
    let squared = repeated(cx, Some(count), &[sum], &[], |cx, turn| {
        let &[x] = turn.state else { return cx.invalid("one value is carried") };
        Ok(Next { again: None, state: vec![times(cx, x, x)?] })
    })?;
    let y = squared.first().copied().unwrap_or(sum);
    Ok(cx.cast(y, dtype)?.into())
}
