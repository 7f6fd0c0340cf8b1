//! Reading rules of running sums, products and extremes, and of differences.

use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Equal, OpKind, Or, ReduceKind, ScanReduce, Select};

use super::call::{CallCx, Stop};
use super::formula::{value, when};
use super::index::{counting, cut};
use super::promote::Category;
use super::reduce::ordered;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::cummax", &[OpKind::ScanReduce], cummax),
    ImportRule::new("aten::cummin", &[OpKind::ScanReduce], cummin),
    ImportRule::new("aten::cumprod", &[OpKind::ScanReduce], cumprod),
    ImportRule::new("aten::cumsum", &[OpKind::ScanReduce], cumsum),
    ImportRule::of("aten::cumulative_trapezoid", "dx", &[OpKind::ScanReduce], cumulative_trapezoid),
    ImportRule::of("aten::cumulative_trapezoid", "x", &[OpKind::ScanReduce], cumulative_trapezoid),
    ImportRule::new("aten::diff", &[OpKind::Slice, OpKind::Sub], diff),
    ImportRule::new("aten::logcumsumexp", &[OpKind::ScanReduce, OpKind::Exp], logcumsumexp),
    ImportRule::new("aten::trapezoid", &[OpKind::Reduce], trapezoid),
];

/// A running combination along an axis; a scalar stays.
pub(super) fn scanned(
    cx: &mut CallCx<'_>,
    kind: ReduceKind,
    x: ValueId,
    axis: usize,
) -> Result<ValueId, Stop> {
    if cx.rank(x)? == 0 {
        return Ok(x);
    }
    cx.emit(ScanReduce { kind, axis: axis as i64, exclusive: false, reverse: false }, &[x])
}

fn accumulated(cx: &mut CallCx<'_>, kind: ReduceKind) -> Outcome {
    let x = cx.tensor("self")?;
    let natural = match cx.category(x)? {
        Category::Bool | Category::Int => DType::I64,
        _ => cx.dtype(x)?,
    };
    let dtype = cx.opt_dtype("dtype")?.unwrap_or(natural);
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank)?;
    let x = cx.cast(x, dtype)?;
    Ok(scanned(cx, kind, x, axis)?.into())
}

/// `cumsum`.
fn cumsum(cx: &mut CallCx<'_>) -> Outcome {
    accumulated(cx, ReduceKind::Sum)
}

/// `cumprod`.
fn cumprod(cx: &mut CallCx<'_>) -> Outcome {
    accumulated(cx, ReduceKind::Prod)
}

/// Running extremes and the last position where each was met.
fn running_extreme(cx: &mut CallCx<'_>, kind: ReduceKind) -> Outcome {
    let x = cx.tensor("self")?;
    let dtype = cx.dtype(x)?;
    let shape = cx.shape(x)?;
    let axis = cx.axis("dim", shape.len())?;
    if shape.is_empty() {
        let zero = cx.b().scalar_int(DType::I64, 0)?;
        return Ok([x, zero].into());
    }
    let x = ordered(cx, x)?;
    let best = scanned(cx, kind, x, axis)?;
    let mut met = cx.emit(Equal {}, &[x, best])?;
    if cx.category(x)? == Category::Float {
        let nan = cx.b().is_nan(x)?;
        met = cx.emit(Or {}, &[met, nan])?;
    }
    let at = counting(cx, &shape, axis)?;
    let zero = cx.b().full_like(at, 0.0)?;
    let at = cx.emit(Select {}, &[met, at, zero])?;
    let at = scanned(cx, ReduceKind::Max, at, axis)?;
    Ok([cx.cast(best, dtype)?, at].into())
}

/// `cummax`.
fn cummax(cx: &mut CallCx<'_>) -> Outcome {
    running_extreme(cx, ReduceKind::Max)
}

/// `cummin`.
fn cummin(cx: &mut CallCx<'_>) -> Outcome {
    running_extreme(cx, ReduceKind::Min)
}

/// `logcumsumexp`, in f64 so that what is taken out can be the greatest of all.
fn logcumsumexp(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    super::math::real_only(cx, x)?;
    let dtype = cx.dtype(x)?;
    let rank = cx.rank(x)?;
    let axis = cx.axis("dim", rank)?;
    if rank == 0 {
        return Ok(x.into());
    }
    let wide = cx.cast(x, DType::F64)?;
    let top = cx.b().reduce(ReduceKind::Max, wide, &[axis], true)?;
    let top = when(&value(top).is_infinite(), 0.0, value(top));
    let powers = cx.formula(&(value(wide) - &top).exp(), DType::F64)?;
    let sums = scanned(cx, ReduceKind::Sum, powers, axis)?;
    let y = cx.formula(&(value(sums).log() + top), DType::F64)?;
    Ok(cx.cast(y, dtype)?.into())
}

/// Neighbours along an axis: those from the second on, and those before them.
pub(super) fn neighbours(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
) -> Result<[ValueId; 2], Stop> {
    let later = cut(cx, x, axis, [1.into(), i64::MAX.into()], 1)?;
    let earlier = cut(cx, x, axis, [0.into(), (-1).into()], 1)?;
    // Of no elements there are no neighbours: both have the shape of the later ones.
    let shape = cx.shape(later)?;
    Ok([later, cx.b().reshape(earlier, &shape)?])
}

/// `diff`: differences of neighbours, n times.
fn diff(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let (axis, times) = (cx.axis("dim", rank)?, cx.int("n")?);
    let mut joined = Vec::new();
    for name in ["prepend", "self", "append"] {
        joined.extend(cx.opt_tensor(name)?);
    }
    if !(0..=1000).contains(&times) {
        return cx.unsupported(format!("{times} differences"));
    }
    let mut x = match times {
        0 => x,
        _ => cx.b().concat(&joined, axis)?,
    };
    for _ in 0..times {
        let [later, earlier] = neighbours(cx, x, axis)?;
        x = match cx.category(x)? {
            Category::Bool => cx.emit(airconv_ir::op::Xor {}, &[later, earlier])?,
            _ => cx.b().sub(later, earlier)?,
        };
    }
    Ok(x.into())
}

/// The areas below a curve between neighbouring points.
fn areas(cx: &mut CallCx<'_>) -> Result<(ValueId, usize), Stop> {
    let y = cx.tensor("y")?;
    let rank = cx.rank(y)?;
    let axis = cx.axis("dim", rank)?;
    let width = if cx.has("x") { Width::Points(cx.tensor("x")?) } else { Width::Step };
    let [later, earlier] = neighbours(cx, y, axis)?;
    let sum = match cx.category(later)? {
        Category::Bool => cx.emit(Or {}, &[later, earlier])?,
        _ => cx.b().add(later, earlier)?,
    };
    let sum = super::promote::Operand::Tensor(sum);
    let operands = match width {
        Width::Step => [sum, super::promote::Operand::Number(cx.number("dx")?)],
        Width::Points(x) => {
            let along = match cx.rank(x)? {
                1 => 0,
                r if r == rank => axis,
                _ => return cx.unsupported("points of another rank than the values"),
            };
            let [later, earlier] = neighbours(cx, x, along)?;
            let mut width = cx.b().sub(later, earlier)?;
            if cx.rank(width)? == 1 {
                let after: Vec<usize> = (1..rank - axis).collect();
                width = cx.b().unsqueeze(width, &after)?;
            }
            [sum, super::promote::Operand::Tensor(width)]
        }
    };
    let dtype = super::promote::result_type(cx, &operands)?;
    let both = cx.operands_as(&operands, dtype)?;
    Ok((cx.b().mul(both[0], both[1])?, axis))
}

enum Width {
    /// Equal distances, the argument `dx`.
    Step,
    /// Distances of points.
    Points(ValueId),
}

/// Half of it; integers become f32.
fn halved(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    let x = match cx.category(x)? {
        Category::Bool | Category::Int => cx.cast(x, DType::F32)?,
        _ => x,
    };
    let dtype = cx.dtype(x)?;
    let half = cx.number_value(&super::promote::Number::Float(0.5), dtype)?;
    Ok(cx.b().mul(x, half)?)
}

/// `trapezoid`: the area below a curve.
fn trapezoid(cx: &mut CallCx<'_>) -> Outcome {
    let (areas, axis) = areas(cx)?;
    let areas = match cx.category(areas)? {
        Category::Bool => cx.cast(areas, DType::I64)?,
        _ => areas,
    };
    let sum = cx.b().reduce(ReduceKind::Sum, areas, &[axis], false)?;
    Ok(halved(cx, sum)?.into())
}

/// `cumulative_trapezoid`: the area up to each point.
fn cumulative_trapezoid(cx: &mut CallCx<'_>) -> Outcome {
    let (areas, axis) = areas(cx)?;
    let areas = match cx.category(areas)? {
        Category::Bool => cx.cast(areas, DType::I64)?,
        _ => areas,
    };
    let sums = scanned(cx, ReduceKind::Sum, areas, axis)?;
    Ok(halved(cx, sums)?.into())
}
