//! Writing rules of the quant family.

use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{AutoPad, Op, OpKind};

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use crate::common::{MICROSOFT, ONNX};
use crate::proto::AttributeProto;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::QuantizeLinear, quantize),
    ExportRule::new(OpKind::DequantizeLinear, dequantize),
    ExportRule::new(OpKind::ConvInteger, conv_integer),
    ExportRule::new(OpKind::QlinearConv, qlinear_conv),
    ExportRule::new(OpKind::QlinearSoftmax, softmax),
    ExportRule::new(OpKind::QlinearAveragePool, average_pool),
    ExportRule::new(OpKind::QlinearConcat, concat),
    ExportRule::new(OpKind::MatmulNbits, matmul_nbits),
];

fn wrong() -> Result<(), Refuse> {
    Refuse::because("the rule is for another op")
}

/// Writes the node in the domain in which the source had it.
fn emit(
    cx: &mut ExportCx<'_, '_>,
    name: &str,
    inputs: &[String],
    attrs: Vec<AttributeProto>,
) -> Result<(), Refuse> {
    let domain = if cx.note("onnx.domain") == Some(MICROSOFT) { MICROSOFT } else { ONNX };
    cx.emit_in(domain, name, inputs, attrs)
}

fn quantize(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::QuantizeLinear(op) = op else { return wrong() };
    let mut attrs = Vec::new();
    if op.axis != 1 {
        attrs.push(attr::int("axis", op.axis));
    }
    if op.block_size != 0 {
        attrs.push(attr::int("block_size", op.block_size));
    }
    if !op.saturate {
        attrs.push(attr::bool("saturate", false));
    }
    if let Some(p) = op.precision {
        attrs.push(attr::dtype("precision", p));
    }
    let mut inputs = cx.all()?;
    if cx.value(2).is_none() && op.dtype != DType::U8 {
        if cx.opset() >= 21 && cx.note("onnx.domain").is_none() {
            attrs.push(attr::dtype("output_dtype", op.dtype));
        } else if cx.tensor_ty(1)?.rank() == 0 && op.dtype.is_integer() {
            // Older versions know the dtype of the result from the zero point only.
            inputs.truncate(2);
            inputs.push(cx.scalar(op.dtype, 0.0)?);
        } else {
            return Refuse::because("without a zero point it needs opset 21");
        }
    }
    emit(cx, "QuantizeLinear", &inputs, attrs)
}

fn dequantize(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::DequantizeLinear(op) = op else { return wrong() };
    let mut attrs = Vec::new();
    if op.axis != 1 {
        attrs.push(attr::int("axis", op.axis));
    }
    if op.block_size != 0 {
        attrs.push(attr::int("block_size", op.block_size));
    }
    if let Some(dtype) = op.dtype
        && (dtype != cx.tensor_ty(1)?.dtype || cx.opset() >= 23)
    {
        attrs.push(attr::dtype("output_dtype", dtype));
    }
    let inputs = cx.all()?;
    emit(cx, "DequantizeLinear", &inputs, attrs)
}

fn windows(
    strides: &[i64],
    pads: &[i64],
    dilations: &[i64],
    auto_pad: AutoPad,
) -> Vec<AttributeProto> {
    let mut attrs = Vec::new();
    if strides.iter().any(|&s| s != 1) {
        attrs.push(attr::ints("strides", strides));
    }
    if pads.iter().any(|&p| p != 0) {
        attrs.push(attr::ints("pads", pads));
    }
    if dilations.iter().any(|&d| d != 1) {
        attrs.push(attr::ints("dilations", dilations));
    }
    let text = match auto_pad {
        AutoPad::Explicit => return attrs,
        AutoPad::SameUpper => "SAME_UPPER",
        AutoPad::SameLower => "SAME_LOWER",
        AutoPad::Valid => "VALID",
    };
    attrs.push(attr::string("auto_pad", text));
    attrs
}

fn conv_integer(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::ConvInteger(op) = op else { return wrong() };
    let mut attrs = windows(&op.strides, &op.pads, &op.dilations, op.auto_pad);
    if op.groups != 1 {
        attrs.push(attr::int("group", op.groups));
    }
    let inputs = cx.all()?;
    cx.emit("ConvInteger", &inputs, attrs)
}

fn qlinear_conv(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::QlinearConv(op) = op else { return wrong() };
    let mut attrs = windows(&op.strides, &op.pads, &op.dilations, op.auto_pad);
    if op.groups != 1 {
        attrs.push(attr::int("group", op.groups));
    }
    let inputs = cx.all()?;
    emit(cx, "QLinearConv", &inputs, attrs)
}

fn softmax(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::QlinearSoftmax(op) = op else { return wrong() };
    let rank = cx.tensor_ty(0)?.rank() as i64;
    let Some(&axis) = op.axes.first() else {
        return Refuse::because("it has no axis");
    };
    // One axis is the newer form, all from one on the older.
    let tail = op.axes.iter().copied().eq(axis..rank);
    let opset = match (op.axes.len(), op.opset) {
        (1, v) if v >= 13 => v,
        (_, v) if v < 13 && tail => v,
        (1, _) => 13,
        _ if tail => 12,
        _ => return Refuse::because("its axes are not consecutive to the end"),
    };
    let attrs = vec![attr::int("axis", axis), attr::int("opset", opset)];
    let inputs = cx.all()?;
    cx.emit_in(MICROSOFT, "QLinearSoftmax", &inputs, attrs)
}

fn average_pool(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::QlinearAveragePool(op) = op else { return wrong() };
    let mut attrs = vec![attr::ints("kernel_shape", &op.kernel_shape)];
    attrs.extend(windows(&op.strides, &op.pads, &[], op.auto_pad));
    for (name, value) in [
        ("ceil_mode", op.ceil_mode),
        ("count_include_pad", op.count_include_pad),
        ("channels_last", op.channels_last),
    ] {
        if value {
            attrs.push(attr::bool(name, true));
        }
    }
    let inputs = cx.all()?;
    cx.emit_in(MICROSOFT, "QLinearAveragePool", &inputs, attrs)
}

fn concat(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::QlinearConcat(op) = op else { return wrong() };
    let attrs = vec![attr::int("axis", op.axis)];
    let inputs = cx.all()?;
    cx.emit_in(MICROSOFT, "QLinearConcat", &inputs, attrs)
}

fn matmul_nbits(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::MatmulNbits(op) = op else { return wrong() };
    let mut attrs = vec![
        attr::int("K", op.k),
        attr::int("N", op.n),
        attr::int("bits", op.bits),
        attr::int("block_size", op.block_size),
    ];
    if op.accuracy_level != 0 {
        attrs.push(attr::int("accuracy_level", op.accuracy_level));
    }
    let inputs = cx.all()?;
    cx.emit_in(MICROSOFT, "MatMulNBits", &inputs, attrs)
}
