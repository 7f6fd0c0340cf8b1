//! Reading rules of reductions along axes.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{self, ArgKind, ArgReduce, Equal, Not, OpKind, ReduceKind, Select};

use super::call::{CallCx, Stop};
use super::formula::{Formula, value, when, work_dtype};
use super::promote::Category;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::all", &[OpKind::Reduce], all),
    ImportRule::new("aten::amax", &[OpKind::Reduce], amax),
    ImportRule::new("aten::amin", &[OpKind::Reduce], amin),
    ImportRule::new("aten::aminmax", &[OpKind::Reduce], aminmax),
    ImportRule::new("aten::any", &[OpKind::Reduce], any),
    ImportRule::new("aten::argmax", &[OpKind::ArgReduce], argmax),
    ImportRule::new("aten::argmin", &[OpKind::ArgReduce], argmin),
    ImportRule::new("aten::count_nonzero", &[OpKind::Reduce], count_nonzero),
    ImportRule::new("aten::dist", &[OpKind::Sub, OpKind::Reduce], dist),
    ImportRule::new("aten::linalg_vector_norm", &[OpKind::Reduce], vector_norm),
    ImportRule::new("aten::logsumexp", &[OpKind::Reduce, OpKind::Exp, OpKind::Log], logsumexp),
    ImportRule::of("aten::max", "", &[OpKind::Reduce], max_all),
    ImportRule::of("aten::max", "dim", &[OpKind::Reduce, OpKind::ArgReduce], max_dim),
    ImportRule::of("aten::max", "other", &[OpKind::Max], super::elementwise::maximum),
    ImportRule::new("aten::mean", &[OpKind::Reduce, OpKind::Div], mean),
    ImportRule::of("aten::min", "", &[OpKind::Reduce], min_all),
    ImportRule::of("aten::min", "dim", &[OpKind::Reduce, OpKind::ArgReduce], min_dim),
    ImportRule::of("aten::min", "other", &[OpKind::Min], super::elementwise::minimum),
    ImportRule::new("aten::nanmean", &[OpKind::Reduce, OpKind::Div], nanmean),
    ImportRule::new("aten::nansum", &[OpKind::Reduce], nansum),
    ImportRule::new("aten::norm", &[OpKind::Reduce], norm),
    ImportRule::new("aten::prod", &[OpKind::Reduce], prod),
    ImportRule::new("aten::std", &[OpKind::Reduce, OpKind::Sqrt], std),
    ImportRule::new("aten::std_mean", &[OpKind::Reduce, OpKind::Sqrt], std_mean),
    ImportRule::new("aten::sum", &[OpKind::Reduce], sum),
    ImportRule::new("aten::sum_to_size", &[OpKind::Reduce], sum_to_size),
    ImportRule::new("aten::var", &[OpKind::Reduce], var),
    ImportRule::new("aten::var_mean", &[OpKind::Reduce], var_mean),
];

/// The axes of the argument `name`; all where it names none. A scalar has none.
pub(super) fn axes_of(cx: &mut CallCx<'_>, name: &str, x: ValueId) -> Result<Vec<usize>, Stop> {
    let rank = cx.rank(x)?;
    let named = if cx.has(name) { cx.axes(name, rank)? } else { Vec::new() };
    Ok(match (rank, named.is_empty()) {
        (0, _) => Vec::new(),
        (_, true) => (0..rank).collect(),
        (_, false) => named,
    })
}

/// Whether reduced axes stay with size 1.
pub(super) fn keepdim(cx: &mut CallCx<'_>) -> Result<bool, Stop> {
    if cx.has("keepdim") { cx.bool("keepdim") } else { Ok(false) }
}

/// The dtype that is asked for, if any.
fn asked_dtype(cx: &mut CallCx<'_>) -> Result<Option<DType>, Stop> {
    if cx.has("dtype") { cx.opt_dtype("dtype") } else { Ok(None) }
}

/// A reduction along axes.
pub(super) fn reduced(
    cx: &mut CallCx<'_>,
    kind: ReduceKind,
    x: ValueId,
    axes: &[usize],
    keep: bool,
) -> Result<ValueId, Stop> {
    if axes.is_empty() {
        return Ok(x);
    }
    Ok(cx.b().reduce(kind, x, axes, keep)?)
}

/// A sum or product: integers in i64 unless a dtype is asked for.
fn accumulated(cx: &mut CallCx<'_>, kind: ReduceKind) -> Outcome {
    let x = cx.tensor("self")?;
    let natural = match cx.category(x)? {
        Category::Bool | Category::Int => DType::I64,
        _ => cx.dtype(x)?,
    };
    let dtype = asked_dtype(cx)?.unwrap_or(natural);
    let x = cx.cast(x, dtype)?;
    let (axes, keep) = (axes_of(cx, "dim", x)?, keepdim(cx)?);
    if dtype == DType::Bool {
        let kind = if kind == ReduceKind::Sum { ReduceKind::Or } else { ReduceKind::And };
        return Ok(reduced(cx, kind, x, &axes, keep)?.into());
    }
    Ok(reduced(cx, kind, x, &axes, keep)?.into())
}

/// `sum`.
fn sum(cx: &mut CallCx<'_>) -> Outcome {
    accumulated(cx, ReduceKind::Sum)
}

/// `prod`.
fn prod(cx: &mut CallCx<'_>) -> Outcome {
    accumulated(cx, ReduceKind::Prod)
}

/// `sum_to_size`: sums along axes that the sizes lack or have as 1.
fn sum_to_size(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (shape, sizes) = (cx.shape(x)?, cx.dims("size")?);
    let Some(lead) = shape.len().checked_sub(sizes.len()) else {
        return cx.invalid("there are more sizes than axes");
    };
    let goes = |i: usize| match i.checked_sub(lead) {
        None => true,
        Some(own) => sizes[own] != shape[i] && sizes[own].as_known() == Some(1),
    };
    let axes: Vec<usize> = (0..shape.len()).filter(|&i| goes(i)).collect();
    // Integers are summed in i64, where anything is.
    let x = match cx.category(x)? {
        Category::Bool | Category::Int if sizes.is_empty() || !axes.is_empty() => {
            cx.cast(x, DType::I64)?
        }
        _ => x,
    };
    let y = reduced(cx, ReduceKind::Sum, x, &axes, true)?;
    Ok(cx.b().reshape(y, &sizes)?.into())
}

/// The number of elements that each result of a reduction stands for.
fn reduced_count(cx: &CallCx<'_>, x: ValueId, axes: &[usize]) -> Result<Dim, Stop> {
    let shape = cx.shape(x)?;
    let sizes: Vec<Dim> = axes.iter().filter_map(|&a| shape.get(a).cloned()).collect();
    Ok(numel(&sizes))
}

/// A size as a float of rank 0.
fn count_value(cx: &mut CallCx<'_>, count: &Dim, dtype: DType) -> Result<ValueId, Stop> {
    let count = cx.b().dim_scalar(count)?;
    cx.cast(count, dtype)
}

/// `mean`, accumulated in at least f32.
fn mean(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let dtype = asked_dtype(cx)?.unwrap_or(cx.dtype(x)?);
    if matches!(Category::of(dtype), Category::Bool | Category::Int) {
        return cx.invalid("the mean of integers");
    }
    let (axes, keep) = (axes_of(cx, "dim", x)?, keepdim(cx)?);
    let x = cx.cast(x, dtype)?;
    let y = mean_of(cx, x, &axes, keep)?;
    Ok(cx.cast(y, dtype)?.into())
}

/// The mean in the dtype of computation.
pub(super) fn mean_of(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axes: &[usize],
    keep: bool,
) -> Result<ValueId, Stop> {
    let work = work_dtype(cx.dtype(x)?);
    let count = reduced_count(cx, x, axes)?;
    let x = cx.cast(x, work)?;
    if axes.is_empty() {
        return Ok(x);
    }
    if matches!(work, DType::F32 | DType::F64)
        && cx.dtype(x)? == work
        && count.as_known() != Some(0)
    {
        let axes = axes.iter().map(|&a| a as i64).collect();
        return cx.emit(op::ReduceMean { axes, keepdims: keep }, &[x]);
    }
    let sum = reduced(cx, ReduceKind::Sum, x, axes, keep)?;
    let count = count_value(cx, &count, work)?;
    Ok(cx.b().div(sum, count)?)
}

/// NaN replaced by zero, and where it was not.
fn without_nan(cx: &mut CallCx<'_>, x: ValueId) -> Result<(ValueId, ValueId), Stop> {
    let nan = cx.b().is_nan(x)?;
    let zero = cx.b().full_like(x, 0.0)?;
    let clean = cx.emit(Select {}, &[nan, zero, x])?;
    Ok((clean, cx.emit(Not {}, &[nan])?))
}

/// `nansum`: NaN counts as zero.
fn nansum(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    if cx.category(x)? < Category::Float {
        return accumulated(cx, ReduceKind::Sum);
    }
    let dtype = asked_dtype(cx)?.unwrap_or(cx.dtype(x)?);
    let (axes, keep) = (axes_of(cx, "dim", x)?, keepdim(cx)?);
    let (clean, _) = without_nan(cx, x)?;
    let clean = cx.cast(clean, dtype)?;
    Ok(reduced(cx, ReduceKind::Sum, clean, &axes, keep)?.into())
}

/// `nanmean`: the mean of what is not NaN.
fn nanmean(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let dtype = asked_dtype(cx)?.unwrap_or(cx.dtype(x)?);
    let work = work_dtype(dtype);
    let (axes, keep) = (axes_of(cx, "dim", x)?, keepdim(cx)?);
    let (clean, present) = without_nan(cx, x)?;
    let (clean, present) = (cx.cast(clean, work)?, cx.cast(present, work)?);
    let total = reduced(cx, ReduceKind::Sum, clean, &axes, keep)?;
    let count = reduced(cx, ReduceKind::Sum, present, &axes, keep)?;
    let y = cx.b().div(total, count)?;
    Ok(cx.cast(y, dtype)?.into())
}

/// `count_nonzero`.
fn count_nonzero(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let axes = axes_of(cx, "dim", x)?;
    let set = cx.cast(x, DType::Bool)?;
    let set = cx.cast(set, DType::I64)?;
    Ok(reduced(cx, ReduceKind::Sum, set, &axes, false)?.into())
}

/// `any` and `all` give bools, of bytes bytes.
fn truth(cx: &mut CallCx<'_>, kind: ReduceKind) -> Outcome {
    let x = cx.tensor("self")?;
    let dtype = cx.dtype(x)?;
    // An empty list of axes names none here.
    let listed = cx.schema.overload == "dims" && cx.given("dim")?;
    let axes = match listed {
        true if cx.rank(x)? == 0 => Vec::new(),
        true => {
            let rank = cx.rank(x)?;
            cx.axes("dim", rank)?
        }
        false => axes_of(cx, "dim", x)?,
    };
    let keep = keepdim(cx)?;
    let set = cx.cast(x, DType::Bool)?;
    let y = reduced(cx, kind, set, &axes, keep)?;
    Ok(if dtype == DType::U8 { cx.cast(y, dtype)? } else { y }.into())
}

/// `any`.
fn any(cx: &mut CallCx<'_>) -> Outcome {
    truth(cx, ReduceKind::Or)
}

/// `all`.
fn all(cx: &mut CallCx<'_>) -> Outcome {
    truth(cx, ReduceKind::And)
}

/// The greatest or least along axes, NaN wins; of bools their disjunction or conjunction.
pub(super) fn extreme(
    cx: &mut CallCx<'_>,
    greatest: bool,
    x: ValueId,
    axes: &[usize],
    keep: bool,
) -> Result<ValueId, Stop> {
    let kind = match (greatest, cx.category(x)?) {
        (true, Category::Bool) => ReduceKind::Or,
        (false, Category::Bool) => ReduceKind::And,
        (true, _) => ReduceKind::Max,
        (false, _) => ReduceKind::Min,
    };
    reduced(cx, kind, x, axes, keep)
}

/// `amax`.
fn amax(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (axes, keep) = (axes_of(cx, "dim", x)?, keepdim(cx)?);
    Ok(extreme(cx, true, x, &axes, keep)?.into())
}

/// `amin`.
fn amin(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (axes, keep) = (axes_of(cx, "dim", x)?, keepdim(cx)?);
    Ok(extreme(cx, false, x, &axes, keep)?.into())
}

/// `aminmax`.
fn aminmax(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let axes = match cx.given("dim")? {
        true => axes_of(cx, "dim", x)?,
        false => (0..cx.rank(x)?).collect(),
    };
    let keep = keepdim(cx)?;
    let low = extreme(cx, false, x, &axes, keep)?;
    let high = extreme(cx, true, x, &axes, keep)?;
    Ok([low, high].into())
}

/// `max` of all elements.
fn max_all(cx: &mut CallCx<'_>) -> Outcome {
    amax(cx)
}

/// `min` of all elements.
fn min_all(cx: &mut CallCx<'_>) -> Outcome {
    amin(cx)
}

/// Bools as bytes, so that they have an order.
pub(super) fn ordered(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    match cx.category(x)? {
        Category::Bool => cx.cast(x, DType::U8),
        _ => Ok(x),
    }
}

/// The position of an extreme along an axis; a scalar is at position 0.
pub(super) fn position(
    cx: &mut CallCx<'_>,
    kind: ArgKind,
    x: ValueId,
    axis: usize,
    keepdims: bool,
) -> Result<ValueId, Stop> {
    if cx.rank(x)? == 0 {
        return Ok(cx.b().scalar_int(DType::I64, 0)?);
    }
    let x = ordered(cx, x)?;
    cx.emit(ArgReduce { kind, axis: axis as i64, keepdims, select_last: false }, &[x])
}

fn extreme_dim(cx: &mut CallCx<'_>, greatest: bool) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let (axis, keep) = (cx.axis("dim", rank)?, cx.bool("keepdim")?);
    let axes: &[usize] = if rank == 0 { &[] } else { &[axis] };
    let kind = if greatest { ArgKind::Max } else { ArgKind::Min };
    let values = extreme(cx, greatest, x, axes, keep)?;
    let at = position(cx, kind, x, axis, keep)?;
    Ok([values, at].into())
}

/// `max` along an axis, with positions.
fn max_dim(cx: &mut CallCx<'_>) -> Outcome {
    extreme_dim(cx, true)
}

/// `min` along an axis, with positions.
fn min_dim(cx: &mut CallCx<'_>) -> Outcome {
    extreme_dim(cx, false)
}

fn arg_extreme(cx: &mut CallCx<'_>, kind: ArgKind) -> Outcome {
    let x = cx.tensor("self")?;
    let keep = cx.bool("keepdim")?;
    let rank = cx.rank(x)?;
    if cx.given("dim")? {
        let axis = cx.axis("dim", rank)?;
        return Ok(position(cx, kind, x, axis, keep)?.into());
    }
    let shape = cx.shape(x)?;
    let flat = cx.b().reshape(x, &[numel(&shape)])?;
    let at = position(cx, kind, flat, 0, false)?;
    let ones = vec![Dim::Known(1); if keep { rank } else { 0 }];
    Ok(cx.b().reshape(at, &ones)?.into())
}

/// `argmax`.
fn argmax(cx: &mut CallCx<'_>) -> Outcome {
    arg_extreme(cx, ArgKind::Max)
}

/// `argmin`.
fn argmin(cx: &mut CallCx<'_>) -> Outcome {
    arg_extreme(cx, ArgKind::Min)
}

/// `logsumexp`: the greatest is taken out first.
fn logsumexp(cx: &mut CallCx<'_>) -> Outcome {
    let x = super::elementwise::float_operand(cx, "self")?;
    super::math::real_only(cx, x)?;
    let (axes, keep) = (axes_of(cx, "dim", x)?, keepdim(cx)?);
    let dtype = cx.dtype(x)?;
    let wide = cx.cast(x, work_dtype(dtype))?;
    let y = log_sum_exp(cx, wide, &axes, keep)?;
    Ok(cx.cast(y, dtype)?.into())
}

fn log_sum_exp(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axes: &[usize],
    keep: bool,
) -> Result<ValueId, Stop> {
    let work = cx.dtype(x)?;
    let top = reduced(cx, ReduceKind::Max, x, axes, true)?;
    let infinite = value(top).is_infinite();
    let top = cx.formula(&when(&infinite, 0.0, value(top)), work)?;
    let powers = cx.formula(&(value(x) - value(top)).exp(), work)?;
    let sum = reduced(cx, ReduceKind::Sum, powers, axes, true)?;
    let y = cx.formula(&(value(sum).log() + value(top)), work)?;
    Ok(if keep || axes.is_empty() { y } else { cx.b().squeeze(y, &sorted(axes))? })
}

fn sorted(axes: &[usize]) -> Vec<usize> {
    let mut axes = axes.to_vec();
    axes.sort_unstable();
    axes
}

// Variance.

/// The axes of a variance, what is subtracted from the count, and whether axes stay.
fn variance_arguments(cx: &mut CallCx<'_>, x: ValueId) -> Result<(Vec<usize>, f64, bool), Stop> {
    let axes = axes_of(cx, "dim", x)?;
    let correction = if cx.has("correction") {
        cx.opt_float("correction")?.unwrap_or(1.0)
    } else if cx.has("unbiased") {
        f64::from(u8::from(cx.bool("unbiased")?))
    } else {
        1.0
    };
    Ok((axes, correction, keepdim(cx)?))
}

/// Variance and mean in the dtype of computation.
fn variance(cx: &mut CallCx<'_>, x: ValueId) -> Result<(ValueId, ValueId), Stop> {
    let (axes, correction, keep) = variance_arguments(cx, x)?;
    let work = work_dtype(cx.dtype(x)?);
    let wide = cx.cast(x, work)?;
    let center = mean_of(cx, wide, &axes, true)?;
    let distance = value(wide) - value(center);
    // Of complex numbers, squares of magnitudes.
    let (distance, work) = match cx.category(x)? {
        Category::Complex => (distance.abs(), super::complex_part(work)),
        _ => (distance, work),
    };
    let squares = cx.formula(&distance.squared(), work)?;
    let sum = reduced(cx, ReduceKind::Sum, squares, &axes, keep)?;
    let count = reduced_count(cx, x, &axes)?;
    let count = count_value(cx, &count, work)?;
    let divisor = (value(count) - correction).max(0.0);
    let var = cx.formula(&(value(sum) / divisor), work)?;
    let mean = match keep || axes.is_empty() {
        true => center,
        false => cx.b().squeeze(center, &sorted(&axes))?,
    };
    Ok((var, mean))
}

fn deviation(cx: &mut CallCx<'_>, root: bool, with_mean: bool) -> Outcome {
    let x = cx.tensor("self")?;
    let dtype = cx.dtype(x)?;
    let (var, mean) = variance(cx, x)?;
    let spread = if root { cx.b().sqrt(var)? } else { var };
    let spread = cx.cast(spread, super::complex_part(dtype))?;
    if !with_mean {
        return Ok(spread.into());
    }
    let mean = cx.cast(mean, dtype)?;
    Ok([spread, mean].into())
}

/// `var`.
fn var(cx: &mut CallCx<'_>) -> Outcome {
    deviation(cx, false, false)
}

/// `std`.
fn std(cx: &mut CallCx<'_>) -> Outcome {
    deviation(cx, true, false)
}

/// `var_mean`.
fn var_mean(cx: &mut CallCx<'_>) -> Outcome {
    deviation(cx, false, true)
}

/// `std_mean`.
fn std_mean(cx: &mut CallCx<'_>) -> Outcome {
    deviation(cx, true, true)
}

// Norms.

/// The norm of an order along axes; complex numbers count by their magnitudes.
pub(super) fn norm_along(
    cx: &mut CallCx<'_>,
    x: ValueId,
    order: f64,
    axes: &[usize],
    keep: bool,
) -> Result<ValueId, Stop> {
    let size = cx.emit(op::Abs {}, &[x])?;
    let work = work_dtype(cx.dtype(size)?);
    let size = cx.cast(size, work)?;
    let combined = |cx: &mut CallCx<'_>, kind, f: &dyn Fn(Formula) -> Formula| {
        let each = cx.formula(&f(value(size)), work)?;
        reduced(cx, kind, each, axes, keep)
    };
    match order {
        0.0 => {
            let zero = cx.b().full_like(size, 0.0)?;
            let is_zero = cx.emit(Equal {}, &[size, zero])?;
            let set = cx.emit(Not {}, &[is_zero])?;
            let set = cx.cast(set, work)?;
            reduced(cx, ReduceKind::Sum, set, axes, keep)
        }
        1.0 => reduced(cx, ReduceKind::Sum, size, axes, keep),
        2.0 => {
            let sum = combined(cx, ReduceKind::Sum, &|x| x.squared())?;
            Ok(cx.b().sqrt(sum)?)
        }
        f64::INFINITY => norm_extreme(cx, ReduceKind::Max, size, axes, keep),
        f64::NEG_INFINITY => norm_extreme(cx, ReduceKind::Min, size, axes, keep),
        p => {
            let sum = combined(cx, ReduceKind::Sum, &|x| x.pow(p))?;
            cx.formula(&value(sum).pow(1.0 / p), work)
        }
    }
}

/// The norm of infinite order; of nothing 0.
fn norm_extreme(
    cx: &mut CallCx<'_>,
    kind: ReduceKind,
    size: ValueId,
    axes: &[usize],
    keep: bool,
) -> Result<ValueId, Stop> {
    if kind == ReduceKind::Max && reduced_count(cx, size, axes)?.as_known() == Some(0) {
        return reduced(cx, ReduceKind::Sum, size, axes, keep);
    }
    reduced(cx, kind, size, axes, keep)
}

/// `linalg_vector_norm`.
fn vector_norm(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let order = cx.float("ord")?;
    let dtype = match cx.opt_dtype("dtype")? {
        Some(dtype) => dtype,
        None => cx.dtype(x)?,
    };
    let x = cx.cast(x, dtype)?;
    let (axes, keep) = (axes_of(cx, "dim", x)?, cx.bool("keepdim")?);
    let y = norm_along(cx, x, order, &axes, keep)?;
    Ok(cx.cast(y, super::complex_part(dtype))?.into())
}

/// `norm` of an order along axes.
fn norm(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let order = cx.opt_float("p")?.unwrap_or(2.0);
    let dtype = asked_dtype(cx)?.unwrap_or(cx.dtype(x)?);
    let x = cx.cast(x, dtype)?;
    let (axes, keep) = (axes_of(cx, "dim", x)?, keepdim(cx)?);
    let y = norm_along(cx, x, order, &axes, keep)?;
    Ok(cx.cast(y, super::complex_part(dtype))?.into())
}

/// `dist`: the norm of a difference.
fn dist(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    let order = cx.float("p")?;
    let dtype = cx.dtype(operands[0])?;
    let difference = cx.b().sub(operands[0], operands[1])?;
    let axes: Vec<usize> = (0..cx.rank(difference)?).collect();
    let y = norm_along(cx, difference, order, &axes, false)?;
    Ok(cx.cast(y, super::complex_part(dtype))?.into())
}
