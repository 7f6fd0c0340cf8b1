use candle_core::{DType, Result, Tensor, bail};

/// The quotient of integers, rounded toward zero or, with `floor`, down.
pub fn int_div(a: &Tensor, b: &Tensor, floor: bool) -> Result<Tensor> {
    let shape = a.shape().broadcast_shape_binary_op(b.shape(), "int_div")?;
    let (a, b) = (a.broadcast_as(&shape)?, b.broadcast_as(&shape)?);
    let (x, y) = (host(&a)?, host(&b)?);
    let mut out = Vec::with_capacity(x.len());
    for (&x, &y) in x.iter().zip(&y) {
        if y == 0 {
            bail!("integer division by zero")
        }
        let down = floor && x % y != 0 && (x < 0) != (y < 0);
        out.push(x.wrapping_div(y) - i64::from(down));
    }
    Tensor::from_vec(out, shape, a.device())?.to_dtype(a.dtype())
}

fn host(x: &Tensor) -> Result<Vec<i64>> {
    x.to_dtype(DType::I64)?.flatten_all()?.to_vec1()
}
