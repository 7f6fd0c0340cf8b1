//! Recognises softmax that was written out.
//!
//! 1. `e / sum(e)` with `e = exp(x - max(x))` is `softmax(x)`; maximum and sum are over the
//!    same axes, which stay with size 1.
//! 2. The same with `e * (1 / sum(e))`.
//!
//! Declined when no maximum is subtracted, since the exponential may then overflow where
//! softmax does not, and when an intermediate value has other uses.

use super::matcher::{Decline, Matched, OrNoMatch, Pattern, because, matching, only};
use super::{Editor, Outcome, Pass, PassCx, Site};
use crate::entity::ValueId;
use crate::op::{Op, OpKind, ReduceKind, Softmax};

/// The pass.
pub struct RaiseSoftmax;

impl Pass for RaiseSoftmax {
    fn name(&self) -> &'static str {
        "raise_softmax"
    }
    fn doc(&self) -> &'static str {
        "recognises softmax written out"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        Outcome::of(edit.sweep(self.name(), cx, &mut |site, cx| {
            visit(site, cx);
        }))
    }
}

fn visit(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    if !matches!(site.op(), Op::Mul(_) | Op::Div(_)) {
        return false;
    }
    let Some(((x, axes), from)) = matching(site, cx, find) else { return false };
    site.become_op(cx, "a softmax written out", &from, Softmax { axes }, &[Some(x)])
}

/// The operand and the sorted axes of a reduction that keeps its axes.
fn reduction(
    p: &mut Pattern<'_, '_>,
    v: ValueId,
    kind: ReduceKind,
) -> Matched<(ValueId, Vec<i64>)> {
    let node = p.find(v, OpKind::Reduce)?;
    let Op::Reduce(op) = &node.op else { return Err(Decline::NoMatch) };
    only(op.kind == kind && op.keepdims && !op.axes.is_empty())?;
    let mut axes = op.axes.clone();
    axes.sort_unstable();
    Ok((node.operand(0).or_no()?, axes))
}

fn find(p: &mut Pattern<'_, '_>) -> Matched<(ValueId, Vec<i64>)> {
    let y = p.site.n().result(0).or_no()?;
    only(p.site.ty(y).dtype().is_some_and(crate::dtype::DType::is_float))?;
    let (e, (sum, axes)) = p.or(
        |p| {
            let (e, s) = p.binary(y, OpKind::Div)?;
            Ok((e, reduction(p, s, ReduceKind::Sum)?))
        },
        |p| {
            let both = p.binary(y, OpKind::Mul)?;
            p.either(both, |p, e, r| {
                let s = p.or(
                    |p| p.unary(r, OpKind::Reciprocal),
                    |p| {
                        let (one, s) = p.binary(r, OpKind::Div)?;
                        only(p.site.is_scalar(one, 1.0))?;
                        Ok(s)
                    },
                )?;
                Ok((e, reduction(p, s, ReduceKind::Sum)?))
            })
        },
    )?;
    only(p.same(e, sum))?;
    let t = p.unary(e, OpKind::Exp)?;
    let shifted = p.or(
        |p| {
            let (x, m) = p.binary(t, OpKind::Sub)?;
            let (of, max_axes) = reduction(p, m, ReduceKind::Max)?;
            only(p.same(of, x) && max_axes == axes)?;
            Ok(x)
        },
        |_| because("no maximum is subtracted"),
    )?;
    p.closed()?;
    Ok((p.site.unbroadcast(shifted), axes))
}
