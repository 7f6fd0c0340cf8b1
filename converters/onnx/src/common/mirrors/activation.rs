//! Mirrored ops of the activation family.

use airconv_api::ir::op::OpKind;

use crate::common::MICROSOFT;
use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::of(MICROSOFT, "BiasGelu", 1, OpKind::BiasGelu),
    Mirror::new("Celu", 12, OpKind::Celu),
    Mirror::new("Elu", 6, OpKind::Elu),
    Mirror::of(MICROSOFT, "FastGelu", 1, OpKind::FastGelu),
    Mirror::new("Gelu", 20, OpKind::Gelu),
    Mirror::new("HardSigmoid", 6, OpKind::HardSigmoid),
    Mirror::new("HardSwish", 14, OpKind::HardSwish),
    Mirror::new("LeakyRelu", 6, OpKind::LeakyRelu),
    Mirror::new("Mish", 18, OpKind::Mish),
    Mirror::new("PRelu", 7, OpKind::Prelu),
    Mirror::new("Relu", 6, OpKind::Relu),
    Mirror::new("Selu", 6, OpKind::Selu),
    Mirror::new("Shrink", 9, OpKind::Shrink),
    Mirror::new("Sigmoid", 6, OpKind::Sigmoid),
    Mirror::new("Softplus", 1, OpKind::Softplus),
    Mirror::new("Softsign", 1, OpKind::Softsign),
    Mirror::new("Swish", 24, OpKind::Swish).always(&["alpha"]),
    Mirror::new("ThresholdedRelu", 10, OpKind::ThresholdedRelu),
];
