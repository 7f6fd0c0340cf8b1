use candle_core::{Device, Result, Tensor};

/// 1 in each row at the columns up to its own number, 0 at those after it.
pub fn causal_mask(rows: usize, columns: usize, device: &Device) -> Result<Tensor> {
    let row = Tensor::arange(0, rows as i64, device)?.unsqueeze(1)?;
    let column = Tensor::arange(0, columns as i64, device)?.unsqueeze(0)?;
    column.broadcast_le(&row)
}
