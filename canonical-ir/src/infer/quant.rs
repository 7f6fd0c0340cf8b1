//! infer rules of the quant family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn quantize_linear(cx: &InferCx<'_>, op: &QuantizeLinear) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn dequantize_linear(cx: &InferCx<'_>, op: &DequantizeLinear) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn dynamic_quantize_linear(cx: &InferCx<'_>, op: &DynamicQuantizeLinear) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn matmul_integer(cx: &InferCx<'_>, op: &MatmulInteger) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn conv_integer(cx: &InferCx<'_>, op: &ConvInteger) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn qlinear_matmul(cx: &InferCx<'_>, op: &QlinearMatmul) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn qlinear_conv(cx: &InferCx<'_>, op: &QlinearConv) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn matmul_integer_to_float(cx: &InferCx<'_>, op: &MatmulIntegerToFloat) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn dynamic_quantize_matmul(cx: &InferCx<'_>, op: &DynamicQuantizeMatmul) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn qlinear_add(cx: &InferCx<'_>, op: &QlinearAdd) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn qlinear_mul(cx: &InferCx<'_>, op: &QlinearMul) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn qlinear_sigmoid(cx: &InferCx<'_>, op: &QlinearSigmoid) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn qlinear_leaky_relu(cx: &InferCx<'_>, op: &QlinearLeakyRelu) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn qlinear_softmax(cx: &InferCx<'_>, op: &QlinearSoftmax) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn qlinear_global_average_pool(cx: &InferCx<'_>, op: &QlinearGlobalAveragePool) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn qlinear_average_pool(cx: &InferCx<'_>, op: &QlinearAveragePool) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn qlinear_concat(cx: &InferCx<'_>, op: &QlinearConcat) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn qgemm(cx: &InferCx<'_>, op: &Qgemm) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn matmul_nbits(cx: &InferCx<'_>, op: &MatmulNbits) -> InferResult {
    cx.fail("stub", "no rule")
}
