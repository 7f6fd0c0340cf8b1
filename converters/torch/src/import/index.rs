//! Reading rules of what takes elements by their positions.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    Compress, Concat, Gather, GatherElements, GatherNd, Iota, Nonzero, OneHot, OpKind, ReduceKind,
    Select, Slice, Transpose,
};

use super::call::{CallCx, Stop};
use super::promote::Number;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_unsafe_index", &[OpKind::GatherNd], index),
    ImportRule::new("aten::_unsafe_masked_index", &[OpKind::GatherNd], masked_index),
    ImportRule::new("aten::argwhere", &[OpKind::Nonzero, OpKind::Transpose], nonzero),
    ImportRule::new("aten::gather", &[OpKind::GatherElements], gather),
    ImportRule::of("aten::index", "Tensor", &[OpKind::GatherNd], index),
    ImportRule::new("aten::index_select", &[OpKind::Gather], index_select),
    ImportRule::new("aten::masked_select", &[OpKind::Compress], masked_select),
    ImportRule::new("aten::nonzero", &[OpKind::Nonzero, OpKind::Transpose], nonzero),
    ImportRule::new("aten::nonzero_numpy", &[OpKind::Nonzero], nonzero_list),
    ImportRule::new("aten::nonzero_static", &[OpKind::Nonzero, OpKind::Concat], nonzero_static),
    ImportRule::new("aten::one_hot", &[OpKind::OneHot], one_hot),
    ImportRule::of("aten::repeat_interleave", "Tensor", &[OpKind::ScanReduce], repeat_indices),
    ImportRule::of("aten::repeat_interleave", "self_Tensor", &[OpKind::Gather], repeat_by_tensor),
    ImportRule::of("aten::repeat_interleave", "self_int", &[OpKind::Broadcast], repeat_by_int),
    ImportRule::new("aten::take", &[OpKind::Gather], take),
    ImportRule::new("aten::take_along_dim", &[OpKind::GatherElements], take_along_dim),
    ImportRule::of("aten::where", "", &[OpKind::Nonzero], nonzero_list),
];

/// Indexing by tensors: which axes are indexed by what, and where the result puts them.
pub(super) struct Indexing {
    /// The axes that are indexed, in order.
    pub axes: Vec<usize>,
    /// The index tuples: their common shape, then one entry per axis.
    pub tuples: ValueId,
    /// The rank of the common shape.
    pub rank: usize,
    /// How many axes of the result come before those of the common shape.
    pub before: usize,
}

impl Indexing {
    /// The axes of a tensor of this rank with the indexed ones in front.
    pub fn to_front(&self, rank: usize) -> Vec<i64> {
        let rest = (0..rank).filter(|a| !self.axes.contains(a));
        self.axes.iter().copied().chain(rest).map(|a| a as i64).collect()
    }
    /// The order of axes that puts a result with the common shape in front into place.
    pub fn new_places(&self, rank: usize) -> Vec<i64> {
        let (r, b) = (self.rank, self.before);
        let before = r..r + b;
        before.chain(0..r).chain(r + b..rank).map(|a| a as i64).collect()
    }
}

/// The permutation that undoes another.
pub(super) fn inverse_permutation(perm: &[i64]) -> Vec<i64> {
    let mut back = vec![0; perm.len()];
    for (i, &p) in perm.iter().enumerate() {
        if let Some(slot) = usize::try_from(p).ok().and_then(|p| back.get_mut(p)) {
            *slot = i as i64;
        }
    }
    back
}

/// Axes in another order; nothing if it is the order that they have.
pub(super) fn permuted(cx: &mut CallCx<'_>, x: ValueId, perm: &[i64]) -> Result<ValueId, Stop> {
    if perm.iter().enumerate().all(|(i, &p)| i as i64 == p) {
        return Ok(x);
    }
    cx.emit(Transpose { perm: perm.to_vec() }, &[x])
}

/// The positions where a mask is true: one vector per axis of the mask.
fn mask_positions(cx: &mut CallCx<'_>, mask: ValueId) -> Result<Vec<ValueId>, Stop> {
    let mask = cx.cast(mask, DType::Bool)?;
    let rank = cx.rank(mask)?;
    let found = cx.emit(Nonzero {}, &[mask])?;
    (0..rank).map(|axis| Ok(cx.b().index_axis(found, 0, axis as i64)?)).collect()
}

/// The argument `indices` for a tensor.
pub(super) fn indexing(cx: &mut CallCx<'_>, x: ValueId) -> Result<Indexing, Stop> {
    let rank = cx.rank(x)?;
    let mut given: Vec<Option<ValueId>> = Vec::new();
    for index in cx.opt_tensors("indices")? {
        match index {
            None => given.push(None),
            Some(index) if matches!(cx.dtype(index)?, DType::Bool | DType::U8) => {
                if cx.rank(index)? == 0 {
                    return cx.unsupported("a mask without axes");
                }
                given.extend(mask_positions(cx, index)?.into_iter().map(Some));
            }
            Some(index) => given.push(Some(cx.cast(index, DType::I64)?)),
        }
    }
    let axes: Vec<usize> = (0..given.len()).filter(|&a| given[a].is_some()).collect();
    if given.len() > rank {
        return cx.invalid("there are more indices than axes");
    }
    let (Some(&first), Some(&last)) = (axes.first(), axes.last()) else {
        return cx.invalid("there is no index");
    };
    let values: Vec<ValueId> = given.into_iter().flatten().collect();
    let values = cx.broadcast(&values)?;
    let common = cx.rank(values[0])?;
    let mut columns = Vec::with_capacity(values.len());
    for v in values {
        columns.push(cx.b().unsqueeze(v, &[common])?);
    }
    let tuples = cx.b().concat(&columns, common)?;
    let adjacent = last - first + 1 == axes.len();
    let before = if adjacent { first } else { 0 };
    Ok(Indexing { axes, tuples, rank: common, before })
}

/// `index`: by any mixture of positions, masks and whole axes.
fn index(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let how = indexing(cx, x)?;
    let rank = cx.rank(x)?;
    let front = permuted(cx, x, &how.to_front(rank))?;
    let taken = cx.emit(GatherNd { batch_dims: 0 }, &[front, how.tuples])?;
    let rank = cx.rank(taken)?;
    Ok(permuted(cx, taken, &how.new_places(rank))?.into())
}

/// `_unsafe_masked_index`: `index` where the mask holds, a number elsewhere; there the positions
/// may be out of range.
fn masked_index(cx: &mut CallCx<'_>) -> Outcome {
    let (x, mask) = (cx.tensor("self")?, cx.tensor("mask")?);
    let (fill, dtype) = (cx.number("fill")?, cx.dtype(x)?);
    let how = indexing(cx, x)?;
    let rank = cx.rank(x)?;
    let front = permuted(cx, x, &how.to_front(rank))?;
    let tuples = held(cx, how.tuples, front)?;
    let taken = cx.emit(GatherNd { batch_dims: 0 }, &[front, tuples])?;
    let rank = cx.rank(taken)?;
    let taken = permuted(cx, taken, &how.new_places(rank))?;
    let fill = cx.number_value(&fill, dtype)?;
    let mask = cx.cast(mask, DType::Bool)?;
    Ok(chosen(cx, mask, taken, fill)?.into())
}

/// Index tuples held to the sizes of the first axes of a tensor.
pub(super) fn held(cx: &mut CallCx<'_>, tuples: ValueId, front: ValueId) -> Result<ValueId, Stop> {
    let count = cx.shape(tuples)?.last().and_then(Dim::as_known).unwrap_or(0) as usize;
    let sizes: Vec<Dim> = cx.shape(front)?.iter().take(count).map(|d| d - 1).collect();
    let most = cx.b().dims_value(&sizes)?;
    let tuples = cx.b().min(tuples, most)?;
    let least: Vec<Dim> = sizes.iter().map(|d| -&(d + 1)).collect();
    let least = cx.b().dims_value(&least)?;
    Ok(cx.b().max(tuples, least)?)
}

/// `index_select`: slices along an axis at the positions of a vector.
fn index_select(cx: &mut CallCx<'_>) -> Outcome {
    let (x, index) = (cx.tensor("self")?, cx.tensor("index")?);
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank)?;
    let count = numel(&cx.shape(index)?);
    let index = cx.b().reshape(index, &[count])?;
    if rank == 0 {
        let one = cx.b().reshape(x, &[1.into()])?;
        let taken = cx.emit(Gather { axis: 0 }, &[one, index])?;
        return Ok(cx.b().reshape(taken, &[])?.into());
    }
    Ok(cx.emit(Gather { axis: axis as i64 }, &[x, index])?.into())
}

/// A tensor with at least one axis.
pub(super) fn with_axis(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    match cx.rank(x)? {
        0 => Ok(cx.b().reshape(x, &[1.into()])?),
        _ => Ok(x),
    }
}

/// Whether a tensor is known to be without elements.
pub(super) fn is_empty(cx: &CallCx<'_>, x: ValueId) -> Result<bool, Stop> {
    Ok(cx.shape(x)?.iter().any(|d| d.as_known() == Some(0)))
}

/// `gather`: one element per index along an axis.
fn gather(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["sparse_grad"]);
    let (x, index) = (cx.tensor("self")?, cx.tensor("index")?);
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank)?;
    Ok(gathered(cx, x, index, axis)?.into())
}

fn gathered(cx: &mut CallCx<'_>, x: ValueId, index: ValueId, axis: usize) -> Result<ValueId, Stop> {
    let shape = cx.shape(index)?;
    if is_empty(cx, index)? {
        let dtype = cx.dtype(x)?;
        return super::shape::filled(cx, &shape, &Number::Int(0.into()), dtype);
    }
    let (x, index) = (with_axis(cx, x)?, with_axis(cx, index)?);
    let taken = cx.emit(GatherElements { axis: axis as i64 }, &[x, index])?;
    Ok(cx.b().reshape(taken, &shape)?)
}

/// `take_along_dim`: `gather` of tensors that broadcast; without an axis, of all elements.
fn take_along_dim(cx: &mut CallCx<'_>) -> Outcome {
    let (x, index) = (cx.tensor("self")?, cx.tensor("indices")?);
    if !cx.given("dim")? {
        let (all, count) = (numel(&cx.shape(x)?), numel(&cx.shape(index)?));
        let (x, index) = (cx.b().reshape(x, &[all])?, cx.b().reshape(index, &[count])?);
        return Ok(gathered(cx, x, index, 0)?.into());
    }
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank)?;
    let (mut of_x, mut of_index) = (cx.shape(x)?, cx.shape(index)?);
    if of_x.len() != of_index.len() || axis >= of_x.len() {
        return cx.invalid("the ranks differ");
    }
    let (own, wanted) = (of_x[axis].clone(), of_index[axis].clone());
    of_x[axis] = 1.into();
    of_index[axis] = 1.into();
    let mut common = airconv_ir::dim::broadcast_shapes(&of_x, &of_index)
        .map_err(|e| Stop::Invalid(e.to_string()))?;
    common[axis] = own;
    let x = cx.broadcast_to(x, &common)?;
    common[axis] = wanted;
    let index = cx.broadcast_to(index, &common)?;
    Ok(gathered(cx, x, index, axis)?.into())
}

/// `take`: of all elements in their order.
fn take(cx: &mut CallCx<'_>) -> Outcome {
    let (x, index) = (cx.tensor("self")?, cx.tensor("index")?);
    let all = numel(&cx.shape(x)?);
    let flat = cx.b().reshape(x, &[all])?;
    if is_empty(cx, index)? {
        let (shape, dtype) = (cx.shape(index)?, cx.dtype(x)?);
        return Ok(super::shape::filled(cx, &shape, &Number::Int(0.into()), dtype)?.into());
    }
    Ok(cx.emit(Gather { axis: 0 }, &[flat, index])?.into())
}

/// `masked_select`: the elements where a mask is true, as a vector.
fn masked_select(cx: &mut CallCx<'_>) -> Outcome {
    let given = [cx.tensor("self")?, cx.tensor("mask")?];
    let both = cx.broadcast(&given)?;
    let count = numel(&cx.shape(both[0])?);
    let x = cx.b().reshape(both[0], &[count.clone()])?;
    let mask = cx.b().reshape(both[1], &[count])?;
    Ok(cx.emit(Compress { axis: Some(0) }, &[x, mask])?.into())
}

/// Index tuples of what is not zero, one row each.
fn nonzero_rows(cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
    let x = cx.tensor("self")?;
    let found = cx.emit(Nonzero {}, &[x])?;
    cx.emit(Transpose { perm: vec![1, 0] }, &[found])
}

/// `nonzero`: index tuples of what is not zero.
fn nonzero(cx: &mut CallCx<'_>) -> Outcome {
    Ok(nonzero_rows(cx)?.into())
}

/// The same as one vector per axis.
fn nonzero_list(cx: &mut CallCx<'_>) -> Outcome {
    let name = if cx.has("self") { "self" } else { "condition" };
    let x = cx.tensor(name)?;
    let x = with_axis(cx, x)?;
    let rank = cx.rank(x)?;
    let found = cx.emit(Nonzero {}, &[x])?;
    let rows: Result<Vec<_>, Stop> =
        (0..rank).map(|axis| Ok(cx.b().index_axis(found, 0, axis as i64)?)).collect();
    Ok(rows?.into())
}

/// `nonzero_static`: as many rows as are asked for, filled up at the end.
fn nonzero_static(cx: &mut CallCx<'_>) -> Outcome {
    let (size, fill) = (cx.dim("size")?, cx.number("fill_value")?);
    let rows = nonzero_rows(cx)?;
    let x = cx.tensor("self")?;
    let dims = [size.clone(), Dim::from(cx.rank(x)? as i64)];
    let filler = super::shape::filled(cx, &dims, &fill, DType::I64)?;
    let all = cx.emit(Concat { axis: 0 }, &[rows, filler])?;
    let cut = cx.b().slice_axis(all, 0, 0.into(), size)?;
    Ok(cx.b().reshape(cut, &dims)?.into())
}

/// `one_hot` vectors along a new last axis.
fn one_hot(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let depth = match cx.dim("num_classes")? {
        Dim::Known(-1) => {
            let axes: Vec<usize> = (0..rank).collect();
            let greatest = cx.b().reduce(ReduceKind::Max, x, &axes, false)?;
            let one = cx.b().scalar_int(DType::I64, 1)?;
            let count = cx.b().add(greatest, one)?;
            cx.imp.dim_of_value(count)?
        }
        given => given,
    };
    let values = cx.b().ints(&[0, 1])?;
    Ok(cx.emit(OneHot { depth, axis: rank as i64 }, &[x, values])?.into())
}

// Repeating.

/// `repeat_interleave` by one number: every slice so often.
fn repeat_by_int(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["output_size"]);
    let (x, repeats) = (cx.tensor("self")?, cx.dim("repeats")?);
    let (x, axis) = repeated_axis(cx, x)?;
    let shape = cx.shape(x)?;
    let wide = cx.b().unsqueeze(x, &[axis + 1])?;
    let mut dims = cx.shape(wide)?;
    dims[axis + 1] = repeats.clone();
    let wide = cx.broadcast_to(wide, &dims)?;
    let mut dims = shape;
    dims[axis] = &dims[axis] * &repeats;
    Ok(cx.b().reshape(wide, &dims)?.into())
}

/// The tensor and the axis of a repetition; without an axis all elements in their order.
fn repeated_axis(cx: &mut CallCx<'_>, x: ValueId) -> Result<(ValueId, usize), Stop> {
    if cx.given("dim")? {
        let rank = cx.rank(x)?;
        let axis = cx.axis("dim", rank)?;
        return Ok((with_axis(cx, x)?, axis));
    }
    let count = numel(&cx.shape(x)?);
    Ok((cx.b().reshape(x, &[count])?, 0))
}

/// Which slice stands at each position of the result of a repetition.
fn repetition(cx: &mut CallCx<'_>, repeats: ValueId) -> Result<ValueId, Stop> {
    let ends = super::scan::scanned(cx, ReduceKind::Sum, repeats, 0)?;
    let total = match cx.opt_dim("output_size")? {
        Some(total) => total,
        None => {
            let sum = cx.b().reduce(ReduceKind::Sum, repeats, &[0], false)?;
            cx.imp.dim_of_value(sum)?
        }
    };
    let ends = cx.cast(ends, DType::I64)?;
    let positions = cx.b().iota(DType::I64, total)?;
    super::order::positions_in(cx, ends, positions, true)
}

/// `repeat_interleave` of the numbers from 0 on.
fn repeat_indices(cx: &mut CallCx<'_>) -> Outcome {
    let repeats = cx.tensor("repeats")?;
    let dtype = cx.dtype(repeats)?;
    let at = repetition(cx, repeats)?;
    Ok(cx.cast(at, dtype)?.into())
}

/// `repeat_interleave` by a number for every slice.
fn repeat_by_tensor(cx: &mut CallCx<'_>) -> Outcome {
    let (x, repeats) = (cx.tensor("self")?, cx.tensor("repeats")?);
    let (x, axis) = repeated_axis(cx, x)?;
    let size = cx.shape(x)?[axis].clone();
    let repeats = with_axis(cx, repeats)?;
    let repeats = cx.broadcast_to(repeats, &[size])?;
    let at = repetition(cx, repeats)?;
    Ok(cx.emit(Gather { axis: axis as i64 }, &[x, at])?.into())
}

/// 0, 1, 2 ... along an axis of a shape.
pub(super) fn counting(cx: &mut CallCx<'_>, dims: &[Dim], axis: usize) -> Result<ValueId, Stop> {
    cx.emit(Iota { dtype: DType::I64, dims: dims.to_vec(), axis: axis as i64 }, &[])
}

/// A part [start, end) of an axis whose size is then known to be `size`.
pub(super) fn cut(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
    [start, end]: [Dim; 2],
    step: i64,
) -> Result<ValueId, Stop> {
    let op =
        Slice { axes: vec![axis as i64], starts: vec![start], ends: vec![end], steps: vec![step] };
    cx.emit(op, &[x])
}

/// Elements where a condition holds, others elsewhere; all broadcast.
pub(super) fn chosen(
    cx: &mut CallCx<'_>,
    condition: ValueId,
    yes: ValueId,
    no: ValueId,
) -> Result<ValueId, Stop> {
    let all = cx.broadcast(&[condition, yes, no])?;
    cx.emit(Select {}, &all)
}
