//! Recognises sigmoid, swish, hard_sigmoid, hard_swish and mish that were written out.
//!
//! 1. `1 / (1 + exp(-x))` is `sigmoid(x)`.
//! 2. `x * sigmoid(a * x)` and `x / (1 + exp(-a * x))` are `swish(x)` with slope a.
//! 3. `clip(x + 3, 0, 6) / 6` is `hard_sigmoid(x)` with slope 1/6 and offset 1/2; the limits
//!    may be written with `min` and `max`.
//! 4. `x * clip(x + 3, 0, 6) / 6` and `x * hard_sigmoid(x)` with that slope and offset are
//!    `hard_swish(x)`.
//! 5. `x * tanh(softplus(x))` is `mish(x)`.
//!
//! Declined when an intermediate value has other uses.

use super::matcher::{Decline, Matched, OrNoMatch, Pattern, matching, only, stands_for};
use super::{Editor, Outcome, Pass, PassCx, Site};
use crate::attr::Float;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::{HardSigmoid, HardSwish, Mish, Op, OpKind, Sigmoid, Swish};

/// The pass.
pub struct RaiseSwish;

impl Pass for RaiseSwish {
    fn name(&self) -> &'static str {
        "raise_swish"
    }
    fn doc(&self) -> &'static str {
        "recognises sigmoid, swish, hard_swish and mish written out"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        Outcome::of(edit.sweep(self.name(), cx, &mut |site, cx| {
            visit(site, cx);
        }))
    }
}

fn visit(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    if !matches!(site.op(), Op::Mul(_) | Op::Div(_) | Op::Reciprocal(_)) {
        return false;
    }
    let Some(((op, x), from)) = matching(site, cx, find) else { return false };
    site.become_op(cx, "an activation written out", &from, op, &[Some(x)])
}

fn find(p: &mut Pattern<'_, '_>) -> Matched<(Op, ValueId)> {
    let y = p.site.n().result(0).or_no()?;
    let dtype = p.site.ty(y).dtype().or_no()?;
    only(dtype.is_float())?;
    let found = p.or(|p| quotient(p, y, dtype), |p| product(p, y, dtype))?;
    p.closed()?;
    Ok(found)
}

/// The value a * x of `1 + exp(-a * x)`, as x and a.
fn logistic(p: &mut Pattern<'_, '_>, v: ValueId, dtype: DType) -> Matched<(ValueId, f64)> {
    let (e, one) = p.with_scalar(v, OpKind::Add)?;
    only(stands_for(dtype, one, 1.0))?;
    let u = p.unary(e, OpKind::Exp)?;
    let (factors, number) = p.factors(u);
    match factors[..] {
        [x] => Ok((x, -number)),
        _ => Err(Decline::NoMatch),
    }
}

fn quotient(p: &mut Pattern<'_, '_>, y: ValueId, dtype: DType) -> Matched<(Op, ValueId)> {
    if matches!(p.site.op(), Op::Reciprocal(_)) {
        let v = p.site.operand(0).or_no()?;
        let (x, a) = logistic(p, v, dtype)?;
        only(stands_for(dtype, a, 1.0))?;
        return Ok((Sigmoid {}.into(), x));
    }
    let (top, below) = p.binary(y, OpKind::Div)?;
    let (x, a) = logistic(p, below, dtype)?;
    if p.site.is_scalar(top, 1.0) {
        only(stands_for(dtype, a, 1.0))?;
        return Ok((Sigmoid {}.into(), x));
    }
    only(p.same(top, x))?;
    Ok((swish(dtype, a), x))
}

fn swish(dtype: DType, a: f64) -> Op {
    let alpha = if stands_for(dtype, a, 1.0) { 1.0 } else { a };
    Swish { alpha: Float(alpha) }.into()
}

fn product(p: &mut Pattern<'_, '_>, y: ValueId, dtype: DType) -> Matched<(Op, ValueId)> {
    let (factors, number) = p.factors(y);
    match factors[..] {
        [clip] => {
            only(stands_for(dtype, number, 1.0 / 6.0))?;
            let x = relu6_of_shifted(p, clip)?;
            Ok((HardSigmoid { alpha: Float(1.0 / 6.0), beta: Float(0.5) }.into(), x))
        }
        [a, b] => p.either((a, b), |p, x, gate| gated(p, x, gate, number, dtype)),
        _ => Err(Decline::NoMatch),
    }
}

fn gated(
    p: &mut Pattern<'_, '_>,
    x: ValueId,
    gate: ValueId,
    number: f64,
    dtype: DType,
) -> Matched<(Op, ValueId)> {
    if stands_for(dtype, number, 1.0 / 6.0) {
        let inner = relu6_of_shifted(p, gate)?;
        only(p.same(inner, x))?;
        return Ok((HardSwish {}.into(), x));
    }
    only(stands_for(dtype, number, 1.0))?;
    let (_, node) = p.site.def(gate).or_no()?;
    match &node.op {
        Op::Sigmoid(_) => {
            let u = p.unary(gate, OpKind::Sigmoid)?;
            if p.same(u, x) {
                return Ok((swish(dtype, 1.0), x));
            }
            let (factors, a) = p.factors(u);
            only(factors == [x])?;
            Ok((swish(dtype, a), x))
        }
        Op::HardSigmoid(h) => {
            only(stands_for(dtype, h.alpha.0, 1.0 / 6.0) && h.beta.0 == 0.5)?;
            let u = p.unary(gate, OpKind::HardSigmoid)?;
            only(p.same(u, x))?;
            Ok((HardSwish {}.into(), x))
        }
        Op::Tanh(_) => {
            let u = p.unary(gate, OpKind::Tanh)?;
            let s = p.unary(u, OpKind::Softplus)?;
            only(p.same(s, x))?;
            Ok((Mish {}.into(), x))
        }
        _ => Err(Decline::NoMatch),
    }
}

/// The x of `clip(x + 3, 0, 6)`.
fn relu6_of_shifted(p: &mut Pattern<'_, '_>, v: ValueId) -> Matched<ValueId> {
    let inner = p.or(
        |p| {
            let node = p.find(v, OpKind::Clip)?;
            let limit = |slot: usize, number: f64| {
                node.operand(slot).is_some_and(|c| p.site.is_scalar(c, number))
            };
            only(limit(1, 0.0) && limit(2, 6.0))?;
            node.operand(0).or_no()
        },
        |p| {
            p.or(
                |p| {
                    let inner = limited(p, v, OpKind::Min, 6.0)?;
                    lower(p, inner)
                },
                |p| {
                    let inner = lower(p, v)?;
                    limited(p, inner, OpKind::Min, 6.0)
                },
            )
        },
    )?;
    let (x, three) = p.shifted(inner)?;
    only(three == 3.0)?;
    Ok(p.site.unbroadcast(x))
}

/// The x of `max(x, 0)` or `relu(x)`.
fn lower(p: &mut Pattern<'_, '_>, v: ValueId) -> Matched<ValueId> {
    p.or(|p| limited(p, v, OpKind::Max, 0.0), |p| p.unary(v, OpKind::Relu))
}

fn limited(p: &mut Pattern<'_, '_>, v: ValueId, kind: OpKind, limit: f64) -> Matched<ValueId> {
    let (x, c) = p.with_scalar(v, kind)?;
    only(c == limit)?;
    Ok(x)
}
