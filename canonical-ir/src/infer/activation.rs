//! infer rules of the activation family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn relu(cx: &InferCx<'_>, op: &Relu) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn leaky_relu(cx: &InferCx<'_>, op: &LeakyRelu) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn prelu(cx: &InferCx<'_>, op: &Prelu) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn elu(cx: &InferCx<'_>, op: &Elu) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn celu(cx: &InferCx<'_>, op: &Celu) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn selu(cx: &InferCx<'_>, op: &Selu) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn sigmoid(cx: &InferCx<'_>, op: &Sigmoid) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn hard_sigmoid(cx: &InferCx<'_>, op: &HardSigmoid) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn hard_swish(cx: &InferCx<'_>, op: &HardSwish) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn softplus(cx: &InferCx<'_>, op: &Softplus) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn softsign(cx: &InferCx<'_>, op: &Softsign) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn thresholded_relu(cx: &InferCx<'_>, op: &ThresholdedRelu) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn mish(cx: &InferCx<'_>, op: &Mish) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn gelu(cx: &InferCx<'_>, op: &Gelu) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn swish(cx: &InferCx<'_>, op: &Swish) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn shrink(cx: &InferCx<'_>, op: &Shrink) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn bias_gelu(cx: &InferCx<'_>, op: &BiasGelu) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn fast_gelu(cx: &InferCx<'_>, op: &FastGelu) -> InferResult {
    cx.fail("stub", "no rule")
}
