//! infer rules of the norm family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn softmax(cx: &InferCx<'_>, op: &Softmax) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn log_softmax(cx: &InferCx<'_>, op: &LogSoftmax) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn hardmax(cx: &InferCx<'_>, op: &Hardmax) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn batch_normalization(cx: &InferCx<'_>, op: &BatchNormalization) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn instance_normalization(cx: &InferCx<'_>, op: &InstanceNormalization) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn group_normalization(cx: &InferCx<'_>, op: &GroupNormalization) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn layer_normalization(cx: &InferCx<'_>, op: &LayerNormalization) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn rms_normalization(cx: &InferCx<'_>, op: &RmsNormalization) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn skip_layer_normalization(cx: &InferCx<'_>, op: &SkipLayerNormalization) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn skip_rms_normalization(cx: &InferCx<'_>, op: &SkipRmsNormalization) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn lp_normalization(cx: &InferCx<'_>, op: &LpNormalization) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn mean_variance_normalization(
    cx: &InferCx<'_>,
    op: &MeanVarianceNormalization,
) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn negative_log_likelihood_loss(
    cx: &InferCx<'_>,
    op: &NegativeLogLikelihoodLoss,
) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn softmax_cross_entropy_loss(cx: &InferCx<'_>, op: &SoftmaxCrossEntropyLoss) -> InferResult {
    cx.fail("stub", "no rule")
}
