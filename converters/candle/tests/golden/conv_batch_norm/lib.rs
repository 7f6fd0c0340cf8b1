//! A model for [candle](https://github.com/huggingface/candle).
//!
//! Inputs:
//!
//! - `image`: `f32` `[N, 4, 16, 16]`
//!
//! Outputs:
//!
//! - `y`: `f32` `[N, 10]`

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{
    BatchNorm, Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig, Linear, VarBuilder,
};
/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    conv2d: Conv2d,
    batch_norm: BatchNorm,
    conv2d_2: Conv2d,
    batch_norm_2: BatchNorm,
    conv2d_3: Conv2d,
    batch_norm_3: BatchNorm,
    conv_transpose2d: ConvTranspose2d,
    batch_norm_4: BatchNorm,
    k_48: Tensor,
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
            conv2d: candle_nn::conv2d(
                4,
                8,
                3,
                Conv2dConfig {
                    stride: 2,
                    ..Default::default()
                },
                vb.pp("conv2d"),
            )?,
            batch_norm: candle_nn::batch_norm(8, 1e-5, vb.pp("batch_norm"))?,
            conv2d_2: candle_nn::conv2d_no_bias(
                8,
                8,
                3,
                Conv2dConfig {
                    padding: 1,
                    groups: 8,
                    ..Default::default()
                },
                vb.pp("conv2d_2"),
            )?,
            batch_norm_2: candle_nn::batch_norm(8, 1e-5, vb.pp("batch_norm_2"))?,
            conv2d_3: candle_nn::conv2d_no_bias(
                8,
                8,
                3,
                Conv2dConfig {
                    padding: 2,
                    dilation: 2,
                    groups: 2,
                    ..Default::default()
                },
                vb.pp("conv2d_3"),
            )?,
            batch_norm_3: candle_nn::batch_norm(8, 1e-5, vb.pp("batch_norm_3"))?,
            conv_transpose2d: candle_nn::conv_transpose2d_no_bias(
                8,
                6,
                2,
                ConvTranspose2dConfig {
                    stride: 2,
                    ..Default::default()
                },
                vb.pp("conv_transpose2d"),
            )?,
            batch_norm_4: candle_nn::batch_norm(6, 1e-5, vb.pp("batch_norm_4"))?,
            k_48: vb.get((1, 6, 1, 1), "k_48")?,
            linear: candle_nn::linear(6, 10, vb.pp("linear"))?,
        })
    }

    /// Applies it to:
    ///
    /// - `image`: `f32` `[N, 4, 16, 16]`
    ///
    /// Gives `f32` `[N, 10]`.
    pub fn forward(&self, image: &Tensor) -> Result<Tensor> {
        let image = image
            .pad_with_zeros(2, 1, 1)?
            .pad_with_zeros(3, 1, 1)?
            .apply(&self.conv2d)?
            .apply_t(&self.batch_norm, false)?
            .relu()?;
        let batch_norm_3 = ops::hard_swish(
            &self
                .conv2d_2
                .forward(&image)?
                .apply_t(&self.batch_norm_2, false)?,
        )?
        .apply(&self.conv2d_3)?
        .apply_t(&self.batch_norm_3, false)?;
        ((image + batch_norm_3)?
            .silu()?
            .apply(&self.conv_transpose2d)?
            .apply_t(&self.batch_norm_4, false)?
            .max_pool2d_with_stride(2, 2)?
            * 1.5)?
            .broadcast_add(&self.k_48)?
            .mean((2, 3))?
            .apply(&self.linear)
    }
}

mod ops {
    pub(crate) use hard_swish::hard_swish;
    mod hard_swish {
        use candle_core::{Result, Tensor};
        /// `x * relu6(x + 3) / 6`.
        pub fn hard_swish(x: &Tensor) -> Result<Tensor> {
            x * x.affine(1. / 6., 0.5)?.clamp(0f32, 1f32)?
        }
    }
}
