use candle_core::{DType, Result, Tensor, bail};

/// A copy of `x` in which the slices at index tuples are replaced by updates or, with `add`,
/// have them added.
pub fn scatter_nd(x: &Tensor, indices: &Tensor, updates: &Tensor, add: bool) -> Result<Tensor> {
    let depth = indices.dim(candle_core::D::Minus1)?;
    let (indexed, slice) = x.dims().split_at(depth);
    let (rows, width) = (indexed.iter().product::<usize>(), slice.iter().product::<usize>());
    let tuples = indices.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
    let mut flat = Vec::with_capacity(tuples.len() / depth.max(1));
    for tuple in tuples.chunks(depth.max(1)) {
        let mut row = 0;
        for (&at, &len) in tuple.iter().zip(indexed) {
            let at = if at < 0 { at + len as i64 } else { at };
            if !(0..len as i64).contains(&at) {
                bail!("index {at} is out of range for an axis of {len}")
            }
            row = row * len + at as usize;
        }
        flat.push(row as i64);
    }
    let count = flat.len();
    let table = x.reshape((rows, width))?;
    let updates = updates.reshape((count, width))?;
    let flat = Tensor::from_vec(flat, (count, 1), x.device())?;
    let flat = flat.broadcast_as((count, width))?.contiguous()?;
    let (table, updates) = (table.contiguous()?, updates.contiguous()?);
    let table = if add {
        table.scatter_add(&flat, &updates, 0)?
    } else {
        table.scatter(&flat, &updates, 0)?
    };
    table.reshape(x.shape())
}
