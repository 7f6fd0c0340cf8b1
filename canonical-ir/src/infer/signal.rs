//! Inference rules of the signal family.

use super::{InferCx, InferResult, one};
use crate::dim::{Dim, Shape};
use crate::dtype::DType;
use crate::op::*;
use crate::types::Type;

/// The number of frequencies of a real signal of this length: the first half and the middle.
pub(crate) fn half_spectrum(length: &Dim) -> Dim {
    &length.floor_div(&Dim::Known(2)) + 1
}

/// The length of a transform that takes an axis of this size and states none: that size, or,
/// back from half a spectrum, the even length that has it.
pub(crate) fn default_length(op: &Dft, size: &Dim) -> Dim {
    match &op.length {
        Some(n) => n.clone(),
        None if op.inverse && op.onesided => &(size - 1) * 2,
        None => size.clone(),
    }
}

/// Fourier transform.
pub fn fft(cx: &InferCx<'_>, op: &Fft) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require_dtype(x.dtype, x.dtype.is_complex(), "a complex tensor")?;
    cx.axis(op.axis, x.rank())?;
    one(Type::tensor(x.dtype, x.shape.iter().cloned()))
}

/// Fourier transform with parts along the last axis.
pub fn dft(cx: &InferCx<'_>, op: &Dft) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require_dtype(x.dtype, x.dtype.is_float(), "a float tensor")?;
    cx.require(x.rank() >= 2, "dft-c1", || format!("rank {} is below 2", x.rank()))?;
    let axis = cx.axis(op.axis, x.rank() - 1)?;
    let parts = x.shape.last().and_then(Dim::as_known);
    cx.require(matches!(parts, None | Some(1 | 2)), "dft-c2", || {
        "the last axis has neither size 1 nor 2".to_owned()
    })?;
    cx.require(op.length.as_ref().and_then(Dim::as_known).is_none_or(|n| n > 0), "dft-c3", || {
        "the length is not positive".to_owned()
    })?;
    let size = x.shape.get(axis).cloned().unwrap_or(Dim::Any);
    let length = default_length(op, &size);
    let mut shape: Shape = x.shape.clone();
    if let Some(slot) = shape.get_mut(axis) {
        *slot = if op.onesided && !op.inverse { half_spectrum(&length) } else { length };
    }
    if let Some(last) = shape.last_mut() {
        *last = Dim::Known(if op.onesided && op.inverse { 1 } else { 2 });
    }
    one(Type::tensor(x.dtype, shape))
}

/// Fourier transforms of windows.
pub fn stft(cx: &InferCx<'_>, op: &Stft) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require_dtype(x.dtype, x.dtype.is_float(), "a float signal")?;
    cx.require(matches!(x.rank(), 2 | 3), "stft-c1", || {
        format!("the signal has rank {}, not 2 or 3", x.rank())
    })?;
    let parts = if x.rank() == 3 { x.shape.get(2).and_then(Dim::as_known) } else { None };
    cx.require(matches!(parts, None | Some(1 | 2)), "stft-c2", || {
        "the last axis has neither size 1 nor 2".to_owned()
    })?;
    if let Some(w) = cx.opt_tensor(1)? {
        cx.same_dtype(0, 1)?;
        cx.require(w.rank() == 1, "stft-c3", || {
            format!("the window has rank {}, not 1", w.rank())
        })?;
    }
    let positive = |d: &Dim| d.as_known().is_none_or(|n| n > 0);
    cx.require(positive(&op.frame_step) && positive(&op.frame_length), "stft-c4", || {
        "the frame step and length are positive".to_owned()
    })?;
    let length = x.shape.get(1).cloned().unwrap_or(Dim::Any);
    let frames = stft_frames(op, &length);
    cx.require(frames.as_known().is_none_or(|n| n >= 0), "stft-c5", || {
        "the signal is shorter than a frame".to_owned()
    })?;
    let bins = if op.onesided { half_spectrum(&op.frame_length) } else { op.frame_length.clone() };
    let batch = x.shape.first().cloned().unwrap_or(Dim::Any);
    one(Type::tensor(x.dtype, [batch, frames, bins, Dim::Known(2)]))
}

/// The number of whole frames in a signal.
pub(crate) fn stft_frames(op: &Stft, length: &Dim) -> Dim {
    &(length - &op.frame_length).floor_div(&op.frame_step) + 1
}

fn window(cx: &InferCx<'_>, size: &Dim, dtype: DType) -> InferResult {
    cx.require_dtype(dtype, dtype.is_float() || dtype.is_integer(), "a number dtype")?;
    cx.require(size.as_known().is_none_or(|n| n >= 0), "window-c1", || {
        "the size is negative".to_owned()
    })?;
    one(Type::tensor(dtype, [size.clone()]))
}

/// Hann window.
pub fn hann_window(cx: &InferCx<'_>, op: &HannWindow) -> InferResult {
    window(cx, &op.size, op.dtype)
}

/// Hamming window.
pub fn hamming_window(cx: &InferCx<'_>, op: &HammingWindow) -> InferResult {
    window(cx, &op.size, op.dtype)
}

/// Blackman window.
pub fn blackman_window(cx: &InferCx<'_>, op: &BlackmanWindow) -> InferResult {
    window(cx, &op.size, op.dtype)
}

/// Mel filter bank.
pub fn mel_weight_matrix(cx: &InferCx<'_>, op: &MelWeightMatrix) -> InferResult {
    for slot in 0..2 {
        let edge = cx.tensor(slot)?;
        cx.require_dtype(edge.dtype, edge.dtype.is_float(), "float edges")?;
        cx.scalar(slot)?;
    }
    let number = op.dtype.is_float() || op.dtype.is_integer();
    cx.require_dtype(op.dtype, number, "a number dtype")?;
    cx.require(
        op.num_mel_bins >= 0 && op.dft_length >= 0 && op.sample_rate > 0,
        "mel_weight_matrix-c1",
        || "bands and length are not negative and the rate is positive".to_owned(),
    )?;
    let bins = op.dft_length / 2 + 1;
    one(Type::tensor(op.dtype, [Dim::Known(bins), Dim::Known(op.num_mel_bins)]))
}
