//! Rules of the activation family.

use airconv_ir::op::{GeluKind, Op, OpKind};

use super::cx::{Cx, Refuse, float, number, other, tidy};
use super::elementwise::{floats, floats_in_steps};
use super::rules::Rule;
use crate::program::Arg;
use crate::program::calls::*;

pub(super) const RULES: &[(OpKind, Rule)] = &[
    (OpKind::Relu, relu),
    (OpKind::LeakyRelu, leaky_relu),
    (OpKind::Elu, elu),
    (OpKind::Sigmoid, sigmoid),
    (OpKind::HardSwish, |cx, _| floats(cx, &HARD_SWISH)),
    (OpKind::HardSigmoid, hard_sigmoid),
    (OpKind::Gelu, gelu),
    (OpKind::Swish, swish),
];

/// candle gives 0 for what is not a number.
fn relu<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    number(cx.ty(0)?.dtype, "relu")?;
    let x = cx.x(0)?;
    cx.done(&RELU, vec![x.into()])?;
    cx.mark_positive();
    Ok(())
}

fn leaky_relu<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::LeakyRelu(a) = op else { return other() };
    let dtype = cx.ty(0)?.dtype;
    float(dtype, "leaky relu")?;
    let x = cx.x(0)?;
    cx.done(&LEAKY_RELU, vec![x.into(), Arg::Float(tidy(dtype, a.alpha.0))])
}

fn elu<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Elu(a) = op else { return other() };
    let dtype = cx.ty(0)?.dtype;
    float(dtype, "elu")?;
    let x = cx.x(0)?;
    cx.done(&ELU, vec![x.into(), Arg::Float(tidy(dtype, a.alpha.0))])
}

fn sigmoid<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    floats_in_steps(cx, &SIGMOID)?;
    cx.mark_positive();
    Ok(())
}

fn hard_sigmoid<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::HardSigmoid(a) = op else { return other() };
    let dtype = cx.ty(0)?.dtype;
    float(dtype, "hard sigmoid")?;
    let x = cx.x(0)?;
    let shape = cx.shape(x);
    let (alpha, beta) = (tidy(dtype, a.alpha.0), tidy(dtype, a.beta.0));
    let args = vec![x.into(), Arg::Float(alpha), Arg::Float(beta)];
    let line = cx.temp(&AFFINE, args, dtype, &shape);
    cx.done(&CLAMP, vec![line.into(), Arg::Float(0.0), Arg::Float(1.0)])?;
    cx.mark_positive();
    Ok(())
}

fn gelu<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Gelu(g) = op else { return other() };
    match g.approximate {
        GeluKind::Exact => floats_in_steps(cx, &GELU_ERF),
        GeluKind::Tanh => floats_in_steps(cx, &GELU),
    }
}

fn swish<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Swish(s) = op else { return other() };
    if s.alpha.0 != 1.0 {
        return Refuse::because("candle has no swish with a slope");
    }
    floats_in_steps(cx, &SILU)
}
