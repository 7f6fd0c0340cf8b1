use candle_core::{Result, Tensor};

/// The opposite side of an axis before and after it.
pub fn pad_wrap(x: &Tensor, axis: usize, low: usize, high: usize) -> Result<Tensor> {
    let len = x.dim(axis)? as i64;
    let indices = (-(low as i64)..len + high as i64).map(|i| i.rem_euclid(len.max(1)));
    x.contiguous()?.index_select(&Tensor::from_iter(indices, x.device())?, axis)
}
