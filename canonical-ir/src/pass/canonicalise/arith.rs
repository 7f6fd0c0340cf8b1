//! Arithmetic that changes nothing.

use crate::array::{Array, Scalar};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::*;
use crate::pass::{PassCx, Site};

/// Larger constants are not looked at.
const MOST_BYTES: u64 = 4096;

pub(super) fn involution(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let Some((_, node)) = site.operand(0).and_then(|v| site.def(v)) else { return false };
    if node.op.kind() != site.op().kind() {
        return false;
    }
    match node.operand(0) {
        Some(x) => site.forward_one(cx, "two negations in a row", x),
        None => false,
    }
}

/// What an operand has to be, in every element, to change nothing.
enum Neutral {
    Zero,
    /// Zero with the sign bit set, for floats.
    MinusZero,
    One,
    False,
    True,
    AllBits,
}

fn holds(dtype: DType, element: &Scalar, wanted: &Neutral) -> bool {
    match (wanted, element) {
        (Neutral::Zero | Neutral::MinusZero, Scalar::Int(v)) => *v == 0,
        (Neutral::Zero, Scalar::Float(v)) => *v == 0.0 && v.is_sign_positive(),
        (Neutral::MinusZero, Scalar::Float(v)) => *v == 0.0 && v.is_sign_negative(),
        (Neutral::One, Scalar::Int(v)) => *v == 1,
        (Neutral::One, Scalar::Float(v)) => *v == 1.0,
        (Neutral::False, Scalar::Bool(v)) => !*v,
        (Neutral::True, Scalar::Bool(v)) => *v,
        (Neutral::AllBits, Scalar::Int(v)) => match dtype.int_range() {
            Some((0, most)) => *v == most,
            _ => *v == -1,
        },
        _ => false,
    }
}

fn all(array: &Array, wanted: &Neutral) -> bool {
    array.numel() > 0
        && (0..array.numel()).all(|i| array.get(i).is_some_and(|e| holds(array.dtype, &e, wanted)))
}

fn is(site: &Site<'_>, value: ValueId, wanted: &Neutral) -> bool {
    site.constant_array(site.unbroadcast(value), MOST_BYTES).is_some_and(|a| all(&a, wanted))
}

pub(super) fn neutral(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let (Some(a), Some(b)) = (site.operand(0), site.operand(1)) else { return false };
    // What the operands have to be, and whether the first one may be it, too.
    let (wanted, both, why) = match site.op() {
        Op::Add(_) => (Neutral::MinusZero, true, "nothing is added"),
        Op::Sub(_) => (Neutral::Zero, false, "nothing is subtracted"),
        Op::Mul(_) => (Neutral::One, true, "a product with 1"),
        Op::Div(_) => (Neutral::One, false, "a quotient by 1"),
        Op::Pow(_) => (Neutral::One, false, "a power of 1"),
        Op::And(_) => (Neutral::True, true, "a conjunction with true"),
        Op::Or(_) | Op::Xor(_) => (Neutral::False, true, "a combination with false"),
        Op::BitAnd(_) => (Neutral::AllBits, true, "all bits are kept"),
        Op::BitOr(_) | Op::BitXor(_) => (Neutral::Zero, true, "no bit is changed"),
        Op::ShiftLeft(_) | Op::ShiftRight(_) => (Neutral::Zero, false, "a shift by 0"),
        _ => return false,
    };
    // Complex numbers have signed zeros in both parts.
    if site.ty(a).dtype().is_none_or(DType::is_complex) {
        return false;
    }
    if is(site, b, &wanted) {
        return site.forward_one(cx, why, a);
    }
    both && is(site, a, &wanted) && site.forward_one(cx, why, b)
}

pub(super) fn select(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let Some(truth) = site.operand(0).and_then(|c| site.truth(c)) else { return false };
    match site.operand(if truth { 1 } else { 2 }) {
        Some(taken) => site.forward_one(cx, "the condition is constant", taken),
        None => false,
    }
}
