//! decompose rules of the linear family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn matmul(cx: &mut DecomposeCx<'_, '_>, op: &Matmul) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn gemm(cx: &mut DecomposeCx<'_, '_>, op: &Gemm) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn einsum(cx: &mut DecomposeCx<'_, '_>, op: &Einsum) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn det(cx: &mut DecomposeCx<'_, '_>, op: &Det) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn fused_matmul(cx: &mut DecomposeCx<'_, '_>, op: &FusedMatmul) -> DecomposeResult {
    cx.unsupported("stub")
}
