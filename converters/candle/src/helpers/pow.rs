use candle_core::{DType, Result, Tensor};

/// The power, element by element, with broadcasting. Bases below zero have integer powers.
pub fn pow(base: &Tensor, exponent: &Tensor) -> Result<Tensor> {
    let shape = base.shape().broadcast_shape_binary_op(exponent.shape(), "pow")?;
    let host =
        |x: &Tensor| x.broadcast_as(&shape)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let powers = host(base)?.into_iter().zip(host(exponent)?).map(|(b, e)| b.powf(e));
    Tensor::from_vec(powers.collect(), &shape, base.device())?.to_dtype(base.dtype())
}
