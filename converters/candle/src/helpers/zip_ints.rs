use candle_core::{DType, Result, Tensor};

/// `f` of each pair of integers, of which the low bits count, with broadcasting.
pub fn zip_ints(a: &Tensor, b: &Tensor, f: impl Fn(i64, i64) -> i64) -> Result<Tensor> {
    let shape = a.shape().broadcast_shape_binary_op(b.shape(), "zip_ints")?;
    let host =
        |x: &Tensor| x.broadcast_as(&shape)?.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>();
    let (x, y) = (host(a)?, host(b)?);
    let values = x.into_iter().zip(y).map(|(x, y)| f(x, y)).collect::<Vec<_>>();
    Tensor::from_vec(values, shape, a.device())?.to_dtype(a.dtype())
}
