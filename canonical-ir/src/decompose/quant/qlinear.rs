//! Ops on quantised tensors that work element by element or over windows.

use super::{
    Built, DecomposeCx, DecomposeResult, NoDecomposition, centred, one, requantized,
    requantized_sum, scalar_of,
};
use crate::builder::Builder;
use crate::dim::{Dim, numel};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::*;

/// (x - zero point) as f32, with a scalar zero point.
fn difference(b: &mut Builder<'_>, x: ValueId, zero: Option<ValueId>) -> Built<ValueId> {
    let zero = zero.map(|z| scalar_of(b, z)).transpose()?;
    let x = centred(b, x, zero)?;
    b.cast(x, DType::F32)
}

/// A scale as a scalar of f32.
fn scale_of(b: &mut Builder<'_>, x: ValueId) -> Built<ValueId> {
    let x = scalar_of(b, x)?;
    b.cast(x, DType::F32)
}

/// (x - zero point) * scale.
fn dequantized(
    b: &mut Builder<'_>,
    x: ValueId,
    scale: ValueId,
    zero: Option<ValueId>,
) -> Built<ValueId> {
    let x = difference(b, x, zero)?;
    let scale = scale_of(b, scale)?;
    b.mul(x, scale)
}

/// round(x / scale) + zero point.
fn quantized(
    b: &mut Builder<'_>,
    x: ValueId,
    scale: ValueId,
    zero: Option<ValueId>,
    dtype: DType,
) -> Built<ValueId> {
    let scale = scale_of(b, scale)?;
    let x = b.div(x, scale)?;
    requantized(b, x, zero, dtype)
}

/// x * y + z, rounded to f32 at the end: f64 holds the product of a byte and an f32.
fn fused(b: &mut Builder<'_>, x: ValueId, y: ValueId, z: ValueId) -> Built<ValueId> {
    let [x, y, z] = [b.cast(x, DType::F64)?, b.cast(y, DType::F64)?, b.cast(z, DType::F64)?];
    let product = b.mul(x, y)?;
    let sum = b.add(product, z)?;
    b.cast(sum, DType::F32)
}

/// A zero point as a scalar of f32, 0 where there is none.
fn zero_of(b: &mut Builder<'_>, zero: Option<ValueId>) -> Built<ValueId> {
    let Some(zero) = zero else { return b.scalar(DType::F32, 0.0) };
    let zero = scalar_of(b, zero)?;
    b.cast(zero, DType::F32)
}

/// Whether an operand is one number for a whole row of the result.
fn repeats_in_rows(b: &Builder<'_>, x: ValueId) -> Built<bool> {
    Ok(b.tensor_ty(x)?.shape.last().is_none_or(|d| *d == Dim::Known(1)))
}

/// Quantised sum: the zero point of the result takes part in the rounding.
///
/// ONNX Runtime adds all that is constant first, then the second operand and the first, or the
/// first before the second where that one repeats in rows, each with a fused multiplication. This
/// decides ties, of which there are many: where an operand is its zero point and the other a
/// constant, the sum is the same for all such elements.
pub fn qlinear_add(cx: &mut DecomposeCx<'_, '_>, _: &QlinearAdd) -> DecomposeResult {
    let (a, c, dtype) = (cx.x(0)?, cx.x(3)?, cx.dtype(0)?);
    let (a_scale, c_scale, y_scale) = (cx.x(1)?, cx.x(4)?, cx.x(6)?);
    let (a_zero, c_zero, y_zero) = (cx.opt(2), cx.opt(5), cx.opt(7));
    let b = &mut *cx.b;
    let y_scale = scale_of(b, y_scale)?;
    let (mut first, mut second) = ((c, c_scale, c_zero), (a, a_scale, a_zero));
    if repeats_in_rows(b, a)? && !repeats_in_rows(b, c)? {
        (first, second) = (second, first);
    }
    // zero_y - (zero_a * scale_a + zero_b * scale_b) / scale_y.
    let mut offset = b.scalar(DType::F32, 0.0)?;
    let mut terms = Vec::with_capacity(2);
    for (x, scale, zero) in [first, second] {
        let scale = scale_of(b, scale)?;
        let scale = b.div(scale, y_scale)?;
        let zero = zero_of(b, zero)?;
        offset = fused(b, zero, scale, offset)?;
        terms.push((x, scale));
    }
    let y_zero = zero_of(b, y_zero)?;
    let mut y = b.sub(y_zero, offset)?;
    for (x, scale) in terms {
        y = fused(b, x, scale, y)?;
    }
    one(requantized_sum(b, y, None, dtype)?)
}

/// Quantised product: the zero point of the result takes part in the rounding.
pub fn qlinear_mul(cx: &mut DecomposeCx<'_, '_>, _: &QlinearMul) -> DecomposeResult {
    let (a, c, dtype) = (cx.x(0)?, cx.x(3)?, cx.dtype(0)?);
    let (a_scale, c_scale, y_scale) = (cx.x(1)?, cx.x(4)?, cx.x(6)?);
    let (a_zero, c_zero, y_zero) = (cx.opt(2), cx.opt(5), cx.opt(7));
    let b = &mut *cx.b;
    let (a, c) = (difference(b, a, a_zero)?, difference(b, c, c_zero)?);
    let product = b.mul(a, c)?;
    let (a_scale, c_scale) = (scale_of(b, a_scale)?, scale_of(b, c_scale)?);
    let factor = b.mul(a_scale, c_scale)?;
    let y_scale = scale_of(b, y_scale)?;
    let factor = b.div(factor, y_scale)?;
    let y = b.mul(product, factor)?;
    one(requantized_sum(b, y, y_zero, dtype)?)
}

/// Dequantises, applies a function and quantises again.
fn mapped(
    cx: &mut DecomposeCx<'_, '_>,
    f: impl FnOnce(&mut Builder<'_>, ValueId) -> Built<ValueId>,
) -> DecomposeResult {
    let (x, x_scale, y_scale, dtype) = (cx.x(0)?, cx.x(1)?, cx.x(3)?, cx.dtype(0)?);
    let (x_zero, y_zero) = (cx.opt(2), cx.opt(4));
    let x = dequantized(cx.b, x, x_scale, x_zero)?;
    let y = f(cx.b, x)?;
    one(quantized(cx.b, y, y_scale, y_zero, dtype)?)
}

/// Quantised sigmoid.
pub fn qlinear_sigmoid(cx: &mut DecomposeCx<'_, '_>, _: &QlinearSigmoid) -> DecomposeResult {
    mapped(cx, |b, x| b.emit(Sigmoid {}, &[x]))
}

/// Quantised leaky relu.
pub fn qlinear_leaky_relu(cx: &mut DecomposeCx<'_, '_>, op: &QlinearLeakyRelu) -> DecomposeResult {
    mapped(cx, |b, x| b.emit(LeakyRelu { alpha: op.alpha }, &[x]))
}

/// Quantised softmax. Exponentials are of differences to the greatest element; the number of
/// steps of the result is a whole number.
pub fn qlinear_softmax(cx: &mut DecomposeCx<'_, '_>, op: &QlinearSoftmax) -> DecomposeResult {
    let (x, x_scale, y_scale, dtype) = (cx.x(0)?, cx.x(1)?, cx.x(3)?, cx.dtype(0)?);
    let y_zero = cx.opt(4);
    let axes: Vec<usize> = op.axes.iter().filter_map(|&a| usize::try_from(a).ok()).collect();
    let b = &mut *cx.b;
    let x = b.cast(x, DType::I32)?;
    let top = b.reduce(ReduceKind::Max, x, &axes, true)?;
    let x = b.sub(x, top)?;
    let x = b.cast(x, DType::F64)?;
    let x_scale = scale_of(b, x_scale)?;
    let x_scale = b.cast(x_scale, DType::F64)?;
    let x = b.mul(x, x_scale)?;
    let e = b.exp(x)?;
    let e = b.cast(e, DType::F32)?;
    let sum = b.reduce(ReduceKind::Sum, e, &axes, true)?;
    let y_scale = scale_of(b, y_scale)?;
    let unit = b.scalar(DType::F32, 1.0)?;
    let steps = b.div(unit, y_scale)?;
    let steps = b.floor(steps)?;
    let y = b.mul(e, steps)?;
    let y = b.div(y, sum)?;
    one(requantized(b, y, y_zero, dtype)?)
}

/// Quantised mean over the spatial axes.
pub fn qlinear_global_average_pool(
    cx: &mut DecomposeCx<'_, '_>,
    op: &QlinearGlobalAveragePool,
) -> DecomposeResult {
    let (x, x_scale, x_zero) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let (y_scale, y_zero) = (cx.x(3)?, cx.x(4)?);
    let (shape, dtype) = (cx.shape(0)?, cx.dtype(0)?);
    let channel = if op.channels_last { shape.len().saturating_sub(1) } else { 1 };
    let axes: Vec<usize> = (1..shape.len()).filter(|&a| a != channel).collect();
    let sizes: Vec<Dim> = axes.iter().filter_map(|&a| shape.get(a).cloned()).collect();
    let b = &mut *cx.b;
    let x_zero = scalar_of(b, x_zero)?;
    let x = centred(b, x, Some(x_zero))?;
    let sum = b.reduce(ReduceKind::Sum, x, &axes, true)?;
    let sum = b.cast(sum, DType::F32)?;
    let count = b.dim_scalar(&numel(&sizes))?;
    let count = b.cast(count, DType::F32)?;
    let (x_scale, y_scale) = (scale_of(b, x_scale)?, scale_of(b, y_scale)?);
    let by = b.mul(y_scale, count)?;
    let factor = b.div(x_scale, by)?;
    let y = b.mul(sum, factor)?;
    one(requantized(b, y, Some(y_zero), dtype)?)
}

/// Quantised average pooling: the zero point of the result takes part in the rounding.
pub fn qlinear_average_pool(
    cx: &mut DecomposeCx<'_, '_>,
    op: &QlinearAveragePool,
) -> DecomposeResult {
    let (x, x_scale, y_scale, dtype) = (cx.x(0)?, cx.x(1)?, cx.x(3)?, cx.dtype(0)?);
    let (x_zero, y_zero) = (cx.opt(2), cx.opt(4));
    let rank = cx.ty(0)?.rank() as i64;
    let b = &mut *cx.b;
    let mut x = dequantized(b, x, x_scale, x_zero)?;
    if op.channels_last {
        let mut perm: Vec<i64> = (0..rank - 1).collect();
        perm.insert(1, rank - 1);
        x = b.transpose(x, &perm)?;
    }
    let n = op.kernel_shape.len();
    let or = |v: &[i64], len: usize, value: i64| {
        if v.is_empty() { vec![value; len] } else { v.to_vec() }
    };
    let explicit = op.auto_pad == AutoPad::Explicit;
    let pool = AveragePool {
        kernel_shape: op.kernel_shape.clone(),
        strides: or(&op.strides, n, 1),
        pads: if explicit { or(&op.pads, 2 * n, 0) } else { Vec::new() },
        dilations: vec![1; n],
        auto_pad: op.auto_pad,
        ceil_mode: op.ceil_mode,
        count_include_pad: op.count_include_pad,
    };
    let mut y = b.emit(pool, &[x])?;
    if op.channels_last {
        let mut perm: Vec<i64> = (0..rank).filter(|&a| a != 1).collect();
        perm.push(1);
        y = b.transpose(y, &perm)?;
    }
    let y_scale = scale_of(b, y_scale)?;
    let y = b.div(y, y_scale)?;
    one(requantized_sum(b, y, y_zero, dtype)?)
}

/// Quantised concatenation: each input is brought to the scale of the result.
pub fn qlinear_concat(cx: &mut DecomposeCx<'_, '_>, op: &QlinearConcat) -> DecomposeResult {
    let (y_scale, y_zero, dtype) = (cx.x(0)?, cx.x(1)?, cx.dtype(1)?);
    let inputs = cx.from(2);
    let mut parts = Vec::new();
    for triple in inputs.chunks_exact(3) {
        let &[x, scale, zero] = triple else { continue };
        if scale == y_scale && zero == y_zero {
            parts.push(x);
            continue;
        }
        let x = dequantized(cx.b, x, scale, Some(zero))?;
        parts.push(quantized(cx.b, x, y_scale, Some(y_zero), dtype)?);
    }
    let axis = usize::try_from(op.axis)
        .map_err(|_| NoDecomposition::Unsupported("the axis is negative".to_owned()))?;
    one(cx.b.concat(&parts, axis)?)
}
