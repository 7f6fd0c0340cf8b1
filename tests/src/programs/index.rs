//! Ops that find elements by position.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::*;

use super::maker::{Made, Maker};
use super::{Done, Step};

pub(super) const STEPS: &[Step] = &[
    gather,
    gather,
    gather_elements,
    gather_nd,
    scatter_elements,
    scatter_nd,
    top_k,
    top_k,
    one_hot,
    compress,
];

/// Positions below `n`, negative ones too: computed from an integer value of the program, or
/// constants of a shape.
fn positions(
    m: &mut Maker<'_>,
    n: i64,
    shape: &[usize],
) -> Result<ValueId, airconv_ir::builder::BuildError> {
    let count = shape.iter().product();
    let at: Vec<i64> =
        (0..count).map(|_| m.rng.below(2 * n.max(1) as usize) as i64 - n.max(1)).collect();
    let array = airconv_ir::array::Array::from_i64s(DType::I64, shape.to_vec(), &at);
    m.b.constant(&array.map_err(airconv_ir::builder::BuildError::from)?)
}

/// A known axis that is not empty.
fn target(m: &mut Maker<'_>) -> Option<(Made, Vec<Dim>, usize, i64)> {
    let (x, ty) = m.pick(|ty, _| !ty.shape.is_empty())?;
    let axis = m.axis(&ty)?;
    let n = ty.shape[axis].as_known().filter(|&n| n > 0)?;
    Some((x, ty.shape.to_vec(), axis, n))
}

/// The sizes, if all are known.
fn known(shape: &[Dim]) -> Option<Vec<usize>> {
    shape.iter().map(|d| d.as_known().map(|n| n as usize)).collect()
}

fn gather(m: &mut Maker<'_>) -> Done {
    let Some((x, _, axis, n)) = target(m) else { return Ok(None) };
    let op = Gather { axis: axis as i64 };
    let ints = |ty: &airconv_ir::types::TensorType| ty.dtype == DType::I64 && ty.shape.len() <= 2;
    if m.rng.one_in(2)
        && let Some((i, _)) = m.exact(ints)
    {
        let limit = m.b.scalar_int(DType::I64, n)?;
        let inside = m.b.rem_floor(i.value, limit)?;
        let value = m.b.emit(op, &[x.value, inside])?;
        return Ok(m.keep_moved(value, &[x]));
    }
    let shapes: [&[usize]; 5] = [&[], &[1], &[4], &[2, 3], &[0]];
    let shape = shapes[m.rng.below(5)];
    let at = positions(m, n, shape)?;
    let value = m.b.emit(op, &[x.value, at])?;
    Ok(m.keep_moved(value, &[x]))
}

fn gather_elements(m: &mut Maker<'_>) -> Done {
    let Some((x, dims, axis, n)) = target(m) else { return Ok(None) };
    let Some(mut shape) = known(&dims) else { return Ok(None) };
    shape[axis] = m.rng.below(5);
    let at = positions(m, n, &shape)?;
    let value = m.b.emit(GatherElements { axis: axis as i64 }, &[x.value, at])?;
    Ok(m.keep_moved(value, &[x]))
}

fn gather_nd(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| !ty.shape.is_empty()) else { return Ok(None) };
    let Some(shape) = known(&ty.shape) else { return Ok(None) };
    if shape.contains(&0) {
        return Ok(None);
    }
    let depth = 1 + m.rng.below(shape.len());
    let least = shape[..depth].iter().min().copied().unwrap_or(1);
    let rows = m.rng.below(4);
    let at = positions(m, least as i64, &[rows, depth])?;
    let value = m.b.emit(GatherNd { batch_dims: 0 }, &[x.value, at])?;
    Ok(m.keep_moved(value, &[x]))
}

/// How updates combine; several that hit the same place have no order that all keep where they
/// replace or round.
fn reduction(m: &mut Maker<'_>, dtype: DType) -> ScatterReduction {
    let all = [
        ScatterReduction::Min,
        ScatterReduction::Max,
        ScatterReduction::Add,
        ScatterReduction::Mul,
    ];
    if dtype == DType::Bool { ScatterReduction::Max } else { all[m.rng.below(4)] }
}

fn scatter_elements(m: &mut Maker<'_>) -> Done {
    let Some((x, dims, axis, n)) = target(m) else { return Ok(None) };
    let Some(mut shape) = known(&dims) else { return Ok(None) };
    shape[axis] = m.rng.below(4);
    let at = positions(m, n, &shape)?;
    let updates = m.fixed(x.dtype, &shape)?;
    let op = ScatterElements { axis: axis as i64, reduction: reduction(m, x.dtype) };
    let value = m.b.emit(op, &[x.value, at, updates.value])?;
    Ok(m.keep_rounded(value, &[x]))
}

fn scatter_nd(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| !ty.shape.is_empty()) else { return Ok(None) };
    let Some(shape) = known(&ty.shape) else { return Ok(None) };
    if shape.contains(&0) {
        return Ok(None);
    }
    // One place of the first axis each, so that replacing has an order.
    let rows = m.rng.below(shape[0] + 1);
    let at: Vec<i64> = (0..rows as i64).rev().collect();
    let array = airconv_ir::array::Array::from_i64s(DType::I64, vec![rows, 1], &at);
    let at = m.b.constant(&array.map_err(airconv_ir::builder::BuildError::from)?)?;
    let mut update = vec![rows];
    update.extend(&shape[1..]);
    let updates = m.fixed(x.dtype, &update)?;
    let reduction = if m.rng.one_in(2) { ScatterReduction::None } else { reduction(m, x.dtype) };
    let value = m.b.emit(ScatterNd { reduction }, &[x.value, at, updates.value])?;
    Ok(m.keep_rounded(value, &[x]))
}

fn top_k(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.exact(|ty| !ty.shape.is_empty() && ty.dtype != DType::Bool) else {
        return Ok(None);
    };
    let Some(axis) = m.axis(&ty) else { return Ok(None) };
    let Some(n) = ty.shape[axis].as_known() else { return Ok(None) };
    let k = Dim::Known(m.rng.below(n as usize + 1) as i64);
    let op = TopK { k, axis: axis as i64, largest: m.rng.one_in(2), sorted: true };
    let both = m.b.emit_all(op, &[Some(x.value)])?;
    for value in both {
        m.keep_moved(value, &[x]);
    }
    Ok(Some(()))
}

fn one_hot(m: &mut Maker<'_>) -> Done {
    let Some((i, ty)) = m.exact(|ty| ty.dtype == DType::I64) else { return Ok(None) };
    let values = m.fixed(DType::F32, &[2])?;
    let axis = m.rng.below(ty.shape.len() + 1) as i64;
    let depth = Dim::Known(1 + m.rng.below(5) as i64);
    let value = m.b.emit(OneHot { depth, axis }, &[i.value, values.value])?;
    Ok(m.keep_moved(value, &[values]))
}

/// A number of elements that only the run tells.
fn compress(m: &mut Maker<'_>) -> Done {
    let Some((x, _, axis, n)) = target(m) else { return Ok(None) };
    if !m.rng.one_in(4) {
        return Ok(None);
    }
    let condition = m.fixed(DType::Bool, &[n as usize])?;
    let op = Compress { axis: Some(axis as i64) };
    let value = m.b.emit(op, &[x.value, condition.value])?;
    Ok(m.keep_moved(value, &[x]))
}
