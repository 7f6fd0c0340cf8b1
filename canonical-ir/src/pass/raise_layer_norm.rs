//! Recognises layer normalisation that was written out.
//!
//! 1. `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon)` over the last axes is
//!    `layer_normalization(x)` with a scale of ones. The square may be a product or a `pow`,
//!    the quotient a product with a reciprocal or with a power of -0.5.
//! 2. The product of such a result with a tensor over these axes makes that its scale.
//! 3. The sum of a `layer_normalization` without bias and a tensor over these axes makes that
//!    its bias.
//!
//! Declined when the means are not over the last axes, and when an intermediate value has
//! other uses.

use smallvec::SmallVec;

use super::matcher::{Decline, Matched, OrNoMatch, Pattern, axes_from, because, matching, only};
use super::{Editor, Outcome, Pass, PassCx, Site};
use crate::array::{Array, Scalar};
use crate::attr::Float;
use crate::builder::{BuildError, Builder};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::{Constant, Full, LayerNormalization, Op, OpKind};
use crate::tensor::{Storage, Tensor};

/// The pass.
pub struct RaiseLayerNorm;

impl Pass for RaiseLayerNorm {
    fn name(&self) -> &'static str {
        "raise_layer_norm"
    }
    fn doc(&self) -> &'static str {
        "recognises layer normalisation written out"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        Outcome::of(edit.sweep(self.name(), cx, &mut |site, cx| {
            let _ = normalise(site, cx) || scale(site, cx) || bias(site, cx);
        }))
    }
}

/// What is normalised, from which axis on, and what is added under the root.
struct Normalised {
    x: ValueId,
    axis: usize,
    epsilon: f64,
}

/// The value under the root of `1 / sqrt(v)` at a node that multiplies or divides: what is
/// scaled, and v.
pub(super) fn over_root(p: &mut Pattern<'_, '_>) -> Matched<(ValueId, ValueId)> {
    let y = p.site.n().result(0).or_no()?;
    p.or(
        |p| {
            let (d, s) = p.binary(y, OpKind::Div)?;
            Ok((d, p.unary(s, OpKind::Sqrt)?))
        },
        |p| {
            let both = p.binary(y, OpKind::Mul)?;
            p.either(both, |p, d, r| Ok((d, inverse_root(p, r)?)))
        },
    )
}

fn inverse_root(p: &mut Pattern<'_, '_>, r: ValueId) -> Matched<ValueId> {
    p.or(
        |p| {
            let s = p.unary(r, OpKind::Reciprocal)?;
            p.unary(s, OpKind::Sqrt)
        },
        |p| {
            p.or(
                |p| {
                    let (one, s) = p.binary(r, OpKind::Div)?;
                    only(p.site.is_scalar(one, 1.0))?;
                    p.unary(s, OpKind::Sqrt)
                },
                |p| {
                    let (v, exponent) = p.binary(r, OpKind::Pow)?;
                    only(p.site.scalar(exponent) == Some(-0.5))?;
                    Ok(v)
                },
            )
        },
    )
}

/// The operand and axes of a mean that keeps its axes.
pub(super) fn mean(p: &mut Pattern<'_, '_>, v: ValueId) -> Matched<(ValueId, Vec<i64>)> {
    let node = p.find(v, OpKind::ReduceMean)?;
    let Op::ReduceMean(op) = &node.op else { return Err(Decline::NoMatch) };
    only(op.keepdims)?;
    let mut axes = op.axes.clone();
    axes.sort_unstable();
    Ok((node.operand(0).or_no()?, axes))
}

/// The d of d * d or d ^ 2.
pub(super) fn square(p: &mut Pattern<'_, '_>, v: ValueId) -> Matched<ValueId> {
    p.or(
        |p| {
            let (a, b) = p.binary(v, OpKind::Mul)?;
            only(p.same(a, b))?;
            Ok(a)
        },
        |p| {
            let (d, exponent) = p.binary(v, OpKind::Pow)?;
            only(p.site.scalar(exponent) == Some(2.0))?;
            Ok(d)
        },
    )
}

fn find(p: &mut Pattern<'_, '_>) -> Matched<Normalised> {
    let (d, v) = over_root(p)?;
    let (var, epsilon) = p.with_scalar(v, OpKind::Add)?;
    let (sq, axes) = mean(p, var)?;
    let other = square(p, sq)?;
    let (x, m) = p.binary(d, OpKind::Sub)?;
    let (of, mean_axes) = mean(p, m)?;
    only(p.same(d, other) && p.same(of, x))?;
    let x = p.site.unbroadcast(x);
    let rank = p.site.tensor_ty(x).or_no()?.rank();
    let (Some(axis), true) = (axes_from(&axes, rank), axes == mean_axes) else {
        return because("the means are not over the last axes");
    };
    p.closed()?;
    Ok(Normalised { x, axis, epsilon })
}

/// A constant of ones of these sizes.
pub(super) fn ones(b: &mut Builder<'_>, dtype: DType, dims: &[Dim]) -> Result<ValueId, BuildError> {
    let one = Array::full(dtype, Vec::new(), &Scalar::Float(1.0))?;
    let sizes: Option<Vec<u64>> =
        dims.iter().map(|d| d.as_known().and_then(|k| u64::try_from(k).ok())).collect();
    match sizes {
        Some(dims) => {
            let storage = Storage::Splat(one.to_bytes()?.into());
            let tensor = b.add_tensor(Tensor { dtype, dims, storage });
            b.emit(Constant { tensor }, &[])
        }
        None => {
            let value = b.add_tensor(Tensor::from_array(&one)?);
            b.emit(Full { dims: dims.to_vec(), value }, &[])
        }
    }
}

fn normalise(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    if !matches!(site.op(), Op::Mul(_) | Op::Div(_)) {
        return false;
    }
    let Some((found, from)) = matching(site, cx, find) else { return false };
    let Some(ty) = site.tensor_ty(found.x).cloned() else { return false };
    site.replace(cx, "a layer normalisation written out", &from, |b| {
        let scale = ones(b, ty.dtype, ty.shape.get(found.axis..).unwrap_or_default())?;
        let op = LayerNormalization {
            axis: found.axis as i64,
            epsilon: Float(found.epsilon),
            stash: None,
        };
        Ok(vec![Some(b.emit_opt(op, &[Some(found.x), Some(scale)])?)])
    })
}

/// Whether a value has the shape of the normalised axes of x.
pub(super) fn along(site: &Site<'_>, value: ValueId, x: ValueId, axis: i64) -> bool {
    let sizes = |v: ValueId| site.tensor_ty(v).map(|t| &t.shape);
    match (sizes(value), sizes(x), usize::try_from(axis)) {
        (Some(v), Some(x), Ok(axis)) => Some(v.as_slice()) == x.get(axis..),
        _ => false,
    }
}

/// A node that only this one uses, with one result, and what it is combined with here.
fn only_here(
    p: &mut Pattern<'_, '_>,
    v: ValueId,
) -> Matched<(LayerNormalization, SmallVec<[ValueId; 3]>)> {
    let node = p.find(v, OpKind::LayerNormalization)?;
    let Op::LayerNormalization(op) = &node.op else { return Err(Decline::NoMatch) };
    only(node.operand(2).is_none() && node.outputs().count() == 1)?;
    Ok((op.clone(), node.inputs().collect()))
}

fn scale(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    if !matches!(site.op(), Op::Mul(_)) {
        return false;
    }
    let found = matching(site, cx, |p| {
        let both = (p.site.operand(0).or_no()?, p.site.operand(1).or_no()?);
        let (op, x, scale) = p.either(both, |p, normal, scale| {
            let (op, inputs) = only_here(p, normal)?;
            let [x, ones] = inputs[..] else { return Err(Decline::NoMatch) };
            only(p.site.scalar(ones) == Some(1.0))?;
            Ok((op, x, p.site.unbroadcast(scale)))
        })?;
        if !along(p.site, scale, x, op.axis) || p.site.ty(scale).dtype() != p.site.ty(x).dtype() {
            return because("the factor is not along the normalised axes");
        }
        p.closed()?;
        Ok((op, x, scale))
    });
    let Some(((op, x, scale), from)) = found else { return false };
    let why = "the scale of a layer normalisation";
    site.become_op(cx, why, &from, op, &[Some(x), Some(scale)])
}

fn bias(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    if !matches!(site.op(), Op::Add(_)) {
        return false;
    }
    let found = matching(site, cx, |p| {
        let both = (p.site.operand(0).or_no()?, p.site.operand(1).or_no()?);
        let (op, x, scale, bias) = p.either(both, |p, normal, bias| {
            let (op, inputs) = only_here(p, normal)?;
            let [x, scale] = inputs[..] else { return Err(Decline::NoMatch) };
            Ok((op, x, scale, p.site.unbroadcast(bias)))
        })?;
        if !along(p.site, bias, x, op.axis) || p.site.ty(bias).dtype() != p.site.ty(x).dtype() {
            return because("the summand is not along the normalised axes");
        }
        p.closed()?;
        Ok((op, x, scale, bias))
    });
    let Some(((op, x, scale, bias), from)) = found else { return false };
    let why = "the bias of a layer normalisation";
    site.become_op(cx, why, &from, op, &[Some(x), Some(scale), Some(bias)])
}
