//! decompose rules of the attention family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn attention(cx: &mut DecomposeCx<'_, '_>, op: &Attention) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn rotary_embedding(cx: &mut DecomposeCx<'_, '_>, op: &RotaryEmbedding) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn linear_attention(cx: &mut DecomposeCx<'_, '_>, op: &LinearAttention) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn flex_attention(cx: &mut DecomposeCx<'_, '_>, op: &FlexAttention) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn multi_head_attention(
    cx: &mut DecomposeCx<'_, '_>,
    op: &MultiHeadAttention,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn packed_attention(cx: &mut DecomposeCx<'_, '_>, op: &PackedAttention) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn embed_layer_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &EmbedLayerNormalization,
) -> DecomposeResult {
    cx.unsupported("stub")
}
