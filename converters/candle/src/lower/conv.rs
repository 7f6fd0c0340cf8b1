//! Rules of convolutions.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::infer::conv::window::Windows;
use airconv_ir::op::{AutoPad, Op, OpKind, PadMode};

use super::cx::{Cx, Refuse, other};
use super::linear::check_exact;
use super::rules::Rule;
use super::shape::{Fill, pad_axis};
use crate::program::calls::*;
use crate::program::dtype::{is_float, is_half};
use crate::program::{Arg, Layer, Var, Window};

pub(super) const RULES: &[(OpKind, Rule)] =
    &[(OpKind::Conv, conv), (OpKind::ConvTranspose, conv_transpose)];

/// The one number that all of a list are.
pub(super) fn uniform(list: &[i64]) -> Option<usize> {
    let first = *list.first()?;
    list.iter().all(|&v| v == first).then_some(())?;
    usize::try_from(first).ok()
}

/// Padding that is the same number at each side of each axis.
fn uniform_pads(pads: &[(Dim, Dim)]) -> Option<usize> {
    let first = pads.first()?.0.as_known()?;
    let same = pads.iter().all(|(l, h)| *l == Dim::Known(first) && h == l);
    same.then_some(())?;
    usize::try_from(first).ok()
}

/// Zeros around the spatial axes.
pub(super) fn padded(
    cx: &mut Cx<'_, '_>,
    mut x: Var,
    pads: &[(Dim, Dim)],
    value: f64,
) -> Result<Var, Refuse> {
    for (i, (low, high)) in pads.iter().enumerate() {
        x = pad_axis(cx, x, i + 2, [low, high], PadMode::Constant, Fill::Number(value))?;
    }
    Ok(x)
}

/// What a convolution is, whatever the dtype that computes it.
pub(super) struct Moves<'a> {
    pub strides: &'a [i64],
    pub pads: &'a [i64],
    pub dilations: &'a [i64],
    pub groups: i64,
    pub auto_pad: AutoPad,
}

/// The padding of each spatial axis.
fn pads_of(cx: &Cx<'_, '_>, x: Var, w: Var, moves: &Moves<'_>) -> Result<Vec<(Dim, Dim)>, Refuse> {
    let (sizes, kernel) = (cx.shape(x), cx.shape(w));
    let windows = Windows {
        kernel: kernel.get(2..).unwrap_or_default(),
        strides: moves.strides,
        dilations: moves.dilations,
        pads: moves.pads,
        auto_pad: moves.auto_pad,
        ceil_mode: false,
    };
    match windows.axes(sizes.get(2..).unwrap_or_default()) {
        Some(axes) => Ok(axes.into_iter().map(|a| (a.low, a.high)).collect()),
        None => Refuse::because("a list of the windows is too short"),
    }
}

fn conv<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Conv(c) = op else { return other() };
    if c.input_dilations.iter().any(|&d| d != 1) {
        return Refuse::because("candle has no convolution of data with gaps");
    }
    let dtype = cx.ty(0)?.dtype;
    let moves = Moves {
        strides: &c.strides,
        pads: &c.pads,
        dilations: &c.dilations,
        groups: c.groups,
        auto_pad: c.auto_pad,
    };
    let (x, w, bias) = (cx.x(0)?, cx.x(1)?, cx.opt(2)?);
    if !is_float(dtype) {
        let depth = numel(cx.shape(w).get(1..).unwrap_or_default());
        check_exact(cx, dtype, &depth)?;
        let (x, w) = (cx.as_dtype(x, DType::F64), cx.as_dtype(w, DType::F64));
        let y = plain(cx, x, w, &moves)?;
        let y = cx.as_dtype(y, dtype);
        return biased(cx, y, bias);
    }
    if let Some(window) = layer_window(cx, x, w, bias, &moves)? {
        let pads = pads_of(cx, x, w, &moves)?;
        let (x, padding) = match uniform_pads(&pads) {
            Some(p) => (x, p),
            None => (padded(cx, x, &pads, 0.0)?, 0),
        };
        let window = Window { padding, ..window };
        let layer =
            if cx.shape(w).len() == 3 { Layer::Conv1d(window) } else { Layer::Conv2d(window) };
        return cx.done_layer(layer, vec![x.into(), w.into(), Arg::Maybe(bias)]);
    }
    // Sums over the kernel are kept in `f32`.
    let wide = if is_half(dtype) { DType::F32 } else { dtype };
    let (x, w) = (cx.as_dtype(x, wide), cx.as_dtype(w, wide));
    let y = plain(cx, x, w, &moves)?;
    let y = cx.as_dtype(y, dtype);
    biased(cx, y, bias)
}

/// Adds a bias per channel.
fn biased(cx: &mut Cx<'_, '_>, y: Var, bias: Option<Var>) -> Result<(), Refuse> {
    match bias {
        None => cx.same(y),
        Some(bias) => {
            let mut shape = vec![Dim::Known(1); cx.shape(y).len()];
            if let Some(d) = shape.get_mut(1) {
                *d = cx.shape(bias).first().cloned().unwrap_or(Dim::Known(1));
            }
            let bias = cx.reshaped(bias, &shape);
            cx.done(&BROADCAST_ADD, vec![y.into(), bias.into()])
        }
    }
}

/// How a layer of candle moves, without padding, where a convolution is one.
fn layer_window(
    cx: &Cx<'_, '_>,
    x: Var,
    w: Var,
    bias: Option<Var>,
    moves: &Moves<'_>,
) -> Result<Option<Window>, Refuse> {
    let rank = cx.shape(x).len();
    let weights = cx.is_weight(w) && bias.is_none_or(|b| cx.is_weight(b));
    let known = cx.info(w).shape.iter().all(|d| d.as_known().is_some());
    let no_bf16 = cx.info(x).dtype != DType::BF16;
    let (Some(stride), Some(dilation), Ok(groups)) =
        (uniform(moves.strides), uniform(moves.dilations), usize::try_from(moves.groups))
    else {
        return Ok(None);
    };
    let fits = (rank == 3 || rank == 4) && weights && known && no_bf16;
    Ok(fits.then_some(Window { padding: 0, output_padding: 0, stride, dilation, groups }))
}

/// A convolution without bias, by a call.
pub(super) fn plain(cx: &mut Cx<'_, '_>, x: Var, w: Var, moves: &Moves<'_>) -> Result<Var, Refuse> {
    let dtype = cx.info(x).dtype;
    let shape = cx.result_ty(0)?.shape.to_vec();
    let pads = pads_of(cx, x, w, moves)?;
    let Ok(groups) = usize::try_from(moves.groups) else { return other() };
    let rank = shape.len();
    if (rank == 3 || rank == 4)
        && dtype != DType::BF16
        && let (Some(stride), Some(dilation)) = (uniform(moves.strides), uniform(moves.dilations))
    {
        let (x, padding) = match uniform_pads(&pads) {
            Some(p) => (x, p),
            None => (padded(cx, x, &pads, 0.0)?, 0),
        };
        let mut args = vec![x.into(), w.into()];
        args.extend([padding, stride, dilation, groups].map(Arg::Number));
        let func = if rank == 3 { &CONV1D } else { &CONV2D };
        return Ok(cx.temp(func, args, dtype, &shape));
    }
    if rank < 3 {
        return Refuse::because("candle has no convolution without spatial axes");
    }
    let x = padded(cx, x, &pads, 0.0)?;
    let args = vec![
        x.into(),
        w.into(),
        Arg::Ints(moves.strides.to_vec()),
        Arg::Ints(moves.dilations.to_vec()),
        Arg::Number(groups),
    ];
    Ok(cx.temp(&CONV_ND, args, dtype, &shape))
}

fn conv_transpose<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::ConvTranspose(c) = op else { return other() };
    let (x, w, bias) = (cx.x(0)?, cx.x(1)?, cx.opt(2)?);
    let dtype = cx.info(x).dtype;
    let rank = cx.shape(x).len();
    if !matches!(dtype, DType::F32 | DType::F64 | DType::F16) || !(rank == 3 || rank == 4) {
        return Refuse::because("candle has transposed convolutions of floats over 1 or 2 axes");
    }
    if !cx.is_weight(w) || bias.is_some_and(|b| !cx.is_weight(b)) {
        return Refuse::because("its weights are computed");
    }
    let (Some(stride), Some(dilation), Ok(groups)) =
        (uniform(&c.strides), uniform(&c.dilations), usize::try_from(c.groups))
    else {
        return Refuse::because("candle moves by the same step along both axes");
    };
    if rank == 4 && groups != 1 {
        return Refuse::because("candle has no groups in transposed convolutions");
    }
    let (sizes, kernel, out) = (cx.shape(x), cx.shape(w), cx.result_ty(0)?.shape.to_vec());
    let mut removed = Vec::new();
    for i in 0..rank - 2 {
        let (Some(size), Some(k), Some(o)) = (sizes.get(i + 2), kernel.get(i + 2), out.get(i + 2))
        else {
            return other();
        };
        let reach = &(&(k - 1) * &Dim::Known(dilation as i64)) + 1;
        let full = &(&(size - 1) * &Dim::Known(stride as i64)) + &reach;
        let extra = c.output_padding.get(i).copied().unwrap_or(0);
        let natural = &full + extra;
        let total = Dim::max(&(&natural - o), &Dim::Known(0));
        let low = match c.auto_pad {
            AutoPad::Explicit if c.output_shape.is_empty() => {
                Dim::Known(c.pads.get(i).copied().unwrap_or(0))
            }
            AutoPad::Valid if c.output_shape.is_empty() => Dim::Known(0),
            AutoPad::SameUpper => total.floor_div(&Dim::Known(2)),
            _ => total.ceil_div(&Dim::Known(2)),
        };
        removed.push((low.clone(), &(&natural - o) - &low, extra));
    }
    let same = |pick: fn(&(Dim, Dim, i64)) -> Dim| {
        let first = removed.first().map(pick)?.as_known()?;
        let all = removed.iter().all(|r| pick(r) == Dim::Known(first));
        all.then_some(first).and_then(|v| usize::try_from(v).ok())
    };
    let symmetric = removed.iter().all(|(low, high, _)| low == high);
    let extra = same(|r| Dim::Known(r.2));
    let padding = if symmetric { same(|r| r.0.clone()) } else { None };
    let Some(output_padding) = extra else {
        return Refuse::because("candle adds the same at the end of both axes");
    };
    let window = Window { padding: padding.unwrap_or(0), output_padding, stride, dilation, groups };
    let one = cx.shape(x).first() == Some(&Dim::Known(1));
    if rank == 3 && !one {
        if padding.is_none() {
            return Refuse::because("candle removes the same at both ends");
        }
        let mut args = vec![x.into(), w.into()];
        let numbers = [window.padding, output_padding, stride, dilation, groups];
        args.extend(numbers.map(Arg::Number));
        let y = cx.temp(&CONV_TRANSPOSE1D, args, dtype, &out);
        return biased(cx, y, bias);
    }
    let layer =
        if rank == 3 { Layer::ConvTranspose1d(window) } else { Layer::ConvTranspose2d(window) };
    let args = vec![x.into(), w.into(), Arg::Maybe(bias)];
    if padding.is_some() {
        return cx.done_layer(layer, args);
    }
    // All of it, then the part that is wanted.
    let mut shape = out.clone();
    for (i, (low, high, _)) in removed.iter().enumerate() {
        if let Some(d) = shape.get_mut(i + 2) {
            *d = &(&*d + low) + high;
        }
    }
    let mut y = cx.temp_layer(layer, args, dtype, &shape);
    for (i, (low, _, _)) in removed.iter().enumerate() {
        let (Some(d), Some(o)) = (shape.get_mut(i + 2), out.get(i + 2)) else { return other() };
        if d == o {
            continue;
        }
        *d = o.clone();
        let args = vec![y.into(), Arg::Number(i + 2), Arg::Size(low.clone()), Arg::Size(o.clone())];
        y = cx.temp(&NARROW, args, dtype, &shape.clone());
    }
    cx.mark_view(y);
    cx.same(y)
}
