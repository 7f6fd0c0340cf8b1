//! Rules of windows that are pooled.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::infer::conv::window::{Windows, extent};
use airconv_ir::op::{Op, OpKind, PadMode, ReduceKind};

use super::conv::padded;
use super::cx::{Cx, Refuse, float, other};
use super::rules::Rule;
use super::shape::{Fill, pad_axis};
use crate::program::calls::*;
use crate::program::{Arg, Func, Var};

pub(super) const RULES: &[(OpKind, Rule)] = &[
    (OpKind::MaxPool, max_pool),
    (OpKind::AveragePool, average_pool),
    (OpKind::GlobalAveragePool, global_average_pool),
    (OpKind::ReduceWindow, reduce_window),
];

/// The padding that windows reach, per spatial axis.
fn pads(cx: &Cx<'_, '_>, windows: &Windows<'_>) -> Result<Vec<(Dim, Dim)>, Refuse> {
    let shape = cx.ty(0)?.shape;
    let sizes = shape.get(2..).unwrap_or_default();
    let Some(axes) = windows.axes(sizes) else {
        return Refuse::because("a list of the windows is too short");
    };
    let mut out = Vec::new();
    for (i, (axis, size)) in axes.into_iter().zip(sizes).enumerate() {
        let (Some(k), Some(&s)) = (windows.kernel.get(i), windows.strides.get(i)) else {
            return other();
        };
        let high = if windows.ceil_mode {
            let reach = &(&(&axis.out - 1) * s) + &extent(k, 1);
            Dim::max(&(&(&reach - size) - &axis.low), &Dim::Known(0))
        } else {
            axis.high
        };
        out.push((axis.low, high));
    }
    Ok(out)
}

/// A call that pools images, for images and for lines.
fn pool(
    cx: &mut Cx<'_, '_>,
    func: &'static Func,
    mut x: Var,
    kernel: &[i64],
    strides: &[i64],
) -> Result<(), Refuse> {
    let list = |v: &[i64]| v.iter().filter_map(|&n| usize::try_from(n).ok()).collect::<Vec<_>>();
    let (mut kernel, mut strides) = (list(kernel), list(strides));
    let dtype = cx.info(x).dtype;
    let line = cx.shape(x).len() == 3;
    if line {
        let mut shape = cx.shape(x);
        shape.insert(2, Dim::Known(1));
        x = cx.temp(&UNSQUEEZE, vec![x.into(), Arg::Number(2)], dtype, &shape);
        kernel.insert(0, 1);
        strides.insert(0, 1);
    }
    let args = vec![x.into(), Arg::Numbers(kernel), Arg::Numbers(strides)];
    if !line {
        return cx.done(func, args);
    }
    let mut shape = cx.result_ty(0)?.shape.to_vec();
    shape.insert(2, Dim::Known(1));
    let y = cx.temp(func, args, dtype, &shape);
    cx.done(&SQUEEZE, vec![y.into(), Arg::Number(2)])
}

fn max_pool<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::MaxPool(p) = op else { return other() };
    let ty = cx.ty(0)?;
    float(ty.dtype, "pooling")?;
    if cx.node.result(1).is_some() {
        return Refuse::because("candle does not give positions");
    }
    if !(3..=4).contains(&ty.rank()) || p.dilations.iter().any(|&d| d != 1) {
        return Refuse::because("candle pools over 1 or 2 axes without gaps");
    }
    let kernel: Vec<Dim> = p.kernel_shape.iter().map(|&k| Dim::Known(k)).collect();
    let windows = Windows {
        kernel: &kernel,
        strides: &p.strides,
        dilations: &p.dilations,
        pads: &p.pads,
        auto_pad: p.auto_pad,
        ceil_mode: p.ceil_mode,
    };
    let pads = pads(cx, &windows)?;
    let x = cx.x(0)?;
    let positive = cx.is_positive(x);
    let x = padded(cx, x, &pads, if positive { 0.0 } else { f64::NEG_INFINITY })?;
    pool(cx, &MAX_POOL2D, x, &p.kernel_shape, &p.strides)?;
    if positive {
        cx.mark_positive();
    }
    Ok(())
}

fn average_pool<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::AveragePool(p) = op else { return other() };
    let ty = cx.ty(0)?;
    float(ty.dtype, "pooling")?;
    if !(3..=4).contains(&ty.rank()) || p.dilations.iter().any(|&d| d != 1) {
        return Refuse::because("candle pools over 1 or 2 axes without gaps");
    }
    let kernel: Vec<Dim> = p.kernel_shape.iter().map(|&k| Dim::Known(k)).collect();
    let windows = Windows {
        kernel: &kernel,
        strides: &p.strides,
        dilations: &p.dilations,
        pads: &p.pads,
        auto_pad: p.auto_pad,
        ceil_mode: p.ceil_mode,
    };
    let pads = pads(cx, &windows)?;
    let zero = Dim::Known(0);
    let none = pads.iter().all(|(l, h)| *l == zero && *h == zero);
    if !none && (p.ceil_mode || !p.count_include_pad) {
        return Refuse::because("candle counts padding in a mean");
    }
    let x = cx.x(0)?;
    let x = padded(cx, x, &pads, 0.0)?;
    pool(cx, &AVG_POOL2D, x, &p.kernel_shape, &p.strides)
}

fn global_average_pool<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    let ty = cx.ty(0)?;
    float(ty.dtype, "mean")?;
    let x = cx.x(0)?;
    cx.done(&MEAN_KEEPDIM, vec![x.into(), Arg::Numbers((2..ty.rank()).collect())])
}

/// What padding is for a combination.
fn neutral(kind: ReduceKind, dtype: DType) -> Option<f64> {
    Some(match (kind, dtype.int_range()) {
        (ReduceKind::Sum | ReduceKind::Or, _) => 0.0,
        (ReduceKind::Prod | ReduceKind::And, _) => 1.0,
        (ReduceKind::Max, None) => f64::NEG_INFINITY,
        (ReduceKind::Min, None) => f64::INFINITY,
        (ReduceKind::Max, Some((low, _))) if dtype.bits() <= 32 => low as f64,
        (ReduceKind::Min, Some((_, high))) if dtype.bits() <= 32 => high as f64,
        _ => return None,
    })
}

/// Any windows: axis by axis, each a combination of strided slices.
fn reduce_window<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::ReduceWindow(r) = op else { return other() };
    let func: &'static Func = match r.kind {
        ReduceKind::Sum => &WINDOW_SUM,
        ReduceKind::Max | ReduceKind::Or => &WINDOW_MAX,
        ReduceKind::Min | ReduceKind::And => &WINDOW_MIN,
        ReduceKind::Prod => return Refuse::because("candle has no windows of products"),
    };
    let dtype = cx.ty(0)?.dtype;
    super::cx::number(dtype, "windows")?;
    let Some(fill) = neutral(r.kind, dtype) else {
        return Refuse::because(format!("candle cannot pad {dtype}"));
    };
    let mut x = cx.x(0)?;
    let result = cx.result_ty(0)?.shape;
    let rank = result.len();
    for axis in 0..rank {
        let at = |list: &[i64], i: usize| list.get(i).copied().unwrap_or(0);
        let [low, high] = [at(&r.pads, axis), at(&r.pads, rank + axis)].map(Dim::Known);
        x = pad_axis(cx, x, axis, [&low, &high], PadMode::Constant, Fill::Number(fill))?;
        let [window, stride, gap] =
            [&r.window, &r.strides, &r.dilations].map(|l| usize::try_from(at(l, axis)));
        let (Ok(window), Ok(stride), Ok(gap)) = (window, stride, gap) else { return other() };
        if window == 1 && stride == 1 {
            continue;
        }
        let mut shape = cx.shape(x);
        if let (Some(d), Some(n)) = (shape.get_mut(axis), result.get(axis)) {
            *d = n.clone();
        }
        let mut args = vec![Arg::from(x)];
        args.extend([axis, window, stride, gap].map(Arg::Number));
        x = cx.temp(func, args, dtype, &shape);
    }
    cx.same(x)
}
