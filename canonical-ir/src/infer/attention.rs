//! infer rules of the attention family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn attention(cx: &InferCx<'_>, op: &Attention) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn rotary_embedding(cx: &InferCx<'_>, op: &RotaryEmbedding) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn linear_attention(cx: &InferCx<'_>, op: &LinearAttention) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn flex_attention(cx: &InferCx<'_>, op: &FlexAttention) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn multi_head_attention(cx: &InferCx<'_>, op: &MultiHeadAttention) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn packed_attention(cx: &InferCx<'_>, op: &PackedAttention) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn embed_layer_normalization(cx: &InferCx<'_>, op: &EmbedLayerNormalization) -> InferResult {
    cx.fail("stub", "no rule")
}
