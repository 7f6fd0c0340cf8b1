//! decompose rules of the norm family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn softmax(cx: &mut DecomposeCx<'_, '_>, op: &Softmax) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn log_softmax(cx: &mut DecomposeCx<'_, '_>, op: &LogSoftmax) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn hardmax(cx: &mut DecomposeCx<'_, '_>, op: &Hardmax) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn batch_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &BatchNormalization,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn instance_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &InstanceNormalization,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn group_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &GroupNormalization,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn layer_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &LayerNormalization,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn rms_normalization(cx: &mut DecomposeCx<'_, '_>, op: &RmsNormalization) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn skip_layer_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &SkipLayerNormalization,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn skip_rms_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &SkipRmsNormalization,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn lp_normalization(cx: &mut DecomposeCx<'_, '_>, op: &LpNormalization) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn mean_variance_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &MeanVarianceNormalization,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn negative_log_likelihood_loss(
    cx: &mut DecomposeCx<'_, '_>,
    op: &NegativeLogLikelihoodLoss,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn softmax_cross_entropy_loss(
    cx: &mut DecomposeCx<'_, '_>,
    op: &SoftmaxCrossEntropyLoss,
) -> DecomposeResult {
    cx.unsupported("stub")
}
