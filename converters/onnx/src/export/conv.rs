//! Writing rules of the conv family.

use airconv_api::ir::dim::{Dim, numel};
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{AutoPad, Op, OpKind, ReduceKind, ReduceWindow};

use super::attr;
use super::linear::zeros;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use crate::common::MICROSOFT;
use crate::proto::AttributeProto;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Conv, conv),
    ExportRule::new(OpKind::ReduceWindow, reduce_window),
    ExportRule::new(OpKind::ConvTranspose, conv_transpose),
    ExportRule::new(OpKind::FusedConv, fused_conv),
    ExportRule::new(OpKind::MaxPool, max_pool),
    ExportRule::new(OpKind::AveragePool, average_pool),
    ExportRule::new(OpKind::LpPool, lp_pool),
    ExportRule::new(OpKind::MaxUnpool, max_unpool),
    ExportRule::new(OpKind::DeformConv, deform_conv),
    ExportRule::new(OpKind::Col2Im, col2im),
];

fn other<T>() -> Result<T, Refuse> {
    Refuse::because("the rule is for another op")
}

/// The attributes of windows; those that say what holds anyway are left out.
fn window(
    strides: &[i64],
    dilations: &[i64],
    pads: &[i64],
    auto_pad: AutoPad,
) -> Vec<AttributeProto> {
    let mut attrs = Vec::new();
    let auto = match auto_pad {
        AutoPad::Explicit => None,
        AutoPad::SameUpper => Some("SAME_UPPER"),
        AutoPad::SameLower => Some("SAME_LOWER"),
        AutoPad::Valid => Some("VALID"),
    };
    if let Some(auto) = auto {
        attrs.push(attr::string("auto_pad", auto));
    }
    let lists = [("strides", strides, 1), ("dilations", dilations, 1), ("pads", pads, 0)];
    for (name, list, default) in lists {
        if list.iter().any(|&v| v != default) {
            attrs.push(attr::ints(name, list));
        }
    }
    attrs
}

/// The kernel sizes of the weights, where they are known, and the groups.
fn kernel_and_groups(cx: &ExportCx<'_, '_>, groups: i64) -> Result<Vec<AttributeProto>, Refuse> {
    let w = cx.tensor_ty(1)?;
    let known: Option<Vec<i64>> = w.shape.iter().skip(2).map(Dim::as_known).collect();
    let mut attrs = Vec::new();
    if let Some(kernel) = known {
        attrs.push(attr::ints("kernel_shape", &kernel));
    }
    if groups != 1 {
        attrs.push(attr::int("group", groups));
    }
    Ok(attrs)
}

/// Whether ONNX's convolutions take a dtype.
fn native(cx: &ExportCx<'_, '_>, dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::F32 | DType::F64)
        || (dtype == DType::BF16 && cx.opset() >= 22)
}

/// A helper node that casts.
fn cast(cx: &mut ExportCx<'_, '_>, x: String, to: DType) -> Result<String, Refuse> {
    cx.temp("Cast", &[x], vec![attr::dtype("to", to)], to)
}

/// A float dtype in which integers of up to 16 bits multiply and add up, `depth` of them,
/// without rounding. They wrap when they are cast back by way of i64.
fn exact_float(dtype: DType, depth: Option<i64>) -> Option<DType> {
    let (low, high) = dtype.int_range().filter(|_| dtype.bits() <= 16)?;
    let greatest = low.abs().max(high);
    // One more for the bias.
    let sum = depth.and_then(|d| (i128::from(d) + 1).checked_mul(greatest * greatest));
    Some(if sum.is_some_and(|s| s <= 1 << 24) { DType::F32 } else { DType::F64 })
}

/// Writes the last step: from a value of one dtype to the node's result of another.
fn finish(cx: &mut ExportCx<'_, '_>, y: String, from: DType, to: DType) -> Result<(), Refuse> {
    if from == to {
        return cx.emit("Identity", &[y], vec![]);
    }
    let y = if to.is_integer() && from.is_float() { cast(cx, y, DType::I64)? } else { y };
    cx.emit("Cast", &[y], vec![attr::dtype("to", to)])
}

fn conv(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Conv(c) = op else { return other() };
    let ty = cx.tensor_ty(0)?;
    let dtype = if native(cx, ty.dtype) {
        ty.dtype
    } else if ty.dtype.is_float() {
        DType::F32
    } else {
        let w = cx.tensor_ty(1)?;
        let depth = numel(w.shape.get(1..).unwrap_or_default()).as_known();
        match exact_float(ty.dtype, depth) {
            Some(dtype) => dtype,
            None => return Refuse::because(format!("ONNX has no convolution of {}", ty.dtype)),
        }
    };
    let mut inputs = cx.all()?;
    if dtype != ty.dtype {
        for x in inputs.iter_mut().filter(|x| !x.is_empty()) {
            *x = cast(cx, std::mem::take(x), dtype)?;
        }
    }
    if c.input_dilations.iter().any(|&d| d != 1) {
        // A transposed convolution with a kernel of one 1 per channel puts the gaps in.
        let Some(channels) = ty.shape.get(1).and_then(Dim::as_known) else {
            return Refuse::because("a spread input needs a known number of channels");
        };
        let n = c.input_dilations.len();
        let mut dims = vec![Dim::Known(1); n + 2];
        if let Some(d) = dims.first_mut() {
            *d = Dim::Known(channels);
        }
        let unit = cx.scalar(dtype, 1.0)?;
        let dims = cx.dims(&dims)?;
        let kernel = cx.temp("Expand", &[unit, dims], vec![], dtype)?;
        let attrs = vec![attr::ints("strides", &c.input_dilations), attr::int("group", channels)];
        if let Some(x) = inputs.first_mut() {
            *x = cx.temp("ConvTranspose", &[x.clone(), kernel], attrs, dtype)?;
        }
    }
    let mut attrs = kernel_and_groups(cx, c.groups)?;
    attrs.extend(window(&c.strides, &c.dilations, &c.pads, c.auto_pad));
    if dtype == ty.dtype {
        return cx.emit("Conv", &inputs, attrs);
    }
    let y = cx.temp("Conv", &inputs, attrs, dtype)?;
    finish(cx, y, dtype, ty.dtype)
}

fn conv_transpose(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::ConvTranspose(c) = op else { return other() };
    let mut attrs = kernel_and_groups(cx, c.groups)?;
    attrs.extend(window(&c.strides, &c.dilations, &c.pads, c.auto_pad));
    if c.output_padding.iter().any(|&p| p != 0) {
        attrs.push(attr::ints("output_padding", &c.output_padding));
    }
    if !c.output_shape.is_empty() {
        attrs.push(attr::ints("output_shape", &c.output_shape));
    }
    let inputs = cx.all()?;
    cx.emit("ConvTranspose", &inputs, attrs)
}

fn fused_conv(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::FusedConv(c) = op else { return other() };
    let mut attrs = kernel_and_groups(cx, c.groups)?;
    attrs.extend(window(&c.strides, &c.dilations, &c.pads, c.auto_pad));
    if !c.activation.is_empty() {
        attrs.push(attr::string("activation", &c.activation));
    }
    if !c.activation_params.is_empty() {
        attrs.push(attr::floats("activation_params", &c.activation_params));
    }
    let inputs = cx.all()?;
    cx.emit_in(MICROSOFT, "FusedConv", &inputs, attrs)
}

/// The attributes of a pooling; `flag`s are written where they are set.
fn pool(
    kernel: &[i64],
    windows: Vec<AttributeProto>,
    flags: &[(&str, bool)],
) -> Vec<AttributeProto> {
    let mut attrs = vec![attr::ints("kernel_shape", kernel)];
    attrs.extend(windows);
    attrs.extend(flags.iter().filter(|f| f.1).map(|f| attr::bool(f.0, true)));
    attrs
}

/// Before version 22 the type rules of ONNX count a last window that starts in the padding at
/// the end; refuses where the node's type does not.
fn check_ceil(
    cx: &ExportCx<'_, '_>,
    kernel: &[i64],
    [strides, dilations, pads]: [&[i64]; 3],
) -> Result<(), Refuse> {
    if cx.opset() >= 22 {
        return Ok(());
    }
    let (x, y) = (cx.tensor_ty(0)?, cx.result_ty(0)?);
    let sizes = x.shape.iter().zip(&y.shape).skip(2);
    let lists = kernel.iter().zip(strides).zip(dilations);
    for (i, ((size, out), ((k, s), d))) in sizes.zip(lists).enumerate() {
        let pad = |i: usize| pads.get(i).copied().unwrap_or(0);
        let padded = &(size + pad(i)) + pad(i + kernel.len());
        let room = &padded - &(&(&Dim::Known(k - 1) * *d) + 1);
        let all = &room.ceil_div(&Dim::Known(*s)) + 1;
        if let (Some(all), Some(out)) = (all.as_known(), out.as_known())
            && all != out
        {
            return Refuse::because("the last window would start in the padding at the end");
        }
    }
    Ok(())
}

fn max_pool(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::MaxPool(p) = op else { return other() };
    if p.ceil_mode {
        check_ceil(cx, &p.kernel_shape, [&p.strides, &p.dilations, &p.pads])?;
    }
    let attrs = pool(
        &p.kernel_shape,
        window(&p.strides, &p.dilations, &p.pads, p.auto_pad),
        &[("ceil_mode", p.ceil_mode), ("storage_order", p.column_major)],
    );
    let x = cx.x(0)?;
    cx.emit("MaxPool", &[x], attrs)
}

fn average_pool(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::AveragePool(p) = op else { return other() };
    if p.ceil_mode {
        check_ceil(cx, &p.kernel_shape, [&p.strides, &p.dilations, &p.pads])?;
    }
    let attrs = pool(
        &p.kernel_shape,
        window(&p.strides, &p.dilations, &p.pads, p.auto_pad),
        &[("ceil_mode", p.ceil_mode), ("count_include_pad", p.count_include_pad)],
    );
    let x = cx.x(0)?;
    cx.emit("AveragePool", &[x], attrs)
}

fn lp_pool(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::LpPool(p) = op else { return other() };
    if p.ceil_mode {
        check_ceil(cx, &p.kernel_shape, [&p.strides, &p.dilations, &p.pads])?;
    }
    let mut attrs = pool(
        &p.kernel_shape,
        window(&p.strides, &p.dilations, &p.pads, p.auto_pad),
        &[("ceil_mode", p.ceil_mode)],
    );
    attrs.push(attr::int("p", p.p));
    let x = cx.x(0)?;
    cx.emit("LpPool", &[x], attrs)
}

fn max_unpool(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::MaxUnpool(p) = op else { return other() };
    let mut attrs = vec![attr::ints("kernel_shape", &p.kernel_shape)];
    attrs.extend(window(&p.strides, &[], &p.pads, AutoPad::Explicit));
    let mut inputs = cx.all()?;
    if !p.dims.is_empty() {
        inputs.push(cx.dims(&p.dims)?);
    }
    cx.emit("MaxUnpool", &inputs, attrs)
}

fn deform_conv(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::DeformConv(c) = op else { return other() };
    let mut attrs = kernel_and_groups(cx, c.groups)?;
    attrs.extend(window(&c.strides, &c.dilations, &c.pads, AutoPad::Explicit));
    if c.offset_groups != 1 {
        attrs.push(attr::int("offset_group", c.offset_groups));
    }
    let inputs = cx.all()?;
    cx.emit("DeformConv", &inputs, attrs)
}

fn col2im(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Col2Im(c) = op else { return other() };
    let attrs = window(&c.strides, &c.dilations, &c.pads, AutoPad::Explicit);
    let inputs = [cx.x(0)?, cx.dims(&c.image_dims)?, cx.ints(&c.block_shape)?];
    cx.emit("Col2Im", &inputs, attrs)
}

/// The windows of one axis that is not left as it is.
#[derive(Clone, Copy)]
struct Axis {
    axis: usize,
    window: i64,
    stride: i64,
    dilation: i64,
    low: i64,
    high: i64,
}

/// The axes that windows change.
fn windowed(op: &ReduceWindow) -> Option<Vec<Axis>> {
    let rank = op.window.len();
    let axis = |a: usize| {
        Some(Axis {
            axis: a,
            window: *op.window.get(a)?,
            stride: *op.strides.get(a)?,
            dilation: *op.dilations.get(a)?,
            low: *op.pads.get(a)?,
            high: *op.pads.get(rank + a)?,
        })
    };
    let all: Option<Vec<Axis>> = (0..rank).map(axis).collect();
    let plain = |a: &Axis| a.window == 1 && a.stride == 1 && a.low == 0 && a.high == 0;
    Some(all?.into_iter().filter(|a| !plain(a)).collect())
}

/// Maxima by `MaxPool`, minima as negated maxima, sums by a convolution with ones; products, and
/// all of what these do not take, element by element of the window.
fn reduce_window(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::ReduceWindow(r) = op else { return other() };
    let ty = cx.tensor_ty(0)?;
    let Some(axes) = windowed(r) else {
        return Refuse::because("a list of the windows is too short");
    };
    let mut x = cx.x(0)?;
    if axes.is_empty() {
        return cx.emit("Identity", &[x], vec![]);
    }
    let pooled = axes.len() <= 3
        && ty.dtype.is_float()
        && ty.dtype != DType::F64
        && r.kind != ReduceKind::Prod;
    let compute = match ty.dtype {
        DType::F16 | DType::F32 if pooled => ty.dtype,
        DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::U32 | DType::U64 => ty.dtype,
        d if d.is_float() => DType::F32,
        d if d.is_signed_int() => DType::I32,
        d if d.is_unsigned_int() => DType::U32,
        d => return Refuse::because(format!("ONNX has no windows of {d}")),
    };
    if compute != ty.dtype {
        x = cast(cx, x, compute)?;
    }
    let sizes = cx.result_ty(0)?.shape.to_vec();
    let (name, dims) = if pooled {
        pool_windows(cx, r.kind, x, &ty.shape, &sizes, &axes, compute)?
    } else {
        (slide_windows(cx, r.kind, x, &sizes, &axes, compute)?, sizes.clone())
    };
    if compute != ty.dtype {
        let name = if dims == sizes { name } else { reshape(cx, name, &sizes, compute)? };
        return cx.emit("Cast", &[name], vec![attr::dtype("to", ty.dtype)]);
    }
    if dims == sizes {
        return cx.emit("Identity", &[name], vec![]);
    }
    let shape = cx.dims(&sizes)?;
    cx.emit("Reshape", &[name, shape], zeros(&sizes))
}

fn reshape(
    cx: &mut ExportCx<'_, '_>,
    x: String,
    dims: &[Dim],
    dtype: DType,
) -> Result<String, Refuse> {
    let shape = cx.dims(dims)?;
    cx.temp("Reshape", &[x, shape], zeros(dims), dtype)
}

/// Windows as a pooling or convolution of [rest, 1, axes...]. Gives the value and its shape.
fn pool_windows(
    cx: &mut ExportCx<'_, '_>,
    kind: ReduceKind,
    mut x: String,
    shape: &[Dim],
    sizes: &[Dim],
    axes: &[Axis],
    dtype: DType,
) -> Result<(String, Vec<Dim>), Refuse> {
    let rank = shape.len();
    let rest: Vec<usize> = (0..rank).filter(|a| axes.iter().all(|x| x.axis != *a)).collect();
    let order: Vec<usize> = rest.iter().copied().chain(axes.iter().map(|a| a.axis)).collect();
    let moved = order.iter().enumerate().any(|(i, &a)| i != a);
    let perm: Vec<i64> = order.iter().map(|&a| a as i64).collect();
    if moved {
        x = cx.temp("Transpose", &[x], vec![attr::ints("perm", &perm)], dtype)?;
    }
    let of = |dims: &[Dim], which: &[usize]| -> Vec<Dim> {
        which.iter().filter_map(|&a| dims.get(a).cloned()).collect()
    };
    let spatial: Vec<usize> = axes.iter().map(|a| a.axis).collect();
    let images =
        |dims: &[Dim]| [vec![numel(&of(dims, &rest)), Dim::Known(1)], of(dims, &spatial)].concat();
    let in_order = of(shape, &order);
    let flat = images(shape);
    // A maximum may keep two leading axes as they are.
    let keep = kind != ReduceKind::Sum && rest.len() == 2;
    if !keep && flat != in_order {
        x = reshape(cx, x, &flat, dtype)?;
    }
    let list = |f: fn(&Axis) -> i64| -> Vec<i64> { axes.iter().map(f).collect() };
    let kernel = list(|a| a.window);
    let pads = [list(|a| a.low), list(|a| a.high)].concat();
    let mut attrs = vec![attr::ints("kernel_shape", &kernel)];
    let dilations = list(|a| a.dilation);
    attrs.extend(window(&list(|a| a.stride), &dilations, &pads, AutoPad::Explicit));
    let mut y = match kind {
        ReduceKind::Sum => {
            let unit = cx.scalar(dtype, 1.0)?;
            let dims: Vec<Dim> = [1, 1].iter().chain(&kernel).map(|&k| Dim::Known(k)).collect();
            let dims = cx.dims(&dims)?;
            let ones = cx.temp("Expand", &[unit, dims], vec![], dtype)?;
            cx.temp("Conv", &[x, ones], attrs, dtype)?
        }
        ReduceKind::Max => cx.temp("MaxPool", &[x], attrs, dtype)?,
        ReduceKind::Min => {
            let x = cx.temp("Neg", &[x], vec![], dtype)?;
            let y = cx.temp("MaxPool", &[x], attrs, dtype)?;
            cx.temp("Neg", &[y], vec![], dtype)?
        }
        ReduceKind::Prod | ReduceKind::And | ReduceKind::Or => {
            return Refuse::because(format!("ONNX has no windows of {}", kind.as_str()));
        }
    };
    let result = of(sizes, &order);
    let mut dims = if keep { result.clone() } else { images(sizes) };
    if moved {
        if dims != result {
            y = reshape(cx, y, &result, dtype)?;
        }
        let mut back = vec![0; rank];
        for (i, &a) in order.iter().enumerate() {
            if let Some(b) = back.get_mut(a) {
                *b = i as i64;
            }
        }
        y = cx.temp("Transpose", &[y], vec![attr::ints("perm", &back)], dtype)?;
        dims = sizes.to_vec();
    }
    Ok((y, dims))
}

/// The longest window that is written element by element.
const MAX_STEPS: i64 = 256;

/// Windows axis by axis, each as a combination of strided slices of the padded value.
fn slide_windows(
    cx: &mut ExportCx<'_, '_>,
    kind: ReduceKind,
    mut x: String,
    sizes: &[Dim],
    axes: &[Axis],
    dtype: DType,
) -> Result<String, Refuse> {
    let name = match kind {
        ReduceKind::Sum => "Add",
        ReduceKind::Prod => "Mul",
        ReduceKind::Max => "Max",
        ReduceKind::Min => "Min",
        ReduceKind::And | ReduceKind::Or => {
            return Refuse::because(format!("ONNX has no windows of {}", kind.as_str()));
        }
    };
    let rank = sizes.len();
    let mut pads = vec![0; 2 * rank];
    for a in axes {
        if a.window > MAX_STEPS {
            return Refuse::because(format!("a window of {} elements is too long", a.window));
        }
        for (place, pad) in [(a.axis, a.low), (rank + a.axis, a.high)] {
            if let Some(p) = pads.get_mut(place) {
                *p = pad;
            }
        }
    }
    if pads.iter().any(|&p| p != 0) {
        let neutral = match (kind, dtype.int_range()) {
            (ReduceKind::Prod, _) => cx.scalar(dtype, 1.0)?,
            (ReduceKind::Max, None) => cx.scalar(dtype, f64::NEG_INFINITY)?,
            (ReduceKind::Min, None) => cx.scalar(dtype, f64::INFINITY)?,
            (ReduceKind::Max, Some(_)) if dtype == DType::I64 => cx.int_scalar(i64::MIN)?,
            (ReduceKind::Min, Some(_)) if dtype == DType::I64 => cx.int_scalar(i64::MAX)?,
            (ReduceKind::Min, Some(_)) if dtype == DType::U64 => {
                return Refuse::because("padding for minima of u64 is not written");
            }
            (ReduceKind::Max, Some((low, _))) => cx.scalar(dtype, low as f64)?,
            (ReduceKind::Min, Some((_, high))) => cx.scalar(dtype, high as f64)?,
            _ => cx.scalar(dtype, 0.0)?,
        };
        let inputs = [x, cx.ints(&pads)?, neutral];
        x = cx.temp("Pad", &inputs, vec![], dtype)?;
    }
    for a in axes {
        let Some(count) = sizes.get(a.axis) else { continue };
        let mut sum: Option<String> = None;
        for k in 0..a.window {
            let start = Dim::Known(k * a.dilation);
            let end = &(&start + 1) + &(&(count - 1) * a.stride);
            let inputs = [
                x.clone(),
                cx.dims(&[start])?,
                cx.dims(&[end])?,
                cx.ints(&[a.axis as i64])?,
                cx.ints(&[a.stride])?,
            ];
            let part = cx.temp("Slice", &inputs, vec![], dtype)?;
            sum = Some(match sum {
                Some(s) => cx.temp(name, &[s, part], vec![], dtype)?,
                None => part,
            });
        }
        if let Some(s) = sum {
            x = s;
        }
    }
    Ok(x)
}
