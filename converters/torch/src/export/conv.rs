//! Writing rules of convolutions.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::infer::conv::window::{WindowAxis, Windows, extent, spread};
use airconv_ir::op::{AutoPad, Conv, ConvTranspose, Op, OpKind};
use airconv_ir::types::TensorType;

use super::cx::{ExportCx, Refuse, Written, args, number_of, other_op};
use super::program::{Arg, Var};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] =
    &[ExportRule::new(OpKind::Conv, conv), ExportRule::new(OpKind::ConvTranspose, conv_transpose)];

/// The name of the operator for 1, 2 or 3 spatial axes.
pub(super) fn by_rank(spatial: usize, names: [&'static str; 3]) -> Result<&'static str, Refuse> {
    match spatial.checked_sub(1).and_then(|i| names.get(i)) {
        Some(name) => Ok(name),
        None => Refuse::because(format!("PyTorch has no form of it for {spatial} spatial axes")),
    }
}

/// The padding of windows: what the operator takes itself, and what has to be put around
/// before, low and high by spatial axis.
pub(super) struct Padding {
    pub own: Vec<i64>,
    pub low: Vec<Dim>,
    pub high: Vec<Dim>,
}

/// Splits paddings: equal known ones up to a limit by axis are the operator's.
pub(super) fn split_padding(axes: &[WindowAxis], limit: &[i64]) -> Padding {
    let own = |(a, &limit): (&WindowAxis, &i64)| match (a.low.as_known(), a.high.as_known()) {
        (Some(l), Some(h)) if l == h && (0..=limit).contains(&l) => Some(l),
        _ => None,
    };
    let shared: Option<Vec<i64>> = axes.iter().zip(limit).map(own).collect();
    match shared {
        Some(own) => {
            let none = vec![Dim::Known(0); own.len()];
            Padding { own, low: none.clone(), high: none }
        }
        None => Padding {
            own: vec![0; axes.len()],
            low: axes.iter().map(|a| a.low.clone()).collect(),
            high: axes.iter().map(|a| a.high.clone()).collect(),
        },
    }
}

/// A tensor with paddings of its spatial axes, which come after batch and channels.
pub(super) fn pad_spatial(
    cx: &mut ExportCx<'_, '_>,
    x: Var,
    low: &[Dim],
    high: &[Dim],
    value: Arg,
) -> Result<Var, Refuse> {
    let outer = cx.ty(x)?.rank().saturating_sub(low.len());
    let all = |side: &[Dim]| -> Vec<Dim> {
        std::iter::repeat_n(Dim::Known(0), outer).chain(side.iter().cloned()).collect()
    };
    cx.pad(x, &all(low), &all(high), value)
}

fn conv(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Conv(c) = op else { return other_op() };
    let (mut x, w) = (cx.x(0)?, cx.x(1)?);
    let dtype = cx.dtype(x)?;
    x = gaps(cx, x, &c.input_dilations)?;
    let kernel: Vec<Dim> = cx.shape(w)?.iter().skip(2).cloned().collect();
    let spatial: Vec<Dim> = cx.shape(x)?.iter().skip(2).cloned().collect();
    let windows = Windows {
        kernel: &kernel,
        strides: &c.strides,
        dilations: &c.dilations,
        pads: &c.pads,
        auto_pad: c.auto_pad,
        ceil_mode: false,
    };
    let Some(axes) = windows.axes(&spatial) else { return Refuse::because("its lists are short") };
    if !dtype.is_float() || dtype.bits() < 16 {
        return whole_numbers(cx, x, w, c, &axes);
    }
    let padding = split_padding(&axes, &vec![i64::MAX; axes.len()]);
    x = pad_spatial(cx, x, &padding.low, &padding.high, number_of(dtype, 0.0))?;
    let name = by_rank(axes.len(), ["aten::conv1d", "aten::conv2d", "aten::conv3d"])?;
    let bias = cx.opt(2)?.map_or(Arg::Default, Arg::Tensor);
    let ty = cx.result_type(0)?;
    let args = args![x, w, bias, &c.strides, &padding.own, &c.dilations, c.groups];
    let y = cx.op(name, args, ty)?;
    cx.one(y)
}

/// Zeros between the elements of the spatial axes.
fn gaps(cx: &mut ExportCx<'_, '_>, mut x: Var, dilations: &[i64]) -> Result<Var, Refuse> {
    for (i, &d) in dilations.iter().enumerate().filter(|(_, d)| **d > 1) {
        let axis = i + 2;
        let size = cx.axis_size(x, axis)?;
        let zero = number_of(cx.dtype(x)?, 0.0);
        let column = cx.unsqueeze(x, axis + 1)?;
        let rank = cx.ty(column)?.rank();
        let mut high = vec![Dim::Known(0); rank];
        high[axis + 1] = Dim::Known(d - 1);
        let wide = cx.pad(column, &vec![Dim::Known(0); rank], &high, zero)?;
        let mut dims = cx.shape(x)?.to_vec();
        dims[axis] = &size * d;
        let flat = cx.reshape(wide, &dims)?;
        let end = spread(&size, d);
        x = cx.slice(flat, axis, (&Dim::Known(0), &end), 1, end.clone())?;
    }
    Ok(x)
}

/// A convolution of integers: windows as axes of their own, then a sum of products, which wraps
/// as the dtype does.
fn whole_numbers(
    cx: &mut ExportCx<'_, '_>,
    x: Var,
    w: Var,
    c: &Conv,
    axes: &[WindowAxis],
) -> Written {
    let dtype = cx.dtype(x)?;
    if !matches!(dtype, DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64) {
        return Refuse::because(format!("PyTorch has no convolution of {dtype}"));
    }
    let low: Vec<Dim> = axes.iter().map(|a| a.low.clone()).collect();
    let high: Vec<Dim> = axes.iter().map(|a| a.high.clone()).collect();
    let mut x = pad_spatial(cx, x, &low, &high, Arg::Int(0))?;
    let w_shape = cx.shape(w)?;
    let n = axes.len();
    for (i, axis) in axes.iter().enumerate() {
        let kernel = w_shape.get(2 + i).and_then(Dim::as_known);
        let Some(kernel) = kernel else { return Refuse::because("the kernel's size is not known") };
        let windows = (kernel, c.strides[i], c.dilations[i], axis.out.clone());
        x = unfold(cx, x, 2 + i, windows)?;
    }
    let (Some(groups), [m, per_group, kernel @ ..]) = (Some(c.groups), &w_shape[..]) else {
        return other_op();
    };
    let shape = cx.shape(x)?;
    let mut dims = vec![shape[0].clone(), Dim::Known(groups), per_group.clone()];
    dims.extend(shape.iter().skip(2).cloned());
    let x = cx.reshape(x, &dims)?;
    let mut w_dims = vec![Dim::Known(groups), m.floor_div(&Dim::Known(groups)), per_group.clone()];
    w_dims.extend(kernel.iter().cloned());
    let w = cx.reshape(w, &w_dims)?;
    let (outs, kernels) = (&"opq"[..n.min(3)], &"ijk"[..n.min(3)]);
    let equation = format!("ngc{outs}{kernels},gmc{kernels}->ngm{outs}");
    let result = cx.result_type(0)?;
    let mut grouped = vec![result.shape[0].clone(), Dim::Known(groups), w_dims[1].clone()];
    grouped.extend(result.shape.iter().skip(2).cloned());
    let ty = TensorType::new(dtype, grouped);
    let y = cx.op("aten::einsum", args![equation.as_str(), vec![x, w]], ty)?;
    let mut y = cx.reshape(y, &result.shape)?;
    if let Some(bias) = cx.opt(2)? {
        let mut dims = vec![Dim::Known(1); n + 1];
        dims[0] = m.clone();
        let bias = cx.reshape(bias, &dims)?;
        y = cx.binary("aten::add.Tensor", y, bias)?;
    }
    cx.one(y)
}

/// The windows along an axis, whose elements become the last axis: size, step and distance of
/// elements, and the number of windows.
pub(super) fn unfold(
    cx: &mut ExportCx<'_, '_>,
    x: Var,
    axis: usize,
    (window, step, dilation, out): (i64, i64, i64, Dim),
) -> Result<Var, Refuse> {
    let mut ty = cx.ty(x)?;
    let extent = extent(&Dim::Known(window), dilation);
    match ty.shape.get_mut(axis) {
        Some(size) => *size = out,
        None => return Refuse::because(format!("there is no axis {axis}")),
    }
    ty.shape.push(extent.clone());
    let last = ty.shape.len() - 1;
    let size = cx.size(&extent)?;
    let y = cx.op("aten::unfold", args![x, axis, size, step], ty)?;
    if dilation == 1 {
        return Ok(y);
    }
    cx.slice(y, last, (&Dim::Known(0), &Dim::Known(i64::MAX)), dilation, Dim::Known(window))
}

/// `conv_transpose`: PyTorch removes the same from both ends; the rest is sliced off.
fn conv_transpose(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ConvTranspose(c) = op else { return other_op() };
    let (x, w) = (cx.x(0)?, cx.x(1)?);
    let dtype = cx.dtype(x)?;
    if !dtype.is_float() || dtype.bits() < 16 {
        return Refuse::because(format!("PyTorch has no transposed convolution of {dtype}"));
    }
    let result = cx.result_type(0)?;
    let kernel: Vec<Dim> = cx.shape(w)?.iter().skip(2).cloned().collect();
    let spatial: Vec<Dim> = cx.shape(x)?.iter().skip(2).cloned().collect();
    let ends = ends(c, &kernel, &spatial, result.shape.get(2..).unwrap_or_default())?;
    let own: Vec<i64> = ends.iter().map(|e| e.0.min(e.1).max(0)).collect();
    let more: Vec<i64> = ends.iter().map(|e| (-e.1).max(0)).collect();
    for (i, &m) in more.iter().enumerate() {
        if m > 0 && (m >= c.strides[i].max(c.dilations[i]) || own[i] > 0) {
            return Refuse::because("more is added at the end than PyTorch allows");
        }
    }
    let mut ty = result.clone();
    for (i, (low, high)) in ends.iter().enumerate() {
        let removed = low + high - 2 * own[i] + more[i];
        ty.shape[2 + i] = &result.shape[2 + i] + removed;
    }
    let names =
        ["aten::conv_transpose1d", "aten::conv_transpose2d.input", "aten::conv_transpose3d.input"];
    let name = by_rank(spatial.len(), names)?;
    let bias = cx.opt(2)?.map_or(Arg::Default, Arg::Tensor);
    let args = args![x, w, bias, &c.strides, &own, &more, c.groups, &c.dilations];
    let mut y = cx.op(name, args, ty)?;
    for (i, (low, _)) in ends.iter().enumerate() {
        let size = result.shape[2 + i].clone();
        let start = Dim::Known(low - own[i]);
        if cx.axis_size(y, 2 + i)? != size {
            let end = &start + &size;
            y = cx.slice(y, 2 + i, (&start, &end), 1, size)?;
        }
    }
    cx.one(y)
}

/// What is removed before and after each spatial axis of the whole transposed convolution;
/// negative where something is added at the end.
fn ends(
    c: &ConvTranspose,
    kernel: &[Dim],
    spatial: &[Dim],
    result: &[Dim],
) -> Result<Vec<(i64, i64)>, Refuse> {
    let n = spatial.len();
    let mut out = Vec::new();
    for i in 0..n {
        let (Some(&stride), Some(&dilation), Some(size)) =
            (c.strides.get(i), c.dilations.get(i), result.get(i))
        else {
            return Refuse::because("its lists are short");
        };
        let full = &(&(&spatial[i] - 1) * stride) + &extent(&kernel[i], dilation);
        let Some(total) = (&full - size).as_known() else {
            return Refuse::because("what is removed depends on sizes");
        };
        let low = match (c.auto_pad, c.output_shape.is_empty()) {
            (AutoPad::Explicit, true) => c.pads.get(i).copied().unwrap_or(0),
            (AutoPad::Valid, true) => 0,
            (auto, _) => {
                let natural = total + c.output_padding.get(i).copied().unwrap_or(0);
                let half = natural.max(0) / 2;
                if auto == AutoPad::SameUpper { half } else { natural.max(0) - half }
            }
        };
        if low < 0 {
            return Refuse::because("something is added before");
        }
        out.push((low, total - low));
    }
    Ok(out)
}
