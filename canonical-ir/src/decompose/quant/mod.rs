//! decompose rules of the quant family. Quotients are rounded half to even and results are
//! saturated, as ONNX Runtime does it.

mod product;
mod qlinear;

pub use product::{
    conv_integer, dynamic_quantize_matmul, matmul_integer, matmul_integer_to_float, matmul_nbits,
    qgemm, qlinear_conv, qlinear_matmul,
};
pub use qlinear::{
    qlinear_add, qlinear_average_pool, qlinear_concat, qlinear_global_average_pool,
    qlinear_leaky_relu, qlinear_mul, qlinear_sigmoid, qlinear_softmax,
};

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::builder::{BuildError, Builder};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::quant::dequantized;
use crate::op::*;

type Built<T> = Result<T, BuildError>;

/// A scale or zero point as a scalar, given one with a single element; else as it is.
fn scalar_of(b: &mut Builder<'_>, x: ValueId) -> Built<ValueId> {
    match b.tensor_ty(x)?.shape.as_slice() {
        [Dim::Known(1)] => b.reshape(x, &[]),
        _ => Ok(x),
    }
}

/// Lets a vector stand along one axis of a shape of some rank.
fn along(b: &mut Builder<'_>, x: ValueId, axis: usize, rank: usize) -> Built<ValueId> {
    let x = scalar_of(b, x)?;
    let shape = b.tensor_ty(x)?.shape;
    let [n] = shape.as_slice() else { return Ok(x) };
    let mut dims = vec![Dim::Known(1); rank];
    if let Some(d) = dims.get_mut(axis) {
        *d = n.clone();
    }
    b.reshape(x, &dims)
}

/// Lets a scale or zero point broadcast to a shape: a scalar as it is, a vector along the
/// axis, and of blocks each element as often as a block has elements.
fn spread(b: &mut Builder<'_>, x: ValueId, shape: &[Dim], axis: i64, block: i64) -> Built<ValueId> {
    let axis = usize::try_from(axis).unwrap_or(0).min(shape.len().saturating_sub(1));
    if block == 0 {
        return along(b, x, axis, shape.len());
    }
    let mut dims = b.tensor_ty(x)?.shape;
    let (Some(blocks), Some(want)) = (dims.get(axis).cloned(), shape.get(axis)) else {
        return Ok(x);
    };
    let x = b.unsqueeze(x, &[axis + 1])?;
    let mut wide = dims.clone();
    wide.insert(axis + 1, Dim::Known(block));
    let x = b.broadcast_to(x, &wide)?;
    let total = &blocks * block;
    if let Some(d) = dims.get_mut(axis) {
        *d = total.clone();
    }
    let x = b.reshape(x, &dims)?;
    if total == *want {
        return Ok(x);
    }
    b.slice_axis(x, axis, Dim::Known(0), want.clone())
}

/// x held to the range of an integer dtype and converted to it. NaN gives the least value.
fn saturated(b: &mut Builder<'_>, x: ValueId, dtype: DType) -> Built<ValueId> {
    let Some((low, high)) = dtype.int_range() else { return b.cast(x, dtype) };
    let (low, high) = (b.scalar_like(x, low as f64)?, b.scalar_like(x, high as f64)?);
    let x = b.broadcasting(Max { nan: NanRule::Number }, &[x, low])?;
    let x = b.min(x, high)?;
    b.cast(x, dtype)
}

/// round(x) + zero point, saturated. The sum is made in f32, or f64 for f64.
fn requantized(
    b: &mut Builder<'_>,
    x: ValueId,
    zero: Option<ValueId>,
    dtype: DType,
) -> Built<ValueId> {
    let work = if b.tensor_ty(x)?.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let x = b.round(x)?;
    let mut x = b.cast(x, work)?;
    if let Some(zero) = zero {
        let zero = scalar_of(b, zero)?;
        let zero = b.cast(zero, work)?;
        x = b.add(x, zero)?;
    }
    saturated(b, x, dtype)
}

/// round(x + zero point), saturated: what ONNX Runtime does in some ops.
fn requantized_sum(
    b: &mut Builder<'_>,
    x: ValueId,
    zero: Option<ValueId>,
    dtype: DType,
) -> Built<ValueId> {
    let mut x = x;
    if let Some(zero) = zero {
        let zero = scalar_of(b, zero)?;
        let zero = b.cast(zero, b.tensor_ty(x)?.dtype)?;
        x = b.add(x, zero)?;
    }
    let x = b.round(x)?;
    saturated(b, x, dtype)
}

/// x minus its zero point as i32.
fn centred(b: &mut Builder<'_>, x: ValueId, zero: Option<ValueId>) -> Built<ValueId> {
    let x = b.cast(x, DType::I32)?;
    let Some(zero) = zero else { return Ok(x) };
    let zero = b.cast(zero, DType::I32)?;
    b.sub(x, zero)
}

/// Quantisation.
pub fn quantize_linear(cx: &mut DecomposeCx<'_, '_>, op: &QuantizeLinear) -> DecomposeResult {
    let (x, scale, zero) = (cx.x(0)?, cx.x(1)?, cx.opt(2));
    let (x_dtype, s_dtype) = (cx.dtype(0)?, cx.dtype(1)?);
    let shape = cx.shape(0)?;
    let float = |d: DType| matches!(d, DType::F16 | DType::BF16 | DType::F32 | DType::F64);
    let work = match op.precision {
        Some(p) => p,
        None if float(s_dtype) => s_dtype,
        None if float(x_dtype) => x_dtype,
        None => DType::F32,
    };
    let b = &mut *cx.b;
    let scale = b.cast(scale, work)?;
    let scale = spread(b, scale, &shape, op.axis, op.block_size)?;
    let x = b.cast(x, work)?;
    let x = b.div(x, scale)?;
    let zero = match zero {
        Some(zero) => Some(spread(b, zero, &shape, op.axis, op.block_size)?),
        None => None,
    };
    if op.dtype.is_integer() {
        return one(requantized(b, x, zero, op.dtype)?);
    }
    let mut x = x;
    if let (DType::F4E2M1, Some(zero)) = (op.dtype, zero) {
        let zero = b.cast(zero, work)?;
        x = b.add(x, zero)?;
    }
    let cast = Cast { to: op.dtype, saturate: op.saturate, rounding: CastRounding::Up };
    one(b.emit(cast, &[x])?)
}

/// Dequantisation. The product is made in f32 (f64 for f64) and rounded once.
pub fn dequantize_linear(cx: &mut DecomposeCx<'_, '_>, op: &DequantizeLinear) -> DecomposeResult {
    let (x, scale, zero) = (cx.x(0)?, cx.x(1)?, cx.opt(2));
    let (x_dtype, shape) = (cx.dtype(0)?, cx.shape(0)?);
    let dtype = dequantized(op, cx.dtype(1)?);
    let work = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let b = &mut *cx.b;
    let scale = b.cast(scale, work)?;
    let scale = spread(b, scale, &shape, op.axis, op.block_size)?;
    let zero = match zero {
        Some(zero) => Some(spread(b, zero, &shape, op.axis, op.block_size)?),
        None => None,
    };
    let x = if x_dtype.is_integer() {
        let x = centred(b, x, zero)?;
        b.cast(x, work)?
    } else {
        let x = b.cast(x, work)?;
        match zero {
            Some(zero) => {
                let zero = b.cast(zero, work)?;
                b.sub(x, zero)?
            }
            None => x,
        }
    };
    let y = b.mul(x, scale)?;
    one(b.cast(y, dtype)?)
}

/// Quantisation to u8 by the range of x, widened to hold zero. Where the range is nothing the
/// scale is 1.
fn dynamic(b: &mut Builder<'_>, x: ValueId) -> Built<[ValueId; 3]> {
    let axes: Vec<usize> = (0..b.tensor_ty(x)?.rank()).collect();
    let zero = b.scalar(DType::F32, 0.0)?;
    let least = b.reduce(ReduceKind::Min, x, &axes, false)?;
    let least = b.min(least, zero)?;
    let greatest = b.reduce(ReduceKind::Max, x, &axes, false)?;
    let greatest = b.max(greatest, zero)?;
    let steps = b.scalar(DType::F32, 255.0)?;
    let width = b.sub(greatest, least)?;
    let scale = b.div(width, steps)?;
    let flat = b.equal(greatest, least)?;
    let one = b.scalar(DType::F32, 1.0)?;
    let scale = b.select(flat, one, scale)?;
    let start = b.div(least, scale)?;
    let start = b.sub(zero, start)?;
    let start = b.max(start, zero)?;
    let start = b.min(start, steps)?;
    let start = b.round(start)?;
    let zero_point = b.cast(start, DType::U8)?;
    let q = b.div(x, scale)?;
    let q = requantized(b, q, Some(zero_point), DType::U8)?;
    Ok([q, scale, zero_point])
}

/// Quantisation with a range found at run time.
pub fn dynamic_quantize_linear(
    cx: &mut DecomposeCx<'_, '_>,
    _: &DynamicQuantizeLinear,
) -> DecomposeResult {
    let x = cx.x(0)?;
    Ok(dynamic(cx.b, x)?.map(Some).to_vec())
}
