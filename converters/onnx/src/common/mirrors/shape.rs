//! Mirrored ops of the shape family.

use airconv_api::ir::op::OpKind;

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::new("DepthToSpace", 1, OpKind::DepthToSpace),
    Mirror::new("EyeLike", 9, OpKind::EyeLike),
    Mirror::new("Size", 1, OpKind::Size),
    Mirror::new("SpaceToDepth", 1, OpKind::SpaceToDepth),
];
