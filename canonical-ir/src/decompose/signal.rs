//! Decompositions of the signal family.

use std::f64::consts::PI;

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::array::{Array, Scalar};
use crate::builder::BuildError;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::signal::{default_length, half_spectrum, stft_frames};
use crate::op::*;

type R = Result<ValueId, BuildError>;

/// Cuts or zero-pads the end of an axis to a size.
fn fit(cx: &mut DecomposeCx<'_, '_>, x: ValueId, axis: usize, size: &Dim) -> R {
    let ty = cx.b.tensor_ty(x)?;
    let Some(given) = ty.shape.get(axis).filter(|d| *d != size) else { return Ok(x) };
    let missing = size - given;
    let grow = Dim::max(&missing, &Dim::Known(0));
    let mut x = x;
    if grow != Dim::Known(0) {
        let low = vec![Dim::Known(0); ty.rank()];
        let mut high = low.clone();
        if let Some(h) = high.get_mut(axis) {
            *h = grow;
        }
        x = cx.b.emit(Pad { low, high, mode: PadMode::Constant }, &[x])?;
    }
    if missing.as_known().is_none_or(|n| n < 0) {
        x = cx.b.slice_axis(x, axis, Dim::Known(0), size.clone())?;
        let mut dims = ty.shape.clone();
        if let Some(d) = dims.get_mut(axis) {
            *d = size.clone();
        }
        x = cx.b.reshape(x, &dims)?;
    }
    Ok(x)
}

/// The float dtype in which a transform of this dtype is computed.
fn work_dtype(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// Fourier transform with parts along the last axis.
pub fn dft(cx: &mut DecomposeCx<'_, '_>, op: &Dft) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let last = ty.rank().saturating_sub(1);
    let axis = usize::try_from(op.axis).unwrap_or(0);
    let Some(size) = ty.shape.get(axis).cloned() else { return cx.unsupported("axis") };
    let parts = ty.shape.last().cloned().unwrap_or(Dim::Known(1));
    let parts = cx.known(&parts, "the number of parts of an element")?;
    let length = default_length(op, &size);
    let back = op.inverse && op.onesided;
    let x = cx.x(0)?;
    let x = cx.b.cast(x, work_dtype(ty.dtype))?;
    let given = if back { half_spectrum(&length) } else { length.clone() };
    let x = fit(cx, x, axis, &given)?;
    let re = cx.b.index_axis(x, last, 0)?;
    let im = if parts == 2 { cx.b.index_axis(x, last, 1)? } else { cx.b.full_like(re, 0.0)? };
    let mut z = cx.b.emit(Complex {}, &[re, im])?;
    if back {
        // The second half mirrors the first: conjugate, last first, without 0 and the middle.
        let tail = (&length - 1).floor_div(&Dim::Known(2));
        let mirrored = Slice {
            axes: vec![op.axis],
            starts: vec![tail.clone()],
            ends: vec![Dim::Known(0)],
            steps: vec![-1],
        };
        let mut dims = cx.b.tensor_ty(z)?.shape;
        if let Some(d) = dims.get_mut(axis) {
            *d = tail;
        }
        let re = cx.b.emit(mirrored.clone(), &[re])?;
        let im = cx.b.emit(mirrored, &[im])?;
        let (re, im) = (cx.b.reshape(re, &dims)?, cx.b.reshape(im, &dims)?);
        let im = cx.b.neg(im)?;
        let rest = cx.b.emit(Complex {}, &[re, im])?;
        z = cx.b.concat(&[z, rest], axis)?;
        if let Some(d) = dims.get_mut(axis) {
            *d = length.clone();
        }
        z = cx.b.reshape(z, &dims)?;
    }
    let mut z = cx.b.emit(Fft { axis: op.axis, inverse: op.inverse }, &[z])?;
    if op.onesided && !op.inverse {
        z = fit(cx, z, axis, &half_spectrum(&length))?;
    }
    let re = cx.b.emit(Real {}, &[z])?;
    let mut y = cx.b.unsqueeze(re, &[last])?;
    if !back {
        let im = cx.b.emit(Imag {}, &[z])?;
        let im = cx.b.unsqueeze(im, &[last])?;
        y = cx.b.concat(&[y, im], last)?;
    }
    one(cx.b.cast(y, ty.dtype)?)
}

/// Fourier transforms of windows.
pub fn stft(cx: &mut DecomposeCx<'_, '_>, op: &Stft) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let mut x = cx.x(0)?;
    if ty.rank() == 2 {
        x = cx.b.unsqueeze(x, &[2])?;
    }
    let Some(length) = ty.shape.get(1).cloned() else { return cx.unsupported("rank") };
    let frames = stft_frames(op, &length);
    let (step, size) = (&op.frame_step, &op.frame_length);
    let first = cx.b.iota(DType::I64, frames)?;
    let step = cx.b.dim_scalar(step)?;
    let first = cx.b.mul(first, step)?;
    let first = cx.b.unsqueeze(first, &[1])?;
    let within = cx.b.iota(DType::I64, size.clone())?;
    let index = cx.b.add(first, within)?;
    let mut framed = cx.b.emit(Gather { axis: 1 }, &[x, index])?;
    if let Some(window) = cx.opt(1) {
        let window = fit(cx, window, 0, size)?;
        let window = cx.b.unsqueeze(window, &[1])?;
        framed = cx.b.mul(framed, window)?;
    }
    let dft = Dft { axis: 2, length: None, inverse: false, onesided: op.onesided };
    one(cx.b.emit(dft, &[framed])?)
}

/// A sum of cosines `c0 - c1 cos(2 pi i / n) + c2 cos(4 pi i / n)` over the points of a window.
fn window(
    cx: &mut DecomposeCx<'_, '_>,
    size: &Dim,
    periodic: bool,
    dtype: DType,
    [c0, c1, c2]: [f64; 3],
) -> DecomposeResult {
    if let Some(n) = size.as_known().filter(|&n| n <= 1 << 20) {
        // One point, symmetric: the middle of the window.
        let period = if periodic { n } else { n - 1 };
        let value = |i: i64| {
            if period == 0 {
                return c0 + c1 + c2;
            }
            let turn = 2.0 * PI * i as f64 / period as f64;
            c0 - c1 * turn.cos() + c2 * (2.0 * turn).cos()
        };
        let values: Vec<f64> = (0..n).map(value).collect();
        let array = number_array(dtype, vec![values.len()], &values)?;
        return one(cx.b.constant(&array)?);
    }
    let points = cx.b.iota(DType::F64, size.clone())?;
    let period = cx.b.dim_scalar(&if periodic { size.clone() } else { size - 1 })?;
    let single = cx.b.dim_scalar(size)?;
    let nonzero = cx.b.scalar_int(DType::I64, 1)?;
    let period = cx.b.max(period, nonzero)?;
    let period = cx.b.cast(period, DType::F64)?;
    let turn = cx.b.mul_const(points, 2.0 * PI)?;
    let turn = cx.b.div(turn, period)?;
    let wave = cx.b.cos(turn)?;
    let wave = cx.b.mul_const(wave, -c1)?;
    let mut y = cx.b.add_const(wave, c0)?;
    if c2 != 0.0 {
        let double = cx.b.mul_const(turn, 2.0)?;
        let double = cx.b.cos(double)?;
        let double = cx.b.mul_const(double, c2)?;
        y = cx.b.add(y, double)?;
    }
    if !periodic {
        let lone = cx.b.equal(single, nonzero)?;
        let middle = cx.b.scalar(DType::F64, c0 + c1 + c2)?;
        y = cx.b.select(lone, middle, y)?;
    }
    one(cx.b.cast(y, dtype)?)
}

/// An array of a number dtype from f64 values; integers are truncated.
fn number_array(dtype: DType, shape: Vec<usize>, values: &[f64]) -> Result<Array, NoDecomposition> {
    if dtype.is_float() {
        return Ok(Array::from_f64s(dtype, shape, values)?);
    }
    let mut array = Array::zeros(dtype, shape)?;
    for (i, v) in values.iter().enumerate() {
        array.set(i, &Scalar::Int(v.trunc() as i128))?;
    }
    Ok(array)
}

/// Hann window.
pub fn hann_window(cx: &mut DecomposeCx<'_, '_>, op: &HannWindow) -> DecomposeResult {
    window(cx, &op.size, op.periodic, op.dtype, [0.5, 0.5, 0.0])
}

/// Hamming window.
pub fn hamming_window(cx: &mut DecomposeCx<'_, '_>, op: &HammingWindow) -> DecomposeResult {
    window(cx, &op.size, op.periodic, op.dtype, [25.0 / 46.0, 21.0 / 46.0, 0.0])
}

/// Blackman window.
pub fn blackman_window(cx: &mut DecomposeCx<'_, '_>, op: &BlackmanWindow) -> DecomposeResult {
    window(cx, &op.size, op.periodic, op.dtype, [0.42, 0.5, 0.08])
}

/// Hertz to mel, in f64.
fn mel(cx: &mut DecomposeCx<'_, '_>, hertz: ValueId) -> R {
    let hertz = cx.b.reshape(hertz, &[])?;
    let hertz = cx.b.cast(hertz, DType::F64)?;
    let ratio = cx.b.mul_const(hertz, 1.0 / 700.0)?;
    let ratio = cx.b.add_const(ratio, 1.0)?;
    let log = cx.b.log(ratio)?;
    cx.b.mul_const(log, 2595.0 / std::f64::consts::LN_10)
}

/// Mel filter bank: triangles between neighbouring points that are evenly spaced in mel.
pub fn mel_weight_matrix(cx: &mut DecomposeCx<'_, '_>, op: &MelWeightMatrix) -> DecomposeResult {
    let (low, high) = (cx.x(0)?, cx.x(1)?);
    let (low, high) = (mel(cx, low)?, mel(cx, high)?);
    let (bands, length) = (op.num_mel_bins, op.dft_length);
    if !(0..1 << 40).contains(&bands) || !(0..1 << 40).contains(&length) {
        return Err(NoDecomposition::Unsupported(format!("{bands} mel bands of {length} points")));
    }
    let bins = length / 2 + 1;
    let span = cx.b.sub(high, low)?;
    let step = cx.b.mul_const(span, 1.0 / (bands + 2) as f64)?;
    let points = cx.b.iota(DType::F64, Dim::Known(bands + 2))?;
    let points = cx.b.mul(points, step)?;
    let points = cx.b.add(points, low)?;
    let exponent = cx.b.mul_const(points, std::f64::consts::LN_10 / 2595.0)?;
    let hertz = cx.b.exp(exponent)?;
    let hertz = cx.b.add_const(hertz, -1.0)?;
    let hertz = cx.b.mul_const(hertz, 700.0)?;
    let bin = cx.b.mul_const(hertz, (length + 1) as f64)?;
    let rate = cx.b.scalar(DType::F64, op.sample_rate as f64)?;
    let bin = cx.b.div(bin, rate)?;
    let bin = cx.b.floor(bin)?;
    let part = |cx: &mut DecomposeCx<'_, '_>, at: i64| {
        cx.b.slice_axis(bin, 0, Dim::Known(at), Dim::Known(at + bands))
    };
    let (left, centre, right) = (part(cx, 0)?, part(cx, 1)?, part(cx, 2)?);
    let index = cx.b.iota(DType::F64, Dim::Known(bins))?;
    let index = cx.b.unsqueeze(index, &[1])?;
    let zero = cx.b.scalar(DType::F64, 0.0)?;
    let one_ = cx.b.scalar(DType::F64, 1.0)?;
    // Rising from the left point to the centre, both counted; a jump where they coincide.
    let width = cx.b.sub(centre, left)?;
    let flat = cx.b.equal(width, zero)?;
    let safe = cx.b.select(flat, one_, width)?;
    let rise = cx.b.sub(index, left)?;
    let rise = cx.b.div(rise, safe)?;
    let rise = cx.b.select(flat, one_, rise)?;
    let after = cx.b.less_or_equal(left, index)?;
    let before = cx.b.less_or_equal(index, centre)?;
    let within = cx.b.and(after, before)?;
    let rise = cx.b.select(within, rise, zero)?;
    // Falling from the centre to the right point, which does not count.
    let width = cx.b.sub(right, centre)?;
    let flat = cx.b.less_or_equal(width, zero)?;
    let safe = cx.b.select(flat, one_, width)?;
    let fall = cx.b.sub(right, index)?;
    let fall = cx.b.div(fall, safe)?;
    let after = cx.b.less_or_equal(centre, index)?;
    let before = cx.b.less(index, right)?;
    let within = cx.b.and(after, before)?;
    let y = cx.b.select(within, fall, rise)?;
    one(cx.b.cast(y, op.dtype)?)
}
