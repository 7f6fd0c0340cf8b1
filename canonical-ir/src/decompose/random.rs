//! Decompositions of the random family: a draw from `rng`, then arithmetic. Numbers below
//! f64 are drawn and computed in f32.

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::attr::Float;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::module::Def;
use crate::op::*;

type Value = Result<ValueId, NoDecomposition>;

/// The dtype to compute in for results or operands of a dtype.
fn working(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

fn draw(
    cx: &mut DecomposeCx<'_, '_>,
    distribution: Distribution,
    dtype: DType,
    dims: &[Dim],
    seed: Option<Float>,
) -> Value {
    let algorithm = RngAlgorithm::Unspecified;
    let op = Rng { algorithm, distribution, dtype, dims: dims.to_vec(), seed };
    Ok(cx.b.emit(op, &[])?)
}

/// offset + factor * x, then the dtype of the result.
fn affine(
    cx: &mut DecomposeCx<'_, '_>,
    x: ValueId,
    factor: f64,
    offset: f64,
    dtype: DType,
) -> Value {
    let mut y = x;
    if factor != 1.0 {
        y = cx.b.mul_const(y, factor)?;
    }
    if offset != 0.0 {
        y = cx.b.add_const(y, offset)?;
    }
    Ok(cx.b.cast(y, dtype)?)
}

fn normal(
    cx: &mut DecomposeCx<'_, '_>,
    dtype: DType,
    dims: &[Dim],
    (mean, scale): (Float, Float),
    seed: Option<Float>,
) -> DecomposeResult {
    let x = draw(cx, Distribution::Normal, working(dtype), dims, seed)?;
    one(affine(cx, x, scale.0, mean.0, dtype)?)
}

fn uniform(
    cx: &mut DecomposeCx<'_, '_>,
    dtype: DType,
    dims: &[Dim],
    (low, high): (Float, Float),
    seed: Option<Float>,
) -> DecomposeResult {
    // A fraction of the dtype's own bits is below 1 in the dtype; a rounded f32 need not be.
    let plain = low.0 == 0.0 && high.0 == 1.0;
    let drawn = if plain { dtype } else { working(dtype) };
    let x = draw(cx, Distribution::Uniform, drawn, dims, seed)?;
    one(affine(cx, x, high.0 - low.0, low.0, dtype)?)
}

/// mean + scale * normal.
pub fn random_normal(cx: &mut DecomposeCx<'_, '_>, op: &RandomNormal) -> DecomposeResult {
    normal(cx, op.dtype, &op.dims, (op.mean, op.scale), op.seed)
}

/// low + (high - low) * uniform.
pub fn random_uniform(cx: &mut DecomposeCx<'_, '_>, op: &RandomUniform) -> DecomposeResult {
    uniform(cx, op.dtype, &op.dims, (op.low, op.high), op.seed)
}

/// random_normal in the shape of the operand.
pub fn random_normal_like(cx: &mut DecomposeCx<'_, '_>, op: &RandomNormalLike) -> DecomposeResult {
    let x = cx.ty(0)?;
    normal(cx, op.dtype.unwrap_or(x.dtype), &x.shape, (op.mean, op.scale), op.seed)
}

/// random_uniform in the shape of the operand.
pub fn random_uniform_like(
    cx: &mut DecomposeCx<'_, '_>,
    op: &RandomUniformLike,
) -> DecomposeResult {
    let x = cx.ty(0)?;
    uniform(cx, op.dtype.unwrap_or(x.dtype), &x.shape, (op.low, op.high), op.seed)
}

/// uniform < x.
pub fn bernoulli(cx: &mut DecomposeCx<'_, '_>, op: &Bernoulli) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let x = cx.x(0)?;
    let x = cx.b.cast(x, working(ty.dtype))?;
    let drawn = draw(cx, Distribution::Uniform, working(ty.dtype), &ty.shape, op.seed)?;
    let hit = cx.b.less(drawn, x)?;
    one(cx.b.cast(hit, op.dtype.unwrap_or(ty.dtype))?)
}

/// Counts, for each sample, the classes whose cumulative weight it has passed.
pub fn multinomial(cx: &mut DecomposeCx<'_, '_>, op: &Multinomial) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let work = working(ty.dtype);
    let (Some(batch), Some(classes)) = (ty.shape.first(), ty.shape.get(1)) else {
        return cx.unsupported("the operand is not a matrix");
    };
    let x = cx.x(0)?;
    let x = cx.b.cast(x, work)?;
    let top = cx.b.reduce(ReduceKind::Max, x, &[1], true)?;
    let shifted = cx.b.sub(x, top)?;
    let weights = cx.b.exp(shifted)?;
    let scan = ScanReduce { kind: ReduceKind::Sum, axis: 1, exclusive: false, reverse: false };
    let passed = cx.b.emit(scan, &[weights])?;
    let total = cx.b.slice_axis(passed, 1, classes - 1, classes.clone())?;
    let dims = [batch.clone(), Dim::Known(op.sample_size)];
    // A uniform number is below 1, so that its share of the total stays below the total.
    let drawn = draw(cx, Distribution::Uniform, work, &dims, op.seed)?;
    let drawn = cx.b.mul(drawn, total)?;
    let drawn = cx.b.unsqueeze(drawn, &[2])?;
    let passed = cx.b.unsqueeze(passed, &[1])?;
    let beyond = cx.b.less_or_equal(passed, drawn)?;
    let beyond = cx.b.cast(beyond, op.dtype)?;
    one(cx.b.reduce(ReduceKind::Sum, beyond, &[2], false)?)
}

/// The value of a bool constant of one element.
fn constant_bool(cx: &DecomposeCx<'_, '_>, value: ValueId) -> Option<bool> {
    let f = cx.b.f();
    let Def::Result { node, .. } = f.values.get(value)?.def else { return None };
    let Op::Constant(c) = &f.nodes.get(node)?.op else { return None };
    let tensor = cx.b.module.tensors.get(c.tensor)?;
    if tensor.numel() != Some(1) {
        return None;
    }
    match tensor.to_array().ok()?.get(0)? {
        crate::array::Scalar::Bool(b) => Some(b),
        _ => None,
    }
}

/// A scalar from a tensor of one element.
fn scalar_of(cx: &mut DecomposeCx<'_, '_>, value: ValueId) -> Value {
    Ok(cx.b.reshape(value, &[])?)
}

/// The operand in inference; in training a draw decides which elements are kept.
pub fn dropout(cx: &mut DecomposeCx<'_, '_>, op: &Dropout) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let x = cx.x(0)?;
    let all = |cx: &mut DecomposeCx<'_, '_>| -> Value {
        let yes = cx.b.constant(&crate::array::Array::scalar(
            DType::Bool,
            &crate::array::Scalar::Bool(true),
        )?)?;
        Ok(cx.b.broadcast_to(yes, &ty.shape)?)
    };
    let training = match cx.opt(2) {
        Some(mode) if constant_bool(cx, mode) != Some(false) => mode,
        _ => {
            let mask = if cx.wants(1) { Some(all(cx)?) } else { None };
            return Ok(vec![Some(x), mask]);
        }
    };
    let training = scalar_of(cx, training)?;
    let work = working(ty.dtype);
    let ratio = match cx.opt(1) {
        Some(ratio) => {
            let ratio = scalar_of(cx, ratio)?;
            cx.b.cast(ratio, work)?
        }
        None => cx.b.scalar(work, 0.5)?,
    };
    let drawn = draw(cx, Distribution::Uniform, work, &ty.shape, op.seed)?;
    let kept = cx.b.less_or_equal(ratio, drawn)?;
    let one = cx.b.scalar(work, 1.0)?;
    let rest = cx.b.sub(one, ratio)?;
    let wide = cx.b.cast(x, work)?;
    let scaled = cx.b.div(wide, rest)?;
    let scaled = cx.b.cast(scaled, ty.dtype)?;
    let zero = cx.b.scalar(ty.dtype, 0.0)?;
    let dropped = cx.b.select(kept, scaled, zero)?;
    let y = cx.b.select(training, dropped, x)?;
    let mask = if cx.wants(1) {
        let all = all(cx)?;
        Some(cx.b.select(training, kept, all)?)
    } else {
        None
    };
    Ok(vec![Some(y), mask])
}
