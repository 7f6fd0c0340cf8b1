//! Writing rules of the shape family.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{DepthOrder, Op, OpKind, Pad, PadMode};
use airconv_ir::types::TensorType;

use super::cx::{ExportCx, Refuse, Written, args, axes_of, number, number_of, other_op};
use super::elementwise::compute_dtype;
use super::program::{Arg, Var};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Broadcast, broadcast),
    ExportRule::new(OpKind::Reshape, reshape),
    ExportRule::new(OpKind::Transpose, transpose),
    ExportRule::new(OpKind::Slice, slice),
    ExportRule::new(OpKind::Pad, pad),
    ExportRule::new(OpKind::Concat, concat),
    ExportRule::new(OpKind::Iota, iota),
    ExportRule::new(OpKind::Full, full),
    ExportRule::new(OpKind::Flatten, flatten),
    ExportRule::new(OpKind::Squeeze, squeeze),
    ExportRule::new(OpKind::Unsqueeze, unsqueeze),
    ExportRule::new(OpKind::Split, split),
    ExportRule::new(OpKind::Tile, tile),
    ExportRule::new(OpKind::DepthToSpace, depth_to_space),
    ExportRule::new(OpKind::Trilu, trilu),
    ExportRule::new(OpKind::Range, range),
];

fn broadcast(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Broadcast(b) = op else { return other_op() };
    let x = cx.x(0)?;
    let y = cx.expand(x, &b.dims)?;
    cx.one(y)
}

fn reshape(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Reshape(r) = op else { return other_op() };
    let x = cx.x(0)?;
    let y = cx.reshape(x, &r.dims)?;
    cx.one(y)
}

fn transpose(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Transpose(t) = op else { return other_op() };
    let x = cx.x(0)?;
    let y = cx.permute(x, &axes_of(&t.perm)?)?;
    cx.one(y)
}

/// `slice`: one call per axis; a negative step is a positive one and `flip`.
fn slice(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Slice(s) = op else { return other_op() };
    let result = cx.result_type(0)?.shape;
    let mut x = cx.x(0)?;
    for (i, &axis) in axes_of(&s.axes)?.iter().enumerate() {
        let (Some(start), Some(end), Some(&step)) =
            (s.starts.get(i), s.ends.get(i), s.steps.get(i))
        else {
            return Refuse::because("its lists differ in length");
        };
        let size = cx.axis_size(x, axis)?;
        let count = result.get(axis).cloned().unwrap_or(Dim::Any);
        if *start == Dim::Known(0) && step == 1 && covers(end, &size) {
            continue;
        }
        x = match step {
            1.. => cx.slice(x, axis, (start, end), step, count)?,
            _ => backward(cx, x, axis, (start, end), step, count)?,
        };
    }
    cx.one(x)
}

/// Whether an end is that of the axis.
fn covers(end: &Dim, size: &Dim) -> bool {
    end == size || end.as_known().is_some_and(|e| e >= i64::from(i32::MAX))
}

/// A slice that counts down.
fn backward(
    cx: &mut ExportCx<'_, '_>,
    x: Var,
    axis: usize,
    (start, end): (&Dim, &Dim),
    step: i64,
    count: Dim,
) -> Result<Var, Refuse> {
    let size = cx.axis_size(x, axis)?;
    let whole_start = start.as_known() == Some(-1)
        || *start == &size - 1
        || start.as_known().is_some_and(|s| s >= i64::from(i32::MAX));
    let whole_end = end.as_known().is_some_and(|e| e <= -i64::from(i32::MAX));
    if whole_start && whole_end {
        let y = cx.flip(x, &[axis])?;
        return match step {
            -1 => Ok(y),
            _ => cx.slice(y, axis, (&Dim::Known(0), &Dim::Known(i64::MAX)), -step, count),
        };
    }
    let (Some(n), Some(s), Some(e)) = (size.as_known(), start.as_known(), end.as_known()) else {
        return Refuse::because("a slice that counts down from a size that is not known");
    };
    let from_start = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
    let first = from_start(s).clamp(-1, n - 1);
    let end = from_start(e).clamp(-1, n - 1);
    let taken = if first > end { (first - end - 1) / -step + 1 } else { 0 };
    if taken == 0 {
        let none = Dim::Known(0);
        return cx.slice(x, axis, (&none, &none), 1, none.clone());
    }
    let last = first + (taken - 1) * step;
    let bounds = (&Dim::Known(last), &Dim::Known(first + 1));
    let y = cx.slice(x, axis, bounds, -step, count)?;
    cx.flip(y, &[axis])
}

fn pad(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Pad(p) = op else { return other_op() };
    let x = cx.x(0)?;
    let y = match p.mode {
        PadMode::Constant => constant_pad(cx, x, p)?,
        PadMode::Reflect | PadMode::Edge | PadMode::Wrap => mirrored_pad(cx, x, p)?,
    };
    cx.one(y)
}

/// A pad with a value; one that is no constant is put in by a mask.
fn constant_pad(cx: &mut ExportCx<'_, '_>, x: Var, p: &Pad) -> Result<Var, Refuse> {
    let dtype = cx.dtype(x)?;
    let zero = number_of(dtype, 0.0);
    if cx.value(1).is_none() {
        return cx.pad(x, &p.low, &p.high, zero);
    }
    if let Some(value) = cx.scalar(1).as_ref().and_then(number) {
        return cx.pad(x, &p.low, &p.high, value);
    }
    let value = cx.x(1)?;
    let padded = cx.pad(x, &p.low, &p.high, zero)?;
    let shape = cx.shape(x)?;
    let inside = cx.full(&shape, Arg::Bool(true), DType::Bool)?;
    let inside = cx.pad(inside, &p.low, &p.high, Arg::Bool(false))?;
    let value = cx.reshape(value, &[])?;
    cx.select_by(inside, padded, value)
}

/// A pad from the tensor itself: positions are computed by axis and looked up.
fn mirrored_pad(cx: &mut ExportCx<'_, '_>, mut x: Var, p: &Pad) -> Result<Var, Refuse> {
    if let Some(y) = natural_pad(cx, x, p)? {
        return Ok(y);
    }
    let zero = Dim::Known(0);
    for (axis, (low, high)) in p.low.iter().zip(&p.high).enumerate() {
        if *low == zero && *high == zero {
            continue;
        }
        let mut ty = cx.ty(x)?;
        let size = cx.axis_size(x, axis)?;
        let count = &(&size + low) + high;
        let (start, end) = (cx.size(&-low)?, cx.size(&(&size + high))?);
        let index_ty = TensorType::new(DType::I64, [count.clone()]);
        let index = cx.op("aten::arange.start", args![start, end, DType::I64], index_ty)?;
        let index = reflected(cx, index, &size, p.mode)?;
        if let Some(slot) = ty.shape.get_mut(axis) {
            *slot = count;
        }
        x = cx.op("aten::index_select", args![x, axis, index], ty)?;
    }
    Ok(x)
}

/// Positions outside of an axis as positions inside.
fn reflected(
    cx: &mut ExportCx<'_, '_>,
    index: Var,
    size: &Dim,
    mode: PadMode,
) -> Result<Var, Refuse> {
    let last = size - 1;
    match mode {
        PadMode::Edge => {
            let (low, high) = (Arg::Int(0), cx.size(&last)?);
            let ty = cx.ty(index)?;
            cx.op("aten::clamp", args![index, low, high], ty)
        }
        PadMode::Wrap => {
            let size = cx.size(size)?;
            cx.with("aten::remainder.Scalar", index, size)
        }
        _ => {
            // last - |last - index mod (2 last)|; an axis of one element has a period of 1.
            let period = cx.size(&Dim::max(&(&last * 2), &Dim::Known(1)))?;
            let within = cx.with("aten::remainder.Scalar", index, period)?;
            let last = cx.size(&last)?;
            let offset = cx.with("aten::sub.Tensor", within, last.clone())?;
            let distance = cx.unary("aten::abs", offset)?;
            cx.with("aten::rsub.Scalar", distance, last)
        }
    }
}

/// PyTorch's own pad, for the axes, ranks and widths that it takes.
fn natural_pad(cx: &mut ExportCx<'_, '_>, x: Var, p: &Pad) -> Result<Option<Var>, Refuse> {
    let mut ty = cx.ty(x)?;
    let mode = match p.mode {
        PadMode::Reflect => "reflect",
        PadMode::Edge => "replicate",
        _ => return Ok(None),
    };
    let zero = Dim::Known(0);
    let padded = |a: &usize| p.low.get(*a) != Some(&zero) || p.high.get(*a) != Some(&zero);
    let Some(first) = (0..ty.rank()).find(|a| padded(a)) else { return Ok(Some(x)) };
    let axes = ty.rank() - first;
    let mut pads = Vec::new();
    for axis in first..ty.rank() {
        let sides = (p.low[axis].as_known(), p.high[axis].as_known(), &ty.shape[axis]);
        let (Some(low), Some(high), Dim::Known(size)) = sides else { return Ok(None) };
        let fits = low >= 0 && high >= 0 && *size > 0 && low < *size && high < *size;
        if !fits {
            return Ok(None);
        }
        pads.splice(0..0, [low, high]);
        ty.shape[axis] = Dim::Known(size + low + high);
    }
    if axes > 3 || ty.rank() != axes + 2 || !ty.dtype.is_float() || ty.dtype.bits() < 32 {
        return Ok(None);
    }
    cx.op("aten::pad", args![x, &pads, mode], ty).map(Some)
}

fn concat(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Concat(c) = op else { return other_op() };
    let parts = cx.from(0)?;
    if let [one] = parts.as_slice() {
        return cx.one(*one);
    }
    let ty = cx.result_type(0)?;
    let y = cx.op("aten::cat", args![parts, c.axis], ty)?;
    cx.one(y)
}

/// `iota`: `arange` along the axis, repeated along the others.
fn iota(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Iota(i) = op else { return other_op() };
    let axis = axes_of(&[i.axis])?[0];
    let Some(count) = i.dims.get(axis) else { return Refuse::because("it has no such axis") };
    let dtype = match i.dtype {
        d if d.is_complex() => DType::F64,
        d => compute_dtype(d),
    };
    let x = cx.arange(count, dtype)?;
    let x = cx.cast(x, i.dtype)?;
    let mut dims = vec![Dim::Known(1); i.dims.len()];
    dims[axis] = count.clone();
    let x = cx.reshape(x, &dims)?;
    let y = cx.expand(x, &i.dims)?;
    cx.one(y)
}

fn full(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Full(f) = op else { return other_op() };
    let tensor = cx.ex.module.tensors.get(f.value);
    let scalar = tensor.and_then(|t| t.to_array().ok()).and_then(|a| a.get(0));
    let Some(value) = scalar.as_ref().and_then(number) else {
        return Refuse::because("its value is no number that PyTorch can hold");
    };
    let dtype = cx.result_type(0)?.dtype;
    let y = cx.full(&f.dims, value, dtype)?;
    cx.one(y)
}

/// `flatten`: PyTorch's own where the first group is one axis.
fn flatten(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Flatten(f) = op else { return other_op() };
    let x = cx.x(0)?;
    let ty = cx.result_type(0)?;
    if f.axis == 1 && cx.ty(x)?.rank() > 1 {
        let y = cx.op("aten::flatten.using_ints", args![x, 1i64, -1i64], ty)?;
        return cx.one(y);
    }
    let y = cx.reshape(x, &ty.shape)?;
    cx.one(y)
}

fn squeeze(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Squeeze(s) = op else { return other_op() };
    let x = cx.x(0)?;
    let ty = cx.result_type(0)?;
    let y = match s.axes.as_slice() {
        [] => x,
        [one] => cx.op("aten::squeeze.dim", args![x, *one], ty)?,
        axes => cx.op("aten::squeeze.dims", args![x, axes], ty)?,
    };
    cx.one(y)
}

fn unsqueeze(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Unsqueeze(u) = op else { return other_op() };
    let mut x = cx.x(0)?;
    let mut axes = axes_of(&u.axes)?;
    axes.sort_unstable();
    for axis in axes {
        x = cx.unsqueeze(x, axis)?;
    }
    cx.one(x)
}

fn split(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Split(s) = op else { return other_op() };
    let x = cx.x(0)?;
    let axis = axes_of(&[s.axis])?[0];
    let mut types = Vec::new();
    for size in &s.sizes {
        let mut ty = cx.ty(x)?;
        match ty.shape.get_mut(axis) {
            Some(slot) => *slot = size.clone(),
            None => return Refuse::because("it has no such axis"),
        }
        types.push(ty);
    }
    let sizes = cx.sizes(&s.sizes)?;
    let parts = cx.list("aten::split_with_sizes", args![x, sizes, s.axis], types)?;
    Ok(parts.into_iter().map(Some).collect())
}

fn tile(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Tile(t) = op else { return other_op() };
    let x = cx.x(0)?;
    let ty = cx.result_type(0)?;
    let repeats = cx.sizes(&t.repeats)?;
    let y = cx.op("aten::repeat", args![x, repeats], ty)?;
    cx.one(y)
}

/// `depth_to_space`: `pixel_shuffle` where channels are in its order.
fn depth_to_space(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::DepthToSpace(d) = op else { return other_op() };
    if d.mode != DepthOrder::Crd {
        return Refuse::because("PyTorch shuffles pixels in the other order");
    }
    let x = cx.x(0)?;
    let ty = cx.result_type(0)?;
    let y = cx.op("aten::pixel_shuffle", args![x, d.blocksize], ty)?;
    cx.one(y)
}

fn trilu(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Trilu(t) = op else { return other_op() };
    let x = cx.x(0)?;
    if compute_dtype(cx.dtype(x)?) != cx.dtype(x)? {
        return Refuse::because(format!("PyTorch has no triangles of {}", cx.dtype(x)?));
    }
    let k = match cx.size(&t.k)? {
        Arg::Int(0) => Arg::Default,
        k => k,
    };
    let ty = cx.ty(x)?;
    let name = if t.upper { "aten::triu" } else { "aten::tril" };
    let y = cx.op(name, args![x, k], ty)?;
    cx.one(y)
}

/// `range`: bounds have to be numbers or sizes.
fn range(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Range(_) = op else { return other_op() };
    let ty = cx.result_type(0)?;
    let mut bounds = Vec::new();
    for slot in 0..3 {
        let value = cx.required(slot)?;
        let known = cx.ex.scalar_of(value).as_ref().and_then(number);
        bounds.push(match (known, cx.ex.sizes_of(value)) {
            (Some(n), _) => n,
            (None, Some((dims, _))) if dims.len() == 1 => cx.size(&dims[0])?,
            _ => return Refuse::because("a bound is seen at run time only"),
        });
    }
    let wide = TensorType { dtype: compute_dtype(ty.dtype), ..ty.clone() };
    let mut args = bounds;
    args.push(wide.dtype.into());
    let y = cx.op("aten::arange.start_step", args, wide)?;
    let y = cx.cast(y, ty.dtype)?;
    cx.one(y)
}
