use candle_core::{Result, Tensor, bail};

use super::sort_keys;

/// The `k` greatest or least elements along an axis in order, and their positions. Of equal ones
/// the first comes first; NaN counts as the greatest.
pub fn top_k(x: &Tensor, k: usize, axis: usize, largest: bool) -> Result<(Tensor, Tensor)> {
    let moved = x.transpose(axis, x.rank() - 1)?.contiguous()?;
    let len = x.dim(axis)?;
    if k > len {
        bail!("the {k} first of {len} elements")
    }
    let keys = sort_keys(&moved)?;
    let mut positions = Vec::with_capacity(keys.len() / len.max(1) * k);
    for row in keys.chunks(len.max(1)) {
        let mut order = (0..len).collect::<Vec<_>>();
        order.sort_by(|&a, &b| {
            let by_value = row[a].cmp(&row[b]);
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
