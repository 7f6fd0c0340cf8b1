//! Writing rules of the signal family.

use airconv_ir::op::{Op, OpKind};

use super::cx::{ExportCx, Written, args, other_op};
use super::program::Arg;
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[ExportRule::new(OpKind::Fft, fft)];

/// `fft`: PyTorch's inverse divides by the length too.
fn fft(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Fft(f) = op else { return other_op() };
    let x = cx.x(0)?;
    let ty = cx.result_type(0)?;
    let name = if f.inverse { "aten::fft_ifft" } else { "aten::fft_fft" };
    let y = cx.op(name, args![x, Arg::Default, f.axis], ty)?;
    cx.one(y)
}
