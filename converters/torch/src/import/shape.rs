//! Reading rules of what moves, repeats, joins and makes elements.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    Broadcast, Iota, Op, OpKind, Slice, Split, Squeeze, Tile, Transpose, Unsqueeze,
};

use super::DEFAULT_DTYPE;
use super::arg::Arg;
use super::call::{CallCx, Stop};
use super::promote::{Category, Number, Operand, result_type};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_to_copy", &[OpKind::Cast], to_copy),
    ImportRule::new("aten::_unsafe_view", &[OpKind::Reshape], view),
    ImportRule::new("aten::alias", &[], same),
    ImportRule::new("aten::arange", &[OpKind::Iota], arange),
    ImportRule::new("aten::cat", &[OpKind::Concat], cat),
    ImportRule::new("aten::chunk", &[OpKind::Split], chunk),
    ImportRule::new("aten::clone", &[], same),
    ImportRule::new("aten::contiguous", &[], same),
    ImportRule::new("aten::copy", &[OpKind::Cast], copy),
    ImportRule::new("aten::detach", &[], same),
    ImportRule::new("aten::expand", &[OpKind::Broadcast], expand),
    ImportRule::new("aten::flatten", &[OpKind::Reshape], flatten),
    ImportRule::new("aten::full", &[OpKind::Broadcast], full),
    ImportRule::new("aten::full_like", &[OpKind::Broadcast], full_like),
    ImportRule::new("aten::lift_fresh", &[], same),
    ImportRule::new("aten::lift_fresh_copy", &[], same),
    ImportRule::new("aten::narrow", &[OpKind::Slice], narrow),
    ImportRule::new("aten::ones", &[OpKind::Broadcast], ones),
    ImportRule::new("aten::permute", &[OpKind::Transpose], permute),
    ImportRule::new("aten::repeat", &[OpKind::Tile], repeat),
    ImportRule::new("aten::reshape", &[OpKind::Reshape], reshape),
    ImportRule::new("aten::scalar_tensor", &[], scalar_tensor),
    ImportRule::new("aten::select", &[OpKind::Slice, OpKind::Squeeze], select),
    ImportRule::new("aten::slice", &[OpKind::Slice], slice),
    ImportRule::new("aten::split", &[OpKind::Split], split),
    ImportRule::new("aten::split_with_sizes", &[OpKind::Split], split_with_sizes),
    ImportRule::new("aten::squeeze", &[OpKind::Squeeze], squeeze),
    ImportRule::new("aten::stack", &[OpKind::Unsqueeze, OpKind::Concat], stack),
    ImportRule::new("aten::t", &[OpKind::Transpose], t),
    ImportRule::new("aten::to", &[OpKind::Cast], to),
    ImportRule::new("aten::transpose", &[OpKind::Transpose], transpose),
    ImportRule::new("aten::unbind", &[OpKind::Slice, OpKind::Squeeze], unbind),
    ImportRule::new("aten::unflatten", &[OpKind::Reshape], unflatten),
    ImportRule::new("aten::unsqueeze", &[OpKind::Unsqueeze], unsqueeze),
    ImportRule::of("aten::view", "", &[OpKind::Reshape], view),
    ImportRule::new("aten::zeros", &[OpKind::Broadcast], zeros),
];

/// What is the identity on values: `clone`, `contiguous`, `detach` and the like.
fn same(cx: &mut CallCx<'_>) -> Outcome {
    Ok(cx.tensor("self")?.into())
}

/// `copy`: the elements of `src` in the dtype and shape of `self`.
fn copy(cx: &mut CallCx<'_>) -> Outcome {
    let (into, from) = (cx.tensor("self")?, cx.tensor("src")?);
    let dtype = cx.dtype(into)?;
    let from = cx.cast(from, dtype)?;
    let shape = cx.shape(into)?;
    Ok(cx.broadcast_to(from, &shape)?.into())
}

/// `_to_copy`: another dtype, if one is given.
fn to_copy(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    match cx.opt_dtype("dtype")? {
        Some(dtype) => Ok(cx.cast(x, dtype)?.into()),
        None => Ok(x.into()),
    }
}

/// `to`: the dtype that is given, or that of another tensor.
fn to(cx: &mut CallCx<'_>) -> Outcome {
    if cx.has("other") {
        let (x, other) = (cx.tensor("self")?, cx.tensor("other")?);
        let dtype = cx.dtype(other)?;
        return Ok(cx.cast(x, dtype)?.into());
    }
    to_copy(cx)
}

// Views.

/// The sizes of a reshape: one of them may be -1.
pub(super) fn resolved_sizes(cx: &CallCx<'_>, x: ValueId, sizes: &[Dim]) -> Result<Vec<Dim>, Stop> {
    let open = sizes.iter().position(|d| d.as_known() == Some(-1));
    let mut out = sizes.to_vec();
    if let Some(at) = open {
        let rest = numel(
            &sizes
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != at)
                .map(|(_, d)| d.clone())
                .collect::<Vec<_>>(),
        );
        let whole = numel(&cx.shape(x)?);
        if rest.as_known() == Some(0) {
            return cx.invalid("a size of -1 beside a size of 0");
        }
        out[at] = Dim::floor_div(&whole, &rest);
    }
    Ok(out)
}

/// A reshape; nothing if the shape is that already.
pub(super) fn reshaped(cx: &mut CallCx<'_>, x: ValueId, dims: &[Dim]) -> Result<ValueId, Stop> {
    Ok(cx.b().reshape(x, dims)?)
}

/// `view` to sizes.
fn view(cx: &mut CallCx<'_>) -> Outcome {
    let (x, sizes) = (cx.tensor("self")?, cx.dims("size")?);
    let dims = resolved_sizes(cx, x, &sizes)?;
    Ok(reshaped(cx, x, &dims)?.into())
}

/// `reshape`.
fn reshape(cx: &mut CallCx<'_>) -> Outcome {
    let (x, sizes) = (cx.tensor("self")?, cx.dims("shape")?);
    let dims = resolved_sizes(cx, x, &sizes)?;
    Ok(reshaped(cx, x, &dims)?.into())
}

/// `flatten`: axes `start_dim` to `end_dim` become one.
fn flatten(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let shape = cx.shape(x)?;
    let (first, last) = (cx.axis("start_dim", shape.len())?, cx.axis("end_dim", shape.len())?);
    if shape.is_empty() {
        return Ok(reshaped(cx, x, &[1.into()])?.into());
    }
    if first > last {
        return cx.invalid("the first axis is behind the last one");
    }
    let mut dims = shape[..first].to_vec();
    dims.push(numel(&shape[first..=last]));
    dims.extend_from_slice(&shape[last + 1..]);
    Ok(reshaped(cx, x, &dims)?.into())
}

/// `unflatten`: one axis becomes several.
fn unflatten(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let shape = cx.shape(x)?;
    let axis = cx.axis("dim", shape.len())?;
    cx.size(x, axis)?;
    let mut sizes = cx.dims("sizes")?;
    if let Some(open) = sizes.iter().position(|d| d.as_known() == Some(-1)) {
        sizes[open] = 1.into();
        sizes[open] = Dim::floor_div(&cx.size(x, axis)?, &numel(&sizes));
    }
    let mut dims = shape[..axis].to_vec();
    dims.extend(sizes);
    dims.extend_from_slice(&shape[axis + 1..]);
    Ok(reshaped(cx, x, &dims)?.into())
}

/// `expand`: -1 keeps a size.
pub(super) fn expand(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["implicit"]);
    let (x, sizes) = (cx.tensor("self")?, cx.dims("size")?);
    let shape = cx.shape(x)?;
    let new = sizes.len().checked_sub(shape.len());
    let Some(new) = new else { return cx.invalid("there are fewer sizes than axes") };
    let dims: Vec<Dim> = sizes
        .iter()
        .enumerate()
        .map(|(i, d)| match (d.as_known(), i.checked_sub(new)) {
            (Some(-1), Some(own)) => shape[own].clone(),
            _ => d.clone(),
        })
        .collect();
    if dims.as_slice() == shape.as_slice() {
        return Ok(x.into());
    }
    Ok(cx.emit(Broadcast { dims, implicit: false }, &[x])?.into())
}

/// `permute`.
fn permute(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let axes = cx.axes("dims", rank)?;
    transposed(cx, x, &axes)
}

/// `transpose`: two axes change places.
fn transpose(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let (a, b) = (cx.axis("dim0", rank)?, cx.axis("dim1", rank)?);
    let mut perm: Vec<usize> = (0..rank).collect();
    if rank > 0 {
        perm.swap(a, b);
    }
    transposed(cx, x, &perm)
}

/// `t`: the transpose of a matrix; vectors stay.
fn t(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    match cx.rank(x)? {
        0 | 1 => Ok(x.into()),
        2 => transposed(cx, x, &[1, 0]),
        _ => cx.invalid("a matrix is needed"),
    }
}

fn transposed(cx: &mut CallCx<'_>, x: ValueId, perm: &[usize]) -> Outcome {
    if perm.len() != cx.rank(x)? {
        return cx.invalid("the permutation does not name every axis");
    }
    if perm.iter().enumerate().all(|(i, &p)| i == p) {
        return Ok(x.into());
    }
    let perm = perm.iter().map(|&p| p as i64).collect();
    Ok(cx.emit(Transpose { perm }, &[x])?.into())
}

/// `unsqueeze`.
fn unsqueeze(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank + 1)?;
    Ok(cx.emit(Unsqueeze { axes: vec![axis as i64] }, &[x])?.into())
}

/// `squeeze`: of the axes that are named, or of all, those of size 1 go.
fn squeeze(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let shape = cx.shape(x)?;
    let named = match cx.has("dim") {
        true => cx.axes("dim", shape.len())?,
        false => (0..shape.len()).collect(),
    };
    let is_one = |&a: &usize| shape.get(a).is_some_and(|d| d.as_known() == Some(1));
    let axes: Vec<i64> = named.into_iter().filter(is_one).map(|a| a as i64).collect();
    if axes.is_empty() {
        return Ok(x.into());
    }
    Ok(cx.emit(Squeeze { axes }, &[x])?.into())
}

/// A start or end of a slice: what is not given is an end of the axis.
pub(super) fn bound(dim: Option<Dim>, default: i64) -> Dim {
    dim.unwrap_or(Dim::Known(default))
}

/// The op of a slice along one axis.
pub(super) fn slice_op(axis: usize, start: Dim, end: Dim, step: i64) -> Op {
    Slice { axes: vec![axis as i64], starts: vec![start], ends: vec![end], steps: vec![step] }
        .into()
}

/// `slice`: start, end and step along an axis.
fn slice(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank)?;
    let start = bound(cx.opt_dim("start")?, 0);
    let end = bound(cx.opt_dim("end")?, i64::MAX);
    let step = cx.int("step")?;
    if start.as_known() == Some(0) && end.as_known() == Some(i64::MAX) && step == 1 {
        return Ok(x.into());
    }
    Ok(cx.emit(slice_op(axis, start, end, step), &[x])?.into())
}

/// `narrow`: `length` elements from `start` on.
pub(super) fn narrow(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank)?;
    let start = cx.dim("start")?;
    let start = from_front(&start, &cx.size(x, axis)?);
    let end = &start + &cx.dim("length")?;
    Ok(cx.emit(slice_op(axis, start, end, 1), &[x])?.into())
}

/// A position that may count from the end, from the front.
fn from_front(position: &Dim, size: &Dim) -> Dim {
    match position.as_known() {
        Some(n) if n < 0 => size + position,
        _ => position.clone(),
    }
}

/// `select`: one index of an axis, which goes.
fn select(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    if rank == 0 {
        return cx.invalid("a scalar has no axis to select from");
    }
    let axis = cx.axis("dim", rank)?;
    let index = cx.dim("index")?;
    Ok(selected(cx, x, axis, &index)?.into())
}

/// One index of an axis, which goes.
pub(super) fn selected(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
    index: &Dim,
) -> Result<ValueId, Stop> {
    let start = from_front(index, &cx.size(x, axis)?);
    let end = &start + &Dim::Known(1);
    let one = cx.emit(slice_op(axis, start, end, 1), &[x])?;
    cx.emit(Squeeze { axes: vec![axis as i64] }, &[one])
}

/// `unbind`: an axis falls apart into a list.
fn unbind(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let shape = cx.shape(x)?;
    let axis = cx.axis("dim", shape.len())?;
    let Some(count) = shape.get(axis).and_then(Dim::as_known) else {
        return cx.unsupported("an axis of unknown size falls apart into a list");
    };
    check_parts(cx, count)?;
    let parts: Result<Vec<_>, Stop> =
        (0..count).map(|i| selected(cx, x, axis, &Dim::Known(i))).collect();
    Ok(parts?.into())
}

/// Parts along an axis of these sizes.
pub(super) fn parts(cx: &mut CallCx<'_>, x: ValueId, axis: usize, sizes: Vec<Dim>) -> Outcome {
    if sizes.iter().any(|d| d.as_known().is_some_and(|n| n < 0)) {
        return cx.invalid("a part of a negative size");
    }
    let whole = cx.size(x, axis)?;
    let sum = sizes.iter().fold(Dim::Known(0), |sum, size| &sum + size);
    if sum.proves_ne(&whole, &|s| cx.imp.function().symbol_range(s)) {
        let f = cx.imp.function();
        let (sum, whole) = (f.dim_text(&sum), f.dim_text(&whole));
        return cx.invalid(format!("parts of {sum} elements of an axis of {whole}"));
    }
    let op = Split { axis: axis as i64, sizes: sizes.clone() };
    let types = {
        let ty = cx.ty(x)?;
        sizes
            .iter()
            .map(|size| {
                let mut t = ty.clone();
                t.shape[axis] = size.clone();
                airconv_ir::types::Type::Tensor(t)
            })
            .collect::<Vec<_>>()
    };
    let present = vec![true; types.len()];
    let mut b = cx.b();
    let node = b.typed_node(op.into(), &[Some(x)], types, &present);
    let values: Vec<ValueId> = b.f().nodes[node].outputs().collect();
    Ok(values.into())
}

/// The most parts that a tensor falls into.
const MAX_PARTS: i64 = 1 << 16;

fn check_parts(cx: &CallCx<'_>, count: i64) -> Result<(), Stop> {
    match count > MAX_PARTS {
        true => cx.unsupported(format!("{count} parts, more than {MAX_PARTS}")),
        false => Ok(()),
    }
}

/// Sizes of equal parts; the last one may be smaller.
fn even_sizes(cx: &CallCx<'_>, whole: &Dim, part: &Dim) -> Result<Vec<Dim>, Stop> {
    match (whole.as_known(), part.as_known()) {
        (Some(whole), Some(part)) if part > 0 => {
            let count = whole.div_euclid(part) + i64::from(whole % part != 0);
            check_parts(cx, count)?;
            let size = |i: i64| Dim::Known(part.min(whole - i * part));
            Ok((0..count.max(1)).map(size).collect())
        }
        (Some(0), Some(0)) => Ok(vec![Dim::Known(0)]),
        (_, Some(part)) if part <= 0 => cx.invalid(format!("parts of {part} elements")),
        _ if whole == part => Ok(vec![whole.clone()]),
        _ => {
            let count = Dim::floor_div(whole, part);
            match count.as_known() {
                Some(count) if Dim::mul(&Dim::Known(count), part) == *whole => {
                    check_parts(cx, count)?;
                    Ok(vec![part.clone(); count as usize])
                }
                _ => cx.unsupported("the number of parts depends on a size"),
            }
        }
    }
}

/// `split` into parts of one size, or of several.
fn split(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let shape = cx.shape(x)?;
    let axis = cx.axis("dim", shape.len())?;
    let sizes = if cx.has("split_sizes") {
        cx.dims("split_sizes")?
    } else if matches!(cx.arg("split_size")?, Arg::List(_)) {
        cx.dims("split_size")?
    } else {
        let part = cx.dim("split_size")?;
        even_sizes(cx, &cx.size(x, axis)?, &part)?
    };
    parts(cx, x, axis, sizes)
}

/// `split_with_sizes`.
fn split_with_sizes(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank)?;
    let sizes = cx.dims("split_sizes")?;
    parts(cx, x, axis, sizes)
}

/// `chunk`: at most so many parts of equal size.
fn chunk(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let shape = cx.shape(x)?;
    let axis = cx.axis("dim", shape.len())?;
    let chunks = cx.int("chunks")?;
    if chunks <= 0 {
        return cx.invalid("the number of chunks has to be positive");
    }
    check_parts(cx, chunks)?;
    let part = Dim::ceil_div(&cx.size(x, axis)?, &Dim::Known(chunks));
    let sizes = match part.as_known() {
        Some(0) => vec![Dim::Known(0); chunks as usize],
        _ => even_sizes(cx, &cx.size(x, axis)?, &part)?,
    };
    parts(cx, x, axis, sizes)
}

// Joining and repeating.

/// Tensors promoted to a common dtype.
pub(super) fn promoted_list(cx: &mut CallCx<'_>, name: &str) -> Result<Vec<ValueId>, Stop> {
    let tensors = cx.tensors(name)?;
    let operands: Vec<Operand> = tensors.iter().map(|&v| Operand::Tensor(v)).collect();
    let dtype = result_type(cx, &operands)?;
    tensors.into_iter().map(|v| cx.cast(v, dtype)).collect()
}

/// `cat`; vectors of no elements beside tensors of higher rank do not count.
fn cat(cx: &mut CallCx<'_>) -> Outcome {
    let all = promoted_list(cx, "tensors")?;
    let mut kept = Vec::new();
    for &v in &all {
        let shape = cx.shape(v)?;
        if !(shape.len() == 1 && shape[0].as_known() == Some(0)) {
            kept.push(v);
        }
    }
    let Some(&first) = kept.first().or(all.first()) else {
        return cx.invalid("there is nothing to join");
    };
    let rank = cx.rank(first)?;
    let axis = cx.axis("dim", rank)?;
    match kept.as_slice() {
        [] | [_] => Ok(first.into()),
        many => joined(cx, many, axis),
    }
}

fn joined(cx: &mut CallCx<'_>, values: &[ValueId], axis: usize) -> Outcome {
    Ok(joined_all(cx, values, axis)?.into())
}

/// Tensors joined along an axis.
pub(super) fn joined_all(
    cx: &mut CallCx<'_>,
    values: &[ValueId],
    axis: usize,
) -> Result<ValueId, Stop> {
    Ok(cx.b().concat(values, axis)?)
}

/// `stack`: joins along a new axis.
fn stack(cx: &mut CallCx<'_>) -> Outcome {
    let all = promoted_list(cx, "tensors")?;
    let Some(&first) = all.first() else { return cx.invalid("there is nothing to stack") };
    let rank = cx.rank(first)?;
    let axis = cx.axis("dim", rank + 1)?;
    let axes = vec![axis as i64];
    let wide: Result<Vec<_>, Stop> =
        all.into_iter().map(|v| cx.emit(Unsqueeze { axes: axes.clone() }, &[v])).collect();
    match wide?.as_slice() {
        [one] => Ok((*one).into()),
        many => joined(cx, many, axis),
    }
}

/// `repeat`: new axes come in front.
fn repeat(cx: &mut CallCx<'_>) -> Outcome {
    let (x, repeats) = (cx.tensor("self")?, cx.dims("repeats")?);
    let shape = cx.shape(x)?;
    let Some(new) = repeats.len().checked_sub(shape.len()) else {
        return cx.invalid("there are fewer repeats than axes");
    };
    let mut dims = vec![Dim::Known(1); new];
    dims.extend(shape.iter().cloned());
    let x = reshaped(cx, x, &dims)?;
    if repeats.iter().all(|r| r.as_known() == Some(1)) {
        return Ok(x.into());
    }
    Ok(cx.emit(Tile { repeats }, &[x])?.into())
}

// Making.

/// A tensor of one number.
pub(super) fn filled(
    cx: &mut CallCx<'_>,
    dims: &[Dim],
    number: &Number,
    dtype: DType,
) -> Result<ValueId, Stop> {
    let value = cx.number_value(number, dtype)?;
    if dims.is_empty() {
        return Ok(value);
    }
    cx.emit(Broadcast { dims: dims.to_vec(), implicit: false }, &[value])
}

/// `full`: the dtype is that of the number unless given.
fn full(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["names"]);
    let (dims, number) = (cx.dims("size")?, cx.number("fill_value")?);
    let dtype = cx.opt_dtype("dtype")?.unwrap_or(number.default_dtype());
    Ok(filled(cx, &dims, &number, dtype)?.into())
}

/// `full_like`: the dtype is that of the tensor unless given.
fn full_like(cx: &mut CallCx<'_>) -> Outcome {
    let (x, number) = (cx.tensor("self")?, cx.number("fill_value")?);
    let ty = cx.ty(x)?;
    let dtype = cx.opt_dtype("dtype")?.unwrap_or(ty.dtype);
    Ok(filled(cx, &ty.shape, &number, dtype)?.into())
}

/// `zeros`.
fn zeros(cx: &mut CallCx<'_>) -> Outcome {
    constant_fill(cx, 0)
}

/// `ones`.
fn ones(cx: &mut CallCx<'_>) -> Outcome {
    constant_fill(cx, 1)
}

fn constant_fill(cx: &mut CallCx<'_>, value: i64) -> Outcome {
    cx.ignore(&["names"]);
    let dims = cx.dims("size")?;
    let dtype = cx.opt_dtype("dtype")?.unwrap_or(DEFAULT_DTYPE);
    Ok(filled(cx, &dims, &Number::Int(value.into()), dtype)?.into())
}

/// `scalar_tensor`: a number as a tensor.
fn scalar_tensor(cx: &mut CallCx<'_>) -> Outcome {
    let number = cx.number("s")?;
    let dtype = cx.opt_dtype("dtype")?.unwrap_or(DEFAULT_DTYPE);
    Ok(cx.number_value(&number, dtype)?.into())
}

/// `arange`: start, start + step ... below end.
fn arange(cx: &mut CallCx<'_>) -> Outcome {
    let mut start = if cx.has("start") { cx.number("start")? } else { Number::Int(0.into()) };
    let mut step = if cx.has("step") { cx.number("step")? } else { Number::Int(1.into()) };
    let mut end = cx.number("end")?;
    let integers = [&start, &step, &end].iter().all(|n| n.category() == Category::Int);
    let natural = if integers { DType::I64 } else { DEFAULT_DTYPE };
    let dtype = cx.opt_dtype("dtype")?.unwrap_or(natural);
    // Integers have a start and a step without fractions; those of 64 bits are counted so too.
    let truncates = Category::of(dtype) == Category::Int && !integers;
    let with_fractions = match truncates && dtype != DType::I64 {
        true => Some(float_count(cx, &start, &end, &step)?),
        false => None,
    };
    if truncates {
        for number in [&mut start, &mut end, &mut step] {
            *number = without_fraction(cx, number)?;
        }
    }
    if step.is(0) {
        return cx.invalid("a step of zero");
    }
    let count = match with_fractions {
        Some(count) => count,
        None => element_count(cx, &start, &end, &step)?,
    };
    if count.as_known().is_some_and(|n| n < 0) {
        return cx.invalid("the bounds are on the wrong sides for the step");
    }
    let count = cx.emit(Iota { dtype, dims: vec![count], axis: 0 }, &[])?;
    let scaled = super::linear::scaled(cx, count, &step)?;
    if start.is(0) {
        return Ok(scaled.into());
    }
    let start = cx.number_value(&start, dtype)?;
    let both = cx.broadcast(&[scaled, start])?;
    Ok(cx.emit(airconv_ir::op::Add {}, &both)?.into())
}

/// How many numbers there are from start on below end.
fn element_count(
    cx: &CallCx<'_>,
    start: &Number,
    end: &Number,
    step: &Number,
) -> Result<Dim, Stop> {
    let (Number::Int(start), Number::Int(end), Number::Int(step)) = (start, end, step) else {
        return float_count(cx, start, end, step);
    };
    match step.as_known() {
        Some(1) => Ok(end - start),
        Some(_) => Ok(Dim::ceil_div(&(end - start), step)),
        None => cx.unsupported("a step that is not known"),
    }
}

/// How many numbers there are from start on below end, which are known.
fn float_count(cx: &CallCx<'_>, start: &Number, end: &Number, step: &Number) -> Result<Dim, Stop> {
    match (start.known(), end.known(), step.known()) {
        (Some(a), Some(b), Some(s)) => match ((b - a) / s).ceil() {
            count if count.is_finite() => Ok(Dim::Known(count as i64)),
            _ => cx.invalid("bounds or a step that are not finite, or a step of zero"),
        },
        _ => cx.unsupported("bounds that only a run can tell"),
    }
}

/// The part of a known number before the point.
fn without_fraction(cx: &CallCx<'_>, number: &Number) -> Result<Number, Stop> {
    match (number, number.known()) {
        (Number::Int(_), _) => Ok(number.clone()),
        (_, Some(v)) => Ok(Number::Int((v as i64).into())),
        (_, None) => cx.unsupported("bounds that only a run can tell"),
    }
}
