//! Inference rules of the training family.

use super::{InferCx, InferResult};
use crate::op::*;
use crate::types::Type;

/// The types of one step of an optimiser that takes `groups` groups of n tensors, of which the
/// second holds gradients, and gives all the others anew.
fn step(cx: &InferCx<'_>, groups: usize) -> InferResult {
    cx.scalar(0)?;
    cx.scalar(1)?;
    let (rate, count) = (cx.tensor(0)?, cx.tensor(1)?);
    cx.require_dtype(rate.dtype, rate.dtype.is_float(), "a float rate")?;
    cx.require_dtype(count.dtype, count.dtype.is_integer(), "an integer step")?;
    let given = cx.operand_count().saturating_sub(2);
    cx.require(given > 0 && given.is_multiple_of(groups), "training-c1", || {
        format!("{given} tensors are not {groups} groups of equal size")
    })?;
    let n = given / groups;
    let mut values = Vec::new();
    for i in 0..n {
        let mut ty = cx.tensor(2 + i)?.clone();
        cx.require_dtype(ty.dtype, ty.dtype.is_float(), "float tensors")?;
        for group in 1..groups {
            let slot = 2 + group * n + i;
            cx.same_dtype(2 + i, slot)?;
            ty.shape = cx.merge_shape(&ty.shape, &cx.tensor(slot)?.shape)?;
        }
        values.push(Type::Tensor(ty));
    }
    Ok(std::iter::repeat_n(values, groups - 1).flatten().collect())
}

/// Adagrad.
pub fn adagrad(cx: &InferCx<'_>, _op: &Adagrad) -> InferResult {
    step(cx, 3)
}

/// Adam.
pub fn adam(cx: &InferCx<'_>, _op: &Adam) -> InferResult {
    step(cx, 4)
}

/// Momentum.
pub fn momentum(cx: &InferCx<'_>, op: &Momentum) -> InferResult {
    cx.require(matches!(op.mode.as_str(), "standard" | "nesterov"), "momentum-c1", || {
        format!("there is no mode `{}`", op.mode)
    })?;
    step(cx, 3)
}
