use candle_core::{DType, Result, Tensor};

/// The position of the last of the greatest, or least, elements along an axis, which stays with
/// size 1.
pub fn arg_last(x: &Tensor, axis: usize, greatest: bool) -> Result<Tensor> {
    let back = Tensor::arange_step(x.dim(axis)? as i64 - 1, -1, -1, x.device())?;
    let turned = x.contiguous()?.index_select(&back, axis)?;
    let found =
        if greatest { turned.argmax_keepdim(axis)? } else { turned.argmin_keepdim(axis)? };
    back.index_select(&found.flatten_all()?, 0)?.reshape(found.shape())?.to_dtype(DType::I64)
}
