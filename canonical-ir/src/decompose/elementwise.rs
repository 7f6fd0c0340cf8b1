//! decompose rules of the elementwise family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn identity(cx: &mut DecomposeCx<'_, '_>, op: &Identity) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn cast_like(cx: &mut DecomposeCx<'_, '_>, op: &CastLike) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn reciprocal(cx: &mut DecomposeCx<'_, '_>, op: &Reciprocal) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn clip(cx: &mut DecomposeCx<'_, '_>, op: &Clip) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn greater(cx: &mut DecomposeCx<'_, '_>, op: &Greater) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn greater_or_equal(cx: &mut DecomposeCx<'_, '_>, op: &GreaterOrEqual) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn is_inf(cx: &mut DecomposeCx<'_, '_>, op: &IsInf) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn variadic_sum(cx: &mut DecomposeCx<'_, '_>, op: &VariadicSum) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn variadic_mean(cx: &mut DecomposeCx<'_, '_>, op: &VariadicMean) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn variadic_max(cx: &mut DecomposeCx<'_, '_>, op: &VariadicMax) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn variadic_min(cx: &mut DecomposeCx<'_, '_>, op: &VariadicMin) -> DecomposeResult {
    cx.unsupported("stub")
}
