//! Products of small integers in single precision. A sum of products of integers is exact in
//! floats, whatever its order, as long as no partial sum can leave the 2^24 whole numbers that
//! a single holds; longer sums are taken in parts that are, and added up as integers.

use airconv_ir::array::Array;
use airconv_ir::builder::{BuildError, Builder};
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::{RegionId, ValueId};
use airconv_ir::module::Node;
use airconv_ir::op::{Contract, Conv, Op};

use super::Stop;
use super::facts::is_byte;
use super::flatten::{Flatten, Pairs, pairs};

/// The whole numbers up to here are exact in single precision.
const EXACT: i64 = 1 << 24;

/// The most parts of a sum.
const MOST_PARTS: i64 = 64;

/// The least length of a part.
const LEAST: i64 = 16;

impl Flatten<'_> {
    /// A product of integers by way of single precision, where that is exact.
    pub(super) fn whole_numbers(
        &mut self,
        region: RegionId,
        node: &Node,
        op: &Contract,
    ) -> Result<Option<Pairs>, Stop> {
        let (Some(x), Some(w)) = (node.operand(0), node.operand(1)) else { return Ok(None) };
        let f = &self.module.functions[self.func];
        let (&[axis], &[other]) = (&op.lhs_contract[..], &op.rhs_contract[..]) else {
            return Ok(None);
        };
        let length = f.ty(x).as_tensor().and_then(|t| t.shape.get(axis as usize)?.as_known());
        let Some(length) = length else { return Ok(None) };
        if self.bytes && self.is_of_bytes(x) && self.is_of_bytes(w) {
            return Ok(None);
        }
        let Some(part) = self.exact_part(x, w, length, 1) else { return Ok(None) };
        let (fixed_x, fixed_w) = (self.singles(x), self.singles(w));
        let mut builder = Builder::new(self.module, self.func, region, node.origin);
        let b = &mut builder;
        let made = (|| -> Result<ValueId, BuildError> {
            let x = Side::new(b, x, fixed_x, axis)?;
            let w = Side::new(b, w, fixed_w, other)?;
            summed(b, [&x, &w], length, part, &mut |b, l, r| b.emit(op.clone(), &[l, r]))
        })();
        Ok(Some(pairs(node, vec![made.map_err(Stop::build)?])))
    }

    /// A convolution of integers by way of single precision, where that is exact; parts are
    /// parts of the channels.
    pub(super) fn whole_convolution(
        &mut self,
        region: RegionId,
        node: &Node,
        op: &Conv,
    ) -> Result<Option<Pairs>, Stop> {
        let (Some(x), Some(w)) = (node.operand(0), node.operand(1)) else { return Ok(None) };
        let f = &self.module.functions[self.func];
        let Some(wt) = f.ty(w).as_tensor() else { return Ok(None) };
        let known: Option<Vec<i64>> = wt.shape.iter().map(Dim::as_known).collect();
        let Some(&[_, channels, ref window @ ..]) = known.as_deref() else { return Ok(None) };
        let window = window.iter().fold(1i64, |n, &k| n.saturating_mul(k.max(1)));
        if self.bytes
            && super::layout::has_runs(&self.module.functions[self.func], node, op)
            && self.is_of_bytes(x)
            && self.is_of_bytes(w)
        {
            return Ok(None);
        }
        let Some(part) = self.exact_part(x, w, channels, window) else { return Ok(None) };
        // Parts of groups are not next to one another.
        if (part < channels && op.groups != 1) || node.operand(2).is_some() {
            return Ok(None);
        }
        let (fixed_x, fixed_w) = (self.singles(x), self.singles(w));
        let mut builder = Builder::new(self.module, self.func, region, node.origin);
        let b = &mut builder;
        let made = (|| -> Result<ValueId, BuildError> {
            let x = Side::new(b, x, fixed_x, 1)?;
            let w = Side::new(b, w, fixed_w, 1)?;
            summed(b, [&x, &w], channels, part, &mut |b, l, r| b.emit(op.clone(), &[l, r]))
        })();
        Ok(Some(pairs(node, vec![made.map_err(Stop::build)?])))
    }

    /// Whether a value is bytes, less their zero point where there is one.
    pub(super) fn is_of_bytes(&self, v: ValueId) -> bool {
        let f = &self.module.functions[self.func];
        let made = |v: ValueId| self.facts.node(v).map(|id| &f.nodes[id]);
        let mut v = v;
        while let Some(node) = made(v) {
            match (&node.op, node.operand(0)) {
                (Op::Cast(_), Some(x)) => return f.ty(x).dtype().is_some_and(is_byte),
                (
                    Op::Sub(_)
                    | Op::Reshape(_)
                    | Op::Transpose(_)
                    | Op::Broadcast(_)
                    | Op::Slice(_)
                    | Op::Pad(_),
                    Some(x),
                ) => v = x,
                _ => return false,
            }
        }
        false
    }

    /// How much of an axis can be summed over in single precision, when each of its elements
    /// stands for some products; `None` where that is not worth it.
    fn exact_part(&mut self, x: ValueId, w: ValueId, length: i64, each: i64) -> Option<i64> {
        let f = &self.module.functions[self.func];
        f.ty(x).as_tensor().filter(|t| t.dtype == DType::I32)?;
        let a = self.facts.bounds(self.module, f, x)?;
        let b = self.facts.bounds(self.module, f, w)?;
        let size = |(low, high): (i64, i64)| low.unsigned_abs().max(high.unsigned_abs()).max(1);
        let one = size(a).checked_mul(size(b))?.checked_mul(u64::try_from(each).ok()?)?;
        let most = i64::try_from(EXACT as u64 / one.max(1)).ok()?;
        let long = length.checked_mul(each)?;
        if long < LEAST || most < 1 || most.checked_mul(each)? < LEAST {
            return None;
        }
        let parts = (length + most - 1) / most;
        if parts > MOST_PARTS {
            return None;
        }
        Some((length + parts - 1) / parts)
    }

    /// The numbers of a constant in single precision.
    fn singles(&self, v: ValueId) -> Option<Array> {
        let array = self.module.tensors[self.facts.constant(v)?].to_array().ok()?;
        let values: Vec<f32> = array.to_i64s()?.iter().map(|&i| i as f32).collect();
        Array::from_vec(array.shape, values).ok()
    }
}

/// The sum of the products of parts, each exact in single precision, as integers.
fn summed(
    b: &mut Builder<'_>,
    [x, w]: [&Side; 2],
    length: i64,
    part: i64,
    product: &mut dyn FnMut(&mut Builder<'_>, ValueId, ValueId) -> Result<ValueId, BuildError>,
) -> Result<ValueId, BuildError> {
    let whole = part >= length;
    let mut from = part.min(length);
    let first = (x.part(b, 0, from, whole)?, w.part(b, 0, from, whole)?);
    let sum = product(b, first.0, first.1)?;
    let mut total = b.cast(sum, DType::I32)?;
    while from < length {
        let to = (from + part).min(length);
        let (l, r) = (x.part(b, from, to, false)?, w.part(b, from, to, false)?);
        let sum = product(b, l, r)?;
        let sum = b.cast(sum, DType::I32)?;
        total = b.add(total, sum)?;
        from = to;
    }
    Ok(total)
}

/// An operand in single precision.
struct Side {
    float: ValueId,
    fixed: Option<Array>,
    axis: i64,
}

impl Side {
    fn new(
        b: &mut Builder<'_>,
        v: ValueId,
        fixed: Option<Array>,
        axis: i64,
    ) -> Result<Side, BuildError> {
        let float = match &fixed {
            Some(array) => b.constant(array)?,
            None => b.cast(v, DType::F32)?,
        };
        Ok(Side { float, fixed, axis })
    }

    /// A stretch of the axis that is summed over.
    fn part(
        &self,
        b: &mut Builder<'_>,
        from: i64,
        to: i64,
        whole: bool,
    ) -> Result<ValueId, BuildError> {
        if whole {
            return Ok(self.float);
        }
        if let Some(array) = &self.fixed {
            let places: Vec<usize> = (from.max(0) as usize..to.max(0) as usize).collect();
            if let Ok(part) = array.gather_rows(self.axis as usize, &places) {
                return b.constant(&part);
            }
        }
        b.slice_axis(self.float, self.axis as usize, Dim::Known(from), Dim::Known(to))
    }
}
