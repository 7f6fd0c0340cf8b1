//! interp rules of the signal family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn fft(cx: &mut EvalCx<'_, '_>, op: &Fft) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
