//! interp rules of the string family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn string_concat(cx: &mut EvalCx<'_, '_>, op: &StringConcat) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn string_split(cx: &mut EvalCx<'_, '_>, op: &StringSplit) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn string_normalizer(cx: &mut EvalCx<'_, '_>, op: &StringNormalizer) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn regex_full_match(cx: &mut EvalCx<'_, '_>, op: &RegexFullMatch) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn tfidf_vectorizer(cx: &mut EvalCx<'_, '_>, op: &TfidfVectorizer) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
