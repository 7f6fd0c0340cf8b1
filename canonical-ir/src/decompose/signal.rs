//! decompose rules of the signal family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn dft(cx: &mut DecomposeCx<'_, '_>, op: &Dft) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn stft(cx: &mut DecomposeCx<'_, '_>, op: &Stft) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn hann_window(cx: &mut DecomposeCx<'_, '_>, op: &HannWindow) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn hamming_window(cx: &mut DecomposeCx<'_, '_>, op: &HammingWindow) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn blackman_window(cx: &mut DecomposeCx<'_, '_>, op: &BlackmanWindow) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn mel_weight_matrix(cx: &mut DecomposeCx<'_, '_>, op: &MelWeightMatrix) -> DecomposeResult {
    cx.unsupported("stub")
}
