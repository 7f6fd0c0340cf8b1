//! Mirrored ops of the attention family.

use airconv_api::ir::op::OpKind;

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::new("Attention", 23, OpKind::Attention)
        .renaming(&[("qk_mode", "qk_matmul_output_mode")]),
    Mirror::new("LinearAttention", 27, OpKind::LinearAttention),
];
