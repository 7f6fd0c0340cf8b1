//! The same elements in other places.

use airconv_ir::dim::Dim;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Broadcast, Pad, PadMode, Slice, Tile};

use super::super::build::{Call, Cx, R, Stop};
use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule("broadcast_as", broadcast_as),
    rule("cat", cat),
    rule("copy", |_, c| c.operand(0)),
    rule("flip", flip),
    rule("narrow", narrow),
    rule("pad_with_zeros", pad_with_zeros),
    rule("permute", permute),
    rule("repeat", repeat),
    rule("reshape", reshape),
    rule("slice_set", slice_set),
];

fn broadcast_as(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let dims = call.dims(cx)?;
    cx.moved(call.operand(0)?, |cx, x| {
        if cx.shape(x)?.as_slice() == dims {
            return Ok(x);
        }
        Ok(cx.b().emit(Broadcast { dims: dims.clone(), implicit: true }, &[x])?)
    })
}

fn cat(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let axis = call.axis(cx, 0, 0)?;
    Ok(cx.b().concat(&call.operands, axis)?)
}

fn flip(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let x = call.operand(0)?;
    let axes: Vec<i64> = (0..call.node.ints.len())
        .map(|i| call.axis(cx, i, 0).map(|a| a as i64))
        .collect::<R<_>>()?;
    if axes.is_empty() {
        return Ok(x);
    }
    let (n, shape) = (axes.len(), cx.shape(x)?);
    let (starts, ends) = (vec![Dim::Known(-1); n], vec![Dim::Known(i64::MIN); n]);
    let mut b = cx.b();
    let y = b.emit(Slice { axes, starts, ends, steps: vec![-1; n] }, &[x])?;
    Ok(b.reshape(y, &shape)?)
}

fn narrow(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let axis = call.axis(cx, 0, 0)?;
    let (start, length) = (call.dim(cx, 1)?, call.dim(cx, 2)?);
    let end = &start + &length;
    cx.moved(call.operand(0)?, |cx, x| {
        let y = cx.b().slice_axis(x, axis, start.clone(), end.clone())?;
        // Slicing clamps, which leaves the size of the result a question where sizes are symbols.
        let mut dims = cx.shape(y)?;
        dims[axis] = length.clone();
        Ok(cx.b().reshape(y, &dims)?)
    })
}

fn pad_with_zeros(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let x = call.operand(0)?;
    let (axis, rank) = (call.axis(cx, 0, 0)?, cx.shape(x)?.len());
    let (left, right) = (call.dim(cx, 1)?, call.dim(cx, 2)?);
    if left == Dim::Known(0) && right == Dim::Known(0) {
        return Ok(x);
    }
    let (mut low, mut high) = (vec![Dim::Known(0); rank], vec![Dim::Known(0); rank]);
    low[axis] = left;
    high[axis] = right;
    Ok(cx.b().emit(Pad { low, high, mode: PadMode::Constant }, &[x])?)
}

fn permute(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let x = call.operand(0)?;
    let perm: Vec<i64> = (0..call.node.ints.len()).map(|i| call.int(i)).collect::<R<_>>()?;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..cx.shape(x)?.len() as i64) {
        return Err(Stop::Invalid(format!("{perm:?} is no permutation of its axes")));
    }
    cx.moved(x, |cx, x| Ok(cx.b().transpose(x, &perm)?))
}

/// A tensor joined with itself along an axis.
fn repeat(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let axis = call.axis(cx, 0, 0)?;
    let count = call.dim(cx, 1)?;
    cx.moved(call.operand(0)?, |cx, x| {
        let mut repeats = vec![Dim::Known(1); cx.shape(x)?.len()];
        repeats[axis] = count.clone();
        Ok(cx.b().emit(Tile { repeats }, &[x])?)
    })
}

fn reshape(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let dims = call.dims(cx)?;
    cx.moved(call.operand(0)?, |cx, x| Ok(cx.b().reshape(x, &dims)?))
}

/// A copy of a tensor with a part along an axis replaced.
fn slice_set(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let (whole, part) = (call.operand(0)?, call.operand(1)?);
    let axis = call.axis(cx, 0, 0)?;
    let start = call.dim(cx, 1)?;
    let (size, length) = (cx.shape(whole)?, cx.shape(part)?);
    let (Some(size), Some(length)) = (size.get(axis), length.get(axis)) else {
        return Err(Stop::Invalid("the part has other axes".to_owned()));
    };
    let end = &start + length;
    let mut parts = Vec::new();
    let mut b = cx.b();
    if start != Dim::Known(0) {
        parts.push(b.slice_axis(whole, axis, Dim::Known(0), start)?);
    }
    parts.push(part);
    if end != *size {
        parts.push(b.slice_axis(whole, axis, end, size.clone())?);
    }
    let dims = b.tensor_ty(whole)?.shape;
    let joined = b.concat(&parts, axis)?;
    Ok(b.reshape(joined, &dims)?)
}
