//! Writing rules of the signal family.

use std::f64::consts::TAU;

use airconv_api::ir::array::Array;
use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{Dft, Op, OpKind};
use airconv_api::ir::tensor::Tensor;
use airconv_api::ir::types::Type;

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::BlackmanWindow, window),
    ExportRule::new(OpKind::Dft, dft),
    ExportRule::new(OpKind::HammingWindow, window),
    ExportRule::new(OpKind::HannWindow, window),
    ExportRule::new(OpKind::MelWeightMatrix, mel_weight_matrix),
    ExportRule::new(OpKind::Stft, stft),
];

fn wrong<T>() -> Result<T, Refuse> {
    Refuse::because("the rule is for another op")
}

/// The most numbers of a table of a transform.
const LARGEST_TABLE: i64 = 1 << 24;

/// A transform as a product with a table of sines and cosines, for versions without `DFT`.
fn dft_by_table(cx: &mut ExportCx<'_, '_>, d: &Dft) -> Result<(), Refuse> {
    let (x, y) = (cx.tensor_ty(0)?, cx.result_ty(0)?);
    let known = |dim: Option<&Dim>| match dim.and_then(Dim::as_known) {
        Some(n) if n >= 0 => Ok(n),
        _ => Refuse::because("without DFT (before version 17) the length has to be known"),
    };
    let axis = usize::try_from(d.axis).unwrap_or(usize::MAX);
    let (size, parts) = (known(x.shape.get(axis))?, known(x.shape.last())?);
    let (bins, out_parts) = (known(y.shape.get(axis))?, known(y.shape.last())?);
    let length = match (&d.length, d.inverse && d.onesided) {
        (Some(n), _) => known(Some(n))?,
        (None, true) => bins,
        (None, false) => size,
    };
    let entries = size.checked_mul(bins).and_then(|n| n.checked_mul(parts * out_parts));
    if length == 0 || entries.is_none_or(|n| n > LARGEST_TABLE) || x.rank() > 20 {
        return Refuse::because("a table of the transform would be empty or too large");
    }
    let (sign, scale) = if d.inverse { (1.0, 1.0 / length as f64) } else { (-1.0, 1.0) };
    let half = d.inverse && d.onesided;
    let mut table = Vec::new();
    for from in 0..size {
        // What is beyond the length does not count, and half a spectrum stands for both halves.
        let weight = match half {
            _ if from >= length => 0.0,
            true if from > length / 2 => 0.0,
            true if from > 0 && 2 * from != length => 2.0 * scale,
            _ => scale,
        };
        for to in 0..bins {
            let turn = i128::from(from) * i128::from(to) % i128::from(length);
            let (sin, cos) = (sign * TAU * turn as f64 / length as f64).sin_cos();
            let rows = [[cos, sin], [-sin, cos]];
            for row in rows.iter().take(parts as usize) {
                table.extend(row.iter().take(out_parts as usize).map(|v| v * weight));
            }
        }
    }
    let shape = [size, bins, parts, out_parts].iter().map(|&n| n as usize).collect();
    let tensor = Array::from_f64s(x.dtype, shape, &table).and_then(|a| Tensor::from_array(&a));
    let table = cx.ex.constant(&tensor.map_err(|e| Refuse(e.to_string()))?, "table")?;
    // Letters: the axes of x, then the axis and the parts of the result.
    let letters: Vec<char> = ('a'..='z').collect();
    let (last, to, out) = (x.rank() - 1, letters[x.rank()], letters[x.rank() + 1]);
    let from: String = letters.iter().take(x.rank()).collect();
    let result: String = (0..x.rank())
        .map(|i| {
            if i == axis {
                to
            } else if i == last {
                out
            } else {
                letters[i]
            }
        })
        .collect();
    let equation = format!("{from},{}{to}{}{out}->{result}", letters[axis], letters[last]);
    let inputs = [cx.x(0)?, table];
    cx.emit("Einsum", &inputs, vec![attr::string("equation", &equation)])
}

/// `DFT`: the axis is an attribute up to version 19, then an input.
fn dft(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Dft(d) = op else { return wrong() };
    if cx.opset() < 17 {
        return dft_by_table(cx, d);
    }
    let mut inputs = vec![cx.x(0)?];
    let mut attrs = Vec::new();
    if let Some(length) = &d.length {
        inputs.push(cx.dim_scalar(length)?);
    }
    let last = cx.tensor_ty(0)?.rank() as i64 - 2;
    if cx.opset() < 20 {
        attrs.push(attr::int("axis", d.axis));
    } else if d.axis != last {
        inputs.resize(2, String::new());
        inputs.push(cx.int_scalar(d.axis)?);
    }
    for (name, value) in [("inverse", d.inverse), ("onesided", d.onesided)] {
        if value {
            attrs.push(attr::bool(name, true));
        }
    }
    cx.emit("DFT", &inputs, attrs)
}

fn stft(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Stft(s) = op else { return wrong() };
    let mut inputs = vec![cx.x(0)?, cx.dim_scalar(&s.frame_step)?, cx.opt(1)?];
    // The length of the window is the default.
    let window = cx.ty(1).and_then(Type::as_tensor).and_then(|w| w.shape.first());
    if window != Some(&s.frame_length) {
        inputs.push(cx.dim_scalar(&s.frame_length)?);
    }
    let attrs = if s.onesided { Vec::new() } else { vec![attr::bool("onesided", false)] };
    cx.emit("STFT", &inputs, attrs)
}

fn window(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let (name, size, periodic, dtype): (&str, &Dim, bool, DType) = match op {
        Op::BlackmanWindow(w) => ("BlackmanWindow", &w.size, w.periodic, w.dtype),
        Op::HammingWindow(w) => ("HammingWindow", &w.size, w.periodic, w.dtype),
        Op::HannWindow(w) => ("HannWindow", &w.size, w.periodic, w.dtype),
        _ => return wrong(),
    };
    let size = cx.dim_scalar(size)?;
    let mut attrs = output_dtype(dtype);
    if !periodic {
        attrs.push(attr::bool("periodic", false));
    }
    cx.emit(name, &[size], attrs)
}

fn output_dtype(dtype: DType) -> Vec<crate::proto::AttributeProto> {
    if dtype == DType::F32 { Vec::new() } else { vec![attr::dtype("output_datatype", dtype)] }
}

fn mel_weight_matrix(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::MelWeightMatrix(m) = op else { return wrong() };
    let mut inputs = Vec::new();
    for n in [m.num_mel_bins, m.dft_length, m.sample_rate] {
        inputs.push(cx.int_scalar(n)?);
    }
    inputs.extend([cx.x(0)?, cx.x(1)?]);
    cx.emit("MelWeightMatrix", &inputs, output_dtype(m.dtype))
}
