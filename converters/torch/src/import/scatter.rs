//! Reading rules of what puts elements at positions.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    Concat, Div, IntRounding, OpKind, ReduceKind, ScatterElements, ScatterNd, ScatterReduction,
};

use super::call::{CallCx, Stop};
use super::index::{chosen, cut, indexing, inverse_permutation, is_empty, permuted, with_axis};
use super::linear::scaled;
use super::promote::{Category, Number};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_index_put_impl", &[OpKind::ScatterNd], index_put),
    ImportRule::new("aten::_unsafe_index_put", &[OpKind::ScatterNd], index_put),
    ImportRule::new("aten::_unsafe_masked_index_put_accumulate", &[OpKind::ScatterNd], masked_put),
    ImportRule::new("aten::as_strided_scatter", &[OpKind::ScatterNd], as_strided_scatter),
    ImportRule::new("aten::diagonal_scatter", &[OpKind::ScatterNd], diagonal_scatter),
    ImportRule::new("aten::index_add", &[OpKind::ScatterNd], index_add),
    ImportRule::new("aten::index_copy", &[OpKind::ScatterNd], index_copy),
    ImportRule::of("aten::index_fill", "int_Scalar", &[OpKind::ScatterNd], index_fill),
    ImportRule::of("aten::index_fill", "int_Tensor", &[OpKind::ScatterNd], index_fill),
    ImportRule::new("aten::index_put", &[OpKind::ScatterNd], index_put),
    ImportRule::new("aten::index_reduce", &[OpKind::ScatterNd], index_reduce),
    ImportRule::new("aten::masked_fill", &[OpKind::Select], masked_fill),
    ImportRule::new("aten::masked_scatter", &[OpKind::ScanReduce, OpKind::Select], masked_scatter),
    ImportRule::new("aten::put", &[OpKind::ScatterNd], put),
    ImportRule::new("aten::scatter", &[OpKind::ScatterElements], scatter),
    ImportRule::new("aten::scatter_add", &[OpKind::ScatterElements], scatter_add),
    ImportRule::new("aten::scatter_reduce", &[OpKind::ScatterElements], scatter_reduce),
    ImportRule::new("aten::select_scatter", &[OpKind::Concat], select_scatter),
    ImportRule::new("aten::slice_scatter", &[OpKind::Concat, OpKind::ScatterNd], slice_scatter),
];

/// A scatter by index tuples.
fn scattered(
    cx: &mut CallCx<'_>,
    x: ValueId,
    tuples: ValueId,
    updates: ValueId,
    reduction: ScatterReduction,
) -> Result<ValueId, Stop> {
    cx.emit(ScatterNd { reduction }, &[x, tuples, updates])
}

/// `index_put`: values at positions, or added to what is there.
fn index_put(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["unsafe"]);
    let (x, values) = (cx.tensor("self")?, cx.tensor("values")?);
    let accumulate = cx.bool("accumulate")?;
    let dtype = cx.dtype(x)?;
    let values = cx.cast(values, dtype)?;
    if !accumulate && let Some(y) = filled_by_mask(cx, x, values)? {
        return Ok(y.into());
    }
    let how = indexing(cx, x)?;
    let rank = cx.rank(x)?;
    let perm = how.to_front(rank);
    let front = permuted(cx, x, &perm)?;
    // The shape of what is replaced, first with the common axes in front, then in place.
    let tuples = cx.shape(how.tuples)?;
    let rest = &cx.shape(front)?[how.axes.len()..];
    let dims: Vec<Dim> = tuples[..how.rank].iter().chain(rest).cloned().collect();
    let place = how.new_places(dims.len());
    let placed: Vec<Dim> = place.iter().filter_map(|&a| dims.get(a as usize).cloned()).collect();
    let values = cx.broadcast_to(values, &placed)?;
    let updates = permuted(cx, values, &inverse_permutation(&place))?;
    let reduction = if accumulate { ScatterReduction::Add } else { ScatterReduction::None };
    let y = scattered(cx, front, how.tuples, updates, reduction)?;
    Ok(permuted(cx, y, &inverse_permutation(&perm))?.into())
}

/// `_unsafe_masked_index_put_accumulate`: values added at positions where the mask holds.
fn masked_put(cx: &mut CallCx<'_>) -> Outcome {
    let (x, mask, values) = (cx.tensor("self")?, cx.tensor("mask")?, cx.tensor("values")?);
    let dtype = cx.dtype(x)?;
    let zero = cx.b().scalar(dtype, 0.0)?;
    let mask = cx.cast(mask, DType::Bool)?;
    let values = cx.cast(values, dtype)?;
    let values = chosen(cx, mask, values, zero)?;
    let how = indexing(cx, x)?;
    let perm = how.to_front(cx.rank(x)?);
    let front = permuted(cx, x, &perm)?;
    let tuples = super::index::held(cx, how.tuples, front)?;
    let place = how.new_places(cx.rank(values)?);
    let updates = permuted(cx, values, &inverse_permutation(&place))?;
    let y = scattered(cx, front, tuples, updates, ScatterReduction::Add)?;
    Ok(permuted(cx, y, &inverse_permutation(&perm))?.into())
}

/// A single mask and a single value: no positions have to be found.
fn filled_by_mask(
    cx: &mut CallCx<'_>,
    x: ValueId,
    values: ValueId,
) -> Result<Option<ValueId>, Stop> {
    let indices = cx.opt_tensors("indices")?;
    let [Some(mask)] = indices.as_slice() else { return Ok(None) };
    let one = numel(&cx.shape(values)?).as_known() == Some(1);
    if cx.dtype(*mask)? != DType::Bool || !one {
        return Ok(None);
    }
    let value = cx.b().reshape(values, &[])?;
    let mut dims = cx.shape(*mask)?;
    let rank = cx.rank(x)?;
    dims.resize(rank, 1.into());
    let mask = cx.b().reshape(*mask, &dims)?;
    Ok(Some(chosen(cx, mask, value, x)?))
}

/// A tensor with an axis in front, and the order that undoes it.
fn axis_in_front(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
) -> Result<(ValueId, Vec<i64>), Stop> {
    let rank = cx.rank(x)?;
    let mut perm = vec![axis as i64];
    perm.extend((0..rank).filter(|&a| a != axis).map(|a| a as i64));
    Ok((permuted(cx, x, &perm)?, inverse_permutation(&perm)))
}

/// What the `index_...` operators have in common: slices of `source` go to the positions of a
/// vector along an axis.
fn along_axis(
    cx: &mut CallCx<'_>,
    x: ValueId,
    source: Source,
    reduction: ScatterReduction,
) -> Result<ValueId, Stop> {
    let shape = cx.shape(x)?;
    let axis = cx.axis("dim", shape.len())?;
    let index = cx.tensor("index")?;
    let count = numel(&cx.shape(index)?);
    let dtype = cx.dtype(x)?;
    let x = with_axis(cx, x)?;
    let (front, back) = axis_in_front(cx, x, axis)?;
    let mut dims = cx.shape(front)?;
    dims[0] = count.clone();
    let updates = match source {
        Source::Slices(source) => {
            let source = cx.cast(source, dtype)?;
            let rank = cx.rank(x)?;
            // A source without axes is a single slice.
            let source = match cx.rank(source)? {
                r if r == rank => source,
                _ => cx.b().reshape(source, &vec![1.into(); rank])?,
            };
            axis_in_front(cx, source, axis)?.0
        }
        Source::Fill(value) => value,
    };
    let updates = cx.broadcast_to(updates, &dims)?;
    let tuples = cx.b().reshape(index, &[count, 1.into()])?;
    let y = scattered(cx, front, tuples, updates, reduction)?;
    let y = permuted(cx, y, &back)?;
    Ok(cx.b().reshape(y, &shape)?)
}

enum Source {
    /// A tensor that has as many slices as there are positions.
    Slices(ValueId),
    /// One value for all.
    Fill(ValueId),
}

/// `index_add`: alpha times the source is added.
fn index_add(cx: &mut CallCx<'_>) -> Outcome {
    let (x, source) = (cx.tensor("self")?, cx.tensor("source")?);
    let alpha = cx.number("alpha")?;
    let source = scaled(cx, source, &alpha)?;
    Ok(along_axis(cx, x, Source::Slices(source), ScatterReduction::Add)?.into())
}

/// `index_copy`.
fn index_copy(cx: &mut CallCx<'_>) -> Outcome {
    let (x, source) = (cx.tensor("self")?, cx.tensor("source")?);
    Ok(along_axis(cx, x, Source::Slices(source), ScatterReduction::None)?.into())
}

/// `index_fill`: one value at the positions.
fn index_fill(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let value = cx.operand("value")?;
    let dtype = cx.dtype(x)?;
    let value = cx.operand_value(&value, dtype)?;
    Ok(along_axis(cx, x, Source::Fill(value), ScatterReduction::None)?.into())
}

/// How a named reduction combines.
struct Combination {
    reduction: ScatterReduction,
    mean: bool,
}

fn combination(cx: &CallCx<'_>, name: &str) -> Result<Combination, Stop> {
    let (reduction, mean) = match name {
        "" => (ScatterReduction::None, false),
        "sum" | "add" => (ScatterReduction::Add, false),
        "prod" | "multiply" => (ScatterReduction::Mul, false),
        "mean" => (ScatterReduction::Add, true),
        "amax" => (ScatterReduction::Max, false),
        "amin" => (ScatterReduction::Min, false),
        other => return cx.invalid(format!("the reduction is `{other}`")),
    };
    Ok(Combination { reduction, mean })
}

/// The number that a reduction begins with where self does not count.
fn neutral(cx: &CallCx<'_>, x: ValueId, reduction: ScatterReduction) -> Result<Number, Stop> {
    let dtype = cx.dtype(x)?;
    let bits = dtype.bits();
    let (low, high) = match (Category::of(dtype), dtype.is_signed_int()) {
        (Category::Bool, _) => (0, 1),
        (Category::Int, true) => match 1i64.checked_shl(bits - 1) {
            Some(edge) => (edge.wrapping_neg(), edge.wrapping_sub(1)),
            None => (i64::MIN, i64::MAX),
        },
        (Category::Int, false) => (0, 1i64.checked_shl(bits).map_or(-1, |e| e - 1)),
        _ => {
            return Ok(match reduction {
                ScatterReduction::Mul => Number::Int(1.into()),
                ScatterReduction::Max => Number::Float(f64::NEG_INFINITY),
                ScatterReduction::Min => Number::Float(f64::INFINITY),
                _ => Number::Int(0.into()),
            });
        }
    };
    Ok(Number::Int(Dim::Known(match reduction {
        ScatterReduction::Mul => 1,
        ScatterReduction::Max => low,
        ScatterReduction::Min => high,
        _ => 0,
    })))
}

/// The mean from a sum and how many were summed; nothing was where that is 0.
fn mean_of(cx: &mut CallCx<'_>, sum: ValueId, count: ValueId) -> Result<ValueId, Stop> {
    let dtype = cx.dtype(sum)?;
    let one = cx.b().scalar(dtype, 1.0)?;
    let count = cx.b().max(count, one)?;
    let rounding = IntRounding::Floor;
    cx.emit(Div { rounding }, &[sum, count])
}

/// `index_reduce`.
fn index_reduce(cx: &mut CallCx<'_>) -> Outcome {
    let (x, source) = (cx.tensor("self")?, cx.tensor("source")?);
    let name = cx.string("reduce")?;
    let how = combination(cx, &name)?;
    let with_self = cx.bool("include_self")?;
    let dtype = cx.dtype(x)?;
    let mut start = x;
    if !with_self {
        let number = neutral(cx, x, how.reduction)?;
        let value = cx.number_value(&number, dtype)?;
        start = along_axis(cx, x, Source::Fill(value), ScatterReduction::None)?;
    }
    let sum = along_axis(cx, start, Source::Slices(source), how.reduction)?;
    if !how.mean {
        return Ok(sum.into());
    }
    let mut count = cx.b().full_like(x, 1.0)?;
    let one = cx.b().scalar(dtype, 1.0)?;
    if !with_self {
        let zero = cx.b().scalar(dtype, 0.0)?;
        count = along_axis(cx, count, Source::Fill(zero), ScatterReduction::None)?;
    }
    let count = along_axis(cx, count, Source::Fill(one), ScatterReduction::Add)?;
    Ok(mean_of(cx, sum, count)?.into())
}

/// A scatter along an axis, one element per index.
fn scatter_along(
    cx: &mut CallCx<'_>,
    x: ValueId,
    updates: ValueId,
    reduction: ScatterReduction,
) -> Result<ValueId, Stop> {
    let index = cx.tensor("index")?;
    let shape = cx.shape(x)?;
    let axis = cx.axis("dim", shape.len())?;
    if is_empty(cx, index)? {
        return Ok(x);
    }
    let dtype = cx.dtype(x)?;
    let updates = cx.cast(updates, dtype)?;
    let (x, index, mut updates) =
        (with_axis(cx, x)?, with_axis(cx, index)?, with_axis(cx, updates)?);
    // Of a larger source the first elements count.
    let (wanted, given) = (cx.shape(index)?, cx.shape(updates)?);
    if given.len() != wanted.len() {
        return cx.invalid("the source has another rank than the index");
    }
    for a in (0..wanted.len()).filter(|&a| given[a] != wanted[a]) {
        updates = cut(cx, updates, a, [0.into(), wanted[a].clone()], 1)?;
    }
    let updates = cx.b().reshape(updates, &wanted)?;
    let y = cx.emit(ScatterElements { axis: axis as i64, reduction }, &[x, index, updates])?;
    Ok(cx.b().reshape(y, &shape)?)
}

/// The updates of a scatter: a tensor, or one number for every index.
fn updates(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    if cx.has("src") {
        return cx.tensor("src");
    }
    let value = cx.number("value")?;
    let index = cx.tensor("index")?;
    let (shape, dtype) = (cx.shape(index)?, cx.dtype(x)?);
    super::shape::filled(cx, &shape, &value, dtype)
}

/// `scatter`, also with a reduction.
fn scatter(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let source = updates(cx, x)?;
    let name = if cx.has("reduce") { cx.string("reduce")? } else { "".into() };
    let how = combination(cx, &name)?;
    Ok(scatter_along(cx, x, source, how.reduction)?.into())
}

/// `scatter_add`.
fn scatter_add(cx: &mut CallCx<'_>) -> Outcome {
    let (x, source) = (cx.tensor("self")?, cx.tensor("src")?);
    Ok(scatter_along(cx, x, source, ScatterReduction::Add)?.into())
}

/// `scatter_reduce`: sum, product, mean, greatest or least, with or without self.
fn scatter_reduce(cx: &mut CallCx<'_>) -> Outcome {
    let (x, source) = (cx.tensor("self")?, cx.tensor("src")?);
    let name = cx.string("reduce")?;
    let how = combination(cx, &name)?;
    let with_self = cx.bool("include_self")?;
    let (dtype, index) = (cx.dtype(x)?, cx.tensor("index")?);
    let dims = cx.shape(index)?;
    let fill =
        |cx: &mut CallCx<'_>, number: &Number| super::shape::filled(cx, &dims, number, dtype);
    let mut start = x;
    if !with_self {
        let number = neutral(cx, x, how.reduction)?;
        let value = fill(cx, &number)?;
        start = scatter_along(cx, x, value, ScatterReduction::None)?;
    }
    let sum = scatter_along(cx, start, source, how.reduction)?;
    if !how.mean {
        return Ok(sum.into());
    }
    let mut count = cx.b().full_like(x, 1.0)?;
    if !with_self {
        let zeros = fill(cx, &Number::Int(0.into()))?;
        count = scatter_along(cx, count, zeros, ScatterReduction::None)?;
    }
    let ones = fill(cx, &Number::Int(1.into()))?;
    let count = scatter_along(cx, count, ones, ScatterReduction::Add)?;
    Ok(mean_of(cx, sum, count)?.into())
}

/// `put`: values at positions among all elements.
fn put(cx: &mut CallCx<'_>) -> Outcome {
    let (x, index, source) = (cx.tensor("self")?, cx.tensor("index")?, cx.tensor("source")?);
    let reduction = match cx.bool("accumulate")? {
        true => ScatterReduction::Add,
        false => ScatterReduction::None,
    };
    let shape = cx.shape(x)?;
    let count = numel(&cx.shape(index)?);
    let flat = cx.b().reshape(x, &[numel(&shape)])?;
    let tuples = cx.b().reshape(index, &[count.clone(), 1.into()])?;
    let updates = cx.b().reshape(source, &[count])?;
    let y = scattered(cx, flat, tuples, updates, reduction)?;
    Ok(cx.b().reshape(y, &shape)?.into())
}

/// `masked_fill`: a number where the mask is true.
fn masked_fill(cx: &mut CallCx<'_>) -> Outcome {
    let (x, mask) = (cx.tensor("self")?, cx.tensor("mask")?);
    let value = cx.operand("value")?;
    let dtype = cx.dtype(x)?;
    let value = cx.operand_value(&value, dtype)?;
    let mask = cx.cast(mask, DType::Bool)?;
    Ok(chosen(cx, mask, value, x)?.into())
}

/// `masked_scatter`: the elements of the source in their order, where the mask is true.
fn masked_scatter(cx: &mut CallCx<'_>) -> Outcome {
    let (x, mask, source) = (cx.tensor("self")?, cx.tensor("mask")?, cx.tensor("source")?);
    let both = cx.broadcast(&[x, mask])?;
    if is_empty(cx, source)? {
        return Ok(both[0].into());
    }
    let shape = cx.shape(both[0])?;
    let count = numel(&shape);
    let flat = cx.b().reshape(both[1], &[count])?;
    let flat = cx.cast(flat, DType::I64)?;
    let before = super::scan::scanned(cx, ReduceKind::Sum, flat, 0)?;
    let zero = cx.b().scalar_int(DType::I64, 0)?;
    let one = cx.b().scalar_int(DType::I64, 1)?;
    let at = cx.b().sub(before, one)?;
    let at = cx.b().max(at, zero)?;
    // Where the mask is false the position does not matter, and may be one too many.
    let all = numel(&cx.shape(source)?);
    let last = cx.b().dim_scalar(&(&all - 1))?;
    let at = cx.b().min(at, last)?;
    let source = cx.b().reshape(source, &[all])?;
    let taken = cx.emit(airconv_ir::op::Gather { axis: 0 }, &[source, at])?;
    let taken = cx.b().reshape(taken, &shape)?;
    let mask = cx.cast(both[1], DType::Bool)?;
    Ok(chosen(cx, mask, taken, both[0])?.into())
}

// Parts replaced.

/// A tensor with the part that `take` takes of it replaced: the part is taken of the positions
/// of all elements.
pub(super) fn replaced(
    cx: &mut CallCx<'_>,
    x: ValueId,
    part: ValueId,
    take: impl FnOnce(&mut CallCx<'_>, ValueId) -> Result<ValueId, Stop>,
) -> Result<ValueId, Stop> {
    let shape = cx.shape(x)?;
    let count = numel(&shape);
    let positions = cx.b().iota(DType::I64, count.clone())?;
    let positions = cx.b().reshape(positions, &shape)?;
    let taken = take(cx, positions)?;
    let dims = cx.shape(taken)?;
    let part = cx.broadcast_to(part, &dims)?;
    let taken_count = numel(&dims);
    let tuples = cx.b().reshape(taken, &[taken_count.clone(), 1.into()])?;
    let updates = cx.b().reshape(part, &[taken_count])?;
    let flat = cx.b().reshape(x, &[count])?;
    let y = scattered(cx, flat, tuples, updates, ScatterReduction::None)?;
    Ok(cx.b().reshape(y, &shape)?)
}

/// The operand and the new part, in the operand's dtype.
fn whole_and_part(cx: &mut CallCx<'_>) -> Result<(ValueId, ValueId), Stop> {
    let (x, part) = (cx.tensor("self")?, cx.tensor("src")?);
    let dtype = cx.dtype(x)?;
    Ok((x, cx.cast(part, dtype)?))
}

/// `slice_scatter`: a slice along an axis replaced.
fn slice_scatter(cx: &mut CallCx<'_>) -> Outcome {
    let (x, part) = whole_and_part(cx)?;
    let shape = cx.shape(x)?;
    let axis = cx.axis("dim", shape.len())?;
    let start = super::shape::bound(cx.opt_dim("start")?, 0);
    let end = super::shape::bound(cx.opt_dim("end")?, i64::MAX);
    let step = cx.int("step")?;
    if step != 1 {
        return Ok(replaced(cx, x, part, |cx, p| cut(cx, p, axis, [start, end], step))?.into());
    }
    // Before, new, after; the ends are where the slice is cut.
    let probe = cut(cx, x, axis, [start.clone(), end], 1)?;
    let dims = cx.shape(probe)?;
    let part = cx.broadcast_to(part, &dims)?;
    let before = cut(cx, x, axis, [0.into(), start.clone()], 1)?;
    let begun = cx.shape(before)?[axis].clone();
    let after = cut(cx, x, axis, [&begun + &dims[axis], i64::MAX.into()], 1)?;
    let y = cx.emit(Concat { axis: axis as i64 }, &[before, part, after])?;
    Ok(cx.b().reshape(y, &shape)?.into())
}

/// `select_scatter`: one index of an axis replaced.
fn select_scatter(cx: &mut CallCx<'_>) -> Outcome {
    let (x, part) = whole_and_part(cx)?;
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank)?;
    let index = cx.dim("index")?;
    Ok(replaced(cx, x, part, |cx, p| super::shape::selected(cx, p, axis, &index))?.into())
}

/// `diagonal_scatter`: a diagonal replaced.
fn diagonal_scatter(cx: &mut CallCx<'_>) -> Outcome {
    let (x, part) = whole_and_part(cx)?;
    Ok(replaced(cx, x, part, super::diagonal::diagonal_of)?.into())
}

/// `as_strided_scatter`: elements at regular distances replaced.
fn as_strided_scatter(cx: &mut CallCx<'_>) -> Outcome {
    let (x, part) = whole_and_part(cx)?;
    Ok(replaced(cx, x, part, super::layout::strided)?.into())
}
