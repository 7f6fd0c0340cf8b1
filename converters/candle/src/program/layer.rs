//! Layers of `candle_nn`: what holds weights and is applied to one tensor.

/// A layer of `candle_nn` without its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layer {
    /// `x w^T + b`.
    Linear,
    /// Convolution over one axis.
    Conv1d(Window),
    /// Convolution over two axes.
    Conv2d(Window),
    /// Transposed convolution over one axis.
    ConvTranspose1d(Window),
    /// Transposed convolution over two axes.
    ConvTranspose2d(Window),
    /// Normalisation over the last axis.
    LayerNorm {
        /// Added to the variance.
        eps: f64,
    },
    /// Normalisation by the mean square over the last axis.
    RmsNorm {
        /// Added to the mean square.
        eps: f64,
    },
    /// Normalisation per channel by statistics that were learned.
    BatchNorm {
        /// Added to the variance.
        eps: f64,
    },
    /// Normalisation per sample and group of channels.
    GroupNorm {
        /// Groups.
        groups: usize,
        /// Added to the variance.
        eps: f64,
    },
    /// Rows of a table.
    Embedding,
}

/// How a convolution moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Added at each side.
    pub padding: usize,
    /// Added at the end of the result of a transposed convolution.
    pub output_padding: usize,
    /// Steps.
    pub stride: usize,
    /// Distance of kernel elements.
    pub dilation: usize,
    /// Groups of channels.
    pub groups: usize,
}

/// A weight of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// What `candle_nn` calls it in a file.
    pub name: &'static str,
    /// Whether the layer works without it.
    pub optional: bool,
}

const WEIGHT: Role = Role { name: "weight", optional: false };
const BIAS: Role = Role { name: "bias", optional: true };
const NEEDED_BIAS: Role = Role { name: "bias", optional: false };
const MEAN: Role = Role { name: "running_mean", optional: false };
const VAR: Role = Role { name: "running_var", optional: false };

impl Layer {
    /// Its type in `candle_nn`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Linear => "Linear",
            Self::Conv1d(_) => "Conv1d",
            Self::Conv2d(_) => "Conv2d",
            Self::ConvTranspose1d(_) => "ConvTranspose1d",
            Self::ConvTranspose2d(_) => "ConvTranspose2d",
            Self::LayerNorm { .. } => "LayerNorm",
            Self::RmsNorm { .. } => "RmsNorm",
            Self::BatchNorm { .. } => "BatchNorm",
            Self::GroupNorm { .. } => "GroupNorm",
            Self::Embedding => "Embedding",
        }
    }
    /// Its weights, in the order of the arguments after the input.
    pub fn roles(&self) -> &'static [Role] {
        match self {
            Self::Linear
            | Self::Conv1d(_)
            | Self::Conv2d(_)
            | Self::ConvTranspose1d(_)
            | Self::ConvTranspose2d(_) => &[WEIGHT, BIAS],
            Self::LayerNorm { .. } => &[WEIGHT, BIAS],
            Self::RmsNorm { .. } | Self::Embedding => &[WEIGHT],
            Self::BatchNorm { .. } => &[WEIGHT, NEEDED_BIAS, MEAN, VAR],
            Self::GroupNorm { .. } => &[WEIGHT, NEEDED_BIAS],
        }
    }
}
