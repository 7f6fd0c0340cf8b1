//! The interpreter's shape family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::array::{Array, ArrayError, Data, RoundMode, cast};
use crate::dtype::DType;
use crate::op::*;

/// `constant`.
pub fn constant(cx: &mut EvalCx<'_, '_>, op: &Constant) -> EvalResult {
    Ok(vec![Some(super::Datum::Tensor(cx.module_tensor(op.tensor)?))])
}

/// `dim_value`.
pub fn dim_value(cx: &mut EvalCx<'_, '_>, op: &DimValue) -> EvalResult {
    let values = cx.dims(&op.dims)?;
    let shape = if op.scalar { Vec::new() } else { vec![values.len()] };
    one(Array::from_i64s(DType::I64, shape, &values)?)
}

/// `dims_of`: gives its operand as an i64 vector, from which the caller binds the sizes.
pub fn dims_of(cx: &mut EvalCx<'_, '_>, op: &DimsOf) -> EvalResult {
    let a = cx.array(0)?;
    let Some(values) = a.to_i64s().filter(|_| a.rank() <= 1) else {
        return EvalError::failed(format!("sizes of {} with shape {:?}", a.dtype, a.shape));
    };
    if values.len() != op.dims.len() {
        return EvalError::failed(format!("{} sizes, not {}", values.len(), op.dims.len()));
    }
    one(Array::from_i64s(DType::I64, vec![values.len()], &values)?)
}

/// `broadcast`.
pub fn broadcast(cx: &mut EvalCx<'_, '_>, op: &Broadcast) -> EvalResult {
    let a = cx.array(0)?;
    let shape = cx.shape(a.dtype, &op.dims)?;
    one(a.broadcast_to(&shape)?)
}

/// `reshape`.
pub fn reshape(cx: &mut EvalCx<'_, '_>, op: &Reshape) -> EvalResult {
    let a = cx.array(0)?;
    let shape = cx.shape(a.dtype, &op.dims)?;
    one(a.clone().reshape(shape)?)
}

/// Axes as indices; range checks are left to the array.
fn indices(axes: &[i64]) -> Result<Vec<usize>, EvalError> {
    let index = |&a: &i64| {
        usize::try_from(a).map_err(|_| EvalError::Failed(format!("axis {a} is negative")))
    };
    axes.iter().map(index).collect()
}

/// `transpose`.
pub fn transpose(cx: &mut EvalCx<'_, '_>, op: &Transpose) -> EvalResult {
    one(cx.array(0)?.transpose(&indices(&op.perm)?)?)
}

/// First index and number of elements that a slice takes of an axis.
pub(crate) fn slice_bounds(size: usize, start: i64, end: i64, step: i64) -> (usize, usize) {
    let size = size as i128;
    let front = |at: i64| if at < 0 { i128::from(at) + size } else { i128::from(at) };
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let (start, end) = (front(start).max(low).min(high), front(end).max(low).min(high));
    let span = if step > 0 { end - start } else { start - end };
    let width = i128::from(step).abs().max(1);
    let len = (span.max(0) + width - 1) / width;
    (start.max(0) as usize, len as usize)
}

/// `slice`.
pub fn slice(cx: &mut EvalCx<'_, '_>, op: &Slice) -> EvalResult {
    let a = cx.array(0)?;
    let (starts, ends) = (cx.dims(&op.starts)?, cx.dims(&op.ends)?);
    let mut first = vec![0usize; a.rank()];
    let mut steps = vec![1isize; a.rank()];
    let mut lens = a.shape.clone();
    let bounds = starts.iter().zip(&ends).zip(&op.steps);
    for (axis, ((&start, &end), &step)) in indices(&op.axes)?.into_iter().zip(bounds) {
        let Some(&size) = a.shape.get(axis) else {
            return Err(ArrayError::Axis { axis, rank: a.rank() }.into());
        };
        (first[axis], lens[axis]) = slice_bounds(size, start, end, step);
        // With one element or none the step does not matter.
        steps[axis] = if lens[axis] < 2 { 1 } else { step as isize };
    }
    one(a.slice(&first, &steps, &lens)?)
}

/// The source index of each place of a padded axis that is not filled with a constant.
fn padded_indices(mode: PadMode, size: usize, low: i64, total: usize) -> Option<Vec<usize>> {
    let n = size as i128;
    let source = |i: usize| {
        let at = i as i128 - i128::from(low);
        let at = match mode {
            PadMode::Constant => at,
            PadMode::Edge => at.clamp(0, (n - 1).max(0)),
            PadMode::Wrap => at.checked_rem_euclid(n)?,
            PadMode::Reflect if n == 1 => 0,
            PadMode::Reflect => {
                let turn = at.checked_rem_euclid(2 * (n - 1))?;
                turn.min(2 * (n - 1) - turn)
            }
        };
        usize::try_from(at).ok().filter(|&at| at < size)
    };
    (0..total).map(source).collect()
}

/// `pad`.
pub fn pad(cx: &mut EvalCx<'_, '_>, op: &Pad) -> EvalResult {
    let a = cx.array(0)?;
    let (low, high) = (cx.dims(&op.low)?, cx.dims(&op.high)?);
    let mut shape = Vec::with_capacity(a.rank());
    for ((&size, &low), &high) in a.shape.iter().zip(&low).zip(&high) {
        match usize::try_from(size as i128 + i128::from(low) + i128::from(high)) {
            Ok(total) => shape.push(total),
            Err(_) => {
                return EvalError::failed(format!("size {size} padded by {low} and {high}"));
            }
        }
    }
    cx.check_size(a.dtype, &shape)?;
    if op.mode == PadMode::Constant {
        let value = match cx.opt_scalar(1)? {
            Some(v) => v,
            None => match Array::zeros(a.dtype, Vec::new())?.get(0) {
                Some(v) => v,
                None => return EvalError::failed("no zero"),
            },
        };
        return one(a.pad(&low, &high, &value)?);
    }
    let mut out = a.clone();
    for (axis, &total) in shape.iter().enumerate() {
        let (size, low) = (a.shape[axis], low[axis]);
        if (size, low) == (total, 0) {
            continue;
        }
        match padded_indices(op.mode, size, low, total) {
            Some(picked) => out = out.gather_rows(axis, &picked)?,
            None => {
                let mode = op.mode.as_str();
                return EvalError::failed(format!("no elements to pad with in mode {mode}"));
            }
        }
    }
    one(out)
}

/// `concat`.
pub fn concat(cx: &mut EvalCx<'_, '_>, op: &Concat) -> EvalResult {
    let parts = (0..cx.operand_count()).map(|i| cx.array(i)).collect::<Result<Vec<_>, _>>()?;
    let axis = indices(&[op.axis])?.first().copied().unwrap_or(0);
    if let Some(first) = parts.first() {
        let mut shape = first.shape.clone();
        if let Some(size) = shape.get_mut(axis) {
            let sizes = parts.iter().filter_map(|a| a.shape.get(axis));
            *size = sizes.fold(0usize, |n, &d| n.saturating_add(d));
        }
        cx.check_size(first.dtype, &shape)?;
    }
    one(Array::concat(&parts, axis)?)
}

/// `iota`.
pub fn iota(cx: &mut EvalCx<'_, '_>, op: &Iota) -> EvalResult {
    let shape = cx.shape(op.dtype, &op.dims)?;
    let axis = indices(&[op.axis])?.first().copied().unwrap_or(0);
    let Some(&n) = shape.get(axis) else {
        return Err(ArrayError::Axis { axis, rank: shape.len() }.into());
    };
    if shape.contains(&0) {
        return one(Array::zeros(op.dtype, shape)?);
    }
    cx.check_size(DType::I64, &[n])?;
    let mut line_shape = vec![1; shape.len()];
    line_shape[axis] = n;
    let line = Array::new(DType::I64, line_shape, Data::I64((0..n as i64).collect()))?;
    let line = cast(&line, op.dtype, false, RoundMode::Nearest)?;
    one(line.broadcast_to(&shape)?)
}
