//! Reading rules of poolings.

use airconv_ir::dim::{Dim, Shape, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    ArgKind, ArgReduce, AutoPad, AveragePool, Contract, Div, Gather, GatherElements,
    GlobalAveragePool, IntRounding, Iota, MaxPool, OpKind, ReduceKind, ReduceWindow,
    ScatterElements, ScatterReduction,
};

use super::arg::{Arg, Returns};
use super::call::{CallCx, Stop};
use super::conv::{batched, on_both_ends, unbatched};
use super::promote::Category;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_adaptive_avg_pool2d", ADAPTIVE_AVG, adaptive_avg_pool),
    ImportRule::new("aten::_adaptive_avg_pool3d", ADAPTIVE_AVG, adaptive_avg_pool),
    ImportRule::new("aten::adaptive_avg_pool1d", ADAPTIVE_AVG, adaptive_avg_pool),
    ImportRule::new("aten::adaptive_avg_pool2d", ADAPTIVE_AVG, adaptive_avg_pool),
    ImportRule::new("aten::adaptive_avg_pool3d", ADAPTIVE_AVG, adaptive_avg_pool),
    ImportRule::new("aten::adaptive_max_pool1d", ADAPTIVE_MAX, adaptive_max_pool),
    ImportRule::new("aten::adaptive_max_pool2d", ADAPTIVE_MAX, adaptive_max_pool),
    ImportRule::new("aten::adaptive_max_pool3d", ADAPTIVE_MAX, adaptive_max_pool),
    ImportRule::new("aten::avg_pool1d", AVG, avg_pool),
    ImportRule::new("aten::avg_pool2d", AVG, avg_pool),
    ImportRule::new("aten::avg_pool3d", AVG, avg_pool),
    ImportRule::new("aten::max_pool1d", &[OpKind::MaxPool], max_pool),
    ImportRule::new("aten::max_pool1d_with_indices", &[OpKind::MaxPool], max_pool_indices),
    ImportRule::new("aten::max_pool2d", &[OpKind::MaxPool], max_pool),
    ImportRule::new("aten::max_pool2d_with_indices", &[OpKind::MaxPool], max_pool_indices),
    ImportRule::new(
        "aten::max_pool2d_with_indices_backward",
        &[OpKind::ScatterElements],
        max_pool_backward,
    ),
    ImportRule::new("aten::max_pool3d", &[OpKind::MaxPool], max_pool),
    ImportRule::new("aten::max_pool3d_with_indices", &[OpKind::MaxPool], max_pool_indices),
    ImportRule::new("aten::max_unpool2d", &[OpKind::ScatterElements], max_unpool),
    ImportRule::new("aten::max_unpool3d", &[OpKind::ScatterElements], max_unpool),
    ImportRule::new("aten::mkldnn_max_pool2d", &[OpKind::MaxPool], max_pool),
    ImportRule::new("aten::mkldnn_max_pool3d", &[OpKind::MaxPool], max_pool),
];

const AVG: &[OpKind] = &[OpKind::AveragePool, OpKind::ReduceWindow, OpKind::Div];
const ADAPTIVE_AVG: &[OpKind] = &[OpKind::GlobalAveragePool, OpKind::AveragePool, OpKind::Contract];
const ADAPTIVE_MAX: &[OpKind] = &[OpKind::MaxPool, OpKind::ArgReduce];

/// The spatial axes that a pooling is over, from the last character of its name before `d`.
fn spatial_axes(cx: &CallCx<'_>) -> usize {
    let digit = cx.schema.name.bytes().find(u8::is_ascii_digit);
    digit.map_or(2, |d| usize::from(d - b'0'))
}

/// What windows are like.
struct Window {
    kernel: Vec<i64>,
    strides: Vec<i64>,
    pads: Vec<i64>,
    dilations: Vec<i64>,
    ceil_mode: bool,
}

fn window(cx: &mut CallCx<'_>, n: usize) -> Result<Window, Stop> {
    let kernel = cx.spatial("kernel_size", n)?;
    let strides = match cx.dims("stride")?.is_empty() {
        true => kernel.clone(),
        false => cx.spatial("stride", n)?,
    };
    let pads = on_both_ends(&cx.spatial("padding", n)?);
    let dilations = match cx.has("dilation") {
        true => cx.spatial("dilation", n)?,
        false => vec![1; n],
    };
    Ok(Window { kernel, strides, pads, dilations, ceil_mode: cx.bool("ceil_mode")? })
}

impl Window {
    fn max_pool(self) -> MaxPool {
        MaxPool {
            kernel_shape: self.kernel,
            strides: self.strides,
            pads: self.pads,
            dilations: self.dilations,
            auto_pad: AutoPad::Explicit,
            ceil_mode: self.ceil_mode,
            column_major: false,
        }
    }
}

/// `max_pool1d`, `max_pool2d`, `max_pool3d`.
fn max_pool(cx: &mut CallCx<'_>) -> Outcome {
    let n = spatial_axes(cx);
    let x = cx.tensor("self")?;
    let op = window(cx, n)?.max_pool();
    let (x, added) = batched(cx, x, n)?;
    let y = cx.emit(op, &[x])?;
    Ok(unbatched(cx, y, added)?.into())
}

/// `max_pool2d_with_indices` and its like: positions count within one channel.
fn max_pool_indices(cx: &mut CallCx<'_>) -> Outcome {
    if !cx.wants(1) {
        let y = max_pool(cx)?;
        return Ok(beside_unwanted(y, 2));
    }
    let n = spatial_axes(cx);
    let x = cx.tensor("self")?;
    let op = window(cx, n)?.max_pool();
    let (x, added) = batched(cx, x, n)?;
    let plane = numel(&cx.shape(x)?[2..]);
    let both = cx.emit_all(op, &[Some(x)])?;
    let &[y, flat] = both.as_slice() else { return cx.invalid("a pooling gives two results") };
    let within = within_plane(cx, flat, &plane)?;
    Ok([unbatched(cx, y, added)?, unbatched(cx, within, added)?].into())
}

/// The first result with nothing in the place of those that are not used.
pub(super) fn beside_unwanted(first: Returns, count: usize) -> Returns {
    let mut all = first.0;
    all.resize(count, Arg::None);
    Returns(all)
}

/// Positions in a whole tensor as positions in the plane of their channel.
fn within_plane(cx: &mut CallCx<'_>, flat: ValueId, plane: &Dim) -> Result<ValueId, Stop> {
    let size = cx.b().dim_scalar(plane)?;
    Ok(cx.b().rem_floor(flat, size)?)
}

/// `avg_pool1d`, `avg_pool2d`, `avg_pool3d`.
fn avg_pool(cx: &mut CallCx<'_>) -> Outcome {
    let n = spatial_axes(cx);
    let x = cx.tensor("self")?;
    let w = window(cx, n)?;
    let count_include_pad = cx.bool("count_include_pad")?;
    let divisor = match cx.has("divisor_override") {
        true => cx.opt_int("divisor_override")?,
        false => None,
    };
    let (x, added) = batched(cx, x, n)?;
    let integers = cx.category(x)? != Category::Float;
    let y = match divisor {
        Some(divisor) => {
            let sums = window_sums(cx, x, &w)?;
            let by = cx.b().scalar_like(sums, divisor as f64)?;
            cx.b().div(sums, by)?
        }
        None if integers => {
            let sums = window_sums(cx, x, &w)?;
            let counts = window_counts(cx, x, &w, count_include_pad)?;
            cx.b().div(sums, counts)?
        }
        None => {
            let op = AveragePool {
                kernel_shape: w.kernel,
                strides: w.strides,
                pads: w.pads,
                dilations: w.dilations,
                auto_pad: AutoPad::Explicit,
                ceil_mode: w.ceil_mode,
                count_include_pad,
            };
            cx.emit(op, &[x])?
        }
    };
    Ok(unbatched(cx, y, added)?.into())
}

/// How far the last window of each axis reaches beyond the padding.
fn overhang(cx: &CallCx<'_>, x: ValueId, w: &Window) -> Result<Vec<i64>, Stop> {
    let n = w.kernel.len();
    if !w.ceil_mode {
        return Ok(vec![0; n]);
    }
    let shape = cx.shape(x)?;
    let mut out = Vec::with_capacity(n);
    for (i, size) in shape.iter().skip(2).enumerate().take(n) {
        let Some(size) = size.as_known() else {
            return cx.unsupported("`ceil_mode` on an axis of unknown size");
        };
        let (kernel, stride) = (w.kernel[i], w.strides[i].max(1));
        let padded = size + w.pads[i] + w.pads[n + i];
        let room = (padded - kernel).max(0);
        let mut last = (room + stride - 1) / stride;
        // A window does not begin in the padding behind.
        if last * stride >= size + w.pads[i] {
            last -= 1;
        }
        out.push((last * stride + kernel - padded).max(0));
    }
    Ok(out)
}

/// The sums of windows, padded like this before and behind.
fn summed(
    cx: &mut CallCx<'_>,
    x: ValueId,
    w: &Window,
    [before, behind]: [&[i64]; 2],
) -> Result<ValueId, Stop> {
    let whole = |list: &[i64]| [&[1, 1], list].concat();
    let op = ReduceWindow {
        kind: ReduceKind::Sum,
        window: whole(&w.kernel),
        strides: whole(&w.strides),
        dilations: whole(&w.dilations),
        pads: [&[0, 0], before, &[0, 0], behind].concat(),
    };
    cx.emit(op, &[x])
}

/// The sums of windows.
fn window_sums(cx: &mut CallCx<'_>, x: ValueId, w: &Window) -> Result<ValueId, Stop> {
    let n = w.kernel.len();
    let over = overhang(cx, x, w)?;
    let behind: Vec<i64> = w.pads[n..].iter().zip(&over).map(|(p, o)| p + o).collect();
    summed(cx, x, w, [&w.pads[..n], &behind])
}

/// How many elements of each window count: those of the padding too, or not.
fn window_counts(
    cx: &mut CallCx<'_>,
    x: ValueId,
    w: &Window,
    with_padding: bool,
) -> Result<ValueId, Stop> {
    let n = w.kernel.len();
    let over = overhang(cx, x, w)?;
    let mut ones = cx.b().full_like(x, 1.0)?;
    if !with_padding {
        let behind: Vec<i64> = w.pads[n..].iter().zip(&over).map(|(p, o)| p + o).collect();
        return summed(cx, ones, w, [&w.pads[..n], &behind]);
    }
    let mut shape = cx.shape(ones)?.to_vec();
    for (i, size) in shape.iter_mut().skip(2).enumerate() {
        *size = &*size + (w.pads[i] + w.pads[n + i]);
    }
    let dtype = cx.dtype(x)?;
    ones = super::shape::filled(cx, &shape, &super::promote::Number::Int(1.into()), dtype)?;
    summed(cx, ones, w, [&vec![0; n], &over])
}

/// `max_pool2d_with_indices_backward`: what comes back to each element, at the positions of the
/// maxima.
fn max_pool_backward(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["kernel_size", "stride", "padding", "dilation", "ceil_mode"]);
    let (grad, x, indices) = (cx.tensor("grad_output")?, cx.tensor("self")?, cx.tensor("indices")?);
    let n = spatial_axes(cx);
    let (given, dtype) = (cx.shape(x)?, cx.dtype(grad)?);
    let Some(split) = given.len().checked_sub(n) else {
        return cx.invalid("there are too few axes");
    };
    let flattened = |cx: &mut CallCx<'_>, v: ValueId| -> Result<ValueId, Stop> {
        let shape = cx.shape(v)?;
        let mut dims = shape[..split].to_vec();
        dims.push(numel(&shape[split..]));
        Ok(cx.b().reshape(v, &dims)?)
    };
    let (grad, indices) = (flattened(cx, grad)?, flattened(cx, indices)?);
    let mut dims = given[..split].to_vec();
    dims.push(numel(&given[split..]));
    let zero = super::promote::Number::Int(0.into());
    let zeros = super::shape::filled(cx, &dims, &zero, dtype)?;
    let op = ScatterElements { axis: split as i64, reduction: ScatterReduction::Add };
    let sums = cx.emit(op, &[zeros, indices, grad])?;
    Ok(cx.b().reshape(sums, &given)?.into())
}

// Adaptive poolings: the sizes of the result are given.

/// The sizes that an adaptive pooling is asked for.
fn wanted_sizes(cx: &mut CallCx<'_>, n: usize) -> Result<Vec<Dim>, Stop> {
    let sizes = cx.dims("output_size")?;
    match sizes.as_slice() {
        [one] => Ok(vec![one.clone(); n]),
        list if list.len() == n => Ok(sizes),
        list => cx.invalid(format!("{} sizes for {n} axes", list.len())),
    }
}

/// The window along each axis where windows of one size do, side by side.
fn even_windows(sizes: &[Dim], wanted: &[Dim]) -> Option<Vec<i64>> {
    let one = |(size, want): (&Dim, &Dim)| match (size.as_known()?, want.as_known()?) {
        (size, want) if want > 0 && size > 0 && size % want == 0 => Some(size / want),
        _ => None,
    };
    sizes.iter().zip(wanted).map(one).collect()
}

fn side_by_side(kernel: Vec<i64>) -> Window {
    let n = kernel.len();
    let strides = kernel.clone();
    Window { kernel, strides, pads: vec![0; 2 * n], dilations: vec![1; n], ceil_mode: false }
}

/// Where the window of each element of the result begins and ends, as [out, 1] of i64.
fn bounds(cx: &mut CallCx<'_>, size: &Dim, out: &Dim) -> Result<(ValueId, ValueId), Stop> {
    let mut b = cx.b();
    let dims = vec![out.clone(), Dim::Known(1)];
    let at = b.emit(Iota { dtype: DType::I64, dims, axis: 0 }, &[])?;
    let (size, out) = (b.dim_scalar(size)?, b.dim_scalar(out)?);
    let one = b.scalar_int(DType::I64, 1)?;
    let floor = |b: &mut airconv_ir::builder::Builder<'_>, x, by| {
        b.broadcasting(Div { rounding: IntRounding::Floor }, &[x, by])
    };
    let scaled = b.mul(at, size)?;
    let start = floor(&mut b, scaled, out)?;
    let next = b.add(at, one)?;
    let end = b.mul(next, size)?;
    let end = b.add(end, out)?;
    let end = b.sub(end, one)?;
    let end = floor(&mut b, end, out)?;
    Ok((start, end))
}

/// `adaptive_avg_pool1d`, `adaptive_avg_pool2d`, `adaptive_avg_pool3d`.
fn adaptive_avg_pool(cx: &mut CallCx<'_>) -> Outcome {
    let n = spatial_axes(cx);
    let x = cx.tensor("self")?;
    let wanted = wanted_sizes(cx, n)?;
    let (x, added) = batched(cx, x, n)?;
    let shape = cx.shape(x)?;
    let sizes = &shape[2..];
    let y = if wanted.iter().all(|d| d.as_known() == Some(1)) {
        cx.emit(GlobalAveragePool {}, &[x])?
    } else if sizes == wanted.as_slice() {
        x
    } else if let Some(kernel) = even_windows(sizes, &wanted) {
        let w = side_by_side(kernel);
        let op = AveragePool {
            kernel_shape: w.kernel,
            strides: w.strides,
            pads: w.pads,
            dilations: w.dilations,
            auto_pad: AutoPad::Explicit,
            ceil_mode: false,
            count_include_pad: false,
        };
        cx.emit(op, &[x])?
    } else {
        uneven_means(cx, x, &wanted)?
    };
    Ok(unbatched(cx, y, added)?.into())
}

/// Means of windows of different sizes: a product with a matrix of weights along each axis.
fn uneven_means(cx: &mut CallCx<'_>, x: ValueId, wanted: &[Dim]) -> Result<ValueId, Stop> {
    let ty = cx.ty(x)?;
    let mut y = x;
    for (i, out) in wanted.iter().enumerate() {
        let size = &ty.shape[i + 2];
        if size == out {
            continue;
        }
        let weights = mean_weights(cx, size, out, ty.dtype)?;
        y = weighted(cx, y, i + 2, weights)?;
    }
    Ok(y)
}

/// Sums along an axis with weights [out, size]: the axis has the size `out` afterwards.
pub(super) fn weighted(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
    weights: ValueId,
) -> Result<ValueId, Stop> {
    // The axis that is summed up goes, and the new one comes last.
    let (axis, rank) = (axis as i64, cx.rank(x)? as i64);
    let op = Contract {
        lhs_batch: vec![],
        rhs_batch: vec![],
        lhs_contract: vec![axis],
        rhs_contract: vec![1],
    };
    let y = cx.emit(op, &[x, weights])?;
    let perm: Vec<i64> = (0..axis).chain([rank - 1]).chain(axis..rank - 1).collect();
    Ok(cx.b().transpose(y, &perm)?)
}

/// The weight of each element of an axis in each mean, as [out, size].
fn mean_weights(cx: &mut CallCx<'_>, size: &Dim, out: &Dim, dtype: DType) -> Result<ValueId, Stop> {
    let (start, end) = bounds(cx, size, out)?;
    let mut b = cx.b();
    let dims = vec![Dim::Known(1), size.clone()];
    let at = b.emit(Iota { dtype: DType::I64, dims, axis: 1 }, &[])?;
    let after = b.less_or_equal(start, at)?;
    let before = b.less(at, end)?;
    let inside = b.and(after, before)?;
    let inside = b.cast(inside, dtype)?;
    let length = b.sub(end, start)?;
    let length = b.cast(length, dtype)?;
    Ok(b.div(inside, length)?)
}

/// `adaptive_max_pool1d`, `adaptive_max_pool2d`, `adaptive_max_pool3d`, with positions.
fn adaptive_max_pool(cx: &mut CallCx<'_>) -> Outcome {
    let n = spatial_axes(cx);
    let x = cx.tensor("self")?;
    let wanted = wanted_sizes(cx, n)?;
    let (x, added) = batched(cx, x, n)?;
    let shape = cx.shape(x)?;
    let [y, at] = match even_windows(&shape[2..], &wanted) {
        Some(kernel) => {
            let op = side_by_side(kernel).max_pool();
            let both = cx.emit_all(op, &[Some(x)])?;
            let &[y, flat] = both.as_slice() else {
                return cx.invalid("a pooling gives two results");
            };
            [y, within_plane(cx, flat, &numel(&shape[2..]))?]
        }
        None => uneven_maxima(cx, x, &shape, &wanted)?,
    };
    Ok([unbatched(cx, y, added)?, unbatched(cx, at, added)?].into())
}

/// Maxima of windows of different sizes and their positions. Windows are gathered as if all had
/// the size of the largest: what is beyond the end of one is its last element again.
fn uneven_maxima(
    cx: &mut CallCx<'_>,
    x: ValueId,
    shape: &Shape,
    wanted: &[Dim],
) -> Result<[ValueId; 2], Stop> {
    let n = wanted.len();
    let one = Dim::Known(1);
    let mut windows = x;
    let mut places: Option<ValueId> = None;
    let mut extents = Vec::new();
    for (i, out) in wanted.iter().enumerate() {
        let size = &shape[i + 2];
        let most = &Dim::ceil_div(size, out) + 1;
        let at = window_places(cx, size, out, &most)?;
        windows = cx.emit(Gather { axis: 2 + 2 * i as i64 }, &[windows, at])?;
        // Positions as [out0, kernel0, out1, kernel1 ...].
        let mut dims = vec![one.clone(); 2 * n];
        (dims[2 * i], dims[2 * i + 1]) = (out.clone(), most.clone());
        let mut b = cx.b();
        let at = b.reshape(at, &dims)?;
        places = Some(match places {
            None => at,
            Some(outer) => {
                let size = b.dim_scalar(size)?;
                let outer = b.mul(outer, size)?;
                b.add(outer, at)?
            }
        });
        extents.push(most);
    }
    let Some(places) = places else { return cx.invalid("a pooling over no axes") };
    let mut b = cx.b();
    let outs = (0..n as i64).map(|i| 2 * i);
    let order: Vec<i64> = outs.clone().chain(outs.map(|i| i + 1)).collect();
    let shifted: Vec<i64> = [0, 1].into_iter().chain(order.iter().map(|a| a + 2)).collect();
    let windows = b.transpose(windows, &shifted)?;
    let places = b.transpose(places, &order)?;
    let spots = numel(wanted);
    let depth = numel(&extents);
    let flat = [shape[0].clone(), shape[1].clone(), spots.clone(), depth.clone()];
    let windows = b.reshape(windows, &flat)?;
    let places = b.reshape(places, &[one.clone(), one.clone(), spots, depth])?;
    let places = b.broadcast_to(places, &flat)?;
    let op = ArgReduce { kind: ArgKind::Max, axis: 3, keepdims: true, select_last: false };
    let best = b.emit(op, &[windows])?;
    let value = b.emit(GatherElements { axis: 3 }, &[windows, best])?;
    let place = b.emit(GatherElements { axis: 3 }, &[places, best])?;
    let mut dims: Vec<Dim> = shape[..2].to_vec();
    dims.extend(wanted.iter().cloned());
    Ok([b.reshape(value, &dims)?, b.reshape(place, &dims)?])
}

/// The positions of the elements of each window along an axis, as [out, most].
fn window_places(cx: &mut CallCx<'_>, size: &Dim, out: &Dim, most: &Dim) -> Result<ValueId, Stop> {
    let (start, end) = bounds(cx, size, out)?;
    let mut b = cx.b();
    let dims = vec![Dim::Known(1), most.clone()];
    let step = b.emit(Iota { dtype: DType::I64, dims, axis: 1 }, &[])?;
    let at = b.add(start, step)?;
    let one = b.scalar_int(DType::I64, 1)?;
    let last = b.sub(end, one)?;
    Ok(b.min(at, last)?)
}

/// `max_unpool2d`, `max_unpool3d`: elements go to their positions in a plane of zeros.
fn max_unpool(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["stride", "padding"]);
    let n = spatial_axes(cx);
    let (x, indices) = (cx.tensor("self")?, cx.tensor("indices")?);
    let sizes = cx.dims("output_size")?;
    let (x, added) = batched(cx, x, n)?;
    let (indices, _) = batched(cx, indices, n)?;
    let ty = cx.ty(x)?;
    let mut b = cx.b();
    let lines = [ty.shape[0].clone(), ty.shape[1].clone(), numel(&ty.shape[2..])];
    let (x, indices) = (b.reshape(x, &lines)?, b.reshape(indices, &lines)?);
    let zero = b.scalar(ty.dtype, 0.0)?;
    let plane = [ty.shape[0].clone(), ty.shape[1].clone(), numel(&sizes)];
    let empty = b.broadcast_to(zero, &plane)?;
    let op = ScatterElements { axis: 2, reduction: ScatterReduction::None };
    let y = b.emit(op, &[empty, indices, x])?;
    let mut dims = ty.shape[..2].to_vec();
    dims.extend(sizes);
    let y = b.reshape(y, &dims)?;
    Ok(unbatched(cx, y, added)?.into())
}
