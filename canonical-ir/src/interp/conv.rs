//! interp rules of the conv family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn conv(cx: &mut EvalCx<'_, '_>, op: &Conv) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn reduce_window(cx: &mut EvalCx<'_, '_>, op: &ReduceWindow) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
