//! Reading rules of views and moves beyond the plain ones.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Bitcast, Broadcast, Gather, OpKind, Slice, Tile};

use super::arg::Arg;
use super::call::{CallCx, Stop};
use super::index::{cut, permuted};
use super::linalg::transposed;
use super::rules::{ImportRule, Outcome};
use super::shape::{parts, reshaped, resolved_sizes};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_conj_copy", &[OpKind::Complex], super::complex::conj),
    ImportRule::new("aten::_reshape_alias", &[OpKind::Reshape], reshape_alias),
    ImportRule::new("aten::_local_scalar_dense", &[], item),
    ImportRule::new("aten::as_strided", &[OpKind::Gather], as_strided),
    ImportRule::of("aten::atleast_1d", "", &[OpKind::Reshape], atleast_1d),
    ImportRule::of("aten::atleast_1d", "Sequence", &[OpKind::Reshape], atleast_1d),
    ImportRule::new("aten::atleast_2d", &[OpKind::Reshape], atleast_2d),
    ImportRule::new("aten::atleast_3d", &[OpKind::Reshape], atleast_3d),
    ImportRule::new("aten::broadcast_to", &[OpKind::Broadcast], broadcast_to),
    ImportRule::new("aten::dsplit", &[OpKind::Split], dsplit),
    ImportRule::new("aten::expand_as", &[OpKind::Broadcast], expand_as),
    ImportRule::new("aten::flip", &[OpKind::Slice], flip),
    ImportRule::new("aten::fliplr", &[OpKind::Slice], fliplr),
    ImportRule::new("aten::flipud", &[OpKind::Slice], flipud),
    ImportRule::new("aten::hsplit", &[OpKind::Split], hsplit),
    ImportRule::new("aten::item", &[], item),
    ImportRule::new("aten::mH", &[OpKind::Transpose, OpKind::Complex], conjugate_transposed),
    ImportRule::new("aten::mT", &[OpKind::Transpose], matrix_transposed),
    ImportRule::new("aten::matrix_H", &[OpKind::Transpose, OpKind::Complex], conjugate_transposed),
    ImportRule::new("aten::movedim", &[OpKind::Transpose], movedim),
    ImportRule::new("aten::narrow_copy", &[OpKind::Slice], super::shape::narrow),
    ImportRule::new("aten::numpy_T", &[OpKind::Transpose], numpy_t),
    ImportRule::new("aten::ravel", &[OpKind::Reshape], ravel),
    ImportRule::new("aten::reshape_as", &[OpKind::Reshape], view_as),
    ImportRule::of("aten::resize", "", &[OpKind::Reshape], resize),
    ImportRule::new("aten::roll", &[OpKind::Slice, OpKind::Concat], roll),
    ImportRule::new("aten::rot90", &[OpKind::Slice, OpKind::Transpose], rot90),
    ImportRule::of("aten::swapaxes", "", &[OpKind::Transpose], swapaxes),
    ImportRule::new("aten::tensor_split", &[OpKind::Split], tensor_split),
    ImportRule::new("aten::tile", &[OpKind::Tile], tile),
    ImportRule::of("aten::view", "dtype", &[OpKind::Bitcast, OpKind::Reshape], view_dtype),
    ImportRule::new("aten::view_as", &[OpKind::Reshape], view_as),
    ImportRule::new("aten::vsplit", &[OpKind::Split], vsplit),
];

/// `item`: the element of a tensor as a number.
fn item(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let dtype = match super::promote::Category::of(cx.dtype(x)?) {
        super::promote::Category::Bool => DType::Bool,
        super::promote::Category::Int => DType::I64,
        super::promote::Category::Float => DType::F64,
        super::promote::Category::Complex => return cx.unsupported("a complex number"),
    };
    let x = cx.b().reshape(x, &[])?;
    let x = cx.cast(x, dtype)?;
    Ok(Arg::Number(x).into())
}

// Shapes.

/// `_reshape_alias`: a view to sizes; the strides say how it lies.
fn reshape_alias(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["stride"]);
    let (x, sizes) = (cx.tensor("self")?, cx.dims("size")?);
    let dims = resolved_sizes(cx, x, &sizes)?;
    Ok(reshaped(cx, x, &dims)?.into())
}

/// `view_as` and `reshape_as`: the shape of another tensor.
fn view_as(cx: &mut CallCx<'_>) -> Outcome {
    let (x, other) = (cx.tensor("self")?, cx.tensor("other")?);
    let shape = cx.shape(other)?;
    Ok(reshaped(cx, x, &shape)?.into())
}

/// `ravel`: all elements as a vector.
fn ravel(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let count = numel(&cx.shape(x)?);
    Ok(reshaped(cx, x, &[count])?.into())
}

/// `resize` to no more elements than there are.
fn resize(cx: &mut CallCx<'_>) -> Outcome {
    let (x, sizes) = (cx.tensor("self")?, cx.dims("size")?);
    let (have, want) = (numel(&cx.shape(x)?), numel(&sizes));
    let known = have.as_known().zip(want.as_known());
    if have != want && known.is_none_or(|(h, w)| w > h) {
        return cx.unsupported("elements that are not initialised");
    }
    let flat = reshaped(cx, x, &[have])?;
    let part = cut(cx, flat, 0, [0.into(), want], 1)?;
    Ok(reshaped(cx, part, &sizes)?.into())
}

/// `view` as another dtype: the last axis grows or shrinks with the width.
fn view_dtype(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (from, to) = (cx.dtype(x)?, cx.opt_dtype("dtype")?);
    let Some(to) = to else { return cx.invalid("there is no dtype") };
    if from == to {
        return Ok(x.into());
    }
    if from.bits() != to.bits() || from == DType::Bool || to == DType::Bool {
        return cx.unsupported(format!("the bits of {from} as {to}"));
    }
    Ok(cx.emit(Bitcast { to }, &[x])?.into())
}

/// `expand_as`: the shape of another tensor.
fn expand_as(cx: &mut CallCx<'_>) -> Outcome {
    let (x, other) = (cx.tensor("self")?, cx.tensor("other")?);
    let dims = cx.shape(other)?.to_vec();
    expanded(cx, x, dims)
}

fn expanded(cx: &mut CallCx<'_>, x: ValueId, dims: Vec<Dim>) -> Outcome {
    if dims.as_slice() == cx.shape(x)?.as_slice() {
        return Ok(x.into());
    }
    Ok(cx.emit(Broadcast { dims, implicit: false }, &[x])?.into())
}

/// `broadcast_to`: as `expand`, -1 keeps a size.
fn broadcast_to(cx: &mut CallCx<'_>) -> Outcome {
    super::shape::expand(cx)
}

/// `atleast_1d` and its kin of one tensor or of a list.
fn at_least(cx: &mut CallCx<'_>, widen: fn(&[Dim]) -> Vec<Dim>) -> Outcome {
    if cx.has("tensors") {
        let list = cx.tensors("tensors")?;
        let wide: Result<Vec<_>, Stop> = list
            .into_iter()
            .map(|x| {
                let dims = widen(&cx.shape(x)?);
                reshaped(cx, x, &dims)
            })
            .collect();
        return Ok(wide?.into());
    }
    let x = cx.tensor("self")?;
    let dims = widen(&cx.shape(x)?);
    Ok(reshaped(cx, x, &dims)?.into())
}

/// The shape with at least one axis.
pub(super) fn wide_1d(shape: &[Dim]) -> Vec<Dim> {
    if shape.is_empty() { vec![1.into()] } else { shape.to_vec() }
}
/// The shape with at least two axes; a vector is a row.
pub(super) fn wide_2d(shape: &[Dim]) -> Vec<Dim> {
    match shape {
        [] => vec![1.into(), 1.into()],
        [n] => vec![1.into(), n.clone()],
        _ => shape.to_vec(),
    }
}
/// The shape with at least three axes; a matrix is a layer.
pub(super) fn wide_3d(shape: &[Dim]) -> Vec<Dim> {
    match shape {
        [] => vec![1.into(); 3],
        [n] => vec![1.into(), n.clone(), 1.into()],
        [m, n] => vec![m.clone(), n.clone(), 1.into()],
        _ => shape.to_vec(),
    }
}

fn atleast_1d(cx: &mut CallCx<'_>) -> Outcome {
    at_least(cx, wide_1d)
}
fn atleast_2d(cx: &mut CallCx<'_>) -> Outcome {
    at_least(cx, wide_2d)
}
fn atleast_3d(cx: &mut CallCx<'_>) -> Outcome {
    at_least(cx, wide_3d)
}

// Axes.

/// `movedim`: axes go to other places, the others keep their order.
fn movedim(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let (from, to) = (cx.axes("source", rank)?, cx.axes("destination", rank)?);
    if rank == 0 {
        return Ok(x.into());
    }
    let mut perm: Vec<Option<usize>> = vec![None; rank];
    for (&from, &to) in from.iter().zip(&to) {
        perm[to] = Some(from);
    }
    let mut rest = (0..rank).filter(|a| !from.contains(a));
    let perm: Vec<i64> =
        perm.into_iter().map(|p| p.or_else(|| rest.next()).unwrap_or(0) as i64).collect();
    Ok(permuted(cx, x, &perm)?.into())
}

/// `swapaxes`.
fn swapaxes(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let (a, b) = (cx.axis("axis0", rank)?, cx.axis("axis1", rank)?);
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    if rank > 0 {
        perm.swap(a, b);
    }
    Ok(permuted(cx, x, &perm)?.into())
}

/// `mT`: the last two axes change places.
fn matrix_transposed(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    Ok(transposed(cx, x)?.into())
}

/// `mH`: the same, conjugated.
fn conjugate_transposed(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let x = super::complex::conjugate(cx, x)?;
    match cx.rank(x)? {
        0 => Ok(x.into()),
        _ => Ok(transposed(cx, x)?.into()),
    }
}

/// `numpy_T`: all axes in reverse.
fn numpy_t(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let perm: Vec<i64> = (0..cx.rank(x)? as i64).rev().collect();
    Ok(permuted(cx, x, &perm)?.into())
}

// Reversal and rotation.

/// Axes in reverse.
pub(super) fn reversed(cx: &mut CallCx<'_>, x: ValueId, axes: &[usize]) -> Result<ValueId, Stop> {
    let axes: Vec<usize> = if cx.rank(x)? == 0 { Vec::new() } else { axes.to_vec() };
    if axes.is_empty() {
        return Ok(x);
    }
    let (n, shape) = (axes.len(), cx.shape(x)?);
    let op = Slice {
        axes: axes.into_iter().map(|a| a as i64).collect(),
        starts: vec![(-1).into(); n],
        ends: vec![i64::MIN.into(); n],
        steps: vec![-1; n],
    };
    let y = cx.emit(op, &[x])?;
    Ok(cx.b().reshape(y, &shape)?)
}

/// `flip`.
fn flip(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let axes = cx.axes("dims", rank)?;
    Ok(reversed(cx, x, &axes)?.into())
}

/// `fliplr`: the second axis in reverse.
fn fliplr(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    Ok(reversed(cx, x, &[1])?.into())
}

/// `flipud`: the first axis in reverse.
fn flipud(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    Ok(reversed(cx, x, &[0])?.into())
}

/// `rot90`: quarter turns of a plane.
fn rot90(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let (turns, plane) = (cx.int("k")?.rem_euclid(4), cx.axes("dims", rank)?);
    let [a, b] = plane.as_slice() else { return cx.invalid("a plane has two axes") };
    let (a, b) = (*a, *b);
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    perm.swap(a, b);
    Ok(match turns {
        0 => x,
        1 => {
            let x = reversed(cx, x, &[b])?;
            permuted(cx, x, &perm)?
        }
        2 => reversed(cx, x, &[a, b])?,
        _ => {
            let x = reversed(cx, x, &[a])?;
            permuted(cx, x, &perm)?
        }
    }
    .into())
}

/// `roll`: along axes, or through all elements in their order.
fn roll(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (shape, shifts) = (cx.shape(x)?, cx.dims("shifts")?);
    if !cx.given("dims")? || cx.ints("dims")?.is_empty() {
        let [shift] = shifts.as_slice() else { return cx.invalid("one shift is needed") };
        let flat = reshaped(cx, x, &[numel(&shape)])?;
        let y = rolled(cx, flat, 0, shift)?;
        return Ok(reshaped(cx, y, &shape)?.into());
    }
    let mut y = x;
    let axes = cx.ints("dims")?;
    if axes.len() != shifts.len() {
        return cx.invalid("there are as many shifts as axes");
    }
    for (axis, shift) in axes.into_iter().zip(&shifts) {
        let axis = cx.resolve_axis(axis, shape.len())?;
        y = rolled(cx, y, axis, shift)?;
    }
    Ok(y.into())
}

/// One axis rolled: its end comes to the front.
pub(super) fn rolled(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
    shift: &Dim,
) -> Result<ValueId, Stop> {
    let shape = cx.shape(x)?;
    let Some(size) = shape.get(axis) else { return Ok(x) };
    if size.as_known() == Some(0) {
        return Ok(x);
    }
    let start = Dim::rem(&-shift, size);
    if start.as_known() == Some(0) {
        return Ok(x);
    }
    let tail = cut(cx, x, axis, [start.clone(), i64::MAX.into()], 1)?;
    let head = cut(cx, x, axis, [0.into(), start], 1)?;
    let y = cx.b().concat(&[tail, head], axis)?;
    Ok(cx.b().reshape(y, &shape)?)
}

/// `tile`: as `repeat`, missing repeats are 1.
fn tile(cx: &mut CallCx<'_>) -> Outcome {
    let (x, mut repeats) = (cx.tensor("self")?, cx.dims("dims")?);
    let shape = cx.shape(x)?;
    while repeats.len() < shape.len() {
        repeats.insert(0, 1.into());
    }
    let mut dims = vec![Dim::Known(1); repeats.len() - shape.len()];
    dims.extend(shape.iter().cloned());
    let x = reshaped(cx, x, &dims)?;
    if repeats.iter().all(|r| r.as_known() == Some(1)) {
        return Ok(x.into());
    }
    Ok(cx.emit(Tile { repeats }, &[x])?.into())
}

// Windows and strides.

/// The elements that `size`, `stride` and `storage_offset` name, of a tensor in row-major order.
pub(super) fn strided(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    if !cx.imp.strides_checked {
        return cx.unsupported("how its operand lies in memory is not known");
    }
    let (sizes, strides) = (cx.dims("size")?, cx.dims("stride")?);
    let offset = cx.opt_dim("storage_offset")?.unwrap_or(Dim::Known(0));
    if sizes.len() != strides.len() {
        return cx.invalid("there are as many strides as sizes");
    }
    let start = cx.b().dim_scalar(&offset)?;
    let mut at = cx.b().broadcast_to(start, &sizes)?;
    for (axis, stride) in strides.iter().enumerate() {
        let count = super::index::counting(cx, &sizes, axis)?;
        let stride = cx.b().dim_scalar(stride)?;
        let way = cx.b().mul(count, stride)?;
        at = cx.b().add(at, way)?;
    }
    let count = numel(&cx.shape(x)?);
    let flat = cx.b().reshape(x, &[count])?;
    cx.emit(Gather { axis: 0 }, &[flat, at])
}

/// `as_strided`: elements at regular distances.
fn as_strided(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    Ok(strided(cx, x)?.into())
}

// Falling apart.

/// `tensor_split`: into so many parts, or at positions.
fn tensor_split(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank)?;
    if cx.has("sections") {
        let sections = cx.int("sections")?;
        return sections_of(cx, x, axis, sections);
    }
    if cx.has("indices") {
        let at = cx.ints("indices")?;
        return cut_at(cx, x, axis, &at);
    }
    let given = cx.tensor("tensor_indices_or_sections")?;
    let rank = cx.rank(given)?;
    cx.imp.learn();
    match (rank, cx.const_array(given).and_then(|a| a.to_i64s())) {
        (0, Some(ints)) => sections_of(cx, x, axis, ints.first().copied().unwrap_or(0)),
        (_, Some(ints)) => cut_at(cx, x, axis, &ints),
        (1, None) => cut_at_values(cx, x, axis, given),
        (_, None) => cx.unsupported("a number of parts that only a run can tell"),
    }
}

/// As many parts, the first ones one element larger where it does not come out even.
fn sections_of(cx: &mut CallCx<'_>, x: ValueId, axis: usize, sections: i64) -> Outcome {
    let Some(size) = cx.shape(x)?.get(axis).and_then(Dim::as_known) else {
        return cx.unsupported("parts of an axis of unknown size");
    };
    if sections <= 0 {
        return cx.invalid("the number of parts has to be positive");
    }
    let (part, more) = (size / sections, size % sections);
    let sizes = (0..sections).map(|i| Dim::Known(part + i64::from(i < more))).collect();
    parts(cx, x, axis, sizes)
}

/// Parts that end at positions.
fn cut_at(cx: &mut CallCx<'_>, x: ValueId, axis: usize, at: &[i64]) -> Outcome {
    let Some(size) = cx.shape(x)?.get(axis).and_then(Dim::as_known) else {
        return cx.unsupported("parts of an axis of unknown size");
    };
    let clamped = |p: i64| if p < 0 { (p + size).max(0) } else { p.min(size) };
    let mut out = Vec::with_capacity(at.len() + 1);
    let mut start = 0;
    for end in at.iter().map(|&p| clamped(p)).chain([size]) {
        out.push(cut(cx, x, axis, [start.into(), end.max(start).into()], 1)?);
        start = end;
    }
    Ok(out.into())
}

/// Parts that end at positions which only a run can tell.
fn cut_at_values(cx: &mut CallCx<'_>, x: ValueId, axis: usize, at: ValueId) -> Outcome {
    let (size, count) = (cx.size(x, axis)?, cx.size(at, 0)?);
    let Some(count) = count.as_known().filter(|n| *n <= MOST_CUTS) else {
        return cx.unsupported("a number of parts that only a run can tell");
    };
    let at = cx.cast(at, DType::I64)?;
    let whole = cx.b().dim_scalar(&size)?;
    let place = super::formula::value(at);
    let from_front = super::formula::when(
        &place.lt(0.0),
        (&place + super::formula::value(whole)).max(0.0),
        place.min(super::formula::value(whole)),
    );
    let ends = cx.formula(&from_front, DType::I64)?;
    let mut out = Vec::with_capacity(count as usize + 1);
    let mut start = cx.b().scalar_int(DType::I64, 0)?;
    for i in 0..=count {
        let end = match i == count {
            true => whole,
            false => cx.b().index_axis(ends, 0, i)?,
        };
        // A part that would end before it begins is empty.
        let stop = cx.b().max(start, end)?;
        let bounds = [cx.imp.dim_of_value(start)?, cx.imp.dim_of_value(stop)?];
        out.push(cut(cx, x, axis, bounds, 1)?);
        start = end;
    }
    Ok(out.into())
}

/// The most positions that are told by a run.
const MOST_CUTS: i64 = 1024;

fn split_along(cx: &mut CallCx<'_>, axis: usize) -> Outcome {
    let x = cx.tensor("self")?;
    if cx.has("sections") {
        let sections = cx.int("sections")?;
        return sections_of(cx, x, axis, sections);
    }
    let at = cx.ints("indices")?;
    cut_at(cx, x, axis, &at)
}

/// `hsplit`: along the second axis, of a vector along the first.
fn hsplit(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let axis = usize::from(cx.rank(x)? > 1);
    split_along(cx, axis)
}

/// `vsplit`: along the first axis.
fn vsplit(cx: &mut CallCx<'_>) -> Outcome {
    split_along(cx, 0)
}

/// `dsplit`: along the third axis.
fn dsplit(cx: &mut CallCx<'_>) -> Outcome {
    split_along(cx, 2)
}
