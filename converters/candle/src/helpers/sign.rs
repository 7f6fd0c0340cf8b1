use candle_core::{Result, Tensor};

/// -1, 0 or 1; what is not a number stays so.
pub fn sign(x: &Tensor) -> Result<Tensor> {
    x.ne(x)?.where_cond(x, &x.sign()?)
}
