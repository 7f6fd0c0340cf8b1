//! Mirrored ops of the conv family.

use airconv_ir::op::OpKind;

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::new("GlobalAveragePool", 1, OpKind::GlobalAveragePool),
    Mirror::new("GlobalMaxPool", 1, OpKind::GlobalMaxPool),
    Mirror::new("GlobalLpPool", 2, OpKind::GlobalLpPool),
    Mirror::new("LRN", 1, OpKind::Lrn),
    Mirror::new("CausalConvWithState", 27, OpKind::CausalConvWithState),
];
