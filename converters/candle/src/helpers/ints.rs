use candle_core::{DType, Result, Tensor};

/// The elements as integers.
pub fn ints(x: &Tensor) -> Result<Vec<i64>> {
    x.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()
}
