//! Reading rules of arithmetic that is of integers alone.

use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Bitcast, IntRounding, OpKind, ReduceKind, Rem, ShiftLeft, ShiftRight};

use super::call::{CallCx, Stop};
use super::formula::{value, when};
use super::promote::Category;
use super::reduce::reduced;
use super::repeat::{Next, repeated};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::gcd", &[OpKind::Loop, OpKind::Rem], gcd),
    ImportRule::new("aten::hash_tensor", &[OpKind::ShiftRight, OpKind::Reduce], hash_tensor),
    ImportRule::new("aten::lcm", &[OpKind::Loop, OpKind::Rem], lcm),
];

/// Two promoted integers and their greatest common divisor, by Euclid's algorithm.
fn common_divisor(cx: &mut CallCx<'_>) -> Result<[ValueId; 3], Stop> {
    let operands = cx.promoted(&["self", "other"])?;
    let &[a, b] = operands.as_slice() else { return cx.invalid("two operands are needed") };
    if cx.category(a)? != Category::Int {
        return cx.invalid("integers are needed");
    }
    let dtype = cx.dtype(a)?;
    let start = [cx.b().abs(a)?, cx.b().abs(b)?];
    let last = repeated(cx, None, &start, &[], |cx, turn| {
        let &[a, b] = turn.state else { return cx.invalid("there are two values") };
        let (fa, fb) = (value(a), value(b));
        let done = fb.eq(0.0);
        let divisor = cx.formula(&when(&done, 1.0, &fb), dtype)?;
        let rest = cx.emit(Rem { rounding: IntRounding::Floor }, &[a, divisor])?;
        let next_a = cx.formula(&when(&done, fa, &fb), dtype)?;
        let next_b = cx.formula(&when(&done, 0.0, value(rest)), dtype)?;
        let left = cx.formula(&value(next_b).eq(0.0), dtype)?;
        let left = cx.b().not(left)?;
        let axes: Vec<usize> = (0..cx.rank(left)?).collect();
        let again = reduced(cx, ReduceKind::Or, left, &axes, false)?;
        Ok(Next { again: Some(again), state: vec![next_a, next_b] })
    })?;
    Ok([a, b, last.first().copied().unwrap_or(a)])
}

/// `gcd`.
fn gcd(cx: &mut CallCx<'_>) -> Outcome {
    Ok(common_divisor(cx)?[2].into())
}

/// `lcm`: |a / gcd * b|, 0 if either is.
fn lcm(cx: &mut CallCx<'_>) -> Outcome {
    let [a, b, divisor] = common_divisor(cx)?;
    let dtype = cx.dtype(a)?;
    let divisor = value(divisor);
    let safe = when(&divisor.eq(0.0), 1.0, &divisor);
    Ok(cx.formula(&(value(a) / safe * value(b)).abs(), dtype)?.into())
}

/// `hash_tensor`: the exclusive or of the bits of all elements, as f64 or i64.
fn hash_tensor(cx: &mut CallCx<'_>) -> Outcome {
    if cx.int("mode")? != 0 {
        return cx.unsupported("another mode than the exclusive or");
    }
    let x = cx.tensor("self")?;
    let wide = match cx.category(x)? {
        Category::Bool | Category::Int => cx.cast(x, DType::I64)?,
        Category::Float => {
            let wide = cx.cast(x, DType::F64)?;
            cx.emit(Bitcast { to: DType::I64 }, &[wide])?
        }
        Category::Complex => return cx.unsupported("complex numbers"),
    };
    let rank = cx.rank(x)?;
    let mut axes = cx.axes("dim", rank)?;
    if axes.is_empty() {
        axes = (0..rank).collect();
    }
    let keep = cx.bool("keepdim")?;
    // A bit of the result is set if it is set in an odd number of elements.
    let places = cx.b().iota(DType::I64, 64.into())?;
    let bits = cx.b().unsqueeze(wide, &[rank])?;
    let one = cx.b().scalar_int(DType::I64, 1)?;
    let bits = cx.b().broadcasting(ShiftRight {}, &[bits, places])?;
    let bits = cx.b().broadcasting(airconv_ir::op::BitAnd {}, &[bits, one])?;
    let counts = reduced(cx, ReduceKind::Sum, bits, &axes, keep)?;
    let odd = cx.b().broadcasting(airconv_ir::op::BitAnd {}, &[counts, one])?;
    let set = cx.b().broadcasting(ShiftLeft {}, &[odd, places])?;
    let last = cx.rank(set)? - 1;
    let sum = cx.b().reduce(ReduceKind::Sum, set, &[last], false)?;
    Ok(cx.emit(Bitcast { to: DType::U64 }, &[sum])?.into())
}
