//! Writing rules of the norm family.

use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{Op, OpKind};

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use crate::proto::AttributeProto;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Softmax, softmax),
    ExportRule::new(OpKind::LogSoftmax, softmax),
    ExportRule::new(OpKind::Hardmax, softmax),
    ExportRule::new(OpKind::GroupNormalization, group),
    ExportRule::new(OpKind::LayerNormalization, layer),
    ExportRule::new(OpKind::RmsNormalization, rms),
    ExportRule::new(OpKind::LpNormalization, lp),
    ExportRule::new(OpKind::MeanVarianceNormalization, mean_variance),
];

fn other<T>() -> Result<T, Refuse> {
    Refuse::because("the rule is for another op")
}

/// The softmax-like ops over one axis. Of several axes those of size 1 have no bearing.
fn softmax(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let (name, axes) = match op {
        Op::Softmax(s) => ("Softmax", &s.axes),
        Op::LogSoftmax(s) => ("LogSoftmax", &s.axes),
        Op::Hardmax(s) => ("Hardmax", &s.axes),
        _ => return other(),
    };
    let shape = cx.tensor_ty(0)?.shape;
    let long = |&&a: &&i64| {
        usize::try_from(a).ok().and_then(|a| shape.get(a)).is_none_or(|d| *d != Dim::Known(1))
    };
    let longer: Vec<i64> = axes.iter().filter(long).copied().collect();
    let axis = match (&longer[..], &axes[..]) {
        ([axis], _) | ([], [axis, ..]) => *axis,
        _ => return Refuse::because(format!("{name} is over one axis, not {}", axes.len())),
    };
    let x = cx.x(0)?;
    // The last axis is the default.
    let attrs = match axis + 1 == shape.len() as i64 {
        true => vec![],
        false => vec![attr::int("axis", axis)],
    };
    cx.emit(name, &[x], attrs)
}

fn stash(attrs: &mut Vec<AttributeProto>, stash: Option<DType>, own: DType) {
    let dtype = stash.unwrap_or(own);
    if dtype != DType::F32 {
        attrs.push(attr::dtype("stash_type", dtype));
    }
}

/// Scale and bias are per channel from version 21 on, and per group before.
fn group(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::GroupNormalization(g) = op else { return other() };
    let (x, scale) = (cx.tensor_ty(0)?, cx.tensor_ty(1)?);
    let channels = x.shape.get(1).cloned().unwrap_or(Dim::Any);
    let wanted = if cx.opset() >= 21 { channels } else { Dim::Known(g.num_groups) };
    if scale.shape.first() != Some(&wanted) {
        return Refuse::because("scale and bias are not counted as this version counts them");
    }
    let mut attrs = vec![attr::int("num_groups", g.num_groups), attr::float("epsilon", g.epsilon)];
    if cx.opset() >= 21 {
        stash(&mut attrs, g.stash, x.dtype);
    } else if g.stash.is_some_and(|s| s != x.dtype) {
        return Refuse::because("statistics of another dtype need version 21");
    }
    let inputs = cx.all()?;
    cx.emit("GroupNormalization", &inputs, attrs)
}

fn layer(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::LayerNormalization(l) = op else { return other() };
    let own = cx.tensor_ty(0)?.dtype;
    let mut attrs = vec![attr::int("axis", l.axis), attr::float("epsilon", l.epsilon)];
    stash(&mut attrs, l.stash, own);
    let inputs = cx.all()?;
    cx.emit("LayerNormalization", &inputs, attrs)
}

fn rms(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::RmsNormalization(r) = op else { return other() };
    let own = cx.tensor_ty(0)?.dtype;
    let mut attrs = vec![attr::int("axis", r.axis), attr::float("epsilon", r.epsilon)];
    stash(&mut attrs, r.stash, own);
    let inputs = cx.all()?;
    cx.emit("RMSNormalization", &inputs, attrs)
}

fn lp(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::LpNormalization(l) = op else { return other() };
    let x = cx.x(0)?;
    cx.emit("LpNormalization", &[x], vec![attr::int("axis", l.axis), attr::int("p", l.p)])
}

fn mean_variance(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::MeanVarianceNormalization(m) = op else { return other() };
    let x = cx.x(0)?;
    cx.emit("MeanVarianceNormalization", &[x], vec![attr::ints("axes", &m.axes)])
}
