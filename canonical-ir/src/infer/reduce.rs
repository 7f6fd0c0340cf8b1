//! infer rules of the reduce family.

use super::{InferCx, InferResult, one};
use crate::op::*;

pub fn reduce(cx: &InferCx<'_>, op: &Reduce) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn arg_reduce(cx: &InferCx<'_>, op: &ArgReduce) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn scan_reduce(cx: &InferCx<'_>, op: &ScanReduce) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn reduce_mean(cx: &InferCx<'_>, op: &ReduceMean) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn reduce_l1(cx: &InferCx<'_>, op: &ReduceL1) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn reduce_l2(cx: &InferCx<'_>, op: &ReduceL2) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn reduce_log_sum(cx: &InferCx<'_>, op: &ReduceLogSum) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn reduce_log_sum_exp(cx: &InferCx<'_>, op: &ReduceLogSumExp) -> InferResult {
    cx.fail("stub", "no rule")
}

pub fn reduce_sum_square(cx: &InferCx<'_>, op: &ReduceSumSquare) -> InferResult {
    cx.fail("stub", "no rule")
}
