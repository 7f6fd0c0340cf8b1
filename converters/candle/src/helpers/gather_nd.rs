use candle_core::{DType, Result, Tensor, bail};

/// The slices of `x` at index tuples: the last axis of `indices` holds positions in the axes of
/// `x` that follow the first `batch_dims`, which both share.
pub fn gather_nd(x: &Tensor, indices: &Tensor, batch_dims: usize) -> Result<Tensor> {
    let depth = indices.dim(candle_core::D::Minus1)?;
    let (batch, inner) = x.dims().split_at(batch_dims);
    let (indexed, slice) = inner.split_at(depth);
    let tuples = indices.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
    let batches = batch.iter().product::<usize>();
    let rows = indexed.iter().product::<usize>();
    let per_batch = indices.dims()[batch_dims..indices.rank() - 1].iter().product::<usize>();
    let mut flat = Vec::with_capacity(batches * per_batch);
    for i in 0..batches * per_batch {
        let mut row = 0;
        for (&at, &len) in tuples[i * depth..(i + 1) * depth].iter().zip(indexed) {
            let at = if at < 0 { at + len as i64 } else { at };
            if !(0..len as i64).contains(&at) {
                bail!("index {at} is out of range for an axis of {len}")
            }
            row = row * len + at as usize;
        }
        flat.push((i / per_batch * rows + row) as i64);
    }
    let count = flat.len();
    let flat = Tensor::from_vec(flat, count, x.device())?;
    let shape = [&indices.dims()[..indices.rank() - 1], slice].concat();
    let table = x.reshape((batches * rows, slice.iter().product::<usize>()))?;
    table.index_select(&flat, 0)?.reshape(shape)
}
