//! Writing rules of the elementwise family.

use airconv_ir::attr::Float;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{IntRounding, NanRule, Op, OpKind};
use airconv_ir::types::TensorType;

use super::cx::{ExportCx, Refuse, Written, args, number, other_op};
use super::program::{Arg, Var};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Add, |cx, _| arithmetic(cx, "aten::add.Tensor", true)),
    ExportRule::new(OpKind::Sub, |cx, _| arithmetic(cx, "aten::sub.Tensor", false)),
    ExportRule::new(OpKind::Mul, |cx, _| arithmetic(cx, "aten::mul.Tensor", true)),
    ExportRule::new(OpKind::Div, div),
    ExportRule::new(OpKind::Rem, rem),
    ExportRule::new(OpKind::Pow, pow),
    ExportRule::new(OpKind::Max, max),
    ExportRule::new(OpKind::Min, min),
    ExportRule::new(OpKind::Neg, |cx, _| unary(cx, "aten::neg")),
    ExportRule::new(OpKind::Abs, abs),
    ExportRule::new(OpKind::Sign, sign),
    ExportRule::new(OpKind::Floor, |cx, _| unary(cx, "aten::floor")),
    ExportRule::new(OpKind::Ceil, |cx, _| unary(cx, "aten::ceil")),
    ExportRule::new(OpKind::Round, |cx, _| unary(cx, "aten::round")),
    ExportRule::new(OpKind::Sqrt, |cx, _| unary(cx, "aten::sqrt")),
    ExportRule::new(OpKind::Exp, |cx, _| unary(cx, "aten::exp")),
    ExportRule::new(OpKind::Log, |cx, _| unary(cx, "aten::log")),
    ExportRule::new(OpKind::Sin, |cx, _| unary(cx, "aten::sin")),
    ExportRule::new(OpKind::Cos, |cx, _| unary(cx, "aten::cos")),
    ExportRule::new(OpKind::Tan, |cx, _| unary(cx, "aten::tan")),
    ExportRule::new(OpKind::Asin, |cx, _| unary(cx, "aten::asin")),
    ExportRule::new(OpKind::Acos, |cx, _| unary(cx, "aten::acos")),
    ExportRule::new(OpKind::Atan, |cx, _| unary(cx, "aten::atan")),
    ExportRule::new(OpKind::Sinh, |cx, _| unary(cx, "aten::sinh")),
    ExportRule::new(OpKind::Cosh, |cx, _| unary(cx, "aten::cosh")),
    ExportRule::new(OpKind::Tanh, |cx, _| unary(cx, "aten::tanh")),
    ExportRule::new(OpKind::Asinh, |cx, _| unary(cx, "aten::asinh")),
    ExportRule::new(OpKind::Acosh, |cx, _| unary(cx, "aten::acosh")),
    ExportRule::new(OpKind::Atanh, |cx, _| unary(cx, "aten::atanh")),
    ExportRule::new(OpKind::Erf, |cx, _| unary(cx, "aten::erf")),
    ExportRule::new(OpKind::Reciprocal, |cx, _| unary(cx, "aten::reciprocal")),
    ExportRule::new(OpKind::Not, |cx, _| unary(cx, "aten::logical_not")),
    ExportRule::new(OpKind::And, |cx, _| logical(cx, "aten::logical_and")),
    ExportRule::new(OpKind::Or, |cx, _| logical(cx, "aten::logical_or")),
    ExportRule::new(OpKind::Xor, |cx, _| logical(cx, "aten::logical_xor")),
    ExportRule::new(OpKind::BitNot, |cx, _| unary(cx, "aten::bitwise_not")),
    ExportRule::new(OpKind::BitAnd, |cx, _| arithmetic(cx, "aten::bitwise_and.Tensor", false)),
    ExportRule::new(OpKind::BitOr, |cx, _| arithmetic(cx, "aten::bitwise_or.Tensor", false)),
    ExportRule::new(OpKind::BitXor, |cx, _| arithmetic(cx, "aten::bitwise_xor.Tensor", false)),
    ExportRule::new(OpKind::ShiftLeft, shift_left),
    ExportRule::new(OpKind::ShiftRight, shift_right),
    ExportRule::new(OpKind::Equal, |cx, _| compare(cx, "aten::eq")),
    ExportRule::new(OpKind::Less, |cx, _| compare(cx, "aten::lt")),
    ExportRule::new(OpKind::LessOrEqual, |cx, _| compare(cx, "aten::le")),
    ExportRule::new(OpKind::Greater, |cx, _| compare(cx, "aten::gt")),
    ExportRule::new(OpKind::GreaterOrEqual, |cx, _| compare(cx, "aten::ge")),
    ExportRule::new(OpKind::IsNan, is_nan),
    ExportRule::new(OpKind::IsInf, is_inf),
    ExportRule::new(OpKind::Select, select),
    ExportRule::new(OpKind::Cast, cast),
    ExportRule::new(OpKind::CastLike, cast_like),
    ExportRule::new(OpKind::Bitcast, bitcast),
    ExportRule::new(OpKind::Complex, complex),
    ExportRule::new(OpKind::Real, |cx, _| part(cx, "aten::real")),
    ExportRule::new(OpKind::Imag, |cx, _| part(cx, "aten::imag")),
    ExportRule::new(OpKind::Clip, clip),
];

/// The dtype that PyTorch computes in where it lacks a dtype's arithmetic; it wraps or rounds to
/// the same result.
pub(super) fn compute_dtype(dtype: DType) -> DType {
    match dtype {
        DType::U16 | DType::U32 | DType::U64 => DType::I64,
        d if d.is_float() && d.bits() == 8 => DType::F32,
        d => d,
    }
}

/// Refuses u64, whose greater half i64 has as negative numbers, where that matters.
fn ordered(dtype: DType) -> Result<(), Refuse> {
    match dtype {
        DType::U64 => Refuse::because("PyTorch has no order of u64"),
        _ => Ok(()),
    }
}

fn unary(cx: &mut ExportCx<'_, '_>, name: &str) -> Written {
    let x = cx.x(0)?;
    let dtype = cx.dtype(x)?;
    let x = cx.cast(x, compute_dtype(dtype))?;
    let y = cx.unary(name, x)?;
    let y = back(cx, y, dtype)?;
    cx.one(y)
}

/// A result in the dtype of the op.
fn back(cx: &mut ExportCx<'_, '_>, y: Var, dtype: DType) -> Result<Var, Refuse> {
    if dtype.is_float() && dtype.bits() == 8 {
        return saturated(cx, y, dtype, false);
    }
    cx.cast(y, dtype)
}

/// The operands of a binary op: the second one as a number where it is a constant and the
/// first is a tensor that has the shape of the result.
fn pair(
    cx: &mut ExportCx<'_, '_>,
    commutes: bool,
    numbers: bool,
) -> Result<(Var, Arg, TensorType), Refuse> {
    let values = cx.broadcast_values(&[0, 1])?;
    let [a, b] = [values[0], values[1]];
    let result = cx.result_type(0)?;
    if numbers {
        let order = if commutes { &[(a, b), (b, a)][..] } else { &[(a, b)] };
        for &(x, by) in order {
            if let Some(n) = literal(cx, x, by, &result)? {
                return Ok((cx.ex.var_of(x)?, n, result));
            }
        }
    }
    let dtype = compute_dtype(cx.ex.value_type(a)?.dtype);
    let a = cx.ex.var_of(a)?;
    let b = cx.ex.var_of(b)?;
    let (a, b) = (cx.cast(a, dtype)?, cx.cast(b, dtype)?);
    Ok((a, b.into(), result))
}

/// A constant of one element as a number, if `x` alone has the shape and the dtype that count.
fn literal(
    cx: &ExportCx<'_, '_>,
    x: ValueId,
    by: ValueId,
    result: &TensorType,
) -> Result<Option<Arg>, Refuse> {
    let (x_ty, by_ty) = (cx.ex.value_type(x)?, cx.ex.value_type(by)?);
    let plain = x_ty.dtype == by_ty.dtype
        && by_ty.rank() == 0
        && x_ty.shape == result.shape
        && compute_dtype(x_ty.dtype) == x_ty.dtype
        && x_ty.dtype != DType::Bool
        && !x_ty.dtype.is_complex()
        && cx.ex.constant_of(x).is_none();
    if !plain {
        return Ok(None);
    }
    Ok(cx.ex.scalar_of(by).as_ref().and_then(number))
}

fn arithmetic(cx: &mut ExportCx<'_, '_>, name: &str, commutes: bool) -> Written {
    let numbers = !name.contains("bitwise");
    let (a, b, ty) = pair(cx, commutes, numbers)?;
    let dtype = cx.dtype(a)?;
    let y = cx.op(name, args![a, b], TensorType { dtype, ..ty.clone() })?;
    let y = back(cx, y, ty.dtype)?;
    cx.one(y)
}

fn logical(cx: &mut ExportCx<'_, '_>, name: &str) -> Written {
    let operands = cx.broadcast_operands(&[0, 1])?;
    let ty = cx.result_type(0)?;
    let y = cx.op(name, args![operands[0], operands[1]], ty)?;
    cx.one(y)
}

/// `div`: floats exactly, integers with the rounding.
fn div(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Div(d) = op else { return other_op() };
    let (a, b, ty) = pair(cx, false, true)?;
    if ty.dtype.is_integer() {
        ordered(ty.dtype)?;
        let mode = match d.rounding {
            IntRounding::Trunc => "trunc",
            IntRounding::Floor => "floor",
        };
        let wide = TensorType { dtype: cx.dtype(a)?, ..ty.clone() };
        let y = cx.op("aten::div.Tensor_mode", args![a, b, mode], wide)?;
        let y = cx.cast(y, ty.dtype)?;
        return cx.one(y);
    }
    let wide = TensorType { dtype: cx.dtype(a)?, ..ty.clone() };
    let y = cx.op("aten::div.Tensor", args![a, b], wide)?;
    let y = back(cx, y, ty.dtype)?;
    cx.one(y)
}

/// `rem`: `fmod` has the sign of the dividend, `remainder` that of the divisor.
fn rem(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Rem(r) = op else { return other_op() };
    let (a, b, ty) = pair(cx, false, true)?;
    ordered(ty.dtype)?;
    let name = match (r.rounding, &b) {
        (IntRounding::Trunc, Arg::Tensor(_)) => "aten::fmod.Tensor",
        (IntRounding::Trunc, _) => "aten::fmod.Scalar",
        (IntRounding::Floor, Arg::Tensor(_)) => "aten::remainder.Tensor",
        (IntRounding::Floor, _) => "aten::remainder.Scalar",
    };
    let wide = TensorType { dtype: cx.dtype(a)?, ..ty.clone() };
    let y = cx.op(name, args![a, b], wide)?;
    let y = back(cx, y, ty.dtype)?;
    cx.one(y)
}

/// `pow`: the result has the base's dtype.
fn pow(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    let values = cx.broadcast_values(&[0, 1])?;
    let ty = cx.result_type(0)?;
    let (base_ty, exp_ty) = (cx.ex.value_type(values[0])?, cx.ex.value_type(values[1])?);
    let base = cx.ex.var_of(values[0])?;
    if base_ty.shape == ty.shape
        && exp_ty.rank() == 0
        && base_ty.dtype.is_float()
        && compute_dtype(base_ty.dtype) == base_ty.dtype
        && let Some(n @ (Arg::Int(_) | Arg::Float(_))) =
            cx.ex.scalar_of(values[1]).as_ref().and_then(number)
    {
        let y = cx.op("aten::pow.Tensor_Scalar", args![base, n], ty)?;
        return cx.one(y);
    }
    let exponent = cx.ex.var_of(values[1])?;
    let dtype = match (base_ty.dtype, exp_ty.dtype) {
        (b, e) if b.is_integer() && e.is_float() => DType::F64,
        (b, e) if b.is_integer() && e.is_integer() && (b.bits() < 64 || e.bits() < 64) => {
            DType::I64
        }
        (b, e) if b.is_float() && e.is_float() && e.bits() > b.bits() => e,
        (b, _) => compute_dtype(b),
    };
    let (base, exponent) = (cx.cast(base, dtype)?, cx.cast(exponent, dtype)?);
    let wide = TensorType { dtype, ..ty.clone() };
    let y = cx.op("aten::pow.Tensor_Tensor", args![base, exponent], wide)?;
    let y = back(cx, y, ty.dtype)?;
    cx.one(y)
}

/// `max`: NaN wins in `maximum`, loses in `fmax`.
fn max(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Max(m) = op else { return other_op() };
    extreme(cx, if m.nan == NanRule::Number { "aten::fmax" } else { "aten::maximum" })
}

/// `min`: NaN wins in `minimum`, loses in `fmin`.
fn min(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Min(m) = op else { return other_op() };
    extreme(cx, if m.nan == NanRule::Number { "aten::fmin" } else { "aten::minimum" })
}

fn extreme(cx: &mut ExportCx<'_, '_>, name: &str) -> Written {
    let (a, b, ty) = pair(cx, false, false)?;
    ordered(ty.dtype)?;
    let wide = TensorType { dtype: cx.dtype(a)?, ..ty.clone() };
    let y = cx.op(name, args![a, b], wide)?;
    let y = back(cx, y, ty.dtype)?;
    cx.one(y)
}

/// `abs`: of a complex number its magnitude.
fn abs(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    let x = cx.x(0)?;
    let result = cx.result_type(0)?;
    if !cx.dtype(x)?.is_complex() {
        return unary(cx, "aten::abs");
    }
    let y = cx.op("aten::abs", args![x], result)?;
    cx.one(y)
}

/// `sign`: NaN stays NaN, which PyTorch's gives as 0.
fn sign(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    let x = cx.x(0)?;
    let dtype = cx.dtype(x)?;
    if !dtype.is_float() {
        return unary(cx, "aten::sign");
    }
    let x = cx.cast(x, compute_dtype(dtype))?;
    let y = cx.unary("aten::sign", x)?;
    let shape = cx.shape(x)?;
    let nan = cx.op("aten::isnan", args![x], TensorType::new(DType::Bool, shape))?;
    let y = cx.select_by(nan, x, y)?;
    let y = back(cx, y, dtype)?;
    cx.one(y)
}

fn shift_left(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    shift(cx, "aten::bitwise_left_shift.Tensor")
}

fn shift_right(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    shift(cx, "aten::bitwise_right_shift.Tensor")
}

fn shift(cx: &mut ExportCx<'_, '_>, name: &str) -> Written {
    let (x, count, ty) = pair(cx, false, false)?;
    ordered(ty.dtype)?;
    let Arg::Tensor(count) = count else { return other_op() };
    let width = i64::from(ty.dtype.bits());
    // In a wider dtype a count of the narrow width does not shift everything out by itself, but
    // the cast back drops what was shifted out to the left; to the right zeros come in.
    let wide = TensorType { dtype: cx.dtype(x)?, ..ty.clone() };
    let y = cx.op(name, args![x, count], wide)?;
    let negative = cx.compare_with("aten::lt.Scalar", count, 0i64)?;
    let beyond = cx.compare_with("aten::ge.Scalar", count, width)?;
    let out = cx.binary("aten::logical_or", negative, beyond)?;
    let dtype = cx.dtype(x)?;
    let gone = match (name.contains("right"), ty.dtype.is_signed_int()) {
        (true, true) => {
            let below = cx.compare_with("aten::lt.Scalar", x, 0i64)?;
            let below = cx.cast(below, dtype)?;
            cx.unary("aten::neg", below)?
        }
        _ => cx.full(&[], Arg::Int(0), dtype)?,
    };
    let y = cx.select_by(out, gone, y)?;
    let y = cx.cast(y, ty.dtype)?;
    cx.one(y)
}

fn compare(cx: &mut ExportCx<'_, '_>, name: &str) -> Written {
    let values = cx.broadcast_values(&[0, 1])?;
    let dtype = cx.ex.value_type(values[0])?.dtype;
    if name != "aten::eq" {
        ordered(dtype)?;
    }
    let result = cx.result_type(0)?;
    if let Some(n) = literal(cx, values[0], values[1], &result)? {
        let x = cx.ex.var_of(values[0])?;
        let y = cx.op(&format!("{name}.Scalar"), args![x, n], result)?;
        return cx.one(y);
    }
    let wide = compute_dtype(dtype);
    let (a, b) = (cx.ex.var_of(values[0])?, cx.ex.var_of(values[1])?);
    let (a, b) = (cx.cast(a, wide)?, cx.cast(b, wide)?);
    let y = cx.op(&format!("{name}.Tensor"), args![a, b], result)?;
    cx.one(y)
}

fn is_nan(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    let x = cx.x(0)?;
    let x = cx.cast(x, compute_dtype(cx.dtype(x)?))?;
    let ty = cx.result_type(0)?;
    let y = cx.op("aten::isnan", args![x], ty)?;
    cx.one(y)
}

fn is_inf(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::IsInf(i) = op else { return other_op() };
    let name = match (i.detect_negative, i.detect_positive) {
        (true, true) => "aten::isinf",
        (true, false) => "aten::isneginf",
        (false, true) => "aten::isposinf",
        (false, false) => return Refuse::because("neither infinity counts"),
    };
    let x = cx.x(0)?;
    let x = cx.cast(x, compute_dtype(cx.dtype(x)?))?;
    let ty = cx.result_type(0)?;
    let y = cx.op(name, args![x], ty)?;
    cx.one(y)
}

fn select(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    let values = cx.broadcast_operands(&[0, 1, 2])?;
    let ty = cx.result_type(0)?;
    let y = cx.op("aten::where.self", args![values[0], values[1], values[2]], ty)?;
    cx.one(y)
}

fn cast(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Cast(c) = op else { return other_op() };
    let x = cx.x(0)?;
    let y = saturated(cx, x, c.to, c.saturate)?;
    cx.one(y)
}

fn cast_like(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::CastLike(c) = op else { return other_op() };
    let x = cx.x(0)?;
    let to = cx.result_type(0)?.dtype;
    let y = saturated(cx, x, to, c.saturate)?;
    cx.one(y)
}

/// What rounds to the greatest value of f8e4m3fn is at most this.
const MOST_F8E4M3FN: f64 = 464.0;

/// A cast. Of PyTorch's casts to float8, that to f8e4m3fn saturates and others do not; what is
/// wanted else is done before.
fn saturated(cx: &mut ExportCx<'_, '_>, x: Var, to: DType, saturate: bool) -> Result<Var, Refuse> {
    let from = cx.dtype(x)?;
    if from == to {
        return Ok(x);
    }
    if to == DType::F8E8M0 {
        return Refuse::because("PyTorch rounds to f8e8m0 in its own way");
    }
    if let (true, Some(real)) = (!to.is_complex(), from.complex_part()) {
        let ty = TensorType { dtype: real, ..cx.ty(x)? };
        let x = cx.op("aten::real", args![x], ty)?;
        return saturated(cx, x, to, saturate);
    }
    let narrow = to.is_float() && to.bits() == 8;
    let mut x = x;
    if narrow {
        if !matches!(from, DType::F16 | DType::BF16 | DType::F32) {
            x = cx.cast(x, DType::F32)?;
        }
        if saturate {
            let format = to.float_format();
            let most = format
                .map(|f| f.max_finite())
                .ok_or_else(|| Refuse(format!("the range of {to}")))?;
            let ty = cx.ty(x)?;
            x = cx.op("aten::clamp", args![x, -most, most], ty)?;
        } else if to == DType::F8E4M3FN {
            let size = cx.unary("aten::abs", x)?;
            let beyond = cx.compare_with("aten::gt.Scalar", size, MOST_F8E4M3FN)?;
            let nan = cx.full(&[], Arg::Float(f64::NAN), cx.dtype(x)?)?;
            x = cx.select_by(beyond, nan, x)?;
        }
    }
    cx.cast(x, to)
}

fn bitcast(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Bitcast(b) = op else { return other_op() };
    let x = cx.x(0)?;
    let ty = cx.result_type(0)?;
    let y = cx.op("aten::view.dtype", args![x, b.to], ty)?;
    cx.one(y)
}

fn complex(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    let operands = cx.broadcast_operands(&[0, 1])?;
    let ty = cx.result_type(0)?;
    let y = cx.op("aten::complex", args![operands[0], operands[1]], ty)?;
    cx.one(y)
}

fn part(cx: &mut ExportCx<'_, '_>, name: &str) -> Written {
    let x = cx.x(0)?;
    let ty = cx.result_type(0)?;
    let y = cx.op(name, args![x], ty)?;
    cx.one(y)
}

/// `clip`: bounds are numbers where they are constants.
fn clip(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    let x = cx.x(0)?;
    let ty = cx.ty(x)?;
    if compute_dtype(ty.dtype) != ty.dtype {
        return Refuse::because(format!("PyTorch has no clamp of {}", ty.dtype));
    }
    let bound = |cx: &ExportCx<'_, '_>, slot| match cx.value(slot) {
        None => Some(Arg::None),
        Some(_) => cx.scalar(slot).as_ref().and_then(number),
    };
    if let (Some(low), Some(high)) = (bound(cx, 1), bound(cx, 2)) {
        if (&low, &high) == (&Arg::None, &Arg::None) {
            return cx.one(x);
        }
        let y = cx.op("aten::clamp", args![x, low, high], ty)?;
        return cx.one(y);
    }
    let (low, high) = (cx.opt(1)?, cx.opt(2)?);
    let y = cx.op("aten::clamp.Tensor", args![x, low, high], ty)?;
    cx.one(y)
}

/// Whether a float field has this value in the precision of a dtype.
pub(super) fn is_about(field: Float, value: f64) -> bool {
    field.0 == value || field.0 as f32 == value as f32
}
