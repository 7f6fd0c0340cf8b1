//! Data of the host that differs from run to run, by rules.
//!
//! Programs make masks and positions in vectors of the host, whose size and contents depend on
//! sizes. Known are three sorts: one value throughout; numbers that rise evenly along axes; and
//! two values on either side of a diagonal of the last two axes. A rule is taken if it gives every
//! element of every run.

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
    diagonal(cx, node.dtype, &dims, &runs)
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

/// One value where `j - i >= d`, another elsewhere, `i` and `j` on the last two axes.
fn diagonal(cx: &mut Cx<'_>, dtype: DType, dims: &[Dim], runs: &[Data]) -> R<Option<ValueId>> {
    if dims.len() < 2 {
        return Ok(None);
    }
    let mut offsets = Vec::new();
    let mut colours = None;
    for data in runs {
        let Some((offset, low, high)) = diagonal_fit(data) else { return Ok(None) };
        if *colours.get_or_insert((low.to_bits(), high.to_bits())) != (low.to_bits(), high.to_bits())
        {
            return Ok(None);
        }
        offsets.push(offset);
    }
    let (Some((low, high)), Some(offset)) = (colours, cx.sizes.explain(&offsets, dims)) else {
        return Ok(None);
    };
    let plane = dims[dims.len() - 2..].to_vec();
    let mut b = cx.b();
    let iota = |axis| Iota { dtype: DType::I64, dims: plane.clone(), axis };
    let rows = b.emit(iota(0), &[])?;
    let columns = b.emit(iota(1), &[])?;
    let offset = b.dim_scalar(&offset)?;
    let from = b.add(rows, offset)?;
    let above = b.less_or_equal(from, columns)?;
    let high = scalar(cx, dtype, f64::from_bits(high))?;
    let low = scalar(cx, dtype, f64::from_bits(low))?;
    let value = cx.b().select(above, high, low)?;
    Ok(Some(broadcast(cx, value, dims)?))
}

/// The offset of the diagonal, the value below and that on and above it.
fn diagonal_fit(data: &Data) -> Option<(i64, f64, f64)> {
    let rank = data.dims.len();
    let (rows, columns) = (data.dims[rank - 2], data.dims[rank - 1]);
    let low = data.at(&[vec![0; rank - 2], vec![rows.checked_sub(1)?, 0]].concat())?;
    let high = data.at(&[vec![0; rank - 2], vec![0, columns.checked_sub(1)?]].concat())?;
    if low.to_bits() == high.to_bits() {
        return None;
    }
    // In the first row as many low values as the offset is large; of a negative one the first
    // column tells.
    let row = |i: usize, j: usize| data.at(&[vec![0; rank - 2], vec![i, j]].concat());
    let in_row = (0..columns).take_while(|&j| row(0, j) == Some(low)).count() as i64;
    let offset = if in_row > 0 {
        in_row
    } else {
        1 - (0..rows).take_while(|&i| row(i, 0) == Some(high)).count() as i64
    };
    let fits = |(index, &value): (Vec<usize>, &f64)| {
        let (i, j) = (index[rank - 2] as i64, index[rank - 1] as i64);
        let want = if j - i >= offset { high } else { low };
        want.to_bits() == value.to_bits()
    };
    indices(&data.dims).zip(&data.values).all(fits).then_some((offset, low, high))
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
        let mask = |d: i64| move |i: i64, j: i64| if j - i >= d { f64::NEG_INFINITY } else { 0.0 };
        for offset in [-2, -1, 0, 1, 2, 3] {
            let fit = diagonal_fit(&data(4, 5, mask(offset)));
            assert_eq!(fit, Some((offset, 0.0, f64::NEG_INFINITY)), "{offset}");
        }
        assert_eq!(diagonal_fit(&data(4, 5, |i, j| ((i * j) % 2) as f64)), None);
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
