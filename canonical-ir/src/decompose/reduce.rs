//! decompose rules of the reduce family.

use super::{DecomposeCx, DecomposeResult, one};
use crate::op::*;

pub fn reduce_mean(cx: &mut DecomposeCx<'_, '_>, op: &ReduceMean) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn reduce_l1(cx: &mut DecomposeCx<'_, '_>, op: &ReduceL1) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn reduce_l2(cx: &mut DecomposeCx<'_, '_>, op: &ReduceL2) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn reduce_log_sum(cx: &mut DecomposeCx<'_, '_>, op: &ReduceLogSum) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn reduce_log_sum_exp(cx: &mut DecomposeCx<'_, '_>, op: &ReduceLogSumExp) -> DecomposeResult {
    cx.unsupported("stub")
}

pub fn reduce_sum_square(cx: &mut DecomposeCx<'_, '_>, op: &ReduceSumSquare) -> DecomposeResult {
    cx.unsupported("stub")
}
