use candle_core::{Result, Tensor};

use super::sort_keys;

/// The value beside each element in a table of keys and values; the default where there is none.
/// Of equal keys the last counts.
pub fn lookup(x: &Tensor, keys: &Tensor, values: &Tensor, default: &Tensor) -> Result<Tensor> {
    let keys = sort_keys(keys)?;
    let find = |x: i64| keys.iter().rposition(|&k| k == x).unwrap_or(keys.len());
    let at = sort_keys(x)?.into_iter().map(|x| find(x) as i64).collect::<Vec<_>>();
    let count = at.len();
    let table = Tensor::cat(&[values, &default.reshape(1)?], 0)?;
    table.index_select(&Tensor::from_vec(at, count, x.device())?, 0)?.reshape(x.shape())
}
