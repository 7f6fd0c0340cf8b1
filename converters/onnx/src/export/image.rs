//! Writing rules of the image family.

use airconv_api::ir::array::Array;
use airconv_api::ir::attr::Float;
use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::*;
use airconv_api::ir::tensor::Tensor;

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use crate::proto::AttributeProto;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::AffineGrid, affine_grid),
    ExportRule::new(OpKind::GridSample, grid_sample),
    ExportRule::new(OpKind::Resize, resize),
    ExportRule::new(OpKind::RoiAlign, roi_align),
];

fn wrong<T>() -> Result<T, Refuse> {
    Refuse::because("the rule is for another op")
}

/// `Resize`; before version 18 scales and sizes are given for all axes.
fn resize(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Resize(r) = op else { return wrong() };
    if r.coordinates == CoordinateMode::TfHalfPixelForNn {
        return Refuse::because("tf_half_pixel_for_nn was removed in version 13");
    }
    if r.coordinates == CoordinateMode::HalfPixelSymmetric && cx.opset() < 19 {
        return Refuse::because("half_pixel_symmetric needs version 19");
    }
    let (mut scales, mut sizes) = (r.scales.clone(), r.sizes.clone());
    let mut attrs = Vec::new();
    if cx.opset() >= 18 {
        if !r.axes.is_empty() {
            attrs.push(attr::ints("axes", &r.axes));
        }
        if r.aspect != AspectPolicy::Stretch {
            attrs.push(attr::string("keep_aspect_ratio_policy", r.aspect.as_str()));
        }
        if r.antialias {
            attrs.push(attr::bool("antialias", true));
        }
    } else {
        if r.aspect != AspectPolicy::Stretch || r.antialias {
            return Refuse::because("a filter or an aspect policy needs version 18");
        }
        if !r.axes.is_empty() {
            if cx.value(1).is_some() {
                return Refuse::because("a region of some axes needs version 18");
            }
            let shape = cx.tensor_ty(0)?.shape;
            scales = widened(&r.axes, &scales, vec![Float(1.0); shape.len()]);
            sizes = widened(&r.axes, &sizes, shape.to_vec());
        }
    }
    push_choices(r, &mut attrs);
    let scales = if r.scales.is_empty() {
        String::new()
    } else {
        let values: Vec<f64> = scales.iter().map(|s| s.0).collect();
        let array = Array::from_f64s(DType::F32, vec![values.len()], &values);
        let tensor =
            array.and_then(|a| Tensor::from_array(&a)).map_err(|e| Refuse(e.to_string()))?;
        cx.ex.constant(&tensor, "scales")?
    };
    let sizes = if r.scales.is_empty() { cx.dims(&sizes)? } else { String::new() };
    let mut inputs = vec![cx.x(0)?, cx.opt(1)?, scales, sizes];
    while inputs.last().is_some_and(String::is_empty) {
        inputs.pop();
    }
    cx.emit("Resize", &inputs, attrs)
}

/// A list for some axes as one for all axes; an empty one stays.
fn widened<T: Clone>(axes: &[i64], given: &[T], mut all: Vec<T>) -> Vec<T> {
    if given.is_empty() {
        return Vec::new();
    }
    for (axis, value) in axes.iter().zip(given) {
        if let Some(slot) = usize::try_from(*axis).ok().and_then(|a| all.get_mut(a)) {
            *slot = value.clone();
        }
    }
    all
}

/// The attributes that every version has, where they differ from their defaults.
fn push_choices(r: &Resize, attrs: &mut Vec<AttributeProto>) {
    if r.mode != ResizeMode::Nearest {
        attrs.push(attr::string("mode", r.mode.as_str()));
    }
    if r.coordinates != CoordinateMode::HalfPixel {
        attrs.push(attr::string("coordinate_transformation_mode", r.coordinates.as_str()));
    }
    if r.nearest != NearestMode::RoundPreferFloor {
        attrs.push(attr::string("nearest_mode", r.nearest.as_str()));
    }
    if r.cubic_coeff != Float(-0.75) {
        attrs.push(attr::float("cubic_coeff_a", r.cubic_coeff));
    }
    if r.exclude_outside {
        attrs.push(attr::bool("exclude_outside", true));
    }
    if r.extrapolation_value != Float(0.0) {
        attrs.push(attr::float("extrapolation_value", r.extrapolation_value));
    }
}

/// `GridSample`, whose modes have other names from version 20 on, when volumes came.
fn grid_sample(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::GridSample(g) = op else { return wrong() };
    let plain = cx.opset() < 20;
    if plain && cx.tensor_ty(0)?.rank() != 4 {
        return Refuse::because("images that are not flat need version 20");
    }
    let mode = match (g.mode, plain) {
        (GridMode::Linear, _) => None,
        (GridMode::Nearest, _) => Some("nearest"),
        (GridMode::Cubic, true) => Some("bicubic"),
        (GridMode::Cubic, false) => Some("cubic"),
    };
    let mut attrs: Vec<_> = mode.map(|m| attr::string("mode", m)).into_iter().collect();
    if g.padding != GridPadding::Zeros {
        attrs.push(attr::string("padding_mode", g.padding.as_str()));
    }
    if g.align_corners {
        attrs.push(attr::bool("align_corners", true));
    }
    let inputs = cx.all()?;
    cx.emit("GridSample", &inputs, attrs)
}

fn affine_grid(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::AffineGrid(a) = op else { return wrong() };
    let dims: Vec<Dim> = a.dims.clone();
    let size = cx.dims(&dims)?;
    let inputs = [cx.x(0)?, size];
    let attrs = if a.align_corners { vec![attr::bool("align_corners", true)] } else { Vec::new() };
    cx.emit("AffineGrid", &inputs, attrs)
}

/// `RoiAlign`; before version 16 pixels are not shifted by half.
fn roi_align(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::RoiAlign(r) = op else { return wrong() };
    let mut attrs = Vec::new();
    match (cx.opset() >= 16, r.half_pixel) {
        (true, false) => {
            attrs.push(attr::string("coordinate_transformation_mode", "output_half_pixel"));
        }
        (false, true) => return Refuse::because("half pixels need version 16"),
        (true, true) | (false, false) => {}
    }
    if r.mode != RoiMode::Avg {
        attrs.push(attr::string("mode", r.mode.as_str()));
    }
    for (name, value, default) in [
        ("output_height", r.output_height, 1),
        ("output_width", r.output_width, 1),
        ("sampling_ratio", r.sampling_ratio, 0),
    ] {
        if value != default {
            attrs.push(attr::int(name, value));
        }
    }
    if r.spatial_scale != Float(1.0) {
        attrs.push(attr::float("spatial_scale", r.spatial_scale));
    }
    let inputs = cx.all()?;
    cx.emit("RoiAlign", &inputs, attrs)
}
