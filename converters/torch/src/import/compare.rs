//! Reading rules of questions about elements.

use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{And, Equal, IsNan, Less, Not, OpKind, Or, ReduceKind};

use super::call::{CallCx, Stop};
use super::formula::{Formula, value};
use super::math::sign_bit_of;
use super::promote::{Category, Number};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::allclose", &[OpKind::LessOrEqual, OpKind::Reduce], allclose),
    ImportRule::new("aten::equal", &[OpKind::Equal, OpKind::Reduce], equal),
    ImportRule::new("aten::isclose", &[OpKind::LessOrEqual], isclose),
    ImportRule::new("aten::isfinite", &[OpKind::Less], isfinite),
    ImportRule::new("aten::isin", &[OpKind::Equal, OpKind::Reduce], isin),
    ImportRule::new("aten::isinf", &[OpKind::Equal], isinf),
    ImportRule::new("aten::isnan", &[OpKind::IsNan], isnan),
    ImportRule::new("aten::isneginf", &[OpKind::Equal], isneginf),
    ImportRule::new("aten::isposinf", &[OpKind::Equal], isposinf),
    ImportRule::new("aten::isreal", &[OpKind::Imag, OpKind::Equal], isreal),
    ImportRule::new("aten::signbit", &[OpKind::Bitcast, OpKind::Less], signbit),
];

/// The same truth value for every element.
fn everywhere(cx: &mut CallCx<'_>, x: ValueId, truth: bool) -> Outcome {
    let shape = cx.shape(x)?;
    Ok(super::shape::filled(cx, &shape, &Number::Bool(truth), DType::Bool)?.into())
}

/// A question to which integers have one answer. Of a complex number it is asked of both parts,
/// whose answers `join` makes one.
fn asked(
    cx: &mut CallCx<'_>,
    of_integers: bool,
    join: fn(&Formula, Formula) -> Formula,
    question: fn(&Formula) -> Formula,
) -> Outcome {
    let x = cx.tensor("self")?;
    let dtype = cx.dtype(x)?;
    match cx.category(x)? {
        Category::Bool | Category::Int => everywhere(cx, x, of_integers),
        Category::Float => Ok(cx.formula(&question(&value(x)), dtype)?.into()),
        Category::Complex => {
            let [re, im] = super::complex::parts(cx, x)?;
            let part = cx.dtype(re)?;
            let both = join(&question(&value(re)), question(&value(im)));
            Ok(cx.formula(&both, part)?.into())
        }
    }
}

fn either(a: &Formula, b: Formula) -> Formula {
    a.or(b)
}
fn both(a: &Formula, b: Formula) -> Formula {
    a.and(b)
}

/// `isnan`.
fn isnan(cx: &mut CallCx<'_>) -> Outcome {
    asked(cx, false, either, Formula::is_nan)
}

/// `isinf`.
fn isinf(cx: &mut CallCx<'_>) -> Outcome {
    asked(cx, false, either, Formula::is_infinite)
}

/// `isfinite`.
fn isfinite(cx: &mut CallCx<'_>) -> Outcome {
    asked(cx, true, both, |x| x.abs().lt(f64::INFINITY))
}

/// `isposinf`.
fn isposinf(cx: &mut CallCx<'_>) -> Outcome {
    asked(cx, false, either, |x| x.eq(f64::INFINITY))
}

/// `isneginf`.
fn isneginf(cx: &mut CallCx<'_>) -> Outcome {
    asked(cx, false, either, |x| x.eq(f64::NEG_INFINITY))
}

/// `isreal`: whether the imaginary part is zero.
fn isreal(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    if cx.category(x)? != Category::Complex {
        return everywhere(cx, x, true);
    }
    let [_, im] = super::complex::parts(cx, x)?;
    let zero = cx.b().full_like(im, 0.0)?;
    Ok(cx.emit(Equal {}, &[im, zero])?.into())
}

/// `signbit`: whether the sign is negative, of -0 too.
fn signbit(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    match cx.category(x)? {
        Category::Bool => everywhere(cx, x, false),
        Category::Float => Ok(sign_bit_of(cx, x)?.into()),
        _ => {
            let zero = cx.b().full_like(x, 0.0)?;
            Ok(cx.emit(Less {}, &[x, zero])?.into())
        }
    }
}

/// `isclose`: |self - other| <= atol + |rtol * other|, or equal.
fn isclose(cx: &mut CallCx<'_>) -> Outcome {
    Ok(close(cx)?.into())
}

fn close(cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
    let (rtol, atol) = (cx.float("rtol")?, cx.float("atol")?);
    let nan_too = cx.bool("equal_nan")?;
    let operands = cx.promoted(&["self", "other"])?;
    let category = cx.category(operands[0])?;
    if category == Category::Complex {
        return cx.unsupported("complex numbers");
    }
    let mut same = cx.emit(Equal {}, &operands)?;
    if nan_too && category == Category::Float {
        let (a, b) = (cx.emit(IsNan {}, &[operands[0]])?, cx.emit(IsNan {}, &[operands[1]])?);
        let nans = cx.emit(And {}, &[a, b])?;
        same = cx.emit(Or {}, &[same, nans])?;
    }
    if rtol == 0.0 && atol == 0.0 {
        return Ok(same);
    }
    let (a, b) = (cx.cast(operands[0], DType::F64)?, cx.cast(operands[1], DType::F64)?);
    let apart = (value(a) - value(b)).abs();
    let allowed = (value(b) * rtol).abs() + atol;
    let near = apart.lt(f64::INFINITY).and(apart.le(allowed));
    cx.formula(&near.or(value(same)), DType::F64)
}

/// `allclose`: whether all elements are.
fn allclose(cx: &mut CallCx<'_>) -> Outcome {
    let each = close(cx)?;
    let axes: Vec<usize> = (0..cx.rank(each)?).collect();
    let all = cx.b().reduce(ReduceKind::And, each, &axes, false)?;
    Ok(super::arg::Arg::Number(all).into())
}

/// `equal`: whether all elements are.
fn equal(cx: &mut CallCx<'_>) -> Outcome {
    let operands = [cx.tensor("self")?, cx.tensor("other")?];
    if cx.shape(operands[0])? != cx.shape(operands[1])? {
        return cx.unsupported("tensors of different shapes");
    }
    let each = cx.emit(Equal {}, &operands)?;
    let axes: Vec<usize> = (0..cx.rank(each)?).collect();
    let all = cx.b().reduce(ReduceKind::And, each, &axes, false)?;
    Ok(super::arg::Arg::Number(all).into())
}

/// `isin`: whether elements are among the test elements.
fn isin(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["assume_unique"]);
    let invert = cx.bool("invert")?;
    let (elements, tests) = match cx.schema.overload.as_str() {
        "Tensor_Tensor" => ("elements", "test_elements"),
        "Tensor_Scalar" => ("elements", "test_element"),
        _ => ("element", "test_elements"),
    };
    let operands = cx.operands(&[elements, tests])?;
    let dtype = super::promote::result_type(cx, &operands)?;
    let x = cx.operand_value(&operands[0], dtype)?;
    let tests = cx.operand_value(&operands[1], dtype)?;
    let count = airconv_ir::dim::numel(&cx.shape(tests)?);
    let tests = cx.b().reshape(tests, &[count])?;
    let rank = cx.rank(x)?;
    let wide = cx.b().unsqueeze(x, &[rank])?;
    let hits = cx.b().equal(wide, tests)?;
    let found = cx.b().reduce(ReduceKind::Or, hits, &[rank], false)?;
    Ok(match invert {
        true => cx.emit(Not {}, &[found])?,
        false => found,
    }
    .into())
}
