use candle_core::{DType, Result, Tensor};

/// The value beside each element in a table of keys and values; the default where there is none.
/// Of equal keys the last counts.
pub fn lookup(x: &Tensor, keys: &Tensor, values: &Tensor, default: &Tensor) -> Result<Tensor> {
    let elements = x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let keys = keys.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let find = |x: &f64| keys.iter().rposition(|k| k == x || (k.is_nan() && x.is_nan()));
    let at = elements.iter().map(|x| find(x).unwrap_or(keys.len()) as i64).collect::<Vec<_>>();
    let count = at.len();
    let table = Tensor::cat(&[values, &default.reshape(1)?], 0)?;
    table.index_select(&Tensor::from_vec(at, count, x.device())?, 0)?.reshape(x.shape())
}
