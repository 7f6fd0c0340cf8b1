use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;

use super::project;

/// Long short-term memory in one direction over `x` `[time, batch, features]`. Weights and biases,
/// of the input and of the hidden state, have rows as in PyTorch: those of the input, forget, cell
/// and output gates. Starts from a hidden and a cell state, else from zeros. Gives all hidden
/// states `[time, batch, hidden]`, and the last hidden and cell state.
pub fn lstm(
    x: &Tensor,
    (w_ih, b_ih): (&Tensor, Option<&Tensor>),
    (w_hh, b_hh): (&Tensor, Option<&Tensor>),
    (h, c): (Option<&Tensor>, Option<&Tensor>),
    reverse: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (time, batch, _) = x.dims3()?;
    let hidden = w_hh.dim(1)?;
    let start = |state: Option<&Tensor>| match state {
        Some(state) => Ok(state.clone()),
        None => Tensor::zeros((batch, hidden), x.dtype(), x.device()),
    };
    let (mut h, mut c) = (start(h)?, start(c)?);
    let bias = match (b_ih, b_hh) {
        (Some(a), Some(b)) => Some((a + b)?),
        (a, b) => a.or(b).cloned(),
    };
    let inputs = project(x, w_ih, bias.as_ref())?;
    let w_hh = w_hh.t()?;
    let mut states = Vec::with_capacity(time);
    for step in 0..time {
        let step = if reverse { time - 1 - step } else { step };
        let gates = (inputs.get(step)? + h.matmul(&w_hh)?)?.chunk(4, 1)?;
        let (input, forget) = (sigmoid(&gates[0])?, sigmoid(&gates[1])?);
        let (cell, output) = (gates[2].tanh()?, sigmoid(&gates[3])?);
        c = ((forget * &c)? + (input * cell)?)?;
        h = (output * c.tanh()?)?;
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
    Ok((states, h, c))
}
