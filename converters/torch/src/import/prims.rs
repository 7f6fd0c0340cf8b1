//! Reading rules of the primitives that decomposed programs contain and that are not ATen
//! operators under another name.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Broadcast, Iota, OpKind, Pow, ReduceKind};

use super::call::{CallCx, Stop};
use super::create::dtype_or;
use super::index::{chosen, permuted};
use super::layout::reversed;
use super::promote::{Category, Number};
use super::reduce::{extreme, mean_of, reduced};
use super::rules::{ImportRule, Outcome};
use super::shape::filled;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("prims::amax", &[OpKind::Reduce], amax),
    ImportRule::new("prims::amin", &[OpKind::Reduce], amin),
    ImportRule::new("prims::broadcast_in_dim", &[OpKind::Broadcast], broadcast_in_dim),
    ImportRule::new("prims::collapse", &[OpKind::Reshape], collapse),
    ImportRule::new("prims::collapse_view", &[OpKind::Reshape], collapse),
    ImportRule::new("prims::convert_element_type", &[OpKind::Cast], convert),
    ImportRule::new("prims::device_put", &[], same),
    ImportRule::new("prims::div", &[OpKind::Div], div),
    ImportRule::new("prims::full", &[OpKind::Broadcast], full),
    ImportRule::new("prims::full_like", &[OpKind::Broadcast], full_like),
    ImportRule::new("prims::iota", &[OpKind::Iota], iota),
    ImportRule::new("prims::pow", &[OpKind::Pow], pow),
    ImportRule::new("prims::prod", &[OpKind::Reduce], prod),
    ImportRule::new("prims::reshape", &[OpKind::Reshape], reshape),
    ImportRule::new("prims::rev", &[OpKind::Slice], rev),
    ImportRule::new("prims::round", &[OpKind::Round], round),
    ImportRule::new("prims::split_dim", &[OpKind::Reshape], split_dim),
    ImportRule::new("prims::squeeze", &[OpKind::Squeeze], squeeze),
    ImportRule::new("prims::sum", &[OpKind::Reduce], sum),
    ImportRule::new("prims::transpose", &[OpKind::Transpose], transpose),
    ImportRule::new("prims::var", &[OpKind::Reduce], var),
    ImportRule::new("prims::view_of", &[], same),
    ImportRule::new("prims::where", &[OpKind::Select], where_),
];

/// What has no bearing on values.
fn same(cx: &mut CallCx<'_>) -> Outcome {
    Ok(cx.tensor("a")?.into())
}

/// Axes that must be named: none is none.
fn named_axes(cx: &mut CallCx<'_>, x: ValueId) -> Result<Vec<usize>, Stop> {
    let rank = cx.rank(x)?;
    match cx.given("dims")? {
        true => cx.axes("dims", rank),
        false => Ok((0..rank).collect()),
    }
}

/// The tensor that is reduced in the dtype of the result, and the axes.
fn operand(cx: &mut CallCx<'_>) -> Result<(ValueId, Vec<usize>), Stop> {
    let x = cx.tensor("inp")?;
    let x = match cx.opt_dtype("output_dtype")? {
        Some(dtype) => cx.cast(x, dtype)?,
        None => x,
    };
    Ok((x, named_axes(cx, x)?))
}

/// `prims.sum`.
fn sum(cx: &mut CallCx<'_>) -> Outcome {
    let (x, axes) = operand(cx)?;
    Ok(reduced(cx, ReduceKind::Sum, x, &axes, false)?.into())
}

/// `prims.prod`.
fn prod(cx: &mut CallCx<'_>) -> Outcome {
    let (x, axes) = operand(cx)?;
    Ok(reduced(cx, ReduceKind::Prod, x, &axes, false)?.into())
}

/// `prims.amax`.
fn amax(cx: &mut CallCx<'_>) -> Outcome {
    let (x, axes) = operand(cx)?;
    Ok(extreme(cx, true, x, &axes, false)?.into())
}

/// `prims.amin`.
fn amin(cx: &mut CallCx<'_>) -> Outcome {
    let (x, axes) = operand(cx)?;
    Ok(extreme(cx, false, x, &axes, false)?.into())
}

/// `prims.var`.
fn var(cx: &mut CallCx<'_>) -> Outcome {
    let (x, axes) = operand(cx)?;
    let correction = cx.opt_float("correction")?.unwrap_or(1.0);
    let dtype = cx.dtype(x)?;
    super::math::real_only(cx, x)?;
    let work = super::formula::work_dtype(dtype);
    let wide = cx.cast(x, work)?;
    let center = mean_of(cx, wide, &axes, true)?;
    let apart = cx.b().sub(wide, center)?;
    let squares = cx.b().mul(apart, apart)?;
    let total = reduced(cx, ReduceKind::Sum, squares, &axes, false)?;
    let shape = cx.shape(x)?;
    let sizes: Vec<Dim> = axes.iter().filter_map(|&a| shape.get(a).cloned()).collect();
    let count = cx.b().dim_scalar(&numel(&sizes))?;
    let count = cx.cast(count, work)?;
    let divisor = (super::formula::value(count) - correction).max(0.0);
    let y = cx.formula(&(super::formula::value(total) / divisor), work)?;
    Ok(cx.cast(y, dtype)?.into())
}

/// `prims.broadcast_in_dim`: axes go to these places of a shape, and are repeated there.
fn broadcast_in_dim(cx: &mut CallCx<'_>) -> Outcome {
    let (x, dims) = (cx.tensor("a")?, cx.dims("shape")?);
    let places = cx.axes("broadcast_dimensions", dims.len())?;
    let shape = cx.shape(x)?;
    let mut spread = vec![Dim::Known(1); dims.len()];
    for (size, &place) in shape.iter().zip(&places) {
        spread[place] = size.clone();
    }
    let x = cx.b().reshape(x, &spread)?;
    if spread == dims {
        return Ok(x.into());
    }
    Ok(cx.emit(Broadcast { dims, implicit: false }, &[x])?.into())
}

/// `prims.collapse`: axes from `start` to `end`, both included, become one.
fn collapse(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("a")?;
    let shape = cx.shape(x)?;
    let (start, end) = (cx.axis("start", shape.len())?, cx.axis("end", shape.len())?);
    if shape.is_empty() || start > end {
        return cx.unsupported("axes in this order");
    }
    let mut dims = shape[..start].to_vec();
    dims.push(numel(&shape[start..=end]));
    dims.extend_from_slice(&shape[end + 1..]);
    Ok(cx.b().reshape(x, &dims)?.into())
}

/// `prims.split_dim`: an axis becomes two.
fn split_dim(cx: &mut CallCx<'_>) -> Outcome {
    let (x, outer) = (cx.tensor("a")?, cx.dim("outer_length")?);
    let shape = cx.shape(x)?;
    let axis = cx.axis("dim", shape.len())?;
    let Some(size) = shape.get(axis) else { return cx.invalid("there is no such axis") };
    let mut dims = shape[..axis].to_vec();
    dims.extend([outer.clone(), Dim::floor_div(size, &outer)]);
    dims.extend_from_slice(&shape[axis + 1..]);
    Ok(cx.b().reshape(x, &dims)?.into())
}

/// `prims.reshape`.
fn reshape(cx: &mut CallCx<'_>) -> Outcome {
    let (x, dims) = (cx.tensor("a")?, cx.dims("shape")?);
    Ok(cx.b().reshape(x, &dims)?.into())
}

/// `prims.squeeze`.
fn squeeze(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("a")?;
    let rank = cx.rank(x)?;
    let mut axes = cx.axes("dimensions", rank)?;
    axes.sort_unstable();
    Ok(cx.b().squeeze(x, &axes)?.into())
}

/// `prims.transpose`.
fn transpose(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("a")?;
    let perm = cx.ints("permutation")?;
    Ok(permuted(cx, x, &perm)?.into())
}

/// `prims.rev`: axes in reverse.
fn rev(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("a")?;
    let axes = named_axes(cx, x)?;
    Ok(reversed(cx, x, &axes)?.into())
}

/// `prims.convert_element_type`.
fn convert(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("a")?;
    match cx.opt_dtype("dtype")? {
        Some(dtype) => Ok(cx.cast(x, dtype)?.into()),
        None => cx.invalid("there is no dtype"),
    }
}

/// `prims.div`: of integers toward zero.
fn div(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    Ok(cx.b().div(operands[0], operands[1])?.into())
}

/// `prims.pow`.
fn pow(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    Ok(cx.emit(Pow {}, &operands)?.into())
}

/// `prims.round`: to integers, ties to even.
fn round(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    Ok(match cx.category(x)? {
        Category::Float => cx.b().round(x)?,
        _ => x,
    }
    .into())
}

/// `prims.full`.
fn full(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["requires_grad"]);
    let (dims, number) = (cx.dims("shape")?, cx.number("fill_value")?);
    let dtype = dtype_or(cx, number.default_dtype())?;
    Ok(filled(cx, &dims, &number, dtype)?.into())
}

/// `prims.full_like`.
fn full_like(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["requires_grad"]);
    let (x, number) = (cx.tensor("a")?, cx.number("fill_value")?);
    let own = cx.dtype(x)?;
    let (shape, dtype) = (cx.shape(x)?, dtype_or(cx, own)?);
    Ok(filled(cx, &shape, &number, dtype)?.into())
}

/// `prims.iota`: start, start + step ...
fn iota(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["requires_grad"]);
    let (length, start, step) = (cx.dim("length")?, cx.dim("start")?, cx.dim("step")?);
    let dtype = dtype_or(cx, DType::I64)?;
    let at = cx.emit(Iota { dtype: DType::I64, dims: vec![length], axis: 0 }, &[])?;
    let at = super::linear::scaled(cx, at, &Number::Int(step))?;
    let start = cx.b().dim_scalar(&start)?;
    let at = cx.b().add(at, start)?;
    Ok(cx.cast(at, dtype)?.into())
}

/// `prims.where`.
fn where_(cx: &mut CallCx<'_>) -> Outcome {
    let (pred, a, b) = (cx.tensor("pred")?, cx.tensor("a")?, cx.tensor("b")?);
    Ok(chosen(cx, pred, a, b)?.into())
}
