//! Products, convolutions, windows and images.

use airconv_ir::attr::Float;
use airconv_ir::dim::Dim;
use airconv_ir::entity::ValueId;
use airconv_ir::op::*;

use super::super::build::{Call, Cx, R};
use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule("avg_pool2d", avg_pool2d),
    rule("conv1d", |cx, c| conv(cx, c, 1)),
    rule("conv2d", |cx, c| conv(cx, c, 2)),
    rule("conv_transpose1d", |cx, c| conv_transpose(cx, c, 1)),
    rule("conv_transpose2d", |cx, c| conv_transpose(cx, c, 2)),
    rule("matmul", matmul),
    rule("max_pool2d", max_pool2d),
    rule("qmatmul", qmatmul),
    rule("upsample_bilinear2d", |cx, c| bilinear(cx, c, None)),
    rule("upsample_bilinear2d_with_scale", bilinear_with_scale),
    rule("upsample_nearest1d", |cx, c| nearest(cx, c, 1)),
    rule("upsample_nearest2d", |cx, c| nearest(cx, c, 2)),
];

fn matmul(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let (a, b) = (call.operand(0)?, call.operand(1)?);
    Ok(cx.b().matmul(a, b)?)
}

/// A product with a transposed weight, `[out, in]`, that was quantised.
fn qmatmul(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let (x, weight) = (call.operand(0)?, call.operand(1)?);
    let mut b = cx.b();
    let weight = b.transpose(weight, &[1, 0])?;
    Ok(b.matmul(x, weight)?)
}

/// Padding, stride, dilation and groups.
fn conv(cx: &mut Cx<'_>, call: &Call<'_>, axes: usize) -> R<ValueId> {
    let (x, w) = (call.operand(0)?, call.operand(1)?);
    let op = Conv {
        pads: vec![call.int(0)?; 2 * axes],
        strides: vec![call.int(1)?; axes],
        dilations: vec![call.int(2)?; axes],
        input_dilations: vec![1; axes],
        groups: call.int(3)?,
        auto_pad: AutoPad::Explicit,
    };
    Ok(cx.b().emit(op, &[x, w])?)
}

/// Padding, padding of the result, stride, dilation and groups.
fn conv_transpose(cx: &mut Cx<'_>, call: &Call<'_>, axes: usize) -> R<ValueId> {
    let (x, w) = (call.operand(0)?, call.operand(1)?);
    let op = ConvTranspose {
        pads: vec![call.int(0)?; 2 * axes],
        output_padding: vec![call.int(1)?; axes],
        strides: vec![call.int(2)?; axes],
        dilations: vec![call.int(3)?; axes],
        groups: call.int(4)?,
        auto_pad: AutoPad::Explicit,
        output_shape: Vec::new(),
    };
    Ok(cx.b().emit(op, &[x, w])?)
}

fn avg_pool2d(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let op = AveragePool {
        kernel_shape: vec![call.int(0)?, call.int(1)?],
        strides: vec![call.int(2)?, call.int(3)?],
        pads: vec![0; 4],
        dilations: vec![1; 2],
        auto_pad: AutoPad::Explicit,
        ceil_mode: false,
        count_include_pad: false,
    };
    let x = call.operand(0)?;
    Ok(cx.b().emit(op, &[x])?)
}

fn max_pool2d(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let op = MaxPool {
        kernel_shape: vec![call.int(0)?, call.int(1)?],
        strides: vec![call.int(2)?, call.int(3)?],
        pads: vec![0; 4],
        dilations: vec![1; 2],
        auto_pad: AutoPad::Explicit,
        ceil_mode: false,
        column_major: false,
    };
    let x = call.operand(0)?;
    Ok(cx.b().emit(op, &[x])?)
}

/// The pixel whose scaled place is not above; the last axes get the sizes.
fn nearest(cx: &mut Cx<'_>, call: &Call<'_>, axes: usize) -> R<ValueId> {
    let sizes: Vec<Dim> = (0..axes).map(|i| call.dim(cx, i)).collect::<R<_>>()?;
    let op = Resize {
        mode: ResizeMode::Nearest,
        coordinates: CoordinateMode::Asymmetric,
        nearest: NearestMode::Floor,
        ..resize(sizes)
    };
    let x = call.operand(0)?;
    Ok(cx.b().emit(op, &[x])?)
}

/// Target sizes, and whether corners fall on corners; scales where they do not follow from sizes.
fn bilinear(cx: &mut Cx<'_>, call: &Call<'_>, scales: Option<Vec<Float>>) -> R<ValueId> {
    let sizes = vec![call.dim(cx, 0)?, call.dim(cx, 1)?];
    let coordinates = match call.int(2)? {
        0 => CoordinateMode::HalfPixel,
        _ => CoordinateMode::AlignCorners,
    };
    let mut op = Resize { mode: ResizeMode::Linear, coordinates, ..resize(sizes) };
    if let Some(scales) = scales {
        (op.scales, op.sizes) = (scales, Vec::new());
    }
    let x = call.operand(0)?;
    Ok(cx.b().emit(op, &[x])?)
}

fn bilinear_with_scale(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let scales = vec![Float(call.float(cx, 0)?), Float(call.float(cx, 1)?)];
    bilinear(cx, call, Some(scales))
}

fn resize(sizes: Vec<Dim>) -> Resize {
    Resize {
        axes: (2..2 + sizes.len() as i64).collect(),
        scales: Vec::new(),
        sizes,
        mode: ResizeMode::Nearest,
        coordinates: CoordinateMode::HalfPixel,
        nearest: NearestMode::RoundPreferFloor,
        antialias: false,
        cubic_coeff: Float(-0.75),
        exclude_outside: false,
        extrapolation_value: Float(0.0),
        aspect: AspectPolicy::Stretch,
    }
}
