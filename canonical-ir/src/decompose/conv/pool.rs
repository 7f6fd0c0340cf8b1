//! Poolings: windows reduced to one element.

use super::patch::{Positions, places, positions, spread_axis};
use super::{
    DecomposeCx, DecomposeResult, NoDecomposition, Value, lowest, one, pinned, wide, zero,
};
use crate::array::Array;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::conv::window::{WindowAxis, Windows, extent};
use crate::op::*;

/// Windows over the spatial axes of a pooling, with all sizes of the kernel known.
pub(super) struct Pool<'a> {
    pub kernel: &'a [i64],
    pub strides: &'a [i64],
    pub dilations: &'a [i64],
    pub pads: &'a [i64],
    pub auto_pad: AutoPad,
    pub ceil_mode: bool,
}

impl Pool<'_> {
    /// The windows along each spatial axis.
    fn axes(
        &self,
        cx: &DecomposeCx<'_, '_>,
        sizes: &[Dim],
    ) -> Result<Vec<WindowAxis>, NoDecomposition> {
        let kernel: Vec<Dim> = self.kernel.iter().map(|&k| Dim::Known(k)).collect();
        let windows = Windows {
            kernel: &kernel,
            strides: self.strides,
            dilations: self.dilations,
            pads: self.pads,
            auto_pad: self.auto_pad,
            ceil_mode: self.ceil_mode,
        };
        match windows.axes(sizes) {
            Some(axes) => Ok(axes),
            None => cx.unsupported("a list of the pooling is too short"),
        }
    }

    /// Reduces the windows of x by sum or maximum; padding does not count.
    fn reduce(
        &self,
        cx: &mut DecomposeCx<'_, '_>,
        kind: ReduceKind,
        mut x: ValueId,
        axes: &[WindowAxis],
    ) -> Value {
        let ty = cx.b.tensor_ty(x)?;
        let rank = ty.rank();
        let (mut window, mut strides) = (vec![1; rank], vec![1; rank]);
        let (mut dilations, mut pads) = (vec![1; rank], vec![0; 2 * rank]);
        let (mut low, mut high) = (vec![Dim::Known(0); rank], vec![Dim::Known(0); rank]);
        let mut dims = ty.shape.to_vec();
        let mut longer = Vec::new();
        for (i, axis) in axes.iter().enumerate() {
            let a = i + 2;
            let (Some(&k), Some(&s), Some(&d), Some(size)) =
                (self.kernel.get(i), self.strides.get(i), self.dilations.get(i), ty.shape.get(a))
            else {
                return cx.unsupported("a list of the pooling is too short");
            };
            let mut after = axis.high.clone();
            if self.ceil_mode && self.auto_pad == AutoPad::Explicit {
                let reach = &(&(&axis.out - 1) * s) + &extent(&Dim::Known(k), d);
                let needed = &reach - &(size + &axis.low);
                match needed.as_known() {
                    Some(n) => after = Dim::Known(n.max(0)),
                    // Room for one more window at most, which is then left out.
                    None => {
                        after = &after + (s - 1);
                        longer.push((a, axis.out.clone()));
                    }
                }
            }
            window[a] = k;
            strides[a] = s;
            dilations[a] = d;
            match (axis.low.as_known(), after.as_known()) {
                (Some(l), Some(h)) => {
                    pads[a] = l;
                    pads[rank + a] = h;
                }
                _ => {
                    low[a] = axis.low.clone();
                    high[a] = after;
                }
            }
            dims[a] = axis.out.clone();
        }
        if low.iter().chain(&high).any(|d| *d != Dim::Known(0)) {
            let fill = match kind {
                ReduceKind::Max => lowest(cx, ty.dtype)?,
                _ => zero(cx, ty.dtype)?,
            };
            x = cx.b.emit(Pad { low, high, mode: PadMode::Constant }, &[x, fill])?;
        }
        let mut y = cx.b.emit(ReduceWindow { kind, window, strides, dilations, pads }, &[x])?;
        for (a, out) in longer {
            y = cx.b.slice_axis(y, a, Dim::Known(0), out)?;
        }
        pinned(cx, y, &dims)
    }

    /// Whether a window can reach beyond the given padding.
    fn overhangs(&self) -> bool {
        self.ceil_mode && self.auto_pad == AutoPad::Explicit
    }
}

/// `max_pool`
pub fn max_pool(cx: &mut DecomposeCx<'_, '_>, op: &MaxPool) -> DecomposeResult {
    let pool = Pool {
        kernel: &op.kernel_shape,
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: op.auto_pad,
        ceil_mode: op.ceil_mode,
    };
    let (x, shape) = (cx.x(0)?, cx.shape(0)?);
    let axes = pool.axes(cx, shape.get(2..).unwrap_or_default())?;
    let y = pool.reduce(cx, ReduceKind::Max, x, &axes)?;
    let indices = match cx.wants(1) {
        true => Some(max_positions(cx, &pool, x, y, &axes, op.column_major)?),
        false => None,
    };
    Ok(vec![Some(y), indices])
}

/// The flat position in x of the first element of each window that is the window's maximum.
fn max_positions(
    cx: &mut DecomposeCx<'_, '_>,
    pool: &Pool<'_>,
    x: ValueId,
    y: ValueId,
    axes: &[WindowAxis],
    column_major: bool,
) -> Value {
    let shape = cx.b.tensor_ty(x)?.shape;
    let sizes: Vec<Dim> = shape.iter().skip(2).cloned().collect();
    let n = sizes.len();
    let mut patches = x;
    // All of [1, 1, out..., kernel...].
    let mut flat: Option<ValueId> = None;
    let mut valid: Option<ValueId> = None;
    for (i, axis) in axes.iter().enumerate() {
        let (Some(size), Some(&k), Some(&s), Some(&d)) =
            (sizes.get(i), pool.kernel.get(i), pool.strides.get(i), pool.dilations.get(i))
        else {
            return cx.unsupported("a list of the pooling is too short");
        };
        let Positions { at, inside, clamped } = positions(cx, axis, size, (k, s, d))?;
        patches = cx.b.emit(Gather { axis: (2 + 2 * i) as i64 }, &[patches, clamped])?;
        let inside = spread_axis(cx, inside, i, n)?;
        valid = Some(match valid {
            Some(v) => cx.b.and(v, inside)?,
            None => inside,
        });
        let at = spread_axis(cx, at, i, n)?;
        flat = Some(match flat {
            Some(f) => {
                let size = cx.b.dim_scalar(size)?;
                let f = cx.b.mul(f, size)?;
                cx.b.add(f, at)?
            }
            None => at,
        });
    }
    let (Some(flat), Some(valid)) = (flat, valid) else {
        return cx.unsupported("a pooling without spatial axes");
    };
    let mut perm = vec![0, 1];
    perm.extend((0..n as i64).map(|i| 2 + 2 * i));
    perm.extend((0..n as i64).map(|i| 3 + 2 * i));
    let patches = cx.b.transpose(patches, &perm)?;
    let window: Vec<usize> = (2 + n..2 + 2 * n).collect();
    let greatest = cx.b.unsqueeze(y, &window)?;
    let mut hit = cx.b.equal(patches, greatest)?;
    if cx.b.tensor_ty(x)?.dtype.is_float() {
        let nan = cx.b.is_nan(patches)?;
        hit = cx.b.or(hit, nan)?;
    }
    let hit = cx.b.and(hit, valid)?;
    let never = cx.b.scalar_int(DType::I64, i64::MAX)?;
    let found = cx.b.select(hit, flat, never)?;
    let mut first = cx.b.reduce(ReduceKind::Min, found, &window, false)?;
    if column_major && n > 1 {
        first = transposed_position(cx, first, &sizes)?;
    }
    // Add where each channel of each image begins.
    let mut dims: Vec<Dim> = shape.iter().take(2).cloned().collect();
    let plane = crate::dim::numel(&sizes);
    let sample = cx.b.emit(Iota { dtype: DType::I64, dims: dims.clone(), axis: 0 }, &[])?;
    let channel = cx.b.emit(Iota { dtype: DType::I64, dims: dims.clone(), axis: 1 }, &[])?;
    let channels = cx.b.dim_scalar(&dims.get(1).cloned().unwrap_or(Dim::Any))?;
    let row = cx.b.mul(sample, channels)?;
    let row = cx.b.add(row, channel)?;
    let plane = cx.b.dim_scalar(&plane)?;
    let start = cx.b.mul(row, plane)?;
    dims.extend((0..n).map(|_| Dim::Known(1)));
    let start = cx.b.reshape(start, &dims)?;
    Ok(cx.b.add(first, start)?)
}

/// Turns row-major positions in sizes into column-major ones.
fn transposed_position(cx: &mut DecomposeCx<'_, '_>, flat: ValueId, sizes: &[Dim]) -> Value {
    let mut rest = flat;
    let mut coordinates = Vec::with_capacity(sizes.len());
    for size in sizes.iter().rev() {
        let size = cx.b.dim_scalar(size)?;
        coordinates.push(cx.b.rem_floor(rest, size)?);
        rest = cx.b.div(rest, size)?;
    }
    // The last axis comes first in `coordinates` and varies slowest in the result.
    let mut out: Option<ValueId> = None;
    for (c, size) in coordinates.into_iter().zip(sizes.iter().rev()) {
        out = Some(match out {
            None => c,
            Some(o) => {
                let size = cx.b.dim_scalar(size)?;
                let o = cx.b.mul(o, size)?;
                cx.b.add(o, c)?
            }
        });
    }
    Ok(out.unwrap_or(flat))
}

/// `average_pool`
pub fn average_pool(cx: &mut DecomposeCx<'_, '_>, op: &AveragePool) -> DecomposeResult {
    let pool = Pool {
        kernel: &op.kernel_shape,
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: op.auto_pad,
        ceil_mode: op.ceil_mode,
    };
    let (x, ty) = (cx.x(0)?, cx.ty(0)?);
    let compute = wide(ty.dtype);
    let x = cx.b.cast(x, compute)?;
    let sizes = ty.shape.get(2..).unwrap_or_default();
    let axes = pool.axes(cx, sizes)?;
    let sum = pool.reduce(cx, ReduceKind::Sum, x, &axes)?;
    let mut constant = 1.0;
    let mut varying: Option<ValueId> = None;
    for (i, (axis, size)) in axes.iter().zip(sizes).enumerate() {
        let (Some(&k), Some(&s), Some(&d)) =
            (pool.kernel.get(i), pool.strides.get(i), pool.dilations.get(i))
        else {
            return cx.unsupported("a list of the pooling is too short");
        };
        let unpadded = axis.low == Dim::Known(0) && axis.high == Dim::Known(0);
        if !pool.overhangs() && (unpadded || op.count_include_pad) {
            constant *= k as f64;
            continue;
        }
        let count = counted(cx, axis, size, (k, s, d), op.count_include_pad, compute)?;
        let count = cx.b.unsqueeze(count, &(1..sizes.len() - i).collect::<Vec<_>>())?;
        varying = Some(match varying {
            Some(v) => cx.b.mul(v, count)?,
            None => count,
        });
    }
    let constant = cx.b.scalar(compute, constant)?;
    let count = match varying {
        Some(v) => cx.b.mul(v, constant)?,
        None => constant,
    };
    let y = cx.b.div(sum, count)?;
    one(cx.b.cast(y, ty.dtype)?)
}

/// The most windows along an axis whose elements are counted here.
const MOST_COUNTS: i64 = 1 << 20;

/// How many elements of each window along an axis count, as a vector.
fn counted(
    cx: &mut DecomposeCx<'_, '_>,
    axis: &WindowAxis,
    size: &Dim,
    (k, s, d): (i64, i64, i64),
    padding: bool,
    dtype: DType,
) -> Value {
    // In coordinates of the padded axis the elements from `first` to before `end` count.
    let padded = &(size + &axis.low) + &axis.high;
    let (first, end) = match padding {
        true => (Dim::Known(0), padded),
        false => (axis.low.clone(), size + &axis.low),
    };
    let few = axis.out.as_known().filter(|&n| n <= MOST_COUNTS);
    if let (Some(out), Some(first), Some(end)) = (few, first.as_known(), end.as_known()) {
        let (s, d) = (i128::from(s), i128::from(d.max(1)));
        let count = |o: i64| {
            // The first element of window o that is not before `place`.
            let from = |place: i64| {
                let gap = i128::from(place) - i128::from(o) * s;
                (gap + d - 1).div_euclid(d).clamp(0, k.max(0).into())
            };
            (from(end) - from(first)).max(0) as f64
        };
        let counts: Vec<f64> = (0..out).map(count).collect();
        return Ok(cx.b.constant(&Array::from_f64s(dtype, vec![counts.len()], &counts)?)?);
    }
    let whole = WindowAxis { low: Dim::Known(0), ..axis.clone() };
    let at = places(cx, &whole, (k, s, d))?;
    let (first, end) = (cx.b.dim_scalar(&first)?, cx.b.dim_scalar(&end)?);
    let after = cx.b.less_or_equal(first, at)?;
    let before = cx.b.less(at, end)?;
    let inside = cx.b.and(after, before)?;
    let inside = cx.b.cast(inside, dtype)?;
    Ok(cx.b.reduce(ReduceKind::Sum, inside, &[1], false)?)
}

/// |x| to the power p.
fn magnitude(cx: &mut DecomposeCx<'_, '_>, x: ValueId, p: i64) -> Value {
    if p == 2 {
        return Ok(cx.b.mul(x, x)?);
    }
    let x = cx.b.abs(x)?;
    if p == 1 {
        return Ok(x);
    }
    let p = cx.b.scalar_like(x, p as f64)?;
    Ok(cx.b.pow(x, p)?)
}

/// The p-th root.
fn root(cx: &mut DecomposeCx<'_, '_>, x: ValueId, p: i64) -> Value {
    Ok(match p {
        1 => x,
        2 => cx.b.sqrt(x)?,
        _ => {
            let p = cx.b.scalar_like(x, 1.0 / p as f64)?;
            cx.b.pow(x, p)?
        }
    })
}

/// `lp_pool`
pub fn lp_pool(cx: &mut DecomposeCx<'_, '_>, op: &LpPool) -> DecomposeResult {
    let pool = Pool {
        kernel: &op.kernel_shape,
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: op.auto_pad,
        ceil_mode: op.ceil_mode,
    };
    let (x, ty) = (cx.x(0)?, cx.ty(0)?);
    let x = cx.b.cast(x, wide(ty.dtype))?;
    let axes = pool.axes(cx, ty.shape.get(2..).unwrap_or_default())?;
    let powers = magnitude(cx, x, op.p)?;
    let sum = pool.reduce(cx, ReduceKind::Sum, powers, &axes)?;
    let y = root(cx, sum, op.p)?;
    one(cx.b.cast(y, ty.dtype)?)
}

/// The spatial axes of a rank.
fn spatial(rank: usize) -> Vec<usize> {
    (2..rank).collect()
}

/// `global_average_pool`
pub fn global_average_pool(cx: &mut DecomposeCx<'_, '_>, _: &GlobalAveragePool) -> DecomposeResult {
    let (x, ty) = (cx.x(0)?, cx.ty(0)?);
    let x = cx.b.cast(x, wide(ty.dtype))?;
    let y = cx.b.mean(x, &spatial(ty.rank()), true)?;
    one(cx.b.cast(y, ty.dtype)?)
}

/// `global_max_pool`
pub fn global_max_pool(cx: &mut DecomposeCx<'_, '_>, _: &GlobalMaxPool) -> DecomposeResult {
    let (x, rank) = (cx.x(0)?, cx.ty(0)?.rank());
    one(cx.b.reduce(ReduceKind::Max, x, &spatial(rank), true)?)
}

/// `global_lp_pool`
pub fn global_lp_pool(cx: &mut DecomposeCx<'_, '_>, op: &GlobalLpPool) -> DecomposeResult {
    let (x, ty) = (cx.x(0)?, cx.ty(0)?);
    let x = cx.b.cast(x, wide(ty.dtype))?;
    let powers = magnitude(cx, x, op.p)?;
    let sum = cx.b.reduce(ReduceKind::Sum, powers, &spatial(ty.rank()), true)?;
    let y = root(cx, sum, op.p)?;
    one(cx.b.cast(y, ty.dtype)?)
}

/// `lrn`
pub fn lrn(cx: &mut DecomposeCx<'_, '_>, op: &Lrn) -> DecomposeResult {
    let (x, ty) = (cx.x(0)?, cx.ty(0)?);
    let rank = ty.rank();
    let x = cx.b.cast(x, wide(ty.dtype))?;
    let square = cx.b.mul(x, x)?;
    let mut window = vec![1; rank];
    let mut pads = vec![0; 2 * rank];
    if let (Some(w), true) = (window.get_mut(1), rank > 1) {
        *w = op.size;
        pads[1] = (op.size - 1) / 2;
        pads[rank + 1] = op.size / 2;
    }
    let op_window = ReduceWindow {
        kind: ReduceKind::Sum,
        window,
        strides: vec![1; rank],
        dilations: vec![1; rank],
        pads,
    };
    let sum = cx.b.emit(op_window, &[square])?;
    let sum = pinned(cx, sum, &ty.shape)?;
    let scaled = cx.b.mul_const(sum, op.alpha.0 / op.size as f64)?;
    let base = cx.b.add_const(scaled, op.bias.0)?;
    let beta = cx.b.scalar_like(base, op.beta.0)?;
    let factor = cx.b.pow(base, beta)?;
    let y = cx.b.div(x, factor)?;
    one(cx.b.cast(y, ty.dtype)?)
}
