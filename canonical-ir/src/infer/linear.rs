//! infer rules of the linear family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn contract(cx: &InferCx<'_>, op: &Contract) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn matmul(cx: &InferCx<'_>, op: &Matmul) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn gemm(cx: &InferCx<'_>, op: &Gemm) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn einsum(cx: &InferCx<'_>, op: &Einsum) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn det(cx: &InferCx<'_>, op: &Det) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn fused_matmul(cx: &InferCx<'_>, op: &FusedMatmul) -> InferResult {
    cx.fail("stub", "no rule")
}
