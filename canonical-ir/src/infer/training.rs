//! infer rules of the training family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn adagrad(cx: &InferCx<'_>, op: &Adagrad) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn adam(cx: &InferCx<'_>, op: &Adam) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn momentum(cx: &InferCx<'_>, op: &Momentum) -> InferResult {
    cx.fail("stub", "no rule")
}
