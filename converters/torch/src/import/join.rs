//! Reading rules of what joins tensors or pairs them up.

use airconv_ir::array::Array;
use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Gather, OpKind};

use super::call::{CallCx, Stop};
use super::layout::{wide_1d, wide_2d, wide_3d};
use super::promote::Number;
use super::rules::{ImportRule, Outcome};
use super::shape::{filled, joined_all, promoted_list, reshaped};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_chunk_cat", &[OpKind::Pad, OpKind::Concat], chunk_cat),
    ImportRule::new("aten::block_diag", &[OpKind::Concat], block_diag),
    ImportRule::new("aten::broadcast_tensors", &[OpKind::Broadcast], broadcast_tensors),
    ImportRule::new("aten::cartesian_prod", &[OpKind::Broadcast, OpKind::Concat], cartesian_prod),
    ImportRule::new("aten::column_stack", &[OpKind::Concat], column_stack),
    ImportRule::new("aten::combinations", &[OpKind::Gather], combinations),
    ImportRule::new("aten::dstack", &[OpKind::Concat], dstack),
    ImportRule::new("aten::hstack", &[OpKind::Concat], hstack),
    ImportRule::new("aten::meshgrid", &[OpKind::Broadcast], meshgrid),
    ImportRule::new("aten::vstack", &[OpKind::Concat], vstack),
];

/// The list in a common dtype, each of a widened shape.
fn widened(cx: &mut CallCx<'_>, widen: fn(&[Dim]) -> Vec<Dim>) -> Result<Vec<ValueId>, Stop> {
    let list = promoted_list(cx, "tensors")?;
    list.into_iter()
        .map(|x| {
            let dims = widen(&cx.shape(x)?);
            reshaped(cx, x, &dims)
        })
        .collect()
}

/// `hstack`: along the second axis, vectors along the first.
fn hstack(cx: &mut CallCx<'_>) -> Outcome {
    let list = widened(cx, wide_1d)?;
    let Some(&first) = list.first() else { return cx.invalid("there is nothing to join") };
    let axis = usize::from(cx.rank(first)? > 1);
    Ok(joined_all(cx, &list, axis)?.into())
}

/// `vstack`: along the first axis, vectors as rows.
fn vstack(cx: &mut CallCx<'_>) -> Outcome {
    let list = widened(cx, wide_2d)?;
    Ok(joined_all(cx, &list, 0)?.into())
}

/// `dstack`: along the third axis.
fn dstack(cx: &mut CallCx<'_>) -> Outcome {
    let list = widened(cx, wide_3d)?;
    Ok(joined_all(cx, &list, 2)?.into())
}

/// `column_stack`: along the second axis, vectors as columns.
fn column_stack(cx: &mut CallCx<'_>) -> Outcome {
    let list = widened(cx, |shape| match shape {
        [] => vec![1.into(), 1.into()],
        [n] => vec![n.clone(), 1.into()],
        _ => shape.to_vec(),
    })?;
    Ok(joined_all(cx, &list, 1)?.into())
}

/// `block_diag`: matrices along the diagonal.
fn block_diag(cx: &mut CallCx<'_>) -> Outcome {
    let list = widened(cx, wide_2d)?;
    let mut widths = Vec::new();
    for &x in &list {
        widths.push(cx.shape(x)?[1].clone());
    }
    let total = widths.iter().fold(Dim::Known(0), |sum, w| &sum + w);
    let mut rows = Vec::new();
    let mut before = Dim::Known(0);
    for (&x, width) in list.iter().zip(&widths) {
        let dtype = cx.dtype(x)?;
        let height = cx.shape(x)?[0].clone();
        let after = &(&total - &before) - width;
        let zeros = |cx: &mut CallCx<'_>, width: Dim| {
            filled(cx, &[height.clone(), width], &Number::Int(0.into()), dtype)
        };
        let (left, right) = (zeros(cx, before.clone())?, zeros(cx, after)?);
        let row = joined_all(cx, &[left, x, right], 1)?;
        rows.push(reshaped(cx, row, &[height, total.clone()])?);
        before = &before + width;
    }
    Ok(joined_all(cx, &rows, 0)?.into())
}

/// `broadcast_tensors`: to the common shape.
fn broadcast_tensors(cx: &mut CallCx<'_>) -> Outcome {
    let list = cx.tensors("tensors")?;
    Ok(cx.broadcast(&list)?.into())
}

/// Vectors, each along an axis of its own, broadcast to the grid of all.
fn grid(cx: &mut CallCx<'_>, list: &[ValueId]) -> Result<Vec<ValueId>, Stop> {
    let mut sizes = Vec::new();
    for &x in list {
        sizes.push(numel(&cx.shape(x)?));
    }
    let mut out = Vec::new();
    for (axis, &x) in list.iter().enumerate() {
        let mut dims = vec![Dim::Known(1); list.len()];
        dims[axis] = sizes[axis].clone();
        let x = reshaped(cx, x, &dims)?;
        out.push(cx.broadcast_to(x, &sizes)?);
    }
    Ok(out)
}

/// `meshgrid`: coordinates of the points of a grid.
fn meshgrid(cx: &mut CallCx<'_>) -> Outcome {
    let mut list = cx.tensors("tensors")?;
    let swapped = cx.has("indexing") && &*cx.string("indexing")? == "xy" && list.len() > 1;
    if swapped {
        list.swap(0, 1);
    }
    let mut out = grid(cx, &list)?;
    if swapped {
        out.swap(0, 1);
    }
    Ok(out.into())
}

/// `cartesian_prod`: all combinations of the elements of vectors, one row each.
fn cartesian_prod(cx: &mut CallCx<'_>) -> Outcome {
    let list = promoted_list(cx, "tensors")?;
    if let [one] = list[..] {
        return Ok(one.into());
    }
    let mut columns = Vec::new();
    for x in grid(cx, &list)? {
        let count = numel(&cx.shape(x)?);
        columns.push(reshaped(cx, x, &[count, 1.into()])?);
    }
    Ok(joined_all(cx, &columns, 1)?.into())
}

/// `combinations` of so many elements of a vector, one row each.
fn combinations(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (r, again) = (cx.int("r")?, cx.bool("with_replacement")?);
    let Some(n) = cx.shape(x)?.first().and_then(Dim::as_known) else {
        return cx.unsupported("combinations of an unknown number of elements");
    };
    const MOST: usize = 1 << 20;
    let mut rows: Vec<Vec<i64>> = vec![Vec::new()];
    for _ in 0..r {
        let mut longer = Vec::new();
        for row in &rows {
            let from = row.last().map_or(0, |&last| if again { last } else { last + 1 });
            longer.extend((from..n).map(|next| row.iter().copied().chain([next]).collect()));
            if longer.len() > MOST {
                return cx.unsupported(format!("more than {MOST} combinations"));
            }
        }
        rows = longer;
    }
    if r <= 0 {
        return Ok(filled(cx, &[0.into()], &Number::Int(0.into()), cx.dtype(x)?)?.into());
    }
    let flat: Vec<i64> = rows.iter().flatten().copied().collect();
    let array = Array::from_i64s(DType::I64, vec![rows.len(), r as usize], &flat)
        .map_err(|e| Stop::Invalid(e.to_string()))?;
    let at = cx.b().constant(&array)?;
    Ok(cx.emit(Gather { axis: 0 }, &[x, at])?.into())
}

/// `_chunk_cat`: each tensor in chunks, filled up with zeros; the flat chunks side by side.
fn chunk_cat(cx: &mut CallCx<'_>) -> Outcome {
    let list = promoted_list(cx, "tensors")?;
    let (axis, chunks) = (cx.int("dim")?, cx.int("num_chunks")?);
    if chunks <= 0 {
        return cx.invalid("the number of chunks has to be positive");
    }
    let mut parts = Vec::new();
    for x in list {
        let (shape, dtype) = (cx.shape(x)?, cx.dtype(x)?);
        let axis = cx.resolve_axis(axis, shape.len())?;
        let part = Dim::ceil_div(&shape[axis], &chunks.into());
        let mut more = shape.clone();
        more[axis] = &(&part * chunks) - &shape[axis];
        let zeros = filled(cx, &more, &Number::Int(0.into()), dtype)?;
        let whole = joined_all(cx, &[x, zeros], axis)?;
        let mut dims = shape[..axis].to_vec();
        dims.extend([chunks.into(), &part * &numel(&shape[axis + 1..])]);
        parts.push(reshaped(cx, whole, &dims)?);
    }
    let Some(&first) = parts.first() else { return cx.invalid("there is nothing to join") };
    let last = cx.rank(first)? - 1;
    Ok(joined_all(cx, &parts, last)?.into())
}
