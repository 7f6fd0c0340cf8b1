//! Decompositions of the index family: all come down to `gather_nd` and `scatter_nd`, whose
//! index tuples are made from positions along each axis.

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::dim::{Dim, numel};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::*;

type Value = Result<ValueId, NoDecomposition>;

fn axis_of(cx: &DecomposeCx<'_, '_>, axis: i64, rank: usize) -> Result<usize, NoDecomposition> {
    match usize::try_from(axis) {
        Ok(a) if a < rank => Ok(a),
        _ => cx.unsupported(format!("axis {axis} is not within rank {rank}")),
    }
}

/// The permutation of `rank` axes that brings one to the front.
fn to_front(axis: usize, rank: usize) -> Vec<i64> {
    std::iter::once(axis).chain((0..rank).filter(|&a| a != axis)).map(|a| a as i64).collect()
}

/// Slices along an axis at indices: the axis goes to the front, is indexed, and the axes of
/// the indices go back to its place.
fn take(cx: &mut DecomposeCx<'_, '_>, x: ValueId, indices: ValueId, axis: usize) -> Value {
    let rank = cx.b.tensor_ty(x)?.rank();
    let count = cx.b.tensor_ty(indices)?.rank();
    let front = cx.b.transpose(x, &to_front(axis, rank))?;
    let tuples = cx.b.unsqueeze(indices, &[count])?;
    let y = cx.b.emit(GatherNd { batch_dims: 0 }, &[front, tuples])?;
    // y has the axes of the indices, then those before the axis, then those after it.
    let perm: Vec<i64> = (count..count + axis)
        .chain(0..count)
        .chain(count + axis..count + rank - 1)
        .map(|a| a as i64)
        .collect();
    Ok(cx.b.transpose(y, &perm)?)
}

/// Slices along an axis.
pub fn gather(cx: &mut DecomposeCx<'_, '_>, op: &Gather) -> DecomposeResult {
    let axis = axis_of(cx, op.axis, cx.ty(0)?.rank())?;
    let (x, indices) = (cx.x(0)?, cx.x(1)?);
    one(take(cx, x, indices, axis)?)
}

/// Index tuples, one per element of `indices`: its own position, but for one axis what
/// `indices` says.
fn element_tuples(cx: &mut DecomposeCx<'_, '_>, indices: ValueId, axis: usize) -> Value {
    let dims = cx.b.tensor_ty(indices)?.shape.to_vec();
    let rank = dims.len();
    let mut parts = Vec::with_capacity(rank);
    for a in 0..rank {
        let part = if a == axis {
            cx.b.cast(indices, DType::I64)?
        } else {
            cx.b.emit(Iota { dtype: DType::I64, dims: dims.clone(), axis: a as i64 }, &[])?
        };
        parts.push(cx.b.unsqueeze(part, &[rank])?);
    }
    Ok(cx.b.concat(&parts, rank)?)
}

/// One element per index.
pub fn gather_elements(cx: &mut DecomposeCx<'_, '_>, op: &GatherElements) -> DecomposeResult {
    let axis = axis_of(cx, op.axis, cx.ty(0)?.rank())?;
    let (x, indices) = (cx.x(0)?, cx.x(1)?);
    let tuples = element_tuples(cx, indices, axis)?;
    one(cx.b.emit(GatherNd { batch_dims: 0 }, &[x, tuples])?)
}

/// One element replaced or combined per index.
pub fn scatter_elements(cx: &mut DecomposeCx<'_, '_>, op: &ScatterElements) -> DecomposeResult {
    let axis = axis_of(cx, op.axis, cx.ty(0)?.rank())?;
    let (x, indices, updates) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let tuples = element_tuples(cx, indices, axis)?;
    one(cx.b.emit(ScatterNd { reduction: op.reduction }, &[x, tuples, updates])?)
}

/// Slices at the positions where the condition holds.
pub fn compress(cx: &mut DecomposeCx<'_, '_>, op: &Compress) -> DecomposeResult {
    let mut x = cx.x(0)?;
    let axis = match op.axis {
        Some(axis) => axis_of(cx, axis, cx.ty(0)?.rank())?,
        None => {
            let dims = [numel(&cx.shape(0)?)];
            x = cx.b.reshape(x, &dims)?;
            0
        }
    };
    let condition = cx.x(1)?;
    let found = cx.b.emit(Nonzero {}, &[condition])?;
    let positions = cx.b.squeeze(found, &[0])?;
    one(take(cx, x, positions, axis)?)
}

/// Compares the indices, negative ones counted from the end, with the positions.
pub fn one_hot(cx: &mut DecomposeCx<'_, '_>, op: &OneHot) -> DecomposeResult {
    let (indices, values) = (cx.x(0)?, cx.x(1)?);
    let mut dims = cx.shape(0)?;
    let axis = axis_of(cx, op.axis, dims.len() + 1)?;
    let indices = cx.b.cast(indices, DType::I64)?;
    let zero = cx.b.scalar_int(DType::I64, 0)?;
    let depth = cx.b.dim_scalar(&op.depth)?;
    let negative = cx.b.less(indices, zero)?;
    let from_end = cx.b.add(indices, depth)?;
    let indices = cx.b.select(negative, from_end, indices)?;
    let indices = cx.b.unsqueeze(indices, &[axis])?;
    dims.insert(axis, op.depth.clone());
    let positions =
        cx.b.emit(Iota { dtype: DType::I64, dims: dims.clone(), axis: axis as i64 }, &[])?;
    let hot = cx.b.equal(indices, positions)?;
    let off = cx.b.index_axis(values, 0, 0)?;
    let on = cx.b.index_axis(values, 0, 1)?;
    one(cx.b.select(hot, on, off)?)
}

/// Gathers along time, per batch: position t comes from length - 1 - t while that is not
/// negative.
pub fn reverse_sequence(cx: &mut DecomposeCx<'_, '_>, op: &ReverseSequence) -> DecomposeResult {
    let x = cx.x(0)?;
    let rank = cx.ty(0)?.rank();
    if rank < 2 {
        return cx.unsupported("the operand has no batch and time axes");
    }
    let mut swap: Vec<i64> = (0..rank as i64).collect();
    if op.batch_axis == 1 {
        swap.swap(0, 1);
    }
    let x = cx.b.transpose(x, &swap)?;
    let dims = cx.b.tensor_ty(x)?.shape[..2].to_vec();
    let lengths = cx.x(1)?;
    let lengths = cx.b.cast(lengths, DType::I64)?;
    let lengths = cx.b.unsqueeze(lengths, &[1])?;
    let time = cx.b.emit(Iota { dtype: DType::I64, dims, axis: 1 }, &[])?;
    let inside = cx.b.less(time, lengths)?;
    let last = cx.b.add_const(lengths, -1.0)?;
    let mirrored = cx.b.sub(last, time)?;
    let from = cx.b.select(inside, mirrored, time)?;
    let tuples = cx.b.unsqueeze(from, &[2])?;
    let y = cx.b.emit(GatherNd { batch_dims: 1 }, &[x, tuples])?;
    one(cx.b.transpose(y, &swap)?)
}

/// Scatters slices of [batch, position, ...] views.
pub fn tensor_scatter(cx: &mut DecomposeCx<'_, '_>, op: &TensorScatter) -> DecomposeResult {
    let (cache, update) = (cx.x(0)?, cx.x(1)?);
    let (cache_dims, update_dims) = (cx.shape(0)?, cx.shape(1)?);
    let rank = cache_dims.len();
    let axis = axis_of(cx, op.axis, rank)?;
    if axis == 0 || update_dims.len() != rank {
        return cx.unsupported("the axis is the batch axis, or the ranks differ");
    }
    // [batch, axis, the others]; the inverse takes axis 1 back to its place.
    let mut view: Vec<i64> = (0..rank as i64).filter(|&a| a != axis as i64).collect();
    view.insert(1, axis as i64);
    let mut back: Vec<i64> = (0..rank as i64).filter(|&a| a != 1).collect();
    back.insert(axis, 1);
    let target = cx.b.transpose(cache, &view)?;
    let source = cx.b.transpose(update, &view)?;

    let dims: Vec<Dim> = vec![cache_dims[0].clone(), update_dims[axis].clone()];
    let iota = |axis: i64| Iota { dtype: DType::I64, dims: dims.clone(), axis };
    let batch = cx.b.emit(iota(0), &[])?;
    let mut position = cx.b.emit(iota(1), &[])?;
    if let Some(starts) = cx.opt(2) {
        let starts = cx.b.cast(starts, DType::I64)?;
        let starts = cx.b.unsqueeze(starts, &[1])?;
        position = cx.b.add(position, starts)?;
    }
    if op.mode == CacheMode::Circular {
        let size = cx.b.dim_scalar(&cache_dims[axis])?;
        position = cx.b.rem_floor(position, size)?;
    }
    let batch = cx.b.unsqueeze(batch, &[2])?;
    let position = cx.b.unsqueeze(position, &[2])?;
    let tuples = cx.b.concat(&[batch, position], 2)?;
    let scatter = ScatterNd { reduction: ScatterReduction::None };
    let y = cx.b.emit(scatter, &[target, tuples, source])?;
    one(cx.b.transpose(y, &back)?)
}
