use candle_core::{DType, Result, Tensor};

/// `f` of each element, computed in double precision on the host.
pub fn map(x: &Tensor, f: impl Fn(f64) -> f64) -> Result<Tensor> {
    let values = x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let values = values.into_iter().map(f).collect::<Vec<_>>();
    Tensor::from_vec(values, x.shape(), x.device())?.to_dtype(x.dtype())
}
