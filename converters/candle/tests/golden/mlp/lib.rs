//! A model for [candle](https://github.com/huggingface/candle).
//!
//! Inputs:
//!
//! - `features`: `f32` `[batch, 8]`
//!
//! Outputs:
//!
//! - `probabilities`: `f32` `[batch, 3]`

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{LayerNorm, Linear, VarBuilder};

/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    layers: Vec<Layer>,
    head: Linear,
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
            layers: Vec::from([
                Layer::load(12, vb.pp("layers.0"))?,
                Layer::load(12, vb.pp("layers.1"))?,
                Layer::load(16, vb.pp("layers.2"))?,
            ]),
            head: candle_nn::linear(8, 3, vb.pp("head"))?,
        })
    }

    /// Applies it to:
    ///
    /// - `features`: `f32` `[batch, 8]`
    ///
    /// Gives `f32` `[batch, 3]`.
    pub fn forward(&self, features: &Tensor) -> Result<Tensor> {
        let mut features = features.clone();
        for layer in &self.layers {
            features = layer.forward(&features)?;
        }
        candle_nn::ops::softmax_last_dim(&self.head.forward(&features)?)
    }
}

/// `layers.0` of the model, and 2 more like it.
#[derive(Clone, Debug)]
pub struct Layer {
    fc1: Linear,
    fc2: Linear,
    norm: LayerNorm,
}

impl Layer {
    /// Loads the weights.
    pub fn load(out_dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            fc1: candle_nn::linear(8, out_dim, vb.pp("fc1"))?,
            fc2: candle_nn::linear(out_dim, 8, vb.pp("fc2"))?,
            norm: candle_nn::layer_norm(8, 1e-5, vb.pp("norm"))?,
        })
    }

    /// Applies it to:
    ///
    /// - `x`: `f32` `[batch, 8]`
    ///
    /// Gives `f32` `[batch, 8]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        (x + self.fc1.forward(x)?.gelu_erf()?.apply(&self.fc2)?)?.apply(&self.norm)
    }
}
