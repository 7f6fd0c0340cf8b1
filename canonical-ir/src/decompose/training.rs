//! Decompositions of the training family.

use super::{DecomposeCx, DecomposeResult, NoDecomposition};
use crate::builder::BuildError;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::*;

/// The tensors of one optimiser step, in groups that belong together, and its two scalars.
struct Step {
    rate: ValueId,
    count: ValueId,
    /// One entry per tensor: the value, its gradient, then its state.
    tensors: Vec<Vec<ValueId>>,
}

/// The operands of a step over `groups` groups; both scalars become f64 of rank 0.
fn operands(cx: &mut DecomposeCx<'_, '_>, groups: usize) -> Result<Step, NoDecomposition> {
    let (rate, count) = (cx.x(0)?, cx.x(1)?);
    let rate = scalar(cx, rate)?;
    let count = scalar(cx, count)?;
    let all = cx.from(2);
    let n = all.len() / groups;
    let tensors =
        (0..n).map(|i| (0..groups).filter_map(|g| all.get(g * n + i).copied()).collect()).collect();
    Ok(Step { rate, count, tensors })
}

fn scalar(cx: &mut DecomposeCx<'_, '_>, x: ValueId) -> Result<ValueId, BuildError> {
    let x = cx.b.reshape(x, &[])?;
    cx.b.cast(x, DType::F64)
}

/// The gradient plus that of an L2 penalty.
fn regularised(
    cx: &mut DecomposeCx<'_, '_>,
    x: ValueId,
    gradient: ValueId,
    penalty: f64,
) -> Result<ValueId, BuildError> {
    if penalty == 0.0 {
        return Ok(gradient);
    }
    let extra = cx.b.mul_const(x, penalty)?;
    cx.b.add(extra, gradient)
}

/// Sorts results of the form (value, state...) per tensor into groups.
fn grouped(per_tensor: Vec<Vec<ValueId>>) -> Vec<Option<ValueId>> {
    let groups = per_tensor.first().map_or(0, Vec::len);
    (0..groups).flat_map(|g| per_tensor.iter().map(move |t| t.get(g).copied())).collect()
}

/// Adagrad.
pub fn adagrad(cx: &mut DecomposeCx<'_, '_>, op: &Adagrad) -> DecomposeResult {
    let step = operands(cx, 3)?;
    let decay = cx.b.mul_const(step.count, op.decay_factor.0)?;
    let decay = cx.b.add_const(decay, 1.0)?;
    let rate = cx.b.div(step.rate, decay)?;
    let mut out = Vec::new();
    for t in &step.tensors {
        let &[x, g, h] = t.as_slice() else { return cx.unsupported("a tensor is missing") };
        let dtype = cx.b.tensor_ty(x)?.dtype;
        let rate = cx.b.cast(rate, dtype)?;
        let g = regularised(cx, x, g, op.norm_coefficient.0)?;
        let square = cx.b.mul(g, g)?;
        let h = cx.b.add(h, square)?;
        let root = cx.b.sqrt(h)?;
        let root = cx.b.add_const(root, op.epsilon.0)?;
        let change = cx.b.mul(rate, g)?;
        let change = cx.b.div(change, root)?;
        out.push(vec![cx.b.sub(x, change)?, h]);
    }
    Ok(grouped(out))
}

/// base to the power of the step.
fn power(cx: &mut DecomposeCx<'_, '_>, base: f64, count: ValueId) -> Result<ValueId, BuildError> {
    let base = cx.b.scalar(DType::F64, base)?;
    cx.b.pow(base, count)
}

/// Adam.
pub fn adam(cx: &mut DecomposeCx<'_, '_>, op: &Adam) -> DecomposeResult {
    let step = operands(cx, 4)?;
    let (alpha, beta) = (op.alpha.0, op.beta.0);
    // The bias of both moments is corrected after the first step.
    let (a, b) = (power(cx, alpha, step.count)?, power(cx, beta, step.count)?);
    let one = cx.b.scalar(DType::F64, 1.0)?;
    let (a, b) = (cx.b.sub(one, a)?, cx.b.sub(one, b)?);
    let b = cx.b.sqrt(b)?;
    let corrected = cx.b.mul(step.rate, b)?;
    let corrected = cx.b.div(corrected, a)?;
    let zero = cx.b.scalar(DType::F64, 0.0)?;
    let later = cx.b.less(zero, step.count)?;
    let rate = cx.b.select(later, corrected, step.rate)?;
    let mut out = Vec::new();
    for t in &step.tensors {
        let &[x, g, v, h] = t.as_slice() else { return cx.unsupported("a tensor is missing") };
        let dtype = cx.b.tensor_ty(x)?.dtype;
        let rate = cx.b.cast(rate, dtype)?;
        let g = regularised(cx, x, g, op.norm_coefficient.0)?;
        let v = mix(cx, v, g, alpha)?;
        let square = cx.b.mul(g, g)?;
        let h = mix(cx, h, square, beta)?;
        let root = cx.b.sqrt(h)?;
        let root = cx.b.add_const(root, op.epsilon.0)?;
        let change = cx.b.div(v, root)?;
        let change = cx.b.mul(rate, change)?;
        let mut x = cx.b.sub(x, change)?;
        if op.norm_coefficient_post.0 != 0.0 {
            x = cx.b.mul_const(x, 1.0 - op.norm_coefficient_post.0)?;
        }
        out.push(vec![x, v, h]);
    }
    Ok(grouped(out))
}

/// old * weight + new * (1 - weight).
fn mix(
    cx: &mut DecomposeCx<'_, '_>,
    old: ValueId,
    new: ValueId,
    weight: f64,
) -> Result<ValueId, BuildError> {
    let old = cx.b.mul_const(old, weight)?;
    let new = cx.b.mul_const(new, 1.0 - weight)?;
    cx.b.add(old, new)
}

/// Momentum, standard or Nesterov's.
pub fn momentum(cx: &mut DecomposeCx<'_, '_>, op: &Momentum) -> DecomposeResult {
    let step = operands(cx, 3)?;
    let zero = cx.b.scalar(DType::F64, 0.0)?;
    let later = cx.b.less(zero, step.count)?;
    let beta = cx.b.scalar(DType::F64, op.beta.0)?;
    let one = cx.b.scalar(DType::F64, 1.0)?;
    let beta = cx.b.select(later, beta, one)?;
    let mut out = Vec::new();
    for t in &step.tensors {
        let &[x, g, v] = t.as_slice() else { return cx.unsupported("a tensor is missing") };
        let dtype = cx.b.tensor_ty(x)?.dtype;
        let (rate, beta) = (cx.b.cast(step.rate, dtype)?, cx.b.cast(beta, dtype)?);
        let g = regularised(cx, x, g, op.norm_coefficient.0)?;
        let old = cx.b.mul_const(v, op.alpha.0)?;
        let new = cx.b.mul(beta, g)?;
        let v = cx.b.add(old, new)?;
        let direction = if op.mode == "nesterov" {
            let ahead = cx.b.mul_const(v, op.alpha.0)?;
            cx.b.add(g, ahead)?
        } else {
            v
        };
        let change = cx.b.mul(rate, direction)?;
        out.push(vec![cx.b.sub(x, change)?, v]);
    }
    Ok(grouped(out))
}
