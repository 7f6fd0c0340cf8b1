use candle_core::{Result, Tensor};

/// Indices below zero count from the end of an axis of `len` elements.
pub fn wrap_indices(indices: &Tensor, len: usize) -> Result<Tensor> {
    let len = Tensor::full(len as i64, indices.shape(), indices.device())?;
    let len = len.to_dtype(indices.dtype())?;
    indices.lt(0i64)?.where_cond(&(indices + len)?, indices)
}
