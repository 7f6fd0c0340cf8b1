//! Reading rules of the activation family.

use airconv_api::ir::op::{Gelu, GeluKind, OpKind, Swish};

use super::node::{NodeCx, Outcome};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::ms("Gelu", &[OpKind::Gelu], gelu),
    ImportRule::ms("QuickGelu", &[OpKind::Swish], quick_gelu),
];

/// ONNX Runtime's `Gelu`, which is older than the standard one.
fn gelu(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let out = cx.emit_same(Gelu { approximate: GeluKind::Exact })?;
    cx.note_node(&out, "onnx.form", "com.microsoft::Gelu");
    Ok(out)
}

/// `QuickGelu`: x * sigmoid(alpha * x).
fn quick_gelu(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let alpha = cx.float("alpha", 1.702)?;
    let out = cx.emit_same(Swish { alpha })?;
    cx.note_node(&out, "onnx.form", "com.microsoft::QuickGelu");
    Ok(out)
}
