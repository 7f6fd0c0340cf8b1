
/// Attention by calls that a recording can hold, in the place of kernels that read storage: scores,
/// mask and softmax. Gives `None` where it is not for it: when nothing is recorded, and with biases
/// by distance.
fn recorded_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f32,
    mask: &AttnMask,
    max_bias: Option<f32>,
    softcap: Option<f32>,
) -> Result<Option<Tensor>> {
    if !candle::recording::active() || max_bias.is_some_and(|b| b > 0.) {
        return Ok(None);
    }
    let (batch, rows, heads, _) = q.dims4()?;
    let columns = k.dim(1)?;
    let q = q.transpose(1, 2)?.contiguous()?;
    let (k, v) = (recorded_heads(k, heads)?, recorded_heads(v, heads)?);
    let mut scores = (q.matmul(&k.t()?)? * f64::from(scale))?;
    if let Some(cap) = softcap.map(f64::from).filter(|&cap| cap > 0.) {
        scores = ((scores / cap)?.tanh()? * cap)?;
    }
    scores = match mask {
        AttnMask::None => scores,
        AttnMask::Mask(mask) => scores.broadcast_add(&mask.to_dtype(scores.dtype())?)?,
        AttnMask::Causal { kv_offset } => {
            let before = if batch > 1 { columns - rows } else { *kv_offset };
            let row = Tensor::arange(before as u32, (before + rows) as u32, q.device())?;
            let column = Tensor::arange(0u32, columns as u32, q.device())?;
            let seen = column.unsqueeze(0)?.broadcast_le(&row.unsqueeze(1)?)?;
            let hidden = Tensor::full(f32::NEG_INFINITY, (), q.device())?;
            let hidden = hidden.to_dtype(q.dtype())?.broadcast_as(scores.shape())?;
            seen.broadcast_as(scores.shape())?.where_cond(&scores, &hidden)?
        }
    };
    crate::ops::softmax_last_dim(&scores)?.matmul(&v).map(Some)
}

/// `[batch, length, heads, size]` as `[batch, heads, length, size]`, with each head as often as it
/// takes to have this many.
fn recorded_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, length, own, size) = x.dims4()?;
    let x = x.transpose(1, 2)?.contiguous()?;
    if own == heads {
        return Ok(x);
    }
    let shape = (batch, own, heads / own, length, size);
    x.unsqueeze(2)?.broadcast_as(shape)?.reshape((batch, heads, length, size))
}
