//! Writing rules of the random family.

use airconv_ir::op::{Distribution, Op, OpKind, RngAlgorithm};

use super::cx::{ExportCx, Refuse, Written, args, other_op};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[ExportRule::new(OpKind::Rng, rng)];

/// `rng`: PyTorch's own generator, whose seed is no part of a program.
fn rng(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Rng(r) = op else { return other_op() };
    if r.algorithm != RngAlgorithm::Unspecified {
        return Refuse::because(format!("PyTorch does not have `{}`", r.algorithm.as_str()));
    }
    if r.seed.is_some() {
        let message = "seeds are left out: PyTorch's generator is seeded outside of a program";
        cx.ex.lossy.push(("torch-seed", message.to_owned()));
    }
    let ty = cx.result_type(0)?;
    let sizes = cx.sizes(&r.dims)?;
    let name = match r.distribution {
        Distribution::Uniform => "aten::rand",
        Distribution::Normal => "aten::randn",
    };
    let y = cx.op(name, args![sizes, r.dtype], ty)?;
    cx.one(y)
}
