//! Element by element.

use airconv_ir::attr::Float;
use airconv_ir::dtype::{Class, DType};
use airconv_ir::entity::ValueId;
use airconv_ir::op::*;

use super::super::build::{Call, Cx, R};
use super::super::explain::Number;
use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule("abs", |cx, c| unary(cx, c, Abs {})),
    rule("add", |cx, c| binary(cx, c, Add {})),
    rule("affine", affine),
    rule("ceil", |cx, c| unary(cx, c, Ceil {})),
    rule("cos", |cx, c| unary(cx, c, Cos {})),
    rule("div", |cx, c| binary(cx, c, Div { rounding: IntRounding::Trunc })),
    rule("elu", elu),
    rule("eq", |cx, c| compare(cx, c, Equal {}, false)),
    rule("erf", |cx, c| unary(cx, c, Erf {})),
    rule("exp", |cx, c| unary(cx, c, Exp {})),
    rule("floor", |cx, c| unary(cx, c, Floor {})),
    rule("ge", |cx, c| swapped(cx, c, LessOrEqual {})),
    rule("gelu", |cx, c| unary(cx, c, Gelu { approximate: GeluKind::Tanh })),
    rule("gelu_erf", |cx, c| unary(cx, c, Gelu { approximate: GeluKind::Exact })),
    rule("gt", |cx, c| swapped(cx, c, Less {})),
    rule("le", |cx, c| compare(cx, c, LessOrEqual {}, false)),
    rule("log", |cx, c| unary(cx, c, Log {})),
    rule("lt", |cx, c| compare(cx, c, Less {}, false)),
    rule("maximum", |cx, c| binary(cx, c, Max { nan: NanRule::Propagate })),
    rule("minimum", |cx, c| binary(cx, c, Min { nan: NanRule::Propagate })),
    rule("mul", |cx, c| binary(cx, c, Mul {})),
    rule("ne", |cx, c| compare(cx, c, Equal {}, true)),
    rule("neg", |cx, c| unary(cx, c, Neg {})),
    rule("powf", powf),
    rule("recip", |cx, c| unary(cx, c, Reciprocal {})),
    rule("relu", |cx, c| unary(cx, c, Relu {})),
    rule("round", round),
    rule("sign", |cx, c| unary(cx, c, Sign {})),
    rule("silu", |cx, c| unary(cx, c, Swish { alpha: Float(1.0) })),
    rule("sin", |cx, c| unary(cx, c, Sin {})),
    rule("sqr", sqr),
    rule("sqrt", |cx, c| unary(cx, c, Sqrt {})),
    rule("sub", |cx, c| binary(cx, c, Sub {})),
    rule("tanh", |cx, c| unary(cx, c, Tanh {})),
    rule("to_dtype", to_dtype),
    rule("where_cond", where_cond),
];

fn unary(cx: &mut Cx<'_>, call: &Call<'_>, op: impl Into<Op>) -> R<ValueId> {
    let x = call.operand(0)?;
    Ok(cx.b().emit(op, &[x])?)
}

fn binary(cx: &mut Cx<'_>, call: &Call<'_>, op: impl Into<Op>) -> R<ValueId> {
    let (a, b) = (call.operand(0)?, call.operand(1)?);
    Ok(cx.b().broadcasting(op, &[a, b])?)
}

/// A comparison, whose result candle holds as `u8`.
fn compare(cx: &mut Cx<'_>, call: &Call<'_>, op: impl Into<Op>, not: bool) -> R<ValueId> {
    let mut truth = binary(cx, call, op)?;
    if not {
        truth = cx.b().not(truth)?;
    }
    cx.hold_truth(truth)
}

/// A comparison with its sides swapped, which keeps that NaN compares false.
fn swapped(cx: &mut Cx<'_>, call: &Call<'_>, op: impl Into<Op>) -> R<ValueId> {
    let (a, b) = (call.operand(0)?, call.operand(1)?);
    let truth = cx.b().broadcasting(op, &[b, a])?;
    cx.hold_truth(truth)
}

/// `x * mul + add`, both numbers rounded to the type of `x`.
fn affine(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let mut x = call.operand(0)?;
    let dtype = cx.dtype(x)?;
    match call.number(cx, 0)? {
        Number::Known(1.0) => {}
        Number::Known(-1.0) if dtype.class() == Class::Float => x = cx.b().neg(x)?,
        // Dividing rounds once where dividing one and multiplying rounds twice; candle does the
        // latter, and what comes of it is the same to the last digit or so.
        Number::Inverse(size) => {
            let size = cx.number(&Number::Size(size), dtype)?;
            x = cx.b().div(x, size)?;
        }
        mul => {
            let mul = cx.number(&mul, dtype)?;
            x = cx.b().mul(x, mul)?;
        }
    }
    match call.number(cx, 1)? {
        Number::Known(0.0) => Ok(x),
        add => {
            let add = cx.number(&add, dtype)?;
            Ok(cx.b().add(x, add)?)
        }
    }
}

fn elu(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let alpha = Float(call.float(cx, 0)?);
    unary(cx, call, Elu { alpha })
}

fn sqr(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let x = call.operand(0)?;
    Ok(cx.b().mul(x, x)?)
}

fn powf(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let x = call.operand(0)?;
    let dtype = cx.dtype(x)?;
    let exponent = call.number(cx, 0)?;
    let exponent = cx.number(&exponent, dtype)?;
    Ok(cx.b().pow(x, exponent)?)
}

/// To the nearest integer, halves away from zero.
fn round(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let x = call.operand(0)?;
    let mut b = cx.b();
    let size = b.abs(x)?;
    let down = b.floor(size)?;
    let rest = b.sub(size, down)?;
    let half = b.scalar_like(x, 0.5)?;
    let up = b.less_or_equal(half, rest)?;
    let one = b.add_const(down, 1.0)?;
    let rounded = b.select(up, one, down)?;
    let sign = b.sign(x)?;
    Ok(b.mul(rounded, sign)?)
}

fn to_dtype(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let x = call.operand(0)?;
    let from = cx.known_truth(x).unwrap_or(x);
    let to: DType = call.node.dtype;
    let from = match to {
        DType::U8 | DType::I16 if cx.dtype(from)?.is_float() => limited(cx, from, to)?,
        _ => from,
    };
    Ok(cx.b().cast(from, to)?)
}

/// A float limited to the integers of a narrow dtype, as candle converts it.
fn limited(cx: &mut Cx<'_>, x: ValueId, to: DType) -> R<ValueId> {
    let Some((low, high)) = to.int_range() else { return Ok(x) };
    let mut b = cx.b();
    // Floats of few bits do not have the bounds.
    let wide = match b.tensor_ty(x)?.dtype {
        dtype if dtype.bits() < 32 => b.cast(x, DType::F32)?,
        _ => x,
    };
    let [low, high] = [low, high].map(|bound| b.scalar_like(wide, bound as f64));
    Ok(b.emit(Clip {}, &[wide, low?, high?])?)
}

fn where_cond(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let truth = cx.truth(call.operand(0)?)?;
    let (yes, no) = (call.operand(1)?, call.operand(2)?);
    Ok(cx.b().select(truth, yes, no)?)
}
