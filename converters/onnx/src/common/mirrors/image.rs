//! Mirrored ops of the image family.

use airconv_api::ir::op::OpKind;

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::new("MaxRoiPool", 1, OpKind::MaxRoiPool),
    Mirror::new("NonMaxSuppression", 10, OpKind::NonMaxSuppression),
];
