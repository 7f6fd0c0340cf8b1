//! Reading rules of elementwise arithmetic that is a short formula of hub ops.

use std::f64::consts::{LN_2, LN_10, PI};

use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    BitAnd, BitOr, Bitcast, IntRounding, Less, Max, Min, Mul, NanRule, OpKind, Pow, Rem, Select,
    ShiftLeft, ShiftRight, Sign,
};

use super::call::{CallCx, Stop};
use super::elementwise::{extreme_of, float_operand, truncated};
use super::formula::{Formula, number, value, when};
use super::promote::{Category, Number, Operand, result_type};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::addcdiv", &[OpKind::Add, OpKind::Mul, OpKind::Div], addcdiv),
    ImportRule::new("aten::addcmul", &[OpKind::Add, OpKind::Mul], addcmul),
    ImportRule::new("aten::atan2", &[OpKind::Atan, OpKind::Select], atan2),
    ImportRule::new("aten::bitwise_left_shift", &[OpKind::ShiftLeft], left_shift),
    ImportRule::new("aten::bitwise_right_shift", &[OpKind::ShiftRight], right_shift),
    ImportRule::new("aten::clamp_max", &[OpKind::Min], clamp_max),
    ImportRule::new("aten::clamp_min", &[OpKind::Max], clamp_min),
    ImportRule::new("aten::copysign", &[OpKind::Abs, OpKind::Select], copysign),
    ImportRule::new("aten::deg2rad", &[OpKind::Mul], deg2rad),
    ImportRule::new("aten::exp2", &[OpKind::Pow], exp2),
    ImportRule::new("aten::expm1", &[OpKind::Tanh, OpKind::Exp, OpKind::Mul], expm1),
    ImportRule::new("aten::float_power", &[OpKind::Pow], float_power),
    ImportRule::new("aten::fmax", &[OpKind::Max], fmax),
    ImportRule::new("aten::fmin", &[OpKind::Min], fmin),
    ImportRule::new("aten::fmod", &[OpKind::Rem], fmod),
    ImportRule::new("aten::frac", &[OpKind::Floor, OpKind::Ceil, OpKind::Sub], frac),
    ImportRule::of("aten::frexp", "Tensor", &[OpKind::Bitcast, OpKind::BitAnd], frexp),
    ImportRule::new("aten::heaviside", &[OpKind::Select], heaviside),
    ImportRule::new("aten::hypot", &[OpKind::Sqrt, OpKind::Mul], hypot),
    ImportRule::new("aten::ldexp", &[OpKind::Pow, OpKind::Mul], ldexp),
    ImportRule::new("aten::lerp", &[OpKind::Select, OpKind::Mul], lerp),
    ImportRule::new("aten::log10", &[OpKind::Log, OpKind::Div], log10),
    ImportRule::new("aten::log1p", &[OpKind::Log, OpKind::Select], log1p),
    ImportRule::new("aten::log2", &[OpKind::Log, OpKind::Div], log2),
    ImportRule::new("aten::logaddexp", &[OpKind::Max, OpKind::Log, OpKind::Exp], logaddexp),
    ImportRule::new("aten::logaddexp2", &[OpKind::Max, OpKind::Log, OpKind::Exp], logaddexp2),
    ImportRule::new("aten::nan_to_num", &[OpKind::IsNan, OpKind::Select], nan_to_num),
    ImportRule::new("aten::nextafter", &[OpKind::Bitcast, OpKind::Select], nextafter),
    ImportRule::new("aten::positive", &[], positive),
    ImportRule::new("aten::rad2deg", &[OpKind::Mul], rad2deg),
    ImportRule::of("aten::round", "decimals", &[OpKind::Round, OpKind::Mul], round_decimals),
    ImportRule::new("aten::sgn", &[OpKind::Sign], sgn),
    ImportRule::new("aten::sinc", &[OpKind::Sin, OpKind::Div], sinc),
    ImportRule::new("aten::square", &[OpKind::Mul], square),
    ImportRule::new("aten::trunc", &[OpKind::Floor, OpKind::Ceil, OpKind::Select], trunc),
    ImportRule::new("aten::xlogy", &[OpKind::Log, OpKind::Mul], xlogy),
    ImportRule::new("prims::cbrt", &[OpKind::Pow], cbrt),
];

/// A function of one float operand, computed in at least f32.
pub(super) fn float_function(cx: &mut CallCx<'_>, f: impl FnOnce(&Formula) -> Formula) -> Outcome {
    let x = float_operand(cx, "self")?;
    Ok(cx.computed(&[x], |v| f(&v[0]))?.into())
}

/// A function of one real operand, computed in f64.
pub(super) fn precise_function(
    cx: &mut CallCx<'_>,
    f: impl FnOnce(&Formula) -> Formula,
) -> Outcome {
    let x = float_operand(cx, if cx.has("self") { "self" } else { "x" })?;
    real_only(cx, x)?;
    Ok(cx.computed_in(DType::F64, &[x], |v| f(&v[0]))?.into())
}

/// Complex numbers are refused.
pub(super) fn real_only(cx: &CallCx<'_>, x: ValueId) -> Result<(), Stop> {
    match cx.category(x)? {
        Category::Complex => cx.unsupported("complex numbers"),
        _ => Ok(()),
    }
}

/// Two promoted floats, and a function of them computed in this dtype at least.
pub(super) fn float_pair(
    cx: &mut CallCx<'_>,
    names: [&str; 2],
    precise: bool,
    f: impl FnOnce(&Formula, &Formula) -> Formula,
) -> Outcome {
    let operands = cx.promoted_float(&names)?;
    real_only(cx, operands[0])?;
    let f = |v: &[Formula]| f(&v[0], &v[1]);
    Ok(match precise {
        true => cx.computed_in(DType::F64, &operands, f)?,
        false => cx.computed(&operands, f)?,
    }
    .into())
}

/// Whether the sign bit of a float is set, as a formula: zeros and NaN by their reciprocals.
pub(super) fn sign_bit(x: &Formula) -> Formula {
    when(&x.eq(0.0), x.inverse().lt(0.0), x.lt(0.0))
}

// One operand.

/// `exp2`: 2 to the power.
fn exp2(cx: &mut CallCx<'_>) -> Outcome {
    float_function(cx, |x| number(2.0).pow(x))
}

/// `expm1`: exp(x) - 1.
fn expm1(cx: &mut CallCx<'_>) -> Outcome {
    precise_function(cx, Formula::exp_m1)
}

/// `log1p`: log(1 + x).
fn log1p(cx: &mut CallCx<'_>) -> Outcome {
    precise_function(cx, Formula::log_1p)
}

/// `log2`.
fn log2(cx: &mut CallCx<'_>) -> Outcome {
    logarithm(cx, LN_2)
}

/// The natural logarithm over that of a base; complex numbers have one too.
fn logarithm(cx: &mut CallCx<'_>, base: f64) -> Outcome {
    let x = float_operand(cx, "self")?;
    match cx.category(x)? {
        Category::Complex => float_function(cx, |x| x.log() / base),
        _ => precise_function(cx, |x| x.log() / base),
    }
}

/// `log10`.
fn log10(cx: &mut CallCx<'_>) -> Outcome {
    logarithm(cx, LN_10)
}

/// The cube root.
fn cbrt(cx: &mut CallCx<'_>) -> Outcome {
    precise_function(cx, |x| x.sign() * x.abs().pow(1.0 / 3.0))
}

/// `square`: x to the power of 2, which makes integers of bools.
fn square(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let dtype = result_type(cx, &[Operand::Tensor(x), Operand::Number(Number::Int(2.into()))])?;
    let x = cx.cast(x, dtype)?;
    Ok(cx.emit(Mul {}, &[x, x])?.into())
}

/// `positive`: the operand itself.
fn positive(cx: &mut CallCx<'_>) -> Outcome {
    Ok(cx.tensor("self")?.into())
}

/// `trunc`: without the fraction.
fn trunc(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    match cx.category(x)? {
        Category::Float => Ok(truncated(cx, x)?.into()),
        _ => Ok(x.into()),
    }
}

/// `frac`: the fraction, with the sign of x.
fn frac(cx: &mut CallCx<'_>) -> Outcome {
    float_function(cx, |x| x - x.truncated())
}

/// `round` to so many decimals, ties to even.
fn round_decimals(cx: &mut CallCx<'_>) -> Outcome {
    let decimals = cx.int("decimals")?;
    let x = cx.tensor("self")?;
    if cx.category(x)? != Category::Float {
        return match decimals {
            0 => Ok(x.into()),
            _ => cx.unsupported("decimals of integers"),
        };
    }
    let Ok(decimals) = i32::try_from(decimals) else { return cx.invalid("too many decimals") };
    let scale = 10f64.powi(decimals.abs());
    float_function(cx, |x| match decimals {
        0 => x.round(),
        d if d > 0 => (x * scale).round() / scale,
        _ => (x / scale).round() * scale,
    })
}

/// `deg2rad`.
fn deg2rad(cx: &mut CallCx<'_>) -> Outcome {
    float_function(cx, |x| x * (PI / 180.0))
}

/// `rad2deg`.
fn rad2deg(cx: &mut CallCx<'_>) -> Outcome {
    float_function(cx, |x| x * (180.0 / PI))
}

/// `sgn`: the sign; of a complex number z / |z|.
fn sgn(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    match cx.category(x)? {
        Category::Bool => Ok(x.into()),
        Category::Int | Category::Float => Ok(cx.emit(Sign {}, &[x])?.into()),
        Category::Complex => super::complex::direction(cx, x),
    }
}

/// `sinc`: sin(pi x) / (pi x).
fn sinc(cx: &mut CallCx<'_>) -> Outcome {
    precise_function(cx, |x| {
        let angle = x * PI;
        let at_zero = x.eq(0.0);
        when(&at_zero, 1.0, angle.sin() / when(&at_zero, 1.0, &angle))
    })
}

/// `nan_to_num`: finite numbers in the place of NaN and the infinities.
fn nan_to_num(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let nan = cx.opt_float("nan")?.unwrap_or(0.0);
    let (high, low) = (cx.opt_float("posinf")?, cx.opt_float("neginf")?);
    match cx.category(x)? {
        Category::Bool | Category::Int => return Ok(x.into()),
        Category::Complex => return cx.unsupported("complex numbers"),
        Category::Float => {}
    }
    let dtype = cx.dtype(x)?;
    let greatest = greatest_float(dtype);
    let (high, low) = (high.unwrap_or(greatest), low.unwrap_or(-greatest));
    let f = value(x);
    let upper = when(&f.eq(f64::INFINITY), high, &f);
    let lower = when(&f.eq(f64::NEG_INFINITY), low, upper);
    Ok(cx.formula(&when(&f.is_nan(), nan, lower), dtype)?.into())
}

/// The greatest finite value of a float dtype.
pub(super) fn greatest_float(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 65504.0,
        DType::BF16 => f64::from(f32::from_bits(0x7f7f_0000)),
        DType::F64 => f64::MAX,
        _ => f64::from(f32::MAX),
    }
}

/// `frexp`: mantissa in [0.5, 1) and exponent, from the bits of the f64.
fn frexp(cx: &mut CallCx<'_>) -> Outcome {
    let x = float_operand(cx, "self")?;
    real_only(cx, x)?;
    let dtype = cx.dtype(x)?;
    let wide = cx.cast(x, DType::F64)?;
    // Subnormal numbers are raised first.
    let raised = 2f64.powi(54);
    let small = value(wide).abs().lt(f64::MIN_POSITIVE);
    let normal = when(&small, value(wide) * raised, value(wide));
    let normal = cx.formula(&normal, DType::F64)?;
    let bits = cx.emit(Bitcast { to: DType::I64 }, &[normal])?;
    let field = cx.b().scalar_int(DType::I64, 52)?;
    let field = cx.b().broadcast_like(field, bits)?;
    let shifted = cx.emit(ShiftRight {}, &[bits, field])?;
    let mask = cx.b().scalar_int(DType::I64, 0x7ff)?;
    let mask = cx.b().broadcast_like(mask, bits)?;
    let exponent = cx.emit(BitAnd {}, &[shifted, mask])?;
    let keep = cx.b().scalar_int(DType::I64, !(0x7ff << 52))?;
    let keep = cx.b().broadcast_like(keep, bits)?;
    let fraction = cx.emit(BitAnd {}, &[bits, keep])?;
    let half = cx.b().scalar_int(DType::I64, 1022 << 52)?;
    let half = cx.b().broadcast_like(half, bits)?;
    let mantissa = cx.emit(BitOr {}, &[fraction, half])?;
    let mantissa = cx.emit(Bitcast { to: DType::F64 }, &[mantissa])?;
    // Zero, infinities and NaN are their own mantissas.
    let plain = value(wide).eq(0.0).or(value(wide).is_infinite()).or(value(wide).is_nan());
    let mantissa = cx.formula(&when(&plain, value(wide), value(mantissa)), DType::F64)?;
    let mantissa = cx.cast(mantissa, dtype)?;
    let exponent = cx.cast(exponent, DType::F64)?;
    let exponent = value(exponent) - 1022.0 - when(&small, 54.0, 0.0);
    let exponent = cx.formula(&when(&plain, 0.0, exponent), DType::F64)?;
    let exponent = cx.cast(exponent, DType::I32)?;
    Ok([mantissa, exponent].into())
}

// Two operands.

/// `atan2`: the angle of the point (other, self).
fn atan2(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted_float(&["self", "other"])?;
    real_only(cx, operands[0])?;
    Ok(angle_of(cx, operands[0], operands[1])?.into())
}

/// The angle of the points (x, y).
pub(super) fn angle_of(cx: &mut CallCx<'_>, y: ValueId, x: ValueId) -> Result<ValueId, Stop> {
    let dtype = cx.dtype(y)?;
    let (y, x) = (cx.cast(y, DType::F64)?, cx.cast(x, DType::F64)?);
    let (fy, fx) = (value(y), value(x));
    let both = fy.is_infinite().and(fx.is_infinite());
    let zero = fy.eq(0.0);
    let ratio = when(&zero, 0.0, fy.abs() / when(&zero, 1.0, fx.abs()));
    let ratio = cx.formula(&when(&both, 1.0, ratio), DType::F64)?;
    let sharp = cx.emit(airconv_ir::op::Atan {}, &[ratio])?;
    let angle = when(&sign_bit(&fx), number(PI) - value(sharp), value(sharp));
    let signed = when(&sign_bit(&fy), -&angle, &angle);
    let nan = fy.is_nan().or(fx.is_nan());
    let angle = cx.formula(&when(&nan, f64::NAN, signed), DType::F64)?;
    cx.cast(angle, dtype)
}

/// `copysign`: the magnitude of self with the sign of other.
fn copysign(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted_float(&["self", "other"])?;
    let negative = sign_bit_of(cx, operands[1])?;
    let magnitude = cx.b().abs(operands[0])?;
    let minus = cx.b().neg(magnitude)?;
    Ok(cx.emit(Select {}, &[negative, minus, magnitude])?.into())
}

/// Whether the sign bit of a float is set.
pub(super) fn sign_bit_of(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    let bits = match cx.dtype(x)?.bits() {
        8 => DType::I8,
        16 => DType::I16,
        32 => DType::I32,
        _ => DType::I64,
    };
    let bits = cx.emit(Bitcast { to: bits }, &[x])?;
    let zero = cx.b().full_like(bits, 0.0)?;
    cx.emit(Less {}, &[bits, zero])
}

/// `fmax`: the greater one that is a number.
fn fmax(cx: &mut CallCx<'_>) -> Outcome {
    number_extreme(cx, true)
}

/// `fmin`: the lesser one that is a number.
fn fmin(cx: &mut CallCx<'_>) -> Outcome {
    number_extreme(cx, false)
}

fn number_extreme(cx: &mut CallCx<'_>, greatest: bool) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    let nan = NanRule::Number;
    Ok(match (greatest, cx.category(operands[0])?) {
        (true, Category::Bool) => cx.emit(airconv_ir::op::Or {}, &operands)?,
        (false, Category::Bool) => cx.emit(airconv_ir::op::And {}, &operands)?,
        (true, _) => cx.emit(Max { nan }, &operands)?,
        (false, _) => cx.emit(Min { nan }, &operands)?,
    }
    .into())
}

/// `fmod`: the remainder with the sign of the dividend.
fn fmod(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    Ok(cx.emit(Rem { rounding: IntRounding::Trunc }, &operands)?.into())
}

/// `hypot`: sqrt(a² + b²) without overflow of the squares.
fn hypot(cx: &mut CallCx<'_>) -> Outcome {
    float_pair(cx, ["self", "other"], true, |a, b| {
        let (a, b) = (a.abs(), b.abs());
        let (high, low) = (a.max(&b), a.min(&b));
        let plain = high.eq(0.0).or(high.is_infinite());
        let ratio = low / when(&plain, 1.0, &high);
        let length = when(&plain, &high, &high * (ratio.squared() + 1.0).sqrt());
        when(&a.is_infinite().or(b.is_infinite()), f64::INFINITY, length)
    })
}

/// `heaviside`: 0 below zero, 1 above, `values` at zero.
fn heaviside(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "values"])?;
    let dtype = cx.dtype(operands[0])?;
    if dtype == DType::Bool {
        return Ok(cx.emit(airconv_ir::op::Or {}, &operands)?.into());
    }
    let x = value(operands[0]);
    let step = when(&x.gt(0.0), 1.0, 0.0);
    Ok(cx.formula(&when(&x.eq(0.0), value(operands[1]), step), dtype)?.into())
}

/// `ldexp`: self times 2 to the power of other.
fn ldexp(cx: &mut CallCx<'_>) -> Outcome {
    let other = float_operand(cx, "other")?;
    let dtype = cx.dtype(other)?;
    let power = cx.formula(&number(2.0).pow(value(other)), dtype)?;
    let operands = [cx.operand("self")?, Operand::Tensor(power)];
    let dtype = result_type(cx, &operands)?;
    let both = cx.operands_as(&operands, dtype)?;
    Ok(cx.emit(Mul {}, &both)?.into())
}

/// `float_power`: the power in f64.
fn float_power(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.operands(&["self", "exponent"])?;
    if Category::of(result_type(cx, &operands)?) == Category::Complex {
        return cx.unsupported("complex numbers");
    }
    let both = cx.operands_as(&operands, DType::F64)?;
    Ok(cx.emit(Pow {}, &both)?.into())
}

/// `logaddexp`: log(exp(a) + exp(b)).
fn logaddexp(cx: &mut CallCx<'_>) -> Outcome {
    float_pair(cx, ["self", "other"], true, |a, b| {
        let apart = (a - b).abs();
        let sum = a.max(b) + (-apart).exp().log_1p();
        when(&a.is_infinite().and(a.eq(b)), a, sum)
    })
}

/// `logaddexp2`: log2(2^a + 2^b).
fn logaddexp2(cx: &mut CallCx<'_>) -> Outcome {
    float_pair(cx, ["self", "other"], true, |a, b| {
        let apart = (a - b).abs();
        let sum = a.max(b) + (-apart * LN_2).exp().log_1p() / LN_2;
        when(&a.is_infinite().and(a.eq(b)), a, sum)
    })
}

/// `xlogy`: x log(y), 0 where x is zero.
fn xlogy(cx: &mut CallCx<'_>) -> Outcome {
    float_pair(cx, ["self", "other"], true, |x, y| {
        let product = when(&x.eq(0.0), 0.0, x * y.log());
        when(&y.is_nan(), f64::NAN, product)
    })
}

/// `nextafter`: the next float in the direction of other, by its bits.
fn nextafter(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    let (a, b) = (operands[0], operands[1]);
    let dtype = cx.dtype(a)?;
    let (bits, sign) = match dtype.bits() {
        16 => (DType::I16, i64::from(i16::MIN)),
        32 => (DType::I32, i64::from(i32::MIN)),
        64 => (DType::I64, i64::MIN),
        _ => return cx.unsupported(format!("the dtype {dtype}")),
    };
    let (fa, fb) = (value(a), value(b));
    let outward = cx.formula(&fa.lt(&fb).eq(fa.gt(0.0)), dtype)?;
    let int = cx.emit(Bitcast { to: bits }, &[a])?;
    let stepped = value(int) + when(&value(outward), 1.0, -1.0);
    let stepped = cx.formula(&stepped, bits)?;
    let stepped = cx.emit(Bitcast { to: dtype }, &[stepped])?;
    // From zero to the least number of the sign.
    let one = cx.b().scalar_int(bits, 1)?;
    let least_below = cx.b().scalar_int(bits, sign + 1)?;
    let upward = cx.formula(&fb.gt(0.0), dtype)?;
    let least = cx.b().select(upward, one, least_below)?;
    let least = cx.emit(Bitcast { to: dtype }, &[least])?;
    let moved = when(&fa.eq(0.0), value(least), value(stepped));
    let moved = when(&fa.eq(&fb), &fb, moved);
    let nan = fa.is_nan().or(fb.is_nan());
    Ok(cx.formula(&when(&nan, f64::NAN, moved), dtype)?.into())
}

/// Operands of a shift: promoted integers.
fn shift_operands(cx: &mut CallCx<'_>) -> Result<Vec<ValueId>, Stop> {
    let operands = cx.promoted(&["self", "other"])?;
    match cx.category(operands[0])? {
        Category::Int => Ok(operands),
        _ => cx.unsupported("a shift of what is no integer"),
    }
}

/// `bitwise_left_shift`.
fn left_shift(cx: &mut CallCx<'_>) -> Outcome {
    let operands = shift_operands(cx)?;
    Ok(cx.emit(ShiftLeft {}, &operands)?.into())
}

/// `bitwise_right_shift`.
fn right_shift(cx: &mut CallCx<'_>) -> Outcome {
    let operands = shift_operands(cx)?;
    Ok(cx.emit(ShiftRight {}, &operands)?.into())
}

/// `clamp_min`: at least this.
fn clamp_min(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "min"])?;
    let bools = cx.category(operands[0])? == Category::Bool;
    Ok(extreme_of(cx, &operands, true, bools)?.into())
}

/// `clamp_max`: at most this.
fn clamp_max(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "max"])?;
    let bools = cx.category(operands[0])? == Category::Bool;
    Ok(extreme_of(cx, &operands, false, bools)?.into())
}

// More operands.

/// `lerp`: from self to end by the weight, from the nearer end.
fn lerp(cx: &mut CallCx<'_>) -> Outcome {
    let (start, end) = (cx.tensor("self")?, cx.tensor("end")?);
    real_only(cx, start)?;
    let dtype = cx.dtype(start)?;
    let weight = match cx.operand("weight")? {
        Operand::Tensor(w) => w,
        Operand::Number(n) => {
            let work = super::formula::work_dtype(dtype);
            cx.number_value(&n, work)?
        }
    };
    let all = cx.computed(&[start, end, weight], |v| {
        let (start, end, weight) = (&v[0], &v[1], &v[2]);
        let way = end - start;
        let near_start = start + weight * &way;
        let near_end = end - &way * (number(1.0) - weight);
        when(&weight.abs().lt(0.5), near_start, near_end)
    })?;
    Ok(all.into())
}

/// Three promoted operands and the factor `value`.
fn with_factor(cx: &mut CallCx<'_>) -> Result<(Vec<ValueId>, ValueId), Stop> {
    let operands = cx.promoted(&["self", "tensor1", "tensor2"])?;
    let factor = cx.number("value")?;
    let dtype = cx.dtype(operands[0])?;
    let dtype = if dtype.is_float() { super::formula::work_dtype(dtype) } else { dtype };
    let factor = cx.number_value(&factor, dtype)?;
    Ok((operands, factor))
}

/// `addcmul`: self + value * tensor1 * tensor2.
fn addcmul(cx: &mut CallCx<'_>) -> Outcome {
    let (operands, factor) = with_factor(cx)?;
    let dtype = cx.dtype(operands[0])?;
    let work = if dtype.is_float() { super::formula::work_dtype(dtype) } else { dtype };
    let factor = value(factor);
    let y = cx.computed_in(work, &operands, |v| &v[0] + factor * &v[1] * &v[2])?;
    Ok(y.into())
}

/// `addcdiv`: self + value * tensor1 / tensor2.
fn addcdiv(cx: &mut CallCx<'_>) -> Outcome {
    let (operands, factor) = with_factor(cx)?;
    if cx.category(operands[0])? < Category::Float {
        return cx.unsupported("a division of integers");
    }
    let factor = value(factor);
    Ok(cx.computed(&operands, |v| &v[0] + factor * (&v[1] / &v[2]))?.into())
}
