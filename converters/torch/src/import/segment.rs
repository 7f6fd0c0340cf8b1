//! Reading rules of reductions of runs along an axis.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{OpKind, ReduceKind};

use super::call::{CallCx, Stop};
use super::formula::{Formula, number, value, when};
use super::index::cut;
use super::rules::{ImportRule, Outcome};
use super::scan::scanned;

pub(super) const RULES: &[ImportRule] = &[ImportRule::new(
    "aten::segment_reduce",
    &[OpKind::ScanReduce, OpKind::Select, OpKind::Reduce],
    segment_reduce,
)];

/// Where runs begin and end, [lead..., runs] of i64.
fn bounds(cx: &mut CallCx<'_>, axis: usize) -> Result<[ValueId; 2], Stop> {
    if let Some(lengths) = cx.opt_tensor("lengths")? {
        let lengths = cx.cast(lengths, DType::I64)?;
        let ends = scanned(cx, ReduceKind::Sum, lengths, axis)?;
        let starts = cx.b().sub(ends, lengths)?;
        return Ok([starts, ends]);
    }
    let Some(offsets) = cx.opt_tensor("offsets")? else {
        return cx.unsupported("runs that are given by neither lengths nor offsets");
    };
    let offsets = cx.cast(offsets, DType::I64)?;
    let starts = cut(cx, offsets, axis, [0.into(), (-1).into()], 1)?;
    let ends = cut(cx, offsets, axis, [1.into(), i64::MAX.into()], 1)?;
    Ok([starts, ends])
}

/// `segment_reduce`: the sum, product, mean, maximum or minimum of each run along an axis.
fn segment_reduce(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["unsafe"]);
    let data = cx.tensor("data")?;
    let (shape, dtype) = (cx.shape(data)?, cx.dtype(data)?);
    let axis = cx.axis("axis", shape.len())?;
    let initial = cx.opt_float("initial")?;
    let how = cx.string("reduce")?;
    let (kind, neutral) = match &*how {
        "sum" | "mean" => (ReduceKind::Sum, 0.0),
        "prod" => (ReduceKind::Prod, 1.0),
        "max" => (ReduceKind::Max, f64::NEG_INFINITY),
        "min" => (ReduceKind::Min, f64::INFINITY),
        other => return cx.invalid(format!("the reduction is `{other}`")),
    };
    let [starts, ends] = bounds(cx, axis)?;
    let inside = membership(cx, data, axis, [starts, ends])?;
    let wide = cx.b().unsqueeze(data, &[axis])?;
    let masked = cx.formula(&when(&value(inside), value(wide), neutral), dtype)?;
    let found = cx.b().reduce(kind, masked, &[axis + 1], false)?;
    let length = cx.b().sub(ends, starts)?;
    let length = behind(cx, length, shape.len() - axis - 1)?;
    let length = cx.cast(length, dtype)?;
    let y = with_initial(&how, &value(found), &value(length), initial.unwrap_or(neutral));
    let y = match initial {
        None if &*how == "mean" => when(&value(length).eq(0.0), f64::NAN, y),
        _ => y,
    };
    Ok(cx.formula(&y, dtype)?.into())
}

/// What a run gives that begins with this.
fn with_initial(how: &str, found: &Formula, length: &Formula, initial: f64) -> Formula {
    match how {
        "sum" => found + initial,
        "prod" => found * initial,
        "max" => found.max(initial),
        "min" => found.min(initial),
        _ => {
            let none = length.eq(0.0);
            when(&none, number(initial), (found + initial) / when(&none, 1.0, length))
        }
    }
}

/// Axes of size 1 behind.
fn behind(cx: &mut CallCx<'_>, x: ValueId, count: usize) -> Result<ValueId, Stop> {
    let rank = cx.rank(x)?;
    let axes: Vec<usize> = (rank..rank + count).collect();
    Ok(cx.b().unsqueeze(x, &axes)?)
}

/// Whether an element belongs to a run, as [lead..., runs, elements, 1...].
fn membership(
    cx: &mut CallCx<'_>,
    data: ValueId,
    axis: usize,
    bounds: [ValueId; 2],
) -> Result<ValueId, Stop> {
    let shape = cx.shape(data)?;
    let Some(size) = shape.get(axis).cloned() else { return cx.invalid("there is no axis") };
    let rest = shape.len() - axis - 1;
    let mut dims = vec![Dim::Known(1); rest + 1];
    dims[0] = size.clone();
    let at = cx.b().iota(DType::I64, size)?;
    let at = cx.b().reshape(at, &dims)?;
    let [starts, ends] = bounds;
    let (starts, ends) = (behind(cx, starts, rest + 1)?, behind(cx, ends, rest + 1)?);
    let (after, before) = (cx.b().less_or_equal(starts, at)?, cx.b().less(at, ends)?);
    Ok(cx.b().and(after, before)?)
}
