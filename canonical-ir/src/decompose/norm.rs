//! decompose rules of the norm family.

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::dim::{Dim, Shape, numel};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::norm::per_group;
use crate::op::*;

type Value = Result<ValueId, NoDecomposition>;

/// The dtype in which statistics of a dtype are computed: f64 stays, every other is f32.
fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

fn indices(axes: &[i64]) -> Vec<usize> {
    axes.iter().filter_map(|&a| usize::try_from(a).ok()).collect()
}

/// x less its greatest element along axes.
fn shifted(cx: &mut DecomposeCx<'_, '_>, x: ValueId, axes: &[usize]) -> Value {
    let greatest = cx.b.reduce(ReduceKind::Max, x, axes, true)?;
    Ok(cx.b.sub(x, greatest)?)
}

/// `softmax`
pub fn softmax(cx: &mut DecomposeCx<'_, '_>, op: &Softmax) -> DecomposeResult {
    let (x, dtype, axes) = (cx.x(0)?, cx.dtype(0)?, indices(&op.axes));
    let x = cx.b.cast(x, wide(dtype))?;
    let d = shifted(cx, x, &axes)?;
    let e = cx.b.exp(d)?;
    let sum = cx.b.reduce(ReduceKind::Sum, e, &axes, true)?;
    let y = cx.b.div(e, sum)?;
    one(cx.b.cast(y, dtype)?)
}

/// `log_softmax`
pub fn log_softmax(cx: &mut DecomposeCx<'_, '_>, op: &LogSoftmax) -> DecomposeResult {
    let (x, dtype, axes) = (cx.x(0)?, cx.dtype(0)?, indices(&op.axes));
    let x = cx.b.cast(x, wide(dtype))?;
    let d = shifted(cx, x, &axes)?;
    let e = cx.b.exp(d)?;
    let sum = cx.b.reduce(ReduceKind::Sum, e, &axes, true)?;
    let log = cx.b.log(sum)?;
    let y = cx.b.sub(d, log)?;
    one(cx.b.cast(y, dtype)?)
}

/// `hardmax`
pub fn hardmax(cx: &mut DecomposeCx<'_, '_>, op: &Hardmax) -> DecomposeResult {
    let (x, ty, axes) = (cx.x(0)?, cx.ty(0)?, indices(&op.axes));
    let (Some(&first), Some(&last)) = (axes.first(), axes.last()) else {
        return cx.unsupported("hardmax over no axes");
    };
    let (Some(before), Some(joined), Some(after)) =
        (ty.shape.get(..first), ty.shape.get(first..=last), ty.shape.get(last + 1..))
    else {
        return cx.unsupported("hardmax over axes out of range");
    };
    let size = numel(joined);
    let mut dims: Shape = before.iter().cloned().collect();
    dims.push(size.clone());
    dims.extend(after.iter().cloned());
    let flat = cx.b.reshape(x, &dims)?;
    let axis = first as i64;
    let arg = ArgReduce { kind: ArgKind::Max, axis, keepdims: true, select_last: false };
    let at = cx.b.emit(arg, &[flat])?;
    let ones = after.iter().map(|_| Dim::Known(1));
    let count = cx.b.iota(DType::I64, size.clone())?;
    let line: Vec<Dim> = std::iter::once(size).chain(ones).collect();
    let count = cx.b.reshape(count, &line)?;
    let hit = cx.b.equal(count, at)?;
    let y = cx.b.cast(hit, ty.dtype)?;
    one(cx.b.reshape(y, &ty.shape)?)
}

/// A vector over channels in a dtype, shaped to broadcast along axis 1 of a rank.
fn per_channel(cx: &mut DecomposeCx<'_, '_>, v: ValueId, rank: usize, dtype: DType) -> Value {
    let v = cx.b.cast(v, dtype)?;
    if rank < 2 {
        return Ok(v);
    }
    let size = cx.b.tensor_ty(v)?.shape.first().cloned().unwrap_or(Dim::Known(1));
    let mut dims: Shape = [Dim::Known(1), size].into_iter().collect();
    dims.extend((2..rank).map(|_| Dim::Known(1)));
    Ok(cx.b.reshape(v, &dims)?)
}

/// Mean and population variance along axes, which stay with size 1.
fn moments(
    cx: &mut DecomposeCx<'_, '_>,
    x: ValueId,
    axes: &[usize],
) -> Result<(ValueId, ValueId, ValueId), NoDecomposition> {
    let mean = cx.b.mean(x, axes, true)?;
    let d = cx.b.sub(x, mean)?;
    let square = cx.b.mul(d, d)?;
    let var = cx.b.mean(square, axes, true)?;
    Ok((mean, d, var))
}

/// sqrt(var + epsilon)
fn deviation(cx: &mut DecomposeCx<'_, '_>, var: ValueId, epsilon: f64) -> Value {
    let v = cx.b.add_const(var, epsilon)?;
    Ok(cx.b.sqrt(v)?)
}

/// `batch_normalization`
pub fn batch_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &BatchNormalization,
) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let rank = ty.rank();
    let mut compute = wide(ty.dtype);
    for slot in 1..5 {
        if cx.dtype(slot)? == DType::F64 {
            compute = DType::F64;
        }
    }
    let x = cx.x(0)?;
    let x = cx.b.cast(x, compute)?;
    let vector = |cx: &mut DecomposeCx<'_, '_>, slot: usize| {
        let v = cx.x(slot)?;
        per_channel(cx, v, rank, compute)
    };
    let (scale, bias) = (vector(cx, 1)?, vector(cx, 2)?);
    let (mean, var) = (vector(cx, 3)?, vector(cx, 4)?);
    let mut running = [None, None];
    let (d, var) = if op.training_mode {
        let axes: Vec<usize> = (0..rank).filter(|&a| a != 1).collect();
        let (current_mean, d, current_var) = moments(cx, x, &axes)?;
        let pairs = [(mean, current_mean, 3), (var, current_var, 4)];
        for (out, (old, current, slot)) in running.iter_mut().zip(pairs) {
            let old = cx.b.mul_const(old, op.momentum.0)?;
            let current = cx.b.mul_const(current, 1.0 - op.momentum.0)?;
            let new = cx.b.add(old, current)?;
            let like = cx.ty(slot)?;
            let new = cx.b.reshape(new, &like.shape)?;
            *out = Some(cx.b.cast(new, like.dtype)?);
        }
        (d, current_var)
    } else {
        for (out, slot) in running.iter_mut().zip([3, 4]) {
            *out = Some(cx.x(slot)?);
        }
        (cx.b.sub(x, mean)?, var)
    };
    let std = deviation(cx, var, op.epsilon.0)?;
    let factor = cx.b.div(scale, std)?;
    let y = cx.b.mul(d, factor)?;
    let y = cx.b.add(y, bias)?;
    let y = cx.b.cast(y, ty.dtype)?;
    let [mean, var] = running;
    Ok(vec![Some(y), mean, var])
}

/// `instance_normalization`
pub fn instance_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &InstanceNormalization,
) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let compute = wide(ty.dtype);
    let (x, scale, bias) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let x = cx.b.cast(x, compute)?;
    let axes: Vec<usize> = (2..ty.rank()).collect();
    let (_, d, var) = moments(cx, x, &axes)?;
    let std = deviation(cx, var, op.epsilon.0)?;
    let n = cx.b.div(d, std)?;
    let scale = per_channel(cx, scale, ty.rank(), compute)?;
    let bias = per_channel(cx, bias, ty.rank(), compute)?;
    let y = cx.b.mul(n, scale)?;
    let y = cx.b.add(y, bias)?;
    one(cx.b.cast(y, ty.dtype)?)
}

/// `group_normalization`
pub fn group_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &GroupNormalization,
) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let [batch, channels, spatial @ ..] = &ty.shape[..] else {
        return cx.unsupported("group normalization without channels");
    };
    let (x, scale, bias) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let x = cx.b.cast(x, wide(op.stash.unwrap_or(ty.dtype)))?;
    let groups = Dim::Known(op.num_groups);
    let size = &channels.floor_div(&groups) * &numel(spatial);
    let x = cx.b.reshape(x, &[batch.clone(), groups, size])?;
    let (_, d, var) = moments(cx, x, &[2])?;
    let std = deviation(cx, var, op.epsilon.0)?;
    let n = cx.b.div(d, std)?;
    let mut n = cx.b.cast(n, ty.dtype)?;
    let scale_size = cx.b.tensor_ty(scale)?.shape.first().cloned().unwrap_or(Dim::Any);
    let grouped = per_group(&scale_size, channels, op.num_groups);
    let rank = if grouped { 3 } else { ty.rank() };
    if !grouped {
        n = cx.b.reshape(n, &ty.shape)?;
    }
    let scale = per_channel(cx, scale, rank, ty.dtype)?;
    let bias = per_channel(cx, bias, rank, ty.dtype)?;
    let y = cx.b.mul(n, scale)?;
    let y = cx.b.add(y, bias)?;
    one(cx.b.reshape(y, &ty.shape)?)
}

/// `layer_normalization`
pub fn layer_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &LayerNormalization,
) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let stash = op.stash.unwrap_or(ty.dtype);
    let (x, scale) = (cx.x(0)?, cx.x(1)?);
    let x = cx.b.cast(x, wide(stash))?;
    let axes: Vec<usize> = (indices(&[op.axis]).first().copied().unwrap_or(0)..ty.rank()).collect();
    let (mean, d, var) = moments(cx, x, &axes)?;
    let std = deviation(cx, var, op.epsilon.0)?;
    let n = cx.b.div(d, std)?;
    let n = cx.b.cast(n, ty.dtype)?;
    let mut y = cx.b.mul(n, scale)?;
    if let Some(bias) = cx.opt(2) {
        y = cx.b.add(y, bias)?;
    }
    let mut out = vec![Some(y), None, None];
    if cx.wants(1) {
        out[1] = Some(cx.b.cast(mean, stash)?);
    }
    if cx.wants(2) {
        let inverse = cx.b.emit(Reciprocal {}, &[std])?;
        out[2] = Some(cx.b.cast(inverse, stash)?);
    }
    Ok(out)
}

/// x / sqrt(mean(x^2) + epsilon), and the root.
fn root_mean_square(
    cx: &mut DecomposeCx<'_, '_>,
    x: ValueId,
    axes: &[usize],
    epsilon: f64,
) -> Result<(ValueId, ValueId), NoDecomposition> {
    let square = cx.b.mul(x, x)?;
    let mean = cx.b.mean(square, axes, true)?;
    let root = deviation(cx, mean, epsilon)?;
    Ok((cx.b.div(x, root)?, root))
}

/// `rms_normalization`
pub fn rms_normalization(cx: &mut DecomposeCx<'_, '_>, op: &RmsNormalization) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let (x, scale) = (cx.x(0)?, cx.x(1)?);
    let x = cx.b.cast(x, wide(op.stash.unwrap_or(ty.dtype)))?;
    let axes: Vec<usize> = (indices(&[op.axis]).first().copied().unwrap_or(0)..ty.rank()).collect();
    let (n, _) = root_mean_square(cx, x, &axes, op.epsilon.0)?;
    let n = cx.b.cast(n, ty.dtype)?;
    let n = cx.b.cast(n, cx.dtype(1)?)?;
    one(cx.b.mul(n, scale)?)
}

/// The sum of input, skip and an optional bias in the dtype of computation.
fn skip_sum(cx: &mut DecomposeCx<'_, '_>, bias: usize) -> Value {
    let compute = wide(cx.dtype(0)?);
    let (x, skip) = (cx.x(0)?, cx.x(1)?);
    let x = cx.b.cast(x, compute)?;
    let skip = cx.b.cast(skip, compute)?;
    let mut sum = cx.b.add(x, skip)?;
    if let Some(bias) = cx.opt(bias) {
        let bias = cx.b.cast(bias, compute)?;
        sum = cx.b.add(sum, bias)?;
    }
    Ok(sum)
}

/// Scales and shifts a normalized sum and gives all four results of a skip normalization.
fn skip_results(
    cx: &mut DecomposeCx<'_, '_>,
    n: ValueId,
    beta: Option<usize>,
    [mean, root, sum]: [ValueId; 3],
) -> DecomposeResult {
    let dtype = cx.dtype(0)?;
    let compute = wide(dtype);
    let gamma = cx.x(2)?;
    let gamma = cx.b.cast(gamma, compute)?;
    let mut y = cx.b.mul(n, gamma)?;
    if let Some(beta) = beta.and_then(|slot| cx.opt(slot)) {
        let beta = cx.b.cast(beta, compute)?;
        y = cx.b.add(y, beta)?;
    }
    let mut out = vec![Some(cx.b.cast(y, dtype)?), None, None, None];
    if cx.wants(1) {
        out[1] = Some(cx.b.cast(mean, DType::F32)?);
    }
    if cx.wants(2) {
        let inverse = cx.b.emit(Reciprocal {}, &[root])?;
        out[2] = Some(cx.b.cast(inverse, DType::F32)?);
    }
    if cx.wants(3) {
        out[3] = Some(cx.b.cast(sum, dtype)?);
    }
    Ok(out)
}

/// `skip_layer_normalization`
pub fn skip_layer_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &SkipLayerNormalization,
) -> DecomposeResult {
    let last = cx.ty(0)?.rank().saturating_sub(1);
    let sum = skip_sum(cx, 4)?;
    let (mean, d, var) = moments(cx, sum, &[last])?;
    let std = deviation(cx, var, op.epsilon.0)?;
    let n = cx.b.div(d, std)?;
    skip_results(cx, n, Some(3), [mean, std, sum])
}

/// `skip_rms_normalization`
pub fn skip_rms_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &SkipRmsNormalization,
) -> DecomposeResult {
    let last = cx.ty(0)?.rank().saturating_sub(1);
    let sum = skip_sum(cx, 3)?;
    let (n, root) = root_mean_square(cx, sum, &[last], op.epsilon.0)?;
    let mean = if cx.wants(1) { cx.b.mean(sum, &[last], true)? } else { root };
    skip_results(cx, n, None, [mean, root, sum])
}

/// `lp_normalization`
pub fn lp_normalization(cx: &mut DecomposeCx<'_, '_>, op: &LpNormalization) -> DecomposeResult {
    let (x, dtype, axes) = (cx.x(0)?, cx.dtype(0)?, indices(&[op.axis]));
    let x = cx.b.cast(x, wide(dtype))?;
    let norm = if op.p == 1 {
        let magnitude = cx.b.abs(x)?;
        cx.b.reduce(ReduceKind::Sum, magnitude, &axes, true)?
    } else {
        let square = cx.b.mul(x, x)?;
        let sum = cx.b.reduce(ReduceKind::Sum, square, &axes, true)?;
        cx.b.sqrt(sum)?
    };
    let zero = cx.b.scalar_like(x, 0.0)?;
    let none = cx.b.equal(norm, zero)?;
    let q = cx.b.div(x, norm)?;
    let y = cx.b.select(none, zero, q)?;
    one(cx.b.cast(y, dtype)?)
}

/// `mean_variance_normalization`
pub fn mean_variance_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &MeanVarianceNormalization,
) -> DecomposeResult {
    let (x, dtype) = (cx.x(0)?, cx.dtype(0)?);
    let x = cx.b.cast(x, wide(dtype))?;
    let (_, d, var) = moments(cx, x, &indices(&op.axes))?;
    let std = cx.b.sqrt(var)?;
    let std = cx.b.add_const(std, f64::from(1e-9f32))?;
    let y = cx.b.div(d, std)?;
    one(cx.b.cast(y, dtype)?)
}

/// `negative_log_likelihood_loss`
pub fn negative_log_likelihood_loss(
    cx: &mut DecomposeCx<'_, '_>,
    op: &NegativeLogLikelihoodLoss,
) -> DecomposeResult {
    let dtype = cx.dtype(0)?;
    let compute = wide(dtype);
    let (x, target) = (cx.x(0)?, cx.x(1)?);
    let x = cx.b.cast(x, compute)?;
    let target = cx.b.cast(target, DType::I64)?;
    let mut ignored = None;
    let mut safe = target;
    if let Some(index) = op.ignore_index {
        let index = cx.b.scalar_int(DType::I64, index)?;
        let mask = cx.b.equal(target, index)?;
        let first = cx.b.scalar_int(DType::I64, 0)?;
        safe = cx.b.select(mask, first, target)?;
        ignored = Some(mask);
    }
    let zero = cx.b.scalar(compute, 0.0)?;
    let at = cx.b.unsqueeze(safe, &[1])?;
    let picked = cx.b.emit(GatherElements { axis: 1 }, &[x, at])?;
    let picked = cx.b.squeeze(picked, &[1])?;
    let mut loss = cx.b.neg(picked)?;
    let mut weight = match cx.opt(2) {
        Some(w) => {
            let w = cx.b.cast(w, compute)?;
            let w = cx.b.emit(Gather { axis: 0 }, &[w, safe])?;
            loss = cx.b.mul(loss, w)?;
            Some(w)
        }
        None => None,
    };
    if let Some(mask) = ignored {
        loss = cx.b.select(mask, zero, loss)?;
        let each = match weight {
            Some(w) => w,
            None => cx.b.scalar(compute, 1.0)?,
        };
        weight = Some(cx.b.select(mask, zero, each)?);
    }
    let axes: Vec<usize> = (0..cx.b.tensor_ty(loss)?.rank()).collect();
    let y = match (op.reduction, weight) {
        (LossReduction::None, _) => loss,
        (LossReduction::Sum, _) => cx.b.reduce(ReduceKind::Sum, loss, &axes, false)?,
        (LossReduction::Mean, None) => cx.b.mean(loss, &axes, false)?,
        (LossReduction::Mean, Some(w)) => {
            let total = cx.b.reduce(ReduceKind::Sum, loss, &axes, false)?;
            let w = cx.b.reduce(ReduceKind::Sum, w, &axes, false)?;
            cx.b.div(total, w)?
        }
    };
    one(cx.b.cast(y, dtype)?)
}

/// `softmax_cross_entropy_loss`
pub fn softmax_cross_entropy_loss(
    cx: &mut DecomposeCx<'_, '_>,
    op: &SoftmaxCrossEntropyLoss,
) -> DecomposeResult {
    let dtype = cx.dtype(0)?;
    let (x, labels) = (cx.x(0)?, cx.x(1)?);
    let x = cx.b.cast(x, wide(dtype))?;
    let log = cx.b.emit(LogSoftmax { axes: vec![1] }, &[x])?;
    let weights = match cx.opt(2) {
        Some(w) => Some(cx.b.cast(w, wide(dtype))?),
        None => None,
    };
    let loss = NegativeLogLikelihoodLoss { ignore_index: op.ignore_index, reduction: op.reduction };
    let loss = cx.b.emit_opt(loss, &[Some(log), Some(labels), weights])?;
    let loss = cx.b.cast(loss, dtype)?;
    let log = if cx.wants(1) { Some(cx.b.cast(log, dtype)?) } else { None };
    Ok(vec![Some(loss), log])
}
