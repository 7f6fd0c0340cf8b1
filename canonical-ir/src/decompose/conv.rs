//! decompose rules of the conv family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn conv_transpose(cx: &mut DecomposeCx<'_, '_>, op: &ConvTranspose) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn fused_conv(cx: &mut DecomposeCx<'_, '_>, op: &FusedConv) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn max_pool(cx: &mut DecomposeCx<'_, '_>, op: &MaxPool) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn average_pool(cx: &mut DecomposeCx<'_, '_>, op: &AveragePool) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn lp_pool(cx: &mut DecomposeCx<'_, '_>, op: &LpPool) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn global_average_pool(
    cx: &mut DecomposeCx<'_, '_>,
    op: &GlobalAveragePool,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn global_max_pool(cx: &mut DecomposeCx<'_, '_>, op: &GlobalMaxPool) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn global_lp_pool(cx: &mut DecomposeCx<'_, '_>, op: &GlobalLpPool) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn max_unpool(cx: &mut DecomposeCx<'_, '_>, op: &MaxUnpool) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn deform_conv(cx: &mut DecomposeCx<'_, '_>, op: &DeformConv) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn col2im(cx: &mut DecomposeCx<'_, '_>, op: &Col2Im) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn lrn(cx: &mut DecomposeCx<'_, '_>, op: &Lrn) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn causal_conv_with_state(
    cx: &mut DecomposeCx<'_, '_>,
    op: &CausalConvWithState,
) -> DecomposeResult {
    cx.unsupported("stub")
}
