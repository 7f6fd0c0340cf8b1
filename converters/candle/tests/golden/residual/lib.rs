//! A model for [candle](https://github.com/huggingface/candle).
//!
//! Inputs:
//!
//! - `x`: `f32` `[batch, 8]`
//!
//! Outputs:
//!
//! - `y`: `f32` `[batch, 12]`

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{LayerNorm, Linear, VarBuilder};

/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    layer1: Vec<Block>,
    layer2: Vec<Block>,
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
            layer1: (0..2)
                .map(|i| Block::load(8, 8, vb.pp(format!("layer1.{i}"))))
                .collect::<Result<_>>()?,
            layer2: Vec::from([
                Block::load(8, 12, vb.pp("layer2.0"))?,
                Block::load(12, 12, vb.pp("layer2.1"))?,
            ]),
        })
    }

    /// Applies it to:
    ///
    /// - `x`: `f32` `[batch, 8]`
    ///
    /// Gives `f32` `[batch, 12]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for layer1 in &self.layer1 {
            x = layer1.forward(&x)?;
        }
        let mut y = x;
        for layer2 in &self.layer2 {
            y = layer2.forward(&y)?;
        }
        Ok(y)
    }
}

/// `layer1.0` of the model, and 3 more like it.
#[derive(Clone, Debug)]
pub struct Block {
    fc1: Linear,
    fc2: Linear,
    shortcut: Option<Shortcut>,
    norm: LayerNorm,
}

impl Block {
    /// Loads the weights.
    pub fn load(in_dim: usize, out_dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            fc1: candle_nn::linear(in_dim, out_dim, vb.pp("fc1"))?,
            fc2: candle_nn::linear(out_dim, out_dim, vb.pp("fc2"))?,
            shortcut: if vb.contains_tensor("shortcut.proj.weight") {
                Some(Shortcut::load(vb.pp("shortcut"))?)
            } else {
                None
            },
            norm: candle_nn::layer_norm(out_dim, 1e-5, vb.pp("norm"))?,
        })
    }

    /// Applies it to:
    ///
    /// - `x`: `f32` `[batch, 8]`
    ///
    /// Gives `f32` `[batch, 8]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let fc2 = self.fc1.forward(x)?.relu()?.apply(&self.fc2)?;
        let residual = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x)?,
            None => x.clone(),
        };
        (fc2 + residual)?.apply(&self.norm)
    }
}

/// `layer2.0.shortcut` of the model.
#[derive(Clone, Debug)]
pub struct Shortcut {
    proj: Linear,
    norm: LayerNorm,
}

impl Shortcut {
    /// Loads the weights.
    pub fn load(vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            proj: candle_nn::linear(8, 12, vb.pp("proj"))?,
            norm: candle_nn::layer_norm(12, 1e-5, vb.pp("norm"))?,
        })
    }

    /// Applies it to:
    ///
    /// - `x`: `f32` `[batch, 8]`
    ///
    /// Gives `f32` `[batch, 12]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.proj.forward(x)?.apply(&self.norm)
    }
}
