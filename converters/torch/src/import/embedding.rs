//! Reading rules of tables of vectors.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Gather, OpKind, ReduceKind, ScatterNd, ScatterReduction};

use super::call::{CallCx, Stop};
use super::formula::{number, value, when, work_dtype};
use super::pool::beside_unwanted;
use super::reduce::norm_along;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_embedding_bag", BAG, embedding_bag),
    ImportRule::new("aten::_embedding_bag_forward_only", BAG, embedding_bag),
    ImportRule::new("aten::embedding", &[OpKind::Gather], embedding),
    ImportRule::new("aten::embedding_bag", BAG, embedding_bag),
    ImportRule::new("aten::embedding_renorm", &[OpKind::Reduce, OpKind::Select], embedding_renorm),
];

const BAG: &[OpKind] = &[OpKind::Gather, OpKind::ScatterNd];

/// `embedding`: rows of a table. What concerns gradients only has no bearing.
fn embedding(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["padding_idx", "scale_grad_by_freq", "sparse"]);
    let (weight, indices) = (cx.tensor("weight")?, cx.tensor("indices")?);
    Ok(cx.emit(Gather { axis: 0 }, &[weight, indices])?.into())
}

/// `embedding_renorm`: rows that occur and are too long are scaled down.
fn embedding_renorm(cx: &mut CallCx<'_>) -> Outcome {
    let (weight, indices) = (cx.tensor("self")?, cx.tensor("indices")?);
    let (most, p) = (cx.float("max_norm")?, cx.float("norm_type")?);
    let (rows, dtype) = (cx.size(weight, 0)?, cx.dtype(weight)?);
    let count = airconv_ir::dim::numel(&cx.shape(indices)?);
    let indices = cx.cast(indices, DType::I64)?;
    let indices = cx.b().reshape(indices, &[1.into(), count])?;
    let numbers = cx.b().iota(DType::I64, rows)?;
    let numbers = cx.b().unsqueeze(numbers, &[1])?;
    let hits = cx.b().equal(numbers, indices)?;
    let occurs = cx.b().reduce(ReduceKind::Or, hits, &[1], true)?;
    let norm = norm_along(cx, weight, p, &[1], true)?;
    let norm = value(norm);
    let long = norm.gt(most).and(value(occurs));
    let scale = when(&long, number(most) / (&norm + 1e-7), 1.0);
    let scale = cx.formula(&scale, work_dtype(dtype))?;
    let scale = cx.cast(scale, dtype)?;
    Ok(cx.b().mul(weight, scale)?.into())
}

/// What the rows of a bag become.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Sum,
    Mean,
    Max,
}

/// `embedding_bag`: sums, means or maxima of the rows from each offset to the next.
fn embedding_bag(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["scale_grad_by_freq", "sparse"]);
    let mode = match cx.int("mode")? {
        0 => Mode::Sum,
        1 => Mode::Mean,
        2 => Mode::Max,
        other => return cx.invalid(format!("there is no mode {other}")),
    };
    if (1..4).any(|i| cx.wants(i)) && cx.wanted.is_some() {
        return cx.unsupported("the results besides the first, which serve gradients");
    }
    let (weight, indices) = (cx.tensor("weight")?, cx.tensor("indices")?);
    let mut offsets = cx.tensor("offsets")?;
    if cx.bool("include_last_offset")? {
        let last = &cx.size(offsets, 0)? - 1;
        offsets = cx.b().slice_axis(offsets, 0, 0.into(), last)?;
    }
    let rows = cx.emit(Gather { axis: 0 }, &[weight, indices])?;
    let rows = match cx.opt_tensor("per_sample_weights")? {
        Some(by) => {
            let mut b = cx.b();
            let by = b.unsqueeze(by, &[1])?;
            b.mul(rows, by)?
        }
        None => rows,
    };
    let counted = counted_rows(cx, weight, indices)?;
    let bags = bag_of_each(cx, indices, offsets)?;
    let y = joined(cx, rows, bags, offsets, counted, mode)?;
    Ok(beside_unwanted(y.into(), 4))
}

/// Which rows count: those whose index is not the padding's. None if all do.
fn counted_rows(
    cx: &mut CallCx<'_>,
    weight: ValueId,
    indices: ValueId,
) -> Result<Option<ValueId>, Stop> {
    if !cx.has("padding_idx") {
        return Ok(None);
    }
    let Some(padding) = cx.opt_int("padding_idx")? else { return Ok(None) };
    let from_end = cx.schema.name == "aten::embedding_bag";
    if padding < 0 && !from_end {
        return Ok(None);
    }
    let padding = match padding < 0 {
        true => &cx.size(weight, 0)? + padding,
        false => Dim::Known(padding),
    };
    let dtype = cx.dtype(indices)?;
    let mut b = cx.b();
    let padding = b.dim_scalar(&padding)?;
    let padding = b.cast(padding, dtype)?;
    let same = b.equal(indices, padding)?;
    Ok(Some(b.not(same)?))
}

/// The number of the bag of each index: how many offsets are not behind it, less one.
fn bag_of_each(cx: &mut CallCx<'_>, indices: ValueId, offsets: ValueId) -> Result<ValueId, Stop> {
    let count = cx.size(indices, 0)?;
    let mut b = cx.b();
    let at = b.iota(DType::I64, count)?;
    let at = b.unsqueeze(at, &[1])?;
    let offsets = b.cast(offsets, DType::I64)?;
    let offsets = b.unsqueeze(offsets, &[0])?;
    let begun = b.less_or_equal(offsets, at)?;
    let begun = b.cast(begun, DType::I64)?;
    let begun = b.reduce(ReduceKind::Sum, begun, &[1], true)?;
    Ok(b.add_const(begun, -1.0)?)
}

/// Rows put together by bag; empty bags are zero.
fn joined(
    cx: &mut CallCx<'_>,
    rows: ValueId,
    bags: ValueId,
    offsets: ValueId,
    counted: Option<ValueId>,
    mode: Mode,
) -> Result<ValueId, Stop> {
    let ty = cx.ty(rows)?;
    let bag_count = cx.size(offsets, 0)?;
    if ty.rank() != 2 {
        return cx.invalid("the rows of bags are vectors");
    }
    let dims = [bag_count.clone(), ty.shape[1].clone()];
    let mut b = cx.b();
    let (neutral, reduction) = match mode {
        Mode::Max => (f64::NEG_INFINITY, ScatterReduction::Max),
        Mode::Sum | Mode::Mean => (0.0, ScatterReduction::Add),
    };
    let neutral = b.scalar(ty.dtype, neutral)?;
    let rows = match counted {
        Some(counted) => {
            let counted = b.unsqueeze(counted, &[1])?;
            b.select(counted, rows, neutral)?
        }
        None => rows,
    };
    let start = b.broadcast_to(neutral, &dims)?;
    let y = b.emit(ScatterNd { reduction }, &[start, bags, rows])?;
    if mode == Mode::Sum {
        return Ok(y);
    }
    let one = match counted {
        Some(counted) => b.cast(counted, ty.dtype)?,
        None => {
            let one = b.scalar(ty.dtype, 1.0)?;
            b.broadcast_to(one, &ty.shape[..1])?
        }
    };
    let zero = b.scalar(ty.dtype, 0.0)?;
    let none = b.broadcast_to(zero, &[bag_count])?;
    let sizes = b.emit(ScatterNd { reduction: ScatterReduction::Add }, &[none, bags, one])?;
    let sizes = b.unsqueeze(sizes, &[1])?;
    if mode == Mode::Max {
        let empty = b.equal(sizes, zero)?;
        return Ok(b.select(empty, zero, y)?);
    }
    let least = b.scalar(ty.dtype, 1.0)?;
    let sizes = b.max(sizes, least)?;
    Ok(b.div(y, sizes)?)
}
