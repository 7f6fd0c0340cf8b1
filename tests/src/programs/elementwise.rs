//! Elementwise ops.

use airconv_ir::dtype::{Class, DType};
use airconv_ir::entity::ValueId;
use airconv_ir::op::*;

use super::maker::{Made, Maker, grain_of};
use super::{Done, Step};

pub(super) const STEPS: &[Step] = &[
    exact_unary,
    exact_unary,
    smooth,
    smooth,
    smooth,
    smooth,
    limited,
    limited,
    arithmetic,
    arithmetic,
    arithmetic,
    arithmetic,
    extreme,
    quotient,
    power,
    bits,
    bits,
    comparison,
    comparison,
    logic,
    select,
    select,
    cast,
    cast,
    activation,
    activation,
    clip,
    variadic,
    rounding,
];

fn is_int(dtype: DType) -> bool {
    matches!(dtype.class(), Class::Signed | Class::Unsigned)
}

/// Functions that give exact results of exact operands.
fn exact_unary(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| ty.dtype != DType::Bool) else { return Ok(None) };
    let op: Op = match m.rng.below(4) {
        0 if ty.dtype.class() != Class::Unsigned => Neg {}.into(),
        1 => Abs {}.into(),
        2 if x.grain == 0.0 => Sign {}.into(),
        _ => Identity {}.into(),
    };
    m.moved(op, &[x])
}

/// Rounding to whole numbers.
fn rounding(m: &mut Maker<'_>) -> Done {
    let Some((x, _)) = m.exact(|ty| ty.dtype.is_float()) else { return Ok(None) };
    let ops: [Op; 3] = [Floor {}.into(), Ceil {}.into(), Round {}.into()];
    let op = ops[m.rng.below(3)].clone();
    m.moved(op, &[x])
}

/// Functions that are smooth everywhere and grow slowly.
fn smooth(m: &mut Maker<'_>) -> Done {
    let Some((x, _)) = m.float() else { return Ok(None) };
    let ops: [Op; 7] = [
        Sin {}.into(),
        Cos {}.into(),
        Tanh {}.into(),
        Erf {}.into(),
        Atan {}.into(),
        Asinh {}.into(),
        Sigmoid {}.into(),
    ];
    let op = ops[m.rng.below(7)].clone();
    m.computed(op, &[x])
}

/// Functions with a domain or with growth, on operands brought into reach.
fn limited(m: &mut Maker<'_>) -> Done {
    let Some((x, _)) = m.float() else { return Ok(None) };
    let b = &mut m.b;
    let bounded = b.tanh(x.value)?;
    let positive = b.abs(x.value)?;
    let value = match m.rng.below(10) {
        0 => b.exp(bounded)?,
        1 => {
            let away = b.add_const(positive, 0.5)?;
            b.log(away)?
        }
        2 => {
            let away = b.add_const(positive, 0.25)?;
            b.sqrt(away)?
        }
        3 => b.emit(Tan {}, &[bounded])?,
        4 => b.emit(Sinh {}, &[bounded])?,
        5 => b.emit(Cosh {}, &[bounded])?,
        6 => {
            let away = b.add_const(positive, 1.25)?;
            b.emit(Acosh {}, &[away])?
        }
        k => {
            let inside = b.mul_const(bounded, 0.75)?;
            let ops: [Op; 3] = [Asin {}.into(), Acos {}.into(), Atanh {}.into()];
            b.emit(ops[k - 7].clone(), &[inside])?
        }
    };
    Ok(m.keep_rounded(value, &[x]))
}

/// Two operands, broadcast.
fn pair(m: &mut Maker<'_>, a: Made, b: Made, op: Op, moves: bool) -> Done {
    let value = m.b.broadcasting(op, &[a.value, b.value])?;
    Ok(if moves { m.keep_moved(value, &[a, b]) } else { m.keep_rounded(value, &[a, b]) })
}

fn arithmetic(m: &mut Maker<'_>) -> Done {
    let Some((a, _)) = m.pick(|ty, _| ty.dtype != DType::Bool) else { return Ok(None) };
    let Some(b) = m.partner(a, false)? else { return Ok(None) };
    let ops: [Op; 3] = [Add {}.into(), Sub {}.into(), Mul {}.into()];
    let op = ops[m.rng.below(3)].clone();
    pair(m, a, b, op, false)
}

fn extreme(m: &mut Maker<'_>) -> Done {
    let Some((a, _)) = m.pick(|ty, _| ty.dtype != DType::Bool) else { return Ok(None) };
    let Some(b) = m.partner(a, false)? else { return Ok(None) };
    let nan = if m.rng.one_in(3) { NanRule::Number } else { NanRule::Propagate };
    let op = if m.rng.one_in(2) { Max { nan }.into() } else { Min { nan }.into() };
    pair(m, a, b, op, true)
}

/// Quotients and remainders by what is not near zero.
fn quotient(m: &mut Maker<'_>) -> Done {
    let Some((a, ty)) = m.pick(|ty, _| ty.dtype != DType::Bool) else { return Ok(None) };
    let Some(b) = m.partner(a, false)? else { return Ok(None) };
    let rounding = if m.rng.one_in(2) { IntRounding::Trunc } else { IntRounding::Floor };
    if is_int(ty.dtype) {
        let one = m.b.scalar_int(ty.dtype, 1)?;
        let odd = m.b.broadcasting(BitOr {}, &[b.value, one])?;
        let op = if m.rng.one_in(2) { Div { rounding }.into() } else { Rem { rounding }.into() };
        return pair(m, a, Made { value: odd, ..b }, op, true);
    }
    let positive = m.b.abs(b.value)?;
    let away = m.b.add_const(positive, 1.0)?;
    pair(m, a, Made { value: away, ..b }, Div { rounding }.into(), false)
}

fn power(m: &mut Maker<'_>) -> Done {
    let Some((a, _)) = m.float() else { return Ok(None) };
    let Some(b) = m.partner(a, false)? else { return Ok(None) };
    let positive = m.b.abs(a.value)?;
    let base = m.b.add_const(positive, 0.5)?;
    let exponent = m.b.tanh(b.value)?;
    let value = m.b.pow(base, exponent)?;
    Ok(m.keep_rounded(value, &[a, b]))
}

fn bits(m: &mut Maker<'_>) -> Done {
    let Some((a, _)) = m.pick(|ty, _| is_int(ty.dtype)) else { return Ok(None) };
    let Some(b) = m.partner(a, false)? else { return Ok(None) };
    let op: Op = match m.rng.below(6) {
        0 => BitAnd {}.into(),
        1 => BitOr {}.into(),
        2 => BitXor {}.into(),
        3 => ShiftLeft {}.into(),
        4 => ShiftRight {}.into(),
        _ => return m.moved(BitNot {}, &[a]),
    };
    pair(m, a, b, op, true)
}

fn comparison(m: &mut Maker<'_>) -> Done {
    let Some((a, ty)) = m.exact(|_| true) else { return Ok(None) };
    let Some(b) = m.partner(a, true)? else { return Ok(None) };
    let op: Op = match m.rng.below(6) {
        0 => Equal {}.into(),
        _ if ty.dtype == DType::Bool => Xor {}.into(),
        1 => Less {}.into(),
        2 => LessOrEqual {}.into(),
        3 => Greater {}.into(),
        4 => GreaterOrEqual {}.into(),
        _ if ty.dtype.is_float() => return m.moved(IsNan {}, &[a]),
        _ => Less {}.into(),
    };
    pair(m, a, b, op, true)
}

fn logic(m: &mut Maker<'_>) -> Done {
    let Some((a, _)) = m.pick(|ty, _| ty.dtype == DType::Bool) else { return Ok(None) };
    let Some(b) = m.partner(a, false)? else { return Ok(None) };
    let op: Op = match m.rng.below(4) {
        0 => And {}.into(),
        1 => Or {}.into(),
        2 => Xor {}.into(),
        _ => return m.moved(Not {}, &[a]),
    };
    pair(m, a, b, op, true)
}

fn select(m: &mut Maker<'_>) -> Done {
    let Some((c, _)) = m.pick(|ty, _| ty.dtype == DType::Bool) else { return Ok(None) };
    let Some((a, _)) = m.pick(|_, _| true) else { return Ok(None) };
    let Some(b) = m.partner(a, false)? else { return Ok(None) };
    let value = m.b.select(c.value, a.value, b.value)?;
    Ok(m.keep_moved(value, &[a, b]))
}

/// Conversions, in range: floats to integers if their bits are certain.
fn cast(m: &mut Maker<'_>) -> Done {
    const TO: [DType; 14] = [
        DType::F32,
        DType::F64,
        DType::F16,
        DType::BF16,
        DType::I64,
        DType::I32,
        DType::I16,
        DType::I8,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::Bool,
        DType::F32,
    ];
    let to = TO[m.rng.below(TO.len())];
    let Some((x, ty)) = m.pick(|_, grain| to.is_float() || grain == 0.0) else { return Ok(None) };
    if ty.dtype.is_float() && !to.is_float() && to != DType::Bool {
        // Values out of range, and NaN, are for each executor's own tests.
        let (low, high) = (m.scalar(ty.dtype, 0.0)?, m.scalar(ty.dtype, 100.0)?);
        let below = m.b.broadcasting(Min { nan: NanRule::Number }, &[x.value, high])?;
        let within = m.b.broadcasting(Max { nan: NanRule::Number }, &[below, low])?;
        let value = m.b.cast(within, to)?;
        return Ok(m.keep(value, 0.0, to));
    }
    let here = m.as_here(to);
    let value = m.b.cast(x.value, here)?;
    let grain = if to.is_float() { grain_of(to).max(x.grain) } else { 0.0 };
    Ok(m.keep(value, grain, to))
}

fn activation(m: &mut Maker<'_>) -> Done {
    let Some((x, _)) = m.float() else { return Ok(None) };
    let number = |v: f64| airconv_ir::attr::Float(v);
    let op: Op = match m.rng.below(14) {
        0 => return m.moved(Relu {}, &[x]),
        1 => LeakyRelu { alpha: number(0.125) }.into(),
        2 => Elu { alpha: number(1.0) }.into(),
        3 => Celu { alpha: number(1.5) }.into(),
        4 => Selu { alpha: number(1.673), gamma: number(1.05) }.into(),
        5 => HardSigmoid { alpha: number(0.2), beta: number(0.5) }.into(),
        6 => HardSwish {}.into(),
        7 => Softplus {}.into(),
        8 => Softsign {}.into(),
        9 => Mish {}.into(),
        10 => Gelu { approximate: GeluKind::Exact }.into(),
        11 => Gelu { approximate: GeluKind::Tanh }.into(),
        12 => Swish { alpha: number(1.0) }.into(),
        _ => Reciprocal {}.into(),
    };
    if matches!(op, Op::Reciprocal(_)) {
        let positive = m.b.abs(x.value)?;
        let away = m.b.add_const(positive, 1.0)?;
        let value = m.b.emit(op, &[away])?;
        return Ok(m.keep_rounded(value, &[x]));
    }
    m.computed(op, &[x])
}

fn clip(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| ty.dtype != DType::Bool) else { return Ok(None) };
    let low: ValueId = m.scalar(ty.dtype, 0.0)?;
    let high = m.scalar(ty.dtype, 2.0)?;
    let (low, high) =
        [(Some(low), Some(high)), (None, Some(high)), (Some(low), None)][m.rng.below(3)];
    let value = m.b.emit_opt(Clip {}, &[Some(x.value), low, high])?;
    Ok(m.keep_moved(value, &[x]))
}

fn variadic(m: &mut Maker<'_>) -> Done {
    let Some((a, ty)) = m.float() else { return Ok(None) };
    let same = |other: &airconv_ir::types::TensorType, _: f64| *other == ty;
    let (Some((b, _)), Some((c, _))) = (m.pick(same), m.pick(same)) else { return Ok(None) };
    let ops: [Op; 4] = [
        VariadicSum {}.into(),
        VariadicMean {}.into(),
        VariadicMax {}.into(),
        VariadicMin {}.into(),
    ];
    let op = ops[m.rng.below(4)].clone();
    m.computed(op, &[a, b, c])
}
