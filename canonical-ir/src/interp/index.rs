//! interp rules of the index family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::op::*;

pub fn gather_nd(cx: &mut EvalCx<'_, '_>, op: &GatherNd) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn scatter_nd(cx: &mut EvalCx<'_, '_>, op: &ScatterNd) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn top_k(cx: &mut EvalCx<'_, '_>, op: &TopK) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn nonzero(cx: &mut EvalCx<'_, '_>, op: &Nonzero) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}

pub fn unique(cx: &mut EvalCx<'_, '_>, op: &Unique) -> EvalResult {
    Err(EvalError::Unsupported("stub".to_owned()))
}
