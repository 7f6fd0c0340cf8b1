//! Writing rules of the elementwise family.

use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{IntRounding, NanRule, Op, OpKind};

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::BitNot, bit_not),
    ExportRule::new(OpKind::Clip, clip),
    ExportRule::new(OpKind::Div, div),
    ExportRule::new(OpKind::Rem, rem),
    ExportRule::new(OpKind::Max, extreme),
    ExportRule::new(OpKind::Min, extreme),
    ExportRule::new(OpKind::ShiftLeft, shift),
    ExportRule::new(OpKind::ShiftRight, shift),
];

/// The complement where there is no `BitwiseNot`: what is missing to the number of all ones.
fn bit_not(cx: &mut ExportCx<'_, '_>, _: &Op) -> Result<(), Refuse> {
    if cx.opset() >= 18 {
        return Refuse::because("there is an op for it");
    }
    let dtype = cx.tensor_ty(0)?.dtype;
    let ones = match dtype.int_range() {
        Some((0, _)) if dtype.bits() > 32 => return Refuse::because("all ones do not fit i64"),
        Some((0, high)) => high as f64,
        _ => -1.0,
    };
    let inputs = [cx.scalar(dtype, ones)?, cx.x(0)?];
    cx.emit("Sub", &inputs, Vec::new())
}

/// `Clip` with the bounds as inputs.
fn clip(cx: &mut ExportCx<'_, '_>, _: &Op) -> Result<(), Refuse> {
    for slot in 1..cx.count() {
        if cx.value(slot).is_some() && cx.tensor_ty(slot)?.rank() > 0 {
            return Refuse::because("a bound is not a scalar");
        }
    }
    let inputs = cx.all()?;
    cx.emit("Clip", &inputs, Vec::new())
}

/// The remainder of two names, with the given rounding.
fn remainder(
    cx: &mut ExportCx<'_, '_>,
    inputs: &[String],
    dtype: DType,
    fmod: bool,
) -> Result<String, Refuse> {
    cx.temp("Mod", inputs, vec![attr::bool("fmod", fmod)], dtype)
}

/// `Div`, which rounds toward zero; otherwise what is left is taken off first.
fn div(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Div(op) = op else { return Refuse::because("not a division") };
    let inputs = cx.broadcast_operands()?;
    let dtype = cx.tensor_ty(0)?.dtype;
    if op.rounding == IntRounding::Trunc || !dtype.is_integer() {
        return cx.emit("Div", &inputs, Vec::new());
    }
    let [a, b] = inputs.as_slice() else { return Refuse::because("wants two operands") };
    let rest = remainder(cx, &inputs, dtype, false)?;
    let exact = cx.temp("Sub", &[a.clone(), rest], Vec::new(), dtype)?;
    cx.emit("Div", &[exact, b.clone()], Vec::new())
}

/// `Mod`. Floats have the C form only; the other one adds the divisor where the signs differ.
fn rem(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Rem(op) = op else { return Refuse::because("not a remainder") };
    let inputs = cx.broadcast_operands()?;
    let dtype = cx.tensor_ty(0)?.dtype;
    if op.rounding == IntRounding::Trunc {
        return cx.emit("Mod", &inputs, vec![attr::int("fmod", 1)]);
    }
    if dtype.is_integer() {
        return cx.emit("Mod", &inputs, Vec::new());
    }
    let [_, b] = inputs.as_slice() else { return Refuse::because("wants two operands") };
    let rest = remainder(cx, &inputs, dtype, true)?;
    let zero = cx.scalar(dtype, 0.0)?;
    let below = |cx: &mut ExportCx<'_, '_>, x: &str| {
        cx.temp("Less", &[x.to_owned(), zero.clone()], Vec::new(), DType::Bool)
    };
    let (rest_below, divisor_below) = (below(cx, &rest)?, below(cx, b)?);
    let differ = cx.temp("Xor", &[rest_below, divisor_below], Vec::new(), DType::Bool)?;
    let none = cx.temp("Equal", &[rest.clone(), zero], Vec::new(), DType::Bool)?;
    let some = cx.temp("Not", &[none], Vec::new(), DType::Bool)?;
    let crosses = cx.temp("And", &[differ, some], Vec::new(), DType::Bool)?;
    let moved = cx.temp("Add", &[rest.clone(), b.clone()], Vec::new(), dtype)?;
    cx.emit("Where", &[crosses, moved, rest], Vec::new())
}

/// `Max` and `Min`, which give NaN where one operand is; the other rule chooses around it.
fn extreme(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let (name, nan) = match op {
        Op::Max(op) => ("Max", op.nan),
        Op::Min(op) => ("Min", op.nan),
        _ => return Refuse::because("not an extreme"),
    };
    let inputs = cx.broadcast_operands()?;
    let dtype = cx.tensor_ty(0)?.dtype;
    if nan == NanRule::Propagate || dtype.is_integer() {
        return cx.emit(name, &inputs, Vec::new());
    }
    let [a, b] = inputs.as_slice() else { return Refuse::because("wants two operands") };
    let both = cx.temp(name, &inputs, Vec::new(), dtype)?;
    let a_nan = cx.temp("IsNaN", std::slice::from_ref(a), Vec::new(), DType::Bool)?;
    let b_nan = cx.temp("IsNaN", std::slice::from_ref(b), Vec::new(), DType::Bool)?;
    let rest = cx.temp("Where", &[b_nan, a.clone(), both], Vec::new(), dtype)?;
    cx.emit("Where", &[a_nan, b.clone(), rest], Vec::new())
}

/// `BitShift`, which takes unsigned integers. Signed ones are shifted as unsigned: to the left
/// by their bits, to the right by those of the complement where they are negative.
fn shift(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let left = matches!(op, Op::ShiftLeft(_));
    let attrs = vec![attr::string("direction", if left { "LEFT" } else { "RIGHT" })];
    let inputs = cx.broadcast_operands()?;
    let dtype = cx.tensor_ty(0)?.dtype;
    if dtype.is_unsigned_int() {
        return cx.emit("BitShift", &inputs, attrs);
    }
    let bits = match dtype {
        DType::I8 => DType::U8,
        DType::I16 => DType::U16,
        DType::I32 => DType::U32,
        DType::I64 => DType::U64,
        other => return Refuse::because(format!("ONNX does not shift {other}")),
    };
    let [x, count] = inputs.as_slice() else { return Refuse::because("wants two operands") };
    let cast = |cx: &mut ExportCx<'_, '_>, x: String, to: DType| {
        cx.temp("Cast", &[x], vec![attr::dtype("to", to)], to)
    };
    let width = f64::from(dtype.bits());
    let count = cast(cx, count.clone(), bits)?;
    let most = cx.scalar(bits, width - 1.0)?;
    let held = cx.temp("Min", &[count.clone(), most.clone()], Vec::new(), bits)?;
    if left {
        let x = cast(cx, x.clone(), bits)?;
        let y = cx.temp("BitShift", &[x, held], attrs, bits)?;
        let beyond = cx.temp("Less", &[most, count], Vec::new(), DType::Bool)?;
        let zero = cx.scalar(bits, 0.0)?;
        let y = cx.temp("Where", &[beyond, zero, y], Vec::new(), bits)?;
        return cx.emit("Cast", &[y], vec![attr::dtype("to", dtype)]);
    }
    let (zero, ones) = (cx.scalar(dtype, 0.0)?, cx.scalar(dtype, -1.0)?);
    let below = cx.temp("Less", &[x.clone(), zero], Vec::new(), DType::Bool)?;
    let complement = |cx: &mut ExportCx<'_, '_>, x: &String| {
        let flipped = cx.temp("Sub", &[ones.clone(), x.clone()], Vec::new(), dtype)?;
        Ok((flipped, x.clone()))
    };
    let (flipped, plain) = complement(cx, x)?;
    let x = cx.temp("Where", &[below.clone(), flipped, plain], Vec::new(), dtype)?;
    let x = cast(cx, x, bits)?;
    let y = cx.temp("BitShift", &[x, held], attrs, bits)?;
    let y = cast(cx, y, dtype)?;
    let (flipped, plain) = complement(cx, &y)?;
    cx.emit("Where", &[below, flipped, plain], Vec::new())
}
