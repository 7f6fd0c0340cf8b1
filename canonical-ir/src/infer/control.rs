//! infer rules of the control family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn if_(cx: &InferCx<'_>, op: &If) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn loop_(cx: &InferCx<'_>, op: &Loop) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn scan(cx: &InferCx<'_>, op: &Scan) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn sequence_map(cx: &InferCx<'_>, op: &SequenceMap) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn assert(cx: &InferCx<'_>, op: &Assert) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn call(cx: &InferCx<'_>, op: &Call) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn opaque(cx: &InferCx<'_>, op: &Opaque) -> InferResult {
    cx.fail("stub", "no rule")
}
