//! Reading rules of what depends on the order of elements.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    Compress, Equal, GatherElements, Not, OpKind, ReduceKind, Select, TopK, Unique,
};

use super::arg::{Arg, Returns};
use super::call::{CallCx, Stop};
use super::formula::{number, value, when};
use super::index::{counting, cut, with_axis};
use super::promote::{Category, Operand, result_type};
use super::reduce::ordered;
use super::rules::{ImportRule, Outcome};
use super::scan::neighbours;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_unique", &[OpKind::Unique], unique),
    ImportRule::new("aten::_unique2", &[OpKind::Unique], unique),
    ImportRule::of("aten::argsort", "", &[OpKind::TopK], argsort),
    ImportRule::of("aten::argsort", "stable", &[OpKind::TopK], argsort),
    ImportRule::new("aten::bincount", &[OpKind::Equal, OpKind::Reduce], bincount),
    ImportRule::new("aten::bucketize", &[OpKind::LessOrEqual, OpKind::Reduce], bucketize),
    ImportRule::new("aten::histc", &[OpKind::Equal, OpKind::Reduce], histc),
    ImportRule::of("aten::kthvalue", "", &[OpKind::TopK], kthvalue),
    ImportRule::of("aten::median", "", &[OpKind::TopK], median),
    ImportRule::of("aten::median", "dim", &[OpKind::TopK], median_dim),
    ImportRule::of("aten::mode", "", &[OpKind::Equal, OpKind::Reduce], mode),
    ImportRule::new("aten::msort", &[OpKind::TopK], msort),
    ImportRule::of("aten::nanmedian", "", &[OpKind::TopK], nanmedian),
    ImportRule::of("aten::nanmedian", "dim", &[OpKind::TopK], nanmedian_dim),
    ImportRule::new("aten::nanquantile", &[OpKind::TopK], nanquantile),
    ImportRule::new("aten::quantile", &[OpKind::TopK], quantile),
    ImportRule::new("aten::histogram", &[OpKind::LessOrEqual, OpKind::Reduce], histogram),
    ImportRule::new("aten::searchsorted", &[OpKind::LessOrEqual, OpKind::Reduce], searchsorted),
    ImportRule::of("aten::sort", "", &[OpKind::TopK], sort),
    ImportRule::of("aten::sort", "stable", &[OpKind::TopK], sort),
    ImportRule::new("aten::topk", &[OpKind::TopK], topk),
    ImportRule::new("aten::unique_consecutive", &[OpKind::Compress], unique_consecutive),
    ImportRule::new("aten::unique_dim", &[OpKind::Unique], unique_dim),
];

/// The first elements along an axis in order, with their positions; NaN is the greatest.
pub(super) fn ranked(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
    k: Dim,
    largest: bool,
) -> Result<[ValueId; 2], Stop> {
    let dtype = cx.dtype(x)?;
    let scalar = cx.rank(x)? == 0;
    let x = ordered(cx, x)?;
    let x = with_axis(cx, x)?;
    let op = TopK { k, axis: axis as i64, largest, sorted: true };
    let both = cx.emit_all(op, &[Some(x)])?;
    let (mut values, mut at) = (cx.cast(both[0], dtype)?, both[1]);
    if scalar {
        (values, at) = (cx.b().reshape(values, &[])?, cx.b().reshape(at, &[])?);
    }
    Ok([values, at])
}

/// All elements along an axis in order, equal ones as they were, with their positions.
pub(super) fn in_order(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
    descending: bool,
) -> Result<[ValueId; 2], Stop> {
    let size = cx.shape(x)?.get(axis).cloned().unwrap_or(Dim::Known(1));
    ranked(cx, x, axis, size, descending)
}

fn sorted_self(cx: &mut CallCx<'_>) -> Result<[ValueId; 2], Stop> {
    cx.ignore(&["stable"]);
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let (axis, descending) = (cx.axis("dim", rank)?, cx.bool("descending")?);
    in_order(cx, x, axis, descending)
}

/// `sort`, always stable.
fn sort(cx: &mut CallCx<'_>) -> Outcome {
    Ok(sorted_self(cx)?.into())
}

/// `argsort`, always stable.
fn argsort(cx: &mut CallCx<'_>) -> Outcome {
    Ok(sorted_self(cx)?[1].into())
}

/// `msort`: along the first axis.
fn msort(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    Ok(in_order(cx, x, 0, false)?[0].into())
}

/// `topk`.
fn topk(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["sorted"]);
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let (axis, k) = (cx.axis("dim", rank)?, cx.dim("k")?);
    let largest = cx.bool("largest")?;
    Ok(ranked(cx, x, axis, k, largest)?.into())
}

/// The element at a place of an axis, which stays with size 1 or goes.
fn at_place(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
    place: Dim,
    keep: bool,
) -> Result<ValueId, Stop> {
    if cx.rank(x)? == 0 {
        return Ok(x);
    }
    let end = &place + 1;
    let one = cut(cx, x, axis, [place, end], 1)?;
    Ok(if keep { one } else { cx.b().squeeze(one, &[axis])? })
}

/// `kthvalue`: the k-th least element.
fn kthvalue(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let (axis, k, keep) = (cx.axis("dim", rank)?, cx.dim("k")?, cx.bool("keepdim")?);
    let [values, at] = ranked(cx, x, axis, k.clone(), false)?;
    let place = &k - 1;
    let values = at_place(cx, values, axis, place.clone(), keep)?;
    Ok([values, at_place(cx, at, axis, place, keep)?].into())
}

/// All elements as a vector.
fn flat(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    let count = numel(&cx.shape(x)?);
    Ok(cx.b().reshape(x, &[count])?)
}

/// The lower median along an axis and its position; NaN where there is one.
fn lower_median(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
    keep: bool,
) -> Result<[ValueId; 2], Stop> {
    let [values, at] = in_order(cx, x, axis, false)?;
    let Some(size) = cx.shape(x)?.get(axis).cloned() else { return Ok([values, at]) };
    let middle = Dim::floor_div(&(&size - 1), &2.into());
    let mut found =
        [at_place(cx, values, axis, middle.clone(), true)?, at_place(cx, at, axis, middle, true)?];
    if cx.category(x)? == Category::Float {
        let last = &size - 1;
        let top = at_place(cx, values, axis, last, true)?;
        let nan = cx.b().is_nan(top)?;
        let each = cx.b().is_nan(x)?;
        let first = super::reduce::position(cx, airconv_ir::op::ArgKind::Max, each, axis, true)?;
        found = [
            cx.emit(Select {}, &[nan, top, found[0]])?,
            cx.emit(Select {}, &[nan, first, found[1]])?,
        ];
    }
    dropped(cx, found, axis, keep)
}

fn dropped(
    cx: &mut CallCx<'_>,
    found: [ValueId; 2],
    axis: usize,
    keep: bool,
) -> Result<[ValueId; 2], Stop> {
    Ok(match keep {
        true => found,
        false => [cx.b().squeeze(found[0], &[axis])?, cx.b().squeeze(found[1], &[axis])?],
    })
}

/// The lower median of what is not NaN.
fn lower_nanmedian(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
    keep: bool,
) -> Result<[ValueId; 2], Stop> {
    if cx.category(x)? != Category::Float {
        return lower_median(cx, x, axis, keep);
    }
    let [values, at] = in_order(cx, x, axis, false)?;
    if cx.rank(x)? == 0 {
        return Ok([values, at]);
    }
    // NaN comes last; the place of the median depends on how many there are.
    let nan = cx.b().is_nan(x)?;
    let present = cx.emit(Not {}, &[nan])?;
    let present = cx.cast(present, DType::F64)?;
    let count = cx.b().reduce(ReduceKind::Sum, present, &[axis], true)?;
    let place = ((value(count) - 1.0) * 0.5).floor().max(0.0);
    let place = cx.formula(&place, DType::F64)?;
    let place = cx.cast(place, DType::I64)?;
    let op = GatherElements { axis: axis as i64 };
    let found = [cx.emit(op.clone(), &[values, place])?, cx.emit(op, &[at, place])?];
    dropped(cx, found, axis, keep)
}

type Median = fn(&mut CallCx<'_>, ValueId, usize, bool) -> Result<[ValueId; 2], Stop>;

fn median_of_all(cx: &mut CallCx<'_>, median: Median) -> Outcome {
    let x = cx.tensor("self")?;
    let x = flat(cx, x)?;
    Ok(median(cx, x, 0, false)?[0].into())
}

fn median_along(cx: &mut CallCx<'_>, median: Median) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let (axis, keep) = (cx.axis("dim", rank)?, cx.bool("keepdim")?);
    Ok(median(cx, x, axis, keep)?.into())
}

/// `median` of all elements: the lower one of two.
fn median(cx: &mut CallCx<'_>) -> Outcome {
    median_of_all(cx, lower_median)
}

/// `median` along an axis, with positions.
fn median_dim(cx: &mut CallCx<'_>) -> Outcome {
    median_along(cx, lower_median)
}

/// `nanmedian` of all elements.
fn nanmedian(cx: &mut CallCx<'_>) -> Outcome {
    median_of_all(cx, lower_nanmedian)
}

/// `nanmedian` along an axis, with positions.
fn nanmedian_dim(cx: &mut CallCx<'_>) -> Outcome {
    median_along(cx, lower_nanmedian)
}

/// `mode`: the most frequent element, of equally frequent ones the least, with the last
/// position where it stands.
fn mode(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (dtype, shape) = (cx.dtype(x)?, cx.shape(x)?);
    let (axis, keep) = (cx.axis("dim", shape.len())?, cx.bool("keepdim")?);
    if shape.is_empty() {
        let zero = cx.b().scalar_int(DType::I64, 0)?;
        return Ok([x, zero].into());
    }
    let x = ordered(cx, x)?;
    // Each element against all others of the axis.
    let one = cx.b().unsqueeze(x, &[axis + 1])?;
    let other = cx.b().unsqueeze(x, &[axis])?;
    let same = cx.b().equal(one, other)?;
    let same = cx.cast(same, DType::I64)?;
    let count = cx.b().reduce(ReduceKind::Sum, same, &[axis + 1], false)?;
    let most = cx.b().reduce(ReduceKind::Max, count, &[axis], true)?;
    let frequent = cx.b().equal(count, most)?;
    let high = cx.b().reduce(ReduceKind::Max, x, &[axis], true)?;
    let candidates = cx.b().select(frequent, x, high)?;
    let least = cx.b().reduce(ReduceKind::Min, candidates, &[axis], true)?;
    let found = cx.b().equal(x, least)?;
    let at = counting(cx, &shape, axis)?;
    let zero = cx.b().full_like(at, 0.0)?;
    let at = cx.emit(Select {}, &[found, at, zero])?;
    let at = cx.b().reduce(ReduceKind::Max, at, &[axis], true)?;
    let least = cx.cast(least, dtype)?;
    Ok(dropped(cx, [least, at], axis, keep)?.into())
}

// Quantiles.

/// `quantile`.
fn quantile(cx: &mut CallCx<'_>) -> Outcome {
    quantiles(cx, false)
}

/// `nanquantile`: of what is not NaN.
fn nanquantile(cx: &mut CallCx<'_>) -> Outcome {
    quantiles(cx, true)
}

fn quantiles(cx: &mut CallCx<'_>, without_nan: bool) -> Outcome {
    let (x, q) = (cx.tensor("self")?, cx.tensor("q")?);
    let (dtype, given) = (cx.dtype(x)?, cx.rank(x)?);
    let keep = cx.bool("keepdim")?;
    let mode = cx.string("interpolation")?;
    let (x, axis) = match cx.given("dim")? {
        true => (x, cx.axis("dim", given)?),
        false => (flat(cx, x)?, 0),
    };
    let x = with_axis(cx, x)?;
    let several = cx.rank(q)? == 1;
    // The axis goes last, where the places of the quantiles are counted.
    let rank = cx.rank(x)?;
    let mut perm: Vec<i64> = (0..rank as i64).filter(|&a| a != axis as i64).collect();
    perm.push(axis as i64);
    let x = super::index::permuted(cx, x, &perm)?;
    let last = rank - 1;
    let [values, _] = in_order(cx, x, last, false)?;
    let nan = cx.b().is_nan(x)?;
    let count = match without_nan {
        true => {
            let present = cx.emit(Not {}, &[nan])?;
            let present = cx.cast(present, DType::F64)?;
            cx.b().reduce(ReduceKind::Sum, present, &[last], true)?
        }
        false => {
            let size = cx.shape(x)?.last().cloned().unwrap_or(Dim::Known(1));
            let size = cx.b().dim_scalar(&size)?;
            cx.cast(size, DType::F64)?
        }
    };
    let q64 = cx.cast(q, DType::F64)?;
    let places = numel(&cx.shape(q)?);
    let q64 = cx.b().reshape(q64, &[places.clone()])?;
    let place = cx.formula(&(value(q64) * (value(count) - 1.0)).max(0.0), DType::F64)?;
    let mut dims = cx.shape(x)?;
    dims[last] = places;
    let place = cx.broadcast_to(place, &dims)?;
    let lower = value(place).floor();
    let (low, high, share) = match &*mode {
        "linear" => (lower.clone(), value(place).ceil(), value(place) - &lower),
        "lower" => (lower.clone(), lower, number(0.0)),
        "higher" => (value(place).ceil(), value(place).ceil(), number(0.0)),
        "nearest" => (value(place).round(), value(place).round(), number(0.0)),
        "midpoint" => (lower.clone(), value(place).ceil(), number(0.5)),
        other => return cx.invalid(format!("the interpolation is `{other}`")),
    };
    let mut ends = Vec::new();
    for place in [low, high] {
        let place = cx.formula(&place, DType::F64)?;
        let place = cx.broadcast_to(place, &dims)?;
        let place = cx.cast(place, DType::I64)?;
        let taken = cx.emit(GatherElements { axis: last as i64 }, &[values, place])?;
        ends.push(value(cx.cast(taken, DType::F64)?));
    }
    let blended = &ends[0] + (&ends[1] - &ends[0]) * &share;
    let exact = ends[0].eq(&ends[1]).or(share.eq(0.0));
    let mut y = cx.formula(&when(&exact, &ends[0], blended), DType::F64)?;
    if !without_nan {
        let any = cx.b().reduce(ReduceKind::Or, nan, &[last], true)?;
        y = cx.formula(&when(&value(any), f64::NAN, value(y)), DType::F64)?;
    }
    let y = cx.cast(y, dtype)?;
    placed_quantiles(cx, y, axis, given, several, keep)
}

/// Quantiles lie along the last axis; they go in front, or away when there is one alone, and
/// the axis that they were taken of comes back with size 1 if it stays.
fn placed_quantiles(
    cx: &mut CallCx<'_>,
    y: ValueId,
    axis: usize,
    given: usize,
    several: bool,
    keep: bool,
) -> Outcome {
    let rank = cx.rank(y)?;
    let mut perm = vec![rank as i64 - 1];
    perm.extend(0..rank as i64 - 1);
    let y = super::index::permuted(cx, y, &perm)?;
    let mut dims = cx.shape(y)?.to_vec();
    if keep && cx.given("dim")? {
        dims.insert(axis + 1, 1.into());
        dims.truncate(given.max(1) + 1);
    } else if keep {
        dims.extend(vec![Dim::Known(1); given]);
    }
    if !several {
        dims.remove(0);
    }
    Ok(cx.b().reshape(y, &dims)?.into())
}

// Places in sorted sequences.

/// For every element how many of a sorted sequence along its last axis are below it, or not
/// above it for `right`. NaN is above everything.
pub(super) fn positions_in(
    cx: &mut CallCx<'_>,
    sequence: ValueId,
    x: ValueId,
    right: bool,
) -> Result<ValueId, Stop> {
    let axes = cx.rank(sequence)?;
    let rank = cx.rank(x)?;
    let wide = cx.b().unsqueeze(x, &[rank])?;
    let sequence = match axes {
        1 => sequence,
        _ => cx.b().unsqueeze(sequence, &[axes - 1])?,
    };
    let beyond = match right {
        true => cx.b().less(wide, sequence)?,
        false => cx.b().less_or_equal(wide, sequence)?,
    };
    let counted = cx.emit(Not {}, &[beyond])?;
    let counted = cx.cast(counted, DType::I64)?;
    Ok(cx.b().reduce(ReduceKind::Sum, counted, &[rank], false)?)
}

/// The dtype of positions.
fn position_dtype(cx: &mut CallCx<'_>) -> Result<DType, Stop> {
    Ok(if cx.bool("out_int32")? { DType::I32 } else { DType::I64 })
}

fn places(cx: &mut CallCx<'_>, sequence: ValueId, right: bool) -> Outcome {
    let x = cx.operand("self")?;
    let operands = [Operand::Tensor(sequence), x];
    let dtype = result_type(cx, &operands)?;
    let sequence = cx.cast(sequence, dtype)?;
    let x = cx.operand_value(&operands[1], dtype)?;
    let (sequence, x) = (ordered(cx, sequence)?, ordered(cx, x)?);
    let at = positions_in(cx, sequence, x, right)?;
    let dtype = position_dtype(cx)?;
    Ok(cx.cast(at, dtype)?.into())
}

/// `searchsorted`.
fn searchsorted(cx: &mut CallCx<'_>) -> Outcome {
    let mut sequence = cx.tensor("sorted_sequence")?;
    let right = cx.bool("right")? || &*cx.string("side")? == "right";
    if let Some(order) = cx.opt_tensor("sorter")? {
        let axis = cx.rank(sequence)?.saturating_sub(1) as i64;
        sequence = cx.emit(GatherElements { axis }, &[sequence, order])?;
    }
    places(cx, sequence, right)
}

/// `bucketize`.
fn bucketize(cx: &mut CallCx<'_>) -> Outcome {
    let sequence = cx.tensor("boundaries")?;
    let right = cx.bool("right")?;
    places(cx, sequence, right)
}

// Counting.

/// `bincount`: how often each number from 0 on occurs, or the sum of the weights.
fn bincount(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let least = cx.int("minlength")?;
    let one = cx.b().scalar_int(DType::I64, 1)?;
    let x = cx.cast(x, DType::I64)?;
    let count = match super::index::is_empty(cx, x)? {
        true => Dim::Known(least),
        false => {
            let top = cx.b().reduce(ReduceKind::Max, x, &[0], false)?;
            let next = cx.b().add(top, one)?;
            let least = cx.b().scalar_int(DType::I64, least)?;
            let next = cx.b().max(next, least)?;
            cx.imp.dim_of_value(next)?
        }
    };
    let bins = cx.b().iota(DType::I64, count)?;
    let bins = cx.b().unsqueeze(bins, &[1])?;
    let hits = cx.b().equal(bins, x)?;
    let counted = match cx.opt_tensor("weights")? {
        None => cx.cast(hits, DType::I64)?,
        Some(weights) => {
            let dtype = match cx.dtype(weights)? {
                DType::F32 => DType::F32,
                _ => DType::F64,
            };
            let weights = cx.cast(weights, dtype)?;
            let zero = cx.b().scalar(dtype, 0.0)?;
            cx.b().select(hits, weights, zero)?
        }
    };
    Ok(cx.b().reduce(ReduceKind::Sum, counted, &[1], false)?.into())
}

/// `histc`: how many elements fall into each of some equal intervals.
fn histc(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (bins, low, high) = (cx.int("bins")?, cx.float("min")?, cx.float("max")?);
    let dtype = cx.dtype(x)?;
    let x = flat(cx, x)?;
    let x = cx.cast(x, super::formula::work_dtype(dtype))?;
    let work = cx.dtype(x)?;
    let (low, high) = match low == high && low == 0.0 {
        true if super::index::is_empty(cx, x)? => (number(0.0), number(1.0)),
        true => {
            let low = cx.b().reduce(ReduceKind::Min, x, &[0], false)?;
            let high = cx.b().reduce(ReduceKind::Max, x, &[0], false)?;
            (value(low), value(high))
        }
        false => (number(low), number(high)),
    };
    let same = low.eq(&high);
    let (low, high) = (when(&same, &low - 1.0, &low), when(&same, &high + 1.0, &high));
    let v = value(x);
    let place = (&v - &low) * (bins as f64) / (&high - &low);
    let place = place.truncated().min(bins as f64 - 1.0);
    let outside = v.lt(&low).or(v.gt(&high)).or(v.is_nan());
    let place = cx.formula(&when(&outside, -1.0, place), work)?;
    let numbers = cx.b().iota(work, bins.into())?;
    let numbers = cx.b().unsqueeze(numbers, &[1])?;
    let hits = cx.b().equal(numbers, place)?;
    let hits = cx.cast(hits, work)?;
    let counts = cx.b().reduce(ReduceKind::Sum, hits, &[1], false)?;
    Ok(cx.cast(counts, dtype)?.into())
}

/// The edges of equal intervals over what is given, or over the range of the elements.
fn equal_edges(cx: &mut CallCx<'_>, x: ValueId, bins: i64) -> Result<ValueId, Stop> {
    let dtype = cx.dtype(x)?;
    let (low, high) = match cx.floats("range")?.as_slice() {
        &[low, high] => (number(low), number(high)),
        _ if super::index::is_empty(cx, x)? => (number(0.0), number(1.0)),
        _ => {
            let low = cx.b().reduce(ReduceKind::Min, x, &[0], false)?;
            let high = cx.b().reduce(ReduceKind::Max, x, &[0], false)?;
            (value(low), value(high))
        }
    };
    let same = low.eq(&high);
    let (low, high) = (when(&same, &low - 0.5, &low), when(&same, &high + 0.5, &high));
    let at = cx.b().iota(dtype, (bins + 1).into())?;
    let step = (&high - &low) / bins as f64;
    let half = value(at).lt(bins as f64 / 2.0);
    let from_end = &high - &step * (number(bins as f64) - value(at));
    cx.formula(&when(&half, &low + &step * value(at), from_end), dtype)
}

/// `histogram`: how much of the elements lies between neighbouring edges, the last one included.
fn histogram(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let dtype = cx.dtype(x)?;
    let x = flat(cx, x)?;
    let edges = match cx.schema.overload.as_str() {
        "bins_tensor" => cx.tensor("bins")?,
        _ => {
            let bins = cx.int("bins")?;
            equal_edges(cx, x, bins)?
        }
    };
    let bins = &cx.size(edges, 0)? - 1;
    let last = cut(cx, edges, 0, [(-1).into(), i64::MAX.into()], 1)?;
    let below = positions_in(cx, edges, x, true)?;
    let below = cx.cast(below, dtype)?;
    let count = cx.b().dim_scalar(&bins)?;
    let count = cx.cast(count, dtype)?;
    let place = value(below) - 1.0;
    let at_end = value(x).eq(value(last));
    let place = when(&at_end, value(count) - 1.0, place);
    let place = cx.formula(&place, dtype)?;
    let numbers = cx.b().iota(dtype, bins)?;
    let numbers = cx.b().unsqueeze(numbers, &[1])?;
    let hits = cx.b().equal(numbers, place)?;
    let weight = match cx.opt_tensor("weight")? {
        Some(weight) => value(flat(cx, weight)?),
        None => number(1.0),
    };
    let hits = cx.formula(&when(&value(hits), weight, 0.0), dtype)?;
    let mut sums = cx.b().reduce(ReduceKind::Sum, hits, &[1], false)?;
    if cx.bool("density")? {
        let total = cx.b().reduce(ReduceKind::Sum, sums, &[0], true)?;
        let [later, earlier] = neighbours(cx, edges, 0)?;
        let density = value(sums) / ((value(later) - value(earlier)) * value(total));
        sums = cx.formula(&density, dtype)?;
    }
    Ok([sums, edges].into())
}

// Distinct elements.

/// The result at a position; what is not asked for has no elements.
fn if_asked(cx: &mut CallCx<'_>, at: usize, flag: &str, values: ValueId) -> Result<Arg, Stop> {
    if !cx.has(flag) || cx.bool(flag)? {
        return Ok(values.into());
    }
    if !cx.wants(at) {
        return Ok(Arg::None);
    }
    let none = super::promote::Number::Int(0.into());
    Ok(super::shape::filled(cx, &[0.into()], &none, DType::I64)?.into())
}

/// `_unique2`: the distinct elements, where each element is among them, and how often.
fn unique(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["sorted"]);
    let x = cx.tensor("self")?;
    let shape = cx.shape(x)?;
    let x = flat(cx, x)?;
    distinct(cx, x, None, Some(&shape))
}

/// `unique_dim`: the distinct slices along an axis.
fn unique_dim(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["sorted"]);
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank)? as i64;
    distinct(cx, x, Some(axis), None)
}

fn distinct(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: Option<i64>,
    inverse: Option<&[Dim]>,
) -> Outcome {
    let dtype = cx.dtype(x)?;
    let x = ordered(cx, x)?;
    let all = cx.emit_all(Unique { axis, sorted: true }, &[Some(x)])?;
    let [values, _, places, counts] = all.as_slice() else {
        return cx.invalid("the results of `unique` are missing");
    };
    let values = cx.cast(*values, dtype)?;
    let places = match inverse {
        Some(shape) => cx.b().reshape(*places, shape)?,
        None => *places,
    };
    let places = if_asked(cx, 1, "return_inverse", places)?;
    let counts = if_asked(cx, 2, "return_counts", *counts)?;
    let mut out: Vec<Arg> = vec![values.into(), places, counts];
    out.truncate(cx.schema.returns.len());
    Ok(Returns(out))
}

/// `unique_consecutive`: of equal neighbours one stays.
fn unique_consecutive(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let shape = cx.shape(x)?;
    let (x, axis) = match cx.given("dim")? {
        true => (x, cx.axis("dim", shape.len())?),
        false => (flat(cx, x)?, 0),
    };
    let dims = cx.shape(x)?;
    let Some(size) = dims.get(axis).cloned() else { return cx.unsupported("a scalar") };
    if size.as_known() == Some(0) {
        return cx.unsupported("an axis without elements");
    }
    let [later, earlier] = neighbours(cx, x, axis)?;
    let same = cx.emit(Equal {}, &[later, earlier])?;
    let others: Vec<usize> = (0..dims.len()).filter(|&a| a != axis).collect();
    let same = super::reduce::reduced(cx, ReduceKind::And, same, &others, false)?;
    let differs = cx.emit(Not {}, &[same])?;
    let yes = cx.number_value(&super::promote::Number::Bool(true), DType::Bool)?;
    let yes = cx.b().reshape(yes, &[1.into()])?;
    let first = cx.b().concat(&[yes, differs], 0)?;
    let first = cx.b().reshape(first, &[size.clone()])?;
    let values = cx.emit(Compress { axis: Some(axis as i64) }, &[x, first])?;
    let steps = cx.cast(first, DType::I64)?;
    let place = super::scan::scanned(cx, ReduceKind::Sum, steps, 0)?;
    let one = cx.b().scalar_int(DType::I64, 1)?;
    let place = cx.b().sub(place, one)?;
    // Where runs begin, and where the next one does.
    let at = cx.b().iota(DType::I64, size.clone())?;
    let begins = cx.emit(Compress { axis: Some(0) }, &[at, first])?;
    let runs = numel(&cx.shape(begins)?);
    let numbers = cx.b().iota(DType::I64, runs.clone())?;
    let hits = {
        let numbers = cx.b().unsqueeze(numbers, &[1])?;
        cx.b().equal(numbers, place)?
    };
    let hits = cx.cast(hits, DType::I64)?;
    let counts = cx.b().reduce(ReduceKind::Sum, hits, &[1], false)?;
    let inverse = match cx.given("dim")? {
        true => place,
        false => cx.b().reshape(place, &shape)?,
    };
    let inverse = if_asked(cx, 1, "return_inverse", inverse)?;
    let counts = if_asked(cx, 2, "return_counts", counts)?;
    Ok(Returns(vec![values.into(), inverse, counts]))
}
