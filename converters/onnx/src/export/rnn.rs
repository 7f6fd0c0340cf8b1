//! Writing rules of the rnn family.

use airconv_api::ir::attr::Float;
use airconv_api::ir::op::{Op, OpKind, RnnDirection};

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use crate::common::MICROSOFT;
use crate::proto::AttributeProto;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Rnn, rnn),
    ExportRule::new(OpKind::Gru, gru),
    ExportRule::new(OpKind::Lstm, lstm),
    ExportRule::new(OpKind::DynamicQuantizeLstm, quantized_lstm),
];

fn wrong() -> Result<(), Refuse> {
    Refuse::because("the rule is for another op")
}

/// What the layers have in common.
struct Common<'a> {
    activations: &'a [String],
    defaults: &'a [&'a str],
    alpha: &'a [Float],
    beta: &'a [Float],
    clip: Option<Float>,
    direction: RnnDirection,
    hidden: i64,
    batch_first: bool,
}

impl Common<'_> {
    fn attrs(&self) -> Vec<AttributeProto> {
        let mut out = Vec::new();
        let usual = self.activations.iter().zip(self.defaults.iter().cycle());
        if usual.clone().any(|(a, d)| a != d) {
            out.push(attr::strings("activations", self.activations));
        }
        if !self.alpha.is_empty() {
            out.push(attr::floats("activation_alpha", self.alpha));
        }
        if !self.beta.is_empty() {
            out.push(attr::floats("activation_beta", self.beta));
        }
        if let Some(clip) = self.clip {
            out.push(attr::float("clip", clip));
        }
        if self.direction != RnnDirection::Forward {
            out.push(attr::string("direction", self.direction.as_str()));
        }
        out.push(attr::int("hidden_size", self.hidden));
        if self.batch_first {
            out.push(attr::int("layout", 1));
        }
        out
    }
}

fn rnn(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Rnn(op) = op else { return wrong() };
    let common = Common {
        activations: &op.activations,
        defaults: &["Tanh"],
        alpha: &op.activation_alpha,
        beta: &op.activation_beta,
        clip: op.clip,
        direction: op.direction,
        hidden: op.hidden_size,
        batch_first: op.batch_first,
    };
    let inputs = cx.all()?;
    cx.emit("RNN", &inputs, common.attrs())
}

fn gru(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Gru(op) = op else { return wrong() };
    let common = Common {
        activations: &op.activations,
        defaults: &["Sigmoid", "Tanh"],
        alpha: &op.activation_alpha,
        beta: &op.activation_beta,
        clip: op.clip,
        direction: op.direction,
        hidden: op.hidden_size,
        batch_first: op.batch_first,
    };
    let mut attrs = common.attrs();
    if op.linear_before_reset {
        attrs.push(attr::int("linear_before_reset", 1));
    }
    let inputs = cx.all()?;
    cx.emit("GRU", &inputs, attrs)
}

fn lstm(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::Lstm(op) = op else { return wrong() };
    let common = Common {
        activations: &op.activations,
        defaults: &["Sigmoid", "Tanh", "Tanh"],
        alpha: &op.activation_alpha,
        beta: &op.activation_beta,
        clip: op.clip,
        direction: op.direction,
        hidden: op.hidden_size,
        batch_first: op.batch_first,
    };
    let mut attrs = common.attrs();
    if op.input_forget {
        attrs.push(attr::int("input_forget", 1));
    }
    let inputs = cx.all()?;
    cx.emit("LSTM", &inputs, attrs)
}

fn quantized_lstm(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::DynamicQuantizeLstm(op) = op else { return wrong() };
    let common = Common {
        activations: &op.activations,
        defaults: &["Sigmoid", "Tanh", "Tanh"],
        alpha: &op.activation_alpha,
        beta: &op.activation_beta,
        clip: op.clip,
        direction: op.direction,
        hidden: op.hidden_size,
        batch_first: false,
    };
    let mut attrs = common.attrs();
    if op.input_forget {
        attrs.push(attr::int("input_forget", 1));
    }
    let inputs = cx.all()?;
    cx.emit_in(MICROSOFT, "DynamicQuantizeLSTM", &inputs, attrs)
}
