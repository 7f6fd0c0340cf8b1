use candle_core::{Result, Tensor};

/// Elman units with tanh in one direction over `x` `[time, batch, features]`; `b` is the input
/// bias, then the hidden bias. Gives all hidden states `[time, batch, hidden]` and the last one.
pub fn rnn(
    x: &Tensor,
    w: &Tensor,
    r: &Tensor,
    b: Option<&Tensor>,
    h: Option<&Tensor>,
    reverse: bool,
) -> Result<(Tensor, Tensor)> {
    let (time, batch, features) = x.dims3()?;
    let hidden = r.dim(1)?;
    let mut h = match h {
        Some(h) => h.clone(),
        None => Tensor::zeros((batch, hidden), x.dtype(), x.device())?,
    };
    let mut inputs = x.reshape((time * batch, features))?.matmul(&w.t()?)?;
    if let Some(b) = b {
        inputs =
            inputs.broadcast_add(&(b.narrow(0, 0, hidden)? + b.narrow(0, hidden, hidden)?)?)?;
    }
    let inputs = inputs.reshape((time, batch, hidden))?;
    let r = r.t()?;
    let mut states = Vec::with_capacity(time);
    for step in 0..time {
        let step = if reverse { time - 1 - step } else { step };
        h = (inputs.get(step)? + h.matmul(&r)?)?.tanh()?;
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
