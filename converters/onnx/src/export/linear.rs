//! Writing rules of the linear family.

use airconv_api::ir::dim::{Dim, numel};
use airconv_api::ir::dtype::{Class, DType};
use airconv_api::ir::op::{Contract, Op, OpKind};

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use crate::proto::AttributeProto;

pub(super) const RULES: &[ExportRule] =
    &[ExportRule::new(OpKind::Contract, contract), ExportRule::new(OpKind::Einsum, einsum)];

fn einsum(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Einsum(e) = op else { return Refuse::because("the rule is for another op") };
    let inputs = cx.all()?;
    cx.emit("Einsum", &inputs, vec![attr::string("equation", &e.equation)])
}

/// The dtype in which `MatMul` gives the same as a contraction: narrow integers wrap when the
/// i32 result is cast back, narrow floats are rounded once from f32.
fn product_dtype(dtype: DType) -> Result<DType, Refuse> {
    Ok(match (dtype, dtype.class()) {
        (DType::F16 | DType::BF16 | DType::F32 | DType::F64, _) => dtype,
        (DType::I32 | DType::I64 | DType::U32 | DType::U64, _) => dtype,
        (_, Class::Float) => DType::F32,
        (_, Class::Signed) => DType::I32,
        (_, Class::Unsigned) => DType::U32,
        (_, Class::Bool | Class::Complex | Class::String) => {
            return Refuse::because(format!("ONNX has no product of {dtype}"));
        }
    })
}

/// One side of a product as ONNX's `MatMul` takes it.
struct Side {
    name: String,
    shape: Vec<Dim>,
}

impl Side {
    fn new(cx: &mut ExportCx<'_, '_>, slot: usize, dtype: DType) -> Result<Side, Refuse> {
        let ty = cx.tensor_ty(slot)?;
        let mut name = cx.x(slot)?;
        if dtype != ty.dtype {
            name = cx.temp("Cast", &[name], vec![attr::dtype("to", dtype)], dtype)?;
        }
        Ok(Side { name, shape: ty.shape.to_vec() })
    }
    /// The sizes of some axes.
    fn sizes(&self, axes: &[usize]) -> Vec<Dim> {
        axes.iter().filter_map(|&a| self.shape.get(a).cloned()).collect()
    }
    /// Puts the axes in this order.
    fn arranged(
        mut self,
        cx: &mut ExportCx<'_, '_>,
        order: &[usize],
        dtype: DType,
    ) -> Result<Side, Refuse> {
        if order.iter().enumerate().any(|(i, &a)| i != a) {
            let perm: Vec<i64> = order.iter().map(|&a| a as i64).collect();
            self.name =
                cx.temp("Transpose", &[self.name], vec![attr::ints("perm", &perm)], dtype)?;
        }
        self.shape = order.iter().filter_map(|&a| self.shape.get(a).cloned()).collect();
        Ok(self)
    }
    /// Gives it another shape.
    fn reshaped(
        mut self,
        cx: &mut ExportCx<'_, '_>,
        dims: Vec<Dim>,
        dtype: DType,
    ) -> Result<Side, Refuse> {
        if dims != self.shape {
            let shape = cx.dims(&dims)?;
            self.name = cx.temp("Reshape", &[self.name, shape], zeros(&dims), dtype)?;
        }
        self.shape = dims;
        Ok(self)
    }
}

/// The attribute by which a size of 0 is meant as such.
pub(super) fn zeros(dims: &[Dim]) -> Vec<AttributeProto> {
    match dims.contains(&Dim::Known(0)) {
        true => vec![attr::int("allowzero", 1)],
        false => vec![],
    }
}

fn indices(axes: &[i64]) -> Vec<usize> {
    axes.iter().filter_map(|&a| usize::try_from(a).ok()).collect()
}

/// A contraction as `MatMul` of [batch..., rows, depth] and [batch..., depth, columns].
fn contract(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Contract(Contract { lhs_batch, rhs_batch, lhs_contract, rhs_contract }) = op else {
        return Refuse::because("the rule is for another op");
    };
    let own = cx.tensor_ty(0)?.dtype;
    let dtype = product_dtype(own)?;
    let (lhs, rhs) = (Side::new(cx, 0, dtype)?, Side::new(cx, 1, dtype)?);
    let (lb, rb) = (indices(lhs_batch), indices(rhs_batch));
    let (lc, rc) = (indices(lhs_contract), indices(rhs_contract));
    let free = |side: &Side, batch: &[usize], contract: &[usize]| -> Vec<usize> {
        (0..side.shape.len()).filter(|a| !batch.contains(a) && !contract.contains(a)).collect()
    };
    let (lf, rf) = (free(&lhs, &lb, &lc), free(&rhs, &rb, &rc));
    let batch = lhs.sizes(&lb);
    let result: Vec<Dim> = [batch.clone(), lhs.sizes(&lf), rhs.sizes(&rf)].concat();
    let depth = numel(&lhs.sizes(&lc));
    let columns = numel(&rhs.sizes(&rf));
    // Without batch axes the left side may keep all its free axes.
    let rows = match batch.is_empty() && !lf.is_empty() {
        true => lhs.sizes(&lf),
        false => vec![numel(&lhs.sizes(&lf))],
    };
    let left = [batch.clone(), rows.clone(), vec![depth.clone()]].concat();
    let right = [batch.clone(), vec![depth, columns.clone()]].concat();
    let lhs = lhs.arranged(cx, &[lb, lf, lc].concat(), dtype)?.reshaped(cx, left, dtype)?;
    let rhs = rhs.arranged(cx, &[rb, rc, rf].concat(), dtype)?.reshaped(cx, right, dtype)?;
    let inputs = [lhs.name, rhs.name];
    let direct = [batch, rows, vec![columns]].concat() == result;
    match (direct, dtype == own) {
        (true, true) => cx.emit("MatMul", &inputs, vec![]),
        (true, false) => {
            let y = cx.temp("MatMul", &inputs, vec![], dtype)?;
            cx.emit("Cast", &[y], vec![attr::dtype("to", own)])
        }
        (false, same) => {
            let mut y = cx.temp("MatMul", &inputs, vec![], dtype)?;
            if !same {
                y = cx.temp("Cast", &[y], vec![attr::dtype("to", own)], own)?;
            }
            let shape = cx.dims(&result)?;
            cx.emit("Reshape", &[y, shape], zeros(&result))
        }
    }
}
