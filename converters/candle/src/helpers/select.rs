use candle_core::{Result, Tensor};

/// `a` where the condition holds, else `b`; all three broadcast.
pub fn select(condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let shape = a.shape().broadcast_shape_binary_op(b.shape(), "select")?;
    let shape = shape.broadcast_shape_binary_op(condition.shape(), "select")?;
    let condition = condition.broadcast_as(&shape)?;
    condition.where_cond(&a.broadcast_as(&shape)?, &b.broadcast_as(&shape)?)
}
