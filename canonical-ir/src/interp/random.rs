//! interp rules of the random family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn rng(cx: &mut EvalCx<'_, '_>, op: &Rng) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
