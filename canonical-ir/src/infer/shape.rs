//! infer rules of the shape family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn constant(cx: &InferCx<'_>, op: &Constant) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn dim_value(cx: &InferCx<'_>, op: &DimValue) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn dims_of(cx: &InferCx<'_>, op: &DimsOf) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn broadcast(cx: &InferCx<'_>, op: &Broadcast) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn reshape(cx: &InferCx<'_>, op: &Reshape) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn transpose(cx: &InferCx<'_>, op: &Transpose) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn slice(cx: &InferCx<'_>, op: &Slice) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn pad(cx: &InferCx<'_>, op: &Pad) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn concat(cx: &InferCx<'_>, op: &Concat) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn iota(cx: &InferCx<'_>, op: &Iota) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn full(cx: &InferCx<'_>, op: &Full) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn shape_of(cx: &InferCx<'_>, op: &ShapeOf) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn size(cx: &InferCx<'_>, op: &Size) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn flatten(cx: &InferCx<'_>, op: &Flatten) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn squeeze(cx: &InferCx<'_>, op: &Squeeze) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn unsqueeze(cx: &InferCx<'_>, op: &Unsqueeze) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn split(cx: &InferCx<'_>, op: &Split) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn tile(cx: &InferCx<'_>, op: &Tile) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn depth_to_space(cx: &InferCx<'_>, op: &DepthToSpace) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn space_to_depth(cx: &InferCx<'_>, op: &SpaceToDepth) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn center_crop_pad(cx: &InferCx<'_>, op: &CenterCropPad) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn trilu(cx: &InferCx<'_>, op: &Trilu) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn eye_like(cx: &InferCx<'_>, op: &EyeLike) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn range(cx: &InferCx<'_>, op: &Range) -> InferResult {
    cx.fail("stub", "no rule")
}
