use candle_core::{DType, Result, Tensor};

/// Integers in the order of the elements. NaN is the greatest element and equal to itself.
pub fn sort_keys(x: &Tensor) -> Result<Vec<i64>> {
    let x = x.flatten_all()?;
    if !x.dtype().is_float() {
        return x.to_dtype(DType::I64)?.to_vec1::<i64>();
    }
    let key = |v: f64| {
        // Both zeros are one number.
        let bits = (v + 0.0).to_bits() as i64;
        // Of numbers below zero the greater ones have the lesser bits.
        if v.is_nan() { i64::MAX } else { bits ^ ((bits >> 63) & i64::MAX) }
    };
    Ok(x.to_dtype(DType::F64)?.to_vec1::<f64>()?.into_iter().map(key).collect())
}
