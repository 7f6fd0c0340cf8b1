//! Recognises root mean square normalisation that was written out.
//!
//! 1. `x / sqrt(mean(x^2) + epsilon)` over the last axes is `rms_normalization(x)` with a scale
//!    of ones. The square may be a product or a `pow`, the quotient a product with a reciprocal
//!    or with a power of -0.5.
//! 2. The product of such a result with a tensor over these axes makes that its scale.
//!
//! Declined when the mean is not over the last axes, and when an intermediate value has other
//! uses. Runs after `raise_layer_norm`, whose pattern holds this one.

use super::matcher::{Decline, OrNoMatch, axes_from, because, matching, only};
use super::raise_layer_norm::{along, mean, ones, over_root, square};
use super::{Editor, Outcome, Pass, PassCx, Site};
use crate::attr::Float;
use crate::op::{Op, OpKind, RmsNormalization};

/// The pass.
pub struct RaiseRmsNorm;

impl Pass for RaiseRmsNorm {
    fn name(&self) -> &'static str {
        "raise_rms_norm"
    }
    fn doc(&self) -> &'static str {
        "recognises root mean square normalisation written out"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        Outcome::of(edit.sweep(self.name(), cx, &mut |site, cx| {
            let _ = normalise(site, cx) || scale(site, cx);
        }))
    }
}

fn normalise(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    if !matches!(site.op(), Op::Mul(_) | Op::Div(_)) {
        return false;
    }
    let found = matching(site, cx, |p| {
        let (x, v) = over_root(p)?;
        let (ms, epsilon) = p.with_scalar(v, OpKind::Add)?;
        let (sq, axes) = mean(p, ms)?;
        let other = square(p, sq)?;
        only(p.same(x, other))?;
        let x = p.site.unbroadcast(x);
        let ty = p.site.tensor_ty(x).or_no()?.clone();
        let Some(axis) = axes_from(&axes, ty.rank()) else {
            return because("the mean is not over the last axes");
        };
        p.closed()?;
        Ok((x, axis, epsilon, ty))
    });
    let Some(((x, axis, epsilon, ty), from)) = found else { return false };
    site.replace(cx, "a root mean square normalisation written out", &from, |b| {
        let scale = ones(b, ty.dtype, ty.shape.get(axis..).unwrap_or_default())?;
        let op = RmsNormalization { axis: axis as i64, epsilon: Float(epsilon), stash: None };
        Ok(vec![Some(b.emit_opt(op, &[Some(x), Some(scale)])?)])
    })
}

fn scale(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    if !matches!(site.op(), Op::Mul(_)) {
        return false;
    }
    let found = matching(site, cx, |p| {
        let both = (p.site.operand(0).or_no()?, p.site.operand(1).or_no()?);
        let (op, x, scale) = p.either(both, |p, normal, scale| {
            let node = p.find(normal, OpKind::RmsNormalization)?;
            let Op::RmsNormalization(op) = &node.op else { return Err(Decline::NoMatch) };
            let (x, ones) = (node.operand(0).or_no()?, node.operand(1).or_no()?);
            only(p.site.scalar(ones) == Some(1.0))?;
            Ok((op.clone(), x, p.site.unbroadcast(scale)))
        })?;
        if !along(p.site, scale, x, op.axis) || p.site.ty(scale).dtype() != p.site.ty(x).dtype() {
            return because("the factor is not along the normalised axes");
        }
        p.closed()?;
        Ok((op, x, scale))
    });
    let Some(((op, x, scale), from)) = found else { return false };
    let why = "the scale of a root mean square normalisation";
    site.become_op(cx, why, &from, op, &[Some(x), Some(scale)])
}
