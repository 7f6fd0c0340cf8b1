//! decompose rules of the rnn family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn rnn(cx: &mut DecomposeCx<'_, '_>, op: &Rnn) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn gru(cx: &mut DecomposeCx<'_, '_>, op: &Gru) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn lstm(cx: &mut DecomposeCx<'_, '_>, op: &Lstm) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn dynamic_quantize_lstm(
    cx: &mut DecomposeCx<'_, '_>,
    op: &DynamicQuantizeLstm,
) -> DecomposeResult {
    cx.unsupported("stub")
}
