use candle_core::{DType, Result, Tensor, WithDType, bail};

/// A copy of `x` in which the elements of slices at index tuples are combined with updates, one
/// after the other, in the type of numbers that `combine` takes, on the host.
pub fn scatter_nd_with<T: WithDType>(
    x: &Tensor,
    indices: &Tensor,
    updates: &Tensor,
    combine: impl Fn(T, T) -> T,
) -> Result<Tensor> {
    let host = |x: &Tensor| x.to_dtype(T::DTYPE)?.flatten_all()?.to_vec1::<T>();
    let depth = indices.dim(candle_core::D::Minus1)?;
    let (indexed, slice) = x.dims().split_at(depth);
    let width = slice.iter().product::<usize>();
    let tuples = indices.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
    let (mut values, updates) = (host(x)?, host(updates)?);
    for (i, update) in updates.iter().enumerate() {
        let tuple = &tuples[i / width * depth..][..depth];
        let mut row = 0;
        for (&at, &len) in tuple.iter().zip(indexed) {
            let at = if at < 0 { at + len as i64 } else { at };
            if !(0..len as i64).contains(&at) {
                bail!("index {at} is out of range for an axis of {len}")
            }
            row = row * len + at as usize;
        }
        let value = &mut values[row * width + i % width];
        *value = combine(*value, *update);
    }
    Tensor::from_vec(values, x.shape(), x.device())?.to_dtype(x.dtype())
}
