//! Writing rules of the activation family.

use airconv_api::ir::op::{GeluKind, Op, OpKind};

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use crate::common::MICROSOFT;

pub(super) const RULES: &[ExportRule] =
    &[ExportRule::new(OpKind::Gelu, gelu), ExportRule::new(OpKind::Swish, quick_gelu)];

/// ONNX Runtime's `Gelu`, where it was read as such.
fn gelu(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let exact = matches!(op, Op::Gelu(g) if g.approximate == GeluKind::Exact);
    if !exact || cx.note("onnx.form") != Some("com.microsoft::Gelu") {
        return Refuse::because("not read from com.microsoft");
    }
    let inputs = cx.all()?;
    cx.emit_in(MICROSOFT, "Gelu", &inputs, Vec::new())
}

/// `QuickGelu`, where it was read as such.
fn quick_gelu(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Swish(op) = op else { return Refuse::because("not a swish") };
    if cx.note("onnx.form") != Some("com.microsoft::QuickGelu") {
        return Refuse::because("not read from com.microsoft");
    }
    let inputs = cx.all()?;
    cx.emit_in(MICROSOFT, "QuickGelu", &inputs, vec![attr::float("alpha", op.alpha)])
}
