//! Reading rules of distances between vectors, and of forms of two vectors.

use airconv_ir::builder::Builder;
use airconv_ir::dim::Dim;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Einsum, NanRule, OpKind, ReduceKind};

use super::call::{CallCx, Stop};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::bilinear", &[OpKind::Einsum], bilinear),
    ImportRule::new("aten::cosine_similarity", &[OpKind::Reduce], cosine_similarity),
    ImportRule::new("aten::pairwise_distance", &[OpKind::Reduce], pairwise_distance),
];

/// The p-norm along the last axis.
pub(super) fn norm(
    b: &mut Builder<'_>,
    x: ValueId,
    p: f64,
    keepdims: bool,
) -> Result<ValueId, Stop> {
    let Some(last) = b.tensor_ty(x)?.rank().checked_sub(1) else {
        return Err(Stop::Invalid("a norm is of vectors".to_owned()));
    };
    let axes = [last];
    let magnitude = b.abs(x)?;
    if p == f64::INFINITY {
        return Ok(b.reduce(ReduceKind::Max, magnitude, &axes, keepdims)?);
    }
    if p == f64::NEG_INFINITY {
        return Ok(b.reduce(ReduceKind::Min, magnitude, &axes, keepdims)?);
    }
    if p == 0.0 {
        let zero = b.scalar_like(x, 0.0)?;
        let same = b.equal(x, zero)?;
        let differ = b.not(same)?;
        let dtype = b.tensor_ty(x)?.dtype;
        let count = b.cast(differ, dtype)?;
        return Ok(b.reduce(ReduceKind::Sum, count, &axes, keepdims)?);
    }
    if p == 1.0 {
        return Ok(b.reduce(ReduceKind::Sum, magnitude, &axes, keepdims)?);
    }
    if p == 2.0 {
        let square = b.mul(x, x)?;
        let sum = b.reduce(ReduceKind::Sum, square, &axes, keepdims)?;
        return Ok(b.sqrt(sum)?);
    }
    let exponent = b.scalar_like(x, p)?;
    let power = b.pow(magnitude, exponent)?;
    let sum = b.reduce(ReduceKind::Sum, power, &axes, keepdims)?;
    let root = b.scalar_like(x, 1.0 / p)?;
    Ok(b.pow(sum, root)?)
}

/// The p-norm of x1 - x2 + eps along the last axis.
pub(super) fn distance(
    b: &mut Builder<'_>,
    [x1, x2]: [ValueId; 2],
    p: f64,
    eps: f64,
    keepdims: bool,
) -> Result<ValueId, Stop> {
    let difference = b.sub(x1, x2)?;
    let moved = b.add_const(difference, eps)?;
    norm(b, moved, p, keepdims)
}

/// `pairwise_distance`.
fn pairwise_distance(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted_float(&["x1", "x2"])?;
    let (p, eps, keepdims) = (cx.float("p")?, cx.float("eps")?, cx.bool("keepdim")?);
    Ok(distance(&mut cx.b(), [operands[0], operands[1]], p, eps, keepdims)?.into())
}

/// The cosine of the angle between two vectors along an axis, whose lengths are at least eps.
fn cosine_similarity(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted_float(&["x1", "x2"])?;
    let (x1, x2) = (operands[0], operands[1]);
    let rank = cx.rank(x1)?;
    let (axis, eps) = (cx.axis("dim", rank)?, cx.float("eps")?);
    let mut b = cx.b();
    let mut units = Vec::new();
    for x in [x1, x2] {
        let square = b.mul(x, x)?;
        let sum = b.reduce(ReduceKind::Sum, square, &[axis], true)?;
        let length = b.sqrt(sum)?;
        let least = b.scalar_like(length, eps)?;
        let length =
            b.broadcasting(airconv_ir::op::Max { nan: NanRule::Propagate }, &[length, least])?;
        units.push(b.div(x, length)?);
    }
    let product = b.mul(units[0], units[1])?;
    Ok(b.reduce(ReduceKind::Sum, product, &[axis], false)?.into())
}

/// `bilinear`: for each output a form of two vectors, plus a bias.
fn bilinear(cx: &mut CallCx<'_>) -> Outcome {
    let (x1, x2) = (cx.tensor("input1")?, cx.tensor("input2")?);
    let (weight, bias) = (cx.tensor("weight")?, cx.opt_tensor("bias")?);
    let shape = cx.shape(x1)?;
    let Some((_, lead)) = shape.split_last() else {
        return cx.invalid("a bilinear form is of vectors");
    };
    let rows = airconv_ir::dim::numel(lead);
    let mut dims: Vec<Dim> = lead.to_vec();
    dims.push(cx.size(weight, 0)?);
    let mut b = cx.b();
    let mut flat = Vec::new();
    for x in [x1, x2] {
        let shape = b.tensor_ty(x)?.shape;
        let last = shape.last().cloned().unwrap_or(Dim::Known(1));
        flat.push(b.reshape(x, &[rows.clone(), last])?);
    }
    let op = Einsum { equation: "ni,oij,nj->no".to_owned() };
    let y = b.emit(op, &[flat[0], weight, flat[1]])?;
    let y = match bias {
        Some(bias) => b.add(y, bias)?,
        None => y,
    };
    Ok(b.reshape(y, &dims)?.into())
}
