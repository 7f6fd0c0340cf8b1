//! A model for [candle](https://github.com/huggingface/candle).
//!
//! Inputs:
//!
//! - `x`: `f32` `[T, B, 5]`
//! - `h`: `f32` `[2, B, 4]`
//! - `c`: `f32` `[2, B, 4]`
//!
//! Outputs:
//!
//! - `y`: `f32` `[T, B, 4]`
//! - `cell`: `f32` `[2, B, 4]`

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    weight_ih_l0: Tensor,
    weight_hh_l0: Tensor,
    bias_ih_l0: Tensor,
    bias_hh_l0: Tensor,
    weight_ih_l0_reverse: Tensor,
    weight_hh_l0_reverse: Tensor,
    bias_ih_l0_reverse: Tensor,
    bias_hh_l0_reverse: Tensor,
    weight_ih_l0_2: Tensor,
    weight_hh_l0_2: Tensor,
    bias_ih_l0_2: Tensor,
    bias_hh_l0_2: Tensor,
}

impl Model {
    /// Loads the weights from a safetensors file.
    pub fn from_safetensors(path: impl AsRef<std::path::Path>, device: &Device) -> Result<Self> {
        let weights = std::fs::read(path)?;
        let vb = VarBuilder::from_buffered_safetensors(weights, DType::F32, device)?;
        Self::load(vb)
    }

    /// Loads the weights.
    pub fn load(vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            weight_ih_l0: vb.get((16, 5), "weight_ih_l0")?,
            weight_hh_l0: vb.get((16, 4), "weight_hh_l0")?,
            bias_ih_l0: vb.get(16, "bias_ih_l0")?,
            bias_hh_l0: vb.get(16, "bias_hh_l0")?,
            weight_ih_l0_reverse: vb.get((16, 5), "weight_ih_l0_reverse")?,
            weight_hh_l0_reverse: vb.get((16, 4), "weight_hh_l0_reverse")?,
            bias_ih_l0_reverse: vb.get(16, "bias_ih_l0_reverse")?,
            bias_hh_l0_reverse: vb.get(16, "bias_hh_l0_reverse")?,
            weight_ih_l0_2: vb.get((12, 8), "weight_ih_l0_2")?,
            weight_hh_l0_2: vb.get((12, 4), "weight_hh_l0_2")?,
            bias_ih_l0_2: vb.get(12, "bias_ih_l0_2")?,
            bias_hh_l0_2: vb.get(12, "bias_hh_l0_2")?,
        })
    }

    /// Applies it to:
    ///
    /// - `x`: `f32` `[T, B, 5]`
    /// - `h`: `f32` `[2, B, 4]`
    /// - `c`: `f32` `[2, B, 4]`
    pub fn forward(&self, x: &Tensor, h: &Tensor, c: &Tensor) -> Result<Output> {
        let (t, b, _) = x.dims3()?;
        let (states, _, cell) = ops::lstm(
            x,
            (&self.weight_ih_l0, Some(&self.bias_ih_l0)),
            (&self.weight_hh_l0, Some(&self.bias_hh_l0)),
            (Some(&h.get(0)?), Some(&c.get(0)?)),
            false,
        )?;
        let (states_2, _, cell_2) = ops::lstm(
            x,
            (&self.weight_ih_l0_reverse, Some(&self.bias_ih_l0_reverse)),
            (&self.weight_hh_l0_reverse, Some(&self.bias_hh_l0_reverse)),
            (Some(&h.get(1)?), Some(&c.get(1)?)),
            true,
        )?;
        let cell = Tensor::stack(&[&cell, &cell_2], 0)?;
        let (y, _) = ops::gru(
            &Tensor::stack(&[&states, &states_2], 1)?
                .transpose(1, 2)?
                .reshape((t, b, 8))?,
            (&self.weight_ih_l0_2, Some(&self.bias_ih_l0_2)),
            (&self.weight_hh_l0_2, Some(&self.bias_hh_l0_2)),
            None,
            false,
            true,
        )?;
        Ok(Output { y, cell })
    }
}

/// What the model gives.
#[derive(Clone, Debug)]
pub struct Output {
    /// `f32` `[T, B, 4]`.
    pub y: Tensor,
    /// `f32` `[2, B, 4]`.
    pub cell: Tensor,
}

mod ops {
    pub(crate) use gru::gru;
    mod gru {
        use super::project;
        use candle_core::{Result, Tensor};
        use candle_nn::ops::sigmoid;
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
            let (w_gates, w_new) = (
                w_hh.narrow(0, 0, 2 * hidden)?.t()?,
                w_hh.narrow(0, 2 * hidden, hidden)?.t()?,
            );
            let (b_gates, b_new) = (
                b_hh.narrow(0, 0, 2 * hidden)?,
                b_hh.narrow(0, 2 * hidden, hidden)?,
            );
            let mut states = Vec::with_capacity(time);
            for step in 0..time {
                let x = inputs.get(if reverse { time - 1 - step } else { step })?;
                let gates =
                    (x.narrow(1, 0, 2 * hidden)? + h.matmul(&w_gates)?.broadcast_add(&b_gates)?)?;
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
    }

    pub(crate) use lstm::lstm;
    mod lstm {
        use super::project;
        use candle_core::{Result, Tensor};
        use candle_nn::ops::sigmoid;
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
    }

    pub(crate) use project::project;
    mod project {
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
    }
}
