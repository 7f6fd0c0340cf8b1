//! decompose rules of the activation family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn relu(cx: &mut DecomposeCx<'_, '_>, op: &Relu) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn leaky_relu(cx: &mut DecomposeCx<'_, '_>, op: &LeakyRelu) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn prelu(cx: &mut DecomposeCx<'_, '_>, op: &Prelu) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn elu(cx: &mut DecomposeCx<'_, '_>, op: &Elu) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn celu(cx: &mut DecomposeCx<'_, '_>, op: &Celu) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn selu(cx: &mut DecomposeCx<'_, '_>, op: &Selu) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn sigmoid(cx: &mut DecomposeCx<'_, '_>, op: &Sigmoid) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn hard_sigmoid(cx: &mut DecomposeCx<'_, '_>, op: &HardSigmoid) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn hard_swish(cx: &mut DecomposeCx<'_, '_>, op: &HardSwish) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn softplus(cx: &mut DecomposeCx<'_, '_>, op: &Softplus) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn softsign(cx: &mut DecomposeCx<'_, '_>, op: &Softsign) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn thresholded_relu(cx: &mut DecomposeCx<'_, '_>, op: &ThresholdedRelu) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn mish(cx: &mut DecomposeCx<'_, '_>, op: &Mish) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn gelu(cx: &mut DecomposeCx<'_, '_>, op: &Gelu) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn swish(cx: &mut DecomposeCx<'_, '_>, op: &Swish) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn shrink(cx: &mut DecomposeCx<'_, '_>, op: &Shrink) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn bias_gelu(cx: &mut DecomposeCx<'_, '_>, op: &BiasGelu) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn fast_gelu(cx: &mut DecomposeCx<'_, '_>, op: &FastGelu) -> DecomposeResult {
    cx.unsupported("stub")
}
