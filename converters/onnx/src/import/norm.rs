//! Reading rules of the norm family.

use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{
    BatchNormalization, GroupNormalization, Hardmax, LayerNormalization, LogSoftmax,
    LpNormalization, MeanVarianceNormalization, OpKind, RmsNormalization, Softmax,
};

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("Softmax", 1, &[OpKind::Softmax], softmax),
    ImportRule::new("LogSoftmax", 1, &[OpKind::LogSoftmax], log_softmax),
    ImportRule::new("Hardmax", 1, &[OpKind::Hardmax], hardmax),
    ImportRule::new("BatchNormalization", 7, &[OpKind::BatchNormalization], batch_inference),
    ImportRule::new("GroupNormalization", 18, &[OpKind::GroupNormalization], group),
    ImportRule::new("LayerNormalization", 1, &[OpKind::LayerNormalization], layer),
    ImportRule::new("RMSNormalization", 23, &[OpKind::RmsNormalization], rms),
    ImportRule::new("SimplifiedLayerNormalization", 1, &[OpKind::RmsNormalization], rms),
    ImportRule::new("LpNormalization", 1, &[OpKind::LpNormalization], lp),
    ImportRule::new(
        "MeanVarianceNormalization",
        9,
        &[OpKind::MeanVarianceNormalization],
        mean_variance,
    ),
];

/// The axes that a softmax-like op normalises jointly. Before version 13 these are all from
/// the given one on; those of size 1 have no bearing and are left out.
fn joint_axes(cx: &NodeCx<'_, '_>) -> Result<Vec<i64>, Stop> {
    let ty = cx.input_ty(0)?;
    let rank = ty.rank();
    if cx.version >= 13 {
        return Ok(vec![cx.axis(cx.int("axis", -1)?, rank)?]);
    }
    let given = cx.int("axis", 1)?;
    let first = if given == rank as i64 { given } else { cx.axis(given, rank)? };
    let all: Vec<i64> = (first..rank as i64).collect();
    let longer: Vec<i64> = all
        .iter()
        .copied()
        .filter(|&a| ty.shape.get(a as usize).is_none_or(|d| *d != Dim::Known(1)))
        .collect();
    Ok(match (longer.first(), longer.last(), all.first()) {
        // What lies between stays, so that the axes are consecutive.
        (Some(&a), Some(&b), _) => (a..=b).collect(),
        (_, _, Some(&a)) => vec![a],
        _ => return Err(Stop::Unsupported(format!("the axis {given} is past the last one"))),
    })
}

/// `Softmax`
fn softmax(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axes = joint_axes(cx)?;
    cx.emit_same(Softmax { axes })
}

/// `LogSoftmax`
fn log_softmax(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axes = joint_axes(cx)?;
    cx.emit_same(LogSoftmax { axes })
}

/// `Hardmax`
fn hardmax(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axes = joint_axes(cx)?;
    cx.emit_same(Hardmax { axes })
}

/// `BatchNormalization` before version 14, where further outputs mean training.
fn batch_inference(cx: &mut NodeCx<'_, '_>) -> Outcome {
    if cx.version < 9 {
        cx.must_be("spatial", 1)?;
    }
    if (1..5).any(|output| cx.wants(output)) {
        return Err(Stop::Unsupported(
            "training by BatchNormalization before version 14".to_owned(),
        ));
    }
    let op = BatchNormalization {
        epsilon: cx.float("epsilon", 1e-5)?,
        momentum: cx.float("momentum", 0.9)?,
        training_mode: false,
    };
    cx.emit_same(op)
}

/// The dtype of statistics by its number; f32 when absent.
fn stash(cx: &NodeCx<'_, '_>) -> Result<Option<DType>, Stop> {
    Ok(Some(cx.attrs.opt_dtype("stash_type")?.unwrap_or(DType::F32)))
}

/// `GroupNormalization`: scale and bias per group before version 21, then per channel.
fn group(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let op = GroupNormalization {
        num_groups: cx.need_int("num_groups")?,
        epsilon: cx.float("epsilon", 1e-5)?,
        stash: if cx.version >= 21 { stash(cx)? } else { None },
    };
    cx.emit_same(op)
}

/// `LayerNormalization`
fn layer(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let op = LayerNormalization {
        axis: cx.axis(cx.int("axis", -1)?, cx.rank(0)?)?,
        epsilon: cx.float("epsilon", 1e-5)?,
        stash: stash(cx)?,
    };
    cx.emit_same(op)
}

/// `RMSNormalization`, and its older name in ONNX Runtime.
fn rms(cx: &mut NodeCx<'_, '_>) -> Outcome {
    if cx.wants(1) {
        return Err(Stop::Unsupported("the inverse root as a second output".to_owned()));
    }
    let op = RmsNormalization {
        axis: cx.axis(cx.int("axis", -1)?, cx.rank(0)?)?,
        epsilon: cx.float("epsilon", 1e-5)?,
        stash: stash(cx)?,
    };
    cx.emit_same(op)
}

/// `LpNormalization`
fn lp(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axis = cx.axis(cx.int("axis", -1)?, cx.rank(0)?)?;
    let p = cx.int("p", 2)?;
    cx.emit_same(LpNormalization { axis, p })
}

/// `MeanVarianceNormalization`
fn mean_variance(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let given = cx.attrs.opt_ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
    let axes = cx.axes(&given, cx.rank(0)?)?;
    cx.emit_same(MeanVarianceNormalization { axes })
}
