//! interp rules of the image family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn non_max_suppression(cx: &mut EvalCx<'_, '_>, op: &NonMaxSuppression) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
