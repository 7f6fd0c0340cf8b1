//! decompose rules of the control family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn scan(cx: &mut DecomposeCx<'_, '_>, op: &Scan) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn sequence_map(cx: &mut DecomposeCx<'_, '_>, op: &SequenceMap) -> DecomposeResult {
    cx.unsupported("stub")
}
