//! infer rules of the random family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn rng(cx: &InferCx<'_>, op: &Rng) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn random_normal(cx: &InferCx<'_>, op: &RandomNormal) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn random_uniform(cx: &InferCx<'_>, op: &RandomUniform) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn random_normal_like(cx: &InferCx<'_>, op: &RandomNormalLike) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn random_uniform_like(cx: &InferCx<'_>, op: &RandomUniformLike) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn bernoulli(cx: &InferCx<'_>, op: &Bernoulli) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn multinomial(cx: &InferCx<'_>, op: &Multinomial) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn dropout(cx: &InferCx<'_>, op: &Dropout) -> InferResult {
    cx.fail("stub", "no rule")
}
