//! Decompositions of the activation family. Floats narrower than f32 are computed in f32.
//! The formulas avoid cancellation and overflow: `e^x - 1` and `ln(1 + e^x)` keep their
//! relative precision where the plain forms lose it.

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::attr::Float;
use crate::builder::Builder;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::*;

type R = Result<ValueId, NoDecomposition>;

/// The operand in the dtype to compute in.
fn wide(cx: &mut DecomposeCx<'_, '_>) -> R {
    let (x, dtype) = (cx.x(0)?, cx.dtype(0)?);
    let narrow = dtype.is_float() && dtype != DType::F64;
    Ok(if narrow { cx.b.cast(x, DType::F32)? } else { x })
}

/// A result in the operand's dtype.
fn narrow(cx: &mut DecomposeCx<'_, '_>, y: ValueId) -> DecomposeResult {
    let dtype = cx.dtype(0)?;
    one(cx.b.cast(y, dtype)?)
}

/// Where x is above zero.
fn positive(b: &mut Builder<'_>, x: ValueId) -> R {
    let zero = b.scalar_like(x, 0.0)?;
    Ok(b.less(zero, x)?)
}

/// 1 / (1 + e^-x).
fn logistic(b: &mut Builder<'_>, x: ValueId) -> R {
    let minus = b.neg(x)?;
    let power = b.exp(minus)?;
    let below = b.add_const(power, 1.0)?;
    let unit = b.scalar_like(x, 1.0)?;
    Ok(b.div(unit, below)?)
}

/// e^x - 1 for x <= 0, by the tangent of the half: 2t / (1 - t). Above zero it is the value at
/// zero.
fn expm1_below(b: &mut Builder<'_>, x: ValueId) -> R {
    let zero = b.scalar_like(x, 0.0)?;
    let x = b.min(x, zero)?;
    let half = b.mul_const(x, 0.5)?;
    let t = b.tanh(half)?;
    let unit = b.scalar_like(x, 1.0)?;
    let below = b.sub(unit, t)?;
    let twice = b.add(t, t)?;
    Ok(b.div(twice, below)?)
}

/// ln(1 + u) for u >= 0, corrected by what rounding 1 + u leaves out.
fn log1p(b: &mut Builder<'_>, u: ValueId) -> R {
    let w = b.add_const(u, 1.0)?;
    let unit = b.scalar_like(u, 1.0)?;
    let plain = b.equal(w, unit)?;
    let left = b.sub(w, unit)?;
    let log = b.log(w)?;
    let scaled = b.mul(log, u)?;
    let corrected = b.div(scaled, left)?;
    Ok(b.select(plain, u, corrected)?)
}

/// `relu`: the greater of x and zero; NaN stays.
pub fn relu(cx: &mut DecomposeCx<'_, '_>, _: &Relu) -> DecomposeResult {
    let x = cx.x(0)?;
    let zero = cx.b.scalar_like(x, 0.0)?;
    one(cx.b.max(x, zero)?)
}

/// x where it is not below zero, and `slope * x` there.
fn leaky(cx: &mut DecomposeCx<'_, '_>, x: ValueId, slope: ValueId) -> R {
    let zero = cx.b.scalar_like(x, 0.0)?;
    let below = cx.b.less(x, zero)?;
    let scaled = cx.b.mul(x, slope)?;
    Ok(cx.b.select(below, scaled, x)?)
}

/// `leaky_relu`.
pub fn leaky_relu(cx: &mut DecomposeCx<'_, '_>, op: &LeakyRelu) -> DecomposeResult {
    let x = wide(cx)?;
    let slope = cx.b.scalar_like(x, op.alpha.0)?;
    let y = leaky(cx, x, slope)?;
    narrow(cx, y)
}

/// `prelu`.
pub fn prelu(cx: &mut DecomposeCx<'_, '_>, _: &Prelu) -> DecomposeResult {
    let (x, slope, shape) = (cx.x(0)?, cx.x(1)?, cx.shape(0)?);
    let slope = cx.b.broadcast_to(slope, &shape)?;
    one(leaky(cx, x, slope)?)
}

/// `elu`.
pub fn elu(cx: &mut DecomposeCx<'_, '_>, op: &Elu) -> DecomposeResult {
    let x = wide(cx)?;
    let y = elu_of(cx.b, x, op.alpha)?;
    narrow(cx, y)
}

fn elu_of(b: &mut Builder<'_>, x: ValueId, alpha: Float) -> R {
    let below = expm1_below(b, x)?;
    let below = b.mul_const(below, alpha.0)?;
    let above = positive(b, x)?;
    Ok(b.select(above, x, below)?)
}

/// `celu`: max(x, 0) + min(alpha * (e^(x / alpha) - 1), 0).
pub fn celu(cx: &mut DecomposeCx<'_, '_>, op: &Celu) -> DecomposeResult {
    let x = wide(cx)?;
    let alpha = cx.b.scalar_like(x, op.alpha.0)?;
    let zero = cx.b.scalar_like(x, 0.0)?;
    let above = cx.b.max(x, zero)?;
    let scaled = cx.b.div(x, alpha)?;
    // Where x / alpha is above zero the product has the sign of alpha. A negative alpha takes
    // the plain form, which has no limit there.
    let grown = if op.alpha.0 < 0.0 {
        let power = cx.b.exp(scaled)?;
        cx.b.add_const(power, -1.0)?
    } else {
        expm1_below(cx.b, scaled)?
    };
    let below = cx.b.mul(grown, alpha)?;
    let below = cx.b.min(below, zero)?;
    let y = cx.b.add(above, below)?;
    narrow(cx, y)
}

/// `selu`: a scaled `elu`.
pub fn selu(cx: &mut DecomposeCx<'_, '_>, op: &Selu) -> DecomposeResult {
    let x = wide(cx)?;
    let y = elu_of(cx.b, x, op.alpha)?;
    let y = cx.b.mul_const(y, op.gamma.0)?;
    narrow(cx, y)
}

/// `sigmoid`.
pub fn sigmoid(cx: &mut DecomposeCx<'_, '_>, _: &Sigmoid) -> DecomposeResult {
    let x = wide(cx)?;
    let y = logistic(cx.b, x)?;
    narrow(cx, y)
}

/// max(0, min(1, alpha * x + beta)).
fn hard(b: &mut Builder<'_>, x: ValueId, alpha: f64, beta: f64) -> R {
    let y = b.mul_const(x, alpha)?;
    let y = b.add_const(y, beta)?;
    let unit = b.scalar_like(x, 1.0)?;
    let y = b.min(y, unit)?;
    let zero = b.scalar_like(x, 0.0)?;
    Ok(b.max(y, zero)?)
}

/// `hard_sigmoid`.
pub fn hard_sigmoid(cx: &mut DecomposeCx<'_, '_>, op: &HardSigmoid) -> DecomposeResult {
    let x = wide(cx)?;
    let y = hard(cx.b, x, op.alpha.0, op.beta.0)?;
    narrow(cx, y)
}

/// `hard_swish`.
pub fn hard_swish(cx: &mut DecomposeCx<'_, '_>, _: &HardSwish) -> DecomposeResult {
    let x = wide(cx)?;
    let gate = hard(cx.b, x, 1.0 / 6.0, 0.5)?;
    let y = cx.b.mul(x, gate)?;
    narrow(cx, y)
}

/// `softplus`: max(x, 0) + ln(1 + e^-|x|).
pub fn softplus(cx: &mut DecomposeCx<'_, '_>, _: &Softplus) -> DecomposeResult {
    let x = wide(cx)?;
    let zero = cx.b.scalar_like(x, 0.0)?;
    let above = cx.b.max(x, zero)?;
    let power = decay(cx.b, x)?;
    let rest = log1p(cx.b, power)?;
    let y = cx.b.add(above, rest)?;
    narrow(cx, y)
}

/// e^-|x|.
fn decay(b: &mut Builder<'_>, x: ValueId) -> R {
    let magnitude = b.abs(x)?;
    let minus = b.neg(magnitude)?;
    Ok(b.exp(minus)?)
}

/// `softsign`.
pub fn softsign(cx: &mut DecomposeCx<'_, '_>, _: &Softsign) -> DecomposeResult {
    let x = wide(cx)?;
    let magnitude = cx.b.abs(x)?;
    let below = cx.b.add_const(magnitude, 1.0)?;
    let y = cx.b.div(x, below)?;
    narrow(cx, y)
}

/// `thresholded_relu`.
pub fn thresholded_relu(cx: &mut DecomposeCx<'_, '_>, op: &ThresholdedRelu) -> DecomposeResult {
    let x = wide(cx)?;
    let alpha = cx.b.scalar_like(x, op.alpha.0)?;
    let zero = cx.b.scalar_like(x, 0.0)?;
    let above = cx.b.less(alpha, x)?;
    let y = cx.b.select(above, x, zero)?;
    narrow(cx, y)
}

/// `mish`: with w = e^-|x|, tanh(ln(1 + e^x)) is (1 + 2w) / (1 + 2w + 2w^2) above zero and
/// w (w + 2) / (w (w + 2) + 2) below.
pub fn mish(cx: &mut DecomposeCx<'_, '_>, _: &Mish) -> DecomposeResult {
    let x = wide(cx)?;
    let w = decay(cx.b, x)?;
    let above = positive(cx.b, x)?;
    let twice = cx.b.add(w, w)?;
    let high = cx.b.add_const(twice, 1.0)?;
    let square = cx.b.mul(w, w)?;
    let low = cx.b.add(square, twice)?;
    let unit = cx.b.scalar_like(x, 1.0)?;
    let part = cx.b.select(above, high, low)?;
    let rest = cx.b.select(above, square, unit)?;
    let rest = cx.b.add(rest, rest)?;
    let whole = cx.b.add(part, rest)?;
    let gate = cx.b.div(part, whole)?;
    let y = cx.b.mul(x, gate)?;
    narrow(cx, y)
}

fn exact_gelu(b: &mut Builder<'_>, x: ValueId) -> R {
    let scaled = b.mul_const(x, std::f64::consts::FRAC_1_SQRT_2)?;
    let erf = b.erf(scaled)?;
    let gate = b.add_const(erf, 1.0)?;
    let half = b.mul_const(x, 0.5)?;
    Ok(b.mul(half, gate)?)
}

/// The tanh form: (1 + tanh z) / 2 is 1 / (1 + e^-2z).
fn tanh_gelu(b: &mut Builder<'_>, x: ValueId) -> R {
    let square = b.mul(x, x)?;
    let inner = b.mul_const(square, 0.044715)?;
    let inner = b.add_const(inner, 1.0)?;
    let inner = b.mul(inner, x)?;
    let z = b.mul_const(inner, 2.0 * (2.0 / std::f64::consts::PI).sqrt())?;
    let gate = logistic(b, z)?;
    Ok(b.mul(x, gate)?)
}

/// `gelu`.
pub fn gelu(cx: &mut DecomposeCx<'_, '_>, op: &Gelu) -> DecomposeResult {
    let x = wide(cx)?;
    let y = match op.approximate {
        GeluKind::Exact => exact_gelu(cx.b, x)?,
        GeluKind::Tanh => tanh_gelu(cx.b, x)?,
    };
    narrow(cx, y)
}

/// `swish`.
pub fn swish(cx: &mut DecomposeCx<'_, '_>, op: &Swish) -> DecomposeResult {
    let x = wide(cx)?;
    let inner = if op.alpha.0 == 1.0 { x } else { cx.b.mul_const(x, op.alpha.0)? };
    let gate = logistic(cx.b, inner)?;
    let y = cx.b.mul(x, gate)?;
    narrow(cx, y)
}

/// `shrink`. Integers are computed in f64.
pub fn shrink(cx: &mut DecomposeCx<'_, '_>, op: &Shrink) -> DecomposeResult {
    let x = if cx.dtype(0)?.is_integer() {
        let x = cx.x(0)?;
        cx.b.cast(x, DType::F64)?
    } else {
        wide(cx)?
    };
    let (low, high) = (cx.b.scalar_like(x, -op.lambd.0)?, cx.b.scalar_like(x, op.lambd.0)?);
    let (is_low, is_high) = (cx.b.less(x, low)?, cx.b.less(high, x)?);
    let raised = cx.b.add_const(x, op.bias.0)?;
    let lowered = cx.b.add_const(x, -op.bias.0)?;
    let zero = cx.b.scalar_like(x, 0.0)?;
    let y = cx.b.select(is_high, lowered, zero)?;
    let y = cx.b.select(is_low, raised, y)?;
    narrow(cx, y)
}

/// x plus an optional bias along the last axis, in the dtype to compute in.
fn biased(cx: &mut DecomposeCx<'_, '_>) -> R {
    let x = wide(cx)?;
    let Some(bias) = cx.opt(1) else { return Ok(x) };
    let ty = cx.b.tensor_ty(x)?;
    let bias = cx.b.cast(bias, ty.dtype)?;
    let bias = cx.b.broadcast_to(bias, &ty.shape)?;
    Ok(cx.b.add(x, bias)?)
}

/// `bias_gelu`.
pub fn bias_gelu(cx: &mut DecomposeCx<'_, '_>, _: &BiasGelu) -> DecomposeResult {
    let x = biased(cx)?;
    let y = exact_gelu(cx.b, x)?;
    narrow(cx, y)
}

/// `fast_gelu`.
pub fn fast_gelu(cx: &mut DecomposeCx<'_, '_>, _: &FastGelu) -> DecomposeResult {
    let x = biased(cx)?;
    let y = tanh_gelu(cx.b, x)?;
    narrow(cx, y)
}
