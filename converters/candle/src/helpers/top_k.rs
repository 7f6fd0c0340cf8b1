use std::cmp::Ordering;

use candle_core::{DType, Result, Tensor, bail};

/// The `k` greatest or least elements along an axis in order, and their positions. Of equal ones
/// the first comes first; NaN counts as the greatest.
pub fn top_k(x: &Tensor, k: usize, axis: usize, largest: bool) -> Result<(Tensor, Tensor)> {
    let moved = x.transpose(axis, x.rank() - 1)?.contiguous()?;
    let len = x.dim(axis)?;
    if k > len {
        bail!("the {k} first of {len} elements")
    }
    let values = moved.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let mut positions = Vec::with_capacity(values.len() / len.max(1) * k);
    for row in values.chunks(len.max(1)) {
        let mut order = (0..len).collect::<Vec<_>>();
        order.sort_by(|&a, &b| {
            let by_value = compare(row[a], row[b]);
            if largest { by_value.reverse() } else { by_value }
        });
        positions.extend(order[..k].iter().map(|&i| i as i64));
    }
    let mut shape = moved.dims().to_vec();
    shape[x.rank() - 1] = k;
    let positions = Tensor::from_vec(positions, shape, x.device())?;
    let values = moved.gather(&positions, x.rank() - 1)?;
    let back = |t: Tensor| t.transpose(axis, x.rank() - 1)?.contiguous();
    Ok((back(values)?, back(positions)?))
}

fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}
