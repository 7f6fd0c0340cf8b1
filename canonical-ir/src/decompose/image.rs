//! Decompositions of the image family.

mod filter;
mod grid;
mod resize;
mod roi;

pub use grid::{affine_grid, grid_sample};
pub use resize::resize;
pub use roi::{max_roi_pool, roi_align};

use super::DecomposeCx;
use crate::builder::BuildError;
use crate::dim::{Dim, Shape};
use crate::dtype::DType;
use crate::entity::ValueId;

type R = Result<ValueId, BuildError>;

/// The dtype in which elements are averaged: f32, or f64 for those of 64 bits.
fn work_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F64 | DType::I64 | DType::U64 => DType::F64,
        _ => DType::F32,
    }
}

/// A size as a scalar of a dtype.
fn size_value(cx: &mut DecomposeCx<'_, '_>, dim: &Dim, dtype: DType) -> R {
    if let (Some(n), true) = (dim.as_known(), dtype.is_float()) {
        return cx.b.scalar(dtype, n as f64);
    }
    let value = cx.b.dim_scalar(dim)?;
    cx.b.cast(value, dtype)
}

/// x limited to [low, high], where NaN becomes low.
fn limit(cx: &mut DecomposeCx<'_, '_>, x: ValueId, low: ValueId, high: ValueId) -> R {
    let above = cx.b.less(low, x)?;
    let x = cx.b.select(above, x, low)?;
    cx.b.min(x, high)
}

/// The integers from floats that hold integers, limited to [0, size - 1].
fn pixel(cx: &mut DecomposeCx<'_, '_>, x: ValueId, size: &Dim) -> R {
    let dtype = cx.b.tensor_ty(x)?.dtype;
    let last = size_value(cx, &(size - 1), dtype)?;
    let zero = cx.b.scalar(dtype, 0.0)?;
    let x = limit(cx, x, zero, last)?;
    cx.b.cast(x, DType::I64)
}

/// The shape without the last `n` axes.
fn leading(shape: &[Dim], n: usize) -> Shape {
    shape.iter().take(shape.len().saturating_sub(n)).cloned().collect()
}

/// Names the size that a scalar i64 value holds.
fn bind_size(cx: &mut DecomposeCx<'_, '_>, value: ValueId, hint: &str) -> Result<Dim, BuildError> {
    let dim = cx.b.fresh_dim(hint, Some(format!("size found by {hint}")));
    cx.b.node(crate::op::DimsOf { dims: vec![dim.clone()] }, &[Some(value)])?;
    Ok(dim)
}

/// A zero (empty, false) of any dtype.
fn zero_of(cx: &mut DecomposeCx<'_, '_>, dtype: DType) -> R {
    let zero = crate::array::Array::zeros(dtype, Vec::new())?;
    cx.b.constant(&zero)
}
