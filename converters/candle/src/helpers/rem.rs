use candle_core::{DType, Result, Tensor};

use super::int_div;

/// What a division leaves: of the sign of `a`, or with `floor` of the sign of `b`. That of floats
/// is exact.
pub fn rem(a: &Tensor, b: &Tensor, floor: bool) -> Result<Tensor> {
    if a.dtype().is_int() {
        let quotient = int_div(a, b, floor)?;
        return a.broadcast_sub(&quotient.broadcast_mul(b)?);
    }
    let shape = a.shape().broadcast_shape_binary_op(b.shape(), "rem")?;
    let host =
        |x: &Tensor| x.broadcast_as(&shape)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let left = |(x, y): (f64, f64)| {
        let rest = x % y;
        if floor && rest != 0. && (rest < 0.) != (y < 0.) { rest + y } else { rest }
    };
    let rests = host(a)?.into_iter().zip(host(b)?).map(left);
    Tensor::from_vec(rests.collect(), &shape, a.device())?.to_dtype(a.dtype())
}
