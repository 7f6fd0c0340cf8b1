//! decompose rules of the random family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn random_normal(cx: &mut DecomposeCx<'_, '_>, op: &RandomNormal) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn random_uniform(cx: &mut DecomposeCx<'_, '_>, op: &RandomUniform) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn random_normal_like(cx: &mut DecomposeCx<'_, '_>, op: &RandomNormalLike) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn random_uniform_like(
    cx: &mut DecomposeCx<'_, '_>,
    op: &RandomUniformLike,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn bernoulli(cx: &mut DecomposeCx<'_, '_>, op: &Bernoulli) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn multinomial(cx: &mut DecomposeCx<'_, '_>, op: &Multinomial) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn dropout(cx: &mut DecomposeCx<'_, '_>, op: &Dropout) -> DecomposeResult {
    cx.unsupported("stub")
}
