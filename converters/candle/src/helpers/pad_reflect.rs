use candle_core::{Result, Tensor};

/// The mirror image of an axis before and after it, without the edges themselves.
pub fn pad_reflect(x: &Tensor, axis: usize, low: usize, high: usize) -> Result<Tensor> {
    let len = x.dim(axis)? as i64;
    let period = (2 * len - 2).max(1);
    let indices = (-(low as i64)..len + high as i64).map(|i| {
        let i = i.rem_euclid(period);
        i.min(period - i)
    });
    x.contiguous()?.index_select(&Tensor::from_iter(indices, x.device())?, axis)
}
