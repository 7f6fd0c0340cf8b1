//! decompose rules of the shape family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn full(cx: &mut DecomposeCx<'_, '_>, op: &Full) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn shape_of(cx: &mut DecomposeCx<'_, '_>, op: &ShapeOf) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn size(cx: &mut DecomposeCx<'_, '_>, op: &Size) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn flatten(cx: &mut DecomposeCx<'_, '_>, op: &Flatten) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn squeeze(cx: &mut DecomposeCx<'_, '_>, op: &Squeeze) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn unsqueeze(cx: &mut DecomposeCx<'_, '_>, op: &Unsqueeze) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn split(cx: &mut DecomposeCx<'_, '_>, op: &Split) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn tile(cx: &mut DecomposeCx<'_, '_>, op: &Tile) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn depth_to_space(cx: &mut DecomposeCx<'_, '_>, op: &DepthToSpace) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn space_to_depth(cx: &mut DecomposeCx<'_, '_>, op: &SpaceToDepth) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn center_crop_pad(cx: &mut DecomposeCx<'_, '_>, op: &CenterCropPad) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn trilu(cx: &mut DecomposeCx<'_, '_>, op: &Trilu) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn eye_like(cx: &mut DecomposeCx<'_, '_>, op: &EyeLike) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn range(cx: &mut DecomposeCx<'_, '_>, op: &Range) -> DecomposeResult {
    cx.unsupported("stub")
}
