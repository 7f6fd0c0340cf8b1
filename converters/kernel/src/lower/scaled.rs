//! Products of bytes that were made floats by a scale: `((a - p) * s) * ((b - q) * t)`, summed up.
//!
//! Where the scales are the same for all that a sum is over, they are taken out of it: the sum of
//! `(a - p) * (b - q)` is exact in `i32`, and is multiplied by `s * t`. As with another order of
//! the sum, the last places may differ, and nothing else: each of the products is rounded three
//! times before they are added, the sum three times in all, and scales are taken out only where no
//! number on either way can leave the range of normal ones.

use airconv_ir::array::Array;
use airconv_ir::builder::{BuildError, Builder};
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::{RegionId, ValueId};
use airconv_ir::module::Node;
use airconv_ir::op::{Contract, Conv, Op};

use super::Stop;
use super::flatten::{Flatten, Pairs, pairs};
use super::layout::has_runs;

/// Scales that are taken out of sums lie between its reciprocal and this: a product of two of them
/// and of any `i32` is a normal number, and so are the numbers that the sum is of.
const WIDEST: f64 = (1u64 << 40) as f64;

/// Integers made from bytes, times a scale.
struct Scaled {
    /// The integers, in `i32`.
    whole: ValueId,
    /// How their axes are permuted, where they are.
    turned: Option<Vec<i64>>,
    /// The scale in single precision, as it is broadcast to the permuted integers.
    scale: Array,
}

impl Scaled {
    /// The scale where it is one number.
    fn number(&self) -> Option<f32> {
        let &[number] = &self.scale.to_f64s()?[..] else { return None };
        Some(number as f32)
    }

    /// The scales along an axis, or the one there is, times a number; `None` where they change
    /// along other axes.
    fn along(&self, axis: usize, number: f32) -> Option<Vec<f32>> {
        let count = self.scale.shape.get(axis).copied().unwrap_or(1);
        let times = |x: f64| x as f32 * number;
        (self.scale.numel() == count)
            .then(|| Some(self.scale.to_f64s()?.into_iter().map(times).collect()))?
    }

    /// The permuted integers.
    fn integers(&self, b: &mut Builder<'_>) -> Result<ValueId, BuildError> {
        match &self.turned {
            Some(perm) => b.transpose(self.whole, perm),
            None => Ok(self.whole),
        }
    }
}

impl Flatten<'_> {
    /// A convolution of scaled bytes as one of bytes.
    pub(super) fn scaled_convolution(
        &mut self,
        region: RegionId,
        node: &Node,
        op: &Conv,
    ) -> Result<Option<Pairs>, Stop> {
        let Some((x, w)) = self.scaled_operands(node) else { return Ok(None) };
        let f = &self.module.functions[self.func];
        let known = |v: ValueId| -> Option<Vec<i64>> {
            f.ty(v).as_tensor()?.shape.iter().map(Dim::as_known).collect()
        };
        let weights = node.operand(1).and_then(known);
        let Some(&[outputs, ref each @ ..]) = weights.as_deref() else { return Ok(None) };
        let rank = each.len() + 1;
        let length = each.iter().fold(1i64, |n, &k| n.saturating_mul(k));
        let factors = x.number().and_then(|number| w.along(0, number));
        let Some(factors) = factors.filter(|_| has_runs(f, node, op)) else { return Ok(None) };
        if !self.fits_i32(&x, &w, length) {
            return Ok(None);
        }
        let mut shape = vec![1; rank];
        shape[1] = factors.len();
        let bias = node.operand(2);
        let mut builder = Builder::new(self.module, self.func, region, node.origin);
        let b = &mut builder;
        let made = (|| -> Result<ValueId, BuildError> {
            let operands = [x.integers(b)?, w.integers(b)?];
            let sum = b.emit(op.clone(), &operands)?;
            let y = scaled_sum(b, sum, shape, factors)?;
            let Some(bias) = bias else { return Ok(y) };
            let mut shape = vec![Dim::Known(1); rank];
            shape[1] = Dim::Known(outputs);
            let bias = b.reshape(bias, &shape)?;
            b.add(y, bias)
        })();
        Ok(Some(pairs(node, vec![made.map_err(Stop::build)?])))
    }

    /// A product of scaled bytes as one of bytes; the scales may change with the columns.
    pub(super) fn scaled_product(
        &mut self,
        region: RegionId,
        node: &Node,
        op: &Contract,
    ) -> Result<Option<Pairs>, Stop> {
        let Some((x, w)) = self.scaled_operands(node) else { return Ok(None) };
        let f = &self.module.functions[self.func];
        let shape = |v: ValueId| f.ty(v).as_tensor().map(|t| t.shape.clone());
        let (right, out) = (node.operand(1).and_then(shape), node.result(0).and_then(shape));
        let (Some(right), Some(out)) = (right, out) else { return Ok(None) };
        let length = op.rhs_contract.iter().try_fold(1i64, |n, &axis| {
            Some(n.saturating_mul(right.get(axis as usize)?.as_known()?))
        });
        let inner = |axis: &i64| op.rhs_batch.contains(axis) || op.rhs_contract.contains(axis);
        let free: Vec<i64> = (0..right.len() as i64).filter(|axis| !inner(axis)).collect();
        let (Some(length), &[column]) = (length, &free[..]) else { return Ok(None) };
        let factors = x.number().and_then(|number| w.along(column as usize, number));
        let Some(factors) = factors.filter(|_| self.fits_i32(&x, &w, length)) else {
            return Ok(None);
        };
        let mut shape = vec![1; out.len()];
        if let Some(last) = shape.last_mut() {
            *last = factors.len();
        }
        let mut builder = Builder::new(self.module, self.func, region, node.origin);
        let b = &mut builder;
        let made = (|| -> Result<ValueId, BuildError> {
            let operands = [x.integers(b)?, w.integers(b)?];
            let sum = b.emit(op.clone(), &operands)?;
            scaled_sum(b, sum, shape, factors)
        })();
        Ok(Some(pairs(node, vec![made.map_err(Stop::build)?])))
    }

    /// The operands of a product, if both are scaled bytes and the back end has products of those.
    fn scaled_operands(&self, node: &Node) -> Option<(Scaled, Scaled)> {
        let (x, w) = node.operand(0).zip(node.operand(1)).filter(|_| self.bytes)?;
        Some((self.scaled(x)?, self.scaled(w)?))
    }

    /// What a value is, if it is bytes less a zero point, times a constant.
    fn scaled(&self, v: ValueId) -> Option<Scaled> {
        let f = &self.module.functions[self.func];
        let made = |v: ValueId| self.facts.node(v).map(|id| &f.nodes[id]);
        let node = made(v)?;
        match &node.op {
            Op::Transpose(op) => {
                let inner = self.scaled(node.operand(0)?).filter(|s| s.turned.is_none())?;
                let mut scale = inner.scale;
                // One axis at most has more than one number, so that they keep their order.
                let lies_flat = scale.shape.iter().filter(|&&n| n != 1).count() <= 1;
                if !scale.shape.is_empty() {
                    let size = |&axis: &i64| scale.shape.get(axis as usize).copied();
                    let shape = op.perm.iter().map(size).collect::<Option<_>>()?;
                    scale = scale.reshape(shape).ok()?;
                }
                lies_flat.then(|| Scaled { turned: Some(op.perm.clone()), scale, ..inner })
            }
            Op::Mul(_) => {
                let (cast, scale) = (made(node.operand(0)?)?, self.scale(node.operand(1)?)?);
                let whole = cast.operand(0).filter(|_| matches!(cast.op, Op::Cast(_)))?;
                let ty = f.ty(whole).as_tensor().filter(|t| t.dtype == DType::I32)?;
                let fine = [0, ty.shape.len()].contains(&scale.shape.len());
                (fine && self.is_of_bytes(whole)).then_some(Scaled { whole, turned: None, scale })
            }
            _ => None,
        }
    }

    /// A constant scale in single precision before it is broadcast, if its numbers are of a common
    /// size.
    fn scale(&self, v: ValueId) -> Option<Array> {
        let f = &self.module.functions[self.func];
        let constant = self.facts.constant(v).or_else(|| {
            let node = &f.nodes[self.facts.node(v)?];
            let x = node.operand(0).filter(|_| matches!(node.op, Op::Broadcast(_)))?;
            self.facts.constant(x)
        })?;
        let array = self.module.tensors[constant].to_array().ok()?;
        let common = |x: &f64| (1.0 / WIDEST..=WIDEST).contains(x);
        let fine = array.dtype == DType::F32 && array.to_f64s()?.iter().all(common);
        fine.then_some(array)
    }

    /// Whether no sum of so many products of two operands leaves the range of `i32`.
    fn fits_i32(&mut self, x: &Scaled, w: &Scaled, length: i64) -> bool {
        let f = &self.module.functions[self.func];
        let mut size = |v: ValueId| {
            let (low, high) = self.facts.bounds(self.module, f, v)?;
            Some(low.saturating_abs().max(high.saturating_abs()))
        };
        let most = size(x.whole).zip(size(w.whole)).and_then(|(a, b)| a.checked_mul(b));
        most.and_then(|n| n.checked_mul(length)).is_some_and(|n| n <= i64::from(i32::MAX))
    }
}

/// Sums in `i32` times factors of some shape, in single precision.
fn scaled_sum(
    b: &mut Builder<'_>,
    sum: ValueId,
    shape: Vec<usize>,
    factors: Vec<f32>,
) -> Result<ValueId, BuildError> {
    let sum = b.cast(sum, DType::F32)?;
    let factors = b.constant(&Array::from_vec(shape, factors)?)?;
    b.mul(sum, factors)
}
