//! interp rules of the shape family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn constant(cx: &mut EvalCx<'_, '_>, op: &Constant) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn dim_value(cx: &mut EvalCx<'_, '_>, op: &DimValue) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn dims_of(cx: &mut EvalCx<'_, '_>, op: &DimsOf) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn broadcast(cx: &mut EvalCx<'_, '_>, op: &Broadcast) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn reshape(cx: &mut EvalCx<'_, '_>, op: &Reshape) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn transpose(cx: &mut EvalCx<'_, '_>, op: &Transpose) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn slice(cx: &mut EvalCx<'_, '_>, op: &Slice) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn pad(cx: &mut EvalCx<'_, '_>, op: &Pad) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn concat(cx: &mut EvalCx<'_, '_>, op: &Concat) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn iota(cx: &mut EvalCx<'_, '_>, op: &Iota) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
