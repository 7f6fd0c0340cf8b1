//! Reading rules of the rnn family.

use airconv_api::ir::dim::Dim;
use airconv_api::ir::op::{DynamicQuantizeLstm, Gru, Lstm, OpKind, Rnn, RnnDirection};

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("RNN", 7, &[OpKind::Rnn], rnn),
    ImportRule::new("GRU", 7, &[OpKind::Gru], gru),
    ImportRule::new("LSTM", 7, &[OpKind::Lstm], lstm),
    ImportRule::ms("DynamicQuantizeLSTM", &[OpKind::DynamicQuantizeLstm], quantized_lstm),
];

fn direction(cx: &NodeCx<'_, '_>) -> Result<RnnDirection, Stop> {
    // Some exporters spell it in capitals.
    let text = cx.string("direction", "forward")?.to_ascii_lowercase();
    RnnDirection::parse(&text)
        .ok_or_else(|| Stop::Invalid(format!("attribute `direction` is `{text}`")))
}

/// The activations that are named, or the defaults of each direction.
fn activations(
    cx: &NodeCx<'_, '_>,
    direction: RnnDirection,
    defaults: &[&str],
) -> Result<Vec<String>, Stop> {
    let named = cx.strings("activations")?;
    if !named.is_empty() {
        return Ok(named);
    }
    let directions = if direction == RnnDirection::Bidirectional { 2 } else { 1 };
    let all = defaults.iter().map(|&d| d.to_owned());
    Ok(all.cycle().take(defaults.len() * directions).collect())
}

/// The attribute, or an axis of the recurrence weights.
fn hidden_size(cx: &NodeCx<'_, '_>, axis: usize) -> Result<i64, Stop> {
    if let Some(n) = cx.attrs.opt_int("hidden_size")? {
        return Ok(n);
    }
    let r = cx.input_ty(2)?;
    r.shape
        .get(axis)
        .and_then(Dim::as_known)
        .ok_or_else(|| Stop::Defer("the size of the state is only known at run time".to_owned()))
}

fn rnn(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let direction = direction(cx)?;
    let op = Rnn {
        activations: activations(cx, direction, &["Tanh"])?,
        activation_alpha: cx.floats("activation_alpha")?,
        activation_beta: cx.floats("activation_beta")?,
        clip: cx.attrs.opt_float("clip")?,
        direction,
        hidden_size: hidden_size(cx, 2)?,
        batch_first: cx.bool("layout", false)?,
    };
    cx.emit_same(op)
}

fn gru(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let direction = direction(cx)?;
    let op = Gru {
        activations: activations(cx, direction, &["Sigmoid", "Tanh"])?,
        activation_alpha: cx.floats("activation_alpha")?,
        activation_beta: cx.floats("activation_beta")?,
        clip: cx.attrs.opt_float("clip")?,
        direction,
        hidden_size: hidden_size(cx, 2)?,
        batch_first: cx.bool("layout", false)?,
        linear_before_reset: cx.bool("linear_before_reset", false)?,
    };
    cx.emit_same(op)
}

fn lstm(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let direction = direction(cx)?;
    let op = Lstm {
        activations: activations(cx, direction, &["Sigmoid", "Tanh", "Tanh"])?,
        activation_alpha: cx.floats("activation_alpha")?,
        activation_beta: cx.floats("activation_beta")?,
        clip: cx.attrs.opt_float("clip")?,
        direction,
        hidden_size: hidden_size(cx, 2)?,
        batch_first: cx.bool("layout", false)?,
        input_forget: cx.bool("input_forget", false)?,
    };
    cx.emit_same(op)
}

fn quantized_lstm(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let direction = direction(cx)?;
    let op = DynamicQuantizeLstm {
        activations: activations(cx, direction, &["Sigmoid", "Tanh", "Tanh"])?,
        activation_alpha: cx.floats("activation_alpha")?,
        activation_beta: cx.floats("activation_beta")?,
        clip: cx.attrs.opt_float("clip")?,
        direction,
        hidden_size: hidden_size(cx, 1)?,
        input_forget: cx.bool("input_forget", false)?,
    };
    cx.emit_same(op)
}
