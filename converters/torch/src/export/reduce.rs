//! Writing rules of the reduce family.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{ArgKind, Op, OpKind, ReduceKind};
use airconv_ir::types::TensorType;

use super::cx::{ExportCx, Refuse, Written, args, axes_of, number_of, other_op};
use super::elementwise::compute_dtype;
use super::program::{Arg, Var};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Reduce, reduce),
    ExportRule::new(OpKind::ArgReduce, arg_reduce),
    ExportRule::new(OpKind::ScanReduce, scan_reduce),
    ExportRule::new(OpKind::ReduceMean, reduce_mean),
    ExportRule::new(OpKind::ReduceL1, reduce_l1),
    ExportRule::new(OpKind::ReduceL2, reduce_l2),
    ExportRule::new(OpKind::ReduceLogSumExp, reduce_log_sum_exp),
];

/// A dtype as an argument where PyTorch would otherwise widen integers.
fn accumulate(dtype: DType) -> Arg {
    if dtype.is_integer() { dtype.into() } else { Arg::Default }
}

/// The neutral element of an extreme.
pub(super) fn neutral(kind: ReduceKind, dtype: DType) -> Arg {
    let ends = dtype.int_range();
    match (kind, ends) {
        (ReduceKind::Sum, _) => number_of(dtype, 0.0),
        (ReduceKind::Prod, _) => number_of(dtype, 1.0),
        (ReduceKind::Max, Some((low, _))) => Arg::Int(low as i64),
        (ReduceKind::Min, Some((_, high))) => Arg::Int(i64::try_from(high).unwrap_or(i64::MAX)),
        (ReduceKind::Max, None) => Arg::Float(f64::NEG_INFINITY),
        (ReduceKind::Min, None) => Arg::Float(f64::INFINITY),
        (ReduceKind::And, _) => Arg::Bool(true),
        (ReduceKind::Or, _) => Arg::Bool(false),
    }
}

fn reduce(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Reduce(r) = op else { return other_op() };
    let x = cx.x(0)?;
    let ty = cx.result_type(0)?;
    if r.axes.is_empty() {
        return cx.one(x);
    }
    let work = compute_dtype(ty.dtype);
    if ty.dtype == DType::U64 && matches!(r.kind, ReduceKind::Max | ReduceKind::Min) {
        return Refuse::because("PyTorch has no order of u64");
    }
    let x = cx.cast(x, work)?;
    let wide = TensorType { dtype: work, ..ty.clone() };
    let y = match r.kind {
        ReduceKind::Sum => {
            let args = args![x, &r.axes, r.keepdims, accumulate(work)];
            cx.op("aten::sum.dim_IntList", args, wide)?
        }
        ReduceKind::Prod => product(cx, x, &axes_of(&r.axes)?, r.keepdims)?,
        ReduceKind::Max | ReduceKind::Min => extreme(cx, x, (r.kind, &r.axes, r.keepdims), wide)?,
        ReduceKind::And => cx.op("aten::all.dims", args![x, &r.axes, r.keepdims], wide)?,
        ReduceKind::Or => cx.op("aten::any.dims", args![x, &r.axes, r.keepdims], wide)?,
    };
    let y = cx.cast(y, ty.dtype)?;
    cx.one(y)
}

/// Products go along one axis at a time.
fn product(
    cx: &mut ExportCx<'_, '_>,
    mut x: Var,
    axes: &[usize],
    keep: bool,
) -> Result<Var, Refuse> {
    let mut axes = axes.to_vec();
    axes.sort_unstable();
    for &axis in axes.iter().rev() {
        let mut ty = cx.ty(x)?;
        if keep && axis < ty.rank() {
            ty.shape[axis] = Dim::Known(1);
        } else if axis < ty.rank() {
            ty.shape.remove(axis);
        }
        let args = args![x, axis, keep, accumulate(ty.dtype)];
        x = cx.op("aten::prod.dim_int", args, ty)?;
    }
    Ok(x)
}

/// `amax` and `amin` fail on axes of size 0, where the op has its neutral element.
fn extreme(
    cx: &mut ExportCx<'_, '_>,
    x: Var,
    (kind, axes, keep): (ReduceKind, &[i64], bool),
    ty: TensorType,
) -> Result<Var, Refuse> {
    let shape = cx.shape(x)?;
    let empty = axes_of(axes)?.iter().any(|&a| shape.get(a) == Some(&Dim::Known(0)));
    if empty {
        return cx.full(&ty.shape, neutral(kind, ty.dtype), ty.dtype);
    }
    let name = if kind == ReduceKind::Max { "aten::amax" } else { "aten::amin" };
    cx.op(name, args![x, axes, keep], ty)
}

/// `arg_reduce`: the first of equal ones; the last one is the first from the end.
fn arg_reduce(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ArgReduce(a) = op else { return other_op() };
    let axis = axes_of(&[a.axis])?[0];
    let mut x = cx.x(0)?;
    let dtype = cx.dtype(x)?;
    if dtype == DType::U64 {
        return Refuse::because("PyTorch has no order of u64");
    }
    x = cx.cast(x, if dtype == DType::Bool { DType::U8 } else { compute_dtype(dtype) })?;
    let ty = cx.result_type(0)?;
    let size = cx.axis_size(x, axis)?;
    if a.select_last {
        x = cx.flip(x, &[axis])?;
    }
    let name = if a.kind == ArgKind::Max { "aten::argmax" } else { "aten::argmin" };
    let mut y = cx.op(name, args![x, axis, a.keepdims], ty)?;
    if a.select_last {
        let last = cx.size(&(&size - 1))?;
        y = cx.with("aten::rsub.Scalar", y, last)?;
    }
    cx.one(y)
}

fn scan_reduce(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ScanReduce(s) = op else { return other_op() };
    let axis = axes_of(&[s.axis])?[0];
    let x = cx.x(0)?;
    let dtype = cx.dtype(x)?;
    if dtype == DType::U64 && matches!(s.kind, ReduceKind::Max | ReduceKind::Min) {
        return Refuse::because("PyTorch has no order of u64");
    }
    let mut x = cx.cast(x, compute_dtype(dtype))?;
    if s.reverse {
        x = cx.flip(x, &[axis])?;
    }
    let ty = cx.ty(x)?;
    let at = TensorType { dtype: DType::I64, ..ty.clone() };
    let mut y = match s.kind {
        ReduceKind::Sum => {
            cx.op("aten::cumsum", args![x, axis, accumulate(ty.dtype)], ty.clone())?
        }
        ReduceKind::Prod => {
            cx.op("aten::cumprod", args![x, axis, accumulate(ty.dtype)], ty.clone())?
        }
        ReduceKind::Max => cx.ops("aten::cummax", args![x, axis], [ty.clone(), at])?[0],
        ReduceKind::Min => cx.ops("aten::cummin", args![x, axis], [ty.clone(), at])?[0],
        ReduceKind::And | ReduceKind::Or => return Refuse::because("a scan of bools"),
    };
    if s.exclusive {
        let mut low = vec![Dim::Known(0); ty.rank()];
        let mut high = low.clone();
        low[axis] = Dim::Known(1);
        high[axis] = Dim::Known(-1);
        y = cx.pad(y, &low, &high, neutral(s.kind, ty.dtype))?;
    }
    if s.reverse {
        y = cx.flip(y, &[axis])?;
    }
    let y = cx.cast(y, dtype)?;
    cx.one(y)
}

fn reduce_mean(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ReduceMean(r) = op else { return other_op() };
    float_reduction(cx, &r.axes, |cx, x, ty| {
        cx.op("aten::mean.dim", args![x, &r.axes, r.keepdims], ty)
    })
}

fn reduce_l1(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ReduceL1(r) = op else { return other_op() };
    float_reduction(cx, &r.axes, |cx, x, ty| {
        cx.op("aten::linalg_vector_norm", args![x, 1i64, &r.axes, r.keepdims], ty)
    })
}

fn reduce_l2(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ReduceL2(r) = op else { return other_op() };
    float_reduction(cx, &r.axes, |cx, x, ty| {
        cx.op("aten::linalg_vector_norm", args![x, 2i64, &r.axes, r.keepdims], ty)
    })
}

fn reduce_log_sum_exp(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ReduceLogSumExp(r) = op else { return other_op() };
    float_reduction(cx, &r.axes, |cx, x, ty| {
        cx.op("aten::logsumexp", args![x, &r.axes, r.keepdims], ty)
    })
}

/// A reduction of floats along at least one axis.
fn float_reduction(
    cx: &mut ExportCx<'_, '_>,
    axes: &[i64],
    write: impl FnOnce(&mut ExportCx<'_, '_>, Var, TensorType) -> Result<Var, Refuse>,
) -> Written {
    let x = cx.x(0)?;
    let ty = cx.result_type(0)?;
    let shape = cx.shape(x)?;
    if axes.is_empty() || !ty.dtype.is_float() || ty.dtype.bits() < 16 {
        return Refuse::because("PyTorch's form is of floats along at least one axis");
    }
    if axes_of(axes)?.iter().any(|&a| shape.get(a) == Some(&Dim::Known(0))) {
        return Refuse::because("it reduces nothing");
    }
    let y = write(cx, x, ty)?;
    cx.one(y)
}
