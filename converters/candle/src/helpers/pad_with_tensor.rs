use candle_core::{Result, Tensor};

/// `low` and `high` elements of the value of a scalar before and after an axis.
pub fn pad_with_tensor(
    x: &Tensor,
    axis: usize,
    low: usize,
    high: usize,
    value: &Tensor,
) -> Result<Tensor> {
    let side = |len: usize| {
        let mut shape = x.dims().to_vec();
        shape[axis] = len;
        value.reshape(())?.broadcast_as(shape)
    };
    Tensor::cat(&[&side(low)?, x, &side(high)?], axis)
}
