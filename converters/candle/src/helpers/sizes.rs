use candle_core::{DType, Error, Result, Tensor};

/// The elements as sizes; fails for numbers below zero.
pub fn sizes(x: &Tensor) -> Result<Vec<usize>> {
    let values = x.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
    let size = |v| usize::try_from(v).map_err(|_| Error::Msg(format!("a size is {v}")));
    values.into_iter().map(size).collect()
}
