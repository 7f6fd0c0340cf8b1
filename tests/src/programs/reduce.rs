//! Reductions.

use airconv_ir::dtype::DType;
use airconv_ir::op::*;
use airconv_ir::types::TensorType;

use super::maker::Maker;
use super::{Done, Step};

pub(super) const STEPS: &[Step] =
    &[reduce, reduce, reduce, extremes, arg_reduce, scan, scan, means, means];

/// Whether a product along axes stays in the range of every float that it may be kept in.
fn is_short(m: &Maker<'_>, ty: &TensorType, axes: &[i64]) -> bool {
    let sizes = axes.iter().filter_map(|&a| m.here(ty.shape.get(a as usize)?));
    sizes.product::<i64>() <= 12
}

fn reduce(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|_, _| true) else { return Ok(None) };
    let (axes, keepdims) = (m.axes(&ty), m.rng.one_in(2));
    if ty.dtype == DType::Bool {
        let kind = if m.rng.one_in(2) { ReduceKind::And } else { ReduceKind::Or };
        return m.moved(Reduce { kind, axes, keepdims }, &[x]);
    }
    let wanted = m.rng.one_in(4);
    let kind = if wanted && is_short(m, &ty, &axes) { ReduceKind::Prod } else { ReduceKind::Sum };
    m.computed(Reduce { kind, axes, keepdims }, &[x])
}

fn extremes(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| ty.dtype != DType::Bool) else { return Ok(None) };
    let (axes, keepdims) = (m.axes(&ty), m.rng.one_in(2));
    let kind = if m.rng.one_in(2) { ReduceKind::Max } else { ReduceKind::Min };
    m.moved(Reduce { kind, axes, keepdims }, &[x])
}

fn arg_reduce(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.exact(|ty| ty.dtype != DType::Bool) else { return Ok(None) };
    let Some(axis) = m.axis(&ty) else { return Ok(None) };
    if m.here(&ty.shape[axis]).is_none_or(|n| n == 0) {
        return Ok(None);
    }
    let kind = if m.rng.one_in(2) { ArgKind::Max } else { ArgKind::Min };
    let (keepdims, select_last) = (m.rng.one_in(2), m.rng.one_in(2));
    m.moved(ArgReduce { kind, axis: axis as i64, keepdims, select_last }, &[x])
}

fn scan(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| ty.dtype != DType::Bool) else { return Ok(None) };
    let Some(axis) = m.axis(&ty) else { return Ok(None) };
    let kinds =
        [ReduceKind::Sum, ReduceKind::Sum, ReduceKind::Prod, ReduceKind::Max, ReduceKind::Min];
    let mut kind = kinds[m.rng.below(5)];
    if kind == ReduceKind::Prod && !is_short(m, &ty, &[axis as i64]) {
        kind = ReduceKind::Max;
    }
    let (exclusive, reverse) = (m.rng.one_in(2), m.rng.one_in(2));
    m.computed(ScanReduce { kind, axis: axis as i64, exclusive, reverse }, &[x])
}

fn means(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.float() else { return Ok(None) };
    let (axes, keepdims) = (m.axes(&ty), m.rng.one_in(2));
    let op: Op = match m.rng.below(5) {
        0 => ReduceL1 { axes, keepdims }.into(),
        1 => ReduceL2 { axes, keepdims }.into(),
        2 => ReduceSumSquare { axes, keepdims }.into(),
        3 => ReduceLogSumExp { axes, keepdims }.into(),
        _ => ReduceMean { axes, keepdims }.into(),
    };
    m.computed(op, &[x])
}
