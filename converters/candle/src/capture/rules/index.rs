//! By positions.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Gather, GatherElements, ScatterElements, ScatterReduction};

use super::super::build::{Call, Cx, R, Stop};
use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule("gather", gather),
    rule("index_add", index_add),
    rule("index_select", index_select),
    rule("scatter", |cx, c| scatter(cx, c, ScatterReduction::None)),
    rule("scatter_add", |cx, c| scatter(cx, c, ScatterReduction::Add)),
    rule("unfold", unfold),
];

/// Positions as signed numbers, which every target takes.
fn positions(cx: &mut Cx<'_>, x: ValueId) -> R<ValueId> {
    Ok(cx.b().cast(x, DType::I64)?)
}

fn index_select(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let axis = call.axis(cx, 0, 0)? as i64;
    let indices = positions(cx, call.operand(1)?)?;
    let x = call.operand(0)?;
    Ok(cx.b().emit(Gather { axis }, &[x, indices])?)
}

fn gather(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let axis = call.axis(cx, 0, 0)? as i64;
    let indices = positions(cx, call.operand(1)?)?;
    let x = call.operand(0)?;
    Ok(cx.b().emit(GatherElements { axis }, &[x, indices])?)
}

fn scatter(cx: &mut Cx<'_>, call: &Call<'_>, reduction: ScatterReduction) -> R<ValueId> {
    let axis = call.axis(cx, 0, 0)? as i64;
    let indices = positions(cx, call.operand(1)?)?;
    let (x, updates) = (call.operand(0)?, call.operand(2)?);
    Ok(cx.b().emit(ScatterElements { axis, reduction }, &[x, indices, updates])?)
}

/// Adds slices of the source at positions along an axis.
fn index_add(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let axis = call.axis(cx, 0, 0)?;
    let (x, source) = (call.operand(0)?, call.operand(2)?);
    let indices = positions(cx, call.operand(1)?)?;
    let shape = cx.shape(source)?;
    if cx.shape(indices)?.len() != 1 || shape.len() <= axis {
        return Err(Stop::Invalid("positions or source have other axes".to_owned()));
    }
    // One position per slice becomes one per element.
    let mut dims = vec![Dim::Known(1); shape.len()];
    dims[axis] = shape[axis].clone();
    let mut b = cx.b();
    let indices = b.reshape(indices, &dims)?;
    let indices = b.broadcast_to(indices, &shape)?;
    let op = ScatterElements { axis: axis as i64, reduction: ScatterReduction::Add };
    Ok(b.emit(op, &[x, indices, source])?)
}

/// Windows along an axis, on a new last axis.
fn unfold(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let x = call.operand(0)?;
    let axis = call.axis(cx, 0, 0)?;
    let (size, step) = (call.int(1)?, call.int(2)?);
    let dims = call.dims(cx)?;
    let count = dims.get(axis).cloned();
    let count = count.ok_or_else(|| Stop::Invalid("the result lacks an axis".to_owned()))?;
    let rank = cx.shape(x)?.len();
    let mut b = cx.b();
    let starts = b.iota(DType::I64, count)?;
    let starts = b.mul_const(starts, step as f64)?;
    let starts = b.unsqueeze(starts, &[1])?;
    let within = b.iota(DType::I64, Dim::Known(size))?;
    let positions = b.add(starts, within)?;
    let windows = b.emit(Gather { axis: axis as i64 }, &[x, positions])?;
    let mut perm: Vec<i64> = (0..=rank as i64).filter(|&a| a != axis as i64 + 1).collect();
    perm.push(axis as i64 + 1);
    Ok(b.transpose(windows, &perm)?)
}
