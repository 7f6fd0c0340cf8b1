use candle_core::{DType, Result, Tensor, bail};

/// `start`, `start + delta` ... up to but without `limit`, in their dtype.
pub fn range(start: &Tensor, limit: &Tensor, delta: &Tensor) -> Result<Tensor> {
    let scalar = |x: &Tensor| x.to_dtype(DType::F64)?.flatten_all()?.get(0)?.to_scalar::<f64>();
    let (first, limit, step) = (scalar(start)?, scalar(limit)?, scalar(delta)?);
    if step == 0. {
        bail!("the step of a range is zero")
    }
    let count = ((limit - first) / step).ceil().max(0.) as usize;
    let values = (0..count).map(|i| first + i as f64 * step).collect::<Vec<_>>();
    Tensor::from_vec(values, count, start.device())?.to_dtype(start.dtype())
}
