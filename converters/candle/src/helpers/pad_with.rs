use candle_core::{Result, Tensor};

/// `low` and `high` elements of one value before and after an axis.
pub fn pad_with(x: &Tensor, axis: usize, low: usize, high: usize, value: f64) -> Result<Tensor> {
    let side = |len: usize| {
        let mut shape = x.dims().to_vec();
        shape[axis] = len;
        Tensor::full(value, shape, x.device())?.to_dtype(x.dtype())
    };
    Tensor::cat(&[&side(low)?, x, &side(high)?], axis)
}
