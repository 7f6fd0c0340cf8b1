//! Ops that move or convert elements.

use crate::dim::Dim;
use crate::dtype::{Class, DType};
use crate::entity::ValueId;
use crate::op::*;
use crate::pass::{PassCx, Site};

/// The node gives its first operand.
pub(super) fn same(site: &mut Site<'_>, cx: &mut PassCx, why: &'static str) -> bool {
    match site.operand(0) {
        Some(x) => site.forward_one(cx, why, x),
        None => false,
    }
}

/// The op that makes the first operand, and that op's first operand.
fn inner<'a>(site: &'a Site<'_>) -> Option<(&'a Op, ValueId)> {
    let (_, node) = site.def(site.operand(0)?)?;
    Some((&node.op, node.operand(0)?))
}

fn has_type_of_operand(site: &Site<'_>) -> bool {
    match (site.operand(0), site.n().result(0)) {
        (Some(x), Some(y)) => site.ty(x).as_tensor().is_some() && site.ty(x) == site.ty(y),
        _ => false,
    }
}

pub(super) fn unbounded_clip(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let bounded = site.operand(1).is_some() || site.operand(2).is_some();
    !bounded && same(site, cx, "a clip without bounds")
}

pub(super) fn transpose(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let Op::Transpose(op) = site.op() else { return false };
    if op.perm.iter().enumerate().all(|(i, &p)| i as i64 == p) {
        return same(site, cx, "a transpose that moves nothing");
    }
    let Some((Op::Transpose(first), x)) = inner(site) else { return false };
    let perm: Option<Vec<i64>> =
        op.perm.iter().map(|&p| first.perm.get(usize::try_from(p).ok()?).copied()).collect();
    let Some(perm) = perm else { return false };
    let why = "two transposes in a row";
    if perm.iter().enumerate().all(|(i, &p)| i as i64 == p) {
        return site.forward_one(cx, why, x);
    }
    let from: Vec<_> = site.operand(0).and_then(|v| site.producer(v)).into_iter().collect();
    site.become_op(cx, why, &from, Transpose { perm }, &[Some(x)])
}

fn reshapes(op: &Op) -> bool {
    matches!(op, Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Flatten(_))
}

/// The axes that stay when some go, of a rank.
fn others(axes: &[i64], rank: i64) -> Vec<i64> {
    (0..rank).filter(|a| !axes.contains(a)).collect()
}

pub(super) fn reshape(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    if has_type_of_operand(site) {
        return same(site, cx, "a reshape to the shape that is there");
    }
    let Some((first, x)) = inner(site) else { return false };
    if !reshapes(first) {
        return false;
    }
    let Some(y) = site.n().result(0) else { return false };
    if site.ty(x).as_tensor().is_some() && site.ty(x) == site.ty(y) {
        return site.forward_one(cx, "two reshapes that undo each other", x);
    }
    let Some(rank) = site.tensor_ty(x).map(|t| t.rank() as i64) else { return false };
    let why = "two reshapes in a row";
    let merged: Op = match (first, site.op()) {
        (_, Op::Reshape(op)) => op.clone().into(),
        (Op::Squeeze(a), Op::Squeeze(b)) => {
            // Axes of the second one, as axes of x.
            let left = others(&a.axes, rank);
            let mut axes = a.axes.clone();
            for &b in &b.axes {
                match usize::try_from(b).ok().and_then(|b| left.get(b)) {
                    Some(&axis) => axes.push(axis),
                    None => return false,
                }
            }
            axes.sort_unstable();
            Squeeze { axes }.into()
        }
        (Op::Unsqueeze(a), Op::Unsqueeze(b)) => {
            // Positions of the first one's axes in the second one's result.
            let places = others(&b.axes, rank + (a.axes.len() + b.axes.len()) as i64);
            let mut axes = b.axes.clone();
            for &a in &a.axes {
                match usize::try_from(a).ok().and_then(|a| places.get(a)) {
                    Some(&axis) => axes.push(axis),
                    None => return false,
                }
            }
            axes.sort_unstable();
            Unsqueeze { axes }.into()
        }
        _ => return false,
    };
    let from: Vec<_> = site.operand(0).and_then(|v| site.producer(v)).into_iter().collect();
    site.become_op(cx, why, &from, merged, &[Some(x)])
}

/// Whether every value of one dtype is a value of another.
fn keeps_values(from: DType, to: DType) -> bool {
    if from == to {
        return true;
    }
    let digits = |d: DType| match d {
        DType::F16 => Some((11, 15)),
        DType::BF16 => Some((8, 127)),
        DType::F32 => Some((24, 127)),
        DType::F64 => Some((53, 1023)),
        _ => None,
    };
    match (from.class(), to.class()) {
        (Class::Bool, Class::Signed | Class::Unsigned) => true,
        (Class::Bool, Class::Float) => digits(to).is_some(),
        (Class::Signed | Class::Unsigned, Class::Signed | Class::Unsigned) => {
            match (from.int_range(), to.int_range()) {
                (Some((a, b)), Some((c, d))) => c <= a && b <= d,
                _ => false,
            }
        }
        (Class::Signed | Class::Unsigned, Class::Float) => {
            let bits = from.bits() as i32 - i32::from(from.class() == Class::Signed);
            digits(to).is_some_and(|(man, exp)| bits <= man && bits <= exp)
        }
        (Class::Float, Class::Float) => match (digits(from), digits(to)) {
            (Some((m, e)), Some((n, f))) => m <= n && e <= f,
            _ => false,
        },
        _ => false,
    }
}

pub(super) fn cast(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let Op::Cast(op) = site.op() else { return false };
    let Some(have) = site.operand(0).and_then(|x| site.ty(x).dtype()) else { return false };
    if have == op.to {
        return same(site, cx, "a cast to the dtype that is there");
    }
    let Some((Op::Cast(first), x)) = inner(site) else { return false };
    let Some(start) = site.ty(x).dtype() else { return false };
    if !keeps_values(start, first.to) {
        return false;
    }
    let why = "a cast of a cast that kept every value";
    if start == op.to {
        return site.forward_one(cx, why, x);
    }
    // An integer out of range wraps, a float does not; bools and strings have own rules.
    let integers = start.is_integer() && first.to.is_integer();
    let floats = start.is_float() && first.to.is_float();
    if !(integers || floats) || op.to == DType::Bool || op.to == DType::String {
        return false;
    }
    let to = op.clone();
    let from: Vec<_> = site.operand(0).and_then(|v| site.producer(v)).into_iter().collect();
    site.become_op(cx, why, &from, to, &[Some(x)])
}

pub(super) fn cast_like(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let Op::CastLike(op) = site.op() else { return false };
    let Some(to) = site.operand(1).and_then(|t| site.ty(t).dtype()) else { return false };
    let Some(x) = site.operand(0) else { return false };
    let why = "the dtype to cast to is known";
    if site.ty(x).dtype() == Some(to) {
        return site.forward_one(cx, why, x);
    }
    let cast = Cast { to, saturate: op.saturate, rounding: op.rounding };
    site.become_op(cx, why, &[], cast, &[Some(x)])
}

pub(super) fn broadcast(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    if has_type_of_operand(site) {
        return same(site, cx, "a broadcast to the shape that is there");
    }
    let Op::Broadcast(op) = site.op() else { return false };
    let Some((Op::Broadcast(first), x)) = inner(site) else { return false };
    let implicit = op.implicit && first.implicit;
    let merged = Broadcast { dims: op.dims.clone(), implicit };
    let from: Vec<_> = site.operand(0).and_then(|v| site.producer(v)).into_iter().collect();
    site.become_op(cx, "two broadcasts in a row", &from, merged, &[Some(x)])
}

pub(super) fn tile(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let Op::Tile(op) = site.op() else { return false };
    op.repeats.iter().all(|r| *r == Dim::Known(1)) && same(site, cx, "a tile that repeats nothing")
}

pub(super) fn slice(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let Op::Slice(op) = site.op() else { return false };
    let whole = op.steps.iter().all(|&s| s == 1)
        && op.starts.iter().all(|s| *s == Dim::Known(0))
        && (op.axes.is_empty() || has_type_of_operand(site));
    whole && same(site, cx, "a slice of everything")
}

pub(super) fn pad(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let Op::Pad(op) = site.op() else { return false };
    let nothing = op.low.iter().chain(&op.high).all(|p| *p == Dim::Known(0));
    nothing && same(site, cx, "a pad by nothing")
}

pub(super) fn reduce(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let Op::Reduce(op) = site.op() else { return false };
    op.axes.is_empty() && same(site, cx, "a reduction over no axes")
}

pub(super) fn split(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let Op::Split(op) = site.op() else { return false };
    op.sizes.len() == 1 && has_type_of_operand(site) && same(site, cx, "a split into one part")
}

pub(super) fn concat(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let Op::Concat(op) = site.op() else { return false };
    if site.n().inputs().count() == 1 {
        return same(site, cx, "a concatenation of one tensor");
    }
    let Ok(axis) = usize::try_from(op.axis) else { return false };
    let empty =
        |v: ValueId| site.tensor_ty(v).is_some_and(|t| t.shape.get(axis) == Some(&Dim::Known(0)));
    let mut parts: Vec<Option<ValueId>> =
        site.n().inputs().filter(|&v| !empty(v)).map(Some).collect();
    let all = site.n().inputs().count();
    if parts.is_empty() {
        parts.extend(site.n().operands.first().copied());
    }
    if parts.len() == all {
        return false;
    }
    let why = "empty parts of a concatenation";
    if let [Some(one)] = parts[..] {
        return site.forward_one(cx, why, one);
    }
    let op = op.clone();
    site.become_op(cx, why, &[], op, &parts)
}

pub(super) fn variadic(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    site.n().inputs().count() == 1 && same(site, cx, "a combination of one tensor")
}
