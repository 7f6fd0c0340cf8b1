//! decompose rules of the image family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn resize(cx: &mut DecomposeCx<'_, '_>, op: &Resize) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn grid_sample(cx: &mut DecomposeCx<'_, '_>, op: &GridSample) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn affine_grid(cx: &mut DecomposeCx<'_, '_>, op: &AffineGrid) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn roi_align(cx: &mut DecomposeCx<'_, '_>, op: &RoiAlign) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn max_roi_pool(cx: &mut DecomposeCx<'_, '_>, op: &MaxRoiPool) -> DecomposeResult {
    cx.unsupported("stub")
}
