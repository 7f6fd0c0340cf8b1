//! infer rules of the elementwise family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn add(cx: &InferCx<'_>, op: &Add) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn sub(cx: &InferCx<'_>, op: &Sub) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn mul(cx: &InferCx<'_>, op: &Mul) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn div(cx: &InferCx<'_>, op: &Div) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn rem(cx: &InferCx<'_>, op: &Rem) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn pow(cx: &InferCx<'_>, op: &Pow) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn max(cx: &InferCx<'_>, op: &Max) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn min(cx: &InferCx<'_>, op: &Min) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn neg(cx: &InferCx<'_>, op: &Neg) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn abs(cx: &InferCx<'_>, op: &Abs) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn sign(cx: &InferCx<'_>, op: &Sign) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn floor(cx: &InferCx<'_>, op: &Floor) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn ceil(cx: &InferCx<'_>, op: &Ceil) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn round(cx: &InferCx<'_>, op: &Round) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn sqrt(cx: &InferCx<'_>, op: &Sqrt) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn exp(cx: &InferCx<'_>, op: &Exp) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn log(cx: &InferCx<'_>, op: &Log) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn sin(cx: &InferCx<'_>, op: &Sin) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn cos(cx: &InferCx<'_>, op: &Cos) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn tan(cx: &InferCx<'_>, op: &Tan) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn asin(cx: &InferCx<'_>, op: &Asin) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn acos(cx: &InferCx<'_>, op: &Acos) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn atan(cx: &InferCx<'_>, op: &Atan) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn sinh(cx: &InferCx<'_>, op: &Sinh) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn cosh(cx: &InferCx<'_>, op: &Cosh) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn tanh(cx: &InferCx<'_>, op: &Tanh) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn asinh(cx: &InferCx<'_>, op: &Asinh) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn acosh(cx: &InferCx<'_>, op: &Acosh) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn atanh(cx: &InferCx<'_>, op: &Atanh) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn erf(cx: &InferCx<'_>, op: &Erf) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn not(cx: &InferCx<'_>, op: &Not) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn and(cx: &InferCx<'_>, op: &And) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn or(cx: &InferCx<'_>, op: &Or) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn xor(cx: &InferCx<'_>, op: &Xor) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn bit_not(cx: &InferCx<'_>, op: &BitNot) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn bit_and(cx: &InferCx<'_>, op: &BitAnd) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn bit_or(cx: &InferCx<'_>, op: &BitOr) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn bit_xor(cx: &InferCx<'_>, op: &BitXor) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn shift_left(cx: &InferCx<'_>, op: &ShiftLeft) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn shift_right(cx: &InferCx<'_>, op: &ShiftRight) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn equal(cx: &InferCx<'_>, op: &Equal) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn less(cx: &InferCx<'_>, op: &Less) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn less_or_equal(cx: &InferCx<'_>, op: &LessOrEqual) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn is_nan(cx: &InferCx<'_>, op: &IsNan) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn select(cx: &InferCx<'_>, op: &Select) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn cast(cx: &InferCx<'_>, op: &Cast) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn bitcast(cx: &InferCx<'_>, op: &Bitcast) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn complex(cx: &InferCx<'_>, op: &Complex) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn real(cx: &InferCx<'_>, op: &Real) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn imag(cx: &InferCx<'_>, op: &Imag) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn identity(cx: &InferCx<'_>, op: &Identity) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn cast_like(cx: &InferCx<'_>, op: &CastLike) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn reciprocal(cx: &InferCx<'_>, op: &Reciprocal) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn clip(cx: &InferCx<'_>, op: &Clip) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn greater(cx: &InferCx<'_>, op: &Greater) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn greater_or_equal(cx: &InferCx<'_>, op: &GreaterOrEqual) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn is_inf(cx: &InferCx<'_>, op: &IsInf) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn variadic_sum(cx: &InferCx<'_>, op: &VariadicSum) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn variadic_mean(cx: &InferCx<'_>, op: &VariadicMean) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn variadic_max(cx: &InferCx<'_>, op: &VariadicMax) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn variadic_min(cx: &InferCx<'_>, op: &VariadicMin) -> InferResult {
    cx.fail("stub", "no rule")
}
