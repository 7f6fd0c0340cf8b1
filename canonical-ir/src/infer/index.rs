//! Inference rules of the index family.

use super::{InferCx, InferError, InferResult, one};
use crate::dim::{Dim, Shape, numel};
use crate::dtype::DType;
use crate::op::*;
use crate::types::{TensorType, Type};

/// Checks that an operand is a tensor of integers.
fn integers<'a>(cx: &InferCx<'a>, slot: usize, label: &str) -> Result<&'a TensorType, InferError> {
    let t = cx.tensor(slot)?;
    cx.require(t.dtype.is_integer(), label, || {
        format!("operand `{}` has to hold integers, not {}", cx.slot_name(slot), t.dtype)
    })?;
    Ok(t)
}

/// The length of the index tuples: the last size of `indices`.
fn tuple_length(
    cx: &InferCx<'_>,
    indices: &TensorType,
    most: usize,
    label: &str,
) -> Result<usize, InferError> {
    let Some(last) = indices.shape.last() else {
        return cx.fail(label, "operand `indices` has rank 0");
    };
    match last.as_known() {
        None => Err(InferError::Unknown("indices".to_owned())),
        Some(k) => match usize::try_from(k) {
            Ok(k) if k <= most => Ok(k),
            _ => cx.fail(label, format!("tuples of {k} indices for {most} axes")),
        },
    }
}

/// Gathering by index tuples.
pub fn gather_nd(cx: &InferCx<'_>, op: &GatherNd) -> InferResult {
    let x = cx.tensor(0)?;
    let indices = integers(cx, 1, "gather_nd-c1")?;
    let batch = match usize::try_from(op.batch_dims) {
        Ok(b) if b <= x.rank() && b < indices.rank() => b,
        _ => {
            return cx.fail(
                "gather_nd-c2",
                format!(
                    "{} batch axes of ranks {} and {}",
                    op.batch_dims,
                    x.rank(),
                    indices.rank()
                ),
            );
        }
    };
    let k = tuple_length(cx, indices, x.rank() - batch, "gather_nd-c3")?;
    let mut shape: Shape = x.shape[..batch]
        .iter()
        .zip(&indices.shape)
        .map(|(a, b)| cx.merge_dim(a, b))
        .collect::<Result<_, _>>()?;
    shape.extend(indices.shape[batch..indices.rank() - 1].iter().cloned());
    shape.extend(x.shape[batch + k..].iter().cloned());
    one(TensorType { dtype: x.dtype, shape })
}

/// Checks that a dtype can be combined as a scatter reduction asks.
fn check_reduction(
    cx: &InferCx<'_>,
    dtype: DType,
    reduction: ScatterReduction,
    label: &str,
) -> Result<(), InferError> {
    let holds = match reduction {
        ScatterReduction::None => true,
        ScatterReduction::Add | ScatterReduction::Mul => dtype != DType::String,
        ScatterReduction::Min | ScatterReduction::Max => {
            dtype != DType::String && !dtype.is_complex()
        }
    };
    cx.require(holds, label, || format!("{} is not defined for {dtype}", reduction.as_str()))
}

/// Scattering by index tuples.
pub fn scatter_nd(cx: &InferCx<'_>, op: &ScatterNd) -> InferResult {
    let x = cx.tensor(0)?;
    let indices = integers(cx, 1, "scatter_nd-c1")?;
    let updates = cx.tensor(2)?;
    cx.same_dtype(0, 2)?;
    let k = tuple_length(cx, indices, x.rank(), "scatter_nd-c2")?;
    let mut wanted: Shape = indices.shape[..indices.rank() - 1].iter().cloned().collect();
    wanted.extend(x.shape[k..].iter().cloned());
    cx.require(wanted.len() == updates.rank(), "scatter_nd-c3", || {
        format!("updates have rank {}, not {}", updates.rank(), wanted.len())
    })?;
    cx.merge_shape(&wanted, &updates.shape)?;
    check_reduction(cx, x.dtype, op.reduction, "scatter_nd-c4")?;
    one(x.clone())
}

/// The extreme elements along an axis.
pub fn top_k(cx: &InferCx<'_>, op: &TopK) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require(x.dtype.is_integer() || x.dtype.is_float(), "top_k-c1", || {
        format!("{} has no order", x.dtype)
    })?;
    let axis = cx.axis(op.axis, x.rank())?;
    let holds = match (op.k.as_known(), x.shape[axis].as_known()) {
        (Some(k), Some(n)) => k >= 0 && k <= n,
        (Some(k), None) => k >= 0,
        _ => true,
    };
    cx.require(holds, "top_k-c2", || "k is not within the size of the axis".to_owned())?;
    let mut shape = x.shape.clone();
    shape[axis] = op.k.clone();
    Ok(vec![
        Type::Tensor(TensorType { dtype: x.dtype, shape: shape.clone() }),
        Type::Tensor(TensorType { dtype: DType::I64, shape }),
    ])
}

/// Positions of the elements that are not zero.
pub fn nonzero(cx: &InferCx<'_>, _op: &Nonzero) -> InferResult {
    let x = cx.tensor(0)?;
    one(Type::tensor(DType::I64, [Dim::Known(x.rank() as i64), Dim::Any]))
}

/// The distinct elements.
pub fn unique(cx: &InferCx<'_>, op: &Unique) -> InferResult {
    let x = cx.tensor(0)?;
    let (shape, length) = match op.axis {
        None => (Shape::from_iter([Dim::Any]), numel(&x.shape)),
        Some(axis) => {
            let axis = cx.axis(axis, x.rank())?;
            let mut shape = x.shape.clone();
            let length = std::mem::replace(&mut shape[axis], Dim::Any);
            (shape, length)
        }
    };
    let ints = |d: Dim| Type::tensor(DType::I64, [d]);
    Ok(vec![
        Type::Tensor(TensorType { dtype: x.dtype, shape }),
        ints(Dim::Any),
        ints(length),
        ints(Dim::Any),
    ])
}

/// Slices along an axis.
pub fn gather(cx: &InferCx<'_>, op: &Gather) -> InferResult {
    let x = cx.tensor(0)?;
    let indices = integers(cx, 1, "gather-c1")?;
    let axis = cx.axis(op.axis, x.rank())?;
    let mut shape: Shape = x.shape[..axis].iter().cloned().collect();
    shape.extend(indices.shape.iter().cloned());
    shape.extend(x.shape[axis + 1..].iter().cloned());
    one(TensorType { dtype: x.dtype, shape })
}

/// Checks that indices do not reach beyond x off the axis, where that is known.
fn within(
    cx: &InferCx<'_>,
    indices: &TensorType,
    x: &TensorType,
    axis: usize,
    label: &str,
) -> Result<(), InferError> {
    cx.require(indices.rank() == x.rank(), label, || {
        format!("ranks {} and {} differ", x.rank(), indices.rank())
    })?;
    for (i, (a, b)) in indices.shape.iter().zip(&x.shape).enumerate() {
        if let (Some(a), Some(b)) = (a.as_known(), b.as_known()) {
            cx.require(i == axis || a <= b, label, || {
                format!("axis {i} of the indices has size {a}, more than {b}")
            })?;
        }
    }
    Ok(())
}

/// One element per index.
pub fn gather_elements(cx: &InferCx<'_>, op: &GatherElements) -> InferResult {
    let x = cx.tensor(0)?;
    let indices = integers(cx, 1, "gather_elements-c1")?;
    let axis = cx.axis(op.axis, x.rank())?;
    within(cx, indices, x, axis, "gather_elements-c2")?;
    one(TensorType { dtype: x.dtype, shape: indices.shape.clone() })
}

/// One element replaced per index.
pub fn scatter_elements(cx: &InferCx<'_>, op: &ScatterElements) -> InferResult {
    let x = cx.tensor(0)?;
    let indices = integers(cx, 1, "scatter_elements-c1")?;
    let updates = cx.tensor(2)?;
    let axis = cx.axis(op.axis, x.rank())?;
    within(cx, indices, x, axis, "scatter_elements-c2")?;
    cx.same_dtype(0, 2)?;
    cx.merge_shape(&indices.shape, &updates.shape)?;
    check_reduction(cx, x.dtype, op.reduction, "scatter_elements-c3")?;
    one(x.clone())
}

/// Slices where a condition holds.
pub fn compress(cx: &InferCx<'_>, op: &Compress) -> InferResult {
    let x = cx.tensor(0)?;
    let condition = cx.tensor(1)?;
    cx.require(condition.dtype == DType::Bool && condition.rank() == 1, "compress-c1", || {
        "the condition is not a bool vector".to_owned()
    })?;
    let mut shape = Shape::from_iter([Dim::Any]);
    if let Some(axis) = op.axis {
        let axis = cx.axis(axis, x.rank())?;
        shape = x.shape.clone();
        shape[axis] = Dim::Any;
    }
    one(TensorType { dtype: x.dtype, shape })
}

/// One-hot vectors along a new axis.
pub fn one_hot(cx: &InferCx<'_>, op: &OneHot) -> InferResult {
    let indices = cx.tensor(0)?;
    let values = cx.tensor(1)?;
    cx.require(indices.dtype.is_integer() || indices.dtype.is_float(), "one_hot-c1", || {
        format!("indices are {}", indices.dtype)
    })?;
    cx.require(values.rank() == 1, "one_hot-c2", || {
        "operand `values` is not a vector of two elements".to_owned()
    })?;
    cx.merge_dim(&values.shape[0], &Dim::Known(2))?;
    cx.require(op.depth.as_known().is_none_or(|d| d >= 0), "one_hot-c3", || {
        "the depth is negative".to_owned()
    })?;
    let axis = cx.axis(op.axis, indices.rank() + 1)?;
    let mut shape = indices.shape.clone();
    shape.insert(axis, op.depth.clone());
    one(TensorType { dtype: values.dtype, shape })
}

/// The first elements of each sequence reversed.
pub fn reverse_sequence(cx: &InferCx<'_>, op: &ReverseSequence) -> InferResult {
    let x = cx.tensor(0)?;
    let lengths = integers(cx, 1, "reverse_sequence-c1")?;
    cx.require(
        x.rank() >= 2 && matches!((op.batch_axis, op.time_axis), (0, 1) | (1, 0)),
        "reverse_sequence-c2",
        || "the batch and the time axis have to be 0 and 1 in some order".to_owned(),
    )?;
    cx.require(lengths.rank() == 1, "reverse_sequence-c3", || {
        "the lengths are not a vector".to_owned()
    })?;
    let batch = cx.axis(op.batch_axis, x.rank())?;
    cx.merge_dim(&x.shape[batch], &lengths.shape[0])?;
    one(x.clone())
}

/// A cache with updates written into it.
pub fn tensor_scatter(cx: &InferCx<'_>, op: &TensorScatter) -> InferResult {
    let cache = cx.tensor(0)?;
    let update = cx.tensor(1)?;
    cx.same_dtype(0, 1)?;
    let axis = cx.axis(op.axis, cache.rank())?;
    cx.require(axis > 0, "tensor_scatter-c1", || "the axis is the batch axis".to_owned())?;
    cx.require(cache.rank() == update.rank(), "tensor_scatter-c2", || {
        format!("ranks {} and {} differ", cache.rank(), update.rank())
    })?;
    for (i, (a, b)) in cache.shape.iter().zip(&update.shape).enumerate() {
        if i != axis {
            cx.merge_dim(a, b)?;
        } else if let (Some(a), Some(b)) = (a.as_known(), b.as_known()) {
            cx.require(b <= a, "tensor_scatter-c3", || {
                format!("an update of {b} positions for a cache of {a}")
            })?;
        }
    }
    if cx.opt(2).is_some() {
        let indices = integers(cx, 2, "tensor_scatter-c4")?;
        cx.require(indices.rank() == 1, "tensor_scatter-c4", || {
            "the write indices are not a vector".to_owned()
        })?;
        cx.merge_dim(&cache.shape[0], &indices.shape[0])?;
    }
    one(cache.clone())
}
