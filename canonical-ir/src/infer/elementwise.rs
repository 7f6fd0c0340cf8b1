//! Inference rules of the elementwise family. Operands have equal shapes; broadcasting is an
//! op of its own.

use super::{InferCx, InferError, InferResult, one};
use crate::dtype::DType;
use crate::op::*;
use crate::types::{TensorType, Type};

/// A set of dtypes, with what to call it in a message.
type Class = (fn(DType) -> bool, &'static str);

const NUMERIC: Class =
    (|d| d.is_integer() || d.is_float() || d.is_complex(), "an integer, float or complex dtype");
const REAL: Class = (|d| d.is_integer() || d.is_float(), "an integer or float dtype");
const FLOAT: Class = (|d| d.is_float(), "a float dtype");
const INEXACT: Class = (|d| d.is_float() || d.is_complex(), "a float or complex dtype");
const INTEGER: Class = (|d| d.is_integer(), "an integer dtype");
const BOOL: Class = (|d| matches!(d, DType::Bool), "bool");
const ANY: Class = (|_| true, "any dtype");

fn check(cx: &InferCx<'_>, dtype: DType, (holds, wanted): Class) -> Result<(), InferError> {
    let label = format!("{}-c1", cx.name());
    cx.require(holds(dtype), &label, || format!("wants {wanted}, not {dtype}"))
}

fn unary(cx: &InferCx<'_>, class: Class) -> InferResult {
    let ty = cx.tensor(0)?;
    check(cx, ty.dtype, class)?;
    one(ty.clone())
}

/// All operands have one type, which the result has too.
fn alike(cx: &InferCx<'_>, class: Class) -> InferResult {
    let ty = cx.same_type(0)?;
    check(cx, ty.dtype, class)?;
    one(ty)
}

fn comparison(cx: &InferCx<'_>, class: Class) -> InferResult {
    let ty = cx.same_type(0)?;
    check(cx, ty.dtype, class)?;
    one(TensorType { dtype: DType::Bool, ..ty })
}

fn predicate(cx: &InferCx<'_>, class: Class) -> InferResult {
    let ty = cx.tensor(0)?;
    check(cx, ty.dtype, class)?;
    one(TensorType { dtype: DType::Bool, shape: ty.shape.clone() })
}

macro_rules! rules {
    ($($name:ident $Op:ident $rule:ident $class:ident;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`.")]
        pub fn $name(cx: &InferCx<'_>, _: &$Op) -> InferResult {
            $rule(cx, $class)
        }
    )*};
}

rules! {
    add Add alike NUMERIC;
    sub Sub alike NUMERIC;
    mul Mul alike NUMERIC;
    div Div alike NUMERIC;
    rem Rem alike REAL;
    max Max alike REAL;
    min Min alike REAL;
    neg Neg unary NUMERIC;
    sign Sign unary REAL;
    floor Floor unary FLOAT;
    ceil Ceil unary FLOAT;
    round Round unary FLOAT;
    sqrt Sqrt unary INEXACT;
    exp Exp unary INEXACT;
    log Log unary INEXACT;
    sin Sin unary INEXACT;
    cos Cos unary INEXACT;
    tan Tan unary INEXACT;
    asin Asin unary INEXACT;
    acos Acos unary INEXACT;
    atan Atan unary INEXACT;
    sinh Sinh unary INEXACT;
    cosh Cosh unary INEXACT;
    tanh Tanh unary INEXACT;
    asinh Asinh unary INEXACT;
    acosh Acosh unary INEXACT;
    atanh Atanh unary INEXACT;
    erf Erf unary FLOAT;
    not Not unary BOOL;
    and And alike BOOL;
    or Or alike BOOL;
    xor Xor alike BOOL;
    bit_not BitNot unary INTEGER;
    bit_and BitAnd alike INTEGER;
    bit_or BitOr alike INTEGER;
    bit_xor BitXor alike INTEGER;
    shift_left ShiftLeft alike INTEGER;
    shift_right ShiftRight alike INTEGER;
    equal Equal comparison ANY;
    less Less comparison REAL;
    less_or_equal LessOrEqual comparison REAL;
    is_nan IsNan predicate INEXACT;
    reciprocal Reciprocal unary INEXACT;
    greater Greater comparison REAL;
    greater_or_equal GreaterOrEqual comparison REAL;
    is_inf IsInf predicate FLOAT;
    variadic_sum VariadicSum alike NUMERIC;
    variadic_mean VariadicMean alike NUMERIC;
    variadic_max VariadicMax alike REAL;
    variadic_min VariadicMin alike REAL;
}

/// `pow`.
pub fn pow(cx: &InferCx<'_>, _: &Pow) -> InferResult {
    let (base, exponent) = (cx.tensor(0)?, cx.tensor(1)?);
    check(cx, base.dtype, NUMERIC)?;
    check(cx, exponent.dtype, NUMERIC)?;
    cx.require(base.dtype.is_complex() || !exponent.dtype.is_complex(), "pow-c2", || {
        format!("a base of {} has no complex powers", base.dtype)
    })?;
    let shape = cx.merge_shape(&base.shape, &exponent.shape)?;
    one(TensorType { dtype: base.dtype, shape })
}

/// `abs`: the magnitude of a complex number is a float.
pub fn abs(cx: &InferCx<'_>, _: &Abs) -> InferResult {
    let ty = cx.tensor(0)?;
    check(cx, ty.dtype, NUMERIC)?;
    let dtype = ty.dtype.complex_part().unwrap_or(ty.dtype);
    one(TensorType { dtype, shape: ty.shape.clone() })
}

/// `select`.
pub fn select(cx: &InferCx<'_>, _: &Select) -> InferResult {
    let (condition, x, y) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
    check(cx, condition.dtype, BOOL)?;
    cx.same_dtype(1, 2)?;
    let shape = cx.merge_shape(&x.shape, &y.shape)?;
    let shape = cx.merge_shape(&condition.shape, &shape)?;
    one(TensorType { dtype: x.dtype, shape })
}

fn convert(cx: &InferCx<'_>, to: DType) -> InferResult {
    let ty = cx.tensor(0)?;
    let (from_text, to_text) = (ty.dtype == DType::String, to == DType::String);
    let barred = (from_text && to.is_complex()) || (ty.dtype.is_complex() && to_text);
    let label = format!("{}-c1", cx.name());
    cx.require(!barred, &label, || format!("there is no conversion of {} to {to}", ty.dtype))?;
    one(TensorType { dtype: to, shape: ty.shape.clone() })
}

/// `cast`.
pub fn cast(cx: &InferCx<'_>, op: &Cast) -> InferResult {
    convert(cx, op.to)
}

/// `cast_like`.
pub fn cast_like(cx: &InferCx<'_>, _: &CastLike) -> InferResult {
    match cx.operand(1)?.dtype() {
        Some(to) => convert(cx, to),
        None => cx.tensor(1).map(|_| Vec::new()),
    }
}

/// `bitcast`.
pub fn bitcast(cx: &InferCx<'_>, op: &Bitcast) -> InferResult {
    let ty = cx.tensor(0)?;
    let text = ty.dtype == DType::String || op.to == DType::String;
    cx.require(!text && ty.dtype.bits() == op.to.bits(), "bitcast-c1", || {
        format!("{} and {} differ in width", ty.dtype, op.to)
    })?;
    one(TensorType { dtype: op.to, shape: ty.shape.clone() })
}

/// `complex`.
pub fn complex(cx: &InferCx<'_>, _: &Complex) -> InferResult {
    let ty = cx.same_type(0)?;
    let dtype = match ty.dtype {
        DType::F32 => DType::C64,
        DType::F64 => DType::C128,
        other => return cx.fail("complex-c1", format!("wants f32 or f64, not {other}")),
    };
    one(TensorType { dtype, ..ty })
}

fn part(cx: &InferCx<'_>) -> InferResult {
    let ty = cx.tensor(0)?;
    let Some(dtype) = ty.dtype.complex_part() else {
        let label = format!("{}-c1", cx.name());
        return cx.fail(&label, format!("wants a complex dtype, not {}", ty.dtype));
    };
    one(TensorType { dtype, shape: ty.shape.clone() })
}

/// `real`.
pub fn real(cx: &InferCx<'_>, _: &Real) -> InferResult {
    part(cx)
}

/// `imag`.
pub fn imag(cx: &InferCx<'_>, _: &Imag) -> InferResult {
    part(cx)
}

/// `identity`, of any type.
pub fn identity(cx: &InferCx<'_>, _: &Identity) -> InferResult {
    match cx.operand(0)? {
        Type::Unknown => Err(InferError::Unknown(cx.slot_name(0))),
        ty => one(ty.clone()),
    }
}

/// `clip`.
pub fn clip(cx: &InferCx<'_>, _: &Clip) -> InferResult {
    let ty = cx.tensor(0)?;
    check(cx, ty.dtype, REAL)?;
    for slot in 1..cx.operand_count() {
        if cx.opt(slot).is_some() {
            cx.same_dtype(0, slot)?;
            cx.scalar(slot)?;
        }
    }
    one(ty.clone())
}
