//! decompose rules of the training family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn adagrad(cx: &mut DecomposeCx<'_, '_>, op: &Adagrad) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn adam(cx: &mut DecomposeCx<'_, '_>, op: &Adam) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn momentum(cx: &mut DecomposeCx<'_, '_>, op: &Momentum) -> DecomposeResult {
    cx.unsupported("stub")
}
