//! interp rules of the sequence family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn sequence_construct(cx: &mut EvalCx<'_, '_>, op: &SequenceConstruct) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn sequence_empty(cx: &mut EvalCx<'_, '_>, op: &SequenceEmpty) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn sequence_insert(cx: &mut EvalCx<'_, '_>, op: &SequenceInsert) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn sequence_at(cx: &mut EvalCx<'_, '_>, op: &SequenceAt) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn sequence_erase(cx: &mut EvalCx<'_, '_>, op: &SequenceErase) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn sequence_length(cx: &mut EvalCx<'_, '_>, op: &SequenceLength) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn split_to_sequence(cx: &mut EvalCx<'_, '_>, op: &SplitToSequence) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn concat_from_sequence(cx: &mut EvalCx<'_, '_>, op: &ConcatFromSequence) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn optional(cx: &mut EvalCx<'_, '_>, op: &Optional) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn optional_get_element(cx: &mut EvalCx<'_, '_>, op: &OptionalGetElement) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn optional_has_element(cx: &mut EvalCx<'_, '_>, op: &OptionalHasElement) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
