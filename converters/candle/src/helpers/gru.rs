use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;

/// Gated recurrent units in one direction over `x` `[time, batch, features]`. The rows of `w`,
/// `r` and `b` (input bias, then hidden bias) are those of the update, reset and hidden gates.
/// With `reset_after` the reset gate comes after the matrix product. Gives all hidden states
/// `[time, batch, hidden]` and the last one.
pub fn gru(
    x: &Tensor,
    w: &Tensor,
    r: &Tensor,
    b: Option<&Tensor>,
    h: Option<&Tensor>,
    reverse: bool,
    reset_after: bool,
) -> Result<(Tensor, Tensor)> {
    let (time, batch, features) = x.dims3()?;
    let hidden = r.dim(1)?;
    let b = match b {
        Some(b) => b.clone(),
        None => Tensor::zeros(6 * hidden, x.dtype(), x.device())?,
    };
    let mut h = match h {
        Some(h) => h.clone(),
        None => Tensor::zeros((batch, hidden), x.dtype(), x.device())?,
    };
    let inputs = x.reshape((time * batch, features))?.matmul(&w.t()?)?;
    let inputs = inputs.broadcast_add(&b.narrow(0, 0, 3 * hidden)?)?;
    let inputs = inputs.reshape((time, batch, 3 * hidden))?;
    let bias = b.narrow(0, 3 * hidden, 3 * hidden)?;
    let (r_gates, r_hidden) =
        (r.narrow(0, 0, 2 * hidden)?.t()?, r.narrow(0, 2 * hidden, hidden)?.t()?);
    let (b_gates, b_hidden) = (bias.narrow(0, 0, 2 * hidden)?, bias.narrow(0, 2 * hidden, hidden)?);
    let mut states = Vec::with_capacity(time);
    for step in 0..time {
        let x = inputs.get(if reverse { time - 1 - step } else { step })?;
        let gates = (x.narrow(1, 0, 2 * hidden)? + h.matmul(&r_gates)?.broadcast_add(&b_gates)?)?;
        let gates = sigmoid(&gates)?.chunk(2, 1)?;
        let (update, reset) = (&gates[0], &gates[1]);
        let memory = if reset_after {
            (reset * h.matmul(&r_hidden)?.broadcast_add(&b_hidden)?)?
        } else {
            (reset * &h)?.matmul(&r_hidden)?.broadcast_add(&b_hidden)?
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
