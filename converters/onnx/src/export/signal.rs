//! Writing rules of the signal family.

use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{Op, OpKind};

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

/// `DFT`: the axis is an attribute up to version 19, then an input.
fn dft(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Dft(d) = op else { return wrong() };
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
    let step = cx.dim_scalar(&s.frame_step)?;
    let length = cx.dim_scalar(&s.frame_length)?;
    let inputs = [cx.x(0)?, step, cx.opt(1)?, length];
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
