//! Rules of the shape family.

use airconv_ir::array::Array;
use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::module::Node;
use airconv_ir::op::{Op, OpKind, PadMode};

use super::cx::{Cx, Refuse, axes, number, other, tidy};
use super::rules::Rule;
use crate::program::calls::*;
use crate::program::dtype::is_float;
use crate::program::{Arg, Callee, Func, Layer, Stmt, Var};

pub(super) const RULES: &[(OpKind, Rule)] = &[
    (OpKind::Constant, constant),
    (OpKind::DimValue, dim_value),
    (OpKind::DimsOf, dims_of),
    (OpKind::Broadcast, broadcast),
    (OpKind::Reshape, reshape),
    (OpKind::Transpose, transpose),
    (OpKind::Slice, slice),
    (OpKind::Pad, pad),
    (OpKind::Concat, concat),
    (OpKind::Iota, iota),
    (OpKind::Full, full),
    (OpKind::Flatten, by_shape),
    (OpKind::Squeeze, squeeze),
    (OpKind::Unsqueeze, unsqueeze),
    (OpKind::Split, split),
    (OpKind::Tile, tile),
    (OpKind::Range, range),
];

fn constant<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Constant(c) = op else { return other() };
    let Some(value) = cx.node.result(0) else { return Ok(()) };
    let name = cx.l.f().values[value].name.clone().unwrap_or_else(|| "".into());
    let var = cx.l.weight(c.tensor, &name)?;
    cx.l.bind(value, var);
    Ok(())
}

/// An i64 vector or scalar of sizes.
fn dim_value<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::DimValue(d) = op else { return other() };
    let known: Option<Vec<i64>> = d.dims.iter().map(Dim::as_known).collect();
    if let Some(values) = known {
        let shape = if d.scalar { Vec::new() } else { vec![values.len()] };
        let Ok(array) = Array::from_i64s(DType::I64, shape, &values) else {
            return Refuse::because("its elements do not fit");
        };
        let var = cx.literal(array);
        return cx.same(var);
    }
    match d.dims.as_slice() {
        [one] if d.scalar => cx.done(&SIZE_SCALAR, vec![Arg::Index(one.clone()), Arg::Device]),
        [one] => cx.done(&SIZE, vec![Arg::Index(one.clone()), Arg::Device]),
        many => {
            let mut parts = Vec::new();
            for dim in many {
                let args = vec![Arg::Index(dim.clone()), Arg::Device];
                parts.push(cx.temp(&SIZE, args, DType::I64, &[Dim::Known(1)]));
            }
            cx.done(&SIZES, vec![Arg::Tensors(parts)])
        }
    }
}

fn dims_of<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::DimsOf(d) = op else { return other() };
    let x = cx.x(0)?;
    let path = cx.l.path();
    cx.l.stmt(Stmt::Sizes { x, dims: d.dims.clone(), path });
    Ok(())
}

fn broadcast<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Broadcast(_) = op else { return other() };
    let x = cx.x(0)?;
    let shape = cx.result_ty(0)?.shape.to_vec();
    if cx.info(x).shape == shape {
        return cx.same(x);
    }
    cx.done(&BROADCAST_AS, vec![x.into(), Arg::Shape(shape)])?;
    mark_result(cx);
    Ok(())
}

/// The result's elements may be out of order.
fn mark_result(cx: &mut Cx<'_, '_>) {
    if let Some(value) = cx.node.result(0)
        && let Ok(var) = cx.l.var(value)
    {
        cx.mark_view(var);
    }
}

fn reshape<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    by_shape(cx, op)
}

/// A call that leaves the order of elements as it is.
pub(super) fn viewed(
    cx: &mut Cx<'_, '_>,
    func: &'static Func,
    x: Var,
    axis: usize,
) -> Result<(), Refuse> {
    let narrows = func.name == SQUEEZE.name || (func.name == GET.name && axis == 0);
    if let Some(before) = cx.without_axis(x, axis).filter(|_| narrows) {
        return cx.same(before);
    }
    let view = cx.is_view(x);
    cx.done(func, vec![x.into(), Arg::Number(axis)])?;
    if view {
        mark_result(cx);
    }
    Ok(())
}

/// A reshape to the result's shape, as one axis more or less where that is all.
fn by_shape<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    let x = cx.x(0)?;
    let (from, to) = (cx.shape(x), cx.result_ty(0)?.shape.to_vec());
    if from == to {
        return cx.same(x);
    }
    if let Some((inner, axes)) = cx.mean_of(x)
        && without(&from, &axes) == to
        && cx.value(0).is_some_and(|v| cx.used_once(v))
    {
        return cx.done(&MEAN, vec![inner.into(), Arg::Numbers(axes)]);
    }
    if by_rows(cx, x, &from, &to)? {
        return Ok(());
    }
    if let Some(axis) = one_more(&from, &to) {
        return viewed(cx, &UNSQUEEZE, x, axis);
    }
    if let Some(axis) = one_more(&to, &from) {
        return viewed(cx, &SQUEEZE, x, axis);
    }
    cx.done(&RESHAPE, vec![x.into(), Arg::Shape(to)])
}

/// A layer that goes row by row, on rows that were one list and are axes again: the layer takes
/// them as axes.
fn by_rows(cx: &mut Cx<'_, '_>, x: Var, from: &[Dim], to: &[Dim]) -> Result<bool, Refuse> {
    let once = cx.value(0).is_some_and(|v| cx.used_once(v));
    let Some((layer, rows, weights)) = cx.layer_of(x).filter(|_| once) else { return Ok(false) };
    let Some(inner) = cx.reshape_of(rows) else { return Ok(false) };
    let (Some((last, lead)), list) = (to.split_last(), cx.shape(rows)) else { return Ok(false) };
    // Of an embedding a row is one index.
    let own = usize::from(layer == Layer::Linear);
    let fits = list.len() == 1 + own
        && list.first() == Some(&numel(lead))
        && from.last() == Some(last)
        && (1 + own..4).contains(&lead.len());
    if !fits {
        return Ok(false);
    }
    let shape = [lead, list.get(1..).unwrap_or_default()].concat();
    let inner = cx.reshaped(inner, &shape);
    let inner = cx.contiguous(inner);
    let args = std::iter::once(Arg::from(inner)).chain(weights).collect();
    cx.done_layer(layer, args)?;
    Ok(true)
}

/// A shape without some of its axes.
fn without(shape: &[Dim], axes: &[usize]) -> Vec<Dim> {
    let rest = shape.iter().enumerate().filter(|(i, _)| !axes.contains(i));
    rest.map(|(_, d)| d.clone()).collect()
}

/// Where `long` has an axis of size 1 that `short` lacks, if it is the same otherwise.
fn one_more(short: &[Dim], long: &[Dim]) -> Option<usize> {
    if long.len() != short.len() + 1 {
        return None;
    }
    let at = (0..long.len()).find(|&i| short.get(i) != long.get(i))?;
    (long.get(at)? == &Dim::Known(1) && short.get(at..) == long.get(at + 1..)).then_some(at)
}

fn squeeze<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Squeeze(s) = op else { return other() };
    let x = cx.x(0)?;
    match axes(&s.axes)[..] {
        [] => cx.same(x),
        [axis] => viewed(cx, &SQUEEZE, x, axis),
        _ => by_shape(cx, op),
    }
}

fn unsqueeze<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Unsqueeze(u) = op else { return other() };
    let mut x = cx.x(0)?;
    let mut list = axes(&u.axes);
    list.sort_unstable();
    let Some(last) = list.pop() else { return cx.same(x) };
    if list.len() > 2 {
        return by_shape(cx, op);
    }
    let dtype = cx.info(x).dtype;
    for axis in list {
        let mut shape = cx.shape(x);
        shape.insert(axis.min(shape.len()), Dim::Known(1));
        let view = cx.is_view(x);
        x = cx.temp(&UNSQUEEZE, vec![x.into(), Arg::Number(axis)], dtype, &shape);
        if view {
            cx.mark_view(x);
        }
    }
    viewed(cx, &UNSQUEEZE, x, last)
}

fn transpose<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Transpose(t) = op else { return other() };
    let x = cx.x(0)?;
    let perm = axes(&t.perm);
    let moved: Vec<usize> = (0..perm.len()).filter(|&i| perm.get(i) != Some(&i)).collect();
    match moved[..] {
        [] => return cx.same(x),
        [a, b] if b + 1 == perm.len() && a + 2 == perm.len() => cx.done(&T, vec![x.into()])?,
        [a, b] => cx.done(&TRANSPOSE, vec![x.into(), Arg::Number(a), Arg::Number(b)])?,
        _ => cx.done(&PERMUTE, vec![x.into(), Arg::Numbers(perm)])?,
    }
    mark_result(cx);
    Ok(())
}

fn slice<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Slice(s) = op else { return other() };
    let mut x = cx.x(0)?;
    let result = cx.result_ty(0)?.shape;
    let dtype = cx.info(x).dtype;
    let mut view = cx.is_view(x);
    for (i, &axis) in axes(&s.axes).iter().enumerate() {
        let (Some(start), Some(&step)) = (s.starts.get(i), s.steps.get(i)) else {
            return other();
        };
        let mut shape = cx.shape(x);
        let (Some(size), Some(len)) = (shape.get(axis).cloned(), result.get(axis).cloned()) else {
            return other();
        };
        if size == len && step == 1 {
            continue;
        }
        let first = clamped(start, &size, step);
        if let Some(d) = shape.get_mut(axis) {
            *d = len.clone();
        }
        if let Some(end) = s.ends.get(i).filter(|end| step == 1 && is_found(&len, [start, end])) {
            let (start, end) = (Arg::Index(start.clone()), Arg::Index(end.clone()));
            let args = vec![x.into(), Arg::Number(axis), start, end];
            x = cx.temp(&SLICE, args, dtype, &shape);
            view = true;
            continue;
        }
        x = if step == 1 {
            view = true;
            let args = vec![x.into(), Arg::Number(axis), Arg::Size(first), Arg::Size(len)];
            cx.temp(&NARROW, args, dtype, &shape)
        } else {
            let end = &first + &(&len * &Dim::Known(step));
            let args = vec![Arg::Index(first), Arg::Index(end), Arg::Int(step), Arg::Device];
            let at = cx.temp(&ARANGE_STEP, args, DType::I64, std::slice::from_ref(&len));
            let inner = cx.contiguous(x);
            view = false;
            cx.temp(&INDEX_SELECT, vec![inner.into(), at.into(), Arg::Number(axis)], dtype, &shape)
        };
    }
    if view {
        cx.mark_view(x);
    }
    cx.same(x)
}

/// Whether the size of a slice is no expression of its bounds, so that only a run tells.
fn is_found(len: &Dim, bounds: [&Dim; 2]) -> bool {
    let Some(own) = len.as_symbol() else { return false };
    let mut symbols = 0;
    let mut named = false;
    for bound in bounds {
        bound.symbols(&mut |s| {
            symbols += 1;
            named |= s == own;
        });
    }
    symbols > 0 && !named
}

/// The first position that a slice takes.
fn clamped(start: &Dim, size: &Dim, step: i64) -> Dim {
    let from_end = start.as_known().is_some_and(|s| s < 0);
    let start = if from_end { size + start } else { start.clone() };
    let last = if step < 0 { size - 1 } else { size.clone() };
    if start == Dim::Known(0) || start == last {
        return start;
    }
    Dim::max(&Dim::Known(0), &Dim::min(&start, &last))
}

fn pad<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Pad(p) = op else { return other() };
    let mut x = cx.x(0)?;
    let value = match (cx.value(1), cx.scalar(1)) {
        (None, _) => Fill::Number(0.0),
        (Some(_), Some(v)) if is_float(cx.ty(0)?.dtype) || v == 0.0 => Fill::Number(v),
        (Some(_), Some(v)) if v.fract() == 0.0 && v.abs() < 1e15 => Fill::Number(v),
        (Some(_), _) => Fill::Tensor(cx.x(1)?),
    };
    for axis in 0..p.low.len() {
        let (Some(low), Some(high)) = (p.low.get(axis), p.high.get(axis)) else { return other() };
        x = pad_axis(cx, x, axis, [low, high], p.mode, value)?;
    }
    cx.same(x)
}

/// What padding is made of.
#[derive(Clone, Copy)]
pub(super) enum Fill {
    /// A number.
    Number(f64),
    /// A scalar tensor.
    Tensor(Var),
}

/// One axis with more, or less, at its ends.
pub(super) fn pad_axis(
    cx: &mut Cx<'_, '_>,
    mut x: Var,
    axis: usize,
    [low, high]: [&Dim; 2],
    mode: PadMode,
    fill: Fill,
) -> Result<Var, Refuse> {
    let dtype = cx.info(x).dtype;
    let zero = Dim::Known(0);
    let negative = |d: &Dim| d.as_known().is_some_and(|d| d < 0);
    let (cut_low, cut_high) = (negative(low), negative(high));
    if cut_low || cut_high {
        let mut shape = cx.shape(x);
        let Some(size) = shape.get_mut(axis) else { return other() };
        let start = if cut_low { -low } else { zero.clone() };
        let end = if cut_high { &*size + high } else { size.clone() };
        let len = &end - &start;
        *size = len.clone();
        let args = vec![x.into(), Arg::Number(axis), Arg::Size(start), Arg::Size(len)];
        x = cx.temp(&NARROW, args, dtype, &shape);
        cx.mark_view(x);
    }
    let low = if cut_low { &zero } else { low };
    let high = if cut_high { &zero } else { high };
    if *low == zero && *high == zero {
        return Ok(x);
    }
    let mut shape = cx.shape(x);
    let Some(size) = shape.get_mut(axis) else { return other() };
    *size = &(&*size + low) + high;
    let mut args =
        vec![x.into(), Arg::Number(axis), Arg::Size(low.clone()), Arg::Size(high.clone())];
    let func = match (mode, fill) {
        (PadMode::Constant, Fill::Number(v)) => {
            if v == 0.0 {
                &PAD_WITH_ZEROS
            } else {
                args.push(Arg::Float(tidy(dtype, v)));
                &PAD_WITH
            }
        }
        (PadMode::Constant, Fill::Tensor(v)) => {
            args.push(v.into());
            &PAD_WITH_TENSOR
        }
        (PadMode::Reflect, _) => &PAD_REFLECT,
        (PadMode::Edge, _) => &PAD_WITH_SAME,
        (PadMode::Wrap, _) => &PAD_WRAP,
    };
    let view = axis > 0 && cx.is_view(x);
    let y = cx.temp(func, args, dtype, &shape);
    if view {
        cx.mark_view(y);
    }
    Ok(y)
}

fn concat<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Concat(c) = op else { return other() };
    let mut parts = Vec::new();
    for slot in 0..cx.node.operands.len() {
        parts.push(cx.x(slot)?);
    }
    if let [one] = parts[..] {
        return cx.same(one);
    }
    let Ok(axis) = usize::try_from(c.axis) else { return other() };
    // candle joins what is out of order along the first axis, and moves that one.
    if let Some(parts) = stacked(cx, axis)? {
        let view = axis > 0 && parts.iter().any(|&p| cx.is_view(p));
        cx.done(&STACK, vec![Arg::Tensors(parts), Arg::Number(axis)])?;
        if view {
            mark_result(cx);
        }
        return Ok(());
    }
    let view = axis > 0 && parts.iter().any(|&p| cx.is_view(p));
    cx.done(&CAT, vec![Arg::Tensors(parts), Arg::Number(axis)])?;
    if view {
        mark_result(cx);
    }
    Ok(())
}

/// What is joined, where each operand has the axis only to be joined along it.
fn stacked(cx: &mut Cx<'_, '_>, axis: usize) -> Result<Option<Vec<Var>>, Refuse> {
    let mut inner = Vec::new();
    for value in cx.node.inputs() {
        match cx.l.def(value) {
            Some(Node { op: Op::Unsqueeze(u), operands, .. })
                if axes(&u.axes) == [axis] && cx.used_once(value) =>
            {
                inner.extend(operands.first().copied().flatten());
            }
            _ => return Ok(None),
        }
    }
    let vars = inner.into_iter().map(|v| cx.l.var(v)).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(vars))
}

fn iota<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Iota(i) = op else { return other() };
    number(i.dtype, "counting")?;
    let Ok(axis) = usize::try_from(i.axis) else { return other() };
    let Some(len) = i.dims.get(axis).cloned() else { return other() };
    let line = std::slice::from_ref(&len);
    let mut x = cx.temp(&ARANGE, vec![Arg::Index(len.clone()), Arg::Device], DType::I64, line);
    x = cx.as_dtype(x, i.dtype);
    let mut shape = vec![Dim::Known(1); i.dims.len()];
    if let Some(d) = shape.get_mut(axis) {
        *d = len.clone();
    }
    x = cx.reshaped(x, &shape);
    if shape != i.dims {
        cx.done(&BROADCAST_AS, vec![x.into(), Arg::Shape(i.dims.clone())])?;
        mark_result(cx);
        return Ok(());
    }
    cx.same(x)
}

fn full<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Full(f) = op else { return other() };
    let ty = cx.result_ty(0)?;
    let Ok(array) = cx.l.module.tensors[f.value].to_array() else {
        return Refuse::because("its value is not loaded");
    };
    let tail = vec![Arg::Shape(ty.shape.to_vec()), Arg::DType(ty.dtype), Arg::Device];
    let with = |first: Arg| [vec![first], tail.clone()].concat();
    let float = array.to_f64s().and_then(|v| v.first().copied());
    let int = array.to_i64s().and_then(|v| v.first().copied());
    match (float, int) {
        (Some(0.0), _) | (_, Some(0)) => cx.done(&ZEROS, tail),
        (Some(1.0), _) | (_, Some(1)) => cx.done(&ONES, tail),
        (_, Some(v)) if !is_float(ty.dtype) => cx.done(&FULL_INT, with(Arg::Int(v))),
        (Some(v), _) => cx.done(&FULL, with(Arg::Float(tidy(ty.dtype, v)))),
        (None, _) => Refuse::because("its value has no number"),
    }
}

fn split<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Split(s) = op else { return other() };
    let x = cx.x(0)?;
    let Ok(axis) = usize::try_from(s.axis) else { return other() };
    let mut start = Dim::Known(0);
    let dtype = cx.info(x).dtype;
    let known = s.sizes.first().is_some_and(|d| d.as_known().is_some());
    let equal = known && s.sizes.windows(2).all(|pair| pair.first() == pair.last());
    let all = (0..s.sizes.len()).all(|slot| cx.node.result(slot).is_some());
    if equal && all && s.sizes.len() > 1 {
        let args = vec![x.into(), Arg::Number(s.sizes.len()), Arg::Number(axis)];
        cx.done_all(Callee::Func(&CHUNK), args, s.sizes.len())?;
        for slot in 0..s.sizes.len() {
            if let Some(value) = cx.node.result(slot)
                && let Ok(part) = cx.l.var(value)
            {
                cx.mark_view(part);
            }
        }
        return Ok(());
    }
    for (slot, size) in s.sizes.iter().enumerate() {
        if let Some(value) = cx.node.result(slot) {
            let mut shape = cx.shape(x);
            if let Some(d) = shape.get_mut(axis) {
                *d = size.clone();
            }
            let args = vec![
                x.into(),
                Arg::Number(axis),
                Arg::Size(start.clone()),
                Arg::Size(size.clone()),
            ];
            let part = cx.temp(&NARROW, args, dtype, &shape);
            cx.mark_view(part);
            cx.l.bind(value, part);
        }
        start = &start + size;
    }
    Ok(())
}

fn tile<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Tile(t) = op else { return other() };
    let x = cx.x(0)?;
    cx.done(&REPEAT, vec![x.into(), Arg::Shape(t.repeats.clone())])
}

fn range<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Range(r) = op else { return other() };
    number(cx.ty(0)?.dtype, "ranges")?;
    if let (Some(size), Some(0), Some(1)) = (&r.size, cx.int_scalar(0), cx.int_scalar(2)) {
        let args = vec![Arg::Index(size.clone()), Arg::Device];
        let x = cx.temp(&ARANGE, args, DType::I64, std::slice::from_ref(size));
        let x = cx.as_dtype(x, cx.result_ty(0)?.dtype);
        return cx.same(x);
    }
    let args = vec![cx.x(0)?.into(), cx.x(1)?.into(), cx.x(2)?.into()];
    cx.done(&RANGE, args)
}
