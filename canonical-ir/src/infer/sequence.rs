//! infer rules of the sequence family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn sequence_construct(cx: &InferCx<'_>, op: &SequenceConstruct) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn sequence_empty(cx: &InferCx<'_>, op: &SequenceEmpty) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn sequence_insert(cx: &InferCx<'_>, op: &SequenceInsert) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn sequence_at(cx: &InferCx<'_>, op: &SequenceAt) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn sequence_erase(cx: &InferCx<'_>, op: &SequenceErase) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn sequence_length(cx: &InferCx<'_>, op: &SequenceLength) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn split_to_sequence(cx: &InferCx<'_>, op: &SplitToSequence) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn concat_from_sequence(cx: &InferCx<'_>, op: &ConcatFromSequence) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn optional(cx: &InferCx<'_>, op: &Optional) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn optional_get_element(cx: &InferCx<'_>, op: &OptionalGetElement) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn optional_has_element(cx: &InferCx<'_>, op: &OptionalHasElement) -> InferResult {
    cx.fail("stub", "no rule")
}
