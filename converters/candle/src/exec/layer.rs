//! Layers of `candle_nn` at run time.

use candle_core::{Module, ModuleT, Result, Tensor, bail};
use candle_nn::{
    BatchNorm, Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, ConvTranspose1d, ConvTranspose1dConfig,
    ConvTranspose2d, ConvTranspose2dConfig, Embedding, GroupNorm, LayerNorm, Linear, RmsNorm,
};

use crate::program::{Layer, Window};

/// Applies a layer to its input, which comes first, with these weights.
pub fn apply(layer: &Layer, args: Vec<Option<Tensor>>) -> Result<Tensor> {
    let mut args = args.into_iter();
    let mut next = || args.next().flatten();
    let Some(x) = next() else { bail!("a layer without an input") };
    let Some(weight) = next() else { bail!("a layer without a weight") };
    match layer {
        Layer::Linear => Linear::new(weight, next()).forward(&x),
        Layer::Conv1d(w) => Conv1d::new(weight, next(), conv1d(w)).forward(&x),
        Layer::Conv2d(w) => Conv2d::new(weight, next(), conv2d(w)).forward(&x),
        Layer::ConvTranspose1d(w) => {
            ConvTranspose1d::new(weight, next(), transpose1d(w)).forward(&x)
        }
        Layer::ConvTranspose2d(w) => {
            ConvTranspose2d::new(weight, next(), transpose2d(w)).forward(&x)
        }
        Layer::LayerNorm { eps } => match next() {
            Some(bias) => LayerNorm::new(weight, bias, *eps).forward(&x),
            None => LayerNorm::new_no_bias(weight, *eps).forward(&x),
        },
        Layer::RmsNorm { eps } => RmsNorm::new(weight, *eps).forward(&x),
        Layer::BatchNorm { eps } => {
            let (Some(bias), Some(mean), Some(var)) = (next(), next(), next()) else {
                bail!("a batch norm lacks a weight")
            };
            let features = weight.elem_count();
            BatchNorm::new(features, mean, var, weight, bias, *eps)?.forward_t(&x, false)
        }
        Layer::GroupNorm { groups, eps } => {
            let Some(bias) = next() else { bail!("a group norm lacks its bias") };
            let channels = weight.elem_count();
            GroupNorm::new(weight, bias, channels, *groups, *eps)?.forward(&x)
        }
        Layer::Embedding => {
            let hidden = weight.dim(1)?;
            Embedding::new(weight, hidden).forward(&x)
        }
    }
}

fn conv1d(w: &Window) -> Conv1dConfig {
    Conv1dConfig {
        padding: w.padding,
        stride: w.stride,
        dilation: w.dilation,
        groups: w.groups,
        ..Default::default()
    }
}

fn conv2d(w: &Window) -> Conv2dConfig {
    Conv2dConfig {
        padding: w.padding,
        stride: w.stride,
        dilation: w.dilation,
        groups: w.groups,
        ..Default::default()
    }
}

fn transpose1d(w: &Window) -> ConvTranspose1dConfig {
    ConvTranspose1dConfig {
        padding: w.padding,
        output_padding: w.output_padding,
        stride: w.stride,
        dilation: w.dilation,
        groups: w.groups,
    }
}

fn transpose2d(w: &Window) -> ConvTranspose2dConfig {
    ConvTranspose2dConfig {
        padding: w.padding,
        output_padding: w.output_padding,
        stride: w.stride,
        dilation: w.dilation,
    }
}
