//! Reading rules of the image family.

use airconv_api::ir::attr::Float;
use airconv_api::ir::entity::ValueId;
use airconv_api::ir::op::*;

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("AffineGrid", 20, &[OpKind::AffineGrid], affine_grid),
    ImportRule::new("GridSample", 16, &[OpKind::GridSample], grid_sample),
    ImportRule::ms("GridSample", &[OpKind::GridSample], grid_sample),
    ImportRule::new("Resize", 11, &[OpKind::Resize], resize),
    ImportRule::new("Resize", 10, &[OpKind::Resize], resize_by_scales),
    ImportRule::new("RoiAlign", 10, &[OpKind::RoiAlign], roi_align),
    ImportRule::new("Upsample", 7, &[OpKind::Resize], resize_by_scales).until(9),
];

/// The scales in an input, which have to be known; `None` when it is absent or empty.
fn scales(cx: &NodeCx<'_, '_>, input: usize) -> Result<Option<Vec<Float>>, Stop> {
    if cx.opt(input).is_none() {
        return Ok(None);
    }
    let array = cx.need_array(input, "the scales")?;
    match array.to_f64s() {
        Some(v) if v.is_empty() => Ok(None),
        Some(v) => Ok(Some(v.into_iter().map(Float).collect())),
        None => cx.invalid("the scales are not numbers"),
    }
}

/// `Resize` from version 11 on. Axes, a filter and a policy for the aspect ratio came with 18.
fn resize(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let x = cx.input(0)?;
    let rank = cx.rank(0)?;
    let axes = cx.ints("axes")?;
    let mut op = Resize {
        axes: cx.axes(&axes, rank)?,
        scales: Vec::new(),
        sizes: Vec::new(),
        mode: cx.choice("mode", "nearest", ResizeMode::parse)?,
        coordinates: cx.choice(
            "coordinate_transformation_mode",
            "half_pixel",
            CoordinateMode::parse,
        )?,
        nearest: cx.choice("nearest_mode", "round_prefer_floor", NearestMode::parse)?,
        antialias: cx.bool("antialias", false)?,
        cubic_coeff: cx.float("cubic_coeff_a", -0.75)?,
        exclude_outside: cx.bool("exclude_outside", false)?,
        extrapolation_value: cx.float("extrapolation_value", 0.0)?,
        aspect: cx.choice("keep_aspect_ratio_policy", "stretch", AspectPolicy::parse)?,
    };
    match scales(cx, 2)? {
        Some(scales) => op.scales = scales,
        None => op.sizes = cx.dims_input(3, "the sizes")?,
    }
    // Other coordinate modes do not look at the region.
    let roi = match op.coordinates {
        CoordinateMode::TfCropAndResize => Some(cx.input(1)?),
        _ => None,
    };
    let operands: Vec<ValueId> = std::iter::once(x).chain(roi).collect();
    cx.emit_all(op, &operands)
}

/// `Upsample`, and `Resize` of version 10. Plain division by the scale; when shrinking, nearest
/// neighbours are rounded up.
fn resize_by_scales(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let mode = match cx.string("mode", "nearest")?.as_str() {
        "nearest" => ResizeMode::Nearest,
        "linear" | "bilinear" => ResizeMode::Linear,
        other => return cx.invalid(format!("attribute `mode` is `{other}`")),
    };
    let scales = if cx.has_attr("scales") {
        cx.floats("scales")?
    } else {
        match scales(cx, 1)? {
            Some(scales) => scales,
            None => return cx.invalid("there are no scales"),
        }
    };
    let shrinks = scales.iter().any(|s| s.0 < 1.0);
    if mode == ResizeMode::Nearest && shrinks && scales.iter().any(|s| s.0 > 1.0) {
        return Err(Stop::Unsupported(
            "nearest neighbours along axes of which some grow and some shrink".to_owned(),
        ));
    }
    let op = Resize {
        axes: Vec::new(),
        scales,
        sizes: Vec::new(),
        mode,
        coordinates: CoordinateMode::Asymmetric,
        nearest: if shrinks { NearestMode::Ceil } else { NearestMode::Floor },
        antialias: false,
        cubic_coeff: Float(-0.75),
        exclude_outside: false,
        extrapolation_value: Float(0.0),
        aspect: AspectPolicy::Stretch,
    };
    let x = cx.input(0)?;
    cx.emit_all(op, &[x])
}

/// `GridSample`, whose modes have other names from version 20 on.
fn grid_sample(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let mode = match cx.attrs.opt_string("mode")?.as_deref() {
        None | Some("linear" | "bilinear") => GridMode::Linear,
        Some("nearest") => GridMode::Nearest,
        Some("cubic" | "bicubic") => GridMode::Cubic,
        Some(other) => return cx.invalid(format!("attribute `mode` is `{other}`")),
    };
    let padding = cx.choice("padding_mode", "zeros", GridPadding::parse)?;
    let align_corners = cx.bool("align_corners", false)?;
    cx.emit_same(GridSample { mode, padding, align_corners })
}

fn affine_grid(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let align_corners = cx.bool("align_corners", false)?;
    let dims = cx.dims_input(1, "the size")?;
    let theta = cx.input(0)?;
    cx.emit_all(AffineGrid { dims, align_corners }, &[theta])
}

/// `RoiAlign`; before version 16 pixels were not shifted by half.
fn roi_align(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let half_pixel = if cx.version < 16 {
        false
    } else {
        match cx.string("coordinate_transformation_mode", "half_pixel")?.as_str() {
            "half_pixel" => true,
            "output_half_pixel" => false,
            other => {
                return cx
                    .invalid(format!("attribute `coordinate_transformation_mode` is `{other}`"));
            }
        }
    };
    let op = RoiAlign {
        mode: cx.choice("mode", "avg", RoiMode::parse)?,
        output_height: cx.int("output_height", 1)?,
        output_width: cx.int("output_width", 1)?,
        sampling_ratio: cx.int("sampling_ratio", 0)?,
        spatial_scale: cx.float("spatial_scale", 1.0)?,
        half_pixel,
    };
    cx.emit_same(op)
}
