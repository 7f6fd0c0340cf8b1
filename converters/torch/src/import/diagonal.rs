//! Reading rules of diagonals and triangles.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{GatherNd, OpKind, ReduceKind, ScatterNd, ScatterReduction, Trilu};

use super::call::{CallCx, Stop};
use super::index::{inverse_permutation, permuted};
use super::promote::{Category, Number};
use super::rules::{ImportRule, Outcome};
use super::shape::filled;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::diag", &[OpKind::GatherNd, OpKind::ScatterNd], diag),
    ImportRule::new("aten::diag_embed", &[OpKind::ScatterNd], diag_embed),
    ImportRule::new("aten::diagflat", &[OpKind::ScatterNd], diagflat),
    ImportRule::of("aten::diagonal", "", &[OpKind::GatherNd], diagonal),
    ImportRule::new("aten::linalg_diagonal", &[OpKind::GatherNd], linalg_diagonal),
    ImportRule::new("aten::trace", &[OpKind::GatherNd, OpKind::Reduce], trace),
    ImportRule::new("aten::tril", &[OpKind::Trilu], tril),
    ImportRule::new("aten::triu", &[OpKind::Trilu], triu),
];

/// The length of a diagonal, and its first row and column.
fn extent(rows: &Dim, columns: &Dim, offset: i64) -> (Dim, i64, i64) {
    let (row, column) = ((-offset).max(0), offset.max(0));
    let length = Dim::min(&(rows - row), &(columns - column));
    (Dim::max(&length, &0.into()), row, column)
}

/// Row and column of the elements of a diagonal, as index tuples.
fn positions(cx: &mut CallCx<'_>, length: Dim, row: i64, column: i64) -> Result<ValueId, Stop> {
    let count = cx.b().iota(DType::I64, length)?;
    let mut both = Vec::new();
    for start in [row, column] {
        let start = cx.b().scalar_int(DType::I64, start)?;
        let at = cx.b().add(count, start)?;
        both.push(cx.b().unsqueeze(at, &[1])?);
    }
    Ok(cx.b().concat(&both, 1)?)
}

/// The diagonal of two axes, along a new last axis.
fn taken(
    cx: &mut CallCx<'_>,
    x: ValueId,
    [a, b]: [usize; 2],
    offset: i64,
) -> Result<ValueId, Stop> {
    let shape = cx.shape(x)?;
    if a == b || shape.len() < 2 {
        return cx.invalid("a diagonal is of two axes");
    }
    let rest = (0..shape.len()).filter(|&i| i != a && i != b);
    let perm: Vec<i64> = [a, b].into_iter().chain(rest).map(|i| i as i64).collect();
    let front = permuted(cx, x, &perm)?;
    let (length, row, column) = extent(&shape[a], &shape[b], offset);
    let at = positions(cx, length, row, column)?;
    let y = cx.emit(GatherNd { batch_dims: 0 }, &[front, at])?;
    let mut last: Vec<i64> = (1..shape.len() as i64 - 1).collect();
    last.push(0);
    permuted(cx, y, &last)
}

/// The diagonal that the arguments of the call ask for, of a tensor.
pub(super) fn diagonal_of(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    let rank = cx.rank(x)?;
    let axes = [cx.axis("dim1", rank)?, cx.axis("dim2", rank)?];
    let offset = cx.int("offset")?;
    taken(cx, x, axes, offset)
}

/// `diagonal` of two axes, along a new last axis.
fn diagonal(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    Ok(diagonal_of(cx, x)?.into())
}

/// `linalg_diagonal`: of the last two axes unless others are named.
fn linalg_diagonal(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("A")?;
    Ok(diagonal_of(cx, x)?.into())
}

/// A matrix with the last axis as a diagonal, its rows and columns last.
fn embedded(cx: &mut CallCx<'_>, x: ValueId, offset: i64) -> Result<ValueId, Stop> {
    let (shape, dtype) = (cx.shape(x)?, cx.dtype(x)?);
    let Some((length, lead)) = shape.split_last() else { return cx.invalid("a scalar") };
    let size = length + offset.abs();
    let mut dims = vec![size.clone(), size];
    dims.extend_from_slice(lead);
    let zeros = filled(cx, &dims, &Number::Int(0.into()), dtype)?;
    let mut perm = vec![lead.len() as i64];
    perm.extend(0..lead.len() as i64);
    let updates = permuted(cx, x, &perm)?;
    let at = positions(cx, length.clone(), (-offset).max(0), offset.max(0))?;
    let op = ScatterNd { reduction: ScatterReduction::None };
    let y = cx.emit(op, &[zeros, at, updates])?;
    let mut last: Vec<i64> = (2..dims.len() as i64).collect();
    last.extend([0, 1]);
    permuted(cx, y, &last)
}

/// `diag_embed`: the last axis becomes a diagonal of two axes.
fn diag_embed(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)? + 1;
    let (a, b) = (cx.axis("dim1", rank)?, cx.axis("dim2", rank)?);
    if a == b {
        return cx.invalid("a diagonal is of two axes");
    }
    let offset = cx.int("offset")?;
    let y = embedded(cx, x, offset)?;
    let mut order: Vec<i64> = (0..rank).filter(|&i| i != a && i != b).map(|i| i as i64).collect();
    order.extend([a as i64, b as i64]);
    Ok(permuted(cx, y, &inverse_permutation(&order))?.into())
}

/// `diag`: a vector becomes a diagonal, of a matrix the diagonal is taken.
fn diag(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let offset = cx.int("diagonal")?;
    Ok(match cx.rank(x)? {
        1 => embedded(cx, x, offset)?,
        _ => taken(cx, x, [0, 1], offset)?,
    }
    .into())
}

/// `diagflat`: all elements become a diagonal.
fn diagflat(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let offset = cx.int("offset")?;
    let count = numel(&cx.shape(x)?);
    let flat = cx.b().reshape(x, &[count])?;
    Ok(embedded(cx, flat, offset)?.into())
}

/// `trace`: the sum of the diagonal; integers in i64.
fn trace(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let x = match cx.category(x)? {
        Category::Bool | Category::Int => cx.cast(x, DType::I64)?,
        _ => x,
    };
    let diagonal = taken(cx, x, [0, 1], 0)?;
    Ok(cx.b().reduce(ReduceKind::Sum, diagonal, &[0], false)?.into())
}

fn triangle(cx: &mut CallCx<'_>, upper: bool) -> Outcome {
    let x = cx.tensor("self")?;
    let k = cx.dim("diagonal")?;
    Ok(cx.emit(Trilu { upper, k }, &[x])?.into())
}

/// `tril`: the lower triangle.
fn tril(cx: &mut CallCx<'_>) -> Outcome {
    triangle(cx, false)
}

/// `triu`: the upper triangle.
fn triu(cx: &mut CallCx<'_>) -> Outcome {
    triangle(cx, true)
}
