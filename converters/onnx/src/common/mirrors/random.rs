//! Mirrored ops of the random family.

use airconv_ir::op::OpKind;

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::new("Bernoulli", 15, OpKind::Bernoulli),
    Mirror::new("Multinomial", 7, OpKind::Multinomial),
    Mirror::new("RandomNormalLike", 1, OpKind::RandomNormalLike),
    Mirror::new("RandomUniformLike", 1, OpKind::RandomUniformLike),
];
