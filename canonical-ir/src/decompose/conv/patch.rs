//! Windows as index arithmetic: gathering their elements and scattering them back.

use super::{
    DecomposeCx, DecomposeResult, NoDecomposition, Value, one, per_channel, pinned, wide, zero,
};
use crate::dim::{Dim, numel};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::conv::window::{WindowAxis, Windows};
use crate::infer::conv::{blocks, unpooled};
use crate::op::*;

/// Where the elements of windows along one axis are, as tables [out, kernel].
pub(super) struct Positions {
    /// Index in the axis, i64; outside of it where the element is padding.
    pub at: ValueId,
    /// Whether the index is in the axis.
    pub inside: ValueId,
    /// The index moved into the axis.
    pub clamped: ValueId,
}

/// The index in the axis of each element of windows (kernel, stride, dilation), as a table
/// [out, kernel].
pub(super) fn places(
    cx: &mut DecomposeCx<'_, '_>,
    axis: &WindowAxis,
    (k, s, d): (i64, i64, i64),
) -> Value {
    let b = &mut *cx.b;
    let dims = vec![axis.out.clone(), Dim::Known(k)];
    let mut at = b.emit(Iota { dtype: DType::I64, dims: dims.clone(), axis: 0 }, &[])?;
    if s != 1 {
        let s = b.scalar_int(DType::I64, s)?;
        at = b.mul(at, s)?;
    }
    if k > 1 {
        let mut within = b.emit(Iota { dtype: DType::I64, dims, axis: 1 }, &[])?;
        if d != 1 {
            let d = b.scalar_int(DType::I64, d)?;
            within = b.mul(within, d)?;
        }
        at = b.add(at, within)?;
    }
    if axis.low != Dim::Known(0) {
        let low = b.dim_scalar(&axis.low)?;
        at = b.sub(at, low)?;
    }
    Ok(at)
}

/// The positions of windows (kernel, stride, dilation) along an axis of a size.
pub(super) fn positions(
    cx: &mut DecomposeCx<'_, '_>,
    axis: &WindowAxis,
    size: &Dim,
    window: (i64, i64, i64),
) -> Result<Positions, NoDecomposition> {
    let at = places(cx, axis, window)?;
    let b = &mut *cx.b;
    let first = b.scalar_int(DType::I64, 0)?;
    let end = b.dim_scalar(size)?;
    let after = b.less_or_equal(first, at)?;
    let before = b.less(at, end)?;
    let inside = b.and(after, before)?;
    let last = b.dim_scalar(&(size - 1))?;
    let low = b.max(at, first)?;
    let clamped = b.min(low, last)?;
    Ok(Positions { at, inside, clamped })
}

/// A table [out, kernel] of axis i of n, shaped to broadcast in [1, 1, out..., kernel...].
pub(super) fn spread_axis(
    cx: &mut DecomposeCx<'_, '_>,
    table: ValueId,
    i: usize,
    n: usize,
) -> Value {
    let shape = cx.b.tensor_ty(table)?.shape;
    let mut dims = vec![Dim::Known(1); 2 + 2 * n];
    for (place, size) in [2 + i, 2 + n + i].into_iter().zip(shape) {
        if let Some(d) = dims.get_mut(place) {
            *d = size;
        }
    }
    Ok(cx.b.reshape(table, &dims)?)
}

/// `max_unpool`
pub fn max_unpool(cx: &mut DecomposeCx<'_, '_>, op: &MaxUnpool) -> DecomposeResult {
    let (x, indices, ty) = (cx.x(0)?, cx.x(1)?, cx.ty(0)?);
    let Some(implied) = unpooled(op, &ty.shape) else {
        return cx.unsupported("a list of max_unpool is too short");
    };
    let count = numel(&ty.shape);
    let values = cx.b.reshape(x, std::slice::from_ref(&count))?;
    let indices = cx.b.reshape(indices, &[count, Dim::Known(1)])?;
    let empty = zero(cx, ty.dtype)?;
    let target = cx.b.broadcast_to(empty, &[numel(&implied)])?;
    let scatter = ScatterNd { reduction: ScatterReduction::None };
    let flat = cx.b.emit(scatter, &[target, indices, values])?;
    let y = cx.b.reshape(flat, &implied)?;
    if op.dims.is_empty() || op.dims == implied {
        return one(y);
    }
    let high = op.dims.iter().zip(&implied).map(|(d, i)| d - i).collect();
    let pad = Pad { low: vec![Dim::Known(0); implied.len()], high, mode: PadMode::Constant };
    let y = cx.b.emit(pad, &[y])?;
    one(pinned(cx, y, &op.dims)?)
}

/// `col2im`
pub fn col2im(cx: &mut DecomposeCx<'_, '_>, op: &Col2Im) -> DecomposeResult {
    let (x, ty) = (cx.x(0)?, cx.ty(0)?);
    let [batch, rows, _] = &ty.shape[..] else {
        return cx.unsupported("col2im of another rank than 3");
    };
    let n = op.image_dims.len();
    let block: Vec<Dim> = op.block_shape.iter().map(|&k| Dim::Known(k)).collect();
    let out = blocks(op);
    let (per_block, count) = (numel(&block), numel(&out));
    let channels = rows.floor_div(&per_block);
    // Flat positions of [block..., out...] in the padded image.
    let places: Vec<Dim> = block.iter().chain(&out).cloned().collect();
    let mut padded = Vec::with_capacity(n);
    let mut flat: Option<ValueId> = None;
    for (i, size) in op.image_dims.iter().enumerate() {
        let at = |list: &[i64], i: usize| list.get(i).copied();
        let (Some(s), Some(d), Some(low), Some(high)) =
            (at(&op.strides, i), at(&op.dilations, i), at(&op.pads, i), at(&op.pads, n + i))
        else {
            return cx.unsupported("a list of col2im is too short");
        };
        let size = size + (low + high);
        let mut position = None;
        for (axis, step) in [(i, d), (n + i, s)] {
            let count = Iota { dtype: DType::I64, dims: places.clone(), axis: axis as i64 };
            let count = cx.b.emit(count, &[])?;
            let step = cx.b.scalar_int(DType::I64, step)?;
            let part = cx.b.mul(count, step)?;
            position = Some(match position {
                Some(p) => cx.b.add(p, part)?,
                None => part,
            });
        }
        flat = match (flat, position) {
            (Some(f), Some(p)) => {
                let size = cx.b.dim_scalar(&size)?;
                let f = cx.b.mul(f, size)?;
                Some(cx.b.add(f, p)?)
            }
            (None, p) => p,
            (f, None) => f,
        };
        padded.push(size);
    }
    let Some(flat) = flat else {
        return cx.unsupported("col2im of no spatial axes");
    };
    let updates = &per_block * &count;
    let indices = cx.b.reshape(flat, &[updates.clone(), Dim::Known(1)])?;
    let columns = cx.b.reshape(x, &[batch.clone(), channels.clone(), updates])?;
    let columns = cx.b.transpose(columns, &[2, 0, 1])?;
    let empty = zero(cx, ty.dtype)?;
    let target = cx.b.broadcast_to(empty, &[numel(&padded), batch.clone(), channels.clone()])?;
    let scatter = ScatterNd { reduction: ScatterReduction::Add };
    let sums = cx.b.emit(scatter, &[target, indices, columns])?;
    let sums = cx.b.transpose(sums, &[1, 2, 0])?;
    let mut dims = vec![batch.clone(), channels];
    dims.extend(padded);
    let mut y = cx.b.reshape(sums, &dims)?;
    if op.pads.iter().any(|&p| p != 0) {
        let low = |i: usize| op.pads.get(i).copied().unwrap_or(0);
        let cut = Slice {
            axes: (0..n as i64).map(|i| i + 2).collect(),
            starts: (0..n).map(|i| Dim::Known(low(i))).collect(),
            ends: op.image_dims.iter().enumerate().map(|(i, d)| d + low(i)).collect(),
            steps: vec![1; n],
        };
        y = cx.b.emit(cut, &[y])?;
    }
    let mut dims: Vec<Dim> = dims.into_iter().take(2).collect();
    dims.extend(op.image_dims.iter().cloned());
    one(pinned(cx, y, &dims)?)
}

/// `deform_conv`: multilinear samples of x at the moved points, then a product with the weights.
pub fn deform_conv(cx: &mut DecomposeCx<'_, '_>, op: &DeformConv) -> DecomposeResult {
    let (x_ty, w_ty) = (cx.ty(0)?, cx.ty(1)?);
    let (x, w, offset) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let ([batch, channels, sizes @ ..], [m, per_group, kernel @ ..]) =
        (&x_ty.shape[..], &w_ty.shape[..])
    else {
        return cx.unsupported("a deformable convolution without channels");
    };
    let n = sizes.len();
    let windows = Windows {
        kernel,
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: AutoPad::Explicit,
        ceil_mode: false,
    };
    let Some(axes) = windows.axes(sizes) else {
        return cx.unsupported("a list of deform_conv is too short");
    };
    let out: Vec<Dim> = axes.iter().map(|a| a.out.clone()).collect();
    let compute = wide(x_ty.dtype);
    let (points, spots) = (numel(kernel), numel(&out));
    let og = Dim::Known(op.offset_groups);
    let within = channels.floor_div(&og);
    let offset = cx.b.cast(offset, compute)?;
    let offset = cx.b.reshape(
        offset,
        &[batch.clone(), og.clone(), points.clone(), Dim::Known(n as i64), spots.clone()],
    )?;
    // Sampling coordinates [batch, offset group, point, spot] per axis.
    let grid: Vec<Dim> = kernel.iter().chain(&out).cloned().collect();
    let mut coordinates = Vec::with_capacity(n);
    for (i, axis) in axes.iter().enumerate() {
        let (Some(&s), Some(&d)) = (op.strides.get(i), op.dilations.get(i)) else {
            return cx.unsupported("a list of deform_conv is too short");
        };
        let mut base = cx.b.dim_scalar(&-&axis.low)?;
        for (place, step) in [(i, d), (n + i, s)] {
            let count = Iota { dtype: DType::I64, dims: grid.clone(), axis: place as i64 };
            let count = cx.b.emit(count, &[])?;
            let step = cx.b.scalar_int(DType::I64, step)?;
            let part = cx.b.mul(count, step)?;
            base = cx.b.add(base, part)?;
        }
        let base = cx.b.reshape(base, &[points.clone(), spots.clone()])?;
        let base = cx.b.cast(base, compute)?;
        let i = i as i64;
        let moved = cx.b.slice_axis(offset, 3, Dim::Known(i), Dim::Known(i + 1))?;
        let moved = cx.b.squeeze(moved, &[3])?;
        coordinates.push(cx.b.add(base, moved)?);
    }
    // x as [batch, offset group, position, channel of the group].
    let plane = numel(sizes);
    let image = cx.b.cast(x, compute)?;
    let image = cx.b.reshape(image, &[batch.clone(), og.clone(), within.clone(), plane.clone()])?;
    let image = cx.b.transpose(image, &[0, 1, 3, 2])?;
    let mut samples = sampled(cx, image, sizes, &coordinates, compute)?;
    if let Some(mask) = cx.opt(4) {
        let mask = cx.b.cast(mask, compute)?;
        let dims = [batch.clone(), og.clone(), points.clone(), spots.clone(), Dim::Known(1)];
        let mask = cx.b.reshape(mask, &dims)?;
        samples = cx.b.mul(samples, mask)?;
    }
    // Columns [batch, group, channel of the group and point, spot].
    let columns = cx.b.transpose(samples, &[0, 1, 4, 2, 3])?;
    let groups = Dim::Known(op.groups);
    let depth = per_group * &points;
    let columns =
        cx.b.reshape(columns, &[batch.clone(), groups.clone(), depth.clone(), spots.clone()])?;
    let each = m.floor_div(&groups);
    let w = cx.b.cast(w, compute)?;
    let w = cx.b.reshape(w, &[groups, each, depth])?;
    let product = Contract {
        lhs_batch: vec![0],
        rhs_batch: vec![1],
        lhs_contract: vec![2],
        rhs_contract: vec![2],
    };
    let y = cx.b.emit(product, &[w, columns])?;
    let y = cx.b.transpose(y, &[2, 0, 1, 3])?;
    let dims: Vec<Dim> = [batch.clone(), m.clone()].into_iter().chain(out).collect();
    let mut y = cx.b.reshape(y, &dims)?;
    if let Some(bias) = cx.opt(3) {
        let bias = cx.b.cast(bias, compute)?;
        let bias = per_channel(cx, bias, dims.len())?;
        y = cx.b.add(y, bias)?;
    }
    one(cx.b.cast(y, x_ty.dtype)?)
}

/// Multilinear samples of image[batch, group, position, channel] at coordinates [batch, group,
/// point, spot], zero outside: [batch, group, point, spot, channel].
fn sampled(
    cx: &mut DecomposeCx<'_, '_>,
    image: ValueId,
    sizes: &[Dim],
    coordinates: &[ValueId],
    dtype: DType,
) -> Value {
    let n = coordinates.len();
    if n > 6 {
        return cx.unsupported(format!("a deformable convolution over {n} axes"));
    }
    let none = cx.b.scalar(dtype, 0.0)?;
    // Per axis and side: weight, index as i64, whether it is inside.
    let mut sides = Vec::with_capacity(n);
    for (&c, size) in coordinates.iter().zip(sizes) {
        let low = cx.b.floor(c)?;
        let fraction = cx.b.sub(c, low)?;
        let unit = cx.b.scalar(dtype, 1.0)?;
        let rest = cx.b.sub(unit, fraction)?;
        let high = cx.b.add(low, unit)?;
        let last = cx.b.dim_scalar(&(size - 1))?;
        let last = cx.b.cast(last, dtype)?;
        let mut both = Vec::with_capacity(2);
        for (at, weight) in [(low, rest), (high, fraction)] {
            let after = cx.b.less_or_equal(none, at)?;
            let before = cx.b.less_or_equal(at, last)?;
            let inside = cx.b.and(after, before)?;
            let safe = cx.b.select(inside, at, none)?;
            let index = cx.b.cast(safe, DType::I64)?;
            both.push((weight, index, inside));
        }
        sides.push((both, cx.b.dim_scalar(size)?));
    }
    let mut sum: Option<ValueId> = None;
    for corner in 0..1usize << n {
        let mut part: Option<(ValueId, ValueId, ValueId)> = None;
        for (axis, (both, size)) in sides.iter().enumerate() {
            let Some(&(weight, index, inside)) = both.get(corner >> axis & 1) else { continue };
            part = Some(match part {
                None => (weight, index, inside),
                Some((w, i, v)) => {
                    let i = cx.b.mul(i, *size)?;
                    (cx.b.mul(w, weight)?, cx.b.add(i, index)?, cx.b.and(v, inside)?)
                }
            });
        }
        let Some((weight, index, inside)) = part else { continue };
        let index = cx.b.unsqueeze(index, &[4])?;
        let values = cx.b.emit(GatherNd { batch_dims: 2 }, &[image, index])?;
        let weight = cx.b.unsqueeze(weight, &[4])?;
        let inside = cx.b.unsqueeze(inside, &[4])?;
        let weighted = cx.b.mul(values, weight)?;
        let term = cx.b.select(inside, weighted, none)?;
        sum = Some(match sum {
            Some(s) => cx.b.add(s, term)?,
            None => term,
        });
    }
    match sum {
        Some(s) => Ok(s),
        None => cx.unsupported("a deformable convolution without spatial axes"),
    }
}
