//! The operations of candle-nn that are one call.

use airconv_ir::attr::Float;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{LayerNormalization, RmsNormalization, Sigmoid, Softmax};

use super::super::build::{Call, Cx, R, Stop};
use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule("custom LayerNorm", layer_norm),
    rule("custom RmsNorm", rms_norm),
    rule("custom RotaryEmb", |cx, c| rotary(cx, c, 2, false)),
    rule("custom RotaryEmbI", |cx, c| rotary(cx, c, 2, true)),
    rule("custom RotaryEmbThd", |cx, c| rotary(cx, c, 1, false)),
    rule("custom SoftmaxLastDim", softmax),
    rule("custom sigmoid", sigmoid),
];

fn sigmoid(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let x = call.operand(0)?;
    Ok(cx.b().emit(Sigmoid {}, &[x])?)
}

fn last_axis(cx: &mut Cx<'_>, x: ValueId) -> R<i64> {
    let rank = cx.shape(x)?.len() as i64;
    if rank == 0 { Err(Stop::Invalid("it has no axis".to_owned())) } else { Ok(rank - 1) }
}

fn softmax(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let x = call.operand(0)?;
    let axes = vec![last_axis(cx, x)?];
    Ok(cx.b().emit(Softmax { axes }, &[x])?)
}

/// candle normalises narrow floats in f32.
fn stash(dtype: DType) -> Option<DType> {
    matches!(dtype, DType::F16 | DType::BF16).then_some(DType::F32)
}

fn layer_norm(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let (x, scale, bias) = (call.operand(0)?, call.operand(1)?, call.operand(2)?);
    let (axis, stash) = (last_axis(cx, x)?, stash(call.node.dtype));
    let epsilon = Float(call.float(cx, 0)?);
    let op = LayerNormalization { axis, epsilon, stash };
    Ok(cx.b().emit_opt(op, &[Some(x), Some(scale), Some(bias)])?)
}

fn rms_norm(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let (x, scale) = (call.operand(0)?, call.operand(1)?);
    let (axis, stash) = (last_axis(cx, x)?, stash(call.node.dtype));
    let epsilon = Float(call.float(cx, 0)?);
    Ok(cx.b().emit(RmsNormalization { axis, epsilon, stash }, &[x, scale])?)
}

/// Turns pairs of the last axis of a tensor of rank 4 by angles given as cosine and sine, which
/// have axes `[time, half]` or `[batch, time, half]`. Pairs are halves of the axis, or neighbours.
fn rotary(cx: &mut Cx<'_>, call: &Call<'_>, time: usize, neighbours: bool) -> R<ValueId> {
    let x = call.operand(0)?;
    let shape = cx.shape(x)?;
    let (Some(size), Some(steps)) = (shape.get(3), shape.get(time)) else {
        return Err(Stop::Invalid("it is not of rank 4".to_owned()));
    };
    let half = size.as_known().filter(|s| s % 2 == 0).map(|s| s / 2);
    let half = half.ok_or_else(|| Stop::Unsupported("pairs of a symbolic size".to_owned()))?;
    let cos = angle(cx, call.operand(1)?, time, steps, half)?;
    let sin = angle(cx, call.operand(2)?, time, steps, half)?;
    let pairs = |first: Dim, second: Dim| {
        let mut dims = shape[..3].to_vec();
        dims.extend([first, second]);
        dims
    };
    let half_dim = Dim::Known(half);
    let (dims, axis) = match neighbours {
        true => (pairs(half_dim, Dim::Known(2)), 4),
        false => (pairs(Dim::Known(2), half_dim), 3),
    };
    let mut b = cx.b();
    let split = b.reshape(x, &dims)?;
    let (first, second) = (b.index_axis(split, axis, 0)?, b.index_axis(split, axis, 1)?);
    let (a, c) = (b.mul(first, cos)?, b.mul(second, sin)?);
    let (d, e) = (b.mul(first, sin)?, b.mul(second, cos)?);
    let (left, right) = (b.sub(a, c)?, b.add(d, e)?);
    let (left, right) = (b.unsqueeze(left, &[axis])?, b.unsqueeze(right, &[axis])?);
    let joined = b.concat(&[left, right], axis)?;
    Ok(b.reshape(joined, &shape)?)
}

/// A cosine or sine with the axes of the tensor.
fn angle(cx: &mut Cx<'_>, x: ValueId, time: usize, steps: &Dim, half: i64) -> R<ValueId> {
    let shape = cx.shape(x)?;
    let mut dims = vec![Dim::Known(1), Dim::Known(1), Dim::Known(1), Dim::Known(half)];
    dims[time] = steps.clone();
    match shape.as_slice() {
        [_, _] => {}
        [batch, _, _] => dims[0] = batch.clone(),
        _ => return Err(Stop::Invalid("the angles are not of rank 2 or 3".to_owned())),
    }
    // Longer tables count up to the time of the tensor.
    let axis = shape.len() - 2;
    let x = if shape[axis] == *steps {
        x
    } else {
        let mut exact = shape.clone();
        exact[axis] = steps.clone();
        let mut b = cx.b();
        let cut = b.slice_axis(x, axis, Dim::Known(0), steps.clone())?;
        b.reshape(cut, &exact)?
    };
    Ok(cx.b().reshape(x, &dims)?)
}
