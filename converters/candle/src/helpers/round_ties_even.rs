use candle_core::{Result, Tensor};

/// The nearest integer; halves go to the even one.
pub fn round_ties_even(x: &Tensor) -> Result<Tensor> {
    let down = x.floor()?;
    let fraction = (x - &down)?;
    let odd = (&down - (down.affine(0.5, 0.)?.floor()? * 2.)?)?;
    // Up above a half, and at a half where down is odd.
    let up =
        (fraction.gt(0.5)?.to_dtype(x.dtype())? + fraction.eq(0.5)?.to_dtype(x.dtype())? * odd)?;
    // Infinities have no fraction.
    x.abs()?.lt(f64::INFINITY)?.where_cond(&(down + up)?, x)
}
