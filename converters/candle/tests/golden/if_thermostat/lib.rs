//! A model for [candle](https://github.com/huggingface/candle).
//!
//! Inputs:
//!
//! - `reading`: `f32` `[N, 6]`
//!
//! Outputs:
//!
//! - `setting`: `f32` `[if_5, if_6]`
//! - `count`: `i64` `[]`

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Linear, VarBuilder};

/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    linear: Linear,
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
            linear: candle_nn::linear_no_bias(6, 3, vb.pp("linear"))?,
        })
    }

    /// Applies it to:
    ///
    /// - `reading`: `f32` `[N, 6]`
    pub fn forward(&self, reading: &Tensor) -> Result<Output> {
        let n = reading.dim(0)?;
        let device = reading.device();
        let reducemean = reading.mean((0, 1))?;
        let mul = (reading * 2.5)?;
        let greater = reducemean.gt(0.)?;
        let (setting, sizes) = if ops::is_true(&greater)? {
            let reduced = mul.max(1)?.max(0)?;
            let greater = reduced.gt(8.)?;
            let (o_hot, s_hot) = if ops::is_true(&greater)? {
                let linear = mul.broadcast_minimum(&reduced)?.apply(&self.linear)?;
                let s_boiling = Tensor::cat(
                    &[
                        &Tensor::new(&[n as i64], device)?,
                        &Tensor::new(&[6i64], device)?,
                    ],
                    0,
                )?;
                (linear, s_boiling)
            } else {
                let reducemean = reducemean.lt(0.4)?;
                let o_warm = if ops::is_true(&reducemean)? {
                    reading.broadcast_sub(&reduced)?
                } else {
                    mul.t()?
                };
                let n_4 = o_warm.dim(0)?;
                let n_5 = o_warm.dim(1)?;
                let s_warm = Tensor::cat(
                    &[
                        &Tensor::new(&[n_4 as i64], device)?,
                        &Tensor::new(&[n_5 as i64], device)?,
                    ],
                    0,
                )?;
                (o_warm, s_warm)
            };
            (o_hot, s_hot)
        } else {
            let reading = reading.neg()?;
            let s_cold = Tensor::cat(
                &[
                    &Tensor::new(&[n as i64], device)?,
                    &Tensor::new(&[6i64], device)?,
                ],
                0,
            )?;
            (reading, s_cold)
        };
        let count = ops::prod_keepdim(&sizes, 0)?.reshape(())?;
        Ok(Output { setting, count })
    }
}

/// What the model gives.
#[derive(Clone, Debug)]
pub struct Output {
    /// `f32` `[if_5, if_6]`.
    pub setting: Tensor,
    /// `i64` `[]`.
    pub count: Tensor,
}

mod ops {
    pub(crate) use is_true::is_true;
    mod is_true {
        use candle_core::{Result, Tensor};
        /// Whether all truth values are set.
        pub fn is_true(x: &Tensor) -> Result<bool> {
            Ok(x.flatten_all()?.to_vec1::<u8>()?.iter().all(|&v| v != 0))
        }
    }

    pub(crate) use prod_keepdim::prod_keepdim;
    mod prod_keepdim {
        use candle_core::{Result, Tensor};
        /// The product along an axis, which stays with size 1.
        pub fn prod_keepdim(x: &Tensor, axis: usize) -> Result<Tensor> {
            let mut shape = x.dims().to_vec();
            shape[axis] = 1;
            let mut product = Tensor::ones(shape, x.dtype(), x.device())?;
            for i in 0..x.dim(axis)? {
                product = (product * x.narrow(axis, i, 1)?)?;
            }
            Ok(product)
        }
    }
}
