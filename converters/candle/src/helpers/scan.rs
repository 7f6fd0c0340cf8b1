use candle_core::{Result, Tensor};

/// Combines the slices along an axis, each with all before it, or after it if `reverse`. If
/// `exclusive`, a slice is left out of its own result, and the first one is `start`.
pub fn scan(
    x: &Tensor,
    axis: usize,
    reverse: bool,
    exclusive: bool,
    start: f64,
    combine: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let len = x.dim(axis)?;
    if len == 0 {
        return Ok(x.clone());
    }
    let at = |i: usize| x.narrow(axis, if reverse { len - 1 - i } else { i }, 1);
    let mut combined = if exclusive {
        let shape = at(0)?.shape().clone();
        Tensor::full(start, shape, x.device())?.to_dtype(x.dtype())?
    } else {
        at(0)?
    };
    let mut slices = vec![combined.clone()];
    for i in 1..len {
        combined = combine(&combined, &at(if exclusive { i - 1 } else { i })?)?;
        slices.push(combined.clone());
    }
    if reverse {
        slices.reverse();
    }
    Tensor::cat(&slices, axis)
}
