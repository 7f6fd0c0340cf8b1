//! Reading rules of dropout: the identity when a model is used, random when it is trained.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Dropout, OpKind, RandomUniform};

use super::arg::{Arg, Returns};
use super::call::{CallCx, Stop};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::alpha_dropout", RANDOM, alpha_dropout),
    ImportRule::new("aten::dropout", &[OpKind::Dropout], dropout),
    ImportRule::new("aten::feature_alpha_dropout", RANDOM, feature_alpha_dropout),
    ImportRule::new("aten::feature_dropout", RANDOM, feature_dropout),
    ImportRule::new("aten::native_dropout", &[OpKind::Dropout], native_dropout),
    ImportRule::new("aten::native_dropout_backward", &[OpKind::Mul], dropout_backward),
];

const RANDOM: &[OpKind] = &[OpKind::RandomUniform, OpKind::Select];

/// Zeroes elements with a probability and scales the others up; also gives which are kept.
pub(super) fn dropped(
    cx: &mut CallCx<'_>,
    x: ValueId,
    ratio: f64,
) -> Result<(ValueId, ValueId), Stop> {
    let mut b = cx.b();
    let ratio = b.scalar(DType::F32, ratio)?;
    let training = b.scalar(DType::Bool, 1.0)?;
    let both = b.emit_all(Dropout { seed: None }, &[Some(x), Some(ratio), Some(training)])?;
    match both.as_slice() {
        &[y, mask] => Ok((y, mask)),
        _ => cx.invalid("dropout gives two results"),
    }
}

/// The operand, which the forms that write name otherwise.
fn operand(cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
    cx.tensor(if cx.has("input") { "input" } else { "self" })
}

/// Whether a call is the identity: outside of training, or with probability zero.
fn is_identity(cx: &mut CallCx<'_>, ratio: f64) -> Result<bool, Stop> {
    Ok(!cx.bool("train")? || ratio == 0.0)
}

/// `dropout`.
fn dropout(cx: &mut CallCx<'_>) -> Outcome {
    let (x, ratio) = (operand(cx)?, cx.float("p")?);
    if is_identity(cx, ratio)? {
        return Ok(x.into());
    }
    if ratio == 1.0 {
        return Ok(cx.b().full_like(x, 0.0)?.into());
    }
    Ok(dropped(cx, x, ratio)?.0.into())
}

/// `native_dropout`: also gives which elements are kept; an absent `train` means true.
fn native_dropout(cx: &mut CallCx<'_>) -> Outcome {
    let (x, ratio) = (operand(cx)?, cx.float("p")?);
    let training = !cx.given("train")? || cx.bool("train")?;
    if training && ratio > 0.0 && ratio < 1.0 {
        let (y, mask) = dropped(cx, x, ratio)?;
        return Ok([y, mask].into());
    }
    let kept = !training || ratio == 0.0;
    let shape = cx.shape(x)?;
    let mask = match cx.wants(1) {
        true => {
            let mut b = cx.b();
            let all = b.scalar(DType::Bool, f64::from(u8::from(kept)))?;
            Arg::Tensor(b.broadcast_to(all, &shape)?)
        }
        false => Arg::None,
    };
    let y = if kept { x } else { cx.b().full_like(x, 0.0)? };
    Ok(Returns(vec![y.into(), mask]))
}

/// Which elements of a shape are kept, drawn with a probability of loss.
fn drawn_mask(cx: &mut CallCx<'_>, dims: Vec<Dim>, ratio: f64) -> Result<ValueId, Stop> {
    let (low, high) = (0.0.into(), 1.0.into());
    let op = RandomUniform { dims, dtype: DType::F32, low, high, seed: None };
    let mut b = cx.b();
    let drawn = b.emit(op, &[])?;
    let ratio = b.scalar(DType::F32, ratio)?;
    Ok(b.less_or_equal(ratio, drawn)?)
}

/// The shape with every axis behind the channels made 1: whole channels are lost or kept.
fn channel_shape(cx: &CallCx<'_>, x: ValueId) -> Result<Vec<Dim>, Stop> {
    let shape = cx.shape(x)?;
    Ok(shape
        .iter()
        .enumerate()
        .map(|(i, d)| if i < 2 { d.clone() } else { Dim::Known(1) })
        .collect())
}

/// `feature_dropout`: loses whole channels.
fn feature_dropout(cx: &mut CallCx<'_>) -> Outcome {
    let (x, ratio) = (operand(cx)?, cx.float("p")?);
    if is_identity(cx, ratio)? {
        return Ok(x.into());
    }
    let dims = channel_shape(cx, x)?;
    let kept = drawn_mask(cx, dims, ratio)?;
    let mut b = cx.b();
    let scaled = b.mul_const(x, 1.0 / (1.0 - ratio))?;
    let zero = b.scalar_like(x, 0.0)?;
    Ok(b.select(kept, scaled, zero)?.into())
}

/// `alpha_dropout`: what is lost becomes the least value of `selu`; mean and variance stay.
fn alpha_dropout(cx: &mut CallCx<'_>) -> Outcome {
    let x = operand(cx)?;
    let dims = cx.shape(x)?.to_vec();
    alpha(cx, x, dims)
}

/// `feature_alpha_dropout`: the same with whole channels.
fn feature_alpha_dropout(cx: &mut CallCx<'_>) -> Outcome {
    let x = operand(cx)?;
    let dims = channel_shape(cx, x)?;
    alpha(cx, x, dims)
}

fn alpha(cx: &mut CallCx<'_>, x: ValueId, dims: Vec<Dim>) -> Outcome {
    let ratio = cx.float("p")?;
    if is_identity(cx, ratio)? {
        return Ok(x.into());
    }
    // The product of the scale and the slope of selu, with its sign.
    let least = -1.758_099_340_847_376_6_f64;
    let scale = ((least * least * ratio + 1.0) * (1.0 - ratio)).sqrt().recip();
    let shift = -scale * ratio * least;
    let kept = drawn_mask(cx, dims, ratio)?;
    let mut b = cx.b();
    let lost = b.scalar_like(x, least)?;
    let mixed = b.select(kept, x, lost)?;
    let scaled = b.mul_const(mixed, scale)?;
    Ok(b.add_const(scaled, shift)?.into())
}

/// `native_dropout_backward`: what comes back where nothing was left out, scaled.
fn dropout_backward(cx: &mut CallCx<'_>) -> Outcome {
    let (grad, mask) = (cx.tensor("grad_output")?, cx.tensor("mask")?);
    let scale = cx.float("scale")?;
    let dtype = match cx.dtype(grad)? {
        d if d.is_float() => d,
        DType::C64 => DType::C64,
        _ => DType::F32,
    };
    let (grad, mask) = (cx.cast(grad, dtype)?, cx.cast(mask, dtype)?);
    let kept = cx.b().mul(grad, mask)?;
    Ok(cx.b().mul_const(kept, scale)?.into())
}
