//! Decompositions of the elementwise family.

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::array::{Array, Scalar};
use crate::builder::BuildError;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::*;

/// `identity`: the operand.
pub fn identity(cx: &mut DecomposeCx<'_, '_>, _: &Identity) -> DecomposeResult {
    one(cx.x(0)?)
}

/// `cast_like`: a cast to the second operand's dtype.
pub fn cast_like(cx: &mut DecomposeCx<'_, '_>, op: &CastLike) -> DecomposeResult {
    let Some(to) = cx.b.ty(cx.x(1)?).dtype() else {
        return cx.unsupported("the dtype of the target is not known");
    };
    let x = cx.x(0)?;
    if cx.dtype(0)? == to {
        return one(x);
    }
    one(cx.b.emit(Cast { to, saturate: op.saturate, rounding: op.rounding }, &[x])?)
}

/// `reciprocal`: one divided by x.
pub fn reciprocal(cx: &mut DecomposeCx<'_, '_>, _: &Reciprocal) -> DecomposeResult {
    let x = cx.x(0)?;
    let unit = cx.b.scalar_like(x, 1.0)?;
    one(cx.b.div(unit, x)?)
}

/// `clip`: the lesser of `max` and the greater of x and `min`; NaN stays.
pub fn clip(cx: &mut DecomposeCx<'_, '_>, _: &Clip) -> DecomposeResult {
    let x = cx.x(0)?;
    let shape = cx.shape(0)?;
    let mut bound = |slot: usize| -> Result<Option<ValueId>, BuildError> {
        let Some(v) = cx.opt(slot) else { return Ok(None) };
        let scalar = cx.b.reshape(v, &[])?;
        cx.b.broadcast_to(scalar, &shape).map(Some)
    };
    let (low, high) = (bound(1)?, bound(2)?);
    let mut y = x;
    if let Some(low) = low {
        y = cx.b.max(y, low)?;
    }
    if let Some(high) = high {
        y = cx.b.min(y, high)?;
    }
    one(y)
}

/// `greater`: `less` with its operands exchanged.
pub fn greater(cx: &mut DecomposeCx<'_, '_>, _: &Greater) -> DecomposeResult {
    let (a, b) = (cx.x(0)?, cx.x(1)?);
    one(cx.b.emit(Less {}, &[b, a])?)
}

/// `greater_or_equal`: `less_or_equal` with its operands exchanged.
pub fn greater_or_equal(cx: &mut DecomposeCx<'_, '_>, _: &GreaterOrEqual) -> DecomposeResult {
    let (a, b) = (cx.x(0)?, cx.x(1)?);
    one(cx.b.emit(LessOrEqual {}, &[b, a])?)
}

/// `is_inf`: comparison with infinity; a dtype without infinities gives false.
pub fn is_inf(cx: &mut DecomposeCx<'_, '_>, op: &IsInf) -> DecomposeResult {
    let x = cx.x(0)?;
    let infinite = cx.dtype(0)?.float_format().is_some_and(|f| f.has_inf());
    let (value, positive, negative) = (f64::INFINITY, op.detect_positive, op.detect_negative);
    let (x, value) = match (positive && infinite, negative && infinite) {
        (true, true) => (cx.b.abs(x)?, value),
        (true, false) => (x, value),
        (false, true) => (x, -value),
        (false, false) => {
            let shape = cx.shape(0)?;
            let no = cx.b.scalar(DType::Bool, 0.0)?;
            return one(cx.b.broadcast_to(no, &shape)?);
        }
    };
    let value = cx.b.scalar_like(x, value)?;
    one(cx.b.equal(x, value)?)
}

fn fold(cx: &mut DecomposeCx<'_, '_>, op: impl Into<Op>) -> Result<ValueId, NoDecomposition> {
    let op = op.into();
    let mut y = cx.x(0)?;
    for v in cx.from(1) {
        y = cx.b.emit(op.clone(), &[y, v])?;
    }
    Ok(y)
}

/// `variadic_sum`: sums from the left.
pub fn variadic_sum(cx: &mut DecomposeCx<'_, '_>, _: &VariadicSum) -> DecomposeResult {
    one(fold(cx, Add {})?)
}

/// `variadic_mean`: the sum divided by the number of operands.
pub fn variadic_mean(cx: &mut DecomposeCx<'_, '_>, _: &VariadicMean) -> DecomposeResult {
    let sum = fold(cx, Add {})?;
    let (n, dtype) = (cx.from(0).len() as i64, cx.dtype(0)?);
    let n = Array::scalar(dtype, &Scalar::Int(n.into()))?;
    let n = cx.b.constant(&n)?;
    one(cx.b.div(sum, n)?)
}

/// `variadic_max`: maxima from the left.
pub fn variadic_max(cx: &mut DecomposeCx<'_, '_>, _: &VariadicMax) -> DecomposeResult {
    one(fold(cx, Max { nan: NanRule::Propagate })?)
}

/// `variadic_min`: minima from the left.
pub fn variadic_min(cx: &mut DecomposeCx<'_, '_>, _: &VariadicMin) -> DecomposeResult {
    one(fold(cx, Min { nan: NanRule::Propagate })?)
}
