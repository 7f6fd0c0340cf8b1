use candle_core::{Result, Tensor};

/// Whether all truth values are set.
pub fn is_true(x: &Tensor) -> Result<bool> {
    Ok(x.flatten_all()?.to_vec1::<u8>()?.iter().all(|&v| v != 0))
}
