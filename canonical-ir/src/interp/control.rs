//! interp rules of the control family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn if_(cx: &mut EvalCx<'_, '_>, op: &If) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn loop_(cx: &mut EvalCx<'_, '_>, op: &Loop) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn assert(cx: &mut EvalCx<'_, '_>, op: &Assert) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn call(cx: &mut EvalCx<'_, '_>, op: &Call) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn opaque(cx: &mut EvalCx<'_, '_>, op: &Opaque) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
