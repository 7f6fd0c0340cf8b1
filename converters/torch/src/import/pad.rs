//! Reading rules of padding.

use airconv_ir::dim::Dim;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{OpKind, Pad, PadMode};

use super::call::{CallCx, Stop};
use super::promote::Number;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_pad_circular", &[OpKind::Pad], pad_circular),
    ImportRule::new("aten::_pad_enum", &[OpKind::Pad], pad_by_number),
    ImportRule::new("aten::constant_pad_nd", &[OpKind::Pad], constant_pad),
    ImportRule::new("aten::pad", &[OpKind::Pad], pad),
    ImportRule::new("aten::reflection_pad1d", &[OpKind::Pad], reflection_pad),
    ImportRule::new("aten::reflection_pad2d", &[OpKind::Pad], reflection_pad),
    ImportRule::new("aten::reflection_pad3d", &[OpKind::Pad], reflection_pad),
    ImportRule::new("aten::replication_pad1d", &[OpKind::Pad], replication_pad),
    ImportRule::new("aten::replication_pad2d", &[OpKind::Pad], replication_pad),
    ImportRule::new("aten::replication_pad3d", &[OpKind::Pad], replication_pad),
];

/// x padded: `amounts` are pairs of before and after, for the last axis first.
fn padded(
    cx: &mut CallCx<'_>,
    x: ValueId,
    amounts: &[Dim],
    mode: PadMode,
    value: Option<&Number>,
) -> Result<ValueId, Stop> {
    let ty = cx.ty(x)?;
    let rank = ty.rank();
    if !amounts.len().is_multiple_of(2) || amounts.len() / 2 > rank {
        return cx.invalid(format!("{} amounts of padding for {rank} axes", amounts.len()));
    }
    let (mut low, mut high) = (vec![Dim::Known(0); rank], vec![Dim::Known(0); rank]);
    for (i, pair) in amounts.chunks_exact(2).enumerate() {
        low[rank - 1 - i] = pair[0].clone();
        high[rank - 1 - i] = pair[1].clone();
    }
    let x = match mode {
        PadMode::Wrap => cut_off(cx, x, &mut low, &mut high)?,
        _ => x,
    };
    if low.iter().chain(&high).all(|d| d.as_known() == Some(0)) {
        return Ok(x);
    }
    let fill = match value {
        Some(number) if !number.is(0) => Some(cx.number_value(number, ty.dtype)?),
        _ => None,
    };
    cx.emit_opt(Pad { low, high, mode }, &[Some(x), fill])
}

/// What negative amounts leave, which are 0 then: what is repeated is what is left.
fn cut_off(
    cx: &mut CallCx<'_>,
    mut x: ValueId,
    low: &mut [Dim],
    high: &mut [Dim],
) -> Result<ValueId, Stop> {
    for (axis, (low, high)) in low.iter_mut().zip(high).enumerate() {
        let negative = |d: &Dim| d.as_known().filter(|n| *n < 0);
        let (before, after) = (negative(low), negative(high));
        if before.is_none() && after.is_none() {
            continue;
        }
        let size = cx.size(x, axis)?;
        let end = &size + after.unwrap_or(0);
        x = super::index::cut(cx, x, axis, [before.unwrap_or(0).saturating_neg().into(), end], 1)?;
        for (amount, cut) in [(low, before), (high, after)] {
            if cut.is_some() {
                *amount = Dim::Known(0);
            }
        }
    }
    Ok(x)
}

/// `constant_pad_nd`; negative amounts cut.
fn constant_pad(cx: &mut CallCx<'_>) -> Outcome {
    let (x, amounts, value) = (cx.tensor("self")?, cx.dims("pad")?, cx.number("value")?);
    Ok(padded(cx, x, &amounts, PadMode::Constant, Some(&value))?.into())
}

/// `pad` in a mode by name.
fn pad(cx: &mut CallCx<'_>) -> Outcome {
    let name = cx.string("mode")?;
    let mode = match &*name {
        "constant" => PadMode::Constant,
        "reflect" => PadMode::Reflect,
        "replicate" => PadMode::Edge,
        "circular" => PadMode::Wrap,
        other => return cx.invalid(format!("the mode is `{other}`")),
    };
    pad_in(cx, mode)
}

/// `_pad_enum`: the mode is a number.
fn pad_by_number(cx: &mut CallCx<'_>) -> Outcome {
    let mode = match cx.int("mode")? {
        0 => PadMode::Constant,
        1 => PadMode::Reflect,
        2 => PadMode::Edge,
        3 => PadMode::Wrap,
        other => return cx.invalid(format!("there is no mode {other}")),
    };
    pad_in(cx, mode)
}

fn pad_in(cx: &mut CallCx<'_>, mode: PadMode) -> Outcome {
    let (x, amounts) = (cx.tensor("self")?, cx.dims("pad")?);
    let value = cx.opt_number("value")?;
    Ok(padded(cx, x, &amounts, mode, value.as_ref())?.into())
}

/// `_pad_circular`.
fn pad_circular(cx: &mut CallCx<'_>) -> Outcome {
    let (x, amounts) = (cx.tensor("self")?, cx.dims("pad")?);
    Ok(padded(cx, x, &amounts, PadMode::Wrap, None)?.into())
}

/// `reflection_pad1d`, `reflection_pad2d`, `reflection_pad3d`.
fn reflection_pad(cx: &mut CallCx<'_>) -> Outcome {
    let (x, amounts) = (cx.tensor("self")?, cx.dims("padding")?);
    Ok(padded(cx, x, &amounts, PadMode::Reflect, None)?.into())
}

/// `replication_pad1d`, `replication_pad2d`, `replication_pad3d`.
fn replication_pad(cx: &mut CallCx<'_>) -> Outcome {
    let (x, amounts) = (cx.tensor("self")?, cx.dims("padding")?);
    Ok(padded(cx, x, &amounts, PadMode::Edge, None)?.into())
}
