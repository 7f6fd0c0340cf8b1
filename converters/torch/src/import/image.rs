//! Reading rules of images: resampling, grids, shuffles of channels and pixels, regions.

use airconv_ir::attr::Float;
use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    AffineGrid, CoordinateMode, DepthOrder, DepthToSpace, GridMode, GridPadding, GridSample,
    MaxRoiPool, NearestMode, NonMaxSuppression, OpKind, Resize, ResizeMode, RoiAlign, RoiMode,
};

use super::call::{CallCx, Stop};
use super::formula::{Formula, number, polynomial, value, when};
use super::pool::beside_unwanted;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_upsample_bicubic2d_aa", FILTER, upsample_cubic),
    ImportRule::new("aten::_upsample_bilinear2d_aa", FILTER, upsample_linear),
    ImportRule::new("aten::_upsample_nearest_exact1d", RESIZE, upsample_nearest_exact),
    ImportRule::new("aten::_upsample_nearest_exact2d", RESIZE, upsample_nearest_exact),
    ImportRule::new("aten::_upsample_nearest_exact3d", RESIZE, upsample_nearest_exact),
    ImportRule::new("aten::affine_grid_generator", &[OpKind::AffineGrid], affine_grid),
    ImportRule::new("aten::channel_shuffle", SHUFFLE, channel_shuffle),
    ImportRule::new("aten::grid_sampler", &[OpKind::GridSample], grid_sampler),
    ImportRule::new("aten::grid_sampler_2d", &[OpKind::GridSample], grid_sampler),
    ImportRule::new("aten::grid_sampler_3d", &[OpKind::GridSample], grid_sampler),
    ImportRule::new("aten::native_channel_shuffle", SHUFFLE, channel_shuffle),
    ImportRule::new("aten::pixel_shuffle", &[OpKind::DepthToSpace], pixel_shuffle),
    ImportRule::new("aten::pixel_unshuffle", SHUFFLE, pixel_unshuffle),
    ImportRule::new("aten::upsample_bicubic2d", RESIZE, upsample_cubic),
    ImportRule::new("aten::upsample_bilinear2d", RESIZE, upsample_linear),
    ImportRule::new("aten::upsample_linear1d", RESIZE, upsample_linear),
    ImportRule::new("aten::upsample_nearest1d", RESIZE, upsample_nearest),
    ImportRule::new("aten::upsample_nearest2d", RESIZE, upsample_nearest),
    ImportRule::new("aten::upsample_nearest3d", RESIZE, upsample_nearest),
    ImportRule::new("aten::upsample_trilinear3d", RESIZE, upsample_linear),
    ImportRule::new("torchvision::nms", &[OpKind::NonMaxSuppression], nms),
    ImportRule::new("torchvision::roi_align", &[OpKind::RoiAlign], roi_align),
    ImportRule::new("torchvision::roi_pool", &[OpKind::MaxRoiPool], roi_pool),
];

const RESIZE: &[OpKind] = &[OpKind::Resize];
const FILTER: &[OpKind] = &[OpKind::Resize, OpKind::Contract];
const SHUFFLE: &[OpKind] = &[OpKind::Reshape, OpKind::Transpose];

// Resampling.

/// The names of scales per axis in the forms that are not `vec`.
const SCALES: &[&str] = &["scales", "scales_d", "scales_h", "scales_w"];

/// The factors that are given: all, or none.
fn given_scales(cx: &mut CallCx<'_>, spatial: usize) -> Result<Vec<f64>, Stop> {
    let scales = if cx.has("scale_factors") {
        cx.floats("scale_factors")?
    } else {
        let mut list = Vec::new();
        for name in SCALES {
            if cx.has(name)
                && let Some(scale) = cx.opt_float(name)?
            {
                list.push(scale);
            }
        }
        list
    };
    let all = scales.len() == spatial && scales.iter().all(|&s| s > 0.0);
    Ok(if all { scales } else { Vec::new() })
}

/// How coordinates are mapped and what is made of the neighbours.
struct Sampling {
    mode: ResizeMode,
    coordinates: CoordinateMode,
    nearest: NearestMode,
    cubic_coeff: f64,
}

/// Resizes the axes behind the channels. Given factors count for coordinates too, unless corners
/// are aligned or the sizes are exactly what they make.
fn resized(cx: &mut CallCx<'_>, sampling: Sampling) -> Outcome {
    let name = if cx.has("input") { "input" } else { "self" };
    let x = cx.tensor(name)?;
    let shape = cx.shape(x)?;
    let Some(spatial) = shape.len().checked_sub(2) else {
        return cx.invalid("an image has batch and channels");
    };
    let sizes = cx.dims("output_size")?;
    let scales = given_scales(cx, spatial)?;
    let aligned = sampling.coordinates == CoordinateMode::AlignCorners;
    let exact = match sizes.is_empty() {
        true => exact_sizes(&shape[2..], &scales),
        false => {
            let from_scales = exact_sizes(&shape[2..], &scales);
            let same = from_scales.as_ref() == Some(&sizes);
            (scales.is_empty() || aligned || same).then_some(sizes)
        }
    };
    if exact.is_none() && scales.is_empty() {
        return cx.invalid("neither sizes nor factors are given");
    }
    let antialias = cx.schema.name.ends_with("_aa");
    if antialias && aligned {
        let sizes = match exact {
            Some(sizes) => sizes,
            None => return cx.unsupported("factors that sizes do not say, with aligned corners"),
        };
        return filtered(cx, x, &sizes, &sampling);
    }
    let (scales, sizes) = match exact {
        Some(sizes) => (Vec::new(), sizes),
        None => (scales.into_iter().map(Float).collect(), Vec::new()),
    };
    let op = Resize {
        axes: (2..shape.len() as i64).collect(),
        scales,
        sizes,
        mode: sampling.mode,
        coordinates: sampling.coordinates,
        nearest: sampling.nearest,
        antialias,
        cubic_coeff: Float(sampling.cubic_coeff),
        exclude_outside: antialias,
        extrapolation_value: Float(0.0),
        aspect: airconv_ir::op::AspectPolicy::Stretch,
    };
    Ok(cx.emit(op, &[x])?.into())
}

/// Resizes with a filter as wide as a step, one axis after the other. With aligned corners the
/// first and the last pixels tell how long a step is, and centres lie as they do without.
fn filtered(cx: &mut CallCx<'_>, x: ValueId, sizes: &[Dim], sampling: &Sampling) -> Outcome {
    let ty = cx.ty(x)?;
    let work = super::formula::work_dtype(ty.dtype);
    let mut y = cx.cast(x, work)?;
    for (i, out) in sizes.iter().enumerate() {
        let size = &ty.shape[i + 2];
        if size != out {
            let weights = filter_weights(cx, [size, out], sampling)?;
            let weights = cx.cast(weights, work)?;
            y = super::pool::weighted(cx, y, i + 2, weights)?;
        }
    }
    Ok(cx.cast(y, ty.dtype)?.into())
}

/// The weight of each pixel along an axis in each pixel of the result, as [out, size] of f64.
fn filter_weights(
    cx: &mut CallCx<'_>,
    [size, out]: [&Dim; 2],
    sampling: &Sampling,
) -> Result<ValueId, Stop> {
    let extent = |cx: &mut CallCx<'_>, d: &Dim| -> Result<Formula, Stop> {
        let d = cx.b().dim_scalar(d)?;
        Ok(value(cx.cast(d, DType::F64)?))
    };
    let (before, after) = (extent(cx, size)?, extent(cx, out)?);
    let (i, j) = (cx.b().iota(DType::F64, out.clone())?, cx.b().iota(DType::F64, size.clone())?);
    let i = cx.b().unsqueeze(i, &[1])?;
    let single = after.lt(2.0);
    let step = when(&single, 0.0, (before - 1.0) / when(&single, 1.0, after - 1.0));
    let wide = when(&step.lt(1.0), 1.0, &step);
    let distance = ((value(j) + 0.5 - step * (value(i) + 0.5)) / wide).abs();
    let weight = match sampling.mode {
        ResizeMode::Cubic => cubic(&distance, sampling.cubic_coeff),
        _ => (number(1.0) - &distance).max(0.0),
    };
    let weight = cx.formula(&weight, DType::F64)?;
    let total = cx.b().reduce(airconv_ir::op::ReduceKind::Sum, weight, &[1], true)?;
    Ok(cx.b().div(weight, total)?)
}

/// The kernel of cubic convolution with this coefficient, of a distance.
fn cubic(x: &Formula, a: f64) -> Formula {
    let near = polynomial(x, &[a + 2.0, -(a + 3.0), 0.0, 1.0]);
    let far = polynomial(x, &[a, -5.0 * a, 8.0 * a, -4.0 * a]);
    when(&x.lt(1.0), near, when(&x.lt(2.0), far, 0.0))
}

/// The sizes that factors make, where that is without rounding.
fn exact_sizes(sizes: &[Dim], scales: &[f64]) -> Option<Vec<Dim>> {
    if scales.len() != sizes.len() {
        return None;
    }
    let one = |(size, &scale): (&Dim, &f64)| match size.as_known() {
        Some(n) => {
            let out = n as f64 * scale;
            (out.fract() == 0.0 && out < 1e15).then_some(Dim::Known(out as i64))
        }
        None => (scale.fract() == 0.0 && scale < 1e9).then(|| size * scale as i64),
    };
    sizes.iter().zip(scales).map(one).collect()
}

/// `upsample_nearest1d`, `2d`, `3d`: the coordinate rounded down.
fn upsample_nearest(cx: &mut CallCx<'_>) -> Outcome {
    resized(
        cx,
        Sampling {
            mode: ResizeMode::Nearest,
            coordinates: CoordinateMode::Asymmetric,
            nearest: NearestMode::Floor,
            cubic_coeff: -0.75,
        },
    )
}

/// `_upsample_nearest_exact1d`, `2d`, `3d`: by the centres of pixels.
fn upsample_nearest_exact(cx: &mut CallCx<'_>) -> Outcome {
    resized(
        cx,
        Sampling {
            mode: ResizeMode::Nearest,
            coordinates: CoordinateMode::HalfPixel,
            nearest: NearestMode::RoundPreferCeil,
            cubic_coeff: -0.75,
        },
    )
}

fn coordinates(cx: &mut CallCx<'_>) -> Result<CoordinateMode, Stop> {
    Ok(match cx.bool("align_corners")? {
        true => CoordinateMode::AlignCorners,
        false => CoordinateMode::HalfPixel,
    })
}

/// `upsample_linear1d`, `upsample_bilinear2d`, `upsample_trilinear3d`.
fn upsample_linear(cx: &mut CallCx<'_>) -> Outcome {
    let coordinates = coordinates(cx)?;
    let (mode, nearest) = (ResizeMode::Linear, NearestMode::Floor);
    resized(cx, Sampling { mode, coordinates, nearest, cubic_coeff: -0.75 })
}

/// `upsample_bicubic2d`; with a filter the kernel is another one.
fn upsample_cubic(cx: &mut CallCx<'_>) -> Outcome {
    let coordinates = coordinates(cx)?;
    let cubic_coeff = if cx.schema.name.ends_with("_aa") { -0.5 } else { -0.75 };
    let (mode, nearest) = (ResizeMode::Cubic, NearestMode::Floor);
    resized(cx, Sampling { mode, coordinates, nearest, cubic_coeff })
}

// Grids.

/// `grid_sampler`, `grid_sampler_2d`, `grid_sampler_3d`.
fn grid_sampler(cx: &mut CallCx<'_>) -> Outcome {
    let mode = match cx.int("interpolation_mode")? {
        0 => GridMode::Linear,
        1 => GridMode::Nearest,
        2 => GridMode::Cubic,
        other => return cx.invalid(format!("there is no interpolation {other}")),
    };
    let padding = match cx.int("padding_mode")? {
        0 => GridPadding::Zeros,
        1 => GridPadding::Border,
        2 => GridPadding::Reflection,
        other => return cx.invalid(format!("there is no padding {other}")),
    };
    let align_corners = cx.bool("align_corners")?;
    let (x, grid) = (cx.tensor("input")?, cx.tensor("grid")?);
    Ok(cx.emit(GridSample { mode, padding, align_corners }, &[x, grid])?.into())
}

/// `affine_grid_generator`.
fn affine_grid(cx: &mut CallCx<'_>) -> Outcome {
    let (theta, dims) = (cx.tensor("theta")?, cx.dims("size")?);
    let align_corners = cx.bool("align_corners")?;
    Ok(cx.emit(AffineGrid { dims, align_corners }, &[theta])?.into())
}

// Shuffles.

/// A shape as what comes before channels, and channels, height and width.
fn image_dims(cx: &CallCx<'_>, shape: &[Dim]) -> Result<(Vec<Dim>, [Dim; 3]), Stop> {
    match shape {
        [lead @ .., c, h, w] => Ok((lead.to_vec(), [c.clone(), h.clone(), w.clone()])),
        _ => cx.invalid("an image has channels, height and width"),
    }
}

/// `pixel_shuffle`: blocks of channels become pixels.
fn pixel_shuffle(cx: &mut CallCx<'_>) -> Outcome {
    let (x, r) = (cx.tensor("self")?, cx.int("upscale_factor")?);
    let shape = cx.shape(x)?;
    let (lead, [c, h, w]) = image_dims(cx, &shape)?;
    let flat = cx.b().reshape(x, &[numel(&lead), c.clone(), h.clone(), w.clone()])?;
    let y = cx.emit(DepthToSpace { blocksize: r, mode: DepthOrder::Crd }, &[flat])?;
    let mut dims = lead;
    let block = Dim::Known(r.saturating_mul(r));
    dims.extend([c.floor_div(&block), &h * r, &w * r]);
    Ok(cx.b().reshape(y, &dims)?.into())
}

/// `pixel_unshuffle`: pixels of blocks become channels, those of one channel side by side.
fn pixel_unshuffle(cx: &mut CallCx<'_>) -> Outcome {
    let (x, r) = (cx.tensor("self")?, cx.int("downscale_factor")?);
    let shape = cx.shape(x)?;
    if r < 1 {
        return cx.invalid("a block has at least one pixel");
    }
    let (lead, [c, h, w]) = image_dims(cx, &shape)?;
    let side = Dim::Known(r);
    let (h, w) = (h.floor_div(&side), w.floor_div(&side));
    let mut b = cx.b();
    let blocks = [numel(&lead), c.clone(), h.clone(), side.clone(), w.clone(), side.clone()];
    let y = b.reshape(x, &blocks)?;
    let y = b.transpose(y, &[0, 1, 3, 5, 2, 4])?;
    let mut dims = lead;
    dims.extend([&c * r.saturating_mul(r), h, w]);
    Ok(b.reshape(y, &dims)?.into())
}

/// `channel_shuffle`: channels of groups take turns.
fn channel_shuffle(cx: &mut CallCx<'_>) -> Outcome {
    let (x, groups) = (cx.tensor("self")?, cx.dim("groups")?);
    let shape = cx.shape(x)?;
    let [batch, channels, space @ ..] = shape.as_slice() else {
        return cx.invalid("there is no axis of channels");
    };
    let each = channels.floor_div(&groups);
    let mut b = cx.b();
    let y = b.reshape(x, &[batch.clone(), groups, each, numel(space)])?;
    let y = b.transpose(y, &[0, 2, 1, 3])?;
    Ok(b.reshape(y, &shape)?.into())
}

// Regions.

/// `nms`: the boxes that are kept, from the highest score down.
fn nms(cx: &mut CallCx<'_>) -> Outcome {
    let (boxes, scores) = (cx.tensor("dets")?, cx.tensor("scores")?);
    let threshold = cx.float("iou_threshold")?;
    let count = cx.size(boxes, 0)?;
    let mut b = cx.b();
    let boxes = b.cast(boxes, DType::F32)?;
    let scores = b.cast(scores, DType::F32)?;
    let boxes = b.unsqueeze(boxes, &[0])?;
    let scores = b.unsqueeze(scores, &[0, 0])?;
    let most = b.dim_scalar(&count)?;
    let threshold = b.scalar(DType::F32, threshold)?;
    let op = NonMaxSuppression { center_point_box: false };
    let kept = b.emit_opt(op, &[Some(boxes), Some(scores), Some(most), Some(threshold), None])?;
    Ok(b.index_axis(kept, 1, 2)?.into())
}

/// The batch indices and the corners of regions [batch, x1, y1, x2, y2].
fn regions(cx: &mut CallCx<'_>, rois: ValueId) -> Result<(ValueId, ValueId), Stop> {
    let mut b = cx.b();
    let batch = b.index_axis(rois, 1, 0)?;
    let batch = b.cast(batch, DType::I64)?;
    let corners = b.slice_axis(rois, 1, 1.into(), 5.into())?;
    Ok((batch, corners))
}

/// `roi_align`.
fn roi_align(cx: &mut CallCx<'_>) -> Outcome {
    let (x, rois) = (cx.tensor("input")?, cx.tensor("rois")?);
    let op = RoiAlign {
        mode: RoiMode::Avg,
        output_height: cx.int("pooled_height")?,
        output_width: cx.int("pooled_width")?,
        sampling_ratio: cx.int("sampling_ratio")?.max(0),
        spatial_scale: Float(cx.float("spatial_scale")?),
        half_pixel: cx.bool("aligned")?,
    };
    let (batch, corners) = regions(cx, rois)?;
    Ok(cx.emit(op, &[x, corners, batch])?.into())
}

/// `roi_pool`; where the greatest elements are serves gradients.
fn roi_pool(cx: &mut CallCx<'_>) -> Outcome {
    if cx.wanted.is_some() && cx.wants(1) {
        return cx.unsupported("the positions of the greatest elements");
    }
    let (x, rois) = (cx.tensor("input")?, cx.tensor("rois")?);
    let op = MaxRoiPool {
        pooled_shape: vec![cx.int("pooled_height")?, cx.int("pooled_width")?],
        spatial_scale: Float(cx.float("spatial_scale")?),
    };
    let y = cx.emit(op, &[x, rois])?;
    Ok(beside_unwanted(y.into(), 2))
}
