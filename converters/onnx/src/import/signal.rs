//! Reading rules of the signal family.

use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::*;

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("BlackmanWindow", 17, &[OpKind::BlackmanWindow], blackman),
    ImportRule::new("DFT", 17, &[OpKind::Dft], dft),
    ImportRule::new("HammingWindow", 17, &[OpKind::HammingWindow], hamming),
    ImportRule::new("HannWindow", 17, &[OpKind::HannWindow], hann),
    ImportRule::new("MelWeightMatrix", 17, &[OpKind::MelWeightMatrix], mel_weight_matrix),
    ImportRule::new("STFT", 17, &[OpKind::Stft], stft),
];

/// `DFT`: the axis is an attribute up to version 19, then an input.
fn dft(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let rank = cx.rank(0)?;
    let axis = if cx.version < 20 {
        cx.int("axis", 1)?
    } else if cx.opt(2).is_some() {
        match cx.need_ints(2, "the axis")?.as_slice() {
            &[axis] => axis,
            _ => return cx.invalid("the axis is not one number"),
        }
    } else {
        -2
    };
    let axis = cx.axis(axis, rank)?;
    let (inverse, onesided) = (cx.bool("inverse", false)?, cx.bool("onesided", false)?);
    let length = match cx.opt(1) {
        Some(_) => Some(cx.dim_input(1, "the length")?),
        None => None,
    };
    let x = cx.input(0)?;
    cx.emit_all(Dft { axis, length, inverse, onesided }, &[x])
}

/// `STFT`: without a frame length that of the window, or else of the signal.
fn stft(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let onesided = cx.bool("onesided", true)?;
    let frame_step = cx.dim_input(1, "the frame step")?;
    let frame_length = match (cx.opt(3), cx.opt(2)) {
        (Some(_), _) => cx.dim_input(3, "the frame length")?,
        (None, Some(window)) => first_size(cx.tensor_ty(window)?.shape.first())?,
        (None, None) => first_size(cx.input_ty(0)?.shape.get(1))?,
    };
    let signal = cx.input(0)?;
    let op = Stft { frame_step, frame_length, onesided };
    match cx.opt(2) {
        Some(window) => cx.emit_all(op, &[signal, window]),
        None => cx.emit_all(op, &[signal]),
    }
}

fn first_size(dim: Option<&Dim>) -> Result<Dim, Stop> {
    dim.cloned().ok_or_else(|| Stop::Invalid("there is no axis to take the length of".to_owned()))
}

/// The attributes of a window and the number of its points.
fn window(cx: &mut NodeCx<'_, '_>) -> Result<(Dim, bool, DType), Stop> {
    let periodic = cx.bool("periodic", true)?;
    let dtype = output_dtype(cx)?;
    Ok((cx.dim_input(0, "the size")?, periodic, dtype))
}

fn output_dtype(cx: &NodeCx<'_, '_>) -> Result<DType, Stop> {
    Ok(cx.attrs.opt_dtype("output_datatype")?.unwrap_or(DType::F32))
}

fn blackman(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (size, periodic, dtype) = window(cx)?;
    cx.emit(BlackmanWindow { size, periodic, dtype }, &[])
}

fn hamming(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (size, periodic, dtype) = window(cx)?;
    cx.emit(HammingWindow { size, periodic, dtype }, &[])
}

fn hann(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (size, periodic, dtype) = window(cx)?;
    cx.emit(HannWindow { size, periodic, dtype }, &[])
}

/// `MelWeightMatrix`: all but the edges are numbers known before run time.
fn mel_weight_matrix(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let one = |cx: &NodeCx<'_, '_>, input: usize, what: &str| -> Result<i64, Stop> {
        match cx.need_ints(input, what)?.as_slice() {
            &[n] => Ok(n),
            _ => cx.invalid(format!("{what} is not one number")),
        }
    };
    let num_mel_bins = one(cx, 0, "the number of bands")?;
    let dft_length = one(cx, 1, "the length of the transform")?;
    let sample_rate = one(cx, 2, "the sample rate")?;
    let dtype = output_dtype(cx)?;
    let (low, high) = (cx.input(3)?, cx.input(4)?);
    cx.emit_all(MelWeightMatrix { num_mel_bins, dft_length, sample_rate, dtype }, &[low, high])
}
