//! Reading rules of normalizations and of softmax.

use airconv_ir::attr::Float;
use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    BatchNormalization, GroupNormalization, InstanceNormalization, LayerNormalization, LogSoftmax,
    OpKind, Reciprocal, ReduceKind, RmsNormalization, Softmax,
};

use super::arg::{Arg, Returns};
use super::call::{CallCx, Stop};
use super::pool::beside_unwanted;
use super::promote::Category;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_batch_norm_no_update", BATCH, batch_norm_no_update),
    ImportRule::new("aten::_batch_norm_with_update", BATCH, batch_norm_with_update),
    ImportRule::new("aten::_batch_norm_with_update_functional", BATCH, batch_norm_functional),
    ImportRule::new("aten::_fused_rms_norm", &[OpKind::RmsNormalization], fused_rms_norm),
    ImportRule::new("aten::_log_softmax", &[OpKind::LogSoftmax], core_log_softmax),
    ImportRule::new("aten::_native_batch_norm_legit", BATCH, native_batch_norm),
    ImportRule::new("aten::_native_batch_norm_legit_functional", BATCH, batch_norm_functional),
    ImportRule::new("aten::_native_batch_norm_legit_no_training", BATCH, native_batch_norm),
    ImportRule::new("aten::_safe_softmax", &[OpKind::Softmax, OpKind::Select], safe_softmax),
    ImportRule::new(
        "aten::_softmax_backward_data",
        &[OpKind::Mul, OpKind::Reduce],
        softmax_backward,
    ),
    ImportRule::new("aten::_softmax", &[OpKind::Softmax], core_softmax),
    ImportRule::new("aten::_weight_norm", &[OpKind::Reduce], weight_norm),
    ImportRule::new("aten::_weight_norm_interface", &[OpKind::Reduce], weight_norm_interface),
    ImportRule::new("aten::batch_norm", BATCH, batch_norm),
    ImportRule::new("aten::cudnn_batch_norm", BATCH, cudnn_batch_norm),
    ImportRule::new("aten::group_norm", &[OpKind::GroupNormalization], group_norm),
    ImportRule::new("aten::instance_norm", INSTANCE, instance_norm),
    ImportRule::new("aten::layer_norm", &[OpKind::LayerNormalization], layer_norm),
    ImportRule::of("aten::log_softmax", "int", &[OpKind::LogSoftmax], log_softmax),
    ImportRule::new("aten::miopen_batch_norm", BATCH, cudnn_batch_norm),
    ImportRule::new("aten::native_batch_norm", BATCH, native_batch_norm),
    ImportRule::new("aten::native_group_norm", &[OpKind::GroupNormalization], native_group_norm),
    ImportRule::new("aten::native_layer_norm", &[OpKind::LayerNormalization], native_layer_norm),
    ImportRule::new("aten::norm_except_dim", &[OpKind::Reduce], norm_except_dim),
    ImportRule::new("aten::rms_norm", &[OpKind::RmsNormalization], rms_norm),
    ImportRule::of("aten::softmax", "int", &[OpKind::Softmax], softmax),
    ImportRule::new("aten::special_log_softmax", &[OpKind::LogSoftmax], log_softmax),
    ImportRule::new("aten::special_softmax", &[OpKind::Softmax], softmax),
];

const BATCH: &[OpKind] = &[OpKind::BatchNormalization];
const INSTANCE: &[OpKind] = &[OpKind::InstanceNormalization, OpKind::BatchNormalization];

// Softmax.

/// `softmax` along one axis; `dtype` is that of the computation and the result.
fn softmax(cx: &mut CallCx<'_>) -> Outcome {
    let (x, axes) = softmax_operand(cx)?;
    Ok(cx.emit(Softmax { axes }, &[x])?.into())
}

/// `log_softmax` along one axis.
fn log_softmax(cx: &mut CallCx<'_>) -> Outcome {
    let (x, axes) = softmax_operand(cx)?;
    Ok(cx.emit(LogSoftmax { axes }, &[x])?.into())
}

/// The operand in the dtype to compute in, and the axis. A scalar has no axis.
fn softmax_operand(cx: &mut CallCx<'_>) -> Result<(ValueId, Vec<i64>), Stop> {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank)?;
    let dtype = match cx.has("dtype") {
        true => cx.opt_dtype("dtype")?,
        false => cx.bool("half_to_float")?.then_some(DType::F32),
    };
    let dtype = match dtype {
        Some(dtype) => dtype,
        None if cx.category(x)? < Category::Float => DType::F32,
        None => cx.dtype(x)?,
    };
    let x = cx.cast(x, dtype)?;
    Ok((x, if rank == 0 { vec![] } else { vec![axis as i64] }))
}

/// `_softmax`.
fn core_softmax(cx: &mut CallCx<'_>) -> Outcome {
    softmax(cx)
}

/// `_log_softmax`.
fn core_log_softmax(cx: &mut CallCx<'_>) -> Outcome {
    log_softmax(cx)
}

/// `_safe_softmax`: rows of nothing but minus infinity give zeros.
fn safe_softmax(cx: &mut CallCx<'_>) -> Outcome {
    let (x, axes) = softmax_operand(cx)?;
    let y = cx.emit(Softmax { axes: axes.clone() }, &[x])?;
    let reduced: Vec<usize> = axes.iter().map(|&a| a as usize).collect();
    Ok(zero_where_masked(cx, x, &reduced, y)?.into())
}

/// y, but zero where the scores along axes are all minus infinity.
pub(super) fn zero_where_masked(
    cx: &mut CallCx<'_>,
    scores: ValueId,
    axes: &[usize],
    y: ValueId,
) -> Result<ValueId, Stop> {
    let mut b = cx.b();
    let greatest = b.reduce(ReduceKind::Max, scores, axes, true)?;
    let lowest = b.scalar_like(greatest, f64::NEG_INFINITY)?;
    let masked = b.equal(greatest, lowest)?;
    let zero = b.scalar_like(y, 0.0)?;
    Ok(b.select(masked, zero, y)?)
}

// Batch normalization.

/// A vector of one number per channel.
fn per_channel(cx: &mut CallCx<'_>, x: ValueId, value: f64) -> Result<ValueId, Stop> {
    let ty = cx.ty(x)?;
    let Some(channels) = ty.shape.get(1).cloned() else {
        return cx.invalid("a normalization of channels wants an axis of channels");
    };
    let dtype = if ty.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let mut b = cx.b();
    let value = b.scalar(dtype, value)?;
    Ok(b.broadcast_to(value, &[channels])?)
}

/// A vector over channels, or one of a number where it is absent.
fn channel_vector(
    cx: &mut CallCx<'_>,
    name: &str,
    x: ValueId,
    value: f64,
) -> Result<ValueId, Stop> {
    match cx.opt_tensor(name)? {
        Some(vector) => Ok(vector),
        None => per_channel(cx, x, value),
    }
}

/// What a batch normalization computes.
struct BatchNorm {
    y: ValueId,
    /// Mean and variance of the batch, and by how much its variance is too small.
    batch: Option<(ValueId, ValueId, ValueId)>,
}

/// Normalizes with the statistics of the batch, or with the running ones.
fn normalized_batch(cx: &mut CallCx<'_>, training: bool, epsilon: f64) -> Result<BatchNorm, Stop> {
    let x = cx.tensor("input")?;
    let scale = channel_vector(cx, "weight", x, 1.0)?;
    let bias = channel_vector(cx, "bias", x, 0.0)?;
    let batch = match training {
        true => Some(batch_statistics(cx, x)?),
        false => None,
    };
    let (mean, var) = match batch {
        Some((mean, var, _)) => (mean, var),
        None => (cx.tensor("running_mean")?, cx.tensor("running_var")?),
    };
    let op =
        BatchNormalization { epsilon: Float(epsilon), momentum: Float(0.9), training_mode: false };
    let y = cx.emit(op, &[x, scale, bias, mean, var])?;
    Ok(BatchNorm { y, batch })
}

/// Mean and variance of each channel over all other axes, at least in f32, and the factor from
/// this variance to the unbiased one.
fn batch_statistics(cx: &mut CallCx<'_>, x: ValueId) -> Result<(ValueId, ValueId, ValueId), Stop> {
    let ty = cx.ty(x)?;
    let dtype = if ty.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let axes: Vec<usize> = (0..ty.rank()).filter(|&a| a != 1).collect();
    let count = axes.iter().filter_map(|&a| ty.shape.get(a)).fold(Dim::Known(1), |n, d| &n * d);
    let mut b = cx.b();
    let x = b.cast(x, dtype)?;
    let mean = b.mean(x, &axes, true)?;
    let distance = b.sub(x, mean)?;
    let square = b.mul(distance, distance)?;
    let var = b.mean(square, &axes, false)?;
    let mean = b.squeeze(mean, &axes)?;
    let n = b.dim_scalar(&count)?;
    let n = b.cast(n, dtype)?;
    let less = b.add_const(n, -1.0)?;
    let factor = b.div(n, less)?;
    Ok((mean, var, factor))
}

/// The running statistics after a batch; nothing where there are none.
fn updated_statistics(
    cx: &mut CallCx<'_>,
    batch: (ValueId, ValueId, ValueId),
    momentum: f64,
) -> Result<[Option<ValueId>; 2], Stop> {
    let (mean, var, factor) = batch;
    let unbiased = cx.b().mul(var, factor)?;
    let mut out = [None, None];
    for (slot, (name, new)) in
        out.iter_mut().zip([("running_mean", mean), ("running_var", unbiased)])
    {
        if let Some(old) = cx.opt_tensor(name)? {
            *slot = Some(moved_towards(cx, old, new, momentum)?);
        }
    }
    Ok(out)
}

/// (1 - momentum) * old + momentum * new, in the dtype of the old one.
fn moved_towards(
    cx: &mut CallCx<'_>,
    old: ValueId,
    new: ValueId,
    momentum: f64,
) -> Result<ValueId, Stop> {
    let dtype = cx.dtype(old)?;
    let new = cx.cast(new, dtype)?;
    let mut b = cx.b();
    let kept = b.mul_const(old, 1.0 - momentum)?;
    let added = b.mul_const(new, momentum)?;
    Ok(b.add(kept, added)?)
}

/// The new running statistics of a training step, written or left as they are.
fn write_statistics(cx: &mut CallCx<'_>, norm: &BatchNorm, momentum: f64) -> Result<(), Stop> {
    let new = match norm.batch {
        Some(batch) => updated_statistics(cx, batch, momentum)?,
        None => [cx.opt_tensor("running_mean")?, cx.opt_tensor("running_var")?],
    };
    for (name, value) in ["running_mean", "running_var"].into_iter().zip(new) {
        if let Some(value) = value {
            cx.write(name, value)?;
        }
    }
    Ok(())
}

/// Mean and inverse deviation of the batch, where they are used; outside of training they are
/// empty.
fn saved_statistics(cx: &mut CallCx<'_>, norm: &BatchNorm, epsilon: f64) -> Result<[Arg; 2], Stop> {
    if !cx.wants(1) && !cx.wants(2) {
        return Ok([Arg::None, Arg::None]);
    }
    let Some((mean, var, _)) = norm.batch else {
        let x = cx.tensor("input")?;
        let dtype = if cx.dtype(x)? == DType::F64 { DType::F64 } else { DType::F32 };
        let mut b = cx.b();
        let zero = b.scalar(dtype, 0.0)?;
        let empty = Arg::Tensor(b.broadcast_to(zero, &[Dim::Known(0)])?);
        return Ok([empty.clone(), empty]);
    };
    let mut b = cx.b();
    let var = b.add_const(var, epsilon)?;
    let deviation = b.sqrt(var)?;
    let inverse = b.emit(Reciprocal {}, &[deviation])?;
    Ok([Arg::Tensor(mean), Arg::Tensor(inverse)])
}

/// `batch_norm`: in training it also moves the running statistics, although its schema does not
/// say so.
fn batch_norm(cx: &mut CallCx<'_>) -> Outcome {
    let (training, eps) = (cx.bool("training")?, cx.float("eps")?);
    let momentum = cx.float("momentum")?;
    let norm = normalized_batch(cx, training, eps)?;
    cx.ignore(&["running_mean", "running_var"]);
    if training {
        write_statistics(cx, &norm, momentum)?;
    }
    Ok(norm.y.into())
}

/// `native_batch_norm` and the `legit` forms, with the statistics of the batch.
fn native_batch_norm(cx: &mut CallCx<'_>) -> Outcome {
    let training = cx.has("training") && cx.bool("training")?;
    let (eps, momentum) = (cx.float("eps")?, cx.float("momentum")?);
    let norm = normalized_batch(cx, training, eps)?;
    if cx.has("running_mean") && (training || cx.schema.params.iter().any(|p| p.written)) {
        write_statistics(cx, &norm, momentum)?;
    }
    let [mean, inverse] = saved_statistics(cx, &norm, eps)?;
    Ok(Returns(vec![norm.y.into(), mean, inverse]))
}

/// A reserve that kernels of other devices use: no bytes.
fn no_reserve(cx: &mut CallCx<'_>, result: usize) -> Result<Arg, Stop> {
    if !cx.wants(result) {
        return Ok(Arg::None);
    }
    let mut b = cx.b();
    let zero = b.scalar_int(DType::U8, 0)?;
    Ok(Arg::Tensor(b.broadcast_to(zero, &[Dim::Known(0)])?))
}

/// `_batch_norm_with_update`: a training step that writes the running statistics.
fn batch_norm_with_update(cx: &mut CallCx<'_>) -> Outcome {
    let (eps, momentum) = (cx.float("eps")?, cx.float("momentum")?);
    let norm = normalized_batch(cx, true, eps)?;
    write_statistics(cx, &norm, momentum)?;
    let [mean, inverse] = saved_statistics(cx, &norm, eps)?;
    Ok(Returns(vec![norm.y.into(), mean, inverse, no_reserve(cx, 3)?]))
}

/// `_batch_norm_no_update`: with the running statistics, or of the batch where there are none.
fn batch_norm_no_update(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["momentum"]);
    let eps = cx.float("eps")?;
    let training = !cx.given("running_mean")?;
    let norm = normalized_batch(cx, training, eps)?;
    let [mean, inverse] = saved_statistics(cx, &norm, eps)?;
    Ok(Returns(vec![norm.y.into(), mean, inverse, no_reserve(cx, 3)?]))
}

/// The functional forms: the new running statistics are the last results.
fn batch_norm_functional(cx: &mut CallCx<'_>) -> Outcome {
    let training = !cx.has("training") || cx.bool("training")?;
    let (eps, momentum) = (cx.float("eps")?, cx.float("momentum")?);
    let norm = normalized_batch(cx, training, eps)?;
    let new = match norm.batch {
        Some(batch) => updated_statistics(cx, batch, momentum)?,
        None => [cx.opt_tensor("running_mean")?, cx.opt_tensor("running_var")?],
    };
    let [mean, inverse] = saved_statistics(cx, &norm, eps)?;
    let mut all = vec![norm.y.into(), mean, inverse];
    if cx.schema.returns.len() == 6 {
        all.push(no_reserve(cx, 3)?);
    }
    all.extend(new.into_iter().map(|v| v.map_or(Arg::None, Arg::Tensor)));
    Ok(Returns(all))
}

/// `cudnn_batch_norm` and `miopen_batch_norm`.
fn cudnn_batch_norm(cx: &mut CallCx<'_>) -> Outcome {
    let (training, eps) = (cx.bool("training")?, cx.float("epsilon")?);
    let momentum = cx.float("exponential_average_factor")?;
    let norm = normalized_batch(cx, training, eps)?;
    cx.ignore(&["running_mean", "running_var"]);
    if training {
        write_statistics(cx, &norm, momentum)?;
    }
    let [mean, inverse] = saved_statistics(cx, &norm, eps)?;
    let mut all = vec![norm.y.into(), mean, inverse];
    if cx.schema.returns.len() == 4 {
        all.push(no_reserve(cx, 3)?);
    }
    Ok(Returns(all))
}

/// `instance_norm`: each sample and channel by itself, or with running statistics.
fn instance_norm(cx: &mut CallCx<'_>) -> Outcome {
    let (own, eps) = (cx.bool("use_input_stats")?, cx.float("eps")?);
    let momentum = cx.float("momentum")?;
    if !own {
        return Ok(normalized_batch(cx, false, eps)?.y.into());
    }
    let x = cx.tensor("input")?;
    let dtype = cx.dtype(x)?;
    let scale = channel_vector(cx, "weight", x, 1.0)?;
    let bias = channel_vector(cx, "bias", x, 0.0)?;
    let (scale, bias) = (cx.cast(scale, dtype)?, cx.cast(bias, dtype)?);
    if cx.given("running_mean")? {
        let statistics = instance_statistics(cx, x)?;
        let new = updated_statistics(cx, statistics, momentum)?;
        for (name, value) in ["running_mean", "running_var"].into_iter().zip(new) {
            if let Some(value) = value {
                cx.write(name, value)?;
            }
        }
    }
    cx.ignore(&["running_var"]);
    let op = InstanceNormalization { epsilon: Float(eps) };
    Ok(cx.emit(op, &[x, scale, bias])?.into())
}

/// Means over the batch of the mean and the variance of each sample.
fn instance_statistics(
    cx: &mut CallCx<'_>,
    x: ValueId,
) -> Result<(ValueId, ValueId, ValueId), Stop> {
    let ty = cx.ty(x)?;
    let (Some(batch), Some(channels), Some(space)) =
        (ty.shape.first(), ty.shape.get(1), ty.shape.get(2..))
    else {
        return cx.invalid("an input of batch, channels and space is needed");
    };
    let lines = [Dim::Known(1), batch * channels, numel(space)];
    let pairs = [batch.clone(), channels.clone()];
    let flat = cx.b().reshape(x, &lines)?;
    let (mean, var, factor) = batch_statistics(cx, flat)?;
    let over_batch = |cx: &mut CallCx<'_>, v: ValueId| -> Result<ValueId, Stop> {
        let mut b = cx.b();
        let v = b.reshape(v, &pairs)?;
        Ok(b.mean(v, &[0], false)?)
    };
    Ok((over_batch(cx, mean)?, over_batch(cx, var)?, factor))
}

// Layer, group and root-mean-square normalization.

/// The first axis of those that `normalized_shape` speaks of.
fn first_normalized(cx: &mut CallCx<'_>, x: ValueId) -> Result<usize, Stop> {
    let sizes = cx.dims("normalized_shape")?;
    match cx.rank(x)?.checked_sub(sizes.len()) {
        Some(axis) if !sizes.is_empty() => Ok(axis),
        _ => cx.invalid("the normalized axes are none, or more than there are"),
    }
}

/// A weight over the normalized axes, or ones.
fn normalized_weight(cx: &mut CallCx<'_>, x: ValueId, axis: usize) -> Result<ValueId, Stop> {
    if let Some(weight) = cx.opt_tensor("weight")? {
        return Ok(weight);
    }
    let ty = cx.ty(x)?;
    let mut b = cx.b();
    let one = b.scalar(ty.dtype, 1.0)?;
    Ok(b.broadcast_to(one, &ty.shape[axis..])?)
}

/// The dtype that a normalization of floats is computed in: at least f32, and as wide as its scale.
/// PyTorch scales and shifts in it too, so that there is one rounding at the end.
fn computed_in(cx: &CallCx<'_>, x: ValueId, scale: ValueId) -> Result<DType, Stop> {
    let mut work = DType::F32;
    for v in [x, scale] {
        match cx.dtype(v)? {
            DType::F64 => work = DType::F64,
            DType::F16 | DType::BF16 | DType::F32 => {}
            other => return cx.unsupported(format!("a normalization of {other}")),
        }
    }
    Ok(work)
}

/// A layer normalization with its mean and inverse deviation, in the dtype of the computation.
fn normalized(cx: &mut CallCx<'_>) -> Result<Vec<ValueId>, Stop> {
    let x = cx.tensor("input")?;
    let axis = first_normalized(cx, x)?;
    let scale = normalized_weight(cx, x, axis)?;
    let bias = cx.opt_tensor("bias")?;
    let op =
        LayerNormalization { axis: axis as i64, epsilon: Float(cx.float("eps")?), stash: None };
    let work = computed_in(cx, x, scale)?;
    let x = cx.cast(x, work)?;
    let scale = cx.cast(scale, work)?;
    let bias = bias.map(|b| cx.cast(b, work)).transpose()?;
    let operands = [Some(x), Some(scale), bias];
    match cx.wants(1) || cx.wants(2) {
        true => cx.emit_all(op, &operands),
        false => Ok(vec![cx.emit_opt(op, &operands)?]),
    }
}

/// `layer_norm`.
fn layer_norm(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("input")?;
    let dtype = cx.dtype(x)?;
    match normalized(cx)?.as_slice() {
        &[y, ..] => Ok(cx.cast(y, dtype)?.into()),
        [] => cx.invalid("a layer normalization gives a result"),
    }
}

/// `native_layer_norm`: also gives the mean and the inverse deviation.
fn native_layer_norm(cx: &mut CallCx<'_>) -> Outcome {
    if !cx.wants(1) && !cx.wants(2) {
        return Ok(beside_unwanted(layer_norm(cx)?, 3));
    }
    let x = cx.tensor("input")?;
    let dtype = cx.dtype(x)?;
    match normalized(cx)?.as_slice() {
        &[y, mean, inverse] => {
            let all = [y, mean, inverse];
            let [y, mean, inverse] = all.map(|v| cx.cast(v, dtype));
            Ok([y?, mean?, inverse?].into())
        }
        _ => cx.invalid("a layer normalization gives three results"),
    }
}

/// `group_norm`.
fn group_norm(cx: &mut CallCx<'_>) -> Outcome {
    let groups = cx.int("num_groups")?;
    Ok(grouped(cx, groups)?.into())
}

fn grouped(cx: &mut CallCx<'_>, groups: i64) -> Result<ValueId, Stop> {
    let x = cx.tensor("input")?;
    let dtype = cx.dtype(x)?;
    let scale = channel_vector(cx, "weight", x, 1.0)?;
    let bias = channel_vector(cx, "bias", x, 0.0)?;
    let work = computed_in(cx, x, scale)?;
    let [x, scale, bias] = [cx.cast(x, work)?, cx.cast(scale, work)?, cx.cast(bias, work)?];
    let epsilon = Float(cx.float("eps")?);
    let op = GroupNormalization { num_groups: groups, epsilon, stash: None };
    let y = cx.emit(op, &[x, scale, bias])?;
    cx.cast(y, dtype)
}

/// `native_group_norm`: also gives the mean and the inverse deviation of each group.
fn native_group_norm(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["N", "C", "HxW"]);
    let groups = cx.int("group")?;
    let y = grouped(cx, groups)?;
    if !cx.wants(1) && !cx.wants(2) {
        return Ok(beside_unwanted(y.into(), 3));
    }
    let x = cx.tensor("input")?;
    let (shape, eps) = (cx.shape(x)?, cx.float("eps")?);
    let batch = shape.first().cloned().unwrap_or(Dim::Known(1));
    let size = Dim::floor_div(&numel(shape.get(1..).unwrap_or_default()), &groups.into());
    let mut b = cx.b();
    let lines = b.reshape(x, &[batch, groups.into(), size])?;
    let mean = b.mean(lines, &[2], true)?;
    let distance = b.sub(lines, mean)?;
    let square = b.mul(distance, distance)?;
    let var = b.mean(square, &[2], false)?;
    let mean = b.squeeze(mean, &[2])?;
    let var = b.add_const(var, eps)?;
    let deviation = b.sqrt(var)?;
    let inverse = b.emit(Reciprocal {}, &[deviation])?;
    Ok([y, mean, inverse].into())
}

/// `rms_norm`; without epsilon it is the distance of 1 to the next number of the dtype that is
/// computed in.
fn rms_norm(cx: &mut CallCx<'_>) -> Outcome {
    Ok(root_mean_square(cx)?.into())
}

fn root_mean_square(cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
    let x = cx.tensor("input")?;
    let axis = first_normalized(cx, x)?;
    let scale = normalized_weight(cx, x, axis)?;
    let dtype = cx.dtype(x)?;
    let epsilon = rms_epsilon(cx, dtype)?;
    let op = RmsNormalization { axis: axis as i64, epsilon, stash: None };
    let work = computed_in(cx, x, scale)?;
    let (x, scale) = (cx.cast(x, work)?, cx.cast(scale, work)?);
    let y = cx.emit(op, &[x, scale])?;
    cx.cast(y, dtype)
}

fn rms_epsilon(cx: &mut CallCx<'_>, dtype: DType) -> Result<Float, Stop> {
    let own = if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    Ok(Float(cx.opt_float("eps")?.unwrap_or(own)))
}

/// `_fused_rms_norm`: also gives the inverse root.
fn fused_rms_norm(cx: &mut CallCx<'_>) -> Outcome {
    let y = root_mean_square(cx)?;
    if !cx.wants(1) {
        return Ok(beside_unwanted(y.into(), 2));
    }
    let x = cx.tensor("input")?;
    let axis = first_normalized(cx, x)?;
    let ty = cx.ty(x)?;
    let epsilon = rms_epsilon(cx, ty.dtype)?;
    let axes: Vec<usize> = (axis..ty.rank()).collect();
    let mut b = cx.b();
    let work = if ty.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let x = b.cast(x, work)?;
    let square = b.mul(x, x)?;
    let mean = b.mean(square, &axes, true)?;
    let mean = b.add_const(mean, epsilon.0)?;
    let root = b.sqrt(mean)?;
    let inverse = b.emit(Reciprocal {}, &[root])?;
    Ok([y, inverse].into())
}

// Weight normalization.

/// The norms of the slices along an axis, which stays; of -1 that of the whole.
fn slice_norms(cx: &mut CallCx<'_>, v: ValueId, power: f64, dim: i64) -> Result<ValueId, Stop> {
    let rank = cx.rank(v)?;
    let kept = if dim == -1 { None } else { Some(cx.resolve_axis(dim, rank)?) };
    let axes: Vec<usize> = (0..rank).filter(|a| Some(*a) != kept).collect();
    let mut b = cx.b();
    if power == 2.0 {
        let square = b.mul(v, v)?;
        let sum = b.reduce(ReduceKind::Sum, square, &axes, kept.is_some())?;
        return Ok(b.sqrt(sum)?);
    }
    let size = b.abs(v)?;
    let exponent = b.scalar_like(v, power)?;
    let each = b.pow(size, exponent)?;
    let sum = b.reduce(ReduceKind::Sum, each, &axes, kept.is_some())?;
    let root = b.scalar_like(v, 1.0 / power)?;
    Ok(b.pow(sum, root)?)
}

/// `norm_except_dim`.
fn norm_except_dim(cx: &mut CallCx<'_>) -> Outcome {
    let (v, power, dim) = (cx.tensor("v")?, cx.float("pow")?, cx.int("dim")?);
    Ok(slice_norms(cx, v, power, dim)?.into())
}

/// A weight of given direction and length, and the lengths that the direction had.
fn scaled_direction(cx: &mut CallCx<'_>) -> Result<[ValueId; 2], Stop> {
    let (v, g, dim) = (cx.tensor("v")?, cx.tensor("g")?, cx.int("dim")?);
    let norms = slice_norms(cx, v, 2.0, dim)?;
    let mut b = cx.b();
    let factor = b.div(g, norms)?;
    Ok([b.mul(v, factor)?, norms])
}

/// `_weight_norm`: v * g / |v|.
fn weight_norm(cx: &mut CallCx<'_>) -> Outcome {
    Ok(scaled_direction(cx)?[0].into())
}

/// `_weight_norm_interface`: also gives |v|.
fn weight_norm_interface(cx: &mut CallCx<'_>) -> Outcome {
    Ok(scaled_direction(cx)?.into())
}

/// `_softmax_backward_data`: y (g - the sum of g y along the axis).
fn softmax_backward(cx: &mut CallCx<'_>) -> Outcome {
    let (grad, y) = (cx.tensor("grad_output")?, cx.tensor("output")?);
    let rank = cx.rank(y)?;
    let axis = cx.axis("dim", rank)?;
    let dtype = match cx.opt_dtype("input_dtype")? {
        Some(dtype) => dtype,
        None => cx.dtype(grad)?,
    };
    let work = super::formula::work_dtype(cx.dtype(y)?);
    let (grad, y) = (cx.cast(grad, work)?, cx.cast(y, work)?);
    let product = cx.b().mul(grad, y)?;
    let axes: Vec<usize> = (0..rank).filter(|&a| a == axis).collect();
    let sum = super::reduce::reduced(cx, ReduceKind::Sum, product, &axes, true)?;
    let taken = cx.b().mul(y, sum)?;
    let x = cx.b().sub(product, taken)?;
    Ok(cx.cast(x, dtype)?.into())
}
