use candle_core::{Result, Tensor};

/// The rows of `x` `[time, batch, features]` times the transpose of a weight, plus a bias.
pub fn project(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (time, batch, features) = x.dims3()?;
    let mut y = x.reshape((time * batch, features))?.matmul(&weight.t()?)?;
    if let Some(bias) = bias {
        y = y.broadcast_add(bias)?;
    }
    y.reshape((time, batch, weight.dim(0)?))
}
