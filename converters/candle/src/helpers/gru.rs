use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;

use super::project;

/// Gated recurrent units in one direction over `x` `[time, batch, features]`. Weights and biases,
/// of the input and of the hidden state, have rows as in PyTorch: those of the reset, update and
/// new gates. With `reset_after`, as in PyTorch, the reset gate comes after the matrix product.
/// Gives all hidden states `[time, batch, hidden]` and the last one.
pub fn gru(
    x: &Tensor,
    (w_ih, b_ih): (&Tensor, Option<&Tensor>),
    (w_hh, b_hh): (&Tensor, Option<&Tensor>),
    h: Option<&Tensor>,
    reverse: bool,
    reset_after: bool,
) -> Result<(Tensor, Tensor)> {
    let (time, batch, _) = x.dims3()?;
    let hidden = w_hh.dim(1)?;
    let mut h = match h {
        Some(h) => h.clone(),
        None => Tensor::zeros((batch, hidden), x.dtype(), x.device())?,
    };
    let b_hh = match b_hh {
        Some(b) => b.clone(),
        None => Tensor::zeros(3 * hidden, x.dtype(), x.device())?,
    };
    let inputs = project(x, w_ih, b_ih)?;
    let (w_gates, w_new) =
        (w_hh.narrow(0, 0, 2 * hidden)?.t()?, w_hh.narrow(0, 2 * hidden, hidden)?.t()?);
    let (b_gates, b_new) = (b_hh.narrow(0, 0, 2 * hidden)?, b_hh.narrow(0, 2 * hidden, hidden)?);
    let mut states = Vec::with_capacity(time);
    for step in 0..time {
        let x = inputs.get(if reverse { time - 1 - step } else { step })?;
        let gates = (x.narrow(1, 0, 2 * hidden)? + h.matmul(&w_gates)?.broadcast_add(&b_gates)?)?;
        let gates = sigmoid(&gates)?.chunk(2, 1)?;
        let (reset, update) = (&gates[0], &gates[1]);
        let memory = if reset_after {
            (reset * h.matmul(&w_new)?.broadcast_add(&b_new)?)?
        } else {
            (reset * &h)?.matmul(&w_new)?.broadcast_add(&b_new)?
        };
        let new = (x.narrow(1, 2 * hidden, hidden)? + memory)?.tanh()?;
        h = (&new + (update * (&h - &new)?)?)?;
        states.push(h.clone());
    }
    if reverse {
        states.reverse();
    }
    let states = if time == 0 {
        Tensor::zeros((0, batch, hidden), x.dtype(), x.device())?
    } else {
        Tensor::stack(&states, 0)?
    };
    Ok((states, h))
}
