use candle_core::{Result, Tensor};

use super::sort_keys;

/// The distinct slices along an axis, in order if `sorted`, else as they first come; with the
/// position of the first of each, which of them each slice is, and how many there are of each.
pub fn unique(x: &Tensor, axis: usize, sorted: bool) -> Result<(Tensor, Tensor, Tensor, Tensor)> {
    let (len, device) = (x.dim(axis)?, x.device());
    let mut axes = (0..x.rank()).filter(|&a| a != axis).collect::<Vec<_>>();
    axes.insert(0, axis);
    let keys = sort_keys(&x.permute(axes)?)?;
    let width = keys.len() / len.max(1);
    let row = |i: usize| &keys[i * width..(i + 1) * width];
    let mut order = (0..len).collect::<Vec<_>>();
    order.sort_by_key(|&i| row(i));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match groups.last_mut() {
            Some(group) if row(group[0]) == row(i) => group.push(i),
            _ => groups.push(vec![i]),
        }
    }
    if !sorted {
        groups.sort_by_key(|group| group[0]);
    }
    let (mut which, mut first, mut counts) = (vec![0; len], Vec::new(), Vec::new());
    for (number, group) in groups.iter().enumerate() {
        first.push(group[0] as i64);
        counts.push(group.len() as i64);
        for &i in group {
            which[i] = number as i64;
        }
    }
    let found = groups.len();
    let first = Tensor::from_vec(first, found, device)?;
    let distinct = x.contiguous()?.index_select(&first, axis)?;
    let which = Tensor::from_vec(which, len, device)?;
    Ok((distinct, first, which, Tensor::from_vec(counts, found, device)?))
}
