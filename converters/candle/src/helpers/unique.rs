use std::cmp::Ordering;

use candle_core::{DType, Result, Tensor};

/// The distinct slices along an axis, in order if `sorted`, else as they first come; with the
/// position of the first of each, which of them each slice is, and how many there are of each.
pub fn unique(x: &Tensor, axis: usize, sorted: bool) -> Result<(Tensor, Tensor, Tensor, Tensor)> {
    let (len, device) = (x.dim(axis)?, x.device());
    let rows = x.transpose(0, axis)?.contiguous()?.to_dtype(DType::F64)?;
    let values = rows.flatten_all()?.to_vec1::<f64>()?;
    let width = values.len() / len.max(1);
    let row = |i: usize| &values[i * width..(i + 1) * width];
    let mut order = (0..len).collect::<Vec<_>>();
    order.sort_by(|&a, &b| compare(row(a), row(b)));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match groups.last_mut() {
            Some(group) if compare(row(group[0]), row(i)).is_eq() => group.push(i),
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

/// Element by element; NaN is the greatest and equal to itself.
fn compare(a: &[f64], b: &[f64]) -> Ordering {
    let order =
        |(x, y): (&f64, &f64)| x.partial_cmp(y).unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()));
    a.iter().zip(b).map(order).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
