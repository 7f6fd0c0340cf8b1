use candle_core::{Result, Tensor};

use super::project;

/// Elman units with tanh in one direction over `x` `[time, batch, features]`, with weights and
/// biases of the input and of the hidden state. Gives all hidden states `[time, batch, hidden]`
/// and the last one.
pub fn rnn(
    x: &Tensor,
    (w_ih, b_ih): (&Tensor, Option<&Tensor>),
    (w_hh, b_hh): (&Tensor, Option<&Tensor>),
    h: Option<&Tensor>,
    reverse: bool,
) -> Result<(Tensor, Tensor)> {
    let (time, batch, _) = x.dims3()?;
    let hidden = w_hh.dim(1)?;
    let mut h = match h {
        Some(h) => h.clone(),
        None => Tensor::zeros((batch, hidden), x.dtype(), x.device())?,
    };
    let bias = match (b_ih, b_hh) {
        (Some(a), Some(b)) => Some((a + b)?),
        (a, b) => a.or(b).cloned(),
    };
    let inputs = project(x, w_ih, bias.as_ref())?;
    let w_hh = w_hh.t()?;
    let mut states = Vec::with_capacity(time);
    for step in 0..time {
        let step = if reverse { time - 1 - step } else { step };
        h = (inputs.get(step)? + h.matmul(&w_hh)?)?.tanh()?;
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
