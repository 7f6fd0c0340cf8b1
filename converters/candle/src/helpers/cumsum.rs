use candle_core::{Result, Tensor};

/// The running sum along an axis, of any dtype.
pub fn cumsum(x: &Tensor, axis: usize) -> Result<Tensor> {
    let mut sums: Vec<Tensor> = Vec::with_capacity(x.dim(axis)?);
    for i in 0..x.dim(axis)? {
        let slice = x.narrow(axis, i, 1)?;
        sums.push(match sums.last() {
            Some(sum) => (sum + slice)?,
            None => slice,
        });
    }
    if sums.is_empty() { Ok(x.clone()) } else { Tensor::cat(&sums, axis) }
}
