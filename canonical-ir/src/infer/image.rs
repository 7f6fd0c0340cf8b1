//! Inference rules of the image family.

use super::{InferCx, InferError, InferResult, one};
use crate::attr::Float;
use crate::dim::{Dim, Shape};
use crate::dtype::DType;
use crate::op::*;
use crate::types::{TensorType, Type};

/// The largest denominator, a power of two, with which a scale counts as a fraction in
/// [`scaled_size`].
const MAX_DENOMINATOR: i64 = 64;

/// The size of an axis of `input` elements scaled by a factor, `None` when it is not expressible.
/// A known size is rounded down after one multiplication in f32, as converters and runtimes do
/// it; a symbolic one is expressible when the factor is a dyadic fraction, for which both agree.
pub(crate) fn scaled_size(input: &Dim, scale: f32) -> Option<Dim> {
    if let Some(n) = input.as_known() {
        let size = (n as f32 * scale).floor();
        return (size.is_finite() && (0.0..9e15).contains(&size))
            .then_some(Dim::Known(size as i64));
    }
    if input.is_any() || !scale.is_finite() || scale <= 0.0 {
        return None;
    }
    let mut denominator = 1i64;
    while denominator <= MAX_DENOMINATOR {
        let numerator = f64::from(scale) * denominator as f64;
        if numerator == numerator.floor() && numerator <= 65536.0 {
            return Some((input * numerator as i64).floor_div(&Dim::Known(denominator)));
        }
        denominator *= 2;
    }
    None
}

/// The one factor that a policy that keeps the aspect ratio picks, and the sizes that follow from
/// it; `None` while a size is not known.
pub(crate) fn kept_aspect(
    inputs: &[Dim],
    sizes: &[Dim],
    policy: AspectPolicy,
) -> Option<(f32, Vec<i64>)> {
    let inputs = inputs.iter().map(Dim::as_known).collect::<Option<Vec<i64>>>()?;
    let sizes = sizes.iter().map(Dim::as_known).collect::<Option<Vec<i64>>>()?;
    let ratios = inputs.iter().zip(&sizes).map(|(&i, &s)| s as f32 / i as f32);
    let scale = match policy {
        AspectPolicy::NotLarger => ratios.fold(f32::MAX, f32::min),
        AspectPolicy::NotSmaller | AspectPolicy::Stretch => ratios.fold(0.0, f32::max),
    };
    if !scale.is_finite() {
        return None;
    }
    let sizes = inputs.iter().map(|&i| (scale * i as f32 + 0.5).floor() as i64).collect();
    Some((scale, sizes))
}

/// The axes that a resize changes, in the order of its scales or sizes.
pub(crate) fn resized_axes(op: &Resize, rank: usize) -> Vec<usize> {
    if op.axes.is_empty() {
        return (0..rank).collect();
    }
    op.axes.iter().filter_map(|&a| usize::try_from(a).ok()).collect()
}

/// Whether elements of the dtype can be averaged.
fn averages(dtype: DType) -> bool {
    dtype.is_float() || dtype.is_integer()
}

/// Resampling.
pub fn resize(cx: &InferCx<'_>, op: &Resize) -> InferResult {
    let x = cx.tensor(0)?;
    let rank = x.rank();
    cx.axes(&op.axes, rank)?;
    let axes = resized_axes(op, rank);
    cx.require(
        op.scales.is_empty() != op.sizes.is_empty() || axes.is_empty(),
        "resize-c1",
        || "either scales or sizes are given".to_owned(),
    )?;
    let given = op.scales.len().max(op.sizes.len());
    cx.require(given == axes.len(), "resize-c2", || {
        format!("{given} scales or sizes for {} axes", axes.len())
    })?;
    cx.require(op.scales.iter().all(|s| s.0 > 0.0 && s.0.is_finite()), "resize-c3", || {
        "a scale is not positive".to_owned()
    })?;
    cx.require(op.mode == ResizeMode::Nearest || averages(x.dtype), "resize-c4", || {
        format!("{} elements can only be resized in mode nearest", x.dtype)
    })?;
    cx.require(!op.antialias || op.mode != ResizeMode::Nearest, "resize-c5", || {
        "mode nearest has no filter".to_owned()
    })?;
    let crop = op.coordinates == CoordinateMode::TfCropAndResize;
    match cx.opt_tensor(1)? {
        Some(roi) => {
            cx.require_dtype(roi.dtype, roi.dtype.is_float(), "a float roi")?;
            let fits = roi.rank() == 1
                && roi
                    .shape
                    .first()
                    .and_then(Dim::as_known)
                    .is_none_or(|n| n == 2 * axes.len() as i64 || (n == 0 && !crop));
            cx.require(fits, "resize-c6", || {
                "the roi is not a vector of two numbers per axis".to_owned()
            })?;
        }
        None => cx.require(!crop, "resize-c7", || "tf_crop_and_resize needs a roi".to_owned())?,
    }
    let mut shape = x.shape.clone();
    let policy = op.sizes.is_empty() || op.aspect == AspectPolicy::Stretch;
    let inputs: Vec<Dim> = axes.iter().filter_map(|&a| x.shape.get(a).cloned()).collect();
    let kept = if policy { None } else { kept_aspect(&inputs, &op.sizes, op.aspect) };
    for (k, &axis) in axes.iter().enumerate() {
        let Some(slot) = shape.get_mut(axis) else { continue };
        *slot = match (op.scales.get(k), op.sizes.get(k)) {
            (Some(s), _) => scaled_size(slot, s.0 as f32).unwrap_or(Dim::Any),
            (None, Some(size)) if policy => size.clone(),
            _ => {
                let known = kept.as_ref().and_then(|(_, sizes)| sizes.get(k));
                known.map_or(Dim::Any, |&n| Dim::Known(n))
            }
        };
    }
    one(Type::tensor(x.dtype, shape))
}

/// Sampling at points.
pub fn grid_sample(cx: &InferCx<'_>, op: &GridSample) -> InferResult {
    let (x, grid) = (cx.tensor(0)?, cx.tensor(1)?);
    cx.require(x.rank() >= 3 && grid.rank() == x.rank(), "grid_sample-c1", || {
        format!("x of rank {} and grid of rank {} do not go together", x.rank(), grid.rank())
    })?;
    cx.require_dtype(grid.dtype, grid.dtype.is_float(), "a float grid")?;
    cx.require(op.mode == GridMode::Nearest || averages(x.dtype), "grid_sample-c2", || {
        format!("{} elements can only be sampled in mode nearest", x.dtype)
    })?;
    let spatial = x.rank() - 2;
    let last = grid.shape.last().cloned().unwrap_or(Dim::Any);
    cx.merge_dim(&last, &Dim::Known(spatial as i64))?;
    let n = cx.merge_dim(dim(x, 0), dim(grid, 0))?;
    let mut shape = Shape::from_iter([n, dim(x, 1).clone()]);
    shape.extend(grid.shape.iter().skip(1).take(spatial).cloned());
    one(Type::tensor(x.dtype, shape))
}

/// A size by position; `Any` beyond the rank.
fn dim(ty: &TensorType, axis: usize) -> &Dim {
    ty.shape.get(axis).unwrap_or(&Dim::Any)
}

/// Sampling grid of an affine map.
pub fn affine_grid(cx: &InferCx<'_>, op: &AffineGrid) -> InferResult {
    let theta = cx.tensor(0)?;
    cx.require_dtype(theta.dtype, theta.dtype.is_float(), "a float theta")?;
    cx.require(theta.rank() == 3, "affine_grid-c1", || {
        format!("theta has rank {}, not 3", theta.rank())
    })?;
    cx.require(op.dims.len() >= 3, "affine_grid-c2", || {
        "the size needs N, C and one or more spatial sizes".to_owned()
    })?;
    let spatial = op.dims.len().saturating_sub(2) as i64;
    cx.merge_dim(dim(theta, 1), &Dim::Known(spatial))?;
    cx.merge_dim(dim(theta, 2), &Dim::Known(spatial + 1))?;
    let n = match op.dims.first() {
        Some(n) => cx.merge_dim(dim(theta, 0), n)?,
        None => Dim::Any,
    };
    let mut shape = Shape::from_iter([n]);
    shape.extend(op.dims.iter().skip(2).cloned());
    shape.push(Dim::Known(spatial));
    one(Type::tensor(theta.dtype, shape))
}

/// Checks the operand that holds regions and gives their number.
fn regions(cx: &InferCx<'_>, x: &TensorType, columns: i64) -> Result<Dim, InferError> {
    let rois = cx.tensor(1)?;
    cx.require_dtype(x.dtype, x.dtype.is_float(), "a float x")?;
    cx.same_dtype(0, 1)?;
    cx.require(x.rank() == 4 && rois.rank() == 2, "roi-c1", || {
        format!("x of rank {} and rois of rank {}, not 4 and 2", x.rank(), rois.rank())
    })?;
    cx.merge_dim(dim(rois, 1), &Dim::Known(columns))?;
    Ok(dim(rois, 0).clone())
}

/// Bilinear samples in regions.
pub fn roi_align(cx: &InferCx<'_>, op: &RoiAlign) -> InferResult {
    let x = cx.tensor(0)?;
    let rois = regions(cx, x, 4)?;
    let batch = cx.tensor(2)?;
    cx.require_dtype(batch.dtype, batch.dtype.is_integer(), "integer batch indices")?;
    cx.require(batch.rank() == 1, "roi_align-c1", || {
        format!("batch indices have rank {}, not 1", batch.rank())
    })?;
    cx.require(
        op.output_height > 0 && op.output_width > 0 && op.sampling_ratio >= 0,
        "roi_align-c2",
        || "the numbers of bins and samples are positive".to_owned(),
    )?;
    let n = cx.merge_dim(&rois, dim(batch, 0))?;
    let (h, w) = (Dim::Known(op.output_height), Dim::Known(op.output_width));
    one(Type::tensor(x.dtype, [n, dim(x, 1).clone(), h, w]))
}

/// Maxima in regions.
pub fn max_roi_pool(cx: &InferCx<'_>, op: &MaxRoiPool) -> InferResult {
    let x = cx.tensor(0)?;
    let n = regions(cx, x, 5)?;
    match op.pooled_shape[..] {
        [h, w] if h > 0 && w > 0 => {
            one(Type::tensor(x.dtype, [n, dim(x, 1).clone(), Dim::Known(h), Dim::Known(w)]))
        }
        _ => cx.fail("max_roi_pool-c1", "the pooled shape is two positive numbers"),
    }
}

/// Greedy suppression of boxes.
pub fn non_max_suppression(cx: &InferCx<'_>, _op: &NonMaxSuppression) -> InferResult {
    let (boxes, scores) = (cx.tensor(0)?, cx.tensor(1)?);
    cx.require_dtype(boxes.dtype, boxes.dtype.is_float(), "float boxes")?;
    cx.same_dtype(0, 1)?;
    cx.require(boxes.rank() == 3 && scores.rank() == 3, "non_max_suppression-c1", || {
        format!("boxes of rank {} and scores of rank {}, not 3", boxes.rank(), scores.rank())
    })?;
    cx.merge_dim(dim(boxes, 0), dim(scores, 0))?;
    cx.merge_dim(dim(boxes, 1), dim(scores, 2))?;
    cx.merge_dim(dim(boxes, 2), &Dim::Known(4))?;
    for slot in 2..5 {
        cx.scalar(slot)?;
    }
    if let Some(most) = cx.opt_tensor(2)? {
        cx.require_dtype(most.dtype, most.dtype.is_integer(), "an integer maximum")?;
    }
    one(Type::tensor(DType::I64, [Dim::Any, Dim::Known(3)]))
}

/// The scales as f32, which is how sources state them.
pub(crate) fn scales_f32(scales: &[Float]) -> Vec<f32> {
    scales.iter().map(|s| s.0 as f32).collect()
}
