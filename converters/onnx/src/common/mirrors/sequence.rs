//! Mirrored ops of the sequence family.

use airconv_ir::op::OpKind;

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[
    Mirror::new("ConcatFromSequence", 11, OpKind::ConcatFromSequence),
    Mirror::new("OptionalGetElement", 15, OpKind::OptionalGetElement),
    Mirror::new("OptionalHasElement", 15, OpKind::OptionalHasElement),
    Mirror::new("SequenceAt", 11, OpKind::SequenceAt),
    Mirror::new("SequenceConstruct", 11, OpKind::SequenceConstruct),
    Mirror::new("SequenceErase", 11, OpKind::SequenceErase),
    Mirror::new("SequenceInsert", 11, OpKind::SequenceInsert),
    Mirror::new("SequenceLength", 11, OpKind::SequenceLength),
];
