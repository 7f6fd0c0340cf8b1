//! Along axes.

use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{ArgKind, ArgReduce, ReduceKind, ScanReduce, TopK};

use super::super::build::{Call, Cx, R, Stop};
use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule("argmax", |cx, c| arg(cx, c, ArgKind::Max)),
    rule("argmin", |cx, c| arg(cx, c, ArgKind::Min)),
    rule("argsort", argsort),
    rule("cumsum", cumsum),
    rule("max", |cx, c| reduce(cx, c, ReduceKind::Max)),
    rule("min", |cx, c| reduce(cx, c, ReduceKind::Min)),
    rule("sum", |cx, c| reduce(cx, c, ReduceKind::Sum)),
];

/// A combination along axes, which stay with size 1.
fn reduce(cx: &mut Cx<'_>, call: &Call<'_>, kind: ReduceKind) -> R<ValueId> {
    let x = call.operand(0)?;
    let axes: Vec<usize> =
        (0..call.node.ints.len()).map(|i| call.axis(cx, i, 0)).collect::<R<_>>()?;
    if axes.is_empty() {
        return Ok(x);
    }
    Ok(cx.b().reduce(kind, x, &axes, true)?)
}

/// The position of an extreme along an axis, which stays with size 1.
fn arg(cx: &mut Cx<'_>, call: &Call<'_>, kind: ArgKind) -> R<ValueId> {
    let x = call.operand(0)?;
    let axis = call.axis(cx, 0, 0)? as i64;
    let mut b = cx.b();
    let index = b.emit(ArgReduce { kind, axis, keepdims: true, select_last: false }, &[x])?;
    Ok(b.cast(index, DType::U32)?)
}

/// The order of the last axis.
fn argsort(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let x = call.operand(0)?;
    let ascending = call.int(0)? != 0;
    let shape = cx.shape(x)?;
    let Some((k, rest)) = shape.split_last() else {
        return Err(Stop::Invalid("it has no axis".to_owned()));
    };
    let op = TopK { k: k.clone(), axis: rest.len() as i64, largest: !ascending, sorted: true };
    let mut b = cx.b();
    let all = b.emit_all(op, &[Some(x)])?;
    let index = all.get(1).copied();
    let index = index.ok_or_else(|| Stop::Invalid("no order was found".to_owned()))?;
    Ok(b.cast(index, DType::U32)?)
}

fn cumsum(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let x = call.operand(0)?;
    let axis = call.axis(cx, 0, 0)? as i64;
    let op = ScanReduce { kind: ReduceKind::Sum, axis, exclusive: false, reverse: false };
    Ok(cx.b().emit(op, &[x])?)
}
