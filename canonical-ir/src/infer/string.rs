//! infer rules of the string family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn string_concat(cx: &InferCx<'_>, op: &StringConcat) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn string_split(cx: &InferCx<'_>, op: &StringSplit) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn string_normalizer(cx: &InferCx<'_>, op: &StringNormalizer) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn regex_full_match(cx: &InferCx<'_>, op: &RegexFullMatch) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn tfidf_vectorizer(cx: &InferCx<'_>, op: &TfidfVectorizer) -> InferResult {
    cx.fail("stub", "no rule")
}
