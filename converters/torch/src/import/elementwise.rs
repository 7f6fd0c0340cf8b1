//! Reading rules of the elementwise family: arithmetic, comparison, logic, bits, functions.

use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    Abs, Acos, Acosh, Add, And, Asin, Asinh, Atan, Atanh, BitAnd, BitNot, BitOr, BitXor, Ceil, Cos,
    Cosh, Div, Equal, Erf, Exp, Floor, Greater, GreaterOrEqual, IntRounding, Less, LessOrEqual,
    Log, Max, Min, Mul, Neg, Not, Op, OpKind, Or, Pow, Reciprocal, Rem, Round, Select, Sign, Sin,
    Sinh, Sqrt, Sub, Tan, Tanh, Xor,
};

use super::arg::Arg;
use super::call::{CallCx, Stop};
use super::formula::{value, when};
use super::promote::{Category, Number, Operand, result_type};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::abs", &[OpKind::Abs], abs),
    ImportRule::new("aten::acos", &[OpKind::Acos], acos),
    ImportRule::new("aten::acosh", &[OpKind::Acosh], acosh),
    ImportRule::new("aten::add", &[OpKind::Add], add),
    ImportRule::new("aten::asin", &[OpKind::Asin], asin),
    ImportRule::new("aten::asinh", &[OpKind::Asinh], asinh),
    ImportRule::new("aten::atan", &[OpKind::Atan], atan),
    ImportRule::new("aten::atanh", &[OpKind::Atanh], atanh),
    ImportRule::new("aten::bitwise_and", &[OpKind::BitAnd], bitwise_and),
    ImportRule::new("aten::bitwise_not", &[OpKind::BitNot], bitwise_not),
    ImportRule::new("aten::bitwise_or", &[OpKind::BitOr], bitwise_or),
    ImportRule::new("aten::bitwise_xor", &[OpKind::BitXor], bitwise_xor),
    ImportRule::new("aten::ceil", &[OpKind::Ceil], ceil),
    ImportRule::new("aten::clamp", &[OpKind::Max, OpKind::Min], clamp),
    ImportRule::new("aten::cos", &[OpKind::Cos], cos),
    ImportRule::new("aten::cosh", &[OpKind::Cosh], cosh),
    ImportRule::new("aten::div", &[OpKind::Div], div),
    ImportRule::new("aten::eq", &[OpKind::Equal], eq),
    ImportRule::new("aten::erf", &[OpKind::Erf], erf),
    ImportRule::new("aten::exp", &[OpKind::Exp], exp),
    ImportRule::new("aten::floor", &[OpKind::Floor], floor),
    ImportRule::new("aten::floor_divide", &[OpKind::Div], floor_divide),
    ImportRule::new("aten::ge", &[OpKind::GreaterOrEqual], ge),
    ImportRule::new("aten::gt", &[OpKind::Greater], gt),
    ImportRule::new("aten::le", &[OpKind::LessOrEqual], le),
    ImportRule::new("aten::log", &[OpKind::Log], log),
    ImportRule::new("aten::logical_and", &[OpKind::And], logical_and),
    ImportRule::new("aten::logical_not", &[OpKind::Not], logical_not),
    ImportRule::new("aten::logical_or", &[OpKind::Or], logical_or),
    ImportRule::new("aten::logical_xor", &[OpKind::Xor], logical_xor),
    ImportRule::new("aten::lt", &[OpKind::Less], lt),
    ImportRule::new("aten::maximum", &[OpKind::Max], maximum),
    ImportRule::new("aten::minimum", &[OpKind::Min], minimum),
    ImportRule::new("aten::mul", &[OpKind::Mul], mul),
    ImportRule::new("aten::ne", &[OpKind::Equal, OpKind::Not], ne),
    ImportRule::new("aten::neg", &[OpKind::Neg], neg),
    ImportRule::new("aten::pow", &[OpKind::Pow], pow),
    ImportRule::new("aten::reciprocal", &[OpKind::Reciprocal], reciprocal),
    ImportRule::new("aten::remainder", &[OpKind::Rem], remainder),
    ImportRule::of("aten::round", "", &[OpKind::Round], round),
    ImportRule::new("aten::rsqrt", &[OpKind::Reciprocal, OpKind::Sqrt], rsqrt),
    ImportRule::new("aten::rsub", &[OpKind::Sub], rsub),
    ImportRule::new("aten::sign", &[OpKind::Sign], sign),
    ImportRule::new("aten::sin", &[OpKind::Sin], sin),
    ImportRule::new("aten::sinh", &[OpKind::Sinh], sinh),
    ImportRule::new("aten::sqrt", &[OpKind::Sqrt], sqrt),
    ImportRule::new("aten::sub", &[OpKind::Sub], sub),
    ImportRule::new("aten::tan", &[OpKind::Tan], tan),
    ImportRule::new("aten::tanh", &[OpKind::Tanh], tanh),
    ImportRule::of("aten::where", "self", &[OpKind::Select], where_),
    ImportRule::of("aten::where", "ScalarOther", &[OpKind::Select], where_),
    ImportRule::of("aten::where", "ScalarSelf", &[OpKind::Select], where_),
    ImportRule::of("aten::where", "Scalar", &[OpKind::Select], where_),
];

/// An operator of one operand that keeps the dtype.
pub(super) fn same_dtype(cx: &mut CallCx<'_>, op: impl Into<Op>) -> Outcome {
    let x = cx.tensor("self")?;
    Ok(cx.emit(op, &[x])?.into())
}

/// The operand of a function that computes in floats: integers become f32.
pub(super) fn float_operand(cx: &mut CallCx<'_>, name: &str) -> Result<ValueId, Stop> {
    let x = cx.tensor(name)?;
    match cx.category(x)? {
        Category::Bool | Category::Int => cx.cast(x, DType::F32),
        Category::Float | Category::Complex => Ok(x),
    }
}

/// An operator of one operand that computes in floats.
pub(super) fn float_unary(cx: &mut CallCx<'_>, op: impl Into<Op>) -> Outcome {
    let x = float_operand(cx, "self")?;
    Ok(cx.emit(op, &[x])?.into())
}

/// Rules of one operand: keeps the dtype, or computes in floats.
macro_rules! unary {
    ($shape:ident: $($(#[$doc:meta])* $name:ident => $op:expr;)*) => {
        $($(#[$doc])* fn $name(cx: &mut CallCx<'_>) -> Outcome { $shape(cx, $op) })*
    };
}

unary! { float_unary:
    /// `acos`.
    acos => Acos {};
    /// `acosh`.
    acosh => Acosh {};
    /// `asin`.
    asin => Asin {};
    /// `asinh`.
    asinh => Asinh {};
    /// `atan`.
    atan => Atan {};
    /// `atanh`.
    atanh => Atanh {};
    /// `cos`.
    cos => Cos {};
    /// `cosh`.
    cosh => Cosh {};
    /// `erf`.
    erf => Erf {};
    /// `exp`.
    exp => Exp {};
    /// `log`.
    log => Log {};
    /// `reciprocal`.
    reciprocal => Reciprocal {};
    /// `sin`.
    sin => Sin {};
    /// `sinh`.
    sinh => Sinh {};
    /// `sqrt`.
    sqrt => Sqrt {};
    /// `tan`.
    tan => Tan {};
    /// `tanh`.
    tanh => Tanh {};
}

/// An operator of one operand that leaves integers and bools as they are.
fn floats_only(cx: &mut CallCx<'_>, op: impl Into<Op>) -> Outcome {
    let x = cx.tensor("self")?;
    match cx.category(x)? {
        Category::Bool | Category::Int => Ok(x.into()),
        Category::Float | Category::Complex => Ok(cx.emit(op, &[x])?.into()),
    }
}

unary! { floats_only:
    /// `ceil`.
    ceil => Ceil {};
    /// `floor`.
    floor => Floor {};
    /// `round` to integers, ties to even.
    round => Round {};
}

unary! { same_dtype:
    /// `neg`.
    neg => Neg {};
}

/// `abs`; of a bool itself.
fn abs(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    if cx.category(x)? == Category::Bool {
        return Ok(x.into());
    }
    Ok(cx.emit(Abs {}, &[x])?.into())
}

/// `sign`; of a bool itself.
fn sign(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    if cx.category(x)? == Category::Bool {
        return Ok(x.into());
    }
    Ok(cx.emit(Sign {}, &[x])?.into())
}

/// `rsqrt`: 1 / sqrt(x).
fn rsqrt(cx: &mut CallCx<'_>) -> Outcome {
    let x = float_operand(cx, "self")?;
    let root = cx.emit(Sqrt {}, &[x])?;
    Ok(cx.emit(Reciprocal {}, &[root])?.into())
}

/// An operator of two operands that are promoted.
pub(super) fn binary(cx: &mut CallCx<'_>, op: impl Into<Op>) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    Ok(cx.emit(op, &operands)?.into())
}

/// A comparison of order: operands are promoted, bools compare as 0 and 1.
fn compared(cx: &mut CallCx<'_>, op: impl Into<Op>) -> Outcome {
    let mut operands = cx.promoted(&["self", "other"])?;
    for x in &mut operands {
        *x = super::reduce::ordered(cx, *x)?;
    }
    Ok(cx.emit(op, &operands)?.into())
}

/// `eq`.
fn eq(cx: &mut CallCx<'_>) -> Outcome {
    binary(cx, Equal {})
}

/// Rules of comparisons of order.
macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident => $op:expr;)*) => {
        $($(#[$doc])* fn $name(cx: &mut CallCx<'_>) -> Outcome { compared(cx, $op) })*
    };
}

comparisons! {
    /// `ge`.
    ge => GreaterOrEqual {};
    /// `gt`.
    gt => Greater {};
    /// `le`.
    le => LessOrEqual {};
    /// `lt`.
    lt => Less {};
}

/// `ne`.
fn ne(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    let equal = cx.emit(Equal {}, &operands)?;
    Ok(cx.emit(Not {}, &[equal])?.into())
}

/// `mul`; of bools their conjunction.
fn mul(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    if cx.category(operands[0])? == Category::Bool {
        return Ok(cx.emit(And {}, &operands)?.into());
    }
    Ok(cx.emit(Mul {}, &operands)?.into())
}

/// `add`: self + alpha * other; of bools their disjunction.
fn add(cx: &mut CallCx<'_>) -> Outcome {
    let [a, b] = scaled_operands(cx, "self", "other")?;
    if cx.category(a)? == Category::Bool {
        return Ok(cx.emit(Or {}, &[a, b])?.into());
    }
    Ok(cx.emit(Add {}, &[a, b])?.into())
}

/// `sub`: self - alpha * other.
fn sub(cx: &mut CallCx<'_>) -> Outcome {
    let [a, b] = scaled_operands(cx, "self", "other")?;
    Ok(cx.emit(Sub {}, &[a, b])?.into())
}

/// `rsub`: other - alpha * self.
fn rsub(cx: &mut CallCx<'_>) -> Outcome {
    let [a, b] = scaled_operands(cx, "other", "self")?;
    Ok(cx.emit(Sub {}, &[a, b])?.into())
}

/// Two promoted operands, the second one multiplied by `alpha`.
fn scaled_operands(cx: &mut CallCx<'_>, a: &str, b: &str) -> Result<[ValueId; 2], Stop> {
    let operands = cx.promoted(&[a, b])?;
    let (a, mut b) = (operands[0], operands[1]);
    let alpha = if cx.has("alpha") { cx.number("alpha")? } else { Number::Int(1.into()) };
    if !alpha.is(1) {
        let dtype = cx.dtype(b)?;
        let factor = cx.number_value(&alpha, dtype)?;
        let both = cx.broadcast(&[b, factor])?;
        b = cx.emit(Mul {}, &both)?;
    }
    Ok([a, b])
}

/// `div`: true division, or rounded as `rounding_mode` says.
fn div(cx: &mut CallCx<'_>) -> Outcome {
    let mode = if cx.has("rounding_mode") { cx.string("rounding_mode")? } else { "".into() };
    match &*mode {
        "" => {
            let operands = cx.promoted_float(&["self", "other"])?;
            Ok(cx.emit(Div { rounding: IntRounding::Trunc }, &operands)?.into())
        }
        "trunc" => divide(cx, IntRounding::Trunc),
        "floor" => divide(cx, IntRounding::Floor),
        other => cx.invalid(format!("the rounding mode is `{other}`")),
    }
}

/// `floor_divide`.
fn floor_divide(cx: &mut CallCx<'_>) -> Outcome {
    divide(cx, IntRounding::Floor)
}

/// Division rounded to integers, in the promoted dtype.
fn divide(cx: &mut CallCx<'_>, rounding: IntRounding) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    if cx.category(operands[0])? != Category::Float {
        return Ok(cx.emit(Div { rounding }, &operands)?.into());
    }
    match rounding {
        IntRounding::Trunc => {
            let quotient = cx.emit(Div { rounding }, &operands)?;
            Ok(truncated(cx, quotient)?.into())
        }
        IntRounding::Floor => floor_quotient(cx, operands[0], operands[1]),
    }
}

/// Floor division of floats as Python does it: the remainder is taken off first, so that the
/// quotient is not rounded up to the next integer. By zero it is the plain quotient, and a
/// quotient of zero has its sign. Half precision is computed in single precision.
fn floor_quotient(cx: &mut CallCx<'_>, a: ValueId, b: ValueId) -> Outcome {
    let dtype = cx.dtype(a)?;
    let wide = if dtype.bits() < 32 { DType::F32 } else { dtype };
    let (a, b) = (cx.cast(a, wide)?, cx.cast(b, wide)?);
    let zero = cx.b().full_like(b, 0.0)?;
    let one = cx.b().full_like(b, 1.0)?;
    let plain = cx.emit(Div { rounding: IntRounding::Floor }, &[a, b])?;
    let rest = cx.emit(Rem { rounding: IntRounding::Trunc }, &[a, b])?;
    let whole = cx.emit(Sub {}, &[a, rest])?;
    let exact = cx.emit(Div { rounding: IntRounding::Floor }, &[whole, b])?;
    // The remainder has the sign of `a`: where that is not the one of `b`, it is one less.
    let below = [b, rest].map(|v| cx.emit(Less {}, &[v, zero]));
    let [b_below, rest_below] = below;
    let differ = cx.emit(Xor {}, &[b_below?, rest_below?])?;
    let no_rest = cx.emit(Equal {}, &[rest, zero])?;
    let less = cx.emit(Sub {}, &[exact, one])?;
    let lowered = cx.emit(Select {}, &[differ, less, exact])?;
    let exact = cx.emit(Select {}, &[no_rest, exact, lowered])?;
    // What is off by rounding is brought to the nearest integer.
    let floor = cx.emit(Floor {}, &[exact])?;
    let over = cx.emit(Sub {}, &[exact, floor])?;
    let half = cx.b().full_like(b, 0.5)?;
    let is_over = cx.emit(Less {}, &[half, over])?;
    let next = cx.emit(Add {}, &[floor, one])?;
    let rounded = cx.emit(Select {}, &[is_over, next, floor])?;
    let is_zero = cx.emit(Equal {}, &[exact, zero])?;
    let signed = cx.emit(Mul {}, &[plain, zero])?;
    let rounded = cx.emit(Select {}, &[is_zero, signed, rounded])?;
    let by_zero = cx.emit(Equal {}, &[b, zero])?;
    let y = cx.emit(Select {}, &[by_zero, plain, rounded])?;
    Ok(cx.cast(y, dtype)?.into())
}

/// A float without its fraction.
pub(super) fn truncated(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    let zero = cx.b().full_like(x, 0.0)?;
    let negative = cx.emit(Less {}, &[x, zero])?;
    let (up, down) = (cx.emit(Ceil {}, &[x])?, cx.emit(Floor {}, &[x])?);
    cx.emit(Select {}, &[negative, up, down])
}

/// `remainder`: sign of the divisor.
fn remainder(cx: &mut CallCx<'_>) -> Outcome {
    binary(cx, Rem { rounding: IntRounding::Floor })
}

/// `pow` of two tensors, or of a tensor and a number.
fn pow(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "exponent"])?;
    if cx.dtype(operands[0])?.is_signed_int() {
        return integer_power(cx, operands[0], operands[1]);
    }
    Ok(cx.emit(Pow {}, &operands)?.into())
}

/// A power of integers; 0 to a negative power is 0, as what rounds to 0 is.
fn integer_power(cx: &mut CallCx<'_>, base: ValueId, exponent: ValueId) -> Outcome {
    let known = match cx.arg("exponent")? {
        Arg::Tensor(value) => cx.const_array(*value).and_then(|a| a.to_i64s()),
        Arg::Int(dim) => dim.as_known().map(|n| vec![n]),
        _ => None,
    };
    if known.is_some_and(|all| all.iter().all(|n| *n >= 0)) {
        return Ok(cx.emit(Pow {}, &[base, exponent])?.into());
    }
    let dtype = cx.dtype(base)?;
    let undefined = value(base).eq(0.0).and(value(exponent).lt(0.0));
    let power = when(&undefined, 2.0, value(base)).pow(value(exponent));
    Ok(cx.formula(&power, dtype)?.into())
}

/// `maximum`: NaN wins.
pub(super) fn maximum(cx: &mut CallCx<'_>) -> Outcome {
    extreme(cx, true)
}

/// `minimum`: NaN wins.
pub(super) fn minimum(cx: &mut CallCx<'_>) -> Outcome {
    extreme(cx, false)
}

fn extreme(cx: &mut CallCx<'_>, greatest: bool) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    let bools = cx.category(operands[0])? == Category::Bool;
    Ok(extreme_of(cx, &operands, greatest, bools)?.into())
}

pub(super) fn extreme_of(
    cx: &mut CallCx<'_>,
    operands: &[ValueId],
    greatest: bool,
    bools: bool,
) -> Result<ValueId, Stop> {
    let nan = airconv_ir::op::NanRule::Propagate;
    match (greatest, bools) {
        (true, true) => cx.emit(Or {}, operands),
        (false, true) => cx.emit(And {}, operands),
        (true, false) => cx.emit(Max { nan }, operands),
        (false, false) => cx.emit(Min { nan }, operands),
    }
}

/// `clamp`: at least `min`, then at most `max`.
fn clamp(cx: &mut CallCx<'_>) -> Outcome {
    let mut operands = vec![cx.operand("self")?];
    let bounds = [("min", true), ("max", false)];
    let mut used = Vec::new();
    for (name, greatest) in bounds {
        if cx.given(name)? {
            operands.push(cx.operand(name)?);
            used.push(greatest);
        }
    }
    let dtype = result_type(cx, &operands)?;
    let mut x = cx.operand_value(&operands[0], dtype)?;
    for (bound, greatest) in operands[1..].iter().zip(used) {
        let bound = cx.operand_value(bound, dtype)?;
        let both = cx.broadcast(&[x, bound])?;
        x = extreme_of(cx, &both, greatest, dtype == DType::Bool)?;
    }
    Ok(x.into())
}

/// A bitwise operator: logical on bools.
fn bitwise(cx: &mut CallCx<'_>, bits: impl Into<Op>, bools: impl Into<Op>) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    let op = if cx.category(operands[0])? == Category::Bool { bools.into() } else { bits.into() };
    Ok(cx.emit(op, &operands)?.into())
}

/// `bitwise_and`.
fn bitwise_and(cx: &mut CallCx<'_>) -> Outcome {
    bitwise(cx, BitAnd {}, And {})
}

/// `bitwise_or`.
fn bitwise_or(cx: &mut CallCx<'_>) -> Outcome {
    bitwise(cx, BitOr {}, Or {})
}

/// `bitwise_xor`.
fn bitwise_xor(cx: &mut CallCx<'_>) -> Outcome {
    bitwise(cx, BitXor {}, Xor {})
}

/// `bitwise_not`.
fn bitwise_not(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    match cx.category(x)? {
        Category::Bool => Ok(cx.emit(Not {}, &[x])?.into()),
        _ => Ok(cx.emit(BitNot {}, &[x])?.into()),
    }
}

/// A logical operator: whatever is not zero is true.
fn logical(cx: &mut CallCx<'_>, op: impl Into<Op>) -> Outcome {
    let (a, b) = (cx.tensor("self")?, cx.tensor("other")?);
    let (a, b) = (cx.cast(a, DType::Bool)?, cx.cast(b, DType::Bool)?);
    let both = cx.broadcast(&[a, b])?;
    Ok(cx.emit(op, &both)?.into())
}

/// `logical_and`.
fn logical_and(cx: &mut CallCx<'_>) -> Outcome {
    logical(cx, And {})
}

/// `logical_or`.
fn logical_or(cx: &mut CallCx<'_>) -> Outcome {
    logical(cx, Or {})
}

/// `logical_xor`.
fn logical_xor(cx: &mut CallCx<'_>) -> Outcome {
    logical(cx, Xor {})
}

/// `logical_not`.
fn logical_not(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let x = cx.cast(x, DType::Bool)?;
    Ok(cx.emit(Not {}, &[x])?.into())
}

/// `where` with tensors or numbers on either side.
fn where_(cx: &mut CallCx<'_>) -> Outcome {
    let condition = cx.tensor("condition")?;
    let condition = cx.cast(condition, DType::Bool)?;
    let operands: Vec<Operand> = cx.operands(&["self", "other"])?;
    let dtype = result_type(cx, &operands)?;
    let x = cx.operand_value(&operands[0], dtype)?;
    let y = cx.operand_value(&operands[1], dtype)?;
    let all = cx.broadcast(&[condition, x, y])?;
    Ok(cx.emit(Select {}, &all)?.into())
}
