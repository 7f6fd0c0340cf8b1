//! Reading rules of the linear family.

use airconv_api::ir::op::{Einsum, FusedMatmul, OpKind};

use super::node::{NodeCx, Outcome};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("Einsum", 12, &[OpKind::Einsum], einsum),
    ImportRule::ms("TransposeMatMul", &[OpKind::FusedMatmul], transpose_matmul),
];

/// `Einsum`: the equation without its spaces.
fn einsum(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let mut equation = cx.string("equation", "")?;
    equation.retain(|c| !c.is_whitespace());
    cx.emit_same(Einsum { equation })
}

/// `TransposeMatMul`: the older name of `FusedMatMul`.
fn transpose_matmul(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let op = FusedMatmul {
        alpha: cx.float("alpha", 1.0)?,
        trans_a: cx.bool("transA", false)?,
        trans_b: cx.bool("transB", false)?,
        trans_batch_a: false,
        trans_batch_b: false,
    };
    cx.emit_same(op)
}
