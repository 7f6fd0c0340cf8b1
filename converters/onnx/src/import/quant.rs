//! Reading rules of the quant family.

use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{
    AutoPad, ConvInteger, DequantizeLinear, MatmulNbits, OpKind, QlinearAveragePool, QlinearConcat,
    QlinearConv, QlinearSoftmax, QuantizeLinear,
};

use super::attention::only;
use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;
use crate::common::MICROSOFT;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("QuantizeLinear", 10, &[OpKind::QuantizeLinear], quantize),
    ImportRule::new("DequantizeLinear", 10, &[OpKind::DequantizeLinear], dequantize),
    ImportRule::new("ConvInteger", 10, &[OpKind::ConvInteger], conv_integer),
    ImportRule::new("QLinearConv", 10, &[OpKind::QlinearConv], qlinear_conv),
    ImportRule::ms("QuantizeLinear", &[OpKind::QuantizeLinear], |cx| theirs(cx, quantize)),
    ImportRule::ms("DequantizeLinear", &[OpKind::DequantizeLinear], |cx| theirs(cx, dequantize)),
    ImportRule::ms("QLinearConv", &[OpKind::QlinearConv], |cx| theirs(cx, qlinear_conv)),
    ImportRule::ms("QLinearSoftmax", &[OpKind::QlinearSoftmax], softmax),
    ImportRule::ms("QLinearAveragePool", &[OpKind::QlinearAveragePool], average_pool),
    ImportRule::ms("QLinearConcat", &[OpKind::QlinearConcat], concat),
    ImportRule::ms("MatMulNBits", &[OpKind::MatmulNbits], matmul_nbits),
];

/// Reads ONNX Runtime's form of a standard op, which takes more dtypes, and notes that.
fn theirs(cx: &mut NodeCx<'_, '_>, rule: fn(&mut NodeCx<'_, '_>) -> Outcome) -> Outcome {
    let outputs = rule(cx)?;
    cx.note_node(&outputs, "onnx.domain", MICROSOFT);
    Ok(outputs)
}

/// The axis of scales; it only counts when there is more than one of them.
fn scale_axis(cx: &NodeCx<'_, '_>) -> Result<i64, Stop> {
    let axis = cx.int("axis", 1)?;
    let (x, scale) = (cx.input_ty(0)?, cx.input_ty(1)?);
    if matches!(scale.shape.as_slice(), [] | [Dim::Known(1)]) || x.rank() == 1 {
        let r = x.rank() as i64;
        let a = if axis < 0 { axis + r } else { axis };
        return Ok(if (0..r).contains(&a) { a } else { 1 });
    }
    cx.axis(axis, x.rank())
}

/// An element type whose number 0 stands for none.
fn opt_dtype(cx: &NodeCx<'_, '_>, name: &str) -> Result<Option<DType>, Stop> {
    match cx.attrs.opt_int(name)? {
        None | Some(0) => Ok(None),
        Some(_) => Ok(cx.attrs.opt_dtype(name)?),
    }
}

fn quantize(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let given = opt_dtype(cx, "output_dtype")?;
    let zero = if cx.opt(2).is_some() { Some(cx.dtype(2)?) } else { None };
    let op = QuantizeLinear {
        axis: scale_axis(cx)?,
        block_size: cx.int("block_size", 0)?,
        dtype: zero.or(given).unwrap_or(DType::U8),
        saturate: cx.bool("saturate", true)?,
        precision: opt_dtype(cx, "precision")?,
    };
    if let (Some(given), Some(zero)) = (given, zero)
        && given != zero
    {
        return cx.invalid(format!("`output_dtype` is {given} and the zero point is {zero}"));
    }
    cx.emit_same(op)
}

fn dequantize(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let op = DequantizeLinear {
        axis: scale_axis(cx)?,
        block_size: cx.int("block_size", 0)?,
        dtype: opt_dtype(cx, "output_dtype")?,
    };
    cx.emit_same(op)
}

/// Attributes of windows over the spatial axes, with their defaults filled in.
struct Windows {
    strides: Vec<i64>,
    pads: Vec<i64>,
    dilations: Vec<i64>,
    auto_pad: AutoPad,
}

fn windows(cx: &NodeCx<'_, '_>, spatial: usize) -> Result<Windows, Stop> {
    let auto_pad = match cx.string("auto_pad", "NOTSET")?.as_str() {
        "NOTSET" | "" => AutoPad::Explicit,
        "SAME_UPPER" => AutoPad::SameUpper,
        "SAME_LOWER" => AutoPad::SameLower,
        "VALID" => AutoPad::Valid,
        other => return cx.invalid(format!("attribute `auto_pad` is `{other}`")),
    };
    let list = |name: &str, count: usize, default: i64| -> Result<Vec<i64>, Stop> {
        match cx.attrs.opt_ints(name)? {
            None => Ok(vec![default; count]),
            Some(v) if v.len() == count => Ok(v),
            Some(v) if v.is_empty() => Ok(vec![default; count]),
            Some(v) => Err(Stop::Invalid(format!("attribute `{name}` has {} elements", v.len()))),
        }
    };
    let pads = list("pads", 2 * spatial, 0)?;
    Ok(Windows {
        strides: list("strides", spatial, 1)?,
        pads: if auto_pad == AutoPad::Explicit { pads } else { Vec::new() },
        dilations: list("dilations", spatial, 1)?,
        auto_pad,
    })
}

/// Checks a kernel shape that only repeats the shape of the weights.
fn kernel_shape(cx: &NodeCx<'_, '_>, weights: usize) -> Result<(), Stop> {
    let Some(kernel) = cx.attrs.opt_ints("kernel_shape")? else { return Ok(()) };
    let w = cx.input_ty(weights)?;
    let sizes = w.shape.get(2..).unwrap_or_default();
    let fits = kernel.len() == sizes.len()
        && kernel.iter().zip(sizes).all(|(k, d)| d.as_known().is_none_or(|d| d == *k));
    if fits || kernel.is_empty() {
        Ok(())
    } else {
        cx.invalid(format!("`kernel_shape` is {kernel:?}, which the weights are not"))
    }
}

fn conv_integer(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let w = windows(cx, cx.rank(0)?.saturating_sub(2))?;
    kernel_shape(cx, 1)?;
    let op = ConvInteger {
        strides: w.strides,
        pads: w.pads,
        dilations: w.dilations,
        groups: cx.int("group", 1)?,
        auto_pad: w.auto_pad,
    };
    cx.emit_same(op)
}

fn qlinear_conv(cx: &mut NodeCx<'_, '_>) -> Outcome {
    only(cx, "channels_last", 0)?;
    let w = windows(cx, cx.rank(0)?.saturating_sub(2))?;
    kernel_shape(cx, 3)?;
    let op = QlinearConv {
        strides: w.strides,
        pads: w.pads,
        dilations: w.dilations,
        groups: cx.int("group", 1)?,
        auto_pad: w.auto_pad,
    };
    cx.emit_same(op)
}

/// Before opset 13 the softmax is over all axes from one on.
fn softmax(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let opset = cx.need_int("opset")?;
    let rank = cx.rank(0)?;
    let axis = cx.int("axis", if opset < 13 { 1 } else { -1 })?;
    let axis = cx.axis(axis, rank)?;
    let axes = if opset < 13 { (axis..rank as i64).collect() } else { vec![axis] };
    cx.emit_same(QlinearSoftmax { axes, opset })
}

fn average_pool(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let Some(kernel_shape) = cx.attrs.opt_ints("kernel_shape")? else {
        return cx.invalid("attribute `kernel_shape` is missing");
    };
    let w = windows(cx, kernel_shape.len())?;
    let op = QlinearAveragePool {
        kernel_shape,
        strides: w.strides,
        pads: w.pads,
        auto_pad: w.auto_pad,
        ceil_mode: cx.bool("ceil_mode", false)?,
        count_include_pad: cx.bool("count_include_pad", false)?,
        channels_last: cx.bool("channels_last", false)?,
    };
    cx.emit_same(op)
}

fn concat(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axis = cx.need_int("axis")?;
    let axis = cx.axis(axis, cx.rank(2)?)?;
    cx.emit_same(QlinearConcat { axis })
}

fn matmul_nbits(cx: &mut NodeCx<'_, '_>) -> Outcome {
    only(cx, "weight_prepacked", 0)?;
    let op = MatmulNbits {
        k: cx.need_int("K")?,
        n: cx.need_int("N")?,
        bits: cx.int("bits", 4)?,
        block_size: cx.need_int("block_size")?,
        accuracy_level: cx.int("accuracy_level", 0)?,
    };
    cx.emit_same(op)
}
