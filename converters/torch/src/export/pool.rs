//! Writing rules of windows and pooling.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::infer::conv::window::{WindowAxis, Windows, count, extent};
use airconv_ir::op::{AutoPad, Op, OpKind, ReduceKind};
use airconv_ir::types::TensorType;

use super::conv::{by_rank, pad_spatial, split_padding, unfold};
use super::cx::{ExportCx, Refuse, Written, args, other_op};
use super::program::{Arg, Var};
use super::reduce::neutral;
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::ReduceWindow, reduce_window),
    ExportRule::new(OpKind::MaxPool, max_pool),
    ExportRule::new(OpKind::AveragePool, average_pool),
    ExportRule::new(OpKind::GlobalAveragePool, global_average_pool),
    ExportRule::new(OpKind::GlobalMaxPool, global_max_pool),
];

/// `reduce_window`: windows as axes of their own, then a reduction.
fn reduce_window(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ReduceWindow(r) = op else { return other_op() };
    let x = cx.x(0)?;
    let result = cx.result_type(0)?;
    let dtype = result.dtype;
    let rank = result.rank();
    if matches!(dtype, DType::U16 | DType::U32 | DType::U64) || dtype.is_complex() {
        return Refuse::because(format!("PyTorch has no windows of {dtype}"));
    }
    let side = |from: usize| -> Vec<Dim> {
        r.pads.iter().skip(from).take(rank).map(|&p| Dim::Known(p)).collect()
    };
    let mut x = cx.pad(x, &side(0), &side(rank), neutral(r.kind, dtype))?;
    let mut windows = 0;
    for axis in 0..rank {
        let parts = (r.window.get(axis), r.strides.get(axis), r.dilations.get(axis));
        let (Some(&window), Some(&step), Some(&dilation)) = parts else {
            return Refuse::because("its lists are short");
        };
        if (window, step) != (1, 1) {
            x = unfold(cx, x, axis, (window, step, dilation, result.shape[axis].clone()))?;
            windows += 1;
        }
    }
    let axes: Vec<i64> = (0..windows).map(|i| (rank + i) as i64).collect();
    if axes.is_empty() {
        return cx.one(x);
    }
    let as_dtype = if dtype.is_integer() { Arg::DType(dtype) } else { Arg::Default };
    let y = match r.kind {
        ReduceKind::Sum => {
            cx.op("aten::sum.dim_IntList", args![x, &axes, Arg::Default, as_dtype], result)?
        }
        ReduceKind::Max => cx.op("aten::amax", args![x, &axes], result)?,
        ReduceKind::Min => cx.op("aten::amin", args![x, &axes], result)?,
        ReduceKind::Prod => {
            let mut shape = result.shape.to_vec();
            let size: Dim = numel(cx.shape(x)?.get(rank..).unwrap_or_default());
            shape.push(size);
            let flat = cx.reshape(x, &shape)?;
            cx.op("aten::prod.dim_int", args![flat, rank, Arg::Default, as_dtype], result)?
        }
        ReduceKind::And | ReduceKind::Or => return Refuse::because("windows of bools"),
    };
    cx.one(y)
}

/// The windows of a pooling over the axes after batch and channels.
fn windows(
    cx: &ExportCx<'_, '_>,
    x: Var,
    kernel: &[i64],
    rest: (&[i64], &[i64], &[i64], AutoPad, bool),
) -> Result<(Vec<Dim>, Vec<WindowAxis>), Refuse> {
    let (strides, dilations, pads, auto_pad, ceil_mode) = rest;
    let spatial: Vec<Dim> = cx.shape(x)?.iter().skip(2).cloned().collect();
    let sizes: Vec<Dim> = kernel.iter().map(|&k| Dim::Known(k)).collect();
    let all = Windows { kernel: &sizes, strides, dilations, pads, auto_pad, ceil_mode };
    match all.axes(&spatial) {
        Some(axes) => Ok((spatial, axes)),
        None => Refuse::because("its lists are short"),
    }
}

/// Whether windows of floored counts are as many as wanted.
fn floor_is_enough(
    spatial: &[Dim],
    axes: &[WindowAxis],
    kernel: &[i64],
    strides: &[i64],
    dilations: &[i64],
) -> bool {
    axes.iter().enumerate().all(|(i, a)| {
        let padded = &(&spatial[i] + &a.low) + &a.high;
        count(&padded, &extent(&Dim::Known(kernel[i]), dilations[i]), strides[i]) == a.out
    })
}

/// `max_pool`: paddings that PyTorch does not take hold the lowest value.
fn max_pool(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::MaxPool(p) = op else { return other_op() };
    let mut x = cx.x(0)?;
    let result = cx.result_type(0)?;
    if matches!(result.dtype, DType::U16 | DType::U32 | DType::U64 | DType::I16) {
        return Refuse::because(format!("PyTorch has no pooling of {}", result.dtype));
    }
    let rest = (&p.strides[..], &p.dilations[..], &p.pads[..], p.auto_pad, p.ceil_mode);
    let (spatial, axes) = windows(cx, x, &p.kernel_shape, rest)?;
    let half: Vec<i64> = p.kernel_shape.iter().map(|k| k / 2).collect();
    let mut padding = split_padding(&axes, &half);
    let plain = floor_is_enough(&spatial, &axes, &p.kernel_shape, &p.strides, &p.dilations);
    let all_own = padding.low.iter().chain(&padding.high).all(|d| *d == Dim::Known(0));
    if !plain {
        // As far as the last window reaches.
        padding.own = vec![0; axes.len()];
        padding.low = axes.iter().map(|a| a.low.clone()).collect();
        padding.high = axes.iter().enumerate().map(|(i, a)| reach(p, i, a, &spatial[i])).collect();
    }
    let x_shape = cx.shape(x)?;
    if !(all_own && plain) {
        if cx.wants(1) {
            return Refuse::because("positions count in a tensor with padding");
        }
        let lowest = neutral(ReduceKind::Max, result.dtype);
        x = pad_spatial(cx, x, &padding.low, &padding.high, lowest)?;
    }
    let lists = args![x, &p.kernel_shape, &p.strides, &padding.own, &p.dilations];
    if !cx.wants(1) {
        let names = ["aten::max_pool1d", "aten::max_pool2d", "aten::max_pool3d"];
        let y = cx.op(by_rank(axes.len(), names)?, lists, result)?;
        return cx.one(y);
    }
    if p.column_major {
        return Refuse::because("positions count by column");
    }
    let names = [
        "aten::max_pool1d_with_indices",
        "aten::max_pool2d_with_indices",
        "aten::max_pool3d_with_indices",
    ];
    let at = TensorType { dtype: DType::I64, ..result.clone() };
    let [y, at] = cx.ops(by_rank(axes.len(), names)?, lists, [result, at])?;
    let at = flat_positions(cx, at, &x_shape)?;
    cx.all([y, at])
}

/// What has to stand after an axis for the last window to be whole.
fn reach(p: &airconv_ir::op::MaxPool, i: usize, a: &WindowAxis, size: &Dim) -> Dim {
    let extent = extent(&Dim::Known(p.kernel_shape[i]), p.dilations[i]);
    let whole = &(&(&a.out - 1) * p.strides[i]) + &extent;
    &(&whole - size) - &a.low
}

/// Positions within a channel as positions in the whole tensor.
fn flat_positions(cx: &mut ExportCx<'_, '_>, at: Var, shape: &[Dim]) -> Result<Var, Refuse> {
    let [n, c, spatial @ ..] = shape else { return Refuse::because("there are no channels") };
    let plane = numel(spatial);
    let channels = cx.arange(&(n * c), DType::I64)?;
    let plane = cx.size(&plane)?;
    let starts = cx.with("aten::mul.Tensor", channels, plane)?;
    let mut dims = vec![n.clone(), c.clone()];
    dims.extend(std::iter::repeat_n(Dim::Known(1), spatial.len()));
    let starts = cx.reshape(starts, &dims)?;
    cx.binary("aten::add.Tensor", at, starts)
}

/// `average_pool`: PyTorch's where windows are whole and undilated.
fn average_pool(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::AveragePool(p) = op else { return other_op() };
    let x = cx.x(0)?;
    let result = cx.result_type(0)?;
    let rest = (&p.strides[..], &p.dilations[..], &p.pads[..], p.auto_pad, p.ceil_mode);
    let (spatial, axes) = windows(cx, x, &p.kernel_shape, rest)?;
    let half: Vec<i64> = p.kernel_shape.iter().map(|k| k / 2).collect();
    let padding = split_padding(&axes, &half);
    let own = padding.low.iter().chain(&padding.high).all(|d| *d == Dim::Known(0));
    let plain = floor_is_enough(&spatial, &axes, &p.kernel_shape, &p.strides, &p.dilations);
    if !own || !plain || p.dilations.iter().any(|&d| d != 1) || !result.dtype.is_float() {
        return Refuse::because("PyTorch averages whole windows with equal padding on both sides");
    }
    let names = ["aten::avg_pool1d", "aten::avg_pool2d", "aten::avg_pool3d"];
    let name = by_rank(axes.len(), names)?;
    let args = args![x, &p.kernel_shape, &p.strides, &padding.own, false, p.count_include_pad];
    let y = cx.op(name, args, result)?;
    cx.one(y)
}

fn global_average_pool(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    let x = cx.x(0)?;
    let result = cx.result_type(0)?;
    if !result.dtype.is_float() {
        return Refuse::because("PyTorch's means are of floats");
    }
    let axes: Vec<i64> = (2..result.rank() as i64).collect();
    if axes.is_empty() {
        return cx.one(x);
    }
    let y = match axes.len() {
        2 => cx.op("aten::adaptive_avg_pool2d", args![x, &[1i64, 1][..]], result)?,
        _ => cx.op("aten::mean.dim", args![x, &axes, true], result)?,
    };
    cx.one(y)
}

fn global_max_pool(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    let x = cx.x(0)?;
    let result = cx.result_type(0)?;
    let axes: Vec<i64> = (2..result.rank() as i64).collect();
    if axes.is_empty() {
        return cx.one(x);
    }
    let y = cx.op("aten::amax", args![x, &axes, true], result)?;
    cx.one(y)
}
