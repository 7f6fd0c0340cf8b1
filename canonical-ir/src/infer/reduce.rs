//! Inference rules of the reduce family.

use super::{InferCx, InferError, InferResult, one};
use crate::dim::{Dim, Shape};
use crate::dtype::DType;
use crate::op::*;
use crate::types::TensorType;

/// The shape without the axes, or with size 1 in their place.
fn reduced(
    cx: &InferCx<'_>,
    ty: &TensorType,
    axes: &[i64],
    keepdims: bool,
) -> Result<Shape, InferError> {
    let axes = cx.axes(axes, ty.rank())?;
    let left = |(i, dim): (usize, &Dim)| match (axes.contains(&i), keepdims) {
        (false, _) => Some(dim.clone()),
        (true, true) => Some(Dim::Known(1)),
        (true, false) => None,
    };
    Ok(ty.shape.iter().enumerate().filter_map(left).collect())
}

/// Checks that a dtype can be combined.
fn combinable(cx: &InferCx<'_>, kind: ReduceKind, dtype: DType) -> Result<(), InferError> {
    let number = dtype.is_integer() || dtype.is_float();
    let (holds, wanted) = match kind {
        ReduceKind::Sum | ReduceKind::Prod => (number || dtype.is_complex(), "numbers"),
        ReduceKind::Max | ReduceKind::Min => (number, "integers or floats"),
        ReduceKind::And | ReduceKind::Or => (dtype == DType::Bool, "bools"),
    };
    let label = format!("{}-c1", cx.name());
    cx.require(holds, &label, || format!("{} wants {wanted}, not {dtype}", kind.as_str()))
}

/// `reduce`.
pub fn reduce(cx: &InferCx<'_>, op: &Reduce) -> InferResult {
    let ty = cx.tensor(0)?;
    combinable(cx, op.kind, ty.dtype)?;
    one(TensorType { dtype: ty.dtype, shape: reduced(cx, ty, &op.axes, op.keepdims)? })
}

/// `arg_reduce`.
pub fn arg_reduce(cx: &InferCx<'_>, op: &ArgReduce) -> InferResult {
    let ty = cx.tensor(0)?;
    combinable(cx, ReduceKind::Max, ty.dtype)?;
    let shape = reduced(cx, ty, &[op.axis], op.keepdims)?;
    let axis = cx.axis(op.axis, ty.rank())?;
    cx.require(ty.shape.get(axis) != Some(&Dim::Known(0)), "arg_reduce-c2", || {
        format!("axis {axis} has no elements")
    })?;
    one(TensorType { dtype: DType::I64, shape })
}

/// `scan_reduce`.
pub fn scan_reduce(cx: &InferCx<'_>, op: &ScanReduce) -> InferResult {
    let ty = cx.tensor(0)?;
    cx.require(!matches!(op.kind, ReduceKind::And | ReduceKind::Or), "scan_reduce-c2", || {
        format!("there is no running {}", op.kind.as_str())
    })?;
    combinable(cx, op.kind, ty.dtype)?;
    cx.axis(op.axis, ty.rank())?;
    one(ty.clone())
}

/// A reduction of integers or floats.
fn real(cx: &InferCx<'_>, axes: &[i64], keepdims: bool) -> InferResult {
    let ty = cx.tensor(0)?;
    combinable(cx, ReduceKind::Max, ty.dtype)?;
    one(TensorType { dtype: ty.dtype, shape: reduced(cx, ty, axes, keepdims)? })
}

/// `reduce_mean`.
pub fn reduce_mean(cx: &InferCx<'_>, op: &ReduceMean) -> InferResult {
    real(cx, &op.axes, op.keepdims)
}

/// `reduce_l1`.
pub fn reduce_l1(cx: &InferCx<'_>, op: &ReduceL1) -> InferResult {
    real(cx, &op.axes, op.keepdims)
}

/// `reduce_l2`.
pub fn reduce_l2(cx: &InferCx<'_>, op: &ReduceL2) -> InferResult {
    real(cx, &op.axes, op.keepdims)
}

/// `reduce_log_sum`.
pub fn reduce_log_sum(cx: &InferCx<'_>, op: &ReduceLogSum) -> InferResult {
    real(cx, &op.axes, op.keepdims)
}

/// `reduce_log_sum_exp`.
pub fn reduce_log_sum_exp(cx: &InferCx<'_>, op: &ReduceLogSumExp) -> InferResult {
    real(cx, &op.axes, op.keepdims)
}

/// `reduce_sum_square`.
pub fn reduce_sum_square(cx: &InferCx<'_>, op: &ReduceSumSquare) -> InferResult {
    real(cx, &op.axes, op.keepdims)
}
