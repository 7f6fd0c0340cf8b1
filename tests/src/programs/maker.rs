//! What steps draw from: the values that are there.

use airconv_ir::array::Array;
use airconv_ir::builder::{BuildError, Builder};
use airconv_ir::dim::{Dim, broadcast_shapes};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::Op;
use airconv_ir::types::TensorType;

use super::numbers;
use crate::fuzz::Rng;

/// No value has more elements.
const LARGEST: i64 = 6000;

/// A value and how coarse it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) value: ValueId,
    pub(super) grain: f64,
    /// The dtype in the narrow program.
    pub(super) dtype: DType,
}

/// The program so far.
pub(super) struct Maker<'m> {
    pub(super) b: Builder<'m>,
    pub(super) rng: Rng,
    /// The values of the region at hand.
    pub(super) pool: Vec<Made>,
    /// Whether all floats are `f64`.
    pub(super) wide: bool,
    /// What the symbolic size is in the run.
    pub(super) size: i64,
    /// How many bodies the region at hand is within.
    pub(super) depth: usize,
}

/// A known size, mostly small.
pub(super) fn extent(rng: &mut Rng) -> Dim {
    Dim::Known([1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 17, 3, 4, 2, 33, 0][rng.below(16)])
}

/// How coarsely a dtype rounds: twice its unit roundoff for floats, 0 for all else.
pub(super) fn grain_of(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-13,
        DType::F32 => 1.2e-7,
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        _ => 0.0,
    }
}

/// The values themselves.
pub(super) fn values(made: &[Made]) -> Vec<ValueId> {
    made.iter().map(|m| m.value).collect()
}

/// The float dtype of a result of these, in the narrow program.
fn narrow_of(from: &[Made]) -> DType {
    from.iter().map(|m| m.dtype).find(|d| d.is_float()).unwrap_or(DType::F32)
}

impl Maker<'_> {
    /// The type of a value, with its dtype in the narrow program, so that both programs make
    /// the same choices; all values of the pool are tensors.
    pub(super) fn ty(&self, made: Made) -> Result<TensorType, BuildError> {
        Ok(TensorType { dtype: made.dtype, ..self.b.tensor_ty(made.value)? })
    }
    /// A value that is wanted, if there is one; late ones are more likely.
    pub(super) fn pick(
        &mut self,
        want: impl Fn(&TensorType, f64) -> bool,
    ) -> Option<(Made, TensorType)> {
        let fitting: Vec<(Made, TensorType)> = self
            .pool
            .iter()
            .filter_map(|&m| Some((m, self.ty(m).ok()?)))
            .filter(|(m, ty)| want(ty, m.grain))
            .collect();
        let (a, b) = (self.rng.below(fitting.len()), self.rng.below(fitting.len()));
        fitting.into_iter().nth(a.max(b))
    }
    /// A value of a float dtype that ops compute with.
    pub(super) fn float(&mut self) -> Option<(Made, TensorType)> {
        self.pick(|ty, _| ty.dtype.is_float())
    }
    /// A value that can be told apart in all its bits.
    pub(super) fn exact(
        &mut self,
        want: impl Fn(&TensorType) -> bool,
    ) -> Option<(Made, TensorType)> {
        self.pick(|ty, grain| grain == 0.0 && want(ty))
    }
    /// A value of the same dtype that broadcasts with this one: another one, or a scalar.
    pub(super) fn partner(&mut self, of: Made, exact: bool) -> Result<Option<Made>, BuildError> {
        let ty = self.ty(of)?;
        let fits = |other: &TensorType, grain: f64| {
            other.dtype == ty.dtype
                && (!exact || grain == 0.0)
                && broadcast_shapes(&ty.shape, &other.shape).is_ok()
        };
        if !self.rng.one_in(5)
            && let Some((made, _)) = self.pick(fits)
        {
            return Ok(Some(made));
        }
        let shape = if self.rng.one_in(2) || ty.shape.is_empty() {
            Vec::new()
        } else {
            ty.shape.last().and_then(Dim::as_known).map(|n| n as usize).into_iter().collect()
        };
        Ok(Some(self.fixed(ty.dtype, &shape)?))
    }
    /// A constant of random elements.
    pub(super) fn fixed(&mut self, dtype: DType, shape: &[usize]) -> Result<Made, BuildError> {
        let array: Array = numbers(&mut self.rng, dtype, self.wide, shape, false);
        Ok(Made { value: self.b.constant(&array)?, grain: 0.0, dtype })
    }
    /// A constant of one element.
    pub(super) fn scalar(&mut self, dtype: DType, value: f64) -> Result<ValueId, BuildError> {
        self.b.scalar(self.as_here(dtype), value)
    }
    /// A dtype of the narrow program, as it is in the one at hand.
    pub(super) fn as_here(&self, dtype: DType) -> DType {
        if self.wide && dtype.is_float() { DType::F64 } else { dtype }
    }
    /// How many elements a shape has in the run.
    pub(super) fn count(&self, shape: &[Dim]) -> Option<i64> {
        shape.iter().try_fold(1i64, |n, d| n.checked_mul(self.here(d)?))
    }
    /// A size in the run.
    pub(super) fn here(&self, dim: &Dim) -> Option<i64> {
        dim.eval(&|_| Some(self.size))
    }
    /// Puts a value into the pool, unless it is too large or has too many axes. `dtype` is that
    /// in the narrow program if it is a float's.
    pub(super) fn keep(&mut self, value: ValueId, grain: f64, dtype: DType) -> Option<()> {
        let ty = self.b.tensor_ty(value).ok()?;
        let dtype = if ty.dtype.is_float() { dtype } else { ty.dtype };
        let fits = ty.shape.len() <= 6 && self.count(&ty.shape)? <= LARGEST;
        fits.then(|| self.pool.push(Made { value, grain, dtype }))
    }
    /// The same for what was moved from these.
    pub(super) fn keep_moved(&mut self, value: ValueId, from: &[Made]) -> Option<()> {
        let grain = from.iter().fold(0.0, |g: f64, m| g.max(m.grain));
        self.keep(value, grain, narrow_of(from))
    }
    /// The same for the result of arithmetic, which rounds to the result's dtype.
    pub(super) fn keep_rounded(&mut self, value: ValueId, from: &[Made]) -> Option<()> {
        let dtype = self.b.tensor_ty(value).ok()?.dtype;
        let narrow = narrow_of(from);
        let grain = from.iter().fold(grain_of(narrow), |g, m| g.max(m.grain));
        self.keep(value, if dtype.is_float() { grain } else { 0.0 }, narrow)
    }
    /// Emits an op on values and keeps the result as coarse as they are: data only moves.
    pub(super) fn moved(
        &mut self,
        op: impl Into<Op>,
        from: &[Made],
    ) -> Result<Option<()>, BuildError> {
        let value = self.b.emit(op, &values(from))?;
        Ok(self.keep_moved(value, from))
    }
    /// Emits an op on values that computes.
    pub(super) fn computed(
        &mut self,
        op: impl Into<Op>,
        from: &[Made],
    ) -> Result<Option<()>, BuildError> {
        let value = self.b.emit(op, &values(from))?;
        Ok(self.keep_rounded(value, from))
    }
    /// An axis of a value, if it has any.
    pub(super) fn axis(&mut self, ty: &TensorType) -> Option<usize> {
        (!ty.shape.is_empty()).then(|| self.rng.below(ty.shape.len()))
    }
    /// Some axes, ascending; maybe none, maybe all.
    pub(super) fn axes(&mut self, ty: &TensorType) -> Vec<i64> {
        let all = 0..ty.shape.len() as i64;
        match self.rng.below(4) {
            0 => all.collect(),
            1 => all.last().into_iter().collect(),
            _ => all.filter(|_| self.rng.one_in(2)).collect(),
        }
    }
}
