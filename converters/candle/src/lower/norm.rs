//! Rules of the norm family.

use airconv_ir::dim::Dim;
use airconv_ir::op::{Op, OpKind};

use super::cx::{Cx, Refuse, float, other, tidy};
use super::rules::Rule;
use crate::program::calls::*;
use crate::program::{Arg, Layer, Var};

pub(super) const RULES: &[(OpKind, Rule)] = &[
    (OpKind::Softmax, softmax),
    (OpKind::LogSoftmax, log_softmax),
    (OpKind::BatchNormalization, batch_normalization),
    (OpKind::InstanceNormalization, instance_normalization),
    (OpKind::GroupNormalization, group_normalization),
    (OpKind::LayerNormalization, layer_normalization),
    (OpKind::RmsNormalization, rms_normalization),
];

fn one_axis(list: &[i64]) -> Result<usize, Refuse> {
    match list {
        [axis] => usize::try_from(*axis).map_err(|_| Refuse("an axis below zero".to_owned())),
        _ => Refuse::because("candle normalises along one axis"),
    }
}

fn softmax<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Softmax(s) = op else { return other() };
    let ty = cx.ty(0)?;
    float(ty.dtype, "softmax")?;
    let axis = one_axis(&s.axes)?;
    let x = cx.x(0)?;
    if axis + 1 == ty.rank() {
        let x = cx.contiguous(x);
        return cx.done_wide(&SOFTMAX_LAST_DIM, x, Vec::new());
    }
    cx.done_wide(&SOFTMAX, x, vec![Arg::Number(axis)])
}

fn log_softmax<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::LogSoftmax(s) = op else { return other() };
    float(cx.ty(0)?.dtype, "softmax")?;
    let axis = one_axis(&s.axes)?;
    let x = cx.x(0)?;
    cx.done_wide(&LOG_SOFTMAX, x, vec![Arg::Number(axis)])
}

/// Weights of one element per channel.
fn weights(cx: &mut Cx<'_, '_>, slots: &[usize]) -> Result<Vec<Arg>, Refuse> {
    let mut out = Vec::new();
    for &slot in slots {
        let var = cx.x(slot)?;
        if !cx.is_weight(var) || cx.shape(var).len() != 1 {
            return Refuse::because("its weights are computed");
        }
        out.push(Arg::from(var));
    }
    Ok(out)
}

fn batch_normalization<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::BatchNormalization(b) = op else { return other() };
    let ty = cx.ty(0)?;
    float(ty.dtype, "batch norm")?;
    if b.training_mode {
        return Refuse::because("candle has no batch norm that gives its statistics");
    }
    if ty.rank() < 2 {
        return Refuse::because("candle has no batch norm of vectors");
    }
    let mut args = vec![Arg::from(cx.x(0)?)];
    args.extend(weights(cx, &[1, 2, 3, 4])?);
    cx.done_layer(Layer::BatchNorm { eps: tidy(ty.dtype, b.epsilon.0) }, args)
}

/// Group norm with as many groups as channels.
fn instance_normalization<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::InstanceNormalization(n) = op else { return other() };
    let ty = cx.ty(0)?;
    let channels = match ty.shape.get(1) {
        Some(c) => cx.known(c, "the number of channels")?,
        None => return other(),
    };
    group_norm(cx, channels, n.epsilon.0)
}

fn group_normalization<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::GroupNormalization(n) = op else { return other() };
    let ty = cx.ty(0)?;
    if n.stash.is_some_and(|s| s != ty.dtype) {
        return Refuse::because("candle computes statistics in the dtype of the input");
    }
    if cx.ty(1)?.shape.first() != ty.shape.get(1) {
        return Refuse::because("candle has one weight per channel");
    }
    let Ok(groups) = usize::try_from(n.num_groups) else { return other() };
    group_norm(cx, groups, n.epsilon.0)
}

fn group_norm(cx: &mut Cx<'_, '_>, groups: usize, eps: f64) -> Result<(), Refuse> {
    let ty = cx.ty(0)?;
    float(ty.dtype, "group norm")?;
    if ty.rank() < 3 {
        return Refuse::because("candle normalises groups of images");
    }
    let mut args = vec![Arg::from(cx.x(0)?)];
    args.extend(weights(cx, &[1, 2])?);
    cx.done_layer(Layer::GroupNorm { groups, eps: tidy(ty.dtype, eps) }, args)
}

/// Refuses what candle computes otherwise, and gives the input with its last axis alone to be
/// normalised.
fn last_axis(cx: &mut Cx<'_, '_>, axis: i64, results: usize) -> Result<Var, Refuse> {
    let ty = cx.ty(0)?;
    float(ty.dtype, "norm")?;
    if (1..=results).any(|slot| cx.node.result(slot).is_some()) {
        return Refuse::because("candle does not give the statistics");
    }
    if usize::try_from(axis).ok() != ty.rank().checked_sub(1) {
        return Refuse::because("candle normalises along the last axis");
    }
    let x = cx.x(0)?;
    Ok(cx.contiguous(x))
}

fn layer_normalization<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::LayerNormalization(n) = op else { return other() };
    let x = last_axis(cx, n.axis, 2)?;
    let eps = tidy(cx.ty(0)?.dtype, n.epsilon.0);
    let weight = cx.bare(1)?;
    let bias = match cx.value(2) {
        Some(_) => Some(cx.bare(2)?),
        None => None,
    };
    let vector = |cx: &Cx<'_, '_>, v: Var| cx.is_weight(v) && cx.info(v).shape.len() == 1;
    let args = vec![x.into(), weight.into(), Arg::Maybe(bias)];
    let width = cx.shape(x).last().cloned().unwrap_or(Dim::Known(1));
    if vector(cx, weight)
        && bias.is_none_or(|b| vector(cx, b))
        && cx.info(weight).shape.first() == Some(&width)
    {
        return cx.done_layer(Layer::LayerNorm { eps }, args);
    }
    cx.done(&LAYER_NORM, [args, vec![Arg::Float(eps)]].concat())
}

fn rms_normalization<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::RmsNormalization(n) = op else { return other() };
    let x = last_axis(cx, n.axis, 0)?;
    let eps = tidy(cx.ty(0)?.dtype, n.epsilon.0);
    let weight = cx.bare(1)?;
    let args = vec![x.into(), weight.into()];
    if cx.is_weight(weight) && cx.info(weight).shape.len() == 1 {
        return cx.done_layer(Layer::RmsNorm { eps }, args);
    }
    cx.done(&RMS_NORM, [args, vec![Arg::Float(eps)]].concat())
}
