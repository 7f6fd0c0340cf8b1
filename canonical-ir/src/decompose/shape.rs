//! Decompositions of the shape family.

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::dim::{Dim, numel};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::shape::shape_of_range;
use crate::op::*;

/// `full`: a broadcast constant.
pub fn full(cx: &mut DecomposeCx<'_, '_>, op: &Full) -> DecomposeResult {
    let value = cx.b.emit(Constant { tensor: op.value }, &[])?;
    let scalar = cx.b.reshape(value, &[])?;
    one(cx.b.broadcast_to(scalar, &op.dims)?)
}

/// `shape_of`: the sizes as values.
pub fn shape_of(cx: &mut DecomposeCx<'_, '_>, op: &ShapeOf) -> DecomposeResult {
    let shape = cx.shape(0)?;
    match shape_of_range(op, shape.len()).and_then(|r| shape.get(r)) {
        Some(part) => one(cx.b.dims_value(part)?),
        None => cx.unsupported("the axes are not within the rank"),
    }
}

/// `size`: the product of the sizes as a value.
pub fn size(cx: &mut DecomposeCx<'_, '_>, _: &Size) -> DecomposeResult {
    let n = numel(&cx.shape(0)?);
    one(cx.b.dim_scalar(&n)?)
}

/// `flatten`: a reshape.
pub fn flatten(cx: &mut DecomposeCx<'_, '_>, op: &Flatten) -> DecomposeResult {
    let (x, shape) = (cx.x(0)?, cx.shape(0)?);
    let axis = usize::try_from(op.axis).unwrap_or(0).min(shape.len());
    let (outer, inner) = shape.split_at(axis);
    one(cx.b.reshape(x, &[numel(outer), numel(inner)])?)
}

fn indices(axes: &[i64]) -> Vec<usize> {
    axes.iter().filter_map(|&a| usize::try_from(a).ok()).collect()
}

/// `squeeze`: a reshape.
pub fn squeeze(cx: &mut DecomposeCx<'_, '_>, op: &Squeeze) -> DecomposeResult {
    let x = cx.x(0)?;
    one(cx.b.squeeze(x, &indices(&op.axes))?)
}

/// `unsqueeze`: a reshape.
pub fn unsqueeze(cx: &mut DecomposeCx<'_, '_>, op: &Unsqueeze) -> DecomposeResult {
    let x = cx.x(0)?;
    let mut axes = indices(&op.axes);
    axes.sort_unstable();
    one(cx.b.unsqueeze(x, &axes)?)
}

/// `split`: a slice for each part.
pub fn split(cx: &mut DecomposeCx<'_, '_>, op: &Split) -> DecomposeResult {
    let x = cx.x(0)?;
    let axis = usize::try_from(op.axis).unwrap_or(0);
    let mut start = Dim::Known(0);
    let mut parts = Vec::with_capacity(op.sizes.len());
    for (i, size) in op.sizes.iter().enumerate() {
        let end = &start + size;
        let wanted = cx.wants(i);
        parts.push(if wanted { Some(cx.b.slice_axis(x, axis, start, end.clone())?) } else { None });
        start = end;
    }
    Ok(parts)
}

/// `tile`: a new axis before each axis that repeats, broadcast, and merged again.
pub fn tile(cx: &mut DecomposeCx<'_, '_>, op: &Tile) -> DecomposeResult {
    let (x, shape) = (cx.x(0)?, cx.shape(0)?);
    let (mut split, mut wide, mut dims) = (Vec::new(), Vec::new(), Vec::new());
    for (d, r) in shape.iter().zip(&op.repeats) {
        if *r != Dim::Known(1) {
            split.push(Dim::Known(1));
            wide.push(r.clone());
        }
        split.push(d.clone());
        wide.push(d.clone());
        dims.push(d * r);
    }
    let y = cx.b.reshape(x, &split)?;
    let y = cx.b.broadcast_to(y, &wide)?;
    one(cx.b.reshape(y, &dims)?)
}

/// The four sizes of an NCHW tensor.
fn nchw(cx: &DecomposeCx<'_, '_>) -> Result<[Dim; 4], NoDecomposition> {
    match <[Dim; 4]>::try_from(cx.shape(0)?) {
        Ok(sizes) => Ok(sizes),
        Err(_) => cx.unsupported("wants rank 4"),
    }
}

/// `depth_to_space`: reshape, transpose, reshape.
pub fn depth_to_space(cx: &mut DecomposeCx<'_, '_>, op: &DepthToSpace) -> DecomposeResult {
    let x = cx.x(0)?;
    let [n, c, h, w] = nchw(cx)?;
    let side = Dim::Known(op.blocksize);
    let depth = c.floor_div(&Dim::Known(op.blocksize.saturating_mul(op.blocksize).max(1)));
    let (dims, perm) = match op.mode {
        DepthOrder::Dcr => ([&n, &side, &side, &depth, &h, &w], [0, 3, 4, 1, 5, 2]),
        DepthOrder::Crd => ([&n, &depth, &side, &side, &h, &w], [0, 1, 4, 2, 5, 3]),
    };
    let y = cx.b.reshape(x, &dims.map(Dim::clone))?;
    let y = cx.b.transpose(y, &perm)?;
    one(cx.b.reshape(y, &[n, depth, &h * op.blocksize, &w * op.blocksize])?)
}

/// `space_to_depth`: reshape, transpose, reshape.
pub fn space_to_depth(cx: &mut DecomposeCx<'_, '_>, op: &SpaceToDepth) -> DecomposeResult {
    let x = cx.x(0)?;
    let [n, c, h, w] = nchw(cx)?;
    let side = Dim::Known(op.blocksize);
    let (high, wide) = (h.floor_div(&side), w.floor_div(&side));
    let dims = [&n, &c, &high, &side, &wide, &side];
    let y = cx.b.reshape(x, &dims.map(Dim::clone))?;
    let y = cx.b.transpose(y, &[0, 3, 5, 1, 2, 4])?;
    let depth = &(&c * op.blocksize) * op.blocksize;
    one(cx.b.reshape(y, &[n, depth, high, wide])?)
}

/// Half of a difference, rounded toward zero.
fn half(d: &Dim) -> Dim {
    let (zero, two) = (Dim::Known(0), Dim::Known(2));
    match d.as_known() {
        Some(k) => Dim::Known(k / 2),
        None => &Dim::max(d, &zero).floor_div(&two) - &Dim::max(&-d, &zero).floor_div(&two),
    }
}

/// `center_crop_pad`: a pad that removes where an axis shrinks.
pub fn center_crop_pad(cx: &mut DecomposeCx<'_, '_>, op: &CenterCropPad) -> DecomposeResult {
    let (x, shape) = (cx.x(0)?, cx.shape(0)?);
    let mut low = vec![Dim::Known(0); shape.len()];
    let mut high = low.clone();
    for (axis, size) in indices(&op.axes).into_iter().zip(&op.dims) {
        if let (Some(dim), Some(l), Some(h)) =
            (shape.get(axis), low.get_mut(axis), high.get_mut(axis))
        {
            let grows = size - dim;
            *l = half(&grows);
            *h = &grows - &*l;
        }
    }
    let y = cx.b.emit(Pad { low, high, mode: PadMode::Constant }, &[x])?;
    let mut dims = shape;
    for (axis, size) in indices(&op.axes).into_iter().zip(&op.dims) {
        if let Some(dim) = dims.get_mut(axis) {
            *dim = size.clone();
        }
    }
    one(cx.b.reshape(y, &dims)?)
}

/// Column minus row of each place of a matrix, as i64.
fn diagonal(
    cx: &mut DecomposeCx<'_, '_>,
    rows: &Dim,
    columns: &Dim,
) -> Result<ValueId, NoDecomposition> {
    let dims = vec![rows.clone(), columns.clone()];
    let row = cx.b.emit(Iota { dtype: DType::I64, dims: dims.clone(), axis: 0 }, &[])?;
    let column = cx.b.emit(Iota { dtype: DType::I64, dims, axis: 1 }, &[])?;
    Ok(cx.b.sub(column, row)?)
}

/// `trilu`: a choice between x and zero by the place.
pub fn trilu(cx: &mut DecomposeCx<'_, '_>, op: &Trilu) -> DecomposeResult {
    let (x, shape, dtype) = (cx.x(0)?, cx.shape(0)?, cx.dtype(0)?);
    let [.., rows, columns] = shape.as_slice() else {
        return cx.unsupported("wants rank 2 or more");
    };
    let place = diagonal(cx, rows, columns)?;
    let k = cx.b.dim_scalar(&op.k)?;
    let keep = if op.upper { cx.b.less_or_equal(k, place)? } else { cx.b.less_or_equal(place, k)? };
    let keep = cx.b.broadcast_to(keep, &shape)?;
    let zero = cx.b.constant(&crate::array::Array::zeros(dtype, Vec::new())?)?;
    one(cx.b.select(keep, x, zero)?)
}

/// `eye_like`: one where column minus row is k.
pub fn eye_like(cx: &mut DecomposeCx<'_, '_>, op: &EyeLike) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let [rows, columns] = ty.shape.as_slice() else {
        return cx.unsupported("wants rank 2");
    };
    let place = diagonal(cx, rows, columns)?;
    let k = cx.b.scalar_int(DType::I64, op.k)?;
    let on = cx.b.equal(place, k)?;
    one(cx.b.cast(on, op.dtype.unwrap_or(ty.dtype))?)
}

/// `range`: the start plus multiples of the delta. Narrow floats are computed in f32.
pub fn range(cx: &mut DecomposeCx<'_, '_>, op: &Range) -> DecomposeResult {
    let dtype = cx.dtype(0)?;
    let mut scalar = |slot: usize, to: DType| -> Result<ValueId, NoDecomposition> {
        let v = cx.x(slot)?;
        let v = cx.b.reshape(v, &[])?;
        Ok(cx.b.cast(v, to)?)
    };
    let work = if dtype.is_float() && dtype != DType::F64 { DType::F32 } else { dtype };
    let (start, delta) = (scalar(0, work)?, scalar(2, work)?);
    let n = match &op.size {
        Some(n) => n.clone(),
        None => {
            let wide = if dtype.is_float() { DType::F64 } else { DType::I64 };
            let (from, to, by) = (scalar(0, wide)?, scalar(1, wide)?, scalar(2, wide)?);
            let count = if wide == DType::F64 {
                let span = cx.b.sub(to, from)?;
                let steps = cx.b.div(span, by)?;
                let steps = cx.b.ceil(steps)?;
                cx.b.cast(steps, DType::I64)?
            } else {
                // The quotient rounded up is minus the quotient of the opposite rounded down.
                let span = cx.b.sub(from, to)?;
                let steps = cx.b.emit(Div { rounding: IntRounding::Floor }, &[span, by])?;
                cx.b.neg(steps)?
            };
            let zero = cx.b.scalar_int(DType::I64, 0)?;
            let count = cx.b.max(count, zero)?;
            let n = cx.b.fresh_dim("range", Some("size found by range".to_owned()));
            cx.b.node(DimsOf { dims: vec![n.clone()] }, &[Some(count)])?;
            n
        }
    };
    let places = cx.b.iota(work, n)?;
    let offsets = cx.b.mul(places, delta)?;
    let y = cx.b.add(offsets, start)?;
    one(cx.b.cast(y, dtype)?)
}
