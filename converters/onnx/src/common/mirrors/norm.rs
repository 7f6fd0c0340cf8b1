//! Mirrored ops of the norm family.

use airconv_ir::op::OpKind;

use crate::common::MICROSOFT;
use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::new("BatchNormalization", 14, OpKind::BatchNormalization),
    Mirror::new("InstanceNormalization", 6, OpKind::InstanceNormalization),
    Mirror::new("NegativeLogLikelihoodLoss", 12, OpKind::NegativeLogLikelihoodLoss),
    Mirror::new("SoftmaxCrossEntropyLoss", 12, OpKind::SoftmaxCrossEntropyLoss),
    Mirror::of(MICROSOFT, "SkipLayerNormalization", 1, OpKind::SkipLayerNormalization),
    Mirror::of(MICROSOFT, "SkipSimplifiedLayerNormalization", 1, OpKind::SkipRmsNormalization),
];
