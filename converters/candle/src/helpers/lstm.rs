use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;

/// Long short-term memory in one direction over `x` `[time, batch, features]`. The rows of `w`,
/// `r` and `b` (input bias, then hidden bias) are those of the input, output, forget and cell
/// gates. Gives all hidden states `[time, batch, hidden]`, and the last hidden and cell state.
pub fn lstm(
    x: &Tensor,
    w: &Tensor,
    r: &Tensor,
    b: Option<&Tensor>,
    h: Option<&Tensor>,
    c: Option<&Tensor>,
    reverse: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (time, batch, features) = x.dims3()?;
    let hidden = r.dim(1)?;
    let start = |state: Option<&Tensor>| match state {
        Some(state) => Ok(state.clone()),
        None => Tensor::zeros((batch, hidden), x.dtype(), x.device()),
    };
    let (mut h, mut c) = (start(h)?, start(c)?);
    let mut inputs = x.reshape((time * batch, features))?.matmul(&w.t()?)?;
    if let Some(b) = b {
        let bias = (b.narrow(0, 0, 4 * hidden)? + b.narrow(0, 4 * hidden, 4 * hidden)?)?;
        inputs = inputs.broadcast_add(&bias)?;
    }
    let inputs = inputs.reshape((time, batch, 4 * hidden))?;
    let r = r.t()?;
    let mut states = Vec::with_capacity(time);
    for step in 0..time {
        let step = if reverse { time - 1 - step } else { step };
        let gates = (inputs.get(step)? + h.matmul(&r)?)?.chunk(4, 1)?;
        let (input, output) = (sigmoid(&gates[0])?, sigmoid(&gates[1])?);
        let (forget, cell) = (sigmoid(&gates[2])?, gates[3].tanh()?);
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
