//! Joins a matrix product and a bias into `gemm`.
//!
//! 1. `matmul(a, b) + c` of two matrices, where c is one row that is repeated (or a scalar), is
//!    `gemm(a, b, c)`. So one native op takes the place of two; a product of higher rank, for
//!    which no format has such an op, stays.
//! 2. The same for a `gemm` without c.
//! 3. A `transpose` of b (or a) that only the product uses becomes a flag.
//!
//! The dtype is one that `gemm` has in every format: f16, bf16, f32, f64, or 32 or 64 bit
//! integers. Declined when the product has other uses.

use super::matcher::{Decline, Matched, OrNoMatch, Pattern, because, matching, only};
use super::{Editor, Outcome, Pass, PassCx, Site};
use crate::attr::Float;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::op::{Gemm, Op, OpKind};

/// The pass.
pub struct FuseMatmulAdd;

impl Pass for FuseMatmulAdd {
    fn name(&self) -> &'static str {
        "fuse_matmul_add"
    }
    fn doc(&self) -> &'static str {
        "joins a product of two matrices and a bias into gemm"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        Outcome::of(edit.sweep(self.name(), cx, &mut |site, cx| {
            visit(site, cx);
        }))
    }
}

fn native(dtype: DType) -> bool {
    matches!(
        dtype,
        DType::F16
            | DType::BF16
            | DType::F32
            | DType::F64
            | DType::I32
            | DType::I64
            | DType::U32
            | DType::U64
    )
}

fn visit(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    if !matches!(site.op(), Op::Add(_)) {
        return false;
    }
    let Some(((op, operands), from)) = matching(site, cx, find) else { return false };
    let operands = operands.map(Some);
    site.become_op(cx, "a matrix product and its bias", &from, op, &operands)
}

fn find(p: &mut Pattern<'_, '_>) -> Matched<(Gemm, [ValueId; 3])> {
    let both = (p.site.operand(0).or_no()?, p.site.operand(1).or_no()?);
    let (op, a, b, c) = p.either(both, |p, product, c| {
        let (op, a, b) = p.or(|p| plain(p, product), |p| without_c(p, product))?;
        Ok((op, a, b, c))
    })?;
    let site = p.site;
    let ty = site.tensor_ty(a).or_no()?;
    if ty.rank() != 2 || site.tensor_ty(b).or_no()?.rank() != 2 {
        return because("the product is not of two matrices");
    }
    if !native(ty.dtype) {
        return because("the dtype has no native gemm");
    }
    let c = site.unbroadcast(c);
    let row = match site.tensor_ty(c).or_no()?.shape.as_slice() {
        [] | [_] => true,
        [rows, _] => *rows == Dim::Known(1),
        _ => false,
    };
    if !row {
        return because("the summand is not one row");
    }
    p.closed()?;
    Ok((op, [a, b, c]))
}

/// A product that is not itself broadcast.
fn plain(p: &mut Pattern<'_, '_>, v: ValueId) -> Matched<(Gemm, ValueId, ValueId)> {
    let node = direct(p, v, OpKind::Matmul)?;
    let (a, b) = (node.operand(0).or_no()?, node.operand(1).or_no()?);
    let (a, trans_a) = untransposed(p, a);
    let (b, trans_b) = untransposed(p, b);
    Ok((Gemm { alpha: Float(1.0), beta: Float(1.0), trans_a, trans_b }, a, b))
}

fn without_c(p: &mut Pattern<'_, '_>, v: ValueId) -> Matched<(Gemm, ValueId, ValueId)> {
    let node = direct(p, v, OpKind::Gemm)?;
    let Op::Gemm(op) = &node.op else { return Err(Decline::NoMatch) };
    only(node.operand(2).is_none())?;
    let op = Gemm { beta: Float(1.0), ..op.clone() };
    Ok((op, node.operand(0).or_no()?, node.operand(1).or_no()?))
}

fn direct<'p>(
    p: &mut Pattern<'p, '_>,
    v: ValueId,
    kind: OpKind,
) -> Matched<&'p crate::module::Node> {
    only(p.site.unbroadcast(v) == v)?;
    p.find(v, kind)
}

/// The operand of a transpose of a matrix that has no other use.
fn untransposed(p: &mut Pattern<'_, '_>, v: ValueId) -> (ValueId, bool) {
    let site = p.site;
    if let Some((_, node)) = site.def(v)
        && let (Op::Transpose(t), Some(x), 1) = (&node.op, node.operand(0), site.uses(v))
        && t.perm == [1, 0]
        && p.find(v, OpKind::Transpose).is_ok()
    {
        return (x, true);
    }
    (v, false)
}
