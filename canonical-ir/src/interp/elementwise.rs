//! interp rules of the elementwise family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn add(cx: &mut EvalCx<'_, '_>, op: &Add) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn sub(cx: &mut EvalCx<'_, '_>, op: &Sub) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn mul(cx: &mut EvalCx<'_, '_>, op: &Mul) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn div(cx: &mut EvalCx<'_, '_>, op: &Div) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn rem(cx: &mut EvalCx<'_, '_>, op: &Rem) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn pow(cx: &mut EvalCx<'_, '_>, op: &Pow) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn max(cx: &mut EvalCx<'_, '_>, op: &Max) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn min(cx: &mut EvalCx<'_, '_>, op: &Min) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn neg(cx: &mut EvalCx<'_, '_>, op: &Neg) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn abs(cx: &mut EvalCx<'_, '_>, op: &Abs) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn sign(cx: &mut EvalCx<'_, '_>, op: &Sign) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn floor(cx: &mut EvalCx<'_, '_>, op: &Floor) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn ceil(cx: &mut EvalCx<'_, '_>, op: &Ceil) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn round(cx: &mut EvalCx<'_, '_>, op: &Round) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn sqrt(cx: &mut EvalCx<'_, '_>, op: &Sqrt) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn exp(cx: &mut EvalCx<'_, '_>, op: &Exp) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn log(cx: &mut EvalCx<'_, '_>, op: &Log) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn sin(cx: &mut EvalCx<'_, '_>, op: &Sin) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn cos(cx: &mut EvalCx<'_, '_>, op: &Cos) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn tan(cx: &mut EvalCx<'_, '_>, op: &Tan) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn asin(cx: &mut EvalCx<'_, '_>, op: &Asin) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn acos(cx: &mut EvalCx<'_, '_>, op: &Acos) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn atan(cx: &mut EvalCx<'_, '_>, op: &Atan) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn sinh(cx: &mut EvalCx<'_, '_>, op: &Sinh) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn cosh(cx: &mut EvalCx<'_, '_>, op: &Cosh) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn tanh(cx: &mut EvalCx<'_, '_>, op: &Tanh) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn asinh(cx: &mut EvalCx<'_, '_>, op: &Asinh) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn acosh(cx: &mut EvalCx<'_, '_>, op: &Acosh) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn atanh(cx: &mut EvalCx<'_, '_>, op: &Atanh) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn erf(cx: &mut EvalCx<'_, '_>, op: &Erf) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn not(cx: &mut EvalCx<'_, '_>, op: &Not) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn and(cx: &mut EvalCx<'_, '_>, op: &And) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn or(cx: &mut EvalCx<'_, '_>, op: &Or) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn xor(cx: &mut EvalCx<'_, '_>, op: &Xor) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn bit_not(cx: &mut EvalCx<'_, '_>, op: &BitNot) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn bit_and(cx: &mut EvalCx<'_, '_>, op: &BitAnd) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn bit_or(cx: &mut EvalCx<'_, '_>, op: &BitOr) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn bit_xor(cx: &mut EvalCx<'_, '_>, op: &BitXor) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn shift_left(cx: &mut EvalCx<'_, '_>, op: &ShiftLeft) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn shift_right(cx: &mut EvalCx<'_, '_>, op: &ShiftRight) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn equal(cx: &mut EvalCx<'_, '_>, op: &Equal) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn less(cx: &mut EvalCx<'_, '_>, op: &Less) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn less_or_equal(cx: &mut EvalCx<'_, '_>, op: &LessOrEqual) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn is_nan(cx: &mut EvalCx<'_, '_>, op: &IsNan) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn select(cx: &mut EvalCx<'_, '_>, op: &Select) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn cast(cx: &mut EvalCx<'_, '_>, op: &Cast) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn bitcast(cx: &mut EvalCx<'_, '_>, op: &Bitcast) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn complex(cx: &mut EvalCx<'_, '_>, op: &Complex) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn real(cx: &mut EvalCx<'_, '_>, op: &Real) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn imag(cx: &mut EvalCx<'_, '_>, op: &Imag) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
