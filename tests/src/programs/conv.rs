//! Sliding windows and images.

use airconv_ir::attr::Float;
use airconv_ir::dim::Dim;
use airconv_ir::op::*;
use airconv_ir::types::TensorType;

use super::maker::{Made, Maker};
use super::{Done, Step};

pub(super) const STEPS: &[Step] = &[conv, conv, conv, pool, pool, window, transposed, resize];

/// An image or a signal with channels, and its known sizes.
fn image(m: &mut Maker<'_>) -> Option<(Made, TensorType, usize, Vec<i64>)> {
    let fits = |ty: &TensorType, _: f64| {
        ty.dtype.is_float()
            && (3..=5).contains(&ty.shape.len())
            && ty.shape[1..].iter().all(|d| d.as_known().is_some_and(|n| n > 0))
    };
    let (x, ty) = m.pick(fits)?;
    let channels = ty.shape[1].as_known()? as usize;
    let sizes = ty.shape[2..].iter().filter_map(Dim::as_known).collect();
    Some((x, ty, channels, sizes))
}

/// Windows that fit: sizes, strides, dilations, paddings at both ends.
struct Windows {
    sizes: Vec<i64>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    pads: Vec<i64>,
}

fn windows(m: &mut Maker<'_>, spatial: &[i64]) -> Windows {
    let mut out = Windows { sizes: vec![], strides: vec![], dilations: vec![], pads: vec![] };
    let mut after = Vec::new();
    for &n in spatial {
        let size = (1 + m.rng.below(3) as i64).min(n);
        let dilation = if m.rng.one_in(4) { 2 } else { 1 };
        let reach = (size - 1) * dilation + 1;
        out.sizes.push(size);
        out.strides.push(1 + m.rng.below(2) as i64);
        out.dilations.push(if reach > n { 1 } else { dilation });
        out.pads.push(m.rng.below(size as usize) as i64);
        after.push(m.rng.below(size as usize) as i64);
    }
    out.pads.extend(after);
    out
}

fn conv(m: &mut Maker<'_>) -> Done {
    let Some((x, _, channels, spatial)) = image(m) else { return Ok(None) };
    let w = windows(m, &spatial);
    let groups = if channels > 1 && m.rng.one_in(3) { channels } else { 1 };
    let out = groups * [1, 2, 1, 8, 16, 5][m.rng.below(if groups > 1 { 2 } else { 6 })];
    let mut shape = vec![out, channels / groups];
    shape.extend(w.sizes.iter().map(|&n| n as usize));
    let weights = m.fixed(x.dtype, &shape)?;
    let bias = m.fixed(x.dtype, &[out])?;
    let op = Conv {
        input_dilations: vec![1; spatial.len()],
        strides: w.strides,
        pads: w.pads,
        dilations: w.dilations,
        groups: groups as i64,
        auto_pad: AutoPad::Explicit,
    };
    let from = [x, weights, bias];
    let some = if m.rng.one_in(2) { 3 } else { 2 };
    m.computed(op, &from[..some])
}

fn transposed(m: &mut Maker<'_>) -> Done {
    let Some((x, _, channels, spatial)) = image(m) else { return Ok(None) };
    let w = windows(m, &spatial);
    let mut shape = vec![channels, 1 + m.rng.below(3)];
    shape.extend(w.sizes.iter().map(|&n| n as usize));
    let weights = m.fixed(x.dtype, &shape)?;
    let op = ConvTranspose {
        strides: w.strides,
        pads: vec![0; 2 * spatial.len()],
        dilations: w.dilations,
        groups: 1,
        auto_pad: AutoPad::Explicit,
        output_padding: vec![0; spatial.len()],
        output_shape: Vec::new(),
    };
    m.computed(op, &[x, weights])
}

fn pool(m: &mut Maker<'_>) -> Done {
    let Some((x, _, _, spatial)) = image(m) else { return Ok(None) };
    let w = windows(m, &spatial);
    let auto_pad = AutoPad::Explicit;
    let ceil_mode = m.rng.one_in(3);
    if m.rng.one_in(2) {
        let op = MaxPool {
            kernel_shape: w.sizes,
            strides: w.strides,
            pads: w.pads,
            dilations: w.dilations,
            auto_pad,
            ceil_mode,
            column_major: false,
        };
        return m.moved(op, &[x]);
    }
    let op = AveragePool {
        kernel_shape: w.sizes,
        strides: w.strides,
        pads: w.pads,
        dilations: w.dilations,
        auto_pad,
        ceil_mode,
        count_include_pad: m.rng.one_in(2),
    };
    m.computed(op, &[x])
}

/// Windows over all axes.
fn window(m: &mut Maker<'_>) -> Done {
    let fits = |ty: &TensorType, _: f64| {
        ty.dtype != airconv_ir::dtype::DType::Bool
            && !ty.shape.is_empty()
            && ty.shape.iter().all(|d| d.as_known().is_some_and(|n| n > 0))
    };
    let Some((x, ty)) = m.pick(fits) else { return Ok(None) };
    let sizes: Vec<i64> = ty.shape.iter().filter_map(Dim::as_known).collect();
    let w = windows(m, &sizes);
    let kinds = [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::Prod];
    let op = ReduceWindow {
        kind: kinds[m.rng.below(4)],
        window: w.sizes,
        strides: w.strides,
        dilations: w.dilations,
        pads: w.pads,
    };
    m.computed(op, &[x])
}

fn resize(m: &mut Maker<'_>) -> Done {
    let Some((x, ty, _, spatial)) = image(m) else { return Ok(None) };
    let mode = [ResizeMode::Nearest, ResizeMode::Linear, ResizeMode::Cubic][m.rng.below(3)];
    let coordinates = [CoordinateMode::HalfPixel, CoordinateMode::Asymmetric][m.rng.below(2)];
    let factors = [1.0, 2.0, 0.5];
    let axes = (2..ty.shape.len() as i64).collect();
    let scales = spatial.iter().map(|&n| Float(if n < 2 { 2.0 } else { factors[m.rng.below(3)] }));
    let op = Resize {
        axes,
        scales: scales.collect(),
        sizes: Vec::new(),
        mode,
        coordinates,
        nearest: NearestMode::RoundPreferFloor,
        antialias: m.rng.one_in(4),
        cubic_coeff: Float(-0.75),
        exclude_outside: m.rng.one_in(3),
        extrapolation_value: Float(0.0),
        aspect: AspectPolicy::Stretch,
    };
    m.computed(op, &[x])
}
