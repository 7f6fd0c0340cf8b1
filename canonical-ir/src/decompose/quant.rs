//! decompose rules of the quant family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn quantize_linear(cx: &mut DecomposeCx<'_, '_>, op: &QuantizeLinear) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn dequantize_linear(cx: &mut DecomposeCx<'_, '_>, op: &DequantizeLinear) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn dynamic_quantize_linear(
    cx: &mut DecomposeCx<'_, '_>,
    op: &DynamicQuantizeLinear,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn matmul_integer(cx: &mut DecomposeCx<'_, '_>, op: &MatmulInteger) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn conv_integer(cx: &mut DecomposeCx<'_, '_>, op: &ConvInteger) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn qlinear_matmul(cx: &mut DecomposeCx<'_, '_>, op: &QlinearMatmul) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn qlinear_conv(cx: &mut DecomposeCx<'_, '_>, op: &QlinearConv) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn matmul_integer_to_float(
    cx: &mut DecomposeCx<'_, '_>,
    op: &MatmulIntegerToFloat,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn dynamic_quantize_matmul(
    cx: &mut DecomposeCx<'_, '_>,
    op: &DynamicQuantizeMatmul,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn qlinear_add(cx: &mut DecomposeCx<'_, '_>, op: &QlinearAdd) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn qlinear_mul(cx: &mut DecomposeCx<'_, '_>, op: &QlinearMul) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn qlinear_sigmoid(cx: &mut DecomposeCx<'_, '_>, op: &QlinearSigmoid) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn qlinear_leaky_relu(cx: &mut DecomposeCx<'_, '_>, op: &QlinearLeakyRelu) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn qlinear_softmax(cx: &mut DecomposeCx<'_, '_>, op: &QlinearSoftmax) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn qlinear_global_average_pool(
    cx: &mut DecomposeCx<'_, '_>,
    op: &QlinearGlobalAveragePool,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn qlinear_average_pool(
    cx: &mut DecomposeCx<'_, '_>,
    op: &QlinearAveragePool,
) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn qlinear_concat(cx: &mut DecomposeCx<'_, '_>, op: &QlinearConcat) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn qgemm(cx: &mut DecomposeCx<'_, '_>, op: &Qgemm) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn matmul_nbits(cx: &mut DecomposeCx<'_, '_>, op: &MatmulNbits) -> DecomposeResult {
    cx.unsupported("stub")
}
