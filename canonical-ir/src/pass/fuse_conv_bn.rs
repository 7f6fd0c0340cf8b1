//! Multiplies constants into the weights of convolutions.
//!
//! 1. `batch_normalization` in inference mode of a `conv` or `conv_transpose`, with constant
//!    statistics, scale, bias and weights: weights and bias are recomputed in f64, and the
//!    normalisation goes.
//! 2. The product or quotient of a convolution and a constant per channel, or a scalar.
//! 3. The sum or difference of a convolution and a constant per channel, or a scalar.
//!
//! Declined when the convolution or its weights have other uses, when weights are not constant
//! floats of 16 bits or more, and when a recomputed number would not be finite.

use super::matcher::{Decline, Matched, OrNoMatch, Pattern, because, matching, only};
use super::{Editor, Outcome, Pass, PassCx, Site};
use crate::array::Array;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::module::Node;
use crate::op::{Op, OpKind};

/// The pass.
pub struct FuseConvBn;

impl Pass for FuseConvBn {
    fn name(&self) -> &'static str {
        "fuse_conv_bn"
    }
    fn doc(&self) -> &'static str {
        "multiplies batch normalisation and constants per channel into convolution weights"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        Outcome::of(edit.sweep(self.name(), cx, &mut |site, cx| {
            visit(site, cx);
        }))
    }
}

/// Larger constants are not read.
const MOST_BYTES: u64 = 1 << 30;

/// `factor * y + shift` per channel; one entry stands for all channels.
struct Affine {
    factor: Vec<f64>,
    shift: Vec<f64>,
}

impl Affine {
    fn at(&self, channel: usize) -> (f64, f64) {
        let of = |v: &[f64]| v.get(if v.len() == 1 { 0 } else { channel }).copied();
        (of(&self.factor).unwrap_or(f64::NAN), of(&self.shift).unwrap_or(f64::NAN))
    }
}

/// A convolution with the numbers to be multiplied into it.
struct Folded {
    op: Op,
    x: ValueId,
    weights: Array,
    bias: Option<Array>,
}

fn visit(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let why = match site.op() {
        Op::BatchNormalization(_) => "a batch normalisation of a convolution",
        Op::Mul(_) | Op::Div(_) => "a factor per channel of a convolution",
        Op::Add(_) | Op::Sub(_) => "a summand per channel of a convolution",
        _ => return false,
    };
    let Some((folded, from)) = matching(site, cx, find) else { return false };
    site.replace(cx, why, &from, |b| {
        let weights = b.constant(&folded.weights)?;
        let bias = match &folded.bias {
            Some(bias) => Some(b.constant(bias)?),
            None => None,
        };
        let y = b.emit_opt(folded.op, &[Some(folded.x), Some(weights), bias])?;
        let mut out = vec![Some(y)];
        out.resize(3, None);
        Ok(out)
    })
}

fn find(p: &mut Pattern<'_, '_>) -> Matched<Folded> {
    let (conv, affine) = match p.site.op() {
        Op::BatchNormalization(_) => normalisation(p)?,
        _ => arithmetic(p)?,
    };
    fold(p, conv, &affine)
}

/// The node of a convolution that is not broadcast.
fn convolution<'p>(p: &mut Pattern<'p, '_>, v: ValueId) -> Matched<&'p Node> {
    only(p.site.unbroadcast(v) == v)?;
    p.or(|p| p.find(v, OpKind::Conv), |p| p.find(v, OpKind::ConvTranspose))
}

/// The number of channels that a convolution gives.
fn channels(node: &Node, weights: &[usize]) -> Option<usize> {
    match &node.op {
        Op::Conv(_) => weights.first().copied(),
        Op::ConvTranspose(op) => weights.get(1)?.checked_mul(usize::try_from(op.groups).ok()?),
        _ => None,
    }
}

fn vector(p: &Pattern<'_, '_>, slot: usize) -> Matched<Vec<f64>> {
    let v = p.site.operand(slot).or_no()?;
    match p.site.constant_array(v, MOST_BYTES).and_then(|a| a.to_f64s()) {
        Some(values) => Ok(values),
        None => because("the statistics are not constant"),
    }
}

fn normalisation<'p>(p: &mut Pattern<'p, '_>) -> Matched<(&'p Node, Affine)> {
    let site = p.site;
    let Op::BatchNormalization(op) = site.op() else { return Err(Decline::NoMatch) };
    let conv = convolution(p, site.operand(0).or_no()?)?;
    if op.training_mode {
        return because("the normalisation is in training mode");
    }
    if site.n().outputs().skip(1).any(|v| site.uses(v) > 0) {
        return because("the running statistics are used");
    }
    let (scale, bias) = (vector(p, 1)?, vector(p, 2)?);
    let (mean, var) = (vector(p, 3)?, vector(p, 4)?);
    let factor: Vec<f64> =
        scale.iter().zip(&var).map(|(s, v)| s / (v + op.epsilon.0).sqrt()).collect();
    let shift = bias.iter().zip(&mean).zip(&factor).map(|((b, m), f)| b - m * f).collect();
    Ok((conv, Affine { factor, shift }))
}

/// The numbers of a constant per channel of a tensor of a rank.
fn per_channel(site: &Site<'_>, v: ValueId, rank: usize) -> Option<Vec<f64>> {
    let array = site.constant_array(site.unbroadcast(v), MOST_BYTES)?;
    let missing = rank.checked_sub(array.rank())?;
    let varies = |(i, &size): (usize, &usize)| size != 1 && i + missing != 1;
    if array.shape.iter().enumerate().any(varies) {
        return None;
    }
    array.to_f64s()
}

fn arithmetic<'p>(p: &mut Pattern<'p, '_>) -> Matched<(&'p Node, Affine)> {
    let site = p.site;
    let both = (site.operand(0).or_no()?, site.operand(1).or_no()?);
    let rank = site.tensor_ty(both.0).or_no()?.rank();
    let mut swapped = true;
    p.either(both, |p, y, c| {
        swapped = !swapped;
        let conv = convolution(p, y)?;
        let Some(c) = per_channel(site, c, rank) else {
            return because("the other operand is not a constant per channel");
        };
        let (one, zero) = (vec![1.0], vec![0.0]);
        let affine = match (site.op(), swapped) {
            (Op::Mul(_), _) => Affine { factor: c, shift: zero },
            (Op::Div(_), false) => {
                Affine { factor: c.iter().map(|c| 1.0 / c).collect(), shift: zero }
            }
            (Op::Add(_), _) => Affine { factor: one, shift: c },
            (Op::Sub(_), false) => Affine { factor: one, shift: c.iter().map(|c| -c).collect() },
            (Op::Sub(_), true) => Affine { factor: vec![-1.0], shift: c },
            _ => return Err(Decline::NoMatch),
        };
        Ok((conv, affine))
    })
}

fn fold(p: &mut Pattern<'_, '_>, conv: &Node, affine: &Affine) -> Matched<Folded> {
    let site = p.site;
    let (x, w) = (conv.operand(0).or_no()?, conv.operand(1).or_no()?);
    let Some((tensor, _)) = site.constant(w) else {
        return because("the weights are not constant");
    };
    if site.uses(w) > 1 || site.tensor_refs(tensor) > 1 {
        return because("the weights have other uses");
    }
    let Some(weights) = site.constant_array(w, MOST_BYTES) else {
        return because("the weights cannot be read");
    };
    let dtype = weights.dtype;
    if !matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64) {
        return because("the weights are not floats of 16 bits or more");
    }
    let old_bias = match conv.operand(2) {
        None => None,
        Some(b) => match site.constant_array(b, MOST_BYTES).and_then(|a| a.to_f64s()) {
            Some(b) => Some(b),
            None => return because("the bias is not constant"),
        },
    };
    p.closed()?;
    let count = channels(conv, &weights.shape).or_no()?;
    let mut values = weights.to_f64s().or_no()?;
    let lengths = [&affine.factor, &affine.shift];
    only(lengths.iter().all(|v| v.len() == 1 || v.len() == count) && count > 0)?;
    let (first, second) = (*weights.shape.first().or_no()?, *weights.shape.get(1).or_no()?);
    let inner: usize = weights.shape.iter().skip(2).product();
    for (i, v) in values.iter_mut().enumerate() {
        let row = i / (second * inner).max(1);
        let channel = match &conv.op {
            Op::ConvTranspose(op) => {
                let groups = usize::try_from(op.groups).unwrap_or(1).max(1);
                let group = row / (first / groups).max(1);
                group * second + (i / inner.max(1)) % second.max(1)
            }
            _ => row,
        };
        *v *= affine.at(channel).0;
    }
    let bias: Vec<f64> = (0..count)
        .map(|c| {
            let (factor, shift) = affine.at(c);
            old_bias.as_ref().and_then(|b| b.get(c)).map_or(shift, |b| b * factor + shift)
        })
        .collect();
    let new = |shape: Vec<usize>, values: &[f64]| {
        let array = Array::from_f64s(dtype, shape, values).ok()?;
        array.to_f64s()?.iter().all(|v| v.is_finite()).then_some(array)
    };
    let keeps_none = old_bias.is_none() && bias.iter().all(|b| *b == 0.0);
    let (Some(weights), Some(bias)) = (new(weights.shape, &values), new(vec![count], &bias)) else {
        return because("a recomputed number is not finite");
    };
    let bias = (!keeps_none).then_some(bias);
    Ok(Folded { op: conv.op.clone(), x, weights, bias })
}
