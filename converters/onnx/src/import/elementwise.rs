//! Reading rules of the elementwise family.

use airconv_api::ir::entity::ValueId;
use airconv_api::ir::op::{Clip, Div, IntRounding, OpKind, Rem, ShiftLeft, ShiftRight};

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("BitShift", 11, &[OpKind::ShiftLeft, OpKind::ShiftRight], bit_shift),
    ImportRule::new("Clip", 6, &[OpKind::Clip], clip_attributes),
    ImportRule::new("Clip", 11, &[OpKind::Clip], clip),
    ImportRule::new("Div", 7, &[OpKind::Div], div),
    ImportRule::new("Mod", 10, &[OpKind::Rem], modulo),
];

/// `BitShift`: the direction is an attribute.
fn bit_shift(cx: &mut NodeCx<'_, '_>) -> Outcome {
    match cx.string("direction", "")?.as_str() {
        "LEFT" => cx.emit_broadcast(ShiftLeft {}),
        "RIGHT" => cx.emit_broadcast(ShiftRight {}),
        other => cx.invalid(format!("attribute `direction` is `{other}`")),
    }
}

/// `Clip` before version 11: the bounds are attributes, and become constants.
fn clip_attributes(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (x, dtype) = (cx.input(0)?, cx.dtype(0)?);
    let mut bound = |name: &str, open: f32| -> Result<Option<ValueId>, Stop> {
        match cx.float(name, open)?.0 {
            v if v == f64::from(open) => Ok(None),
            v => Ok(Some(cx.b().scalar(dtype, v)?)),
        }
    };
    let (min, max) = (bound("min", f32::MIN)?, bound("max", f32::MAX)?);
    cx.emit(Clip {}, &[Some(x), min, max])
}

/// `Clip`: the bounds are inputs.
fn clip(cx: &mut NodeCx<'_, '_>) -> Outcome {
    cx.emit_same(Clip {})
}

/// `Div`: integers round toward zero.
fn div(cx: &mut NodeCx<'_, '_>) -> Outcome {
    cx.emit_broadcast(Div { rounding: IntRounding::Trunc })
}

/// `Mod`: as C's `fmod`, or with the sign of the divisor.
fn modulo(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let rounding = if cx.bool("fmod", false)? { IntRounding::Trunc } else { IntRounding::Floor };
    cx.emit_broadcast(Rem { rounding })
}
