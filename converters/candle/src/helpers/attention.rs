use candle_core::{DType, Result, Tensor};

/// Scaled dot-product attention over `[batch, heads, length, size]`. A mask of floats is added to
/// the scores; one of truth values says which positions are seen.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: Option<&Tensor>,
    scale: f64,
) -> Result<Tensor> {
    let k = k.contiguous()?.t()?;
    let scores = (q.contiguous()?.matmul(&k)? * scale)?;
    let scores = match mask {
        Some(mask) if mask.dtype() == DType::U8 => {
            let hidden = Tensor::full(f32::NEG_INFINITY, scores.shape(), q.device())?;
            let hidden = hidden.to_dtype(q.dtype())?;
            mask.broadcast_as(scores.shape())?.where_cond(&scores, &hidden)?
        }
        Some(mask) => scores.broadcast_add(mask)?,
        None => scores,
    };
    candle_nn::ops::softmax_last_dim(&scores)?.matmul(&v.contiguous()?)
}
