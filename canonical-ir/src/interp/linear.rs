//! interp rules of the linear family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn contract(cx: &mut EvalCx<'_, '_>, op: &Contract) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
