//! Data of the host that differs from run to run, by rules.
//!
//! Programs make masks and positions in vectors of the host, whose size and contents depend on
//! sizes. Known are three sorts: one value throughout; numbers that rise evenly along axes; and few
//! values that change at diagonals of the last two axes. A rule is taken if it gives every element
//! of every run.

use airconv_ir::array::{Array, Scalar};
use airconv_ir::dim::Dim;
use airconv_ir::dtype::{Class, DType};
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Broadcast, Iota};
use airconv_ir::tensor::Tensor;

use super::build::{Cx, R, Stop};
use super::explain::Number;
use super::generalise::Joint;

/// The most elements that are looked at.
const MOST: usize = 1 << 22;

/// Elements of one run in row-major order.
struct Data {
    dims: Vec<usize>,
    values: Vec<f64>,
}

impl Data {
    fn at(&self, index: &[usize]) -> Option<f64> {
        let mut flat = 0;
        for (&i, &d) in index.iter().zip(&self.dims) {
            flat = flat * d + i;
        }
        self.values.get(flat).copied()
    }
}

/// The value that a rule makes, if one fits all runs.
pub(super) fn value(cx: &mut Cx<'_>, node: &Joint, tensors: &[&Tensor]) -> R<Option<ValueId>> {
    let mut runs = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        if tensor.numel().is_none_or(|n| n > MOST as u64) {
            return Ok(None);
        }
        let array = tensor.to_array().map_err(|e| Stop::Invalid(e.to_string()))?;
        let Some(values) = array.to_f64s() else { return Ok(None) };
        runs.push(Data { dims: array.shape, values });
    }
    let dims: Option<Vec<Dim>> = node.dims.iter().map(|d| cx.sizes.explain(d, &[])).collect();
    let Some(dims) = dims else { return Ok(None) };
    if let Some(value) = even(cx, node.dtype, &dims, &runs)? {
        return Ok(Some(value));
    }
    diagonals(cx, node.dtype, &dims, &runs)
}

/// `start + a * i + b * j ...`, where start and steps may be sizes.
fn even(cx: &mut Cx<'_>, dtype: DType, dims: &[Dim], runs: &[Data]) -> R<Option<ValueId>> {
    let mut starts = Vec::new();
    let mut steps: Vec<Vec<f64>> = vec![Vec::new(); dims.len()];
    for data in runs {
        let Some(fit) = even_fit(data) else { return Ok(None) };
        starts.push(fit.0);
        for (all, step) in steps.iter_mut().zip(fit.1) {
            all.push(step);
        }
    }
    let Some(start) = cx.sizes.number(&starts, dims) else { return Ok(None) };
    let mut numbers = Vec::new();
    for step in &steps {
        let Some(step) = cx.sizes.number(step, dims) else { return Ok(None) };
        numbers.push(step);
    }
    let mut value = cx.number(&start, dtype)?;
    for (axis, step) in numbers.iter().enumerate() {
        if *step == Number::Known(0.0) {
            continue;
        }
        let by = cx.number(step, dtype)?;
        let op = Iota { dtype, dims: dims.to_vec(), axis: axis as i64 };
        let mut b = cx.b();
        let iota = b.emit(op, &[])?;
        let part = b.mul(iota, by)?;
        value = b.add(value, part)?;
    }
    Ok(Some(broadcast(cx, value, dims)?))
}

/// The first element and the step along every axis, if these give all elements.
fn even_fit(data: &Data) -> Option<(f64, Vec<f64>)> {
    let mut index = vec![0; data.dims.len()];
    let start = data.at(&index)?;
    let mut steps = vec![0.0; data.dims.len()];
    for axis in 0..data.dims.len() {
        if data.dims[axis] > 1 {
            index[axis] = 1;
            steps[axis] = data.at(&index)? - start;
            index[axis] = 0;
        }
    }
    // Infinite throughout, perhaps.
    steps.iter_mut().filter(|s| s.is_nan()).for_each(|s| *s = 0.0);
    let fits = |(index, &value): (Vec<usize>, &f64)| {
        let sum = index.iter().zip(&steps).filter(|(_, s)| **s != 0.0);
        start + sum.map(|(&i, s)| i as f64 * s).sum::<f64>() == value
    };
    indices(&data.dims).zip(&data.values).all(fits).then_some((start, steps))
}

/// A function of `j - i`, `i` and `j` on the last two axes, that takes few values: a causal mask, a
/// band.
fn diagonals(cx: &mut Cx<'_>, dtype: DType, dims: &[Dim], runs: &[Data]) -> R<Option<ValueId>> {
    let fits: Option<Vec<Steps>> = runs.iter().map(steps_fit).collect();
    let Some((first, others)) = fits.as_deref().and_then(<[Steps]>::split_first) else {
        return Ok(None);
    };
    if others.iter().any(|o| o.values != first.values) {
        return Ok(None);
    }
    let mut bounds = Vec::new();
    for at in 0..first.bounds.len() {
        let values: Vec<i64> = std::iter::once(first)
            .chain(others)
            .filter_map(|s| s.bounds.get(at).copied())
            .collect();
        let Some(bound) = cx.sizes.explain(&values, dims) else { return Ok(None) };
        bounds.push(bound);
    }
    let plane = dims[dims.len() - 2..].to_vec();
    let iota = |axis| Iota { dtype: DType::I64, dims: plane.clone(), axis };
    let mut b = cx.b();
    let rows = b.emit(iota(0), &[])?;
    let columns = b.emit(iota(1), &[])?;
    let distance = b.sub(columns, rows)?;
    let mut values = first.values.iter().map(|v| f64::from_bits(*v));
    let Some(lowest) = values.next() else { return Ok(None) };
    let mut value = scalar(cx, dtype, lowest)?;
    for (bound, next) in bounds.iter().zip(values) {
        let next = scalar(cx, dtype, next)?;
        let mut b = cx.b();
        let bound = b.dim_scalar(bound)?;
        let from = b.less_or_equal(bound, distance)?;
        value = b.select(from, next, value)?;
    }
    Ok(Some(broadcast(cx, value, dims)?))
}

/// A function of whole numbers that is constant between bounds.
#[derive(Debug, PartialEq)]
struct Steps {
    /// The bits of its values.
    values: Vec<u64>,
    /// From where on it has the next value.
    bounds: Vec<i64>,
}

/// The most values of such a function.
const MOST_STEPS: usize = 4;

/// The function of `j - i` that the elements are.
fn steps_fit(data: &Data) -> Option<Steps> {
    let lead = data.dims.len().checked_sub(2)?;
    if data.values.is_empty() {
        // Without elements the sizes have no bound.
        return None;
    }
    let (rows, columns) = (data.dims[lead], data.dims[lead + 1]);
    let at = |i: usize, j: usize| data.at(&[vec![0; lead], vec![i, j]].concat());
    let mut out = Steps { values: Vec::new(), bounds: Vec::new() };
    let mut by_distance = Vec::with_capacity(rows + columns);
    let (first, last) = (1 - i64::try_from(rows).ok()?, i64::try_from(columns).ok()? - 1);
    for distance in first..=last {
        let i = usize::try_from(-distance).unwrap_or(0);
        let j = usize::try_from(distance).unwrap_or(0);
        let value = at(i, j)?.to_bits();
        by_distance.push(value);
        if out.values.last() != Some(&value) {
            if !out.values.is_empty() {
                out.bounds.push(distance);
            }
            out.values.push(value);
        }
        if out.values.len() > MOST_STEPS {
            return None;
        }
    }
    let fits = |(index, value): (Vec<usize>, &f64)| {
        let distance = index[lead + 1] + rows - 1 - index[lead];
        by_distance.get(distance) == Some(&value.to_bits())
    };
    (out.values.len() > 1 && indices(&data.dims).zip(&data.values).all(fits)).then_some(out)
}

/// All indices of a shape in row-major order.
fn indices(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    let count: usize = dims.iter().product();
    (0..count).map(move |mut flat| {
        let mut index = vec![0; dims.len()];
        for (slot, &d) in index.iter_mut().zip(dims).rev() {
            *slot = flat % d;
            flat /= d;
        }
        index
    })
}

fn scalar(cx: &mut Cx<'_>, dtype: DType, value: f64) -> R<ValueId> {
    let scalar = match dtype.class() {
        Class::Signed | Class::Unsigned => Scalar::Int(value as i128),
        _ => Scalar::Float(value),
    };
    let array = Array::scalar(dtype, &scalar).map_err(|e| Stop::Invalid(e.to_string()))?;
    Ok(cx.b().constant(&array)?)
}

fn broadcast(cx: &mut Cx<'_>, value: ValueId, dims: &[Dim]) -> R<ValueId> {
    if cx.shape(value)?.as_slice() == dims {
        return Ok(value);
    }
    Ok(cx.b().emit(Broadcast { dims: dims.to_vec(), implicit: false }, &[value])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(rows: usize, columns: usize, f: impl Fn(i64, i64) -> f64) -> Data {
        let values = (0..rows * columns).map(|k| f((k / columns) as i64, (k % columns) as i64));
        Data { dims: vec![rows, columns], values: values.collect() }
    }

    #[test]
    fn diagonals_and_even_steps_are_recognised_and_nothing_else() {
        let low = f64::NEG_INFINITY;
        let mask = |d: i64| move |i: i64, j: i64| if j - i >= d { low } else { 0.0 };
        let steps = |values: &[f64], bounds: &[i64]| {
            let values = values.iter().map(|v| v.to_bits()).collect();
            Some(Steps { values, bounds: bounds.to_vec() })
        };
        for offset in [-2, -1, 0, 1, 2, 3] {
            assert_eq!(steps_fit(&data(4, 5, mask(offset))), steps(&[0.0, low], &[offset]));
        }
        let band = |i: i64, j: i64| if (i - j).abs() > 2 { low } else { 0.0 };
        assert_eq!(steps_fit(&data(6, 5, band)), steps(&[low, 0.0, low], &[-2, 3]));
        assert_eq!(steps_fit(&data(4, 5, |i, j| ((i * j) % 2) as f64)), None);
        let huge = Data { dims: vec![usize::MAX >> 1, 0], values: Vec::new() };
        assert_eq!((steps_fit(&huge), even_fit(&huge)), (None, None));
        assert_eq!(steps_fit(&data(4, 5, |i, j| (i - j) as f64)), None);
        assert_eq!(
            even_fit(&data(3, 4, |i, j| (5 + 4 * i - j) as f64)),
            Some((5.0, vec![4.0, -1.0]))
        );
        assert_eq!(even_fit(&data(3, 4, |i, j| (i * j) as f64)), None);
        assert_eq!(
            even_fit(&data(2, 2, |_, _| f64::NEG_INFINITY)),
            Some((f64::NEG_INFINITY, vec![0.0, 0.0]))
        );
    }
}
