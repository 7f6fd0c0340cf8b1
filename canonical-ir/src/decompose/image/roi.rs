//! Decompositions of pooling in regions of interest.

use super::{R, bind_size, limit, pixel, size_value};
use crate::decompose::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::dim::{Dim, numel};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::*;

/// The bins of all regions along one axis, and where they are sampled.
struct Samples {
    /// i64 `[rois, bins * samples]`: the pixel at or before a sample, and the next one.
    low: ValueId,
    high: ValueId,
    /// Their weights.
    low_weight: ValueId,
    high_weight: ValueId,
    /// bool: whether a sample is near enough to the image to count.
    near: ValueId,
    /// bool: whether a sample belongs to its region, which may have fewer than the largest;
    /// none when all have the same number.
    real: Option<ValueId>,
    /// Samples per bin of each region, `[rois]`.
    count: ValueId,
    /// Samples per bin of the region that has most.
    most: Dim,
}

/// One column of the regions, in the dtype of the computation, times the scale.
fn edge(cx: &mut DecomposeCx<'_, '_>, rois: ValueId, column: i64, scale: f64) -> R {
    let x = cx.b.index_axis(rois, 1, column)?;
    cx.b.mul_const(x, scale)
}

fn samples(
    cx: &mut DecomposeCx<'_, '_>,
    op: &RoiAlign,
    rois: ValueId,
    column: i64,
    bins: i64,
    size: &Dim,
) -> Result<Samples, NoDecomposition> {
    let ty = cx.b.tensor_ty(rois)?;
    let (n, dtype) = (ty.shape.first().cloned().unwrap_or(Dim::Any), ty.dtype);
    let scale = f64::from(op.spatial_scale.0 as f32);
    let mut start = edge(cx, rois, column, scale)?;
    let mut end = edge(cx, rois, column + 2, scale)?;
    if op.half_pixel {
        start = cx.b.add_const(start, -0.5)?;
        end = cx.b.add_const(end, -0.5)?;
    }
    let mut extent = cx.b.sub(end, start)?;
    let one = cx.b.scalar(dtype, 1.0)?;
    let zero = cx.b.scalar(dtype, 0.0)?;
    if !op.half_pixel {
        extent = cx.b.max(extent, one)?;
    }
    let bin_count = cx.b.scalar(dtype, bins as f64)?;
    let bin = cx.b.div(extent, bin_count)?;
    let (count, most) = if op.sampling_ratio > 0 {
        let ratio = cx.b.scalar(dtype, op.sampling_ratio as f64)?;
        (cx.b.broadcast_to(ratio, std::slice::from_ref(&n))?, Dim::Known(op.sampling_ratio))
    } else {
        let count = cx.b.ceil(bin)?;
        let count = cx.b.max(count, zero)?;
        let most = cx.b.reduce(ReduceKind::Max, count, &[0], false)?;
        let most = cx.b.max(most, zero)?;
        let most = cx.b.cast(most, DType::I64)?;
        (count, bind_size(cx, most, "samples")?)
    };
    // start + bin index * bin + (sample index + 1/2) * bin / count, as [rois, bins, samples].
    let column_of = |cx: &mut DecomposeCx<'_, '_>, x: ValueId| cx.b.unsqueeze(x, &[1, 2]);
    let (start, bin) = (column_of(cx, start)?, column_of(cx, bin)?);
    let wide_count = column_of(cx, count)?;
    let safe_count = cx.b.max(wide_count, one)?;
    let which = cx.b.iota(dtype, Dim::Known(bins))?;
    let which = cx.b.unsqueeze(which, &[1])?;
    let sample = cx.b.iota(dtype, most.clone())?;
    let offset = cx.b.mul(which, bin)?;
    let from = cx.b.add(start, offset)?;
    let within = cx.b.add_const(sample, 0.5)?;
    let within = cx.b.mul(within, bin)?;
    let within = cx.b.div(within, safe_count)?;
    let at = cx.b.add(from, within)?;
    let flat = [n, numel(&[Dim::Known(bins), most.clone()])];
    let real = if op.sampling_ratio > 0 {
        None
    } else {
        let real = cx.b.less(sample, wide_count)?;
        let real = cx.b.broadcast_like(real, at)?;
        Some(cx.b.reshape(real, &flat)?)
    };
    let at = cx.b.reshape(at, &flat)?;

    let length = size_value(cx, size, dtype)?;
    let last = size_value(cx, &(size - 1), dtype)?;
    let before = cx.b.scalar(dtype, -1.0)?;
    let (from, to) = (cx.b.less_or_equal(before, at)?, cx.b.less_or_equal(at, length)?);
    let near = cx.b.and(from, to)?;
    let at = limit(cx, at, zero, last)?;
    let floor = cx.b.floor(at)?;
    let high_weight = cx.b.sub(at, floor)?;
    let low_weight = cx.b.sub(one, high_weight)?;
    let next = cx.b.add_const(floor, 1.0)?;
    let low = pixel(cx, floor, size)?;
    let high = pixel(cx, next, size)?;
    Ok(Samples { low, high, low_weight, high_weight, near, real, count, most })
}

/// A value `[rois, rows]` and one `[rois, columns]` as a value `[rois, rows, columns]`.
fn outer(
    cx: &mut DecomposeCx<'_, '_>,
    rows: ValueId,
    columns: ValueId,
    f: impl FnOnce(&mut DecomposeCx<'_, '_>, ValueId, ValueId) -> R,
) -> R {
    let rows = cx.b.unsqueeze(rows, &[2])?;
    let columns = cx.b.unsqueeze(columns, &[1])?;
    f(cx, rows, columns)
}

/// Bilinear samples in the bins of regions.
pub fn roi_align(cx: &mut DecomposeCx<'_, '_>, op: &RoiAlign) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let [n, c, h, w] = ty.shape.as_slice() else { return cx.unsupported("rank") };
    let (x, rois, batch) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let work = if ty.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let x = cx.b.cast(x, work)?;
    let rois = cx.b.cast(rois, work)?;
    let batch = cx.b.cast(batch, DType::I64)?;
    let count = cx.b.tensor_ty(rois)?.shape.first().cloned().unwrap_or(Dim::Any);
    let rows = samples(cx, op, rois, 1, op.output_height, h)?;
    let columns = samples(cx, op, rois, 0, op.output_width, w)?;

    // One row of channels per pixel.
    let pixels = cx.b.reshape(x, &[n.clone(), c.clone(), h * w])?;
    let pixels = cx.b.transpose(pixels, &[0, 2, 1])?;
    let pixels = cx.b.reshape(pixels, &[&(n * h) * w, c.clone()])?;
    let area = cx.b.dim_scalar(&(h * w))?;
    let images = cx.b.dim_scalar(n)?;
    let nought = cx.b.scalar_int(DType::I64, 0)?;
    // A negative index counts from the last image; one that is still out of range fails below.
    let negative = cx.b.less(batch, nought)?;
    let from_end = cx.b.add(batch, images)?;
    let batch = cx.b.select(negative, from_end, batch)?;
    let valid_low = cx.b.less_or_equal(nought, batch)?;
    let valid_high = cx.b.less(batch, images)?;
    let valid = cx.b.and(valid_low, valid_high)?;
    let beyond = cx.b.mul(images, area)?;
    let base = cx.b.mul(batch, area)?;
    let base = cx.b.select(valid, base, beyond)?;
    let base = cx.b.unsqueeze(base, &[1, 2])?;
    let width = cx.b.dim_scalar(w)?;
    let near = outer(cx, rows.near, columns.near, |cx, a, b| cx.b.and(a, b))?;
    let near = cx.b.unsqueeze(near, &[3])?;
    let zero = cx.b.scalar(work, 0.0)?;

    let mut taps = Vec::with_capacity(4);
    for (row, row_weight) in [(rows.low, rows.low_weight), (rows.high, rows.high_weight)] {
        let row = cx.b.mul(row, width)?;
        for (column, column_weight) in
            [(columns.low, columns.low_weight), (columns.high, columns.high_weight)]
        {
            let index = outer(cx, row, column, |cx, a, b| cx.b.add(a, b))?;
            let index = cx.b.add(index, base)?;
            let value = cx.b.emit(Gather { axis: 0 }, &[pixels, index])?;
            let weight = outer(cx, row_weight, column_weight, |cx, a, b| cx.b.mul(a, b))?;
            let weight = cx.b.unsqueeze(weight, &[3])?;
            let value = cx.b.mul(value, weight)?;
            taps.push(cx.b.select(near, value, zero)?);
        }
    }
    let &[a, b, c2, d] = taps.as_slice() else { return cx.unsupported("taps") };
    let avg = op.mode == RoiMode::Avg;
    let join = |cx: &mut DecomposeCx<'_, '_>, x, y| {
        if avg { cx.b.add(x, y) } else { cx.b.max(x, y) }
    };
    let sample = join(cx, a, b)?;
    let sample = join(cx, sample, c2)?;
    let mut sample = join(cx, sample, d)?;
    let neutral = if avg { zero } else { cx.b.scalar(work, f64::NEG_INFINITY)? };
    if let (Some(r), Some(k)) = (rows.real, columns.real) {
        let real = outer(cx, r, k, |cx, a, b| cx.b.and(a, b))?;
        let real = cx.b.unsqueeze(real, &[3])?;
        sample = cx.b.select(real, sample, neutral)?;
    }
    // [rois, bins, samples, bins, samples, channels]
    let (bins_h, bins_w) = (Dim::Known(op.output_height), Dim::Known(op.output_width));
    let dims = [count, bins_h, rows.most, bins_w, columns.most, c.clone()];
    let sample = cx.b.reshape(sample, &dims)?;
    let kind = if avg { ReduceKind::Sum } else { ReduceKind::Max };
    let mut y = cx.b.reduce(kind, sample, &[2, 4], false)?;
    let samples = cx.b.mul(rows.count, columns.count)?;
    let samples = cx.b.unsqueeze(samples, &[1, 2, 3])?;
    if avg {
        let one = cx.b.scalar(work, 1.0)?;
        let samples = cx.b.max(samples, one)?;
        y = cx.b.div(y, samples)?;
    } else if op.sampling_ratio == 0 {
        let some = cx.b.less(zero, samples)?;
        y = cx.b.select(some, y, zero)?;
    }
    let y = cx.b.transpose(y, &[0, 3, 1, 2])?;
    one(cx.b.cast(y, ty.dtype)?)
}

/// bool `[rois, bins, size]`: which pixels of an axis belong to which bins.
fn members(
    cx: &mut DecomposeCx<'_, '_>,
    op: &MaxRoiPool,
    rois: ValueId,
    column: i64,
    bins: i64,
    size: &Dim,
) -> R {
    let scale = f64::from(op.spatial_scale.0 as f32);
    let start = edge(cx, rois, column, scale)?;
    let end = edge(cx, rois, column + 2, scale)?;
    let (start, end) = (round_half_away(cx, start)?, round_half_away(cx, end)?);
    let extent = cx.b.sub(end, start)?;
    let extent = cx.b.add_const(extent, 1.0)?;
    let one = cx.b.scalar_like(extent, 1.0)?;
    let extent = cx.b.max(extent, one)?;
    let count = cx.b.scalar_like(extent, bins as f64)?;
    let bin = cx.b.div(extent, count)?;
    let bin = cx.b.unsqueeze(bin, &[1])?;
    let start = cx.b.unsqueeze(start, &[1])?;
    let dtype = cx.b.tensor_ty(bin)?.dtype;
    let which = cx.b.iota(dtype, Dim::Known(bins))?;
    let next = cx.b.add_const(which, 1.0)?;
    let from = cx.b.mul(which, bin)?;
    let from = cx.b.floor(from)?;
    let from = cx.b.add(from, start)?;
    let to = cx.b.mul(next, bin)?;
    let to = cx.b.ceil(to)?;
    let to = cx.b.add(to, start)?;
    let (from, to) = (cx.b.unsqueeze(from, &[2])?, cx.b.unsqueeze(to, &[2])?);
    let at = cx.b.iota(dtype, size.clone())?;
    let (after, before) = (cx.b.less_or_equal(from, at)?, cx.b.less(at, to)?);
    cx.b.and(after, before)
}

/// The nearest integer, halves away from zero.
fn round_half_away(cx: &mut DecomposeCx<'_, '_>, x: ValueId) -> R {
    let sign = cx.b.sign(x)?;
    let size = cx.b.abs(x)?;
    let size = cx.b.add_const(size, 0.5)?;
    let size = cx.b.floor(size)?;
    cx.b.mul(sign, size)
}

/// Maxima in the bins of regions; 0 in a bin without pixels. One spatial axis after the other.
pub fn max_roi_pool(cx: &mut DecomposeCx<'_, '_>, op: &MaxRoiPool) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let [_, _, h, w] = ty.shape.as_slice() else { return cx.unsupported("rank") };
    let &[bins_h, bins_w] = op.pooled_shape.as_slice() else { return cx.unsupported("bins") };
    let (x, rois) = (cx.x(0)?, cx.x(1)?);
    let work = if ty.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let rois = cx.b.cast(rois, work)?;
    let batch = cx.b.index_axis(rois, 1, 0)?;
    let batch = cx.b.cast(batch, DType::I64)?;
    let rows = members(cx, op, rois, 2, bins_h, h)?;
    let columns = members(cx, op, rois, 1, bins_w, w)?;
    let low = cx.b.scalar(ty.dtype, f64::NEG_INFINITY)?;
    // [rois, C, H, W] -> [rois, C, H, bins] -> [rois, C, bins, bins]
    let images = cx.b.emit(Gather { axis: 0 }, &[x, batch])?;
    let images = cx.b.unsqueeze(images, &[3])?;
    let mask = cx.b.unsqueeze(columns, &[1, 2])?;
    let kept = cx.b.select(mask, images, low)?;
    let y = cx.b.reduce(ReduceKind::Max, kept, &[4], false)?;
    let y = cx.b.unsqueeze(y, &[2])?;
    let mask = cx.b.unsqueeze(rows, &[1, 4])?;
    let kept = cx.b.select(mask, y, low)?;
    let y = cx.b.reduce(ReduceKind::Max, kept, &[3], false)?;
    let any = |cx: &mut DecomposeCx<'_, '_>, mask: ValueId| {
        cx.b.reduce(ReduceKind::Or, mask, &[2], false)
    };
    let (any_row, any_column) = (any(cx, rows)?, any(cx, columns)?);
    let some = outer(cx, any_row, any_column, |cx, a, b| cx.b.and(a, b))?;
    let some = cx.b.unsqueeze(some, &[1])?;
    let zero = cx.b.scalar(ty.dtype, 0.0)?;
    one(cx.b.select(some, y, zero)?)
}
