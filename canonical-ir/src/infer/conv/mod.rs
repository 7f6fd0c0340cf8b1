//! infer rules of the conv family.

pub mod window;

use super::{InferCx, InferError, InferResult, one};
use crate::dim::{Dim, Shape, numel};
use crate::dtype::DType;
use crate::op::*;
use crate::types::{TensorType, Type};
use window::{Transposed, Windows, count, extent, spread};

/// Whether a dtype has arithmetic.
fn numeric(dtype: DType) -> bool {
    dtype.is_float() || dtype.is_integer() || dtype.is_complex()
}

/// Batch size, channels and spatial sizes of an operand.
fn image<'a>(
    cx: &InferCx<'a>,
    slot: usize,
    label: &str,
) -> Result<(&'a TensorType, &'a [Dim]), InferError> {
    let ty = cx.tensor(slot)?;
    cx.require(ty.rank() >= 3, label, || {
        format!("`{}` has batch, channel and spatial axes, not rank {}", cx.slot_name(slot), {
            ty.rank()
        })
    })?;
    Ok((ty, ty.shape.get(2..).unwrap_or_default()))
}

fn dim(ty: &TensorType, axis: usize) -> Dim {
    ty.shape.get(axis).cloned().unwrap_or(Dim::Any)
}

fn knowns(sizes: &[i64]) -> Vec<Dim> {
    sizes.iter().map(|&k| Dim::Known(k)).collect()
}

fn with_spatial(dtype: DType, n: Dim, c: Dim, spatial: impl IntoIterator<Item = Dim>) -> Type {
    Type::tensor(dtype, [n, c].into_iter().chain(spatial))
}

/// Checks an optional vector with one element per output channel.
fn bias(
    cx: &InferCx<'_>,
    slot: usize,
    dtype: DType,
    m: &Dim,
    label: &str,
) -> Result<(), InferError> {
    let Some(b) = cx.opt_tensor(slot)? else { return Ok(()) };
    cx.require(b.dtype == dtype && b.rank() == 1, label, || {
        format!("`{}` is a {dtype} vector", cx.slot_name(slot))
    })?;
    cx.merge_dim(&dim(b, 0), m).map(|_| ())
}

/// Checks channels, groups and dtype of w[M, C/groups, kernel...] against x; gives M and the
/// kernel sizes.
fn weights<'a>(
    cx: &InferCx<'a>,
    x: &TensorType,
    groups: i64,
    labels: [&str; 3],
) -> Result<(Dim, &'a [Dim]), InferError> {
    let w = cx.tensor(1)?;
    cx.require(w.rank() == x.rank(), labels[0], || {
        format!("`w` has rank {}, not {} as `x`", w.rank(), x.rank())
    })?;
    cx.require(w.dtype == x.dtype && numeric(x.dtype), labels[1], || {
        format!("`x` ({}) and `w` ({}) have one numeric dtype", x.dtype, w.dtype)
    })?;
    cx.require(groups >= 1, labels[2], || "there is at least one group".to_owned())?;
    cx.merge_dim(&dim(x, 1), &(&dim(w, 1) * groups))?;
    let m = dim(w, 0);
    cx.require(m.as_known().is_none_or(|m| m % groups == 0), labels[2], || {
        format!("{m} output channels do not divide into {groups} groups")
    })?;
    Ok((m, w.shape.get(2..).unwrap_or_default()))
}

/// `conv`
pub fn conv(cx: &InferCx<'_>, op: &Conv) -> InferResult {
    let (x, spatial) = image(cx, 0, "conv-c1")?;
    let (m, kernel) = weights(cx, x, op.groups, ["conv-c2", "conv-c3", "conv-c4"])?;
    bias(cx, 2, x.dtype, &m, "conv-c5")?;
    cx.require(op.input_dilations.len() == spatial.len(), "conv-c6", || {
        format!(
            "`input_dilations` has {} entries for {} spatial axes",
            op.input_dilations.len(),
            spatial.len()
        )
    })?;
    cx.require(op.input_dilations.iter().all(|&d| d >= 1), "conv-c6", || {
        "input dilations are at least 1".to_owned()
    })?;
    let spatial: Vec<Dim> =
        spatial.iter().zip(&op.input_dilations).map(|(s, &d)| spread(s, d)).collect();
    let windows = Windows {
        kernel,
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: op.auto_pad,
        ceil_mode: false,
    };
    let out = windows.sizes(cx, &spatial)?;
    one(with_spatial(x.dtype, dim(x, 0), m, out))
}

/// `reduce_window`
pub fn reduce_window(cx: &InferCx<'_>, op: &ReduceWindow) -> InferResult {
    let x = cx.tensor(0)?;
    let (class, wanted) = match op.kind {
        ReduceKind::Sum | ReduceKind::Prod => (numeric(x.dtype), "numbers"),
        ReduceKind::Max | ReduceKind::Min => {
            (x.dtype.is_float() || x.dtype.is_integer(), "ordered numbers")
        }
        ReduceKind::And | ReduceKind::Or => {
            return cx.fail("reduce_window-c1", "combines by sum, prod, max or min");
        }
    };
    cx.require_dtype(x.dtype, class, wanted)?;
    let windows = Windows {
        kernel: &knowns(&op.window),
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: AutoPad::Explicit,
        ceil_mode: false,
    };
    one(Type::tensor(x.dtype, windows.sizes(cx, &x.shape)?))
}

/// `conv_transpose`
pub fn conv_transpose(cx: &InferCx<'_>, op: &ConvTranspose) -> InferResult {
    let (x, spatial) = image(cx, 0, "conv_transpose-c1")?;
    let w = cx.tensor(1)?;
    cx.require(w.rank() == x.rank(), "conv_transpose-c2", || {
        format!("`w` has rank {}, not {} as `x`", w.rank(), x.rank())
    })?;
    cx.require(w.dtype == x.dtype && numeric(x.dtype), "conv_transpose-c3", || {
        format!("`x` ({}) and `w` ({}) have one numeric dtype", x.dtype, w.dtype)
    })?;
    cx.require(op.groups >= 1, "conv_transpose-c4", || "there is at least one group".to_owned())?;
    let c = cx.merge_dim(&dim(x, 1), &dim(w, 0))?;
    cx.require(c.as_known().is_none_or(|c| c % op.groups == 0), "conv_transpose-c4", || {
        format!("{c} channels do not divide into {} groups", op.groups)
    })?;
    let m = &dim(w, 1) * op.groups;
    bias(cx, 2, x.dtype, &m, "conv_transpose-c5")?;
    let kernel = w.shape.get(2..).unwrap_or_default();
    let n = spatial.len();
    Windows {
        kernel,
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: op.auto_pad,
        ceil_mode: false,
    }
    .check(cx, n)?;
    cx.require(
        op.output_padding.len() == n && op.output_padding.iter().all(|&p| p >= 0),
        "conv_transpose-c6",
        || format!("`output_padding` has one entry, not negative, per spatial axis ({n})"),
    )?;
    let given = op.output_shape.len();
    cx.require(
        (given == 0 || given == n) && op.output_shape.iter().all(|&s| s >= 0),
        "conv_transpose-c7",
        || format!("`output_shape` is empty or has one size per spatial axis ({n})"),
    )?;
    let transposed = Transposed {
        kernel,
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: op.auto_pad,
        output_padding: &op.output_padding,
        output_shape: &op.output_shape,
    };
    let Some(axes) = transposed.axes(spatial) else {
        return cx.fail("conv_transpose-c6", "a list is too short");
    };
    for axis in &axes {
        cx.require(axis.out.as_known().is_none_or(|n| n >= 0), "conv_transpose-c8", || {
            "more is removed than there is".to_owned()
        })?;
    }
    one(with_spatial(x.dtype, dim(x, 0), m, axes.into_iter().map(|a| a.out)))
}

/// `fused_conv`
pub fn fused_conv(cx: &InferCx<'_>, op: &FusedConv) -> InferResult {
    let (x, spatial) = image(cx, 0, "fused_conv-c1")?;
    let (m, kernel) =
        weights(cx, x, op.groups, ["fused_conv-c2", "fused_conv-c3", "fused_conv-c4"])?;
    cx.require_dtype(x.dtype, x.dtype.is_float(), "a float")?;
    bias(cx, 2, x.dtype, &m, "fused_conv-c5")?;
    let windows = Windows {
        kernel,
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: op.auto_pad,
        ceil_mode: false,
    };
    let mut shape: Shape = [dim(x, 0), m].into_iter().collect();
    shape.extend(windows.sizes(cx, spatial)?);
    if let Some(z) = cx.opt_tensor(3)? {
        cx.require(z.dtype == x.dtype, "fused_conv-c6", || {
            format!("`z` ({}) has the dtype of `x` ({})", z.dtype, x.dtype)
        })?;
        shape = cx.merge_shape(&shape, &z.shape)?;
    }
    one(TensorType { dtype: x.dtype, shape })
}

/// The fields that poolings have in common.
struct Pool<'a> {
    kernel_shape: &'a [i64],
    strides: &'a [i64],
    pads: &'a [i64],
    dilations: &'a [i64],
    auto_pad: AutoPad,
    ceil_mode: bool,
}

fn pool(cx: &InferCx<'_>, p: &Pool<'_>, label: &str) -> Result<TensorType, InferError> {
    let (x, spatial) = image(cx, 0, label)?;
    let windows = Windows {
        kernel: &knowns(p.kernel_shape),
        strides: p.strides,
        dilations: p.dilations,
        pads: p.pads,
        auto_pad: p.auto_pad,
        ceil_mode: p.ceil_mode,
    };
    let sizes = windows.sizes(cx, spatial)?;
    Ok(TensorType::new(x.dtype, [dim(x, 0), dim(x, 1)].into_iter().chain(sizes)))
}

/// `max_pool`
pub fn max_pool(cx: &InferCx<'_>, op: &MaxPool) -> InferResult {
    let p = Pool {
        kernel_shape: &op.kernel_shape,
        strides: &op.strides,
        pads: &op.pads,
        dilations: &op.dilations,
        auto_pad: op.auto_pad,
        ceil_mode: op.ceil_mode,
    };
    let y = pool(cx, &p, "max_pool-c1")?;
    cx.require_dtype(y.dtype, y.dtype.is_float() || y.dtype.is_integer(), "ordered numbers")?;
    let indices = TensorType { dtype: DType::I64, shape: y.shape.clone() };
    Ok(vec![y.into(), indices.into()])
}

/// `average_pool`
pub fn average_pool(cx: &InferCx<'_>, op: &AveragePool) -> InferResult {
    let p = Pool {
        kernel_shape: &op.kernel_shape,
        strides: &op.strides,
        pads: &op.pads,
        dilations: &op.dilations,
        auto_pad: op.auto_pad,
        ceil_mode: op.ceil_mode,
    };
    let y = pool(cx, &p, "average_pool-c1")?;
    cx.require_dtype(y.dtype, y.dtype.is_float(), "a float")?;
    one(y)
}

/// `lp_pool`
pub fn lp_pool(cx: &InferCx<'_>, op: &LpPool) -> InferResult {
    let p = Pool {
        kernel_shape: &op.kernel_shape,
        strides: &op.strides,
        pads: &op.pads,
        dilations: &op.dilations,
        auto_pad: op.auto_pad,
        ceil_mode: op.ceil_mode,
    };
    let y = pool(cx, &p, "lp_pool-c1")?;
    cx.require_dtype(y.dtype, y.dtype.is_float(), "a float")?;
    cx.require(op.p >= 1, "lp_pool-c2", || format!("the exponent {} is at least 1", op.p))?;
    one(y)
}

fn global(cx: &InferCx<'_>, label: &str, ordered: bool) -> InferResult {
    let (x, spatial) = image(cx, 0, label)?;
    let class = x.dtype.is_float() || (ordered && x.dtype.is_integer());
    cx.require_dtype(x.dtype, class, "a float")?;
    one(with_spatial(x.dtype, dim(x, 0), dim(x, 1), spatial.iter().map(|_| Dim::Known(1))))
}

/// `global_average_pool`
pub fn global_average_pool(cx: &InferCx<'_>, _: &GlobalAveragePool) -> InferResult {
    global(cx, "global_average_pool-c1", false)
}

/// `global_max_pool`
pub fn global_max_pool(cx: &InferCx<'_>, _: &GlobalMaxPool) -> InferResult {
    global(cx, "global_max_pool-c1", true)
}

/// `global_lp_pool`
pub fn global_lp_pool(cx: &InferCx<'_>, op: &GlobalLpPool) -> InferResult {
    cx.require(op.p >= 1, "global_lp_pool-c2", || format!("the exponent {} is at least 1", op.p))?;
    global(cx, "global_lp_pool-c1", false)
}

/// The shape that the windows of a `max_unpool` imply.
pub(crate) fn unpooled(op: &MaxUnpool, shape: &[Dim]) -> Option<Vec<Dim>> {
    let spatial = Transposed {
        kernel: &knowns(&op.kernel_shape),
        strides: &op.strides,
        dilations: &vec![1; op.kernel_shape.len()],
        pads: &op.pads,
        auto_pad: AutoPad::Explicit,
        output_padding: &vec![0; op.kernel_shape.len()],
        output_shape: &[],
    }
    .axes(shape.get(2..)?)?;
    let mut out = shape.get(..2)?.to_vec();
    out.extend(spatial.into_iter().map(|a| a.out));
    Some(out)
}

/// `max_unpool`
pub fn max_unpool(cx: &InferCx<'_>, op: &MaxUnpool) -> InferResult {
    let (x, spatial) = image(cx, 0, "max_unpool-c1")?;
    let indices = cx.tensor(1)?;
    cx.require(indices.dtype == DType::I64, "max_unpool-c2", || "indices are i64".to_owned())?;
    let shape = cx.merge_shape(&x.shape, &indices.shape)?;
    Windows {
        kernel: &knowns(&op.kernel_shape),
        strides: &op.strides,
        dilations: &vec![1; op.kernel_shape.len()],
        pads: &op.pads,
        auto_pad: AutoPad::Explicit,
        ceil_mode: false,
    }
    .check(cx, spatial.len())?;
    let Some(implied) = unpooled(op, &shape) else {
        return cx.fail("max_unpool-c1", "a list is too short");
    };
    if op.dims.is_empty() {
        return one(Type::tensor(x.dtype, implied));
    }
    cx.require(op.dims.len() == x.rank(), "max_unpool-c3", || {
        format!("`dims` has {} sizes for rank {}", op.dims.len(), x.rank())
    })?;
    for (given, least) in op.dims.iter().zip(&implied) {
        if let (Dim::Known(g), Dim::Known(l)) = (given, least) {
            cx.require(g >= l, "max_unpool-c3", || {
                format!("the size {g} is less than {l}, which the windows imply")
            })?;
        }
    }
    one(Type::tensor(x.dtype, op.dims.iter().cloned()))
}

/// `deform_conv`
pub fn deform_conv(cx: &InferCx<'_>, op: &DeformConv) -> InferResult {
    let (x, spatial) = image(cx, 0, "deform_conv-c1")?;
    let (m, kernel) =
        weights(cx, x, op.groups, ["deform_conv-c2", "deform_conv-c3", "deform_conv-c4"])?;
    cx.require_dtype(x.dtype, x.dtype.is_float(), "a float")?;
    bias(cx, 3, x.dtype, &m, "deform_conv-c5")?;
    let c = dim(x, 1);
    cx.require(
        op.offset_groups >= 1 && c.as_known().is_none_or(|c| c % op.offset_groups == 0),
        "deform_conv-c6",
        || format!("{c} channels do not divide into {} offset groups", op.offset_groups),
    )?;
    let windows = Windows {
        kernel,
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: AutoPad::Explicit,
        ceil_mode: false,
    };
    let out = windows.sizes(cx, spatial)?;
    let points = &numel(kernel) * op.offset_groups;
    let mut n = dim(x, 0);
    let mut sizes = out;
    let per_point = [(2usize, spatial.len() as i64), (4, 1)];
    for (slot, each) in per_point {
        let Some(t) = cx.opt_tensor(slot)? else { continue };
        cx.require(t.dtype == x.dtype && t.rank() == x.rank(), "deform_conv-c7", || {
            format!("`{}` has the dtype and rank of `x`", cx.slot_name(slot))
        })?;
        n = cx.merge_dim(&n, &dim(t, 0))?;
        cx.merge_dim(&dim(t, 1), &(&points * each))?;
        sizes = cx.merge_shape(&sizes, t.shape.get(2..).unwrap_or_default())?.to_vec();
    }
    one(with_spatial(x.dtype, n, m, sizes))
}

/// `col2im`
pub fn col2im(cx: &InferCx<'_>, op: &Col2Im) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require(x.rank() == 3, "col2im-c1", || {
        format!("`x` has axes for batch, channels and blocks, not rank {}", x.rank())
    })?;
    cx.require_dtype(x.dtype, numeric(x.dtype), "numbers")?;
    let windows = Windows {
        kernel: &knowns(&op.block_shape),
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: AutoPad::Explicit,
        ceil_mode: false,
    };
    let blocks = windows.sizes(cx, &op.image_dims)?;
    cx.merge_dim(&dim(x, 2), &numel(&blocks))?;
    let block = numel(&knowns(&op.block_shape));
    let channels = dim(x, 1);
    if let (Some(c), Some(b)) = (channels.as_known(), block.as_known()) {
        cx.require(b > 0 && c % b == 0, "col2im-c2", || {
            format!("{c} rows do not divide into blocks of {b}")
        })?;
    }
    let c = channels.floor_div(&block);
    one(with_spatial(x.dtype, dim(x, 0), c, op.image_dims.iter().cloned()))
}

/// `lrn`
pub fn lrn(cx: &InferCx<'_>, op: &Lrn) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require(x.rank() >= 2, "lrn-c1", || "`x` has a channel axis".to_owned())?;
    cx.require_dtype(x.dtype, x.dtype.is_float(), "a float")?;
    cx.require(op.size >= 1, "lrn-c2", || format!("the size {} is at least 1", op.size))?;
    one(x.clone())
}

/// `causal_conv_with_state`
pub fn causal_conv_with_state(cx: &InferCx<'_>, op: &CausalConvWithState) -> InferResult {
    let (x, spatial) = image(cx, 0, "causal_conv_with_state-c1")?;
    cx.require(spatial.len() == 1, "causal_conv_with_state-c1", || {
        format!("`x` has rank 3, not {}", x.rank())
    })?;
    cx.require_dtype(x.dtype, x.dtype.is_float(), "a float")?;
    let w = cx.tensor(1)?;
    cx.require(w.rank() == 3 && w.dtype == x.dtype, "causal_conv_with_state-c2", || {
        "`w` has rank 3 and the dtype of `x`".to_owned()
    })?;
    let c = cx.merge_dim(&dim(x, 1), &dim(w, 0))?;
    cx.merge_dim(&dim(w, 1), &Dim::Known(1))?;
    bias(cx, 2, x.dtype, &c, "causal_conv_with_state-c3")?;
    cx.require(
        matches!(op.activation.as_str(), "none" | "silu" | "swish"),
        "causal_conv_with_state-c4",
        || format!("there is no activation `{}`", op.activation),
    )?;
    let mut state = [dim(x, 0), c.clone(), &dim(w, 2) - 1].to_vec();
    if let Some(past) = cx.opt_tensor(3)? {
        cx.require(past.dtype == x.dtype, "causal_conv_with_state-c5", || {
            "`past` has the dtype of `x`".to_owned()
        })?;
        state = cx.merge_shape(&state, &past.shape)?.to_vec();
    }
    let y = Type::tensor(x.dtype, [dim(x, 0), c, dim(x, 2)]);
    Ok(vec![y, Type::tensor(x.dtype, state)])
}

/// How many windows of a `col2im` lie along each axis of the image.
pub(crate) fn blocks(op: &Col2Im) -> Vec<Dim> {
    op.image_dims
        .iter()
        .enumerate()
        .map(|(i, size)| {
            let at = |list: &[i64], i: usize, or: i64| list.get(i).copied().unwrap_or(or);
            let pads = at(&op.pads, i, 0) + at(&op.pads, i + op.image_dims.len(), 0);
            let e = extent(&Dim::Known(at(&op.block_shape, i, 1)), at(&op.dilations, i, 1));
            count(&(size + pads), &e, at(&op.strides, i, 1))
        })
        .collect()
}
