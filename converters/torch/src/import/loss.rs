//! Reading rules of losses.

use airconv_ir::builder::Builder;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    Gather, GatherElements, LogSoftmax, LossReduction, NegativeLogLikelihoodLoss, OpKind,
    ReduceKind, ScanReduce, SoftmaxCrossEntropyLoss, Softplus,
};

use super::arg::{Arg, Returns};
use super::call::{CallCx, Stop};
use super::distance::distance;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::binary_cross_entropy", LOSS, binary_cross_entropy),
    ImportRule::new("aten::binary_cross_entropy_with_logits", LOSS, cross_entropy_of_logits),
    ImportRule::new("aten::cosine_embedding_loss", LOSS, cosine_embedding_loss),
    ImportRule::new("aten::cross_entropy_loss", CROSS, cross_entropy_loss),
    ImportRule::new("aten::hinge_embedding_loss", LOSS, hinge_embedding_loss),
    ImportRule::new("aten::huber_loss", LOSS, huber_loss),
    ImportRule::new("aten::kl_div", LOSS, kl_div),
    ImportRule::new("aten::l1_loss", LOSS, l1_loss),
    ImportRule::new("aten::margin_ranking_loss", LOSS, margin_ranking_loss),
    ImportRule::new("aten::mse_loss", LOSS, mse_loss),
    ImportRule::new("aten::multi_margin_loss", LOSS, multi_margin_loss),
    ImportRule::new("aten::multilabel_margin_loss", LOSS, multilabel_margin_loss),
    ImportRule::new("aten::nll_loss", NLL, nll_loss),
    ImportRule::new("aten::nll_loss2d", NLL, nll_loss),
    ImportRule::new("aten::nll_loss2d_forward", NLL, nll_loss_forward),
    ImportRule::new("aten::nll_loss_forward", NLL, nll_loss_forward),
    ImportRule::new("aten::nll_loss_nd", NLL, nll_loss),
    ImportRule::new("aten::poisson_nll_loss", LOSS, poisson_nll_loss),
    ImportRule::new("aten::smooth_l1_loss", LOSS, smooth_l1_loss),
    ImportRule::new("aten::soft_margin_loss", LOSS, soft_margin_loss),
    ImportRule::new("aten::triplet_margin_loss", LOSS, triplet_margin_loss),
];

const LOSS: &[OpKind] = &[OpKind::Reduce];
const NLL: &[OpKind] = &[OpKind::NegativeLogLikelihoodLoss];
const CROSS: &[OpKind] = &[OpKind::SoftmaxCrossEntropyLoss];

fn reduction(cx: &mut CallCx<'_>) -> Result<LossReduction, Stop> {
    match cx.int("reduction")? {
        0 => Ok(LossReduction::None),
        1 => Ok(LossReduction::Mean),
        2 => Ok(LossReduction::Sum),
        other => cx.invalid(format!("there is no reduction {other}")),
    }
}

/// A loss per element, summed up as asked.
fn reduced(cx: &mut CallCx<'_>, loss: ValueId) -> Outcome {
    let reduction = reduction(cx)?;
    let axes: Vec<usize> = (0..cx.rank(loss)?).collect();
    let mut b = cx.b();
    Ok(match reduction {
        LossReduction::None => loss,
        LossReduction::Mean => b.mean(loss, &axes, false)?,
        LossReduction::Sum => b.reduce(ReduceKind::Sum, loss, &axes, false)?,
    }
    .into())
}

/// Input and target, promoted and broadcast.
fn pair(cx: &mut CallCx<'_>) -> Result<(ValueId, ValueId), Stop> {
    let both = cx.promoted(&["self", "target"])?;
    Ok((both[0], both[1]))
}

/// max(x, 0), NaN stays.
fn above_zero(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, Stop> {
    let zero = b.scalar_like(x, 0.0)?;
    Ok(b.max(x, zero)?)
}

/// `mse_loss`: (x - t)^2.
fn mse_loss(cx: &mut CallCx<'_>) -> Outcome {
    let (x, t) = pair(cx)?;
    let mut b = cx.b();
    let d = b.sub(x, t)?;
    let loss = b.mul(d, d)?;
    reduced(cx, loss)
}

/// `l1_loss`: |x - t|.
fn l1_loss(cx: &mut CallCx<'_>) -> Outcome {
    let (x, t) = pair(cx)?;
    let mut b = cx.b();
    let d = b.sub(x, t)?;
    let loss = b.abs(d)?;
    reduced(cx, loss)
}

/// d^2 / 2 * inner below a bound of |d|, and a line from there on.
fn smoothed(cx: &mut CallCx<'_>, bound: f64, inner: f64, slope: f64) -> Outcome {
    let (x, t) = pair(cx)?;
    let mut b = cx.b();
    let d = b.sub(x, t)?;
    let size = b.abs(d)?;
    let square = b.mul(d, d)?;
    let near = b.mul_const(square, 0.5 * inner)?;
    let line = b.add_const(size, -0.5 * bound)?;
    let far = b.mul_const(line, slope)?;
    let limit = b.scalar_like(size, bound)?;
    let is_near = b.less(size, limit)?;
    let loss = b.select(is_near, near, far)?;
    reduced(cx, loss)
}

/// `smooth_l1_loss`: d^2 / (2 * beta) where |d| is below beta, |d| - beta / 2 elsewhere.
fn smooth_l1_loss(cx: &mut CallCx<'_>) -> Outcome {
    let beta = cx.float("beta")?;
    if beta == 0.0 {
        return l1_loss(cx);
    }
    smoothed(cx, beta, 1.0 / beta, 1.0)
}

/// `huber_loss`: d^2 / 2 where |d| is at most delta, delta * (|d| - delta / 2) elsewhere.
fn huber_loss(cx: &mut CallCx<'_>) -> Outcome {
    let delta = cx.float("delta")?;
    smoothed(cx, delta, 1.0, delta)
}

/// `kl_div`: t * (ln t - x), zero where t is; with `log_target` the target is a logarithm.
fn kl_div(cx: &mut CallCx<'_>) -> Outcome {
    let log_target = cx.bool("log_target")?;
    let (x, t) = pair(cx)?;
    let mut b = cx.b();
    let loss = if log_target {
        let d = b.sub(t, x)?;
        let weight = b.exp(t)?;
        b.mul(weight, d)?
    } else {
        let zero = b.scalar_like(t, 0.0)?;
        let none = b.equal(t, zero)?;
        let log = b.log(t)?;
        let own = b.mul(t, log)?;
        let own = b.select(none, zero, own)?;
        let other = b.mul(t, x)?;
        b.sub(own, other)?
    };
    reduced(cx, loss)
}

/// A loss times a weight, if there is one.
fn weighted(cx: &mut CallCx<'_>, loss: ValueId) -> Outcome {
    let loss = match cx.opt_tensor("weight")? {
        Some(weight) => cx.b().mul(loss, weight)?,
        None => loss,
    };
    reduced(cx, loss)
}

/// `binary_cross_entropy`; logarithms are at least -100.
fn binary_cross_entropy(cx: &mut CallCx<'_>) -> Outcome {
    let (x, t) = pair(cx)?;
    let mut b = cx.b();
    let one = b.scalar_like(x, 1.0)?;
    let least = b.scalar_like(x, -100.0)?;
    let log = b.log(x)?;
    let log = b.max(log, least)?;
    let rest = b.sub(one, x)?;
    let log_rest = b.log(rest)?;
    let log_rest = b.max(log_rest, least)?;
    // (t - 1) * ln(1 - x) - t * ln(x)
    let less = b.sub(t, one)?;
    let first = b.mul(less, log_rest)?;
    let second = b.mul(t, log)?;
    let loss = b.sub(first, second)?;
    weighted(cx, loss)
}

/// `binary_cross_entropy_with_logits`: (1 - t) * x + (1 + (pos - 1) * t) * ln(1 + e^-x).
fn cross_entropy_of_logits(cx: &mut CallCx<'_>) -> Outcome {
    let (x, t) = pair(cx)?;
    let pos = cx.opt_tensor("pos_weight")?;
    let mut b = cx.b();
    let one = b.scalar_like(x, 1.0)?;
    let rest = b.sub(one, t)?;
    let first = b.mul(rest, x)?;
    let minus = b.neg(x)?;
    let mut second = b.emit(Softplus {}, &[minus])?;
    if let Some(pos) = pos {
        let more = b.sub(pos, one)?;
        let scaled = b.mul(more, t)?;
        let factor = b.add(scaled, one)?;
        second = b.mul(factor, second)?;
    }
    let loss = b.add(first, second)?;
    weighted(cx, loss)
}

/// `soft_margin_loss`: ln(1 + e^(-t * x)).
fn soft_margin_loss(cx: &mut CallCx<'_>) -> Outcome {
    let (x, t) = pair(cx)?;
    let mut b = cx.b();
    let product = b.mul(x, t)?;
    let minus = b.neg(product)?;
    let loss = b.emit(Softplus {}, &[minus])?;
    reduced(cx, loss)
}

/// `hinge_embedding_loss`: x where the target is 1, max(margin - x, 0) where it is -1.
fn hinge_embedding_loss(cx: &mut CallCx<'_>) -> Outcome {
    let margin = cx.float("margin")?;
    let (x, t) = pair(cx)?;
    let mut b = cx.b();
    let (one, minus, zero) =
        (b.scalar_like(t, 1.0)?, b.scalar_like(t, -1.0)?, b.scalar_like(x, 0.0)?);
    let negative = b.neg(x)?;
    let distance = b.add_const(negative, margin)?;
    let hinge = above_zero(&mut b, distance)?;
    let (is_positive, is_negative) = (b.equal(t, one)?, b.equal(t, minus)?);
    // A target that is neither gives both parts, as in PyTorch.
    let first = b.select(is_negative, zero, x)?;
    let second = b.select(is_positive, zero, hinge)?;
    let loss = b.add(first, second)?;
    reduced(cx, loss)
}

/// `margin_ranking_loss`: max(-t * (x1 - x2) + margin, 0).
fn margin_ranking_loss(cx: &mut CallCx<'_>) -> Outcome {
    let margin = cx.float("margin")?;
    let all = cx.promoted_float(&["input1", "input2", "target"])?;
    let mut b = cx.b();
    let d = b.sub(all[1], all[0])?;
    let d = b.mul(d, all[2])?;
    let d = b.add_const(d, margin)?;
    let loss = above_zero(&mut b, d)?;
    reduced(cx, loss)
}

/// `cosine_embedding_loss`: 1 - cos where the target is 1, max(cos - margin, 0) where it is -1.
fn cosine_embedding_loss(cx: &mut CallCx<'_>) -> Outcome {
    /// Added to squared lengths.
    const EPSILON: f64 = 1e-12;
    let margin = cx.float("margin")?;
    let both = cx.promoted_float(&["input1", "input2"])?;
    let target = cx.tensor("target")?;
    let Some(last) = cx.rank(both[0])?.checked_sub(1) else {
        return cx.invalid("a cosine is of vectors");
    };
    let mut b = cx.b();
    let sum = |b: &mut Builder<'_>, x, y, eps: f64| -> Result<ValueId, Stop> {
        let product = b.mul(x, y)?;
        let sum = b.reduce(ReduceKind::Sum, product, &[last], false)?;
        Ok(if eps == 0.0 { sum } else { b.add_const(sum, eps)? })
    };
    let product = sum(&mut b, both[0], both[1], 0.0)?;
    let (first, second) =
        (sum(&mut b, both[0], both[0], EPSILON)?, sum(&mut b, both[1], both[1], EPSILON)?);
    let lengths = b.mul(first, second)?;
    let lengths = b.sqrt(lengths)?;
    let cosine = b.div(product, lengths)?;
    let zero = b.scalar_like(cosine, 0.0)?;
    let one = b.scalar_like(cosine, 1.0)?;
    let away = b.sub(one, cosine)?;
    let near = b.add_const(cosine, -margin)?;
    let near = above_zero(&mut b, near)?;
    let (plus, minus) = (b.scalar_like(target, 1.0)?, b.scalar_like(target, -1.0)?);
    let (is_positive, is_negative) = (b.equal(target, plus)?, b.equal(target, minus)?);
    let first = b.select(is_positive, away, zero)?;
    let second = b.select(is_negative, near, zero)?;
    let loss = b.add(first, second)?;
    reduced(cx, loss)
}

/// `triplet_margin_loss`: max(margin + d(anchor, positive) - d(anchor, negative), 0).
fn triplet_margin_loss(cx: &mut CallCx<'_>) -> Outcome {
    let (margin, p, eps) = (cx.float("margin")?, cx.float("p")?, cx.float("eps")?);
    let all = cx.promoted_float(&["anchor", "positive", "negative"])?;
    let swap = cx.bool("swap")?;
    let mut b = cx.b();
    let near = distance(&mut b, [all[0], all[1]], p, eps, false)?;
    let mut far = distance(&mut b, [all[0], all[2]], p, eps, false)?;
    if swap {
        let other = distance(&mut b, [all[1], all[2]], p, eps, false)?;
        far = b.min(far, other)?;
    }
    let d = b.sub(near, far)?;
    let d = b.add_const(d, margin)?;
    let loss = above_zero(&mut b, d)?;
    reduced(cx, loss)
}

/// `poisson_nll_loss`: of the logarithm of the rate, or of the rate itself; `full` adds
/// Stirling's formula for targets above 1.
fn poisson_nll_loss(cx: &mut CallCx<'_>) -> Outcome {
    let (log_input, full, eps) = (cx.bool("log_input")?, cx.bool("full")?, cx.float("eps")?);
    let both = cx.promoted_float(&["input", "target"])?;
    let (x, t) = (both[0], both[1]);
    let mut b = cx.b();
    let mut loss = if log_input {
        let rate = b.exp(x)?;
        let product = b.mul(t, x)?;
        b.sub(rate, product)?
    } else {
        let moved = b.add_const(x, eps)?;
        let log = b.log(moved)?;
        let product = b.mul(t, log)?;
        b.sub(x, product)?
    };
    if full {
        let log = b.log(t)?;
        let first = b.mul(t, log)?;
        let first = b.sub(first, t)?;
        let circle = b.mul_const(t, 2.0 * std::f64::consts::PI)?;
        let circle = b.log(circle)?;
        let second = b.mul_const(circle, 0.5)?;
        let stirling = b.add(first, second)?;
        let (one, zero) = (b.scalar_like(t, 1.0)?, b.scalar_like(t, 0.0)?);
        let small = b.less_or_equal(t, one)?;
        let stirling = b.select(small, zero, stirling)?;
        loss = b.add(loss, stirling)?;
    }
    reduced(cx, loss)
}

/// `multi_margin_loss`: over the other classes, max(margin - x[target] + x[i], 0)^p, over the
/// number of classes.
fn multi_margin_loss(cx: &mut CallCx<'_>) -> Outcome {
    let (x, target) = (cx.tensor("self")?, cx.tensor("target")?);
    let (p, margin) = (cx.float("p")?, cx.float("margin")?);
    let weight = cx.opt_tensor("weight")?;
    let rank = cx.rank(x)?;
    let mut b = cx.b();
    let x = match rank {
        0 => b.reshape(x, &[1.into(), 1.into()])?,
        1 => b.unsqueeze(x, &[0])?,
        _ => x,
    };
    let ty = b.tensor_ty(x)?;
    let (rows, classes) = (ty.shape[0].clone(), ty.shape[1].clone());
    let target = b.reshape(target, &[rows.clone(), 1.into()])?;
    let own = b.emit(GatherElements { axis: 1 }, &[x, target])?;
    let d = b.sub(x, own)?;
    let d = b.add_const(d, margin)?;
    let mut each = above_zero(&mut b, d)?;
    if p == 2.0 {
        each = b.mul(each, each)?;
    }
    if let Some(weight) = weight {
        let by = b.emit(Gather { axis: 0 }, &[weight, target])?;
        each = b.mul(each, by)?;
    }
    let at = b.iota(DType::I64, classes.clone())?;
    let is_own = b.equal(at, target)?;
    let zero = b.scalar_like(each, 0.0)?;
    let each = b.select(is_own, zero, each)?;
    let loss = b.mean(each, &[1], false)?;
    let loss = if rank < 2 { b.reshape(loss, &[])? } else { loss };
    reduced(cx, loss)
}

// Losses of classes.

/// Log probabilities or scores as [batch, classes, ...] with targets [batch, ...], and whether
/// the batch axis was added.
fn classes(
    cx: &mut CallCx<'_>,
    x: ValueId,
    target: ValueId,
) -> Result<(ValueId, ValueId, bool), Stop> {
    match cx.rank(x)? {
        0 => cx.invalid("there is no axis of classes"),
        1 => {
            let mut b = cx.b();
            let x = b.unsqueeze(x, &[0])?;
            Ok((x, b.reshape(target, &[1.into()])?, true))
        }
        _ => Ok((x, target, false)),
    }
}

/// A loss of classes without the batch axis that was added for it.
fn without_batch(cx: &mut CallCx<'_>, loss: ValueId, added: bool) -> Result<ValueId, Stop> {
    match added && cx.rank(loss)? == 1 {
        true => Ok(cx.b().squeeze(loss, &[0])?),
        false => Ok(loss),
    }
}

fn ignored_class(cx: &mut CallCx<'_>) -> Result<Option<i64>, Stop> {
    Ok(Some(cx.int("ignore_index")?))
}

/// `nll_loss`, `nll_loss2d`, `nll_loss_nd`.
fn nll_loss(cx: &mut CallCx<'_>) -> Outcome {
    let (x, target) = (cx.tensor("self")?, cx.tensor("target")?);
    let weight = cx.opt_tensor("weight")?;
    let (x, target, added) = classes(cx, x, target)?;
    let op =
        NegativeLogLikelihoodLoss { ignore_index: ignored_class(cx)?, reduction: reduction(cx)? };
    let loss = cx.emit_opt(op, &[Some(x), Some(target), weight])?;
    Ok(without_batch(cx, loss, added)?.into())
}

/// `nll_loss_forward`, `nll_loss2d_forward`: also gives the sum of the weights.
fn nll_loss_forward(cx: &mut CallCx<'_>) -> Outcome {
    let loss = nll_loss(cx)?;
    let total = match cx.wants(1) {
        true => Arg::Tensor(total_weight(cx)?),
        false => Arg::None,
    };
    let mut all = loss.0;
    all.push(total);
    Ok(Returns(all))
}

/// The sum of the weights of all targets that count; without a reduction it is zero.
fn total_weight(cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
    let (x, target) = (cx.tensor("self")?, cx.tensor("target")?);
    let dtype = cx.dtype(x)?;
    if reduction(cx)? == LossReduction::None {
        return Ok(cx.b().scalar(dtype, 0.0)?);
    }
    let weight = cx.opt_tensor("weight")?;
    let ignored = cx.int("ignore_index")?;
    let axes: Vec<usize> = (0..cx.rank(target)?).collect();
    let mut b = cx.b();
    let ignored = b.scalar_like(target, ignored as f64)?;
    let skipped = b.equal(target, ignored)?;
    let zero = b.scalar(dtype, 0.0)?;
    let each = match weight {
        Some(weight) => {
            let first = b.scalar_like(target, 0.0)?;
            let safe = b.select(skipped, first, target)?;
            b.emit(Gather { axis: 0 }, &[weight, safe])?
        }
        None => b.scalar(dtype, 1.0)?,
    };
    let each = b.select(skipped, zero, each)?;
    Ok(b.reduce(ReduceKind::Sum, each, &axes, false)?)
}

/// `cross_entropy_loss`: of class indices, or of probabilities of classes.
fn cross_entropy_loss(cx: &mut CallCx<'_>) -> Outcome {
    let (x, target) = (cx.tensor("self")?, cx.tensor("target")?);
    let smoothing = cx.float("label_smoothing")?;
    if cx.dtype(target)?.is_float() {
        cx.ignore(&["ignore_index"]);
        return probability_loss(cx, x, target, smoothing);
    }
    if smoothing != 0.0 {
        return smoothed_loss(cx, x, target, smoothing);
    }
    let weight = cx.opt_tensor("weight")?;
    let (x, target, added) = classes(cx, x, target)?;
    let op =
        SoftmaxCrossEntropyLoss { ignore_index: ignored_class(cx)?, reduction: reduction(cx)? };
    let loss = cx.emit_opt(op, &[Some(x), Some(target), weight])?;
    Ok(without_batch(cx, loss, added)?.into())
}

/// Weights of classes, shaped to broadcast along the axis of classes.
fn class_weights(cx: &mut CallCx<'_>, rank: usize, axis: usize) -> Result<Option<ValueId>, Stop> {
    let Some(weight) = cx.opt_tensor("weight")? else { return Ok(None) };
    let mut dims = vec![Dim::Known(1); rank];
    dims[axis] = cx.size(weight, 0)?;
    Ok(Some(cx.b().reshape(weight, &dims)?))
}

/// The axis of classes: the second one, or the only one.
fn class_axis(rank: usize) -> usize {
    usize::from(rank > 1)
}

/// Cross entropy of probabilities of classes, whose mean is over all but the classes.
fn probability_loss(cx: &mut CallCx<'_>, x: ValueId, target: ValueId, smoothing: f64) -> Outcome {
    let ty = cx.ty(x)?;
    if ty.rank() == 0 {
        return cx.invalid("there is no axis of classes");
    }
    let axis = class_axis(ty.rank());
    let weight = class_weights(cx, ty.rank(), axis)?;
    let reduction = reduction(cx)?;
    let mut b = cx.b();
    let log = b.emit(LogSoftmax { axes: vec![axis as i64] }, &[x])?;
    let mut target = b.cast(target, ty.dtype)?;
    if smoothing != 0.0 {
        let kept = b.mul_const(target, 1.0 - smoothing)?;
        let count = b.dim_scalar(&ty.shape[axis])?;
        let count = b.cast(count, ty.dtype)?;
        let share = b.scalar(ty.dtype, smoothing)?;
        let share = b.div(share, count)?;
        target = b.add(kept, share)?;
    }
    let mut each = b.mul(log, target)?;
    if let Some(weight) = weight {
        each = b.mul(each, weight)?;
    }
    let each = b.neg(each)?;
    let loss = b.reduce(ReduceKind::Sum, each, &[axis], false)?;
    sum_or_mean(&mut b, loss, reduction)
}

fn sum_or_mean(b: &mut Builder<'_>, loss: ValueId, reduction: LossReduction) -> Outcome {
    let axes: Vec<usize> = (0..b.tensor_ty(loss)?.rank()).collect();
    Ok(match reduction {
        LossReduction::None => loss,
        LossReduction::Sum => b.reduce(ReduceKind::Sum, loss, &axes, false)?,
        LossReduction::Mean => b.mean(loss, &axes, false)?,
    }
    .into())
}

/// Cross entropy of class indices with some of the weight spread over all classes.
fn smoothed_loss(cx: &mut CallCx<'_>, x: ValueId, target: ValueId, smoothing: f64) -> Outcome {
    let weight = cx.opt_tensor("weight")?;
    let (ignored, reduction) = (cx.int("ignore_index")?, reduction(cx)?);
    let (x, target, added) = classes(cx, x, target)?;
    let ty = cx.ty(x)?;
    let classes = ty.shape[1].clone();
    let wide = class_weights(cx, ty.rank(), 1)?;
    let mut b = cx.b();
    let log = b.emit(LogSoftmax { axes: vec![1] }, &[x])?;
    let op =
        NegativeLogLikelihoodLoss { ignore_index: Some(ignored), reduction: LossReduction::None };
    let own = b.emit_opt(op, &[Some(log), Some(target), weight])?;
    let all = match wide {
        Some(wide) => b.mul(log, wide)?,
        None => log,
    };
    let all = b.reduce(ReduceKind::Sum, all, &[1], false)?;
    let all = b.neg(all)?;
    let ignored = b.scalar_like(target, ignored as f64)?;
    let skipped = b.equal(target, ignored)?;
    let zero = b.scalar_like(all, 0.0)?;
    let all = b.select(skipped, zero, all)?;
    let count = b.dim_scalar(&classes)?;
    let count = b.cast(count, ty.dtype)?;
    let share = b.scalar(ty.dtype, smoothing)?;
    let share = b.div(share, count)?;
    let own = b.mul_const(own, 1.0 - smoothing)?;
    let spread = b.mul(all, share)?;
    let loss = b.add(own, spread)?;
    if reduction != LossReduction::Mean {
        let loss = sum_or_mean(&mut b, loss, reduction)?;
        let Some(Arg::Tensor(loss)) = loss.0.into_iter().next() else {
            return cx.invalid("a loss is a tensor");
        };
        return Ok(without_batch(cx, loss, added)?.into());
    }
    // The mean is weighted, over the targets that count.
    let axes: Vec<usize> = (0..b.tensor_ty(loss)?.rank()).collect();
    let sum = b.reduce(ReduceKind::Sum, loss, &axes, false)?;
    let one = b.scalar(ty.dtype, 1.0)?;
    let each = match weight {
        Some(weight) => {
            let first = b.scalar_like(target, 0.0)?;
            let safe = b.select(skipped, first, target)?;
            b.emit(Gather { axis: 0 }, &[weight, safe])?
        }
        None => one,
    };
    let each = b.select(skipped, zero, each)?;
    let total = b.reduce(ReduceKind::Sum, each, &axes, false)?;
    Ok(b.div(sum, total)?.into())
}

/// `multilabel_margin_loss`: over the classes that a row of targets names up to the first -1 and
/// all others, max(1 - (x[named] - x[other]), 0), over the number of classes.
fn multilabel_margin_loss(cx: &mut CallCx<'_>) -> Outcome {
    let (x, target) = (cx.tensor("self")?, cx.tensor("target")?);
    let (shape, dtype) = (cx.shape(x)?, cx.dtype(x)?);
    let classes = shape.last().cloned().unwrap_or(Dim::Known(1));
    let rows = if shape.len() > 1 { shape[0].clone() } else { Dim::Known(1) };
    let both = [rows, classes.clone()];
    let mut b = cx.b();
    let (x, target) = (b.reshape(x, &both)?, b.reshape(target, &both)?);
    // Which targets stand before the first -1, and which classes they name.
    let zero = b.scalar_int(DType::I64, 0)?;
    let negative = b.less(target, zero)?;
    let negative = b.cast(negative, DType::I64)?;
    let scan = ScanReduce { kind: ReduceKind::Sum, axis: 1, exclusive: false, reverse: false };
    let ended = b.emit(scan, &[negative])?;
    let counts = b.equal(ended, zero)?;
    let target = b.max(target, zero)?;
    let own = b.emit(GatherElements { axis: 1 }, &[x, target])?;
    let numbers = b.iota(DType::I64, classes)?;
    let wide = b.unsqueeze(target, &[2])?;
    let hits = b.equal(wide, numbers)?;
    let counts = b.unsqueeze(counts, &[2])?;
    let hits = b.and(hits, counts)?;
    let named = b.reduce(ReduceKind::Or, hits, &[1], false)?;
    let other = b.not(named)?;
    let (own, x) = (b.unsqueeze(own, &[2])?, b.unsqueeze(x, &[1])?);
    let d = b.sub(x, own)?;
    let d = b.add_const(d, 1.0)?;
    let d = above_zero(&mut b, d)?;
    let other = b.unsqueeze(other, &[1])?;
    let pairs = b.and(counts, other)?;
    let pairs = b.cast(pairs, dtype)?;
    let d = b.mul(d, pairs)?;
    let sums = b.reduce(ReduceKind::Sum, d, &[1, 2], false)?;
    let classes = b.tensor_ty(x)?.shape[2].clone();
    let classes = b.dim_scalar(&classes)?;
    let classes = b.cast(classes, dtype)?;
    let loss = b.div(sums, classes)?;
    let loss = if shape.len() < 2 { b.reshape(loss, &[])? } else { loss };
    reduced(cx, loss)
}
