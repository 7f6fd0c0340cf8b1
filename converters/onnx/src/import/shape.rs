//! Reading rules of the shape family.

use airconv_api::ir::op::{Constant, OpKind, Reshape};

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("Constant", 1, &[OpKind::Constant], constant),
    ImportRule::new("Reshape", 5, &[OpKind::Reshape], reshape),
];

/// `Constant`: one of its value attributes.
fn constant(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let tensor = match cx.tensor("value")? {
        Some(tensor) => tensor,
        None => cx.constant_value()?,
    };
    let out = cx.emit(Constant { tensor }, &[])?;
    cx.note_node(&out, "onnx.constant", "node");
    Ok(out)
}

/// `Reshape`: 0 keeps a size (unless `allowzero`), -1 takes what is left.
fn reshape(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let allow_zero = cx.bool("allowzero", false)?;
    let x = cx.input_ty(0)?;
    let asked = cx.dims_input(1, "the shape")?;
    let dims = airconv_api::ir::infer::facts::reshape_dims(&x.shape, &asked, allow_zero)
        .map_err(Stop::Invalid)?;
    let data = cx.input(0)?;
    cx.emit_all(Reshape { dims }, &[data])
}
