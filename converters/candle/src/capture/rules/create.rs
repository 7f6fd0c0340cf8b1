//! Tensors from nothing.

use airconv_ir::entity::ValueId;
use airconv_ir::op::{Broadcast, Iota};

use super::super::build::{Call, Cx, R, Stop};
use super::super::explain::Number;
use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[rule("arange", arange), rule("full", full)];

/// One number throughout.
fn full(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let dims = call.dims(cx)?;
    let number = call.number(cx, 0)?;
    let value = cx.number(&number, call.node.dtype)?;
    if dims.is_empty() {
        return Ok(value);
    }
    Ok(cx.b().emit(Broadcast { dims, implicit: false }, &[value])?)
}

/// Numbers that rise by a step.
fn arange(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let dims = call.dims(cx)?;
    if dims.len() != 1 {
        return Err(Stop::Invalid("it has more than one axis".to_owned()));
    }
    let dtype = call.node.dtype;
    let (start, step) = (call.number(cx, 0)?, call.number(cx, 1)?);
    let mut value = cx.b().emit(Iota { dtype, dims, axis: 0 }, &[])?;
    if step != Number::Known(1.0) {
        let step = cx.number(&step, dtype)?;
        value = cx.b().mul(value, step)?;
    }
    if start != Number::Known(0.0) {
        let start = cx.number(&start, dtype)?;
        value = cx.b().add(value, start)?;
    }
    Ok(value)
}
