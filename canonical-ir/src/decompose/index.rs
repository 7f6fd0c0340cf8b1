//! decompose rules of the index family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn gather(cx: &mut DecomposeCx<'_, '_>, op: &Gather) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn gather_elements(cx: &mut DecomposeCx<'_, '_>, op: &GatherElements) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn scatter_elements(cx: &mut DecomposeCx<'_, '_>, op: &ScatterElements) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn compress(cx: &mut DecomposeCx<'_, '_>, op: &Compress) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn one_hot(cx: &mut DecomposeCx<'_, '_>, op: &OneHot) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn reverse_sequence(cx: &mut DecomposeCx<'_, '_>, op: &ReverseSequence) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn tensor_scatter(cx: &mut DecomposeCx<'_, '_>, op: &TensorScatter) -> DecomposeResult {
    cx.unsupported("stub")
}
