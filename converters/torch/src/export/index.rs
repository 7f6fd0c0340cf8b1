//! Writing rules of the index family that read.

use airconv_ir::dim::{Dim, Shape};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Op, OpKind};
use airconv_ir::types::TensorType;

use super::cx::{ExportCx, Refuse, Written, args, axes_of, other_op};
use super::program::{Arg, Var};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Gather, gather),
    ExportRule::new(OpKind::GatherElements, gather_elements),
    ExportRule::new(OpKind::GatherNd, gather_nd),
    ExportRule::new(OpKind::TopK, top_k),
    ExportRule::new(OpKind::Nonzero, nonzero),
    ExportRule::new(OpKind::Unique, unique),
];

/// Indices as PyTorch takes them.
pub(super) fn index(cx: &mut ExportCx<'_, '_>, x: Var) -> Result<Var, Refuse> {
    match cx.dtype(x)? {
        DType::I64 => Ok(x),
        d if d.is_integer() => cx.cast(x, DType::I64),
        d => Refuse::because(format!("indices of {d}")),
    }
}

/// Whether no element of an integer value is negative.
pub(super) fn counts_from_start(cx: &ExportCx<'_, '_>, value: ValueId) -> bool {
    if let Some((_, tensor)) = cx.ex.constant_of(value) {
        let ints = tensor.to_array().ok().and_then(|a| a.to_i64s());
        return ints.is_some_and(|v| v.iter().all(|&i| i >= 0));
    }
    let value = cx.ex.bare(value);
    match cx.ex.maker(value).map(|n| (&n.op, n.result(0))) {
        Some((Op::ArgReduce(_) | Op::Nonzero(_) | Op::Iota(_), _)) => true,
        // The first result is the values that were found.
        Some((Op::TopK(_), values)) => values != Some(value),
        _ => cx.ex.value_type(value).is_ok_and(|t| t.dtype.is_unsigned_int()),
    }
}

/// `gather`: `select` at a constant, `embedding` where it was one, else indexing.
fn gather(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Gather(g) = op else { return other_op() };
    let axis = axes_of(&[g.axis])?[0];
    let x = cx.x(0)?;
    let ty = cx.result_type(0)?;
    let positions = cx.required(1)?;
    let positions_ty = cx.operand_type(1)?;
    if positions_ty.rank() == 0
        && let Some(at) = cx.scalar(1).and_then(|s| match s {
            airconv_ir::array::Scalar::Int(n) => i64::try_from(n).ok(),
            _ => None,
        })
    {
        let y = cx.select(x, axis, at)?;
        return cx.one(y);
    }
    let at = cx.x(1)?;
    let at = index(cx, at)?;
    if cx.torch_origin().starts_with("aten.embedding") && axis == 0 && cx.ty(x)?.rank() == 2 {
        let y = cx.op("aten::embedding", args![x, at], ty)?;
        return cx.one(y);
    }
    if positions_ty.rank() == 1 && counts_from_start(cx, positions) {
        let y = cx.op("aten::index_select", args![x, axis, at], ty)?;
        return cx.one(y);
    }
    let mut indices = vec![Arg::None; axis];
    indices.push(at.into());
    let y = cx.op("aten::index.Tensor", args![x, indices], ty)?;
    cx.one(y)
}

/// `gather_elements`: `gather` takes no negative indices.
fn gather_elements(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::GatherElements(g) = op else { return other_op() };
    let axis = axes_of(&[g.axis])?[0];
    let x = cx.x(0)?;
    let at = element_index(cx, 1, x, axis)?;
    let ty = cx.result_type(0)?;
    let y = cx.op("aten::gather", args![x, axis, at], ty)?;
    cx.one(y)
}

/// An operand of indices along an axis, made to count from the start.
pub(super) fn element_index(
    cx: &mut ExportCx<'_, '_>,
    slot: usize,
    x: Var,
    axis: usize,
) -> Result<Var, Refuse> {
    let value = cx.required(slot)?;
    let at = cx.x(slot)?;
    let at = index(cx, at)?;
    let native = cx.torch_origin().starts_with("aten.");
    if native || counts_from_start(cx, value) {
        return Ok(at);
    }
    let size = cx.axis_size(x, axis)?;
    cx.counted_from_start(at, &size)
}

/// The parts of index tuples, each of the shape of the tuples; those of the batch axes first.
pub(super) fn tuple_parts(
    cx: &mut ExportCx<'_, '_>,
    indices: Var,
    batch: usize,
) -> Result<Vec<Var>, Refuse> {
    let indices = index(cx, indices)?;
    let shape = cx.shape(indices)?;
    let Some((Dim::Known(width), outer)) = shape.split_last() else {
        return Refuse::because("the length of index tuples is not known");
    };
    let mut parts = Vec::new();
    for (axis, size) in outer.iter().enumerate().take(batch) {
        let count = cx.arange(size, DType::I64)?;
        let mut dims = vec![Dim::Known(1); outer.len()];
        dims[axis] = size.clone();
        parts.push(cx.reshape(count, &dims)?);
    }
    for i in 0..*width {
        parts.push(cx.select(indices, outer.len(), i)?);
    }
    Ok(parts)
}

fn gather_nd(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::GatherNd(g) = op else { return other_op() };
    let batch = axes_of(&[g.batch_dims])?[0];
    let (x, indices) = (cx.x(0)?, cx.x(1)?);
    let parts = tuple_parts(cx, indices, batch)?;
    let ty = cx.result_type(0)?;
    if parts.is_empty() {
        let shape = ty.shape.clone();
        let y = cx.expand(x, &shape)?;
        return cx.one(y);
    }
    let y = cx.op("aten::index.Tensor", args![x, parts], ty)?;
    cx.one(y)
}

/// `top_k`: a stable sort, since `topk` leaves the order of equal elements open; `topk` where it
/// was one.
fn top_k(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::TopK(t) = op else { return other_op() };
    let axis = axes_of(&[t.axis])?[0];
    let x = cx.x(0)?;
    let ty = cx.ty(x)?;
    let mut cut = ty.clone();
    match cut.shape.get_mut(axis) {
        Some(size) => *size = t.k.clone(),
        None => return Refuse::because("it has no such axis"),
    }
    let cut_at = TensorType { dtype: DType::I64, ..cut.clone() };
    if cx.torch_origin().starts_with("aten.topk") {
        let k = cx.size(&t.k)?;
        let args = args![x, k, axis, t.largest, t.sorted];
        let [values, at] = cx.ops("aten::topk", args, [cut, cut_at])?;
        return cx.all([values, at]);
    }
    let whole_at = TensorType { dtype: DType::I64, ..ty.clone() };
    let args = args![x, true, axis, t.largest];
    let whole = ty.shape.get(axis) == Some(&t.k);
    let [mut values, mut at] = cx.ops("aten::sort.stable", args, [ty, whole_at])?;
    if !whole {
        let bounds = (&Dim::Known(0), &t.k);
        values = cx.slice(values, axis, bounds, 1, t.k.clone())?;
        at = cx.slice(at, axis, bounds, 1, t.k.clone())?;
    }
    cx.all([values, at])
}

/// `nonzero`: PyTorch gives one row per element.
fn nonzero(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Nonzero(_) = op else { return other_op() };
    let x = cx.x(0)?;
    let result = cx.result_type(0)?;
    let rows: Shape = result.shape.iter().rev().cloned().collect();
    let rows = cx.op("aten::nonzero", args![x], TensorType::new(DType::I64, rows))?;
    let y = cx.permute(rows, &[1, 0])?;
    cx.one(y)
}

/// `unique`: sorted, with inverse and counts; first positions by a scatter of the least.
fn unique(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Unique(u) = op else { return other_op() };
    let x = cx.x(0)?;
    let ty = cx.result_type(0)?;
    let axis = match u.axis {
        Some(a) => axes_of(&[a])?[0],
        None => 0,
    };
    let n = ty.shape.get(axis).cloned().unwrap_or(Dim::Any);
    let x_shape = cx.shape(x)?;
    let (length, name, args, inverse_shape) = match u.axis {
        None => {
            let args = args![x, true, true, true];
            (ExportCx::product(&x_shape), "aten::_unique2", args, x_shape.clone())
        }
        Some(a) => {
            let size = cx.axis_size(x, axis)?;
            let args = args![x, a, true, true, true];
            (size.clone(), "aten::unique_dim", args, Shape::from_iter([size]))
        }
    };
    let inverse_ty = TensorType::new(DType::I64, inverse_shape);
    let count_ty = TensorType::new(DType::I64, [n.clone()]);
    let [mut y, inverse, mut counts] = cx.ops(name, args, [ty, inverse_ty, count_ty.clone()])?;
    let mut inverse = cx.reshape(inverse, std::slice::from_ref(&length))?;
    let mut out = vec![Some(y), None, Some(inverse), Some(counts)];
    if !cx.wants(1) && u.sorted {
        out.truncate(cx.result_count());
        return Ok(out);
    }
    let positions = cx.arange(&length, DType::I64)?;
    let most = cx.size(&length)?;
    let start = cx.full(std::slice::from_ref(&n), most, DType::I64)?;
    let args = args![start, 0i64, inverse, positions, "amin"];
    let mut first = cx.op("aten::scatter_reduce.two", args, count_ty.clone())?;
    if !u.sorted {
        let order_args = args![first, true, 0i64, false];
        let [sorted, order] =
            cx.ops("aten::sort.stable", order_args, [count_ty.clone(), count_ty.clone()])?;
        first = sorted;
        let y_ty = cx.ty(y)?;
        y = cx.op("aten::index_select", args![y, axis, order], y_ty)?;
        counts = cx.op("aten::index_select", args![counts, 0i64, order], count_ty.clone())?;
        let rank = cx.unary("aten::argsort", order)?;
        let ty = cx.ty(inverse)?;
        inverse = cx.op("aten::index_select", args![rank, 0i64, inverse], ty)?;
    }
    out = vec![Some(y), Some(first), Some(inverse), Some(counts)];
    out.truncate(cx.result_count());
    Ok(out)
}
