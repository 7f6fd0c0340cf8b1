use candle_core::{Result, Tensor};

/// `x * relu6(x + 3) / 6`.
pub fn hard_swish(x: &Tensor) -> Result<Tensor> {
    x * x.affine(1. / 6., 0.5)?.clamp(0f32, 1f32)?
}
