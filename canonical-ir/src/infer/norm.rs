//! infer rules of the norm family.

use super::linear::fits;
use super::{InferCx, InferError, InferResult, one};
use crate::dim::{Dim, Shape};
use crate::dtype::DType;
use crate::op::*;
use crate::types::{TensorType, Type};

fn float<'a>(cx: &InferCx<'a>, slot: usize) -> Result<&'a TensorType, InferError> {
    let ty = cx.tensor(slot)?;
    cx.require(ty.dtype.is_float(), "dtype-class", || {
        format!("`{}` is a float, not {}", cx.slot_name(slot), ty.dtype)
    })?;
    Ok(ty)
}

fn over_axes(cx: &InferCx<'_>, axes: &[i64]) -> InferResult {
    let x = float(cx, 0)?;
    cx.axes(axes, x.rank())?;
    one(x.clone())
}

/// Checks an optional float vector of a size.
fn vector(cx: &InferCx<'_>, slot: usize, size: &Dim, label: &str) -> Result<(), InferError> {
    if cx.opt(slot).is_none() {
        return Ok(());
    }
    let ty = float(cx, slot)?;
    match &ty.shape[..] {
        [n] => cx.merge_dim(n, size).map(|_| ()),
        _ => cx.fail(label, format!("`{}` is a vector", cx.slot_name(slot))),
    }
}

fn has_dtype(cx: &InferCx<'_>, slot: usize, dtype: DType, label: &str) -> Result<(), InferError> {
    match cx.opt_tensor(slot)? {
        Some(t) if t.dtype != dtype => {
            cx.fail(label, format!("`{}` is {}, not {dtype}", cx.slot_name(slot), t.dtype))
        }
        _ => Ok(()),
    }
}

/// `softmax`
pub fn softmax(cx: &InferCx<'_>, op: &Softmax) -> InferResult {
    over_axes(cx, &op.axes)
}

/// `log_softmax`
pub fn log_softmax(cx: &InferCx<'_>, op: &LogSoftmax) -> InferResult {
    over_axes(cx, &op.axes)
}

/// `hardmax`
pub fn hardmax(cx: &InferCx<'_>, op: &Hardmax) -> InferResult {
    let consecutive =
        op.axes.windows(2).all(|w| matches!(w, [a, b] if a.checked_add(1) == Some(*b)));
    cx.require(consecutive && !op.axes.is_empty(), "hardmax-c1", || {
        "the axes are consecutive".to_owned()
    })?;
    over_axes(cx, &op.axes)
}

/// `batch_normalization`
pub fn batch_normalization(cx: &InferCx<'_>, _: &BatchNormalization) -> InferResult {
    let x = float(cx, 0)?;
    cx.require(x.rank() >= 1, "batch_normalization-c1", || "`x` is a scalar".to_owned())?;
    let channels = x.shape.get(1).cloned().unwrap_or(Dim::Known(1));
    for slot in 1..5 {
        vector(cx, slot, &channels, "batch_normalization-c2")?;
    }
    Ok(vec![x.clone().into(), cx.tensor(3)?.clone().into(), cx.tensor(4)?.clone().into()])
}

/// `instance_normalization`
pub fn instance_normalization(cx: &InferCx<'_>, _: &InstanceNormalization) -> InferResult {
    let x = float(cx, 0)?;
    let [_, channels, _, ..] = &x.shape[..] else {
        return cx.fail("instance_normalization-c1", "`x` has batch, channel and spatial axes");
    };
    for slot in 1..3 {
        vector(cx, slot, channels, "instance_normalization-c2")?;
        has_dtype(cx, slot, x.dtype, "instance_normalization-c3")?;
    }
    one(x.clone())
}

/// Whether scale and bias of a group normalization count groups rather than channels.
pub(crate) fn per_group(scale: &Dim, channels: &Dim, groups: i64) -> bool {
    scale.as_known() == Some(groups) && channels != scale
}

/// `group_normalization`
pub fn group_normalization(cx: &InferCx<'_>, op: &GroupNormalization) -> InferResult {
    let x = float(cx, 0)?;
    let [_, channels, ..] = &x.shape[..] else {
        return cx.fail("group_normalization-c1", "`x` has batch and channel axes");
    };
    cx.require(
        op.num_groups >= 1 && channels.as_known().is_none_or(|c| c % op.num_groups == 0),
        "group_normalization-c2",
        || format!("{channels} channels do not divide into {} groups", op.num_groups),
    )?;
    stash(cx, op.stash)?;
    for slot in 1..3 {
        let size = cx.tensor(slot)?.shape.first().cloned().unwrap_or(Dim::Any);
        let wanted = match per_group(&size, channels, op.num_groups) {
            true => &size,
            false => channels,
        };
        vector(cx, slot, wanted, "group_normalization-c3")?;
        has_dtype(cx, slot, x.dtype, "group_normalization-c4")?;
    }
    one(x.clone())
}

fn stash(cx: &InferCx<'_>, stash: Option<DType>) -> Result<(), InferError> {
    match stash {
        Some(d) => cx.require_dtype(d, d.is_float(), "statistics in a float"),
        None => Ok(()),
    }
}

/// Sizes with 1 from an axis on.
fn reduced_from(x: &TensorType, axis: usize) -> Shape {
    let sizes = x.shape.iter().enumerate();
    sizes.map(|(i, d)| if i < axis { d.clone() } else { Dim::Known(1) }).collect()
}

fn broadcasts(
    cx: &InferCx<'_>,
    slot: usize,
    x: &TensorType,
    label: &str,
) -> Result<(), InferError> {
    match cx.opt_tensor(slot)? {
        Some(t) => cx.require(fits(&t.shape, &x.shape), label, || {
            format!("`{}` does not broadcast to `{}`", cx.slot_name(slot), cx.slot_name(0))
        }),
        None => Ok(()),
    }
}

/// `layer_normalization`
pub fn layer_normalization(cx: &InferCx<'_>, op: &LayerNormalization) -> InferResult {
    let x = float(cx, 0)?;
    let axis = cx.axis(op.axis, x.rank())?;
    stash(cx, op.stash)?;
    for slot in 1..3 {
        broadcasts(cx, slot, x, "layer_normalization-c1")?;
        has_dtype(cx, slot, x.dtype, "layer_normalization-c2")?;
    }
    let statistics =
        TensorType { dtype: op.stash.unwrap_or(x.dtype), shape: reduced_from(x, axis) };
    Ok(vec![x.clone().into(), statistics.clone().into(), statistics.into()])
}

/// `rms_normalization`
pub fn rms_normalization(cx: &InferCx<'_>, op: &RmsNormalization) -> InferResult {
    let x = float(cx, 0)?;
    cx.axis(op.axis, x.rank())?;
    stash(cx, op.stash)?;
    let scale = float(cx, 1)?;
    broadcasts(cx, 1, x, "rms_normalization-c1")?;
    one(TensorType { dtype: scale.dtype, shape: x.shape.clone() })
}

/// The results of a normalization of `input + skip (+ bias)` over the last axis. `vectors` are
/// the slots of vectors over that axis.
fn skip_norm(cx: &InferCx<'_>, vectors: &[usize], label: &str) -> InferResult {
    let x = float(cx, 0)?;
    let Some(last) = x.shape.last() else {
        return cx.fail(label, "`input` is a scalar");
    };
    broadcasts(cx, 1, x, label)?;
    has_dtype(cx, 1, x.dtype, label)?;
    for &slot in vectors {
        vector(cx, slot, last, label)?;
        has_dtype(cx, slot, x.dtype, label)?;
    }
    let shape = reduced_from(x, x.rank() - 1);
    let statistics = TensorType { dtype: DType::F32, shape };
    Ok(vec![x.clone().into(), statistics.clone().into(), statistics.into(), x.clone().into()])
}

/// `skip_layer_normalization`
pub fn skip_layer_normalization(cx: &InferCx<'_>, _: &SkipLayerNormalization) -> InferResult {
    skip_norm(cx, &[2, 3, 4], "skip_layer_normalization-c1")
}

/// `skip_rms_normalization`
pub fn skip_rms_normalization(cx: &InferCx<'_>, _: &SkipRmsNormalization) -> InferResult {
    skip_norm(cx, &[2, 3], "skip_rms_normalization-c1")
}

/// `lp_normalization`
pub fn lp_normalization(cx: &InferCx<'_>, op: &LpNormalization) -> InferResult {
    cx.require(matches!(op.p, 1 | 2), "lp_normalization-c1", || {
        format!("the exponent is 1 or 2, not {}", op.p)
    })?;
    over_axes(cx, &[op.axis])
}

/// `mean_variance_normalization`
pub fn mean_variance_normalization(
    cx: &InferCx<'_>,
    op: &MeanVarianceNormalization,
) -> InferResult {
    over_axes(cx, &op.axes)
}

/// The loss of scores and class targets: `(loss, scores)`.
fn class_loss(
    cx: &InferCx<'_>,
    reduction: LossReduction,
    label: &str,
) -> Result<(Type, TensorType), InferError> {
    let x = float(cx, 0)?;
    let [n, classes, rest @ ..] = &x.shape[..] else {
        return cx.fail(label, format!("`{}` has batch and class axes", cx.slot_name(0)));
    };
    let target = cx.tensor(1)?;
    cx.require(target.dtype.is_integer(), label, || {
        format!("`{}` holds integers, not {}", cx.slot_name(1), target.dtype)
    })?;
    let mut wanted: Shape = [n.clone()].into_iter().collect();
    wanted.extend(rest.iter().cloned());
    let shape = cx.merge_shape(&wanted, &target.shape)?;
    vector(cx, 2, classes, label)?;
    has_dtype(cx, 2, x.dtype, label)?;
    let loss = match reduction {
        LossReduction::None => TensorType { dtype: x.dtype, shape },
        LossReduction::Sum | LossReduction::Mean => TensorType::scalar(x.dtype),
    };
    Ok((loss.into(), x.clone()))
}

/// `negative_log_likelihood_loss`
pub fn negative_log_likelihood_loss(
    cx: &InferCx<'_>,
    op: &NegativeLogLikelihoodLoss,
) -> InferResult {
    let (loss, _) = class_loss(cx, op.reduction, "negative_log_likelihood_loss-c1")?;
    Ok(vec![loss])
}

/// `softmax_cross_entropy_loss`
pub fn softmax_cross_entropy_loss(cx: &InferCx<'_>, op: &SoftmaxCrossEntropyLoss) -> InferResult {
    let (loss, scores) = class_loss(cx, op.reduction, "softmax_cross_entropy_loss-c1")?;
    Ok(vec![loss, scores.into()])
}
