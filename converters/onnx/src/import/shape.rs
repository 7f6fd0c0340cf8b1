//! Reading rules of the shape family.

use airconv_api::ir::array::Array;
use airconv_api::ir::dim::{Dim, broadcast_shapes};
use airconv_api::ir::dtype::DType;
use airconv_api::ir::entity::ValueId;
use airconv_api::ir::op::*;
use airconv_api::ir::tensor::Tensor;

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("CenterCropPad", 18, &[OpKind::CenterCropPad], center_crop_pad),
    ImportRule::new("Concat", 4, &[OpKind::Concat], concat),
    ImportRule::new("Constant", 1, &[OpKind::Constant], constant),
    ImportRule::new("ConstantOfShape", 9, &[OpKind::Full], constant_of_shape),
    ImportRule::new("Expand", 8, &[OpKind::Broadcast], expand),
    ImportRule::new("Flatten", 1, &[OpKind::Flatten], flatten),
    ImportRule::new("Pad", 2, &[OpKind::Pad], pad_attributes),
    ImportRule::new("Pad", 11, &[OpKind::Pad], pad),
    ImportRule::new("Range", 11, &[OpKind::Range], range),
    ImportRule::new("Reshape", 5, &[OpKind::Reshape], reshape),
    ImportRule::new("Shape", 1, &[OpKind::ShapeOf], shape_of),
    ImportRule::new("Slice", 1, &[OpKind::Slice], slice_attributes),
    ImportRule::new("Slice", 10, &[OpKind::Slice], slice),
    ImportRule::new("Split", 2, &[OpKind::Split], split),
    ImportRule::new("Squeeze", 1, &[OpKind::Squeeze], squeeze),
    ImportRule::new("Tile", 6, &[OpKind::Tile], tile),
    ImportRule::new("Transpose", 1, &[OpKind::Transpose], transpose),
    ImportRule::new("Trilu", 14, &[OpKind::Trilu], trilu),
    ImportRule::new("Unsqueeze", 1, &[OpKind::Unsqueeze], unsqueeze),
];

/// `Constant`: one of its value attributes.
fn constant(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let tensor = match cx.tensor("value")? {
        Some(tensor) => tensor,
        None => cx.constant_value()?,
    };
    let out = cx.emit(Constant { tensor }, &[])?;
    cx.note_node(&out, "onnx.constant", "node");
    Ok(out)
}

/// `ConstantOfShape`: an f32 zero where no value is given.
fn constant_of_shape(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let dims = cx.dims_input(0, "the shape")?;
    let value = match cx.tensor("value")? {
        Some(value) => value,
        None => {
            let zero = Array::zeros(DType::F32, vec![1]).and_then(|a| Tensor::from_array(&a));
            cx.b().add_tensor(zero.map_err(|e| Stop::Invalid(e.to_string()))?)
        }
    };
    cx.emit(Full { dims, value }, &[])
}

/// `Reshape`: 0 keeps a size (unless `allowzero`), -1 takes what is left.
fn reshape(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let allow_zero = cx.bool("allowzero", false)?;
    let x = cx.input_ty(0)?;
    if !allow_zero && cx.is_given(1) {
        return Err(Stop::Defer("the shape may hold 0 and -1, which stand for other sizes".into()));
    }
    let asked = cx.dims_input(1, "the shape")?;
    let dims = airconv_api::ir::infer::facts::reshape_dims(&x.shape, &asked, allow_zero)
        .map_err(Stop::Invalid)?;
    let data = cx.input(0)?;
    let out = cx.emit_all(Reshape { dims }, &[data])?;
    if allow_zero {
        cx.note_node(&out, "onnx.allowzero", "1");
    }
    Ok(out)
}

/// `Expand`: both shapes count, as in broadcasting.
fn expand(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (x, ty) = (cx.input(0)?, cx.input_ty(0)?);
    let asked = cx.dims_input(1, "the shape")?;
    let dims =
        broadcast_shapes(&ty.shape, &asked).map_err(|e| Stop::Invalid(e.to_string()))?.to_vec();
    cx.emit_all(Broadcast { dims, implicit: false }, &[x])
}

/// `Flatten`: the axis may be the rank.
fn flatten(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (axis, rank) = (cx.int("axis", 1)?, cx.rank(0)?);
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    let axis = cx.axis(axis, rank + 1)?;
    cx.emit_same(Flatten { axis })
}

/// `Concat`.
fn concat(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let Some(axis) = cx.attrs.opt_int("axis")? else {
        return cx.invalid("attribute `axis` is missing");
    };
    let rank = cx.rank(0)?;
    let axis = cx.axis(axis, rank)?;
    cx.emit_same(Concat { axis })
}

/// `Transpose`: without `perm` the axes are reversed.
fn transpose(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let rank = cx.rank(0)? as i64;
    let perm = cx.attrs.opt_ints("perm")?.unwrap_or_else(|| (0..rank).rev().collect());
    cx.emit_same(Transpose { perm })
}

/// `Shape`: the part of the axes is clamped.
fn shape_of(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (start, end) = (cx.attrs.opt_int("start")?, cx.attrs.opt_int("end")?);
    let rank = cx.rank(0)? as i64;
    let clamp = |at: i64| if at < 0 { at.saturating_add(rank) } else { at }.clamp(0, rank);
    let start = clamp(start.unwrap_or(0));
    let end = end.map(|e| clamp(e).max(start));
    cx.emit_same(ShapeOf { start, end })
}

/// Axes of an op that are an attribute up to version 12 and an input from 13 on.
fn axes(cx: &NodeCx<'_, '_>) -> Result<Option<Vec<i64>>, Stop> {
    if cx.version < 13 {
        return Ok(cx.attrs.opt_ints("axes")?);
    }
    match cx.opt(1) {
        Some(_) => cx.need_ints(1, "the list of axes").map(Some),
        None => Ok(None),
    }
}

/// `Squeeze`: without axes all those of size 1 go.
fn squeeze(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (x, ty) = (cx.input(0)?, cx.input_ty(0)?);
    let axes = match axes(cx)? {
        Some(axes) => cx.axes(&axes, ty.rank())?,
        None => {
            if ty.shape.iter().any(|d| d.as_known().is_none()) {
                return Err(Stop::Defer("which axes have size 1 is only known at run time".into()));
            }
            let ones = ty.shape.iter().enumerate().filter(|(_, d)| **d == Dim::Known(1));
            ones.map(|(i, _)| i as i64).collect()
        }
    };
    cx.emit_all(Squeeze { axes }, &[x])
}

/// `Unsqueeze`: axes count in the result.
fn unsqueeze(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (x, rank) = (cx.input(0)?, cx.rank(0)?);
    let Some(axes) = axes(cx)? else { return cx.invalid("there are no axes") };
    let axes = cx.axes(&axes, rank + axes.len())?;
    cx.emit_all(Unsqueeze { axes }, &[x])
}

/// A slice bound: what stands for "to the end" is one number.
fn bound(dim: Dim) -> Dim {
    match dim {
        Dim::Known(k) if k >= i64::from(i32::MAX) => Dim::Known(i64::MAX),
        Dim::Known(k) if k <= i64::from(-i32::MAX) => Dim::Known(i64::MIN),
        other => other,
    }
}

/// Adds a slice of the first input.
fn sliced(
    cx: &mut NodeCx<'_, '_>,
    starts: Vec<Dim>,
    ends: Vec<Dim>,
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
) -> Outcome {
    let (x, rank, n) = (cx.input(0)?, cx.rank(0)?, starts.len());
    let axes = axes.unwrap_or_else(|| (0..n as i64).collect());
    let axes = cx.axes(&axes, rank)?;
    let steps = steps.unwrap_or_else(|| vec![1; n]);
    let starts = starts.into_iter().map(bound).collect();
    let ends = ends.into_iter().map(bound).collect();
    cx.emit_all(Slice { axes, starts, ends, steps }, &[x])
}

/// `Slice` before version 10.
fn slice_attributes(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let known = |v: Vec<i64>| v.into_iter().map(Dim::Known).collect();
    let (starts, ends) = (known(cx.ints("starts")?), known(cx.ints("ends")?));
    let axes = cx.attrs.opt_ints("axes")?;
    sliced(cx, starts, ends, axes, None)
}

/// `Slice`: everything but axes and steps may be known at run time only.
fn slice(cx: &mut NodeCx<'_, '_>) -> Outcome {
    cx.rank(0)?;
    let list = |cx: &NodeCx<'_, '_>, input: usize, what: &str| match cx.opt(input) {
        Some(_) => cx.need_ints(input, what).map(Some),
        None => Ok(None),
    };
    let axes = list(cx, 3, "the list of axes")?;
    let steps = list(cx, 4, "the list of steps")?;
    let starts = cx.dims_input(1, "the starts")?;
    let ends = cx.dims_input(2, "the ends")?;
    sliced(cx, starts, ends, axes, steps)
}

/// `Split`: by sizes, or into equal parts of which the last may be smaller.
fn split(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (x, ty) = (cx.input(0)?, cx.input_ty(0)?);
    let axis = cx.axis(cx.int("axis", 0)?, ty.rank())?;
    let given = if cx.version < 13 {
        cx.attrs.opt_ints("split")?.map(|v| v.into_iter().map(Dim::Known).collect())
    } else if cx.opt(1).is_some() {
        Some(cx.dims_input(1, "the list of sizes")?)
    } else {
        None
    };
    let parts = cx.int("num_outputs", cx.output_count() as i64)?;
    if parts != cx.output_count() as i64 {
        return cx.invalid(format!("{} outputs, but num_outputs is {parts}", cx.output_count()));
    }
    let sizes = match given {
        Some(sizes) => sizes,
        None => {
            let total = ty.shape.get(axis as usize).cloned().unwrap_or(Dim::Any);
            let part = total.ceil_div(&Dim::Known(parts));
            let last = &total - &(&part * (parts - 1));
            let even = total.as_known().is_some_and(|t| t % parts.max(1) == 0);
            let mut sizes = vec![part.clone(); parts.saturating_sub(1).max(0) as usize];
            sizes.push(if even { part } else { last });
            sizes
        }
    };
    if sizes.len() != cx.output_count() {
        return cx.invalid(format!("{} outputs for {} sizes", cx.output_count(), sizes.len()));
    }
    cx.emit_all(Split { axis, sizes }, &[x])
}

/// `Tile`.
fn tile(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let x = cx.input(0)?;
    let repeats = cx.dims_input(1, "the repeats")?;
    cx.emit_all(Tile { repeats }, &[x])
}

/// `Pad` before version 11.
fn pad_attributes(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (x, ty) = (cx.input(0)?, cx.input_ty(0)?);
    let pads: Vec<Dim> = cx.ints("pads")?.into_iter().map(Dim::Known).collect();
    let value = cx.float("value", 0.0)?.0;
    let value = if value == 0.0 { None } else { Some(cx.b().scalar(ty.dtype, value)?) };
    padded(cx, x, value, pads, None)
}

/// `Pad`: pads, value and axes are inputs.
fn pad(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let x = cx.input(0)?;
    cx.rank(0)?;
    let axes = match cx.opt(3) {
        Some(_) => Some(cx.need_ints(3, "the list of axes")?),
        None => None,
    };
    let pads = cx.dims_input(1, "the pads")?;
    let value = cx.opt(2);
    padded(cx, x, value, pads, axes)
}

fn padded(
    cx: &mut NodeCx<'_, '_>,
    x: ValueId,
    value: Option<ValueId>,
    pads: Vec<Dim>,
    axes: Option<Vec<i64>>,
) -> Outcome {
    let mode = cx.choice("mode", "constant", PadMode::parse)?;
    let rank = cx.rank(0)?;
    let axes = match axes {
        Some(axes) => cx.axes(&axes, rank)?,
        None => (0..rank as i64).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return cx.invalid(format!("{} pads for {} axes", pads.len(), axes.len()));
    }
    let (first, last) = pads.split_at(axes.len());
    let mut low = vec![Dim::Known(0); rank];
    let mut high = low.clone();
    for ((&axis, l), h) in axes.iter().zip(first).zip(last) {
        if let (Some(a), Some(b)) = (low.get_mut(axis as usize), high.get_mut(axis as usize)) {
            (*a, *b) = (l.clone(), h.clone());
        }
    }
    cx.emit(Pad { low, high, mode }, &[Some(x), value])
}

/// `Trilu`: the diagonal is an input.
fn trilu(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let x = cx.input(0)?;
    let upper = cx.bool("upper", true)?;
    let k = match cx.opt(1) {
        Some(_) => cx.dim_input(1, "the diagonal")?,
        None => Dim::Known(0),
    };
    cx.emit_all(Trilu { upper, k }, &[x])
}

/// `CenterCropPad`: the sizes are an input.
fn center_crop_pad(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (x, rank) = (cx.input(0)?, cx.rank(0)?);
    let axes = match cx.attrs.opt_ints("axes")? {
        Some(axes) => cx.axes(&axes, rank)?,
        None => (0..rank as i64).collect(),
    };
    let dims = cx.dims_input(1, "the shape")?;
    cx.emit_all(CenterCropPad { axes, dims }, &[x])
}

/// `Range`: the size where the operands are known.
fn range(cx: &mut NodeCx<'_, '_>) -> Outcome {
    if cx.has_attr("stash_type") {
        cx.must_be("stash_type", 1)?;
    }
    let size = range_size(cx).filter(|d| !d.is_any());
    cx.emit_same(Range { size })
}

fn range_size(cx: &NodeCx<'_, '_>) -> Option<Dim> {
    let zero = Dim::Known(0);
    if cx.dtype(0).ok()?.is_integer() {
        let one = |input| cx.facts(input)?.first().cloned();
        let (start, limit, delta) = (one(0)?, one(1)?, one(2)?);
        delta.as_known().filter(|d| *d != 0)?;
        let n = (&limit - &start).ceil_div(&delta);
        return Some(cx.simplified(Dim::max(&n, &zero)));
    }
    let one = |input| cx.const_array(input)?.to_f64s()?.first().copied();
    let n = ((one(1)? - one(0)?) / one(2)?).ceil().max(0.0);
    (n < 1e15).then_some(Dim::Known(n as i64))
}
