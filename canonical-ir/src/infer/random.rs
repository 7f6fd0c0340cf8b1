//! Inference rules of the random family.

use super::{InferCx, InferError, InferResult, one};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::op::*;
use crate::types::{TensorType, Type};

/// Checks a dtype that random numbers can have.
fn drawable(cx: &InferCx<'_>, dtype: DType, label: &str) -> Result<(), InferError> {
    let holds = matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64);
    cx.require(holds, label, || format!("draws f16, bf16, f32 or f64, not {dtype}"))
}

fn drawn(cx: &InferCx<'_>, dtype: DType, dims: &[Dim], label: &str) -> InferResult {
    drawable(cx, dtype, label)?;
    cx.require(dims.iter().all(|d| d.as_known().is_none_or(|n| n >= 0)), label, || {
        "a size is negative".to_owned()
    })?;
    one(TensorType::new(dtype, dims.iter().cloned()))
}

fn drawn_like(cx: &InferCx<'_>, dtype: Option<DType>, label: &str) -> InferResult {
    let x = cx.tensor(0)?;
    drawn(cx, dtype.unwrap_or(x.dtype), &x.shape, label)
}

/// Random numbers.
pub fn rng(cx: &InferCx<'_>, op: &Rng) -> InferResult {
    drawn(cx, op.dtype, &op.dims, "rng-c1")
}

/// Normal random numbers.
pub fn random_normal(cx: &InferCx<'_>, op: &RandomNormal) -> InferResult {
    drawn(cx, op.dtype, &op.dims, "random_normal-c1")
}

/// Uniform random numbers.
pub fn random_uniform(cx: &InferCx<'_>, op: &RandomUniform) -> InferResult {
    drawn(cx, op.dtype, &op.dims, "random_uniform-c1")
}

/// Normal random numbers in the shape of the operand.
pub fn random_normal_like(cx: &InferCx<'_>, op: &RandomNormalLike) -> InferResult {
    drawn_like(cx, op.dtype, "random_normal_like-c1")
}

/// Uniform random numbers in the shape of the operand.
pub fn random_uniform_like(cx: &InferCx<'_>, op: &RandomUniformLike) -> InferResult {
    drawn_like(cx, op.dtype, "random_uniform_like-c1")
}

/// Zeros and ones.
pub fn bernoulli(cx: &InferCx<'_>, op: &Bernoulli) -> InferResult {
    let x = cx.tensor(0)?;
    drawable(cx, x.dtype, "bernoulli-c1")?;
    let dtype = op.dtype.unwrap_or(x.dtype);
    let holds = dtype.is_integer() || dtype.is_float() || dtype == DType::Bool;
    cx.require(holds, "bernoulli-c2", || format!("0 and 1 cannot be {dtype}"))?;
    one(TensorType { dtype, shape: x.shape.clone() })
}

/// Samples of classes.
pub fn multinomial(cx: &InferCx<'_>, op: &Multinomial) -> InferResult {
    let x = cx.tensor(0)?;
    drawable(cx, x.dtype, "multinomial-c1")?;
    cx.require(x.rank() == 2, "multinomial-c2", || {
        format!("the operand has rank {}, not 2", x.rank())
    })?;
    cx.require(matches!(op.dtype, DType::I32 | DType::I64), "multinomial-c3", || {
        format!("classes are i32 or i64, not {}", op.dtype)
    })?;
    cx.require(op.sample_size >= 0, "multinomial-c4", || format!("{} samples", op.sample_size))?;
    one(TensorType::new(op.dtype, [x.shape[0].clone(), Dim::Known(op.sample_size)]))
}

/// The operand with some elements dropped, and which ones were kept.
pub fn dropout(cx: &InferCx<'_>, _op: &Dropout) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require(x.dtype.is_float(), "dropout-c1", || format!("the operand is {}", x.dtype))?;
    if let Some(ratio) = cx.opt_tensor(1)? {
        cx.scalar(1)?;
        cx.require(ratio.dtype.is_float(), "dropout-c2", || {
            format!("the ratio is {}", ratio.dtype)
        })?;
    }
    if let Some(mode) = cx.opt_tensor(2)? {
        cx.scalar(2)?;
        cx.require(mode.dtype == DType::Bool, "dropout-c3", || {
            format!("the training mode is {}", mode.dtype)
        })?;
    }
    Ok(vec![
        Type::Tensor(x.clone()),
        Type::Tensor(TensorType { dtype: DType::Bool, shape: x.shape.clone() }),
    ])
}
