//! Decomposition of `resize`: one axis after the other.

use super::filter::{Taps, stretched_taps, taps};
use super::{R, bind_size, pixel, size_value, work_dtype};
use crate::array::Array;
use crate::builder::BuildError;
use crate::decompose::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::image::{kept_aspect, resized_axes, scaled_size, scales_f32};
use crate::op::*;

/// The most taps of one axis that are computed here rather than in the graph.
const MOST_HOST_TAPS: i64 = 1 << 22;

/// A factor along an axis.
#[derive(Clone, Copy)]
enum Scale {
    Known(f32),
    /// An f32 scalar.
    Value(ValueId),
}

/// One axis to be resized.
struct Axis {
    axis: usize,
    input: Dim,
    output: Dim,
    scale: Scale,
    /// Start and end of the region of interest, f32 scalars.
    roi: Option<(ValueId, ValueId)>,
}

/// The taps of an axis as values.
struct TapValues {
    /// i64: `[output]` without weights, `[output, taps]` with.
    indices: ValueId,
    /// f32 `[output, taps]`.
    weights: Option<ValueId>,
    /// bool `[output]`: whether a pixel is outside the image.
    outside: Option<ValueId>,
}

/// Resampling.
pub fn resize(cx: &mut DecomposeCx<'_, '_>, op: &Resize) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let rank = ty.rank();
    let axes = plan(cx, op, &ty.shape, &resized_axes(op, rank))?;
    let mut x = cx.x(0)?;
    let work = work_dtype(ty.dtype);
    let weighted = op.mode != ResizeMode::Nearest;
    if weighted {
        x = cx.b.cast(x, work)?;
    }
    let mut outside: Option<ValueId> = None;
    for a in &axes {
        let same = matches!(a.scale, Scale::Known(s) if s == 1.0) && a.input == a.output;
        if same && a.roi.is_none() {
            continue;
        }
        let t = axis_taps(cx, op, a)?;
        x = cx.b.emit(Gather { axis: a.axis as i64 }, &[x, t.indices])?;
        if let Some(weights) = t.weights {
            let at: Vec<usize> = (2..rank + 1 - a.axis).collect();
            let weights = cx.b.cast(weights, work)?;
            let weights = if at.is_empty() { weights } else { cx.b.unsqueeze(weights, &at)? };
            x = cx.b.mul(x, weights)?;
            x = cx.b.reduce(ReduceKind::Sum, x, &[a.axis + 1], false)?;
        }
        if let Some(mask) = t.outside {
            let at: Vec<usize> = (1..rank - a.axis).collect();
            let mask = if at.is_empty() { mask } else { cx.b.unsqueeze(mask, &at)? };
            outside = Some(match outside {
                Some(other) => cx.b.or(other, mask)?,
                None => mask,
            });
        }
    }
    if let Some(mask) = outside {
        let value = if weighted {
            cx.b.scalar_like(x, op.extrapolation_value.0)?
        } else {
            let value = cx.b.scalar(DType::F32, op.extrapolation_value.0)?;
            cx.b.cast(value, ty.dtype)?
        };
        x = cx.b.select(mask, value, x)?;
    }
    if weighted && ty.dtype.is_integer() {
        x = to_integers(cx, op, x, ty.dtype)?;
    }
    one(cx.b.cast(x, ty.dtype)?)
}

/// Integers from averages: plain linear ones are truncated, others rounded and limited to the
/// range of the dtype.
fn to_integers(cx: &mut DecomposeCx<'_, '_>, op: &Resize, x: ValueId, dtype: DType) -> R {
    if op.mode == ResizeMode::Linear && !op.antialias {
        return Ok(x);
    }
    let x = cx.b.round(x)?;
    let Some((low, high)) = dtype.int_range().filter(|_| dtype.bits() < 64) else { return Ok(x) };
    let low = cx.b.scalar_like(x, low as f64)?;
    let high = cx.b.scalar_like(x, high as f64)?;
    super::limit(cx, x, low, high)
}

/// What has to be done along which axes.
fn plan(
    cx: &mut DecomposeCx<'_, '_>,
    op: &Resize,
    shape: &[Dim],
    axes: &[usize],
) -> Result<Vec<Axis>, NoDecomposition> {
    let inputs: Vec<Dim> = axes.iter().filter_map(|&a| shape.get(a).cloned()).collect();
    if inputs.len() != axes.len() {
        return cx.unsupported("an axis is out of range");
    }
    let scales = scales_f32(&op.scales);
    let mut out = Vec::new();
    let policy = op.scales.is_empty() && op.aspect != AspectPolicy::Stretch;
    let kept = if policy { kept_aspect(&inputs, &op.sizes, op.aspect) } else { None };
    let shared = if policy && kept.is_none() { Some(shared_scale(cx, op, &inputs)?) } else { None };
    for (k, (&axis, input)) in axes.iter().zip(&inputs).enumerate() {
        let (output, scale) = match (scales.get(k), op.sizes.get(k)) {
            (Some(&s), _) => {
                let output = match scaled_size(input, s) {
                    Some(d) => d,
                    None => {
                        let size = size_value(cx, input, DType::F32)?;
                        let size = cx.b.mul_const(size, s.into())?;
                        found_size(cx, size)?
                    }
                };
                (output, Scale::Known(s))
            }
            (None, Some(size)) => match (&kept, shared) {
                (Some((scale, sizes)), _) => {
                    let size = sizes.get(k).copied().unwrap_or(0);
                    (Dim::Known(size), Scale::Known(*scale))
                }
                (None, Some(scale)) => {
                    let value = size_value(cx, input, DType::F32)?;
                    let value = cx.b.mul(value, scale)?;
                    let value = cx.b.add_const(value, 0.5)?;
                    (found_size(cx, value)?, Scale::Value(scale))
                }
                (None, None) => (size.clone(), ratio(cx, size, input)?),
            },
            (None, None) => return cx.unsupported("neither scales nor sizes"),
        };
        let roi = region(cx, op, k, axes.len())?;
        out.push(Axis { axis, input: input.clone(), output, scale, roi });
    }
    Ok(out)
}

/// Start and end of the region of interest along the k-th of n axes.
fn region(
    cx: &mut DecomposeCx<'_, '_>,
    op: &Resize,
    k: usize,
    n: usize,
) -> Result<Option<(ValueId, ValueId)>, NoDecomposition> {
    if op.coordinates != CoordinateMode::TfCropAndResize {
        return Ok(None);
    }
    let roi = cx.x(1)?;
    let roi = cx.b.cast(roi, DType::F32)?;
    let start = cx.b.index_axis(roi, 0, k as i64)?;
    let end = cx.b.index_axis(roi, 0, (n + k) as i64)?;
    Ok(Some((start, end)))
}

/// Names the size that an f32 scalar holds after rounding down.
fn found_size(cx: &mut DecomposeCx<'_, '_>, value: ValueId) -> Result<Dim, BuildError> {
    let value = cx.b.floor(value)?;
    let value = cx.b.cast(value, DType::I64)?;
    bind_size(cx, value, "resize")
}

/// output / input in f32.
fn ratio(cx: &mut DecomposeCx<'_, '_>, output: &Dim, input: &Dim) -> Result<Scale, BuildError> {
    if output == input {
        return Ok(Scale::Known(1.0));
    }
    if let (Some(o), Some(i)) = (output.as_known(), input.as_known()) {
        return Ok(Scale::Known(o as f32 / i as f32));
    }
    let (o, i) = (size_value(cx, output, DType::F32)?, size_value(cx, input, DType::F32)?);
    Ok(Scale::Value(cx.b.div(o, i)?))
}

/// The one factor of a policy that keeps the aspect ratio.
fn shared_scale(cx: &mut DecomposeCx<'_, '_>, op: &Resize, inputs: &[Dim]) -> R {
    let mut best: Option<ValueId> = None;
    for (size, input) in op.sizes.iter().zip(inputs) {
        let (o, i) = (size_value(cx, size, DType::F32)?, size_value(cx, input, DType::F32)?);
        let scale = cx.b.div(o, i)?;
        best = Some(match best {
            None => scale,
            Some(other) if op.aspect == AspectPolicy::NotLarger => cx.b.min(other, scale)?,
            Some(other) => cx.b.max(other, scale)?,
        });
    }
    match best {
        Some(scale) => Ok(scale),
        None => cx.b.scalar(DType::F32, 1.0),
    }
}

/// The taps of an axis: constants where its sizes are known.
fn axis_taps(
    cx: &mut DecomposeCx<'_, '_>,
    op: &Resize,
    a: &Axis,
) -> Result<TapValues, NoDecomposition> {
    let known = (a.scale, a.output.as_known(), a.input.as_known());
    if let ((Scale::Known(s), Some(output), Some(input)), None) = (known, a.roi) {
        let width = if op.antialias { stretched_taps(op.mode, s) } else { 4 };
        if output.checked_mul(width).is_some_and(|n| n <= MOST_HOST_TAPS) {
            return constants(cx, &taps(op, s, output, input), output);
        }
    }
    in_graph(cx, op, a)
}

fn constants(
    cx: &mut DecomposeCx<'_, '_>,
    t: &Taps,
    output: i64,
) -> Result<TapValues, NoDecomposition> {
    let n = usize::try_from(output).unwrap_or(0);
    if t.weights.is_empty() && t.per_pixel == 1 {
        return Ok(TapValues { indices: cx.b.ints(&t.indices)?, weights: None, outside: None });
    }
    let shape = vec![n, t.per_pixel];
    let indices = Array::from_i64s(DType::I64, shape.clone(), &t.indices)?;
    let weights = Array::from_vec(shape, t.weights.clone())?;
    let indices = cx.b.constant(&indices)?;
    let weights = cx.b.constant(&weights)?;
    Ok(TapValues { indices, weights: Some(weights), outside: None })
}

/// Coordinates and taps computed by the program, with the same operations.
fn in_graph(
    cx: &mut DecomposeCx<'_, '_>,
    op: &Resize,
    a: &Axis,
) -> Result<TapValues, NoDecomposition> {
    let i = cx.b.iota(DType::F32, a.output.clone())?;
    let scale = match a.scale {
        Scale::Known(s) => cx.b.scalar(DType::F32, s.into())?,
        Scale::Value(v) => v,
    };
    let x = coordinates(cx, op, a, i, scale)?;
    let last = size_value(cx, &(&a.input - 1), DType::F32)?;
    let zero = cx.b.scalar(DType::F32, 0.0)?;
    let outside = match a.roi {
        Some(_) => {
            let (below, above) = (cx.b.less(x, zero)?, cx.b.less(last, x)?);
            Some(cx.b.or(below, above)?)
        }
        None => None,
    };
    if op.mode == ResizeMode::Nearest {
        let floor = cx.b.floor(x)?;
        let rounded = match op.nearest {
            NearestMode::Floor => floor,
            NearestMode::Ceil => cx.b.ceil(x)?,
            NearestMode::RoundPreferFloor | NearestMode::RoundPreferCeil => {
                let part = cx.b.sub(x, floor)?;
                let half = cx.b.scalar(DType::F32, 0.5)?;
                let up = if op.nearest == NearestMode::RoundPreferFloor {
                    cx.b.less(half, part)?
                } else {
                    cx.b.less_or_equal(half, part)?
                };
                let next = cx.b.add_const(floor, 1.0)?;
                cx.b.select(up, next, floor)?
            }
        };
        let indices = pixel(cx, rounded, &a.input)?;
        return Ok(TapValues { indices, weights: None, outside });
    }
    if op.antialias {
        return stretched(cx, op, a, x, scale, outside);
    }
    let (x, offsets): (_, &[f64]) = match op.mode {
        ResizeMode::Cubic => (x, &[-1.0, 0.0, 1.0, 2.0]),
        ResizeMode::Linear | ResizeMode::Nearest => (super::limit(cx, x, zero, last)?, &[0.0, 1.0]),
    };
    let floor = cx.b.floor(x)?;
    let part = cx.b.sub(x, floor)?;
    let part = cx.b.unsqueeze(part, &[1])?;
    let floor = cx.b.unsqueeze(floor, &[1])?;
    let offsets = Array::from_f64s(DType::F32, vec![offsets.len()], offsets)?;
    let offsets = cx.b.constant(&offsets)?;
    let taps = cx.b.add(floor, offsets)?;
    let mut weights = if op.mode == ResizeMode::Cubic {
        let distance = cx.b.sub(part, offsets)?;
        cubic_kernel(cx, distance, op.cubic_coeff.0)?
    } else {
        let rest = cx.b.mul_const(part, -1.0)?;
        let rest = cx.b.add_const(rest, 1.0)?;
        cx.b.concat(&[rest, part], 1)?
    };
    if op.exclude_outside && op.mode == ResizeMode::Cubic {
        weights = without_outside(cx, weights, taps, zero, last)?;
        weights = normalised(cx, weights)?;
    }
    let indices = pixel(cx, taps, &a.input)?;
    Ok(TapValues { indices, weights: Some(weights), outside })
}

/// Where the pixels of the result lie in the input.
fn coordinates(
    cx: &mut DecomposeCx<'_, '_>,
    op: &Resize,
    a: &Axis,
    i: ValueId,
    scale: ValueId,
) -> Result<ValueId, NoDecomposition> {
    let half_pixel = |cx: &mut DecomposeCx<'_, '_>| -> R {
        let x = cx.b.add_const(i, 0.5)?;
        let x = cx.b.div(x, scale)?;
        cx.b.add_const(x, -0.5)
    };
    let input = size_value(cx, &a.input, DType::F32)?;
    let output = size_value(cx, &a.output, DType::F32)?;
    let one = cx.b.scalar(DType::F32, 1.0)?;
    if let (Scale::Known(s), None) = (a.scale, a.roi)
        && s == 1.0
    {
        return Ok(i);
    }
    Ok(match op.coordinates {
        CoordinateMode::HalfPixel => half_pixel(cx)?,
        CoordinateMode::PytorchHalfPixel => {
            let x = half_pixel(cx)?;
            let many = cx.b.less(one, output)?;
            let zero = cx.b.scalar(DType::F32, 0.0)?;
            cx.b.select(many, x, zero)?
        }
        CoordinateMode::HalfPixelSymmetric => {
            let exact = cx.b.mul(scale, input)?;
            let adjustment = cx.b.div(output, exact)?;
            let rest = cx.b.sub(one, adjustment)?;
            let centre = cx.b.mul_const(input, 0.5)?;
            let offset = cx.b.mul(centre, rest)?;
            let x = cx.b.add_const(i, 0.5)?;
            let x = cx.b.div(x, scale)?;
            let x = cx.b.add(offset, x)?;
            cx.b.add_const(x, -0.5)?
        }
        CoordinateMode::AlignCorners => {
            let steps = cx.b.sub(output, one)?;
            let steps = cx.b.max(steps, one)?;
            let last = cx.b.sub(input, one)?;
            let x = cx.b.mul(i, last)?;
            cx.b.div(x, steps)?
        }
        CoordinateMode::Asymmetric => cx.b.div(i, scale)?,
        CoordinateMode::TfHalfPixelForNn => {
            let x = cx.b.add_const(i, 0.5)?;
            cx.b.div(x, scale)?
        }
        CoordinateMode::TfCropAndResize => {
            let Some((start, end)) = a.roi else { return cx.unsupported("no roi") };
            let last = cx.b.sub(input, one)?;
            let steps = cx.b.sub(output, one)?;
            let steps = cx.b.max(steps, one)?;
            let from = cx.b.mul(start, last)?;
            let extent = cx.b.sub(end, start)?;
            let x = cx.b.mul(i, extent)?;
            let x = cx.b.mul(x, last)?;
            let x = cx.b.div(x, steps)?;
            let x = cx.b.add(from, x)?;
            let middle = cx.b.add(start, end)?;
            let middle = cx.b.mul_const(middle, 0.5)?;
            let middle = cx.b.mul(middle, last)?;
            let many = cx.b.less(one, output)?;
            cx.b.select(many, x, middle)?
        }
    })
}

/// The cubic convolution kernel at distances; zero from 2 on.
fn cubic_kernel(cx: &mut DecomposeCx<'_, '_>, distance: ValueId, a: f64) -> R {
    let a = f64::from(a as f32);
    let d = cx.b.abs(distance)?;
    // ((a + 2) d - (a + 3)) d d + 1
    let near = cx.b.mul_const(d, a + 2.0)?;
    let near = cx.b.add_const(near, -(a + 3.0))?;
    let near = cx.b.mul(near, d)?;
    let near = cx.b.mul(near, d)?;
    let near = cx.b.add_const(near, 1.0)?;
    // (((d - 5) d + 8) d - 4) a
    let far = cx.b.add_const(d, -5.0)?;
    let far = cx.b.mul(far, d)?;
    let far = cx.b.add_const(far, 8.0)?;
    let far = cx.b.mul(far, d)?;
    let far = cx.b.add_const(far, -4.0)?;
    let far = cx.b.mul_const(far, a)?;
    let (one, two) = (cx.b.scalar_like(d, 1.0)?, cx.b.scalar_like(d, 2.0)?);
    let zero = cx.b.scalar_like(d, 0.0)?;
    let is_near = cx.b.less_or_equal(d, one)?;
    let is_far = cx.b.less(d, two)?;
    let far = cx.b.select(is_far, far, zero)?;
    cx.b.select(is_near, near, far)
}

/// Weights with zero for the taps outside the image.
fn without_outside(
    cx: &mut DecomposeCx<'_, '_>,
    weights: ValueId,
    taps: ValueId,
    first: ValueId,
    last: ValueId,
) -> R {
    let (from, to) = (cx.b.less_or_equal(first, taps)?, cx.b.less_or_equal(taps, last)?);
    let inside = cx.b.and(from, to)?;
    let zero = cx.b.scalar_like(weights, 0.0)?;
    cx.b.select(inside, weights, zero)
}

/// Weights that add up to 1 for each pixel, unless all are zero.
fn normalised(cx: &mut DecomposeCx<'_, '_>, weights: ValueId) -> R {
    let sum = cx.b.reduce(ReduceKind::Sum, weights, &[1], true)?;
    let zero = cx.b.scalar_like(sum, 0.0)?;
    let one = cx.b.scalar_like(sum, 1.0)?;
    let none = cx.b.equal(sum, zero)?;
    let sum = cx.b.select(none, one, sum)?;
    cx.b.div(weights, sum)
}

/// Taps of an antialiasing filter.
fn stretched(
    cx: &mut DecomposeCx<'_, '_>,
    op: &Resize,
    a: &Axis,
    x: ValueId,
    scale: ValueId,
    outside: Option<ValueId>,
) -> Result<TapValues, NoDecomposition> {
    let count = match a.scale {
        Scale::Known(s) => Dim::Known(stretched_taps(op.mode, s)),
        Scale::Value(_) => {
            let one = cx.b.scalar(DType::F32, 1.0)?;
            let stretch = cx.b.div(one, scale)?;
            let stretch = cx.b.max(stretch, one)?;
            let reach = if op.mode == ResizeMode::Cubic { 2.0 } else { 1.0 };
            let taps = cx.b.mul_const(stretch, reach)?;
            let taps = cx.b.ceil(taps)?;
            let taps = cx.b.mul_const(taps, 2.0)?;
            let taps = cx.b.add_const(taps, 1.0)?;
            let taps = cx.b.cast(taps, DType::I64)?;
            bind_size(cx, taps, "taps")?
        }
    };
    let one = cx.b.scalar(DType::F32, 1.0)?;
    let stretch = cx.b.div(one, scale)?;
    let stretch = cx.b.max(stretch, one)?;
    let support =
        if op.mode == ResizeMode::Cubic { cx.b.mul_const(stretch, 2.0)? } else { stretch };
    // Pixels from floor(x - support + 1) on, up to but without floor(x + support + 1).
    let first = cx.b.sub(x, support)?;
    let first = cx.b.add_const(first, 1.0)?;
    let first = cx.b.floor(first)?;
    let first = cx.b.unsqueeze(first, &[1])?;
    let steps = cx.b.iota(DType::F32, count)?;
    let taps = cx.b.add(first, steps)?;
    let x = cx.b.unsqueeze(x, &[1])?;
    let distance = cx.b.sub(taps, x)?;
    let distance = cx.b.div(distance, stretch)?;
    let zero = cx.b.scalar(DType::F32, 0.0)?;
    let mut weights = if op.mode == ResizeMode::Cubic {
        cubic_kernel(cx, distance, op.cubic_coeff.0)?
    } else {
        let d = cx.b.abs(distance)?;
        let rest = cx.b.sub(one, d)?;
        cx.b.max(rest, zero)?
    };
    if op.exclude_outside {
        let last = size_value(cx, &(&a.input - 1), DType::F32)?;
        weights = without_outside(cx, weights, taps, zero, last)?;
    }
    let weights = normalised(cx, weights)?;
    let indices = pixel(cx, taps, &a.input)?;
    Ok(TapValues { indices, weights: Some(weights), outside })
}
