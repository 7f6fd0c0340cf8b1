//! Mirrored ops of the elementwise family.

use airconv_api::ir::op::OpKind;

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::new("Abs", 6, OpKind::Abs),
    Mirror::new("Add", 7, OpKind::Add).broadcasting(),
];
