//! The interpreter's elementwise family. Narrow floats are computed in f64 or f32 and rounded
//! to their dtype once.

use num_complex::{Complex as C, ComplexFloat};
use num_traits::{AsPrimitive, PrimInt, WrappingAdd, WrappingMul, WrappingNeg, WrappingSub};

use super::{EvalCx, EvalError, EvalResult, one};
use crate::array::{
    Array, Data, Element, FloatElement, IntElement, RealElement, RoundMode, Rounder,
    cast as convert,
};
use crate::dtype::DType;
use crate::op::*;
use crate::{dispatch_all, dispatch_int, dispatch_real};

fn unsupported<T>(op: &str, dtype: DType) -> Result<T, EvalError> {
    Err(EvalError::Unsupported(format!("`{op}` of {dtype}")))
}

/// Rounds values computed in f64 to a float dtype that is held in `f32`.
fn rounded(dtype: DType, values: impl Iterator<Item = f64>) -> Data {
    Data::F32(match Rounder::new(dtype, false, RoundMode::Nearest) {
        Some(r) => values.map(|y| r.round(y)).collect(),
        None => values.map(|y| y as f32).collect(),
    })
}

/// Applies a function of a float or complex number to each element.
fn inexact(
    cx: &EvalCx<'_, '_>,
    name: &str,
    real: fn(f64) -> f64,
    complex: Option<fn(C<f64>) -> C<f64>>,
) -> EvalResult {
    let a = cx.array(0)?;
    let data = match (&a.data, complex) {
        (Data::F32(v), _) => rounded(a.dtype, v.iter().map(|&x| real(x.into()))),
        (Data::F64(v), _) => Data::F64(v.iter().map(|&x| real(x)).collect()),
        (Data::C64(v), Some(f)) => {
            let each = |z: &C<f32>| {
                let y = f(C::new(z.re.into(), z.im.into()));
                C::new(y.re as f32, y.im as f32)
            };
            Data::C64(v.iter().map(each).collect())
        }
        (Data::C128(v), Some(f)) => Data::C128(v.iter().map(|&z| f(z)).collect()),
        _ => return unsupported(name, a.dtype),
    };
    one(Array::new(a.dtype, a.shape.clone(), data)?)
}

macro_rules! functions {
    ($($name:ident $Op:ident $real:expr, $complex:expr;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`.")]
        pub fn $name(cx: &mut EvalCx<'_, '_>, _: &$Op) -> EvalResult {
            inexact(cx, stringify!($name), $real, $complex)
        }
    )*};
}

functions! {
    floor Floor f64::floor, None;
    ceil Ceil f64::ceil, None;
    round Round f64::round_ties_even, None;
    sqrt Sqrt f64::sqrt, Some(ComplexFloat::sqrt);
    exp Exp f64::exp, Some(ComplexFloat::exp);
    log Log f64::ln, Some(ComplexFloat::ln);
    sin Sin f64::sin, Some(ComplexFloat::sin);
    cos Cos f64::cos, Some(ComplexFloat::cos);
    tan Tan f64::tan, Some(ComplexFloat::tan);
    asin Asin f64::asin, Some(ComplexFloat::asin);
    acos Acos f64::acos, Some(ComplexFloat::acos);
    atan Atan f64::atan, Some(ComplexFloat::atan);
    sinh Sinh f64::sinh, Some(ComplexFloat::sinh);
    cosh Cosh f64::cosh, Some(ComplexFloat::cosh);
    tanh Tanh f64::tanh, Some(ComplexFloat::tanh);
    asinh Asinh f64::asinh, Some(ComplexFloat::asinh);
    acosh Acosh f64::acosh, Some(ComplexFloat::acosh);
    atanh Atanh f64::atanh, Some(ComplexFloat::atanh);
    erf Erf libm::erf, None;
}

/// The two operands, which have to be of one dtype and shape.
fn pair<'c>(cx: &'c EvalCx<'_, '_>) -> Result<(&'c Array, &'c Array), EvalError> {
    let (a, b) = (cx.array(0)?, cx.array(1)?);
    if a.dtype != b.dtype {
        return EvalError::failed(format!("operands of {} and {}", a.dtype, b.dtype));
    }
    same_shape(a, b)?;
    Ok((a, b))
}

fn same_shape(a: &Array, b: &Array) -> Result<(), EvalError> {
    if a.shape == b.shape {
        return Ok(());
    }
    EvalError::failed(format!("operands of shapes {:?} and {:?}", a.shape, b.shape))
}

fn zip<T: Copy, U>(a: &[T], b: &[T], f: impl Fn(T, T) -> U) -> Vec<U> {
    a.iter().zip(b).map(|(&x, &y)| f(x, y)).collect()
}

/// Matches two `Data` of the same variant: one body for each listed class of variants.
macro_rules! zipped {
    ($a:expr, $b:expr, $op:expr, ints $int:expr, floats $float:expr $(, complex $complex:expr)?) => {
        match (&$a.data, &$b.data) {
            (Data::I8(a), Data::I8(b)) => Data::I8(zip(a, b, $int)),
            (Data::I16(a), Data::I16(b)) => Data::I16(zip(a, b, $int)),
            (Data::I32(a), Data::I32(b)) => Data::I32(zip(a, b, $int)),
            (Data::I64(a), Data::I64(b)) => Data::I64(zip(a, b, $int)),
            (Data::U8(a), Data::U8(b)) => Data::U8(zip(a, b, $int)),
            (Data::U16(a), Data::U16(b)) => Data::U16(zip(a, b, $int)),
            (Data::U32(a), Data::U32(b)) => Data::U32(zip(a, b, $int)),
            (Data::U64(a), Data::U64(b)) => Data::U64(zip(a, b, $int)),
            (Data::F32(a), Data::F32(b)) => Data::F32(zip(a, b, $float)),
            (Data::F64(a), Data::F64(b)) => Data::F64(zip(a, b, $float)),
            $(
                (Data::C64(a), Data::C64(b)) => Data::C64(zip(a, b, $complex)),
                (Data::C128(a), Data::C128(b)) => Data::C128(zip(a, b, $complex)),
            )?
            _ => return unsupported($op, $a.dtype),
        }
    };
}

/// `add`.
pub fn add(cx: &mut EvalCx<'_, '_>, _: &Add) -> EvalResult {
    let (a, b) = pair(cx)?;
    let data = zipped!(
        a,
        b,
        "add",
        ints | x,
        y | WrappingAdd::wrapping_add(&x, &y),
        floats | x,
        y | x + y,
        complex | x,
        y | x + y
    );
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

/// `sub`.
pub fn sub(cx: &mut EvalCx<'_, '_>, _: &Sub) -> EvalResult {
    let (a, b) = pair(cx)?;
    let data = zipped!(
        a,
        b,
        "sub",
        ints | x,
        y | WrappingSub::wrapping_sub(&x, &y),
        floats | x,
        y | x - y,
        complex | x,
        y | x - y
    );
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

/// `mul`.
pub fn mul(cx: &mut EvalCx<'_, '_>, _: &Mul) -> EvalResult {
    let (a, b) = pair(cx)?;
    let data = zipped!(
        a,
        b,
        "mul",
        ints | x,
        y | WrappingMul::wrapping_mul(&x, &y),
        floats | x,
        y | x * y,
        complex | x,
        y | x * y
    );
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

/// Quotient and remainder by the rounding; `y` is not zero. MIN / -1 is MIN, remainder 0.
fn quotient<T: PrimInt>(x: T, y: T, rounding: IntRounding) -> (T, T) {
    let Some(q) = x.checked_div(&y) else { return (x, T::zero()) };
    let r = x - q * y;
    let crosses = r != T::zero() && (r < T::zero()) != (y < T::zero());
    if rounding == IntRounding::Floor && crosses { (q - T::one(), r + y) } else { (q, r) }
}

/// Fails when an integer array holds a zero.
fn no_zero(a: &Array, name: &str) -> Result<(), EvalError> {
    let zero = dispatch_int!(&a.data, |v| v.contains(&0), else false);
    if zero { EvalError::failed(format!("`{name}` of integers by zero")) } else { Ok(()) }
}

/// `div`.
pub fn div(cx: &mut EvalCx<'_, '_>, op: &Div) -> EvalResult {
    let (a, b) = pair(cx)?;
    no_zero(b, "div")?;
    let data = zipped!(
        a,
        b,
        "div",
        ints | x,
        y | quotient(x, y, op.rounding).0,
        floats | x,
        y | x / y,
        complex | x,
        y | x / y
    );
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

fn float_rem<T: FloatElement>(x: T, y: T, rounding: IntRounding) -> T {
    let r = x % y;
    if rounding == IntRounding::Trunc {
        return r;
    }
    if r == T::zero() {
        return r.abs().copysign(y);
    }
    if (r < T::zero()) != (y < T::zero()) { r + y } else { r }
}

/// `rem`.
pub fn rem(cx: &mut EvalCx<'_, '_>, op: &Rem) -> EvalResult {
    let (a, b) = pair(cx)?;
    no_zero(b, "rem")?;
    let data = zipped!(
        a,
        b,
        "rem",
        ints | x,
        y | quotient(x, y, op.rounding).1,
        floats | x,
        y | float_rem(x, y, op.rounding)
    );
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

/// A wrapping integer power; `None` for zero to a negative power.
fn int_pow<T: IntElement>(mut base: T, exponent: i128) -> Option<T> {
    if exponent < 0 {
        let minus_one = T::zero().wrapping_sub(&T::one());
        return match base {
            b if b == T::zero() => None,
            b if b == T::one() => Some(b),
            b if b == minus_one && minus_one < T::zero() => {
                Some(if exponent % 2 == 0 { T::one() } else { b })
            }
            _ => Some(T::zero()),
        };
    }
    let mut left = exponent as u128;
    let mut out = T::one();
    while left > 0 {
        if left & 1 == 1 {
            out = out.wrapping_mul(&base);
        }
        base = base.wrapping_mul(&base);
        left >>= 1;
    }
    Some(out)
}

/// `pow`.
pub fn pow(cx: &mut EvalCx<'_, '_>, _: &Pow) -> EvalResult {
    let (a, b) = (cx.array(0)?, cx.array(1)?);
    same_shape(a, b)?;
    fn ints<T: IntElement>(v: &[T], exponent: &[i128]) -> Option<Data> {
        let each = v.iter().zip(exponent).map(|(&x, &e)| int_pow(x, e));
        each.collect::<Option<Vec<T>>>().map(T::wrap)
    }
    fn complexes(a: &Array, b: &Array) -> Option<Vec<C<f64>>> {
        let wide = |a: &Array| convert(a, DType::C128, true, RoundMode::Up).ok();
        let (a, b) = (wide(a)?, wide(b)?);
        let (a, b) = (a.as_slice::<C<f64>>()?, b.as_slice::<C<f64>>()?);
        let power = |(&x, &y): (&C<f64>, &C<f64>)| {
            if y.im == 0.0 && y.re.fract() == 0.0 && y.re.abs() < 1024.0 {
                x.powi(y.re as i32)
            } else if x == C::new(0.0, 0.0) {
                C::new(0.0, 0.0)
            } else {
                x.powc(y)
            }
        };
        Some(a.iter().zip(b).map(power).collect())
    }
    let (dtype, shape) = (a.dtype, a.shape.clone());
    let no = || EvalError::Unsupported(format!("`pow` of {} to {}", a.dtype, b.dtype));
    if dtype.is_complex() {
        let wide = Array::from_vec(shape, complexes(a, b).ok_or_else(no)?)?;
        return one(convert(&wide, dtype, true, RoundMode::Up)?);
    }
    if dtype.is_integer() && b.dtype.is_integer() {
        let exponent: Vec<i128> =
            dispatch_int!(&b.data, |v| v.iter().map(|&x| x.into()).collect(), else Vec::new());
        let data = dispatch_int!(&a.data, |v| ints(v, &exponent), else None);
        return match data {
            Some(data) => one(Array::narrowed(dtype, shape, data)?),
            None => EvalError::failed("`pow` of integer zero to a negative power"),
        };
    }
    let (x, y) = (a.to_f64s().ok_or_else(no)?, b.to_f64s().ok_or_else(no)?);
    let powers = zip(&x, &y, f64::powf);
    match &a.data {
        Data::F32(_) => one(Array::new(dtype, shape, rounded(dtype, powers.into_iter()))?),
        _ => one(convert(&Array::from_vec(shape, powers)?, dtype, true, RoundMode::Up)?),
    }
}

/// The operand that `first` prefers; of two that are equal the left one.
fn extreme<T: RealElement>(x: T, y: T, nan: NanRule, first: fn(&T, &T) -> bool) -> T {
    // Only NaN differs from itself.
    let (x_nan, y_nan) = (!x.eq(&x), !y.eq(&y));
    match (x_nan || y_nan, nan) {
        (false, _) => {
            if first(&y, &x) {
                y
            } else {
                x
            }
        }
        (true, NanRule::Propagate) => {
            if x_nan {
                x
            } else {
                y
            }
        }
        (true, NanRule::Number) => {
            if x_nan {
                y
            } else {
                x
            }
        }
    }
}

/// `max`.
pub fn max(cx: &mut EvalCx<'_, '_>, op: &Max) -> EvalResult {
    let (a, b) = pair(cx)?;
    let data = zipped!(
        a,
        b,
        "max",
        ints | x,
        y | x.max(y),
        floats | x,
        y | extreme(x, y, op.nan, PartialOrd::gt)
    );
    one(Array::new(a.dtype, a.shape.clone(), data)?)
}

/// `min`.
pub fn min(cx: &mut EvalCx<'_, '_>, op: &Min) -> EvalResult {
    let (a, b) = pair(cx)?;
    let data = zipped!(
        a,
        b,
        "min",
        ints | x,
        y | x.min(y),
        floats | x,
        y | extreme(x, y, op.nan, PartialOrd::lt)
    );
    one(Array::new(a.dtype, a.shape.clone(), data)?)
}

/// Applies a function to each element of integers and another to those of floats.
macro_rules! mapped {
    ($a:expr, $op:expr, signed $int:expr, unsigned $uint:expr, floats $float:expr) => {
        match &$a.data {
            Data::I8(v) => Data::I8(v.iter().map($int).collect()),
            Data::I16(v) => Data::I16(v.iter().map($int).collect()),
            Data::I32(v) => Data::I32(v.iter().map($int).collect()),
            Data::I64(v) => Data::I64(v.iter().map($int).collect()),
            Data::U8(v) => Data::U8(v.iter().map($uint).collect()),
            Data::U16(v) => Data::U16(v.iter().map($uint).collect()),
            Data::U32(v) => Data::U32(v.iter().map($uint).collect()),
            Data::U64(v) => Data::U64(v.iter().map($uint).collect()),
            Data::F32(v) => Data::F32(v.iter().map($float).collect()),
            Data::F64(v) => Data::F64(v.iter().map($float).collect()),
            _ => return unsupported($op, $a.dtype),
        }
    };
}

/// `neg`.
pub fn neg(cx: &mut EvalCx<'_, '_>, _: &Neg) -> EvalResult {
    let a = cx.array(0)?;
    let data = match &a.data {
        Data::C64(v) => Data::C64(v.iter().map(|z| -z).collect()),
        Data::C128(v) => Data::C128(v.iter().map(|z| -z).collect()),
        _ => mapped!(a, "neg", signed WrappingNeg::wrapping_neg,
            unsigned WrappingNeg::wrapping_neg, floats |x| -x),
    };
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

/// `abs`.
pub fn abs(cx: &mut EvalCx<'_, '_>, _: &Abs) -> EvalResult {
    let a = cx.array(0)?;
    let data = match &a.data {
        Data::C64(v) => {
            Data::F32(v.iter().map(|z| f64::from(z.re).hypot(z.im.into()) as f32).collect())
        }
        Data::C128(v) => Data::F64(v.iter().map(|z| z.re.hypot(z.im)).collect()),
        _ => mapped!(
            a,
            "abs",
            signed | x | x.wrapping_abs(),
            unsigned | x | *x,
            floats | x | x.abs()
        ),
    };
    let dtype = a.dtype.complex_part().unwrap_or(a.dtype);
    one(Array::narrowed(dtype, a.shape.clone(), data)?)
}

/// `sign`.
pub fn sign(cx: &mut EvalCx<'_, '_>, _: &Sign) -> EvalResult {
    let a = cx.array(0)?;
    let data = mapped!(
        a,
        "sign",
        signed | x | x.signum(),
        unsigned | x | (*x).min(1),
        floats
            | &x
            | if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x + 0.0
            }
    );
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

/// The bools of the operand in a slot.
fn bools<'c>(cx: &'c EvalCx<'_, '_>, slot: usize, op: &str) -> Result<&'c [bool], EvalError> {
    let a = cx.array(slot)?;
    match a.as_slice::<bool>() {
        Some(v) => Ok(v),
        None => unsupported(op, a.dtype),
    }
}

/// `not`.
pub fn not(cx: &mut EvalCx<'_, '_>, _: &Not) -> EvalResult {
    let v = bools(cx, 0, "not")?.iter().map(|x| !x).collect();
    one(Array::from_vec::<bool>(cx.array(0)?.shape.clone(), v)?)
}

fn logical(cx: &EvalCx<'_, '_>, name: &str, f: fn(bool, bool) -> bool) -> EvalResult {
    let (a, _) = pair(cx)?;
    let v = zip(bools(cx, 0, name)?, bools(cx, 1, name)?, f);
    one(Array::from_vec(a.shape.clone(), v)?)
}

/// `and`.
pub fn and(cx: &mut EvalCx<'_, '_>, _: &And) -> EvalResult {
    logical(cx, "and", |x, y| x & y)
}

/// `or`.
pub fn or(cx: &mut EvalCx<'_, '_>, _: &Or) -> EvalResult {
    logical(cx, "or", |x, y| x | y)
}

/// `xor`.
pub fn xor(cx: &mut EvalCx<'_, '_>, _: &Xor) -> EvalResult {
    logical(cx, "xor", |x, y| x ^ y)
}

/// Matches two integer `Data` of the same variant.
macro_rules! zipped_ints {
    ($a:expr, $b:expr, $op:expr, $int:expr) => {
        match (&$a.data, &$b.data) {
            (Data::I8(a), Data::I8(b)) => Data::I8(zip(a, b, $int)),
            (Data::I16(a), Data::I16(b)) => Data::I16(zip(a, b, $int)),
            (Data::I32(a), Data::I32(b)) => Data::I32(zip(a, b, $int)),
            (Data::I64(a), Data::I64(b)) => Data::I64(zip(a, b, $int)),
            (Data::U8(a), Data::U8(b)) => Data::U8(zip(a, b, $int)),
            (Data::U16(a), Data::U16(b)) => Data::U16(zip(a, b, $int)),
            (Data::U32(a), Data::U32(b)) => Data::U32(zip(a, b, $int)),
            (Data::U64(a), Data::U64(b)) => Data::U64(zip(a, b, $int)),
            _ => return unsupported($op, $a.dtype),
        }
    };
}

/// `bit_not`.
pub fn bit_not(cx: &mut EvalCx<'_, '_>, _: &BitNot) -> EvalResult {
    fn each<T: IntElement>(v: &[T]) -> Data {
        T::wrap(v.iter().map(|&x| !x).collect())
    }
    let a = cx.array(0)?;
    let data = dispatch_int!(&a.data, |v| each(v), else return unsupported("bit_not", a.dtype));
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

/// `bit_and`.
pub fn bit_and(cx: &mut EvalCx<'_, '_>, _: &BitAnd) -> EvalResult {
    let (a, b) = pair(cx)?;
    let data = zipped_ints!(a, b, "bit_and", |x, y| x & y);
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

/// `bit_or`.
pub fn bit_or(cx: &mut EvalCx<'_, '_>, _: &BitOr) -> EvalResult {
    let (a, b) = pair(cx)?;
    let data = zipped_ints!(a, b, "bit_or", |x, y| x | y);
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

/// `bit_xor`.
pub fn bit_xor(cx: &mut EvalCx<'_, '_>, _: &BitXor) -> EvalResult {
    let (a, b) = pair(cx)?;
    let data = zipped_ints!(a, b, "bit_xor", |x, y| x ^ y);
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

/// The shift count, when it is less than the width; a negative one counts as great.
fn count<T: PrimInt + AsPrimitive<i128>>(y: T, width: u32) -> Option<usize> {
    let y: i128 = y.as_();
    (0..i128::from(width)).contains(&y).then_some(y as usize)
}

/// `shift_left`.
pub fn shift_left(cx: &mut EvalCx<'_, '_>, _: &ShiftLeft) -> EvalResult {
    let (a, b) = pair(cx)?;
    let width = a.dtype.bits();
    let data = zipped_ints!(a, b, "shift_left", |x, y| match count(y, width) {
        Some(n) => x << n,
        None => 0,
    });
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

/// `shift_right`.
pub fn shift_right(cx: &mut EvalCx<'_, '_>, _: &ShiftRight) -> EvalResult {
    fn shift<T: IntElement>(x: T, y: T, width: u32) -> T {
        match count(y, width) {
            Some(n) => x.shr(n),
            None if x < T::zero() => T::zero().wrapping_sub(&T::one()),
            None => T::zero(),
        }
    }
    let (a, b) = pair(cx)?;
    let width = a.dtype.bits();
    let data = zipped_ints!(a, b, "shift_right", |x, y| shift(x, y, width));
    one(Array::narrowed(a.dtype, a.shape.clone(), data)?)
}

/// `equal`.
pub fn equal(cx: &mut EvalCx<'_, '_>, _: &Equal) -> EvalResult {
    fn each<T: Element>(v: &[T], other: &Array) -> Option<Vec<bool>> {
        Some(v.iter().zip(other.as_slice::<T>()?).map(|(x, y)| x == y).collect())
    }
    let (a, b) = pair(cx)?;
    match dispatch_all!(&a.data, |v| each(v, b)) {
        Some(v) => one(Array::from_vec(a.shape.clone(), v)?),
        None => unsupported("equal", a.dtype),
    }
}

fn ordered(cx: &EvalCx<'_, '_>, name: &str, or_equal: bool) -> EvalResult {
    fn each<T: RealElement>(v: &[T], other: &Array, or_equal: bool) -> Option<Vec<bool>> {
        let pairs = v.iter().zip(other.as_slice::<T>()?);
        Some(if or_equal {
            pairs.map(|(x, y)| x <= y).collect()
        } else {
            pairs.map(|(x, y)| x < y).collect()
        })
    }
    let (a, b) = pair(cx)?;
    match dispatch_real!(&a.data, |v| each(v, b, or_equal), else None) {
        Some(v) => one(Array::from_vec(a.shape.clone(), v)?),
        None => unsupported(name, a.dtype),
    }
}

/// `less`.
pub fn less(cx: &mut EvalCx<'_, '_>, _: &Less) -> EvalResult {
    ordered(cx, "less", false)
}

/// `less_or_equal`.
pub fn less_or_equal(cx: &mut EvalCx<'_, '_>, _: &LessOrEqual) -> EvalResult {
    ordered(cx, "less_or_equal", true)
}

/// `is_nan`.
pub fn is_nan(cx: &mut EvalCx<'_, '_>, _: &IsNan) -> EvalResult {
    let a = cx.array(0)?;
    let v: Vec<bool> = match &a.data {
        Data::F32(v) => v.iter().map(|x| x.is_nan()).collect(),
        Data::F64(v) => v.iter().map(|x| x.is_nan()).collect(),
        Data::C64(v) => v.iter().map(|z| z.re.is_nan() || z.im.is_nan()).collect(),
        Data::C128(v) => v.iter().map(|z| z.re.is_nan() || z.im.is_nan()).collect(),
        _ => return unsupported("is_nan", a.dtype),
    };
    one(Array::from_vec(a.shape.clone(), v)?)
}

/// `select`.
pub fn select(cx: &mut EvalCx<'_, '_>, _: &Select) -> EvalResult {
    fn each<T: Element>(x: &[T], y: &Array, condition: &[bool]) -> Option<Data> {
        let pairs = condition.iter().zip(x.iter().zip(y.as_slice::<T>()?));
        Some(T::wrap(pairs.map(|(&c, (x, y))| if c { x.clone() } else { y.clone() }).collect()))
    }
    let condition = bools(cx, 0, "select")?;
    let (x, y) = (cx.array(1)?, cx.array(2)?);
    same_shape(x, y)?;
    same_shape(cx.array(0)?, x)?;
    if x.dtype != y.dtype {
        return EvalError::failed(format!("operands of {} and {}", x.dtype, y.dtype));
    }
    match dispatch_all!(&x.data, |v| each(v, y, condition)) {
        Some(data) => one(Array::new(x.dtype, x.shape.clone(), data)?),
        None => unsupported("select", x.dtype),
    }
}

/// `cast`.
pub fn cast(cx: &mut EvalCx<'_, '_>, op: &Cast) -> EvalResult {
    let mode = match op.rounding {
        CastRounding::Up => RoundMode::Up,
        CastRounding::Down => RoundMode::Down,
        CastRounding::Nearest => RoundMode::Nearest,
    };
    one(convert(cx.array(0)?, op.to, op.saturate, mode)?)
}

/// `bitcast`.
pub fn bitcast(cx: &mut EvalCx<'_, '_>, op: &Bitcast) -> EvalResult {
    let a = cx.array(0)?;
    one(Array::from_bytes(op.to, a.shape.clone(), &a.to_bytes()?)?)
}

/// `complex`.
pub fn complex(cx: &mut EvalCx<'_, '_>, _: &Complex) -> EvalResult {
    let (re, im) = pair(cx)?;
    let data = match (&re.data, &im.data) {
        (Data::F32(x), Data::F32(y)) => Data::C64(zip(x, y, C::new)),
        (Data::F64(x), Data::F64(y)) => Data::C128(zip(x, y, C::new)),
        _ => return unsupported("complex", re.dtype),
    };
    one(Array::new(data.widest(), re.shape.clone(), data)?)
}

/// `real`.
pub fn real(cx: &mut EvalCx<'_, '_>, _: &Real) -> EvalResult {
    let a = cx.array(0)?;
    let data = match &a.data {
        Data::C64(v) => Data::F32(v.iter().map(|z| z.re).collect()),
        Data::C128(v) => Data::F64(v.iter().map(|z| z.re).collect()),
        _ => return unsupported("real", a.dtype),
    };
    one(Array::new(data.widest(), a.shape.clone(), data)?)
}

/// `imag`.
pub fn imag(cx: &mut EvalCx<'_, '_>, _: &Imag) -> EvalResult {
    let a = cx.array(0)?;
    let data = match &a.data {
        Data::C64(v) => Data::F32(v.iter().map(|z| z.im).collect()),
        Data::C128(v) => Data::F64(v.iter().map(|z| z.im).collect()),
        _ => return unsupported("imag", a.dtype),
    };
    one(Array::new(data.widest(), a.shape.clone(), data)?)
}
