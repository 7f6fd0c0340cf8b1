//! Writing rules of the index family that write into copies.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::op::{Op, OpKind, ScatterReduction};
use airconv_ir::types::TensorType;

use super::cx::{ExportCx, Refuse, Written, args, axes_of, other_op};
use super::index::{element_index, index, tuple_parts};
use super::program::Var;
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::ScatterElements, scatter_elements),
    ExportRule::new(OpKind::ScatterNd, scatter_nd),
];

/// The dtype in which a reduction of bools is one of numbers.
fn reducible(dtype: DType, reduction: ScatterReduction) -> DType {
    match (dtype, reduction) {
        (d, ScatterReduction::None) => d,
        (DType::Bool, _) => DType::U8,
        (d, _) => d,
    }
}

/// PyTorch's name of a reduction; bools are joined by or (sum) and and (product).
fn reduce_name(dtype: DType, reduction: ScatterReduction) -> &'static str {
    match (dtype, reduction) {
        (DType::Bool, ScatterReduction::Add) | (_, ScatterReduction::Max) => "amax",
        (DType::Bool, ScatterReduction::Mul) | (_, ScatterReduction::Min) => "amin",
        (_, ScatterReduction::Mul) => "prod",
        _ => "sum",
    }
}

/// A scatter along an axis, with indices that count from the start.
fn along(
    cx: &mut ExportCx<'_, '_>,
    x: Var,
    axis: usize,
    (at, updates): (Var, Var),
    reduction: ScatterReduction,
) -> Result<Var, Refuse> {
    let dtype = cx.dtype(x)?;
    let work = reducible(dtype, reduction);
    let (x, updates) = (cx.cast(x, work)?, cx.cast(updates, work)?);
    let ty = cx.ty(x)?;
    let y = match reduction {
        ScatterReduction::None => cx.op("aten::scatter.src", args![x, axis, at, updates], ty)?,
        ScatterReduction::Add if dtype != DType::Bool => {
            cx.op("aten::scatter_add", args![x, axis, at, updates], ty)?
        }
        _ => {
            let how = reduce_name(dtype, reduction);
            cx.op("aten::scatter_reduce.two", args![x, axis, at, updates, how], ty)?
        }
    };
    cx.cast(y, dtype)
}

fn scatter_elements(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ScatterElements(s) = op else { return other_op() };
    let axis = axes_of(&[s.axis])?[0];
    let x = cx.x(0)?;
    let at = element_index(cx, 1, x, axis)?;
    let updates = cx.x(2)?;
    let y = along(cx, x, axis, (at, updates), s.reduction)?;
    cx.one(y)
}

/// `scatter_nd`: `index_put`, or a scatter into the flattened axes where elements combine in
/// another way than by sum.
fn scatter_nd(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ScatterNd(s) = op else { return other_op() };
    let (x, indices, updates) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let ty = cx.ty(x)?;
    let plain = s.reduction == ScatterReduction::None
        || (s.reduction == ScatterReduction::Add && ty.dtype != DType::Bool);
    let width = cx.shape(indices)?.last().and_then(Dim::as_known);
    if width == Some(0) {
        return Refuse::because("index tuples are empty");
    }
    if plain {
        let parts = tuple_parts(cx, indices, 0)?;
        let add = s.reduction == ScatterReduction::Add;
        let accumulate = if add { true.into() } else { super::program::Arg::Default };
        let y = cx.op("aten::index_put", args![x, parts, updates, accumulate], ty)?;
        return cx.one(y);
    }
    let Some(width) = width.and_then(|w| usize::try_from(w).ok()).filter(|&w| w <= ty.rank())
    else {
        return Refuse::because("the length of index tuples is not known");
    };
    let indices = index(cx, indices)?;
    let parts = tuple_parts(cx, indices, 0)?;
    let (outer, inner) = ty.shape.split_at(width);
    let (outer, inner) = (outer.to_vec(), inner.to_vec());
    let flat = flat_position(cx, &parts, &outer)?;
    let tuples = numel(&cx.shape(flat)?);
    let rest = numel(&inner);
    let flat = cx.reshape(flat, &[tuples.clone(), Dim::Known(1)])?;
    let at = cx.expand(flat, &[tuples.clone(), rest.clone()])?;
    let updates = cx.reshape(updates, &[tuples, rest.clone()])?;
    let rows = cx.reshape(x, &[numel(&outer), rest])?;
    let y = along(cx, rows, 0, (at, updates), s.reduction)?;
    let y = cx.reshape(y, &ty.shape)?;
    cx.one(y)
}

/// The row-major position of index tuples.
fn flat_position(cx: &mut ExportCx<'_, '_>, parts: &[Var], sizes: &[Dim]) -> Result<Var, Refuse> {
    let mut total: Option<Var> = None;
    for (&part, size) in parts.iter().zip(sizes) {
        let part = cx.counted_from_start(part, size)?;
        total = Some(match total {
            None => part,
            Some(before) => {
                let size = cx.size(size)?;
                let ty: TensorType = cx.ty(before)?;
                let scaled = cx.op("aten::mul.Tensor", args![before, size], ty)?;
                cx.binary("aten::add.Tensor", scaled, part)?
            }
        });
    }
    total.map_or_else(|| Refuse::because("index tuples are empty"), Ok)
}
