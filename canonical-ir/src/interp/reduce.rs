//! interp rules of the reduce family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn reduce(cx: &mut EvalCx<'_, '_>, op: &Reduce) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn arg_reduce(cx: &mut EvalCx<'_, '_>, op: &ArgReduce) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn scan_reduce(cx: &mut EvalCx<'_, '_>, op: &ScanReduce) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
