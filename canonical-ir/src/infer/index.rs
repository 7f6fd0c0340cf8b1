//! infer rules of the index family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn gather_nd(cx: &InferCx<'_>, op: &GatherNd) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn scatter_nd(cx: &InferCx<'_>, op: &ScatterNd) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn top_k(cx: &InferCx<'_>, op: &TopK) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn nonzero(cx: &InferCx<'_>, op: &Nonzero) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn unique(cx: &InferCx<'_>, op: &Unique) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn gather(cx: &InferCx<'_>, op: &Gather) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn gather_elements(cx: &InferCx<'_>, op: &GatherElements) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn scatter_elements(cx: &InferCx<'_>, op: &ScatterElements) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn compress(cx: &InferCx<'_>, op: &Compress) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn one_hot(cx: &InferCx<'_>, op: &OneHot) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn reverse_sequence(cx: &InferCx<'_>, op: &ReverseSequence) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn tensor_scatter(cx: &InferCx<'_>, op: &TensorScatter) -> InferResult {
    cx.fail("stub", "no rule")
}
