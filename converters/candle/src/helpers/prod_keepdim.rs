use candle_core::{Result, Tensor};

/// The product along an axis, which stays with size 1.
pub fn prod_keepdim(x: &Tensor, axis: usize) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    shape[axis] = 1;
    let mut product = Tensor::ones(shape, x.dtype(), x.device())?;
    for i in 0..x.dim(axis)? {
        product = (product * x.narrow(axis, i, 1)?)?;
    }
    Ok(product)
}
