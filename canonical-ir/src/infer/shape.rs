//! Inference rules of the shape family.

use super::{InferCx, InferError, InferResult, one};
use crate::dim::{Dim, Shape, numel};
use crate::dtype::DType;
use crate::op::*;
use crate::types::{TensorType, Type};

/// `constant`.
pub fn constant(cx: &InferCx<'_>, op: &Constant) -> InferResult {
    one(cx.module_tensor(op.tensor)?.ty())
}

/// `dim_value`.
pub fn dim_value(cx: &InferCx<'_>, op: &DimValue) -> InferResult {
    if !op.scalar {
        return one(TensorType::new(DType::I64, [Dim::Known(op.dims.len() as i64)]));
    }
    cx.require(op.dims.len() == 1, "dim_value-c1", || {
        format!("a scalar has one element, not {}", op.dims.len())
    })?;
    one(TensorType::scalar(DType::I64))
}

/// `dims_of`, which has no result.
pub fn dims_of(cx: &InferCx<'_>, op: &DimsOf) -> InferResult {
    let ty = cx.tensor(0)?;
    cx.require(ty.dtype.is_integer(), "dims_of-c1", || {
        format!("wants an integer dtype, not {}", ty.dtype)
    })?;
    cx.require(ty.rank() <= 1, "dims_of-c2", || format!("wants rank 0 or 1, not {}", ty.rank()))?;
    cx.merge_dim(&numel(&ty.shape), &Dim::Known(op.dims.len() as i64))?;
    Ok(Vec::new())
}

/// An error when a size is provably negative.
fn nonneg(cx: &InferCx<'_>, dims: &[Dim], label: &str) -> Result<(), InferError> {
    match dims.iter().find_map(|d| d.as_known().filter(|k| *k < 0)) {
        Some(k) => cx.fail(label, format!("size {k} is negative")),
        None => Ok(()),
    }
}

fn simplified(cx: &InferCx<'_>, dim: Dim) -> Dim {
    match dim {
        Dim::Expr(_) => dim.simplify(&|s| cx.func.symbol_range(s)),
        other => other,
    }
}

/// `broadcast`.
pub fn broadcast(cx: &InferCx<'_>, op: &Broadcast) -> InferResult {
    let ty = cx.tensor(0)?;
    nonneg(cx, &op.dims, "broadcast-c1")?;
    let Some(new) = op.dims.len().checked_sub(ty.rank()) else {
        return cx.fail(
            "broadcast-c2",
            format!("rank {} cannot become rank {}", ty.rank(), op.dims.len()),
        );
    };
    let mut shape: Shape = op.dims.as_slice().into();
    for (from, to) in ty.shape.iter().zip(shape.iter_mut().skip(new)) {
        cx.assume(from, to, true);
        match (from, &to) {
            (Dim::Known(1), _) | (Dim::Any, _) => {}
            (Dim::Known(a), Dim::Known(b)) if a != b => {
                return cx.fail("broadcast-c3", format!("size {a} cannot become {b}"));
            }
            // Any other known size stays what it is.
            (Dim::Known(_), _) => *to = from.clone(),
            (Dim::Expr(_), _) => {}
        }
    }
    one(TensorType { dtype: ty.dtype, shape })
}

/// Fails when two element counts provably differ.
fn same_count(cx: &InferCx<'_>, label: &str, from: &[Dim], to: &[Dim]) -> Result<(), InferError> {
    let (a, b) = (numel(from), numel(to));
    cx.assume(&a, &b, false);
    let differ = match (&a, &b) {
        (Dim::Known(a), Dim::Known(b)) => a != b,
        _ => a.proves_ne(&b, &|s| cx.func.symbol_range(s)),
    };
    cx.require(!differ, label, || {
        let text = |d: &Dim| cx.func.dim_text(d);
        format!("{} elements cannot become {}", text(&a), text(&b))
    })
}

/// `reshape`.
pub fn reshape(cx: &InferCx<'_>, op: &Reshape) -> InferResult {
    let ty = cx.tensor(0)?;
    nonneg(cx, &op.dims, "reshape-c1")?;
    same_count(cx, "reshape-c2", &ty.shape, &op.dims)?;
    one(TensorType::new(ty.dtype, op.dims.iter().cloned()))
}

/// `transpose`.
pub fn transpose(cx: &InferCx<'_>, op: &Transpose) -> InferResult {
    let ty = cx.tensor(0)?;
    cx.require(op.perm.len() == ty.rank(), "transpose-c1", || {
        format!("{} axes are permuted of rank {}", op.perm.len(), ty.rank())
    })?;
    let perm = cx.axes(&op.perm, ty.rank())?;
    one(TensorType::new(ty.dtype, perm.iter().filter_map(|&a| ty.shape.get(a)).cloned()))
}

/// A start or end of a slice as an index from the front, before it is clamped: negative ones
/// count from the end. `None` where the sign is not known.
fn from_front(cx: &InferCx<'_>, at: &Dim, size: &Dim) -> Option<Dim> {
    match at {
        // Before everything, however large the axis is.
        Dim::Known(k) if *k <= -i64::MAX => Some(Dim::Known(-2)),
        Dim::Known(k) if *k < 0 => Some(size + *k),
        Dim::Known(_) => Some(at.clone()),
        Dim::Any => None,
        Dim::Expr(_) => {
            let range = at.range(&|s| cx.func.symbol_range(s));
            if range.min.is_some_and(|m| m >= 0) {
                Some(at.clone())
            } else if range.max.is_some_and(|m| m < 0) {
                Some(size + at)
            } else {
                None
            }
        }
    }
}

/// The number of elements that a slice takes of an axis; `Any` where the signs of its bounds
/// are not known.
pub fn slice_len(cx: &InferCx<'_>, size: &Dim, start: &Dim, end: &Dim, step: i64) -> Dim {
    let zero = Dim::Known(0);
    let (Some(start), Some(end)) = (from_front(cx, start, size), from_front(cx, end, size)) else {
        return Dim::Any;
    };
    // The other two clamps, of the start at the far end and of the end at the near one, make
    // a difference only where nothing is taken.
    let span = if step > 0 {
        let first = simplified(cx, Dim::max(&start, &zero));
        &simplified(cx, Dim::min(&end, size)) - &first
    } else {
        let first = simplified(cx, Dim::min(&start, &(size - 1)));
        &first - &simplified(cx, Dim::max(&end, &Dim::Known(-1)))
    };
    let len = simplified(cx, span).ceil_div(&Dim::Known(step.saturating_abs()));
    simplified(cx, Dim::max(&len, &zero))
}

/// `slice`.
pub fn slice(cx: &InferCx<'_>, op: &Slice) -> InferResult {
    let ty = cx.tensor(0)?;
    let axes = cx.axes(&op.axes, ty.rank())?;
    let n = axes.len();
    cx.require(
        op.starts.len() == n && op.ends.len() == n && op.steps.len() == n,
        "slice-c1",
        || "starts, ends and steps are not as many as axes".to_owned(),
    )?;
    cx.require(!op.steps.contains(&0), "slice-c2", || "a step is zero".to_owned())?;
    let mut shape = ty.shape.clone();
    let bounds = op.starts.iter().zip(&op.ends).zip(&op.steps);
    for (&axis, ((start, end), &step)) in axes.iter().zip(bounds) {
        if let Some(dim) = shape.get_mut(axis) {
            *dim = slice_len(cx, dim, start, end, step);
        }
    }
    one(TensorType { dtype: ty.dtype, shape })
}

/// `pad`.
pub fn pad(cx: &InferCx<'_>, op: &Pad) -> InferResult {
    let ty = cx.tensor(0)?;
    cx.require(op.low.len() == ty.rank() && op.high.len() == ty.rank(), "pad-c1", || {
        format!("pads are not as many as the {} axes", ty.rank())
    })?;
    if cx.opt(1).is_some() {
        cx.same_dtype(0, 1)?;
        cx.scalar(1)?;
    }
    let mut shape = Shape::new();
    for ((dim, low), high) in ty.shape.iter().zip(&op.low).zip(&op.high) {
        if op.mode != PadMode::Constant && *dim == Dim::Known(0) {
            let grows = |d: &Dim| d.as_known().is_some_and(|k| k > 0);
            cx.require(!grows(low) && !grows(high), "pad-c2", || {
                format!("mode {} needs an element on the axis", op.mode.as_str())
            })?;
        }
        shape.push(simplified(cx, &(dim + low) + high));
    }
    nonneg(cx, &shape, "pad-c3")?;
    one(TensorType { dtype: ty.dtype, shape })
}

/// `concat`.
pub fn concat(cx: &InferCx<'_>, op: &Concat) -> InferResult {
    let first = cx.tensor(0)?;
    let axis = cx.axis(op.axis, first.rank())?;
    let mut shape = first.shape.clone();
    for slot in 1..cx.operand_count() {
        let ty = cx.tensor(slot)?;
        cx.same_dtype(0, slot)?;
        cx.require(ty.rank() == first.rank(), "concat-c1", || {
            format!("ranks {} and {} differ", first.rank(), ty.rank())
        })?;
        for (i, (have, dim)) in shape.iter_mut().zip(&ty.shape).enumerate() {
            *have = if i == axis { &*have + dim } else { cx.merge_dim(have, dim)? };
        }
    }
    one(TensorType { dtype: first.dtype, shape })
}

/// `iota`.
pub fn iota(cx: &InferCx<'_>, op: &Iota) -> InferResult {
    cx.axis(op.axis, op.dims.len())?;
    cx.require(op.dtype.is_integer() || op.dtype.is_float(), "iota-c1", || {
        format!("wants an integer or float dtype, not {}", op.dtype)
    })?;
    nonneg(cx, &op.dims, "iota-c2")?;
    one(TensorType::new(op.dtype, op.dims.iter().cloned()))
}

/// `full`.
pub fn full(cx: &InferCx<'_>, op: &Full) -> InferResult {
    let tensor = cx.module_tensor(op.value)?;
    cx.require(tensor.numel() == Some(1), "full-c1", || {
        "the value has not one element".to_owned()
    })?;
    nonneg(cx, &op.dims, "full-c2")?;
    one(TensorType::new(tensor.dtype, op.dims.iter().cloned()))
}

/// The range of axes that `shape_of` gives.
pub fn shape_of_range(op: &ShapeOf, rank: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(op.start).ok()?;
    let end = op.end.map_or(Some(rank), |e| usize::try_from(e).ok())?;
    (start <= end && end <= rank).then_some(start..end)
}

/// `shape_of`.
pub fn shape_of(cx: &InferCx<'_>, op: &ShapeOf) -> InferResult {
    let ty = cx.tensor(0)?;
    let Some(range) = shape_of_range(op, ty.rank()) else {
        return cx.fail(
            "shape_of-c1",
            format!("axes {} to {:?} are not within rank {}", op.start, op.end, ty.rank()),
        );
    };
    one(TensorType::new(DType::I64, [Dim::Known(range.len() as i64)]))
}

/// `size`.
pub fn size(cx: &InferCx<'_>, _: &Size) -> InferResult {
    cx.tensor(0)?;
    one(TensorType::scalar(DType::I64))
}

/// `flatten`.
pub fn flatten(cx: &InferCx<'_>, op: &Flatten) -> InferResult {
    let ty = cx.tensor(0)?;
    let axis = cx.axis(op.axis, ty.rank() + 1)?;
    let (outer, inner) = ty.shape.split_at(axis);
    one(TensorType::new(ty.dtype, [numel(outer), numel(inner)]))
}

/// `squeeze`.
pub fn squeeze(cx: &InferCx<'_>, op: &Squeeze) -> InferResult {
    let ty = cx.tensor(0)?;
    let axes = cx.axes(&op.axes, ty.rank())?;
    let mut shape = Shape::new();
    for (i, dim) in ty.shape.iter().enumerate() {
        if !axes.contains(&i) {
            shape.push(dim.clone());
        } else if let Some(k) = dim.as_known().filter(|k| *k != 1) {
            return cx.fail("squeeze-c1", format!("axis {i} has size {k}, not 1"));
        }
    }
    one(TensorType { dtype: ty.dtype, shape })
}

/// `unsqueeze`.
pub fn unsqueeze(cx: &InferCx<'_>, op: &Unsqueeze) -> InferResult {
    let ty = cx.tensor(0)?;
    let rank = ty.rank() + op.axes.len();
    let axes = cx.axes(&op.axes, rank)?;
    let mut old = ty.shape.iter();
    let shape: Shape = (0..rank)
        .filter_map(|i| if axes.contains(&i) { Some(Dim::Known(1)) } else { old.next().cloned() })
        .collect();
    one(TensorType { dtype: ty.dtype, shape })
}

/// `split`: one result for each size.
pub fn split(cx: &InferCx<'_>, op: &Split) -> InferResult {
    let ty = cx.tensor(0)?;
    let axis = cx.axis(op.axis, ty.rank())?;
    nonneg(cx, &op.sizes, "split-c1")?;
    let total = op.sizes.iter().fold(Dim::Known(0), |n, d| &n + d);
    if let Some(dim) = ty.shape.get(axis) {
        cx.merge_dim(dim, &total)?;
    }
    let part = |size: &Dim| {
        let mut shape = ty.shape.clone();
        if let Some(dim) = shape.get_mut(axis) {
            *dim = size.clone();
        }
        Type::Tensor(TensorType { dtype: ty.dtype, shape })
    };
    Ok(op.sizes.iter().map(part).collect())
}

/// `tile`.
pub fn tile(cx: &InferCx<'_>, op: &Tile) -> InferResult {
    let ty = cx.tensor(0)?;
    cx.require(op.repeats.len() == ty.rank(), "tile-c1", || {
        format!("{} repeats for {} axes", op.repeats.len(), ty.rank())
    })?;
    nonneg(cx, &op.repeats, "tile-c2")?;
    one(TensorType::new(ty.dtype, ty.shape.iter().zip(&op.repeats).map(|(d, r)| d * r)))
}

/// Checks that a size is a multiple, as far as it is known, and divides it.
fn divided(cx: &InferCx<'_>, dim: &Dim, by: i64, label: &str) -> Result<Dim, InferError> {
    match dim {
        Dim::Known(k) if k % by.max(1) != 0 => {
            cx.fail(label, format!("size {k} is not a multiple of {by}"))
        }
        _ => Ok(dim.floor_div(&Dim::Known(by.max(1)))),
    }
}

fn nchw<'a>(
    cx: &InferCx<'a>,
    blocksize: i64,
) -> Result<(&'a TensorType, [&'a Dim; 4], i64), InferError> {
    let label = format!("{}-c1", cx.name());
    let ty = cx.tensor(0)?;
    let [n, c, h, w] = ty.shape.as_slice() else {
        return cx.fail(&label, format!("wants rank 4, not {}", ty.rank()));
    };
    let label = format!("{}-c2", cx.name());
    match blocksize.checked_mul(blocksize) {
        Some(square) if blocksize > 0 => Ok((ty, [n, c, h, w], square)),
        _ => cx.fail(&label, format!("a block of side {blocksize}")),
    }
}

/// `depth_to_space`.
pub fn depth_to_space(cx: &InferCx<'_>, op: &DepthToSpace) -> InferResult {
    let (ty, [n, c, h, w], square) = nchw(cx, op.blocksize)?;
    let depth = divided(cx, c, square, "depth_to_space-c3")?;
    one(TensorType::new(ty.dtype, [n.clone(), depth, h * op.blocksize, w * op.blocksize]))
}

/// `space_to_depth`.
pub fn space_to_depth(cx: &InferCx<'_>, op: &SpaceToDepth) -> InferResult {
    let (ty, [n, c, h, w], square) = nchw(cx, op.blocksize)?;
    let height = divided(cx, h, op.blocksize, "space_to_depth-c3")?;
    let width = divided(cx, w, op.blocksize, "space_to_depth-c3")?;
    one(TensorType::new(ty.dtype, [n.clone(), c * square, height, width]))
}

/// `center_crop_pad`.
pub fn center_crop_pad(cx: &InferCx<'_>, op: &CenterCropPad) -> InferResult {
    let ty = cx.tensor(0)?;
    let axes = cx.axes(&op.axes, ty.rank())?;
    cx.require(op.dims.len() == axes.len(), "center_crop_pad-c1", || {
        format!("{} sizes for {} axes", op.dims.len(), axes.len())
    })?;
    nonneg(cx, &op.dims, "center_crop_pad-c2")?;
    let mut shape = ty.shape.clone();
    for (&axis, size) in axes.iter().zip(&op.dims) {
        if let Some(dim) = shape.get_mut(axis) {
            *dim = size.clone();
        }
    }
    one(TensorType { dtype: ty.dtype, shape })
}

/// `trilu`.
pub fn trilu(cx: &InferCx<'_>, _: &Trilu) -> InferResult {
    let ty = cx.tensor(0)?;
    cx.require(ty.rank() >= 2, "trilu-c1", || format!("wants rank 2 or more, not {}", ty.rank()))?;
    one(ty.clone())
}

/// `eye_like`.
pub fn eye_like(cx: &InferCx<'_>, op: &EyeLike) -> InferResult {
    let ty = cx.tensor(0)?;
    cx.require(ty.rank() == 2, "eye_like-c1", || format!("wants rank 2, not {}", ty.rank()))?;
    let dtype = op.dtype.unwrap_or(ty.dtype);
    cx.require(dtype != DType::String, "eye_like-c2", || "strings have no one".to_owned())?;
    one(TensorType { dtype, shape: ty.shape.clone() })
}

/// `range`.
pub fn range(cx: &InferCx<'_>, op: &Range) -> InferResult {
    let dtype = cx.tensor(0)?.dtype;
    for slot in 0..3 {
        cx.same_dtype(0, slot)?;
        cx.scalar(slot)?;
    }
    cx.require(dtype.is_integer() || dtype.is_float(), "range-c1", || {
        format!("wants an integer or float dtype, not {dtype}")
    })?;
    let size = op.size.clone().unwrap_or(Dim::Any);
    nonneg(cx, std::slice::from_ref(&size), "range-c2")?;
    one(TensorType::new(dtype, [size]))
}
