//! infer rules of the rnn family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn rnn(cx: &InferCx<'_>, op: &Rnn) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn gru(cx: &InferCx<'_>, op: &Gru) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn lstm(cx: &InferCx<'_>, op: &Lstm) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn dynamic_quantize_lstm(cx: &InferCx<'_>, op: &DynamicQuantizeLstm) -> InferResult {
    cx.fail("stub", "no rule")
}
