//! Rules of the reduce family.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{ArgKind, Op, OpKind, ReduceKind};

use super::cx::{Cx, Refuse, axes, float, number, other};
use super::rules::Rule;
use crate::program::calls::*;
use crate::program::dtype::{held, is_float};
use crate::program::{Arg, Func, Var};

pub(super) const RULES: &[(OpKind, Rule)] = &[
    (OpKind::Reduce, reduce),
    (OpKind::ReduceMean, mean),
    (OpKind::ArgReduce, arg_reduce),
    (OpKind::ScanReduce, scan_reduce),
];

fn reduce<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Reduce(r) = op else { return other() };
    let dtype = cx.ty(0)?.dtype;
    let list = axes(&r.axes);
    let x = cx.x(0)?;
    if list.is_empty() {
        return cx.same(x);
    }
    let none = list.iter().any(|&a| cx.shape(x).get(a) == Some(&Dim::Known(0)));
    if none && matches!(r.kind, ReduceKind::Max | ReduceKind::Min) {
        // Of nothing: what any other element would replace.
        float(dtype, "greatest of nothing")?;
        let least = if r.kind == ReduceKind::Max { f64::NEG_INFINITY } else { f64::INFINITY };
        let shape = Arg::Shape(cx.result_ty(0)?.shape.to_vec());
        return cx.done(&FULL, vec![Arg::Float(least), shape, Arg::DType(dtype), Arg::Device]);
    }
    match r.kind {
        ReduceKind::Sum => {
            number(dtype, "sum")?;
            let func = if r.keepdims { &SUM_KEEPDIM } else { &SUM };
            exactly(cx, func, x, vec![Arg::Numbers(list)])
        }
        ReduceKind::Max | ReduceKind::Or => {
            one_by_one(cx, x, &list, r.keepdims, &MAX_KEEPDIM, &MAX)
        }
        ReduceKind::Min | ReduceKind::And => {
            one_by_one(cx, x, &list, r.keepdims, &MIN_KEEPDIM, &MIN)
        }
        ReduceKind::Prod => {
            number(dtype, "product")?;
            let wide = if is_float(dtype) { x } else { cx.as_dtype(x, DType::I64) };
            let kept = kept(cx, wide, &list, &PROD_KEEPDIM);
            let result = cx.result_ty(0)?.shape.to_vec();
            let y = cx.reshaped(kept, &result);
            let y = cx.as_dtype(y, dtype);
            cx.same(y)
        }
    }
}

/// A sum or product over axes; of narrow integers in 64 bits, of which the low ones count: candle's
/// own arithmetic of integers fails on overflow in programs that check for it.
fn exactly(cx: &mut Cx<'_, '_>, func: &'static Func, x: Var, rest: Vec<Arg>) -> Result<(), Refuse> {
    let dtype = cx.info(x).dtype;
    if is_float(dtype) || dtype == DType::I64 {
        return cx.done_wide(func, x, rest);
    }
    let wide = cx.as_dtype(x, DType::I64);
    let shape = cx.result_ty(0)?.shape.to_vec();
    let args = std::iter::once(Arg::from(wide)).chain(rest).collect();
    let y = cx.temp(func, args, DType::I64, &shape);
    cx.done(&TO_DTYPE, vec![y.into(), Arg::DType(dtype)])
}

/// Axis by axis, each kept with size 1.
fn kept(cx: &mut Cx<'_, '_>, mut x: Var, list: &[usize], func: &'static Func) -> Var {
    let dtype = cx.info(x).dtype;
    for &axis in list {
        let mut shape = cx.shape(x);
        if let Some(d) = shape.get_mut(axis) {
            *d = Dim::Known(1);
        }
        x = cx.temp(func, vec![x.into(), Arg::Number(axis)], dtype, &shape);
    }
    x
}

/// Axis by axis, from the last one on.
fn one_by_one(
    cx: &mut Cx<'_, '_>,
    mut x: Var,
    list: &[usize],
    keepdims: bool,
    with: &'static Func,
    without: &'static Func,
) -> Result<(), Refuse> {
    if keepdims {
        let y = kept(cx, x, list, with);
        return cx.same(y);
    }
    let mut list = list.to_vec();
    list.sort_unstable();
    let dtype = cx.info(x).dtype;
    for axis in list.into_iter().rev() {
        let mut shape = cx.shape(x);
        if axis < shape.len() {
            shape.remove(axis);
        }
        x = cx.temp(without, vec![x.into(), Arg::Number(axis)], dtype, &shape);
    }
    cx.same(x)
}

fn mean<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::ReduceMean(r) = op else { return other() };
    float(cx.ty(0)?.dtype, "mean")?;
    let x = cx.x(0)?;
    let list = axes(&r.axes);
    if list.is_empty() {
        return cx.same(x);
    }
    let func = if r.keepdims { &MEAN_KEEPDIM } else { &MEAN };
    cx.done_wide(func, x, vec![Arg::Numbers(list)])
}

fn arg_reduce<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::ArgReduce(r) = op else { return other() };
    if held(cx.ty(0)?.dtype).is_none() {
        return Refuse::because("candle has no such dtype");
    }
    let Ok(axis) = usize::try_from(r.axis) else { return other() };
    let func = match (r.kind, r.keepdims) {
        (ArgKind::Max, false) => &ARGMAX,
        (ArgKind::Max, true) => &ARGMAX_KEEPDIM,
        (ArgKind::Min, false) => &ARGMIN,
        (ArgKind::Min, true) => &ARGMIN_KEEPDIM,
    };
    let x = cx.x(0)?;
    if r.select_last {
        let args = vec![x.into(), Arg::Number(axis), Arg::Bool(r.kind == ArgKind::Max)];
        let mut shape = cx.shape(x);
        if let Some(d) = shape.get_mut(axis) {
            *d = Dim::Known(1);
        }
        let last = cx.temp(&ARG_LAST, args, DType::I64, &shape);
        let shape = cx.result_ty(0)?.shape.to_vec();
        let last = cx.reshaped(last, &shape);
        return cx.same(last);
    }
    let shape = cx.result_ty(0)?.shape.to_vec();
    let found = cx.temp(func, vec![x.into(), Arg::Number(axis)], DType::U32, &shape);
    cx.done(&TO_DTYPE, vec![found.into(), Arg::DType(DType::I64)])
}

fn scan_reduce<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::ScanReduce(s) = op else { return other() };
    let dtype = cx.ty(0)?.dtype;
    let Ok(axis) = usize::try_from(s.axis) else { return other() };
    let x = cx.x(0)?;
    let mut args = vec![Arg::Number(axis)];
    if s.kind == ReduceKind::Sum && !s.exclusive && !s.reverse {
        number(dtype, "running sum")?;
        return exactly(cx, &CUMSUM, x, args);
    }
    args.extend([Arg::Bool(s.reverse), Arg::Bool(s.exclusive)]);
    let func: &'static Func = match s.kind {
        ReduceKind::Sum => &SCAN_SUM,
        ReduceKind::Prod => &SCAN_PROD,
        _ if s.exclusive => return Refuse::because("candle has no least element to begin with"),
        ReduceKind::Max | ReduceKind::Or => &SCAN_MAX,
        ReduceKind::Min | ReduceKind::And => &SCAN_MIN,
    };
    if matches!(s.kind, ReduceKind::Sum | ReduceKind::Prod) {
        number(dtype, "running sum")?;
        return exactly(cx, func, x, args);
    }
    cx.done_wide(func, x, args)
}
