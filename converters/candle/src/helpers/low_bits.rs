use candle_core::{DType, Result, Tensor};

/// Floats as integers of a narrow dtype: the low bits of what is before the point where that is an
/// `i32`, else 0.
pub fn low_bits(x: &Tensor, dtype: DType) -> Result<Tensor> {
    let values = x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let whole = |v: f64| if v.trunc() == f64::from(v as i32) { v as i64 } else { 0 };
    let ints = values.into_iter().map(whole).collect::<Vec<_>>();
    Tensor::from_vec(ints, x.shape(), x.device())?.to_dtype(dtype)
}
