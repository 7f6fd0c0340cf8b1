//! Rules of the reduce family.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{ArgKind, Op, OpKind, ReduceKind};

use super::cx::{Cx, Refuse, axes, float, number, other};
use super::rules::Rule;
use crate::program::calls::*;
use crate::program::dtype::held;
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
            cx.done_wide(func, x, vec![Arg::Numbers(list)])
        }
        ReduceKind::Max | ReduceKind::Or => {
            one_by_one(cx, x, &list, r.keepdims, &MAX_KEEPDIM, &MAX)
        }
        ReduceKind::Min | ReduceKind::And => {
            one_by_one(cx, x, &list, r.keepdims, &MIN_KEEPDIM, &MIN)
        }
        ReduceKind::Prod => {
            number(dtype, "product")?;
            let kept = kept(cx, x, &list, &PROD_KEEPDIM);
            let result = cx.result_ty(0)?.shape.to_vec();
            let y = cx.reshaped(kept, &result);
            cx.same(y)
        }
    }
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
        return cx.done_wide(&CUMSUM, x, args);
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
    }
    cx.done_wide(func, x, args)
}
