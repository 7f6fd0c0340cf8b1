//! Rules of the elementwise family.

use airconv_ir::array::{RoundMode, Rounder};
use airconv_ir::dtype::{DType, FloatKind};
use airconv_ir::module::Node;
use airconv_ir::op::{Cast, CastRounding, IntRounding, NanRule, Op, OpKind};

use super::cx::{Cx, Refuse, float, number, other};
use super::linear::magnitude;
use super::rules::Rule;
use crate::program::calls::*;
use crate::program::dtype::{held, is_float, is_own, is_small_float};
use crate::program::{Arg, Func, Var};

pub(super) const RULES: &[(OpKind, Rule)] = &[
    (OpKind::Add, super::linear::add),
    (OpKind::Sub, sub),
    (OpKind::Mul, mul),
    (OpKind::Div, div),
    (OpKind::Rem, rem),
    (OpKind::Pow, pow),
    (OpKind::Max, max),
    (OpKind::Min, min),
    (OpKind::Neg, neg),
    (OpKind::Abs, |cx, _| real(cx, &ABS)),
    (OpKind::Sign, |cx, _| real(cx, &SIGN)),
    (OpKind::Floor, |cx, _| floats(cx, &FLOOR)),
    (OpKind::Ceil, |cx, _| floats(cx, &CEIL)),
    (OpKind::Round, |cx, _| floats(cx, &ROUND_TIES_EVEN)),
    (OpKind::Sqrt, sqrt),
    (OpKind::Reciprocal, |cx, _| floats(cx, &RECIP)),
    (OpKind::Exp, exp),
    (OpKind::Log, |cx, _| floats(cx, &LOG)),
    (OpKind::Sin, |cx, _| floats(cx, &SIN)),
    (OpKind::Cos, |cx, _| floats(cx, &COS)),
    (OpKind::Tan, |cx, _| floats(cx, &TAN)),
    (OpKind::Asin, |cx, _| floats(cx, &ASIN)),
    (OpKind::Acos, |cx, _| floats(cx, &ACOS)),
    (OpKind::Atan, |cx, _| floats(cx, &ATAN)),
    (OpKind::Sinh, |cx, _| floats(cx, &SINH)),
    (OpKind::Cosh, |cx, _| floats(cx, &COSH)),
    (OpKind::Tanh, |cx, _| floats(cx, &TANH)),
    (OpKind::Asinh, |cx, _| floats(cx, &ASINH)),
    (OpKind::Acosh, |cx, _| floats(cx, &ACOSH)),
    (OpKind::Atanh, |cx, _| floats(cx, &ATANH)),
    (OpKind::Erf, |cx, _| floats(cx, &ERF)),
    (OpKind::Not, not),
    (OpKind::And, |cx, _| truths(cx, &MINIMUM)),
    (OpKind::Or, |cx, _| truths(cx, &MAXIMUM)),
    (OpKind::Xor, |cx, _| truths(cx, &NE)),
    (OpKind::BitNot, |cx, _| real(cx, &BIT_NOT)),
    (OpKind::BitAnd, |cx, _| bits(cx, &BIT_AND)),
    (OpKind::BitOr, |cx, _| bits(cx, &BIT_OR)),
    (OpKind::BitXor, |cx, _| bits(cx, &BIT_XOR)),
    (OpKind::ShiftLeft, |cx, _| shift(cx, &SHIFT_LEFT)),
    (OpKind::ShiftRight, |cx, _| shift(cx, &SHIFT_RIGHT)),
    (OpKind::Equal, equal),
    (OpKind::Less, |cx, _| compare(cx, &LT, Some(&LT_SCALAR))),
    (OpKind::LessOrEqual, |cx, _| compare(cx, &LE, Some(&LE_SCALAR))),
    (OpKind::Greater, |cx, _| compare(cx, &GT, Some(&GT_SCALAR))),
    (OpKind::GreaterOrEqual, |cx, _| compare(cx, &GE, Some(&GE_SCALAR))),
    (OpKind::IsNan, |cx, _| floats(cx, &IS_NAN)),
    (OpKind::Select, select),
    (OpKind::Cast, cast),
    (OpKind::Identity, |cx, _| {
        let x = cx.x(0)?;
        cx.same(x)
    }),
    (OpKind::Clip, clip),
];

/// A function of floats.
pub(super) fn floats(cx: &mut Cx<'_, '_>, func: &'static Func) -> Result<(), Refuse> {
    float(cx.ty(0)?.dtype, cx.node.op.name())?;
    let x = cx.x(0)?;
    cx.done(func, vec![x.into()])
}

/// A function of floats and integers.
fn real(cx: &mut Cx<'_, '_>, func: &'static Func) -> Result<(), Refuse> {
    number(cx.ty(0)?.dtype, cx.node.op.name())?;
    let x = cx.x(0)?;
    cx.done(func, vec![x.into()])
}

/// The operands as numbers where one is a number and the other has the result's shape: which
/// slot is the tensor, and the number.
pub(super) fn with_scalar(cx: &mut Cx<'_, '_>) -> Result<Option<(usize, Var, f64)>, Refuse> {
    let shape = cx.result_ty(0)?.shape;
    for (slot, constant) in [(0, 1), (1, 0)] {
        if let Some(value) = cx.scalar(constant) {
            let x = cx.bare(slot)?;
            if cx.info(x).shape == shape[..] && !cx.is_weight(x) {
                return Ok(Some((slot, x, value)));
            }
        }
    }
    Ok(None)
}

/// A binary function: plain for equal shapes, else broadcasting.
pub(super) fn binary(
    cx: &mut Cx<'_, '_>,
    plain: &'static Func,
    broadcast: &'static Func,
) -> Result<(), Refuse> {
    let dtype = cx.ty(0)?.dtype;
    number(dtype, cx.node.op.name())?;
    let (vars, same) = cx.broadcast_operands()?;
    let func = match wrapping(cx, dtype) {
        Some(func) => func,
        None if same => plain,
        None => broadcast,
    };
    cx.done(func, vars.into_iter().map(Arg::from).collect())
}

/// The function to be called where the result may exceed the integers of its dtype: candle's own
/// arithmetic of integers fails then in programs that check for it.
fn wrapping(cx: &Cx<'_, '_>, dtype: DType) -> Option<&'static Func> {
    let (low, high) = dtype.int_range().filter(|_| dtype != DType::I64)?;
    let [a, b] = [0, 1].map(|slot| cx.value(slot).and_then(|v| magnitude(cx, v, 0)));
    let (func, most) = match &cx.node.op {
        Op::Add(_) => (&WRAPPING_ADD, a.zip(b).map(|(a, b)| a + b)),
        Op::Sub(_) => (&WRAPPING_SUB, a.zip(b).map(|(a, b)| a + b)),
        Op::Mul(_) => (&WRAPPING_MUL, a.zip(b).map(|(a, b)| a * b)),
        _ => return None,
    };
    let negative = (low as f64) < 0.0 || !matches!(cx.node.op, Op::Sub(_));
    let fits = negative && most.is_some_and(|most| most <= high as f64);
    (!fits).then_some(func)
}

/// A function of floats that candle computes in several steps.
pub(super) fn floats_in_steps(cx: &mut Cx<'_, '_>, func: &'static Func) -> Result<(), Refuse> {
    float(cx.ty(0)?.dtype, cx.node.op.name())?;
    let x = cx.x(0)?;
    cx.done_wide(func, x, Vec::new())
}

fn sub<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    if is_float(cx.ty(0)?.dtype)
        && let Some((slot, x, value)) = with_scalar(cx)?
    {
        if slot == 0 {
            return cx.done(&SUB_SCALAR, vec![x.into(), Arg::Float(value)]);
        }
        return cx.done(&AFFINE, vec![x.into(), Arg::Float(-1.0), Arg::Float(value)]);
    }
    binary(cx, &SUB, &BROADCAST_SUB)
}

fn mul<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    if is_float(cx.ty(0)?.dtype)
        && let Some((_, x, value)) = with_scalar(cx)?
    {
        return cx.done(&MUL_SCALAR, vec![x.into(), Arg::Float(value)]);
    }
    if cx.value(0) == cx.value(1) && is_float(cx.ty(0)?.dtype) {
        let x = cx.x(0)?;
        return cx.done(&SQR, vec![x.into()]);
    }
    binary(cx, &MUL, &BROADCAST_MUL)
}

fn div<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Div(d) = op else { return other() };
    let dtype = cx.ty(0)?.dtype;
    number(dtype, "division")?;
    if !is_float(dtype) {
        let (vars, _) = cx.broadcast_operands()?;
        let mut args: Vec<Arg> = vars.into_iter().map(Arg::from).collect();
        args.push(Arg::Bool(d.rounding == IntRounding::Floor));
        return cx.done(&INT_DIV, args);
    }
    if let Some((0, x, value)) = with_scalar(cx)?
        && has_reciprocal(dtype, value)
        && !cx.is_rounded()
    {
        // candle multiplies by the reciprocal.
        return cx.done(&DIV_SCALAR, vec![x.into(), Arg::Float(value)]);
    }
    binary(cx, &DIV, &BROADCAST_DIV)
}

/// Whether the reciprocal of a number is neither too great nor too small for full precision in a
/// dtype.
fn has_reciprocal(dtype: DType, value: f64) -> bool {
    let size = value.recip().abs();
    dtype.float_format().is_some_and(|format| {
        let least = f64::from(format.min_exp()).exp2();
        size >= least && size <= format.max_finite()
    })
}

fn rem<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Rem(r) = op else { return other() };
    number(cx.ty(0)?.dtype, "remainder")?;
    let (vars, _) = cx.broadcast_operands()?;
    let mut args: Vec<Arg> = vars.into_iter().map(Arg::from).collect();
    args.push(Arg::Bool(r.rounding == IntRounding::Floor));
    cx.done(&REM, args)
}

fn pow<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    let dtype = cx.ty(0)?.dtype;
    float(dtype, "power")?;
    let x = cx.bare(0)?;
    let whole = cx.info(x).shape == cx.result_ty(0)?.shape[..];
    match cx.scalar(1) {
        Some(2.0) if whole => cx.done(&SQR, vec![x.into()]),
        Some(0.5) if whole => cx.done(&SQRT, vec![x.into()]),
        Some(e) if whole => cx.done(&POWF, vec![x.into(), Arg::Float(e)]),
        _ => {
            let (vars, _) = cx.broadcast_operands()?;
            cx.done(&POW, vars.into_iter().map(Arg::from).collect())
        }
    }
}

fn max<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Max(m) = op else { return other() };
    limit(cx, m.nan, &MAXIMUM, &MAXIMUM_SCALAR)
}

fn min<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Min(m) = op else { return other() };
    limit(cx, m.nan, &MINIMUM, &MINIMUM_SCALAR)
}

/// The greater or lesser of two. candle gives the first operand where one of them is NaN.
fn limit(
    cx: &mut Cx<'_, '_>,
    nan: NanRule,
    func: &'static Func,
    scalar: &'static Func,
) -> Result<(), Refuse> {
    let dtype = cx.ty(0)?.dtype;
    if held(dtype).is_none() {
        return Refuse::because(format!("candle has no {dtype}"));
    }
    if is_float(dtype) && nan == NanRule::Number {
        return limit_of_numbers(cx, func);
    }
    if is_float(dtype)
        && let Some((_, x, value)) = with_scalar(cx)?
    {
        return cx.done(scalar, vec![x.into(), Arg::Float(value)]);
    }
    let (vars, _) = cx.broadcast_operands()?;
    cx.done(func, vars.into_iter().map(Arg::from).collect())
}

/// The greater or lesser of two; where the first one is NaN, the second one.
fn limit_of_numbers(cx: &mut Cx<'_, '_>, func: &'static Func) -> Result<(), Refuse> {
    let (vars, _) = cx.broadcast_operands()?;
    let [a, b] = vars[..] else { return other() };
    let (dtype, shape) = (cx.info(a).dtype, cx.result_ty(0)?.shape);
    let of_both = cx.temp(func, vec![a.into(), b.into()], dtype, &shape);
    let a_shape = cx.shape(a);
    let none = cx.temp(&IS_NAN, vec![a.into()], DType::Bool, &a_shape);
    cx.done(&WHERE_BROADCAST, vec![none.into(), b.into(), of_both.into()])
}

fn clip<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    let dtype = cx.ty(0)?.dtype;
    float(dtype, "clamp")?;
    let x = cx.x(0)?;
    let side = |cx: &Cx<'_, '_>, slot: usize| match (cx.value(slot), cx.scalar(slot)) {
        (None, _) => Ok(None),
        (Some(_), Some(v)) => Ok(Some(v)),
        (Some(_), None) => Refuse::because("its bounds are computed"),
    };
    match (side(cx, 1)?, side(cx, 2)?) {
        (Some(low), Some(high)) => {
            cx.done(&CLAMP, vec![x.into(), Arg::Float(low), Arg::Float(high)])?;
            if low >= 0.0 && high >= 0.0 {
                cx.mark_positive();
            }
            Ok(())
        }
        (Some(low), None) => cx.done(&MAXIMUM_SCALAR, vec![x.into(), Arg::Float(low)]),
        (None, Some(high)) => cx.done(&MINIMUM_SCALAR, vec![x.into(), Arg::Float(high)]),
        (None, None) => cx.same(x),
    }
}

fn neg<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    let dtype = cx.ty(0)?.dtype;
    number(dtype, "negation")?;
    let x = cx.x(0)?;
    let func = match dtype {
        _ if is_float(dtype) => &NEG,
        _ if dtype.is_unsigned_int() => &WRAPPING_NEG,
        _ => &INT_NEG,
    };
    cx.done(func, vec![x.into()])
}

fn sqrt<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    floats(cx, &SQRT)?;
    cx.mark_positive();
    Ok(())
}

fn exp<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    floats(cx, &EXP)?;
    cx.mark_positive();
    Ok(())
}

fn not<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    let x = cx.x(0)?;
    cx.done(&NOT, vec![x.into()])
}

fn truths(cx: &mut Cx<'_, '_>, func: &'static Func) -> Result<(), Refuse> {
    let (vars, _) = cx.broadcast_operands()?;
    cx.done(func, vars.into_iter().map(Arg::from).collect())
}

fn bits(cx: &mut Cx<'_, '_>, func: &'static Func) -> Result<(), Refuse> {
    number(cx.ty(0)?.dtype, "bits")?;
    let (vars, _) = cx.broadcast_operands()?;
    cx.done(func, vars.into_iter().map(Arg::from).collect())
}

fn shift(cx: &mut Cx<'_, '_>, func: &'static Func) -> Result<(), Refuse> {
    let dtype = cx.ty(0)?.dtype;
    number(dtype, "shift")?;
    let (vars, _) = cx.broadcast_operands()?;
    let mut args: Vec<Arg> = vars.into_iter().map(Arg::from).collect();
    args.push(Arg::Int(i64::from(dtype.bits())));
    cx.done(func, args)
}

fn equal<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    let dtype = cx.ty(0)?.dtype;
    if is_float(dtype)
        && let Some((_, x, value)) = with_scalar(cx)?
    {
        return cx.done(&EQ_SCALAR, vec![x.into(), Arg::Float(value)]);
    }
    compare(cx, &EQ, None)
}

fn compare(
    cx: &mut Cx<'_, '_>,
    func: &'static Func,
    scalar: Option<&'static Func>,
) -> Result<(), Refuse> {
    let dtype = cx.ty(0)?.dtype;
    if held(dtype).is_none() {
        return Refuse::because(format!("candle has no {dtype}"));
    }
    if let Some(scalar) = scalar
        && is_float(dtype)
        && let Some((0, x, value)) = with_scalar(cx)?
    {
        return cx.done(scalar, vec![x.into(), Arg::Float(value)]);
    }
    // Integers against a number that both candle and the hub have.
    if scalar.is_none()
        && let (Some(value), Ok(x)) = (cx.int_scalar(1), cx.bare(0))
        && cx.info(x).shape == cx.result_ty(0)?.shape[..]
        && !cx.is_weight(x)
        && dtype != DType::Bool
    {
        return cx.done(&EQ_INT, vec![x.into(), Arg::Int(value)]);
    }
    let (vars, _) = cx.broadcast_operands()?;
    cx.done(func, vars.into_iter().map(Arg::from).collect())
}

fn select<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    let (vars, same) = cx.broadcast_operands()?;
    let func = if same { &WHERE } else { &WHERE_BROADCAST };
    cx.done(func, vars.into_iter().map(Arg::from).collect())
}

/// Whether the operand is the result of a limit to integers of a dtype, as in quantisation.
fn is_limited(cx: &Cx<'_, '_>, to: DType) -> bool {
    let Some((low, high)) = to.int_range() else { return false };
    let fits = |bound: f64| low as f64 <= bound && bound <= high as f64;
    let limited = |n: &Node| n.inputs().any(|v| cx.number_of(v).is_some_and(fits));
    match cx.value(0).and_then(|v| cx.l.def(v)) {
        Some(node @ Node { op: Op::Clip(_), .. }) => [1, 2]
            .iter()
            .all(|&slot| node.operand(slot).and_then(|v| cx.number_of(v)).is_some_and(fits)),
        // The lesser of a number and the greater of another one.
        Some(node @ Node { op: Op::Min(_), .. }) if limited(node) => node
            .inputs()
            .filter_map(|v| cx.l.def(v))
            .any(|inner| matches!(inner.op, Op::Max(_)) && limited(inner)),
        _ => false,
    }
}

/// Whether all values of one dtype are integers of another one.
fn is_within(from: DType, to: DType) -> bool {
    let range = |d: DType| if d == DType::Bool { Some((0, 1)) } else { d.int_range() };
    match (range(from), range(to)) {
        (Some((a, b)), Some((low, high))) => low <= a && b <= high,
        _ => false,
    }
}

/// To a float of at most 8 bits, which is held in `f32`: rounded to a value that it has.
fn to_small_float(cx: &mut Cx<'_, '_>, c: &Cast, x: Var) -> Result<(), Refuse> {
    let (Some(format), shape) = (c.to.float_format(), cx.shape(x)) else { return other() };
    let mode = match c.rounding {
        CastRounding::Up => RoundMode::Up,
        CastRounding::Down => RoundMode::Down,
        CastRounding::Nearest => RoundMode::Nearest,
    };
    let Some(rounder) = Rounder::new(c.to, c.saturate, mode) else { return other() };
    let x = if cx.info(x).dtype == DType::F64 { x } else { cx.as_dtype(x, DType::F32) };
    let rounded = if format.kind == FloatKind::PowerOfTwo {
        // The part of a step from one power to the next from which on it goes up.
        let up = match mode {
            RoundMode::Up => 0.0,
            RoundMode::Nearest => 0.5,
            RoundMode::Down => 1.0,
        };
        let args = vec![x.into(), Arg::Float(up), Arg::Bool(c.saturate)];
        cx.temp(&ROUND_TO_POWER, args, cx.info(x).dtype, &shape)
    } else {
        let most = format.max_finite();
        let args = vec![
            x.into(),
            Arg::Int(format.man_bits.into()),
            Arg::Int(format.min_exp().into()),
            Arg::Float(most),
            Arg::Float(rounder.round(f64::INFINITY).into()),
            Arg::Float(rounder.round(f64::NAN).into()),
        ];
        cx.temp(&ROUND_FLOAT, args, cx.info(x).dtype, &shape)
    };
    cx.done(&TO_DTYPE, vec![rounded.into(), Arg::DType(c.to)])
}

fn cast<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Cast(c) = op else { return other() };
    let from = cx.ty(0)?.dtype;
    let x = cx.x(0)?;
    let (Some(a), Some(b)) = (held(from), held(c.to)) else {
        return Refuse::because(format!("candle has no {from} or no {}", c.to));
    };
    if c.to == DType::Bool {
        if from == DType::Bool {
            return cx.same(x);
        }
        return cx.done(&NONZERO_MASK, vec![x.into()]);
    }
    if is_small_float(c.to) && from != c.to {
        return to_small_float(cx, c, x);
    }
    if !is_own(c.to) && from != c.to && !is_within(from, c.to) && !is_limited(cx, c.to) {
        // It is held in a wider dtype: numbers out of its range would stay what they are.
        return Refuse::because(format!("candle has no {} that wraps", c.to));
    }
    if a == b {
        return cx.same(x);
    }
    let narrow = matches!(c.to, DType::U8 | DType::I16);
    if is_float(from) && narrow && !is_limited(cx, c.to) {
        // A float goes to narrow integers by its low bits, which candle limits instead.
        return cx.done(&LOW_BITS, vec![x.into(), Arg::DType(c.to)]);
    }
    // A shape is given last, where what follows may undo it.
    if let Some(inner) = cx.reshape_of(x)
        && cx.value(0).is_some_and(|v| cx.used_once(v))
    {
        let shape = cx.shape(inner);
        let cast = cx.temp(&TO_DTYPE, vec![inner.into(), Arg::DType(c.to)], c.to, &shape);
        let result = Arg::Shape(cx.result_ty(0)?.shape.to_vec());
        return cx.done(&RESHAPE, vec![cast.into(), result]);
    }
    cx.done(&TO_DTYPE, vec![x.into(), Arg::DType(c.to)])
}
