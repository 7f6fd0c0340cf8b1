//! decompose rules of the conv family: convolutions. Poolings are in [`pool`], what gathers or
//! scatters windows in [`patch`].

mod patch;
mod pool;

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::array::{Array, Scalar};
use crate::dim::{Dim, Shape};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::conv::window::{Transposed, extent};
use crate::op::*;

pub use patch::{col2im, deform_conv, max_unpool};
pub use pool::{
    average_pool, global_average_pool, global_lp_pool, global_max_pool, lp_pool, lrn, max_pool,
};

type Value = Result<ValueId, NoDecomposition>;

/// The dtype in which sums of a dtype are computed: narrow floats go to f32.
fn wide(dtype: DType) -> DType {
    if dtype.is_float() && dtype != DType::F64 { DType::F32 } else { dtype }
}

/// x under sizes that it provably has; states them where they are spelled in another way.
fn pinned(cx: &mut DecomposeCx<'_, '_>, x: ValueId, dims: &[Dim]) -> Value {
    if dims.contains(&Dim::Any) {
        return Ok(x);
    }
    Ok(cx.b.reshape(x, dims)?)
}

/// Zero of a dtype.
fn zero(cx: &mut DecomposeCx<'_, '_>, dtype: DType) -> Value {
    Ok(cx.b.constant(&Array::zeros(dtype, Vec::new())?)?)
}

/// A vector over channels, shaped to broadcast along axis 1 of a rank.
fn per_channel(cx: &mut DecomposeCx<'_, '_>, v: ValueId, rank: usize) -> Value {
    let axes: Vec<usize> = (1..rank.saturating_sub(1)).collect();
    Ok(cx.b.unsqueeze(v, &axes)?)
}

/// `conv_transpose`: a convolution of the spread input with the flipped kernel.
pub fn conv_transpose(cx: &mut DecomposeCx<'_, '_>, op: &ConvTranspose) -> DecomposeResult {
    let (x, w) = (cx.x(0)?, cx.x(1)?);
    let (x_ty, w_ty) = (cx.ty(0)?, cx.ty(1)?);
    let rank = x_ty.rank();
    let ([_, _, sizes @ ..], [channels, per_group, kernel @ ..]) =
        (&x_ty.shape[..], &w_ty.shape[..])
    else {
        return cx.unsupported("a transposed convolution without channels");
    };
    let transposed = Transposed {
        kernel,
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: op.auto_pad,
        output_padding: &op.output_padding,
        output_shape: &op.output_shape,
    };
    let Some(axes) = transposed.axes(sizes) else {
        return cx.unsupported("a list of the transposed convolution is too short");
    };
    let groups = Dim::Known(op.groups);
    let flipped = flipped(cx, w, &w_ty.shape)?;
    let weights = if op.groups == 1 {
        let perm: Vec<i64> = [1, 0].into_iter().chain(2..rank as i64).collect();
        cx.b.transpose(flipped, &perm)?
    } else {
        let within = channels.floor_div(&groups);
        let mut dims: Shape =
            [groups.clone(), within.clone(), per_group.clone()].into_iter().collect();
        dims.extend(kernel.iter().cloned());
        let split = cx.b.reshape(flipped, &dims)?;
        let perm: Vec<i64> = [0, 2, 1].into_iter().chain(3..rank as i64 + 1).collect();
        let swapped = cx.b.transpose(split, &perm)?;
        let mut dims: Shape = [&groups * per_group, within].into_iter().collect();
        dims.extend(kernel.iter().cloned());
        cx.b.reshape(swapped, &dims)?
    };
    // The convolution gives the full result without its first `cut` and with `more` elements at
    // its end; what would need less padding than none is cut off afterwards.
    let n = sizes.len();
    let mut pads = vec![0; 2 * n];
    let mut cuts = Vec::new();
    let mut tails = vec![Dim::Known(0); rank];
    for (i, axis) in axes.iter().enumerate() {
        let (Some(size), Some(&dilation)) = (kernel.get(i), op.dilations.get(i)) else { continue };
        let reach = &extent(size, dilation) - 1;
        let reach = cx.known(&reach, "the kernel size of a transposed convolution")?;
        let cut = axis.low.as_known().map_or(0, |low| low.min(reach));
        let end = &(&axis.low + &axis.out) - &axis.full;
        let more = end.as_known().map_or(0, |e| e.max(-reach));
        for (place, pad) in [(i, reach - cut), (n + i, reach + more)] {
            if let Some(p) = pads.get_mut(place) {
                *p = pad;
            }
        }
        let start = &axis.low - cut;
        let stop = &start + &axis.out;
        let whole = &(&axis.full - cut) + more;
        if start != Dim::Known(0) || stop != whole {
            cuts.push((i + 2, start, Dim::min(&stop, &whole)));
            let tail = Dim::max(&(&stop - &whole), &Dim::Known(0));
            if let Some(t) = tails.get_mut(i + 2) {
                *t = tail;
            }
        }
    }
    let conv = Conv {
        strides: vec![1; n],
        pads,
        dilations: op.dilations.clone(),
        input_dilations: op.strides.clone(),
        groups: op.groups,
        auto_pad: AutoPad::Explicit,
    };
    let padded = tails.iter().any(|t| *t != Dim::Known(0));
    let early = if padded { None } else { cx.opt(2) };
    let mut y = cx.b.emit_opt(conv, &[Some(x), Some(weights), early])?;
    if !cuts.is_empty() {
        let op = Slice {
            axes: cuts.iter().map(|c| c.0 as i64).collect(),
            starts: cuts.iter().map(|c| c.1.clone()).collect(),
            ends: cuts.iter().map(|c| c.2.clone()).collect(),
            steps: vec![1; cuts.len()],
        };
        y = cx.b.emit(op, &[y])?;
    }
    if padded {
        let op = Pad { low: vec![Dim::Known(0); rank], high: tails, mode: PadMode::Constant };
        y = cx.b.emit(op, &[y])?;
        if let Some(b) = cx.opt(2) {
            let b = per_channel(cx, b, rank)?;
            y = cx.b.add(y, b)?;
        }
    }
    let mut dims = cx.b.tensor_ty(y)?.shape;
    for (d, axis) in dims.iter_mut().skip(2).zip(&axes) {
        *d = axis.out.clone();
    }
    one(pinned(cx, y, &dims)?)
}

/// The kernel with its spatial axes reversed.
fn flipped(cx: &mut DecomposeCx<'_, '_>, w: ValueId, shape: &[Dim]) -> Value {
    let axes: Vec<usize> =
        (2..shape.len()).filter(|&a| shape.get(a).is_some_and(|d| *d != Dim::Known(1))).collect();
    if axes.is_empty() {
        return Ok(w);
    }
    let op = Slice {
        starts: vec![Dim::Known(-1); axes.len()],
        ends: axes.iter().filter_map(|&a| shape.get(a)).map(|d| &(-d) - 1).collect(),
        steps: vec![-1; axes.len()],
        axes: axes.iter().map(|&a| a as i64).collect(),
    };
    let y = cx.b.emit(op, &[w])?;
    pinned(cx, y, shape)
}

/// `fused_conv`
pub fn fused_conv(cx: &mut DecomposeCx<'_, '_>, op: &FusedConv) -> DecomposeResult {
    let (x, w) = (cx.x(0)?, cx.x(1)?);
    let n = cx.ty(0)?.rank().saturating_sub(2);
    let conv = Conv {
        strides: op.strides.clone(),
        pads: op.pads.clone(),
        dilations: op.dilations.clone(),
        input_dilations: vec![1; n],
        groups: op.groups,
        auto_pad: op.auto_pad,
    };
    let mut y = cx.b.emit_opt(conv, &[Some(x), Some(w), cx.opt(2)])?;
    if let Some(z) = cx.opt(3) {
        y = cx.b.add(y, z)?;
    }
    let param = |i: usize, or: f64| op.activation_params.get(i).map_or(or, |p| p.0);
    one(match op.activation.as_str() {
        "" | "None" => y,
        "Relu" => cx.b.emit(Relu {}, &[y])?,
        "Tanh" => cx.b.tanh(y)?,
        "Sigmoid" => cx.b.emit(Sigmoid {}, &[y])?,
        "LeakyRelu" => {
            let alpha = param(0, f64::from(0.01f32)).into();
            cx.b.emit(LeakyRelu { alpha }, &[y])?
        }
        "Clip" => {
            let low = cx.b.scalar_like(y, param(0, f64::NEG_INFINITY))?;
            let high = cx.b.scalar_like(y, param(1, f64::INFINITY))?;
            cx.b.emit(Clip {}, &[y, low, high])?
        }
        "HardSigmoid" => {
            let alpha = param(0, f64::from(0.2f32)).into();
            cx.b.emit(HardSigmoid { alpha, beta: param(1, 0.5).into() }, &[y])?
        }
        other => return cx.unsupported(format!("the activation `{other}` of fused_conv")),
    })
}

/// `causal_conv_with_state`
pub fn causal_conv_with_state(
    cx: &mut DecomposeCx<'_, '_>,
    op: &CausalConvWithState,
) -> DecomposeResult {
    let (x, w) = (cx.x(0)?, cx.x(1)?);
    let (x_ty, w_ty) = (cx.ty(0)?, cx.ty(1)?);
    let ([_, channels, length], [w_channels, _, kernel]) = (&x_ty.shape[..], &w_ty.shape[..])
    else {
        return cx.unsupported("a causal convolution of another rank than 3");
    };
    let groups = match (channels.as_known(), w_channels.as_known()) {
        (Some(c), _) | (_, Some(c)) => c,
        _ => cx.known(channels, "the number of channels of a causal convolution")?,
    };
    let carried = kernel - 1;
    let none = Dim::Known(0);
    let padded = match cx.opt(3) {
        Some(past) => cx.b.concat(&[past, x], 2)?,
        None => {
            let low = vec![none.clone(), none.clone(), carried.clone()];
            let op = Pad { low, high: vec![none; 3], mode: PadMode::Constant };
            cx.b.emit(op, &[x])?
        }
    };
    let conv = Conv {
        strides: vec![1],
        pads: vec![0, 0],
        dilations: vec![1],
        input_dilations: vec![1],
        groups,
        auto_pad: AutoPad::Explicit,
    };
    let y = cx.b.emit_opt(conv, &[Some(padded), Some(w), cx.opt(2)])?;
    let mut y = pinned(cx, y, &x_ty.shape)?;
    if op.activation != "none" {
        let f = cx.b.cast(y, wide(x_ty.dtype))?;
        let gate = cx.b.emit(Sigmoid {}, &[f])?;
        let f = cx.b.mul(f, gate)?;
        y = cx.b.cast(f, x_ty.dtype)?;
    }
    let mut out = vec![Some(y), None];
    if cx.wants(1) {
        let state = cx.b.slice_axis(padded, 2, length.clone(), length + &carried)?;
        let dims = [x_ty.shape.first().cloned().unwrap_or(Dim::Any), channels.clone(), carried];
        out[1] = Some(pinned(cx, state, &dims)?);
    }
    Ok(out)
}

/// A scalar constant that no element of a dtype is below.
fn lowest(cx: &mut DecomposeCx<'_, '_>, dtype: DType) -> Value {
    let value = match (dtype.int_range(), dtype.float_format()) {
        (Some((low, _)), _) => Scalar::Int(low),
        (_, Some(f)) if f.has_inf() => Scalar::Float(f64::NEG_INFINITY),
        (_, Some(f)) if f.is_signed() => Scalar::Float(-f.max_finite()),
        (_, Some(f)) => Scalar::Float(f.min_positive()),
        _ => return cx.unsupported(format!("{dtype} has no order")),
    };
    Ok(cx.b.constant(&Array::scalar(dtype, &value)?)?)
}
