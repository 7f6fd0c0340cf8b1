//! Reading rules of recurrent layers.
//!
//! A call stands for all layers and directions at once; each layer becomes one node. PyTorch
//! orders the gates of an LSTM input, forget, cell, output and those of a GRU reset, update,
//! new, and keeps two biases; the hub's order is ONNX's.

use airconv_ir::dim::Dim;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    Add, Gru, Lstm, Mul, Op, OpKind, Relu, Rnn, RnnDirection, Sigmoid, Sub, Tanh,
};

use super::arg::{Arg, Returns};
use super::call::{CallCx, Stop};
use super::dropout::dropped;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::gru_cell", CELL, gru_cell),
    ImportRule::of("aten::gru", "data", &[], packed),
    ImportRule::of("aten::gru", "input", &[OpKind::Gru], gru),
    ImportRule::new("aten::lstm_cell", CELL, lstm_cell),
    ImportRule::of("aten::lstm", "data", &[], packed),
    ImportRule::of("aten::lstm", "input", &[OpKind::Lstm], lstm),
    ImportRule::of("aten::rnn_relu", "data", &[], packed),
    ImportRule::of("aten::rnn_relu", "input", &[OpKind::Rnn], rnn),
    ImportRule::new("aten::rnn_relu_cell", CELL, rnn_relu_cell),
    ImportRule::of("aten::rnn_tanh", "data", &[], packed),
    ImportRule::of("aten::rnn_tanh", "input", &[OpKind::Rnn], rnn),
    ImportRule::new("aten::rnn_tanh_cell", CELL, rnn_tanh_cell),
];

const CELL: &[OpKind] = &[OpKind::Matmul, OpKind::Sigmoid, OpKind::Tanh];

/// The forms on packed sequences.
fn packed(cx: &mut CallCx<'_>) -> Outcome {
    cx.unsupported("packed sequences; a padded batch can be read")
}

/// The kind of a recurrent layer.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Lstm,
    Gru,
    Tanh,
    Relu,
}

impl Kind {
    /// Which of PyTorch's gates stands where in the hub's order.
    fn gates(self) -> &'static [i64] {
        match self {
            Self::Lstm => &[0, 3, 1, 2],
            Self::Gru => &[1, 0, 2],
            Self::Tanh | Self::Relu => &[0],
        }
    }
    fn activations(self) -> &'static [&'static str] {
        match self {
            Self::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Self::Gru => &["Sigmoid", "Tanh"],
            Self::Tanh => &["Tanh"],
            Self::Relu => &["Relu"],
        }
    }
    /// The op of one layer.
    fn op(self, hidden_size: i64, bidirectional: bool) -> Op {
        let (direction, count) = match bidirectional {
            true => (RnnDirection::Bidirectional, 2),
            false => (RnnDirection::Forward, 1),
        };
        let each = self.activations();
        let activations: Vec<String> =
            each.iter().cycle().take(each.len() * count).map(|&a| a.to_owned()).collect();
        let (activation_alpha, activation_beta) = (Vec::new(), Vec::new());
        let (clip, batch_first) = (None, false);
        match self {
            Self::Lstm => Lstm {
                activations,
                activation_alpha,
                activation_beta,
                clip,
                direction,
                hidden_size,
                batch_first,
                input_forget: false,
            }
            .into(),
            Self::Gru => Gru {
                activations,
                activation_alpha,
                activation_beta,
                clip,
                direction,
                hidden_size,
                batch_first,
                linear_before_reset: true,
            }
            .into(),
            Self::Tanh | Self::Relu => Rnn {
                activations,
                activation_alpha,
                activation_beta,
                clip,
                direction,
                hidden_size,
                batch_first,
            }
            .into(),
        }
    }
}

/// The arguments that all layers share.
struct Stack {
    kind: Kind,
    params: Vec<ValueId>,
    has_biases: bool,
    layers: i64,
    directions: i64,
    hidden: i64,
}

fn stack(cx: &mut CallCx<'_>, kind: Kind) -> Result<Stack, Stop> {
    let params = cx.tensors("params")?;
    let (has_biases, layers) = (cx.bool("has_biases")?, cx.int("num_layers")?);
    let directions = if cx.bool("bidirectional")? { 2 } else { 1 };
    let each = if has_biases { 4 } else { 2 };
    let expected = layers.max(0).saturating_mul(directions).saturating_mul(each);
    let count = params.len() as i64;
    let projected = expected.checked_add(expected / each);
    if Some(count) == projected && count != expected && kind == Kind::Lstm {
        return cx.unsupported("a projection of the state");
    }
    let Some(&recurrent) = params.get(1).filter(|_| count == expected) else {
        return cx.invalid(format!("{count} parameters where {expected} are needed"));
    };
    match cx.shape(recurrent)?.as_slice() {
        [_, hidden] => match hidden.as_known() {
            Some(hidden) => Ok(Stack { kind, params, has_biases, layers, directions, hidden }),
            None => cx.unsupported("a state of unknown size"),
        },
        _ => cx.invalid("the recurrent weights are no matrix"),
    }
}

impl Stack {
    /// The parameter of a direction of a layer: 0 and 1 are weights, 2 and 3 biases.
    fn param(&self, layer: i64, direction: i64, which: usize) -> Option<ValueId> {
        let each = if self.has_biases { 4 } else { 2 };
        let first = (layer * self.directions + direction) as usize * each;
        if which < each { self.params.get(first + which).copied() } else { None }
    }

    /// Rows of a parameter with the gates in the hub's order.
    fn reordered(&self, cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
        let gates = self.kind.gates();
        if gates.len() == 1 {
            return Ok(x);
        }
        let mut b = cx.b();
        let mut parts = Vec::new();
        for &gate in gates {
            let start = self.hidden.saturating_mul(gate);
            let end = start.saturating_add(self.hidden);
            parts.push(b.slice_axis(x, 0, start.into(), end.into())?);
        }
        Ok(b.concat(&parts, 0)?)
    }

    /// A parameter of all directions of a layer, joined along a new first axis.
    fn joined(
        &self,
        cx: &mut CallCx<'_>,
        layer: i64,
        parts: &[usize],
    ) -> Result<Option<ValueId>, Stop> {
        let mut all = Vec::new();
        for direction in 0..self.directions {
            let mut own = Vec::new();
            for &which in parts {
                let Some(x) = self.param(layer, direction, which) else { return Ok(None) };
                own.push(self.reordered(cx, x)?);
            }
            let own = cx.b().concat(&own, 0)?;
            all.push(cx.b().unsqueeze(own, &[0])?);
        }
        Ok(Some(cx.b().concat(&all, 0)?))
    }

    /// The initial states of a layer, of those of all.
    fn states(&self, cx: &mut CallCx<'_>, all: ValueId, layer: i64) -> Result<ValueId, Stop> {
        if self.layers == 1 {
            return Ok(all);
        }
        let (start, end) = (layer * self.directions, (layer + 1) * self.directions);
        Ok(cx.b().slice_axis(all, 0, start.into(), end.into())?)
    }

    /// Runs all layers over x[steps, batch, features]; gives the outputs
    /// [steps, batch, directions * hidden] and the last states of all layers.
    fn run(
        &self,
        cx: &mut CallCx<'_>,
        mut x: ValueId,
        initial: &[ValueId],
    ) -> Result<(ValueId, Vec<ValueId>), Stop> {
        let ratio = match cx.bool("train")? {
            true => cx.float("dropout")?,
            false => 0.0,
        };
        cx.ignore(&["dropout"]);
        let mut last: Vec<Vec<ValueId>> = vec![Vec::new(); initial.len()];
        for layer in 0..self.layers {
            if layer > 0 && ratio > 0.0 {
                x = dropped(cx, x, ratio)?.0;
            }
            let w = self.joined(cx, layer, &[0])?;
            let r = self.joined(cx, layer, &[1])?;
            let bias = self.joined(cx, layer, &[2, 3])?;
            let mut operands = vec![Some(x), w, r, bias, None];
            for &state in initial {
                operands.push(Some(self.states(cx, state, layer)?));
            }
            let op = self.kind.op(self.hidden, self.directions == 2);
            let results = cx.emit_all(op, &operands)?;
            let Some((&y, states)) = results.split_first() else {
                return cx.invalid("a recurrent layer gives no results");
            };
            x = joined_directions(cx, y)?;
            for (list, &state) in last.iter_mut().zip(states) {
                list.push(state);
            }
        }
        let last: Result<Vec<ValueId>, Stop> =
            last.iter().map(|list| Ok(cx.b().concat(list, 0)?)).collect();
        Ok((x, last?))
    }
}

/// [steps, directions, batch, hidden] as [steps, batch, directions * hidden].
fn joined_directions(cx: &mut CallCx<'_>, y: ValueId) -> Result<ValueId, Stop> {
    let shape = cx.shape(y)?;
    let [steps, directions, batch, hidden] = shape.as_slice() else {
        return cx.invalid("a recurrent layer gives a tensor of rank 4");
    };
    let dims = [steps.clone(), batch.clone(), directions * hidden];
    if directions.as_known() == Some(1) {
        return Ok(cx.b().squeeze(y, &[1])?);
    }
    let y = cx.b().transpose(y, &[0, 2, 1, 3])?;
    Ok(cx.b().reshape(y, &dims)?)
}

/// Reads a call: the operand and the results with the axes that are asked for.
fn recurrent(cx: &mut CallCx<'_>, kind: Kind, initial: &[ValueId]) -> Outcome {
    let stack = stack(cx, kind)?;
    let batch_first = cx.bool("batch_first")?;
    let swap = |cx: &mut CallCx<'_>, x: ValueId| -> Result<ValueId, Stop> {
        if batch_first { Ok(cx.b().transpose(x, &[1, 0, 2])?) } else { Ok(x) }
    };
    let x = cx.tensor("input")?;
    let x = swap(cx, x)?;
    let (y, states) = stack.run(cx, x, initial)?;
    let mut out = vec![Arg::Tensor(swap(cx, y)?)];
    out.extend(states.into_iter().map(Arg::Tensor));
    Ok(Returns(out))
}

/// `lstm` of a padded batch.
fn lstm(cx: &mut CallCx<'_>) -> Outcome {
    let initial = cx.tensors("hx")?;
    if initial.len() != 2 {
        return cx.invalid("an LSTM has two states");
    }
    recurrent(cx, Kind::Lstm, &initial)
}

/// `gru` of a padded batch.
fn gru(cx: &mut CallCx<'_>) -> Outcome {
    let initial = cx.tensor("hx")?;
    recurrent(cx, Kind::Gru, &[initial])
}

/// `rnn_tanh` and `rnn_relu` of a padded batch.
fn rnn(cx: &mut CallCx<'_>) -> Outcome {
    let kind = if cx.schema.name.contains("relu") { Kind::Relu } else { Kind::Tanh };
    let initial = cx.tensor("hx")?;
    recurrent(cx, kind, &[initial])
}

// Cells: one step.

/// x times the transposed weights, plus a bias.
fn projected(cx: &mut CallCx<'_>, x: ValueId, weight: &str, bias: &str) -> Result<ValueId, Stop> {
    let (weight, bias) = (cx.tensor(weight)?, cx.opt_tensor(bias)?);
    let mut b = cx.b();
    let weight = b.transpose(weight, &[1, 0])?;
    let y = b.matmul(x, weight)?;
    Ok(match bias {
        Some(bias) => b.add(y, bias)?,
        None => y,
    })
}

/// Equal parts of the last axis.
fn gates(cx: &mut CallCx<'_>, x: ValueId, count: i64) -> Result<Vec<ValueId>, Stop> {
    let shape = cx.shape(x)?;
    let Some(axis) = shape.len().checked_sub(1) else {
        return cx.invalid("a cell works on vectors");
    };
    let width = shape[axis].floor_div(&count.into());
    let part = |i: i64| -> Result<ValueId, Stop> {
        let start = Dim::mul(&width, &i.into());
        let end = &start + &width;
        Ok(cx.b().slice_axis(x, axis, start, end)?)
    };
    (0..count).map(part).collect()
}

/// `lstm_cell`: the next state and memory.
fn lstm_cell(cx: &mut CallCx<'_>) -> Outcome {
    let (x, states) = (cx.tensor("input")?, cx.tensors("hx")?);
    let &[h, c] = states.as_slice() else { return cx.invalid("an LSTM has two states") };
    let inner = projected(cx, x, "w_ih", "b_ih")?;
    let outer = projected(cx, h, "w_hh", "b_hh")?;
    let sum = cx.emit(Add {}, &[inner, outer])?;
    let parts = gates(cx, sum, 4)?;
    let &[i, f, g, o] = parts.as_slice() else { return cx.invalid("an LSTM has four gates") };
    let (i, f, o) =
        (cx.emit(Sigmoid {}, &[i])?, cx.emit(Sigmoid {}, &[f])?, cx.emit(Sigmoid {}, &[o])?);
    let g = cx.emit(Tanh {}, &[g])?;
    let kept = cx.emit(Mul {}, &[f, c])?;
    let added = cx.emit(Mul {}, &[i, g])?;
    let c = cx.emit(Add {}, &[kept, added])?;
    let shown = cx.emit(Tanh {}, &[c])?;
    let h = cx.emit(Mul {}, &[o, shown])?;
    Ok([h, c].into())
}

/// `gru_cell`: the next state.
fn gru_cell(cx: &mut CallCx<'_>) -> Outcome {
    let (x, h) = (cx.tensor("input")?, cx.tensor("hx")?);
    let inner = projected(cx, x, "w_ih", "b_ih")?;
    let outer = projected(cx, h, "w_hh", "b_hh")?;
    let (inner, outer) = (gates(cx, inner, 3)?, gates(cx, outer, 3)?);
    let (&[ir, iz, inew], &[hr, hz, hnew]) = (inner.as_slice(), outer.as_slice()) else {
        return cx.invalid("a GRU has three gates");
    };
    let r = cx.emit(Add {}, &[ir, hr])?;
    let r = cx.emit(Sigmoid {}, &[r])?;
    let z = cx.emit(Add {}, &[iz, hz])?;
    let z = cx.emit(Sigmoid {}, &[z])?;
    let reset = cx.emit(Mul {}, &[r, hnew])?;
    let new = cx.emit(Add {}, &[inew, reset])?;
    let new = cx.emit(Tanh {}, &[new])?;
    let distance = cx.emit(Sub {}, &[h, new])?;
    let kept = cx.emit(Mul {}, &[z, distance])?;
    Ok(cx.emit(Add {}, &[new, kept])?.into())
}

/// `rnn_tanh_cell`.
fn rnn_tanh_cell(cx: &mut CallCx<'_>) -> Outcome {
    plain_cell(cx, Tanh {})
}

/// `rnn_relu_cell`.
fn rnn_relu_cell(cx: &mut CallCx<'_>) -> Outcome {
    plain_cell(cx, Relu {})
}

fn plain_cell(cx: &mut CallCx<'_>, activation: impl Into<Op>) -> Outcome {
    let (x, h) = (cx.tensor("input")?, cx.tensor("hx")?);
    let inner = projected(cx, x, "w_ih", "b_ih")?;
    let outer = projected(cx, h, "w_hh", "b_hh")?;
    let sum = cx.emit(Add {}, &[inner, outer])?;
    Ok(cx.emit(activation, &[sum])?.into())
}
