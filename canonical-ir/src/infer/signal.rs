//! infer rules of the signal family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn fft(cx: &InferCx<'_>, op: &Fft) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn dft(cx: &InferCx<'_>, op: &Dft) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn stft(cx: &InferCx<'_>, op: &Stft) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn hann_window(cx: &InferCx<'_>, op: &HannWindow) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn hamming_window(cx: &InferCx<'_>, op: &HammingWindow) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn blackman_window(cx: &InferCx<'_>, op: &BlackmanWindow) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn mel_weight_matrix(cx: &InferCx<'_>, op: &MelWeightMatrix) -> InferResult {
    cx.fail("stub", "no rule")
}
