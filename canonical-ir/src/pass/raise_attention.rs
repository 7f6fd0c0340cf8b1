//! Recognises scaled dot-product attention that was written out.
//!
//! 1. `matmul(softmax(matmul(q, k^T) * scale), v)` over the last axis of tensors of rank 4 with
//!    the same batch and heads is `attention(q, k, v)`. The scale may be a product or a
//!    quotient of the scores, of q or of k, or several of them. `k^T` is a `transpose` that
//!    swaps the last two axes, perhaps along with others.
//! 2. A sum of the scaled scores and a mask gives `attention` that mask.
//! 3. A `select` of the scaled scores by a condition, -inf elsewhere, gives it as a bool mask.
//!
//! Declined when the ranks, batches or heads differ, when the score of hidden positions is
//! finite (a row without any visible position then means something else), and when an
//! intermediate value has other uses.

use super::matcher::{Decline, Matched, OrNoMatch, Pattern, because, matching, only};
use super::{Editor, Outcome, Pass, PassCx, Site};
use crate::attr::Float;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::{Attention, Op, OpKind, Transpose};

/// The pass.
pub struct RaiseAttention;

impl Pass for RaiseAttention {
    fn name(&self) -> &'static str {
        "raise_attention"
    }
    fn doc(&self) -> &'static str {
        "recognises scaled dot-product attention written out"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        Outcome::of(edit.sweep(self.name(), cx, &mut |site, cx| {
            visit(site, cx);
        }))
    }
}

/// The scores before mask and softmax.
struct Scores {
    q: ValueId,
    /// What is transposed to give k, and how.
    k: ValueId,
    perm: Vec<i64>,
    scale: f64,
}

struct Found {
    scores: Scores,
    v: ValueId,
    mask: Option<ValueId>,
}

fn visit(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    if !matches!(site.op(), Op::Matmul(_)) {
        return false;
    }
    let Some((found, from)) = matching(site, cx, find) else { return false };
    let op = Attention {
        is_causal: false,
        q_num_heads: None,
        kv_num_heads: None,
        scale: Some(Float(found.scores.scale)),
        softcap: Float(0.0),
        softmax_precision: None,
        qk_mode: 0,
    };
    site.replace(cx, "attention written out", &from, |b| {
        let Scores { q, k, perm, .. } = found.scores;
        let still = perm.iter().enumerate().all(|(i, &p)| i as i64 == p);
        let k = if still { k } else { b.emit(Transpose { perm }, &[k])? };
        let mut operands = vec![Some(q), Some(k), Some(found.v)];
        operands.extend(found.mask.map(Some));
        Ok(vec![Some(b.emit_opt(op, &operands)?)])
    })
}

fn find(p: &mut Pattern<'_, '_>) -> Matched<Found> {
    let site = p.site;
    let (probabilities, v) = (site.operand(0).or_no()?, site.operand(1).or_no()?);
    let node = p.find(probabilities, OpKind::Softmax)?;
    let Op::Softmax(op) = &node.op else { return Err(Decline::NoMatch) };
    let s = node.operand(0).or_no()?;
    let ty = site.tensor_ty(s).or_no()?.clone();
    only(op.axes == [ty.rank() as i64 - 1])?;
    let (scores, mask) =
        p.or(|p| Ok((scaled(p, s)?, None)), |p| p.or(|p| added(p, s), |p| selected(p, s)))?;
    let sizes = |v: ValueId| site.tensor_ty(v).map(|t| t.shape.as_slice());
    let k: Option<Vec<_>> = sizes(scores.k).and_then(|k| {
        scores.perm.iter().map(|&a| k.get(usize::try_from(a).ok()?).cloned()).collect()
    });
    let (Some([qb, qh, _, qd]), Some([kb, kh, kl, kd]), Some([vb, vh, vl, _])) =
        (sizes(scores.q), k.as_deref(), sizes(v))
    else {
        return because("q, k and v are not of rank 4");
    };
    if [kb, vb].iter().any(|d| *d != qb) || [kh, vh].iter().any(|d| *d != qh) {
        return because("batches or heads of q, k and v differ");
    }
    if kl != vl || qd != kd || ty.rank() != 4 {
        return because("the sizes of q, k and v are not known to fit");
    }
    if !matches!(ty.dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64) {
        return because("the dtype is not a float of 16 bits or more");
    }
    p.closed()?;
    // A mask before broadcasting, where its last axis is that of the scores.
    let mask = mask.map(|m| {
        let inner = site.unbroadcast(m);
        match sizes(inner) {
            Some(d) if (2..=4).contains(&d.len()) && d.last() == Some(kl) => inner,
            _ => m,
        }
    });
    Ok(Found { scores, v, mask })
}

fn added(p: &mut Pattern<'_, '_>, s: ValueId) -> Matched<(Scores, Option<ValueId>)> {
    let both = p.binary(s, OpKind::Add)?;
    p.either(both, |p, scores, mask| Ok((scaled(p, scores)?, Some(mask))))
}

fn selected(p: &mut Pattern<'_, '_>, s: ValueId) -> Matched<(Scores, Option<ValueId>)> {
    let node = p.find(s, OpKind::Select)?;
    let (mask, scores) = (node.operand(0).or_no()?, node.operand(1).or_no()?);
    let hidden = node.operand(2).and_then(|h| p.site.scalar(h)).or_no()?;
    let scores = scaled(p, scores)?;
    if hidden != f64::NEG_INFINITY {
        return because("the score of hidden positions is finite");
    }
    Ok((scores, Some(mask)))
}

/// The one factor of a product that is not a number, and the number.
fn factor(p: &mut Pattern<'_, '_>, v: ValueId) -> (ValueId, f64) {
    let mark = p.consumed.len();
    // Only a product that nothing else uses is taken apart.
    if p.site.uses(v) == 1
        && let (factors, number) = p.factors(v)
        && let [one] = factors[..]
        && p.site.ty(one) == p.site.ty(v)
    {
        return (one, number);
    }
    p.consumed.truncate(mark);
    (v, 1.0)
}

fn scaled(p: &mut Pattern<'_, '_>, v: ValueId) -> Matched<Scores> {
    let (product, scale) = factor(p, v);
    let (q, kt) = p.binary(product, OpKind::Matmul)?;
    let (q, q_scale) = factor(p, q);
    let (kt, kt_scale) = factor(p, kt);
    let (_, node) = p.site.def(kt).or_no()?;
    let Op::Transpose(t) = &node.op else {
        return because("k is not transposed");
    };
    let [a, b, c, d] = t.perm[..] else {
        return because("q, k and v are not of rank 4");
    };
    let transposed = node.operand(0).or_no()?;
    // The transpose may have other uses: k is made anew from its operand.
    let (k, k_scale) = if p.site.uses(kt) == 1 { factor(p, transposed) } else { (transposed, 1.0) };
    let scale = scale * q_scale * kt_scale * k_scale;
    only(scale.is_finite())?;
    Ok(Scores { q, k, perm: vec![a, b, d, c], scale })
}
