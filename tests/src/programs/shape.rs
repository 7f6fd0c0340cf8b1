//! Ops that move elements.

use airconv_ir::dim::Dim;
use airconv_ir::op::*;

use super::maker::{Maker, extent};
use super::{Done, Step};

pub(super) const STEPS: &[Step] = &[
    reshape, reshape, transpose, transpose, transpose, broadcast, broadcast, slice, slice, slice,
    pad, pad, concat, concat, split, tile, trilu, unsqueeze, flatten, blocks, iota,
];

/// Merges neighbours, splits a size, or makes all of it one axis.
fn reshape(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|_, _| true) else { return Ok(None) };
    let mut dims = ty.shape.to_vec();
    match m.rng.below(3) {
        0 if dims.len() >= 2 => {
            let at = m.rng.below(dims.len() - 1);
            let merged = &dims[at] * &dims[at + 1];
            dims.splice(at..at + 2, [merged]);
        }
        1 if !dims.is_empty() => {
            let at = m.rng.below(dims.len());
            let Some(n) = dims[at].as_known() else { return Ok(None) };
            let Some(&by) = [2, 3, 4].iter().find(|&&d| n > 0 && n % d == 0) else {
                return Ok(None);
            };
            dims.splice(at..=at, [Dim::Known(by), Dim::Known(n / by)]);
        }
        _ => dims = vec![airconv_ir::dim::numel(&dims)],
    }
    m.moved(Reshape { dims }, &[x])
}

fn transpose(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| ty.shape.len() >= 2) else { return Ok(None) };
    let mut perm: Vec<i64> = (0..ty.shape.len() as i64).collect();
    for i in (1..perm.len()).rev() {
        perm.swap(i, m.rng.below(i + 1));
    }
    m.moved(Transpose { perm }, &[x])
}

/// A new first axis, or an axis of size 1 made longer.
fn broadcast(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|_, _| true) else { return Ok(None) };
    let mut dims: Vec<Dim> = ty.shape.to_vec();
    for dim in &mut dims {
        if dim.as_known() == Some(1) && m.rng.one_in(2) {
            *dim = extent(&mut m.rng);
        }
    }
    if m.rng.one_in(2) {
        dims.insert(0, Dim::Known(1 + m.rng.below(3) as i64));
    }
    m.moved(Broadcast { dims, implicit: false }, &[x])
}

/// A part of some axes, with steps of either sign.
fn slice(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| !ty.shape.is_empty()) else { return Ok(None) };
    let axes = m.axes(&ty);
    let (mut starts, mut ends, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for _ in &axes {
        let step = [1, 1, 1, 2, 3, -1, -2][m.rng.below(7)];
        let (near, far) = (m.rng.below(4) as i64, m.rng.below(9) as i64);
        let (start, end) = match (step > 0, m.rng.below(3)) {
            (true, 0) => (near, i64::MAX),
            (true, 1) => (near, near + far),
            (true, _) => (-far - 1, i64::MAX),
            (false, 0) => (-1, i64::MIN + 1),
            (false, 1) => (far, -near - 2),
            (false, _) => (-1 - near, i64::MIN + 1),
        };
        starts.push(Dim::Known(start));
        ends.push(Dim::Known(end));
        steps.push(step);
    }
    m.moved(Slice { axes, starts, ends, steps }, &[x])
}

/// More at the ends, or less; constants, or images of what is there.
fn pad(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| !ty.shape.is_empty()) else { return Ok(None) };
    let mode =
        [PadMode::Constant, PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap]
            [m.rng.below(5)];
    let mut ends = || -> Vec<Dim> {
        let one = |d: &Dim| {
            let known = d.as_known().unwrap_or(0);
            let most = if mode == PadMode::Constant { 3 } else { (known - 1).clamp(0, 2) };
            let n = m.rng.below(most as usize + 1) as i64;
            if mode == PadMode::Constant && known > 4 && m.rng.one_in(5) { -1 } else { n }
        };
        ty.shape.iter().map(one).map(Dim::Known).collect()
    };
    let (low, high) = (ends(), ends());
    let op = Pad { low, high, mode };
    if mode != PadMode::Constant || m.rng.one_in(2) {
        return m.moved(op, &[x]);
    }
    let value = m.fixed(ty.dtype, &[])?;
    m.moved(op, &[x, value])
}

fn concat(m: &mut Maker<'_>) -> Done {
    let Some((a, ty)) = m.pick(|ty, _| !ty.shape.is_empty()) else { return Ok(None) };
    let Some(axis) = m.axis(&ty) else { return Ok(None) };
    let fits = |other: &airconv_ir::types::TensorType, _: f64| {
        let pairs = other.shape.iter().zip(&ty.shape).enumerate();
        other.dtype == ty.dtype
            && other.shape.len() == ty.shape.len()
            && pairs.into_iter().all(|(i, (x, y))| i == axis || x == y)
    };
    let mut parts = vec![a];
    for _ in 0..1 + m.rng.below(2) {
        parts.extend(m.pick(fits).map(|p| p.0));
    }
    m.moved(Concat { axis: axis as i64 }, &parts)
}

fn split(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| !ty.shape.is_empty()) else { return Ok(None) };
    let Some(axis) = m.axis(&ty) else { return Ok(None) };
    let Some(n) = ty.shape[axis].as_known() else { return Ok(None) };
    let first = m.rng.below(n.max(0) as usize + 1) as i64;
    let sizes = vec![Dim::Known(first), Dim::Known(n - first)];
    for part in m.b.emit_all(Split { axis: axis as i64, sizes }, &[Some(x.value)])? {
        m.keep_moved(part, &[x]);
    }
    Ok(Some(()))
}

fn tile(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| !ty.shape.is_empty()) else { return Ok(None) };
    let repeats = ty.shape.iter().map(|_| Dim::Known([1, 1, 2, 3][m.rng.below(4)])).collect();
    m.moved(Tile { repeats }, &[x])
}

fn trilu(m: &mut Maker<'_>) -> Done {
    let Some((x, _)) = m.pick(|ty, _| ty.shape.len() >= 2) else { return Ok(None) };
    let k = Dim::Known(m.rng.below(5) as i64 - 2);
    let upper = m.rng.one_in(2);
    m.moved(Trilu { upper, k }, &[x])
}

fn unsqueeze(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|_, _| true) else { return Ok(None) };
    let ones = ty.shape.iter().position(|d| d.as_known() == Some(1));
    match ones {
        Some(axis) if m.rng.one_in(2) => m.moved(Squeeze { axes: vec![axis as i64] }, &[x]),
        _ => {
            let axis = m.rng.below(ty.shape.len() + 1) as i64;
            m.moved(Unsqueeze { axes: vec![axis] }, &[x])
        }
    }
}

fn flatten(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|_, _| true) else { return Ok(None) };
    let axis = m.rng.below(ty.shape.len() + 1) as i64;
    m.moved(Flatten { axis }, &[x])
}

/// Channels to space and back.
fn blocks(m: &mut Maker<'_>) -> Done {
    let by = |d: &Dim, n: i64| d.as_known().is_some_and(|k| k > 0 && k % n == 0);
    if m.rng.one_in(2) {
        let found = m.pick(|ty, _| ty.shape.len() == 4 && by(&ty.shape[1], 4));
        let Some((x, _)) = found else { return Ok(None) };
        let mode = if m.rng.one_in(2) { DepthOrder::Dcr } else { DepthOrder::Crd };
        return m.moved(DepthToSpace { blocksize: 2, mode }, &[x]);
    }
    let fits = |s: &[Dim]| s.len() == 4 && by(&s[2], 2) && by(&s[3], 2);
    let Some((x, _)) = m.pick(|ty, _| fits(&ty.shape)) else { return Ok(None) };
    m.moved(SpaceToDepth { blocksize: 2 }, &[x])
}

/// Counting in the shape of a value.
fn iota(m: &mut Maker<'_>) -> Done {
    let Some((_, ty)) = m.pick(|ty, _| !ty.shape.is_empty()) else { return Ok(None) };
    let Some(axis) = m.axis(&ty) else { return Ok(None) };
    let dtype = [airconv_ir::dtype::DType::I64, airconv_ir::dtype::DType::I32][m.rng.below(2)];
    m.moved(Iota { dtype, dims: ty.shape.to_vec(), axis: axis as i64 }, &[])
}
