//! Mirrored ops of the training family.

use airconv_api::ir::op::OpKind;

use crate::common::TRAINING;
use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::of(TRAINING, "Adagrad", 1, OpKind::Adagrad),
    Mirror::of(TRAINING, "Adam", 1, OpKind::Adam),
    Mirror::of(TRAINING, "Momentum", 1, OpKind::Momentum),
];
