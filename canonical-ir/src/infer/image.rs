//! infer rules of the image family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn resize(cx: &InferCx<'_>, op: &Resize) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn grid_sample(cx: &InferCx<'_>, op: &GridSample) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn affine_grid(cx: &InferCx<'_>, op: &AffineGrid) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn roi_align(cx: &InferCx<'_>, op: &RoiAlign) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn max_roi_pool(cx: &InferCx<'_>, op: &MaxRoiPool) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn non_max_suppression(cx: &InferCx<'_>, op: &NonMaxSuppression) -> InferResult {
    cx.fail("stub", "no rule")
}
