//! What is known of values that are constants.

use airconv_ir::dim::Dim;
use airconv_ir::entity::ValueId;
use airconv_ir::op::Op;
use airconv_ir::tensor::{Storage, Tensor};

use super::{Lowerer, Place};
use crate::ir::{BufferId, BufferKind, Const, Elem};

impl Lowerer<'_> {
    /// The one number that a constant buffer holds everywhere.
    pub(super) fn scalar_constant(&self, buffer: BufferId) -> Option<(Const, Option<Const>)> {
        use airconv_ir::array::Scalar as Number;
        let b = self.program.buffer(buffer);
        let BufferKind::Constant(id) = b.kind else { return None };
        let tensor = &self.module.tensors[id];
        let one = match &tensor.storage {
            Storage::Splat(_) => {
                Tensor { dtype: tensor.dtype, dims: Vec::new(), storage: tensor.storage.clone() }
            }
            _ if tensor.numel() == Some(1) => tensor.clone(),
            _ => return None,
        };
        let (elem, _) = Elem::of(tensor.dtype)?;
        let ty = elem.scalar();
        Some(match one.to_array().ok()?.get(0)? {
            Number::Bool(x) => (Const::bool(x), None),
            Number::Int(x) => (Const::from_i128(ty, x), None),
            Number::Float(x) => (Const::from_f64(ty, x), None),
            Number::Complex(z) => (Const::from_f64(ty, z.re), Some(Const::from_f64(ty, z.im))),
            Number::Str(_) => return None,
        })
    }

    /// The last index into an axis of this size, where the indices are constants (or views of one)
    /// that all lie within it.
    pub(super) fn within_all(&self, indices: ValueId, size: &Dim) -> Option<i64> {
        /// The most indices that are looked at.
        const MOST: u64 = 1 << 16;
        let mut v = indices;
        let tensor = loop {
            match self.places.get(&v)? {
                Place::Buffer(b) => match self.program.buffer(*b).kind {
                    BufferKind::Constant(id) => break &self.module.tensors[id],
                    _ => return None,
                },
                Place::Inline(id) => {
                    let node = &self.f.nodes[*id];
                    match node.op {
                        Op::Reshape(_) | Op::Broadcast(_) | Op::Transpose(_) => {
                            v = node.operand(0)?;
                        }
                        _ => return None,
                    }
                }
            }
        };
        let last = size.as_known()?.checked_sub(1)?;
        if tensor.numel().is_none_or(|n| n > MOST) {
            return None;
        }
        let all = tensor.to_array().ok()?.to_i64s()?;
        all.iter().all(|i| (0..=last).contains(i)).then_some(last)
    }
}
