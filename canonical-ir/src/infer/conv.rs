//! infer rules of the conv family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn conv(cx: &InferCx<'_>, op: &Conv) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn reduce_window(cx: &InferCx<'_>, op: &ReduceWindow) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn conv_transpose(cx: &InferCx<'_>, op: &ConvTranspose) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn fused_conv(cx: &InferCx<'_>, op: &FusedConv) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn max_pool(cx: &InferCx<'_>, op: &MaxPool) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn average_pool(cx: &InferCx<'_>, op: &AveragePool) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn lp_pool(cx: &InferCx<'_>, op: &LpPool) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn global_average_pool(cx: &InferCx<'_>, op: &GlobalAveragePool) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn global_max_pool(cx: &InferCx<'_>, op: &GlobalMaxPool) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn global_lp_pool(cx: &InferCx<'_>, op: &GlobalLpPool) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn max_unpool(cx: &InferCx<'_>, op: &MaxUnpool) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn deform_conv(cx: &InferCx<'_>, op: &DeformConv) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn col2im(cx: &InferCx<'_>, op: &Col2Im) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn lrn(cx: &InferCx<'_>, op: &Lrn) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn causal_conv_with_state(cx: &InferCx<'_>, op: &CausalConvWithState) -> InferResult {
    cx.fail("stub", "no rule")
}
