//! Decompositions of the reduce family.

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::*;

type R = Result<ValueId, NoDecomposition>;

fn indices(axes: &[i64]) -> Vec<usize> {
    axes.iter().filter_map(|&a| usize::try_from(a).ok()).collect()
}

/// A reduction in the operand's dtype.
fn reduce(
    cx: &mut DecomposeCx<'_, '_>,
    kind: ReduceKind,
    x: ValueId,
    axes: &[i64],
    keep: bool,
) -> R {
    if axes.is_empty() {
        return Ok(x);
    }
    Ok(cx.b.emit(Reduce { kind, axes: axes.to_vec(), keepdims: keep }, &[x])?)
}

/// The dtype in which a reduction that takes roots or logarithms, or sums many narrow floats,
/// is computed.
fn work_dtype(dtype: DType) -> DType {
    if dtype.is_integer() {
        DType::F64
    } else if dtype == DType::F64 {
        dtype
    } else {
        DType::F32
    }
}

/// The operand in the dtype to compute in.
fn widened(cx: &mut DecomposeCx<'_, '_>) -> R {
    let (x, dtype) = (cx.x(0)?, cx.dtype(0)?);
    Ok(cx.b.cast(x, work_dtype(dtype))?)
}

/// A result in the operand's dtype.
fn narrowed(cx: &mut DecomposeCx<'_, '_>, y: ValueId) -> DecomposeResult {
    let dtype = cx.dtype(0)?;
    one(cx.b.cast(y, dtype)?)
}

/// `reduce_mean`: the sum divided by the number of elements. Integers divide toward zero.
pub fn reduce_mean(cx: &mut DecomposeCx<'_, '_>, op: &ReduceMean) -> DecomposeResult {
    let ty = cx.ty(0)?;
    if op.axes.is_empty() {
        return one(cx.x(0)?);
    }
    let x = if ty.dtype.is_integer() { cx.x(0)? } else { widened(cx)? };
    let sum = reduce(cx, ReduceKind::Sum, x, &op.axes, op.keepdims)?;
    let sizes = indices(&op.axes);
    let n = sizes.iter().filter_map(|&a| ty.shape.get(a)).fold(Dim::Known(1), |n, d| &n * d);
    let n = cx.b.dim_scalar(&n)?;
    if !ty.dtype.is_integer() {
        let work = work_dtype(ty.dtype);
        let n = cx.b.cast(n, work)?;
        let y = cx.b.div(sum, n)?;
        return narrowed(cx, y);
    }
    // The count need not fit a narrow dtype.
    let wide = if ty.dtype.is_unsigned_int() { DType::U64 } else { DType::I64 };
    let (sum, n) = (cx.b.cast(sum, wide)?, cx.b.cast(n, wide)?);
    let y = cx.b.div(sum, n)?;
    narrowed(cx, y)
}

/// `reduce_l1`: the sum of absolute values.
pub fn reduce_l1(cx: &mut DecomposeCx<'_, '_>, op: &ReduceL1) -> DecomposeResult {
    let integer = cx.dtype(0)?.is_integer();
    let x = if integer { cx.x(0)? } else { widened(cx)? };
    let magnitude = cx.b.abs(x)?;
    let y = reduce(cx, ReduceKind::Sum, magnitude, &op.axes, op.keepdims)?;
    narrowed(cx, y)
}

/// `reduce_l2`: the square root of the sum of squares.
pub fn reduce_l2(cx: &mut DecomposeCx<'_, '_>, op: &ReduceL2) -> DecomposeResult {
    let x = widened(cx)?;
    let square = cx.b.mul(x, x)?;
    let sum = reduce(cx, ReduceKind::Sum, square, &op.axes, op.keepdims)?;
    let y = cx.b.sqrt(sum)?;
    narrowed(cx, y)
}

/// `reduce_log_sum`: the logarithm of the sum.
pub fn reduce_log_sum(cx: &mut DecomposeCx<'_, '_>, op: &ReduceLogSum) -> DecomposeResult {
    let x = widened(cx)?;
    let sum = reduce(cx, ReduceKind::Sum, x, &op.axes, op.keepdims)?;
    let y = cx.b.log(sum)?;
    narrowed(cx, y)
}

/// `reduce_log_sum_exp`: the maximum plus the logarithm of the sum of exponentials of what is
/// left. An infinite maximum is not subtracted, so that it comes out itself.
pub fn reduce_log_sum_exp(cx: &mut DecomposeCx<'_, '_>, op: &ReduceLogSumExp) -> DecomposeResult {
    let x = widened(cx)?;
    if op.axes.is_empty() {
        // The logarithm of one exponential.
        return narrowed(cx, x);
    }
    let top = reduce(cx, ReduceKind::Max, x, &op.axes, true)?;
    let magnitude = cx.b.abs(top)?;
    let infinity = cx.b.scalar_like(top, f64::INFINITY)?;
    let finite = cx.b.less(magnitude, infinity)?;
    let zero = cx.b.scalar_like(top, 0.0)?;
    let top = cx.b.select(finite, top, zero)?;
    let rest = cx.b.sub(x, top)?;
    let powers = cx.b.exp(rest)?;
    let sum = reduce(cx, ReduceKind::Sum, powers, &op.axes, true)?;
    let log = cx.b.log(sum)?;
    let y = cx.b.add(log, top)?;
    let y = if op.keepdims { y } else { cx.b.squeeze(y, &indices(&op.axes))? };
    narrowed(cx, y)
}

/// `reduce_sum_square`: the sum of squares.
pub fn reduce_sum_square(cx: &mut DecomposeCx<'_, '_>, op: &ReduceSumSquare) -> DecomposeResult {
    let integer = cx.dtype(0)?.is_integer();
    let x = if integer { cx.x(0)? } else { widened(cx)? };
    let square = cx.b.mul(x, x)?;
    let y = reduce(cx, ReduceKind::Sum, square, &op.axes, op.keepdims)?;
    narrowed(cx, y)
}
