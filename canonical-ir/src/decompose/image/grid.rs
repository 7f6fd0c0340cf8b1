//! Decompositions of `grid_sample` and `affine_grid`.

use super::{R, leading, limit, pixel, size_value, work_dtype, zero_of};
use crate::array::Array;
use crate::builder::BuildError;
use crate::decompose::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::dim::{Dim, numel};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::*;

/// The pixels along one axis that each sampling point reads.
struct AxisTaps {
    /// i64 `[N, points, taps]`, all within the axis.
    indices: ValueId,
    /// Float `[N, points, taps]`; none for copies.
    weights: Option<ValueId>,
    /// bool `[N, points, taps]`: whether a tap is inside the image.
    inside: Option<ValueId>,
}

/// Sampling at points. The taps of the axes are combined into one list per point, gathered at
/// once, weighted and summed.
pub fn grid_sample(cx: &mut DecomposeCx<'_, '_>, op: &GridSample) -> DecomposeResult {
    let (x, x_ty) = (cx.x(0)?, cx.ty(0)?);
    let (grid, grid_ty) = (cx.x(1)?, cx.ty(1)?);
    let Some(spatial) = x_ty.rank().checked_sub(2).filter(|&r| r > 0) else {
        return cx.unsupported("there are no spatial axes");
    };
    let (Some(n), Some(c)) = (x_ty.shape.first().cloned(), x_ty.shape.get(1).cloned()) else {
        return cx.unsupported("rank");
    };
    let sizes: Vec<Dim> = x_ty.shape.iter().skip(2).cloned().collect();
    let outputs: Vec<Dim> = grid_ty.shape.iter().skip(1).take(spatial).cloned().collect();
    let points = numel(&outputs);
    let float = if grid_ty.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let grid = cx.b.cast(grid, float)?;
    let grid = cx.b.reshape(grid, &[n.clone(), points.clone(), Dim::Known(spatial as i64)])?;

    let mut all: Option<AxisTaps> = None;
    for (axis, size) in sizes.iter().enumerate() {
        // The grid names the last axis first.
        let at = cx.b.index_axis(grid, 2, (spatial - 1 - axis) as i64)?;
        let taps = axis_taps(cx, op, at, size)?;
        all = Some(match all {
            None => taps,
            Some(outer) => combine(cx, outer, taps, size)?,
        });
    }
    let Some(taps) = all else { return cx.unsupported("there are no spatial axes") };

    let pixels = cx.b.reshape(x, &[n.clone(), c.clone(), numel(&sizes)])?;
    let pixels = cx.b.transpose(pixels, &[0, 2, 1])?;
    let at: usize = cx.b.tensor_ty(taps.indices)?.rank();
    let indices = cx.b.unsqueeze(taps.indices, &[at])?;
    let mut y = cx.b.emit(GatherNd { batch_dims: 1 }, &[pixels, indices])?;
    if let Some(inside) = taps.inside {
        let inside = cx.b.unsqueeze(inside, &[at])?;
        let zero = zero_of(cx, x_ty.dtype)?;
        y = cx.b.select(inside, y, zero)?;
    }
    y = match taps.weights {
        Some(weights) => {
            let work = work_dtype(x_ty.dtype);
            let weights = cx.b.cast(weights, work)?;
            let weights = cx.b.unsqueeze(weights, &[at])?;
            let y = cx.b.cast(y, work)?;
            let y = cx.b.mul(y, weights)?;
            let y = cx.b.reduce(ReduceKind::Sum, y, &[2], false)?;
            cx.b.cast(y, x_ty.dtype)?
        }
        None => cx.b.reshape(y, &[n.clone(), points, c.clone()])?,
    };
    let y = cx.b.transpose(y, &[0, 2, 1])?;
    let mut dims = vec![n, c];
    dims.extend(outputs);
    one(cx.b.reshape(y, &dims)?)
}

/// All pairs of an outer tap and a tap of the next inner axis.
fn combine(
    cx: &mut DecomposeCx<'_, '_>,
    outer: AxisTaps,
    inner: AxisTaps,
    size: &Dim,
) -> Result<AxisTaps, BuildError> {
    let size = cx.b.dim_scalar(size)?;
    let rows = cx.b.mul(outer.indices, size)?;
    let indices = pairs(cx, rows, inner.indices, |cx, a, b| cx.b.add(a, b))?;
    let weights = match (outer.weights, inner.weights) {
        (Some(a), Some(b)) => Some(pairs(cx, a, b, |cx, a, b| cx.b.mul(a, b))?),
        _ => None,
    };
    let inside = match (outer.inside, inner.inside) {
        (Some(a), Some(b)) => Some(pairs(cx, a, b, |cx, a, b| cx.b.and(a, b))?),
        _ => None,
    };
    Ok(AxisTaps { indices, weights, inside })
}

fn pairs(
    cx: &mut DecomposeCx<'_, '_>,
    a: ValueId,
    b: ValueId,
    f: impl FnOnce(&mut DecomposeCx<'_, '_>, ValueId, ValueId) -> R,
) -> R {
    let shape = cx.b.tensor_ty(a)?.shape;
    let mut dims = leading(&shape, 1);
    dims.push(numel(shape.get(2..).unwrap_or_default()).mul(&last_size(cx, b)?));
    let a = cx.b.unsqueeze(a, &[3])?;
    let b = cx.b.unsqueeze(b, &[2])?;
    let both = f(cx, a, b)?;
    cx.b.reshape(both, &dims)
}

fn last_size(cx: &mut DecomposeCx<'_, '_>, x: ValueId) -> Result<Dim, BuildError> {
    Ok(cx.b.tensor_ty(x)?.shape.last().cloned().unwrap_or(Dim::Known(1)))
}

/// The taps along an axis for coordinates `[N, points]` in [-1, 1].
fn axis_taps(
    cx: &mut DecomposeCx<'_, '_>,
    op: &GridSample,
    at: ValueId,
    size: &Dim,
) -> Result<AxisTaps, NoDecomposition> {
    let float = cx.b.tensor_ty(at)?.dtype;
    let length = size_value(cx, size, float)?;
    let last = size_value(cx, &(size - 1), float)?;
    let zero = cx.b.scalar(float, 0.0)?;
    let shifted = cx.b.add_const(at, 1.0)?;
    let (mut x, low, high) = if op.align_corners {
        let half = cx.b.mul_const(shifted, 0.5)?;
        (cx.b.mul(half, last)?, zero, last)
    } else {
        let x = cx.b.mul(shifted, length)?;
        let x = cx.b.add_const(x, -1.0)?;
        let x = cx.b.mul_const(x, 0.5)?;
        (x, cx.b.scalar(float, -0.5)?, cx.b.add_const(length, -0.5)?)
    };
    if op.mode == GridMode::Nearest {
        x = cx.b.round(x)?;
    }
    // The taps of a cubic kernel are brought back one by one, those of others with the point.
    if op.mode != GridMode::Cubic {
        x = padded(cx, op, x, (low, high), last, size)?;
    }
    let (base, offsets): (_, &[f64]) = match op.mode {
        GridMode::Nearest => (x, &[0.0]),
        GridMode::Linear => (cx.b.floor(x)?, &[0.0, 1.0]),
        GridMode::Cubic => (cx.b.floor(x)?, &[-1.0, 0.0, 1.0, 2.0]),
    };
    let weights = match op.mode {
        GridMode::Nearest => None,
        GridMode::Linear => {
            let part = cx.b.sub(x, base)?;
            let part = cx.b.unsqueeze(part, &[2])?;
            let rest = cx.b.mul_const(part, -1.0)?;
            let rest = cx.b.add_const(rest, 1.0)?;
            Some(cx.b.concat(&[rest, part], 2)?)
        }
        GridMode::Cubic => {
            let part = cx.b.sub(x, base)?;
            Some(cubic_weights(cx, part)?)
        }
    };
    let offsets = Array::from_f64s(float, vec![offsets.len()], offsets)?;
    let offsets = cx.b.constant(&offsets)?;
    let base = cx.b.unsqueeze(base, &[2])?;
    let taps = cx.b.add(base, offsets)?;
    let (taps, inside) = match op.padding {
        GridPadding::Zeros => {
            let (from, to) = (cx.b.less_or_equal(zero, taps)?, cx.b.less_or_equal(taps, last)?);
            (taps, Some(cx.b.and(from, to)?))
        }
        GridPadding::Border => (taps, None),
        GridPadding::Reflection => {
            let reflected = reflect(cx, taps, (low, high), op, size)?;
            (cx.b.floor(reflected)?, None)
        }
    };
    let indices = pixel(cx, taps, size)?;
    Ok(AxisTaps { indices, weights, inside })
}

/// Coordinates outside [low, high] brought back as the padding asks.
fn padded(
    cx: &mut DecomposeCx<'_, '_>,
    op: &GridSample,
    x: ValueId,
    (low, high): (ValueId, ValueId),
    last: ValueId,
    size: &Dim,
) -> Result<ValueId, NoDecomposition> {
    let moved = match op.padding {
        GridPadding::Zeros => return Ok(x),
        GridPadding::Border => {
            let zero = cx.b.scalar_like(x, 0.0)?;
            limit(cx, x, zero, last)?
        }
        GridPadding::Reflection => return Ok(reflect(cx, x, (low, high), op, size)?),
    };
    let inside = between(cx, low, x, high)?;
    Ok(cx.b.select(inside, x, moved)?)
}

fn between(cx: &mut DecomposeCx<'_, '_>, low: ValueId, x: ValueId, high: ValueId) -> R {
    let (from, to) = (cx.b.less_or_equal(low, x)?, cx.b.less_or_equal(x, high)?);
    cx.b.and(from, to)
}

/// Coordinates mirrored at both borders until they are between them; those that are stay as they
/// are.
fn reflect(
    cx: &mut DecomposeCx<'_, '_>,
    x: ValueId,
    (low, high): (ValueId, ValueId),
    op: &GridSample,
    size: &Dim,
) -> R {
    if op.align_corners && size.as_known() == Some(1) {
        return cx.b.full_like(x, 0.0);
    }
    let extent = cx.b.sub(high, low)?;
    let distance = cx.b.sub(x, low)?;
    let distance = cx.b.abs(distance)?;
    let turns = cx.b.div(distance, extent)?;
    let turns = cx.b.floor(turns)?;
    let whole = cx.b.mul(turns, extent)?;
    let rest = cx.b.sub(distance, whole)?;
    let two = cx.b.scalar_like(x, 2.0)?;
    let parity = cx.b.rem_floor(turns, two)?;
    let zero = cx.b.scalar_like(x, 0.0)?;
    let even = cx.b.equal(parity, zero)?;
    let forth = cx.b.add(low, rest)?;
    let back = cx.b.sub(high, rest)?;
    let moved = cx.b.select(even, forth, back)?;
    let inside = between(cx, low, x, high)?;
    let mut y = cx.b.select(inside, x, moved)?;
    if op.align_corners && size.as_known().is_none() {
        // One pixel: there is nothing between the borders.
        let none = cx.b.equal(extent, zero)?;
        y = cx.b.select(none, zero, y)?;
    }
    Ok(y)
}

/// The weights of four taps, from the distance behind the second, with the coefficient -3/4.
fn cubic_weights(cx: &mut DecomposeCx<'_, '_>, part: ValueId) -> R {
    const A: f64 = -0.75;
    let far = |cx: &mut DecomposeCx<'_, '_>, d: ValueId| -> R {
        let y = cx.b.mul_const(d, A)?;
        let y = cx.b.add_const(y, -5.0 * A)?;
        let y = cx.b.mul(y, d)?;
        let y = cx.b.add_const(y, 8.0 * A)?;
        let y = cx.b.mul(y, d)?;
        cx.b.add_const(y, -4.0 * A)
    };
    let near = |cx: &mut DecomposeCx<'_, '_>, d: ValueId| -> R {
        let y = cx.b.mul_const(d, A + 2.0)?;
        let y = cx.b.add_const(y, -(A + 3.0))?;
        let y = cx.b.mul(y, d)?;
        let y = cx.b.mul(y, d)?;
        cx.b.add_const(y, 1.0)
    };
    let rest = cx.b.mul_const(part, -1.0)?;
    let before = cx.b.add_const(part, 1.0)?;
    let next = cx.b.add_const(rest, 1.0)?;
    let after = cx.b.add_const(rest, 2.0)?;
    let weights = [far(cx, before)?, near(cx, part)?, near(cx, next)?, far(cx, after)?];
    let mut columns = Vec::with_capacity(4);
    for w in weights {
        columns.push(cx.b.unsqueeze(w, &[2])?);
    }
    cx.b.concat(&columns, 2)
}

/// Sampling grid of an affine map: the sum of the columns of theta times the coordinates of each
/// axis.
pub fn affine_grid(cx: &mut DecomposeCx<'_, '_>, op: &AffineGrid) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let theta = cx.x(0)?;
    let work = if ty.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let theta = cx.b.cast(theta, work)?;
    let sizes: Vec<Dim> = op.dims.iter().skip(2).cloned().collect();
    let spatial = sizes.len();
    let n = ty.shape.first().cloned().unwrap_or(Dim::Any);
    let mut dims = vec![n.clone()];
    dims.extend(std::iter::repeat_n(Dim::Known(1), spatial));
    dims.push(Dim::Known(spatial as i64));
    // Column j of theta, as [N, 1 ..., spatial].
    let column = |cx: &mut DecomposeCx<'_, '_>, j: usize| -> R {
        let part = cx.b.index_axis(theta, 2, j as i64)?;
        cx.b.reshape(part, &dims)
    };
    let mut sum = column(cx, spatial)?;
    for (axis, size) in sizes.iter().enumerate() {
        let at = axis_points(cx, size, op.align_corners, work)?;
        let mut place = vec![Dim::Known(1); spatial + 2];
        if let Some(slot) = place.get_mut(axis + 1) {
            *slot = size.clone();
        }
        let at = cx.b.reshape(at, &place)?;
        // The map names the last axis first.
        let part = column(cx, spatial - 1 - axis)?;
        let part = cx.b.mul(part, at)?;
        sum = cx.b.add(sum, part)?;
    }
    one(cx.b.cast(sum, ty.dtype)?)
}

/// The coordinates of the pixels of an axis between -1 and 1; 0 for a lone one.
fn axis_points(cx: &mut DecomposeCx<'_, '_>, size: &Dim, align: bool, dtype: DType) -> R {
    let i = cx.b.iota(dtype, size.clone())?;
    let length = size_value(cx, size, dtype)?;
    if !align {
        let x = cx.b.mul_const(i, 2.0)?;
        let x = cx.b.add_const(x, 1.0)?;
        let x = cx.b.div(x, length)?;
        return cx.b.add_const(x, -1.0);
    }
    let one = cx.b.scalar(dtype, 1.0)?;
    let steps = cx.b.add_const(length, -1.0)?;
    let steps = cx.b.max(steps, one)?;
    let x = cx.b.mul_const(i, 2.0)?;
    let x = cx.b.div(x, steps)?;
    let x = cx.b.sub(x, one)?;
    match size.as_known() {
        Some(1) => cx.b.full_like(x, 0.0),
        Some(_) => Ok(x),
        None => {
            let many = cx.b.less(one, length)?;
            let zero = cx.b.scalar(dtype, 0.0)?;
            cx.b.select(many, x, zero)
        }
    }
}
