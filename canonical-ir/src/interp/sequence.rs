//! Evaluation of the sequence family.

use super::{Datum, EvalCx, EvalError, EvalResult, one};
use crate::array::{Array, Data, Scalar, checked_numel};
use crate::dtype::DType;
use crate::op::*;

fn elements<'a>(cx: &'a EvalCx<'_, '_>, slot: usize) -> Result<&'a [Datum], EvalError> {
    match cx.datum(slot)? {
        Datum::Sequence(v) => Ok(v),
        Datum::Tensor(_) | Datum::Optional(_) | Datum::Map(_) => {
            EvalError::failed(format!("operand {slot} is not a sequence"))
        }
    }
}

/// A position among `n` places, counted from the end when negative; `None` when none is given.
fn position(cx: &EvalCx<'_, '_>, slot: usize, n: usize) -> Result<Option<usize>, EvalError> {
    let given = match cx.opt_scalar(slot)? {
        None => return Ok(None),
        Some(Scalar::Int(i)) => i,
        Some(_) => return EvalError::failed("a position is not an integer"),
    };
    let wrapped = if given < 0 { given + n as i128 } else { given };
    match usize::try_from(wrapped) {
        Ok(i) if i < n => Ok(Some(i)),
        _ => EvalError::failed(format!("position {given} is out of range for {n}")),
    }
}

/// All operands in a sequence.
pub fn sequence_construct(cx: &mut EvalCx<'_, '_>, _op: &SequenceConstruct) -> EvalResult {
    one(Datum::Sequence(cx.operands().iter().flatten().cloned().collect()))
}

/// A sequence of nothing.
pub fn sequence_empty(_cx: &mut EvalCx<'_, '_>, _op: &SequenceEmpty) -> EvalResult {
    one(Datum::Sequence(Vec::new()))
}

/// Puts an element before a position, or at the end.
pub fn sequence_insert(cx: &mut EvalCx<'_, '_>, _op: &SequenceInsert) -> EvalResult {
    let mut items = elements(cx, 0)?.to_vec();
    let x = cx.datum(1)?.clone();
    // The end is a place, but a negative position counts from the last element.
    let n = items.len();
    let at = match cx.opt_scalar(2)? {
        None => n,
        Some(Scalar::Int(i)) => match usize::try_from(if i < 0 { i + n as i128 } else { i }) {
            Ok(at) if at <= n => at,
            _ => return EvalError::failed(format!("position {i} is out of range for {n}")),
        },
        Some(_) => return EvalError::failed("a position is not an integer"),
    };
    items.insert(at, x);
    one(Datum::Sequence(items))
}

/// The element at a position.
pub fn sequence_at(cx: &mut EvalCx<'_, '_>, _op: &SequenceAt) -> EvalResult {
    let items = elements(cx, 0)?;
    match position(cx, 1, items.len())?.and_then(|i| items.get(i)) {
        Some(item) => one(item.clone()),
        None => EvalError::failed("there is no position"),
    }
}

/// Drops the element at a position, or the last one.
pub fn sequence_erase(cx: &mut EvalCx<'_, '_>, _op: &SequenceErase) -> EvalResult {
    let mut items = elements(cx, 0)?.to_vec();
    match (position(cx, 1, items.len())?, items.len().checked_sub(1)) {
        (_, None) => return EvalError::failed("the sequence is empty"),
        (at, Some(last)) => items.remove(at.unwrap_or(last)),
    };
    one(Datum::Sequence(items))
}

/// The number of elements.
pub fn sequence_length(cx: &mut EvalCx<'_, '_>, _op: &SequenceLength) -> EvalResult {
    let n = elements(cx, 0)?.len() as i64;
    one(Array::from_vec(Vec::new(), vec![n])?)
}

/// Cuts a tensor into parts.
pub fn split_to_sequence(cx: &mut EvalCx<'_, '_>, op: &SplitToSequence) -> EvalResult {
    let x = cx.array(0)?;
    let axis = match usize::try_from(op.axis) {
        Ok(a) if a < x.rank() => a,
        _ => return EvalError::failed(format!("axis {} is not within rank {}", op.axis, x.rank())),
    };
    let size = x.shape[axis];
    let split = cx.opt_array(1)?;
    // An axis can be long where another one is 0.
    cx.check_size(DType::I64, &[size])?;
    let sizes: Vec<usize> = match split {
        None => vec![1; size],
        Some(s) => {
            let given = s.to_i64s().map(|v| v.into_iter().map(usize::try_from).collect());
            let Some(Ok::<Vec<usize>, _>(given)) = given else {
                return EvalError::failed("a size is negative or not an integer");
            };
            match (s.rank(), given.as_slice()) {
                (0, [0]) => return EvalError::failed("parts of size 0"),
                (0, &[part]) => {
                    (0..size).step_by(part).map(|start| part.min(size - start)).collect()
                }
                _ => given,
            }
        }
    };
    if sizes.iter().try_fold(0usize, |n, &s| n.checked_add(s)) != Some(size) {
        return EvalError::failed(format!("parts of {sizes:?} do not add up to {size}"));
    }
    let drop_axis = split.is_none() && !op.keepdims;
    let steps = vec![1isize; x.rank()];
    let (mut starts, mut lens) = (vec![0usize; x.rank()], x.shape.clone());
    let mut items = Vec::with_capacity(sizes.len());
    for part in sizes {
        lens[axis] = part;
        let mut piece = x.slice(&starts, &steps, &lens)?;
        starts[axis] += part;
        if drop_axis {
            piece.shape.remove(axis);
        }
        items.push(piece.into());
    }
    one(Datum::Sequence(items))
}

/// Joins the elements.
pub fn concat_from_sequence(cx: &mut EvalCx<'_, '_>, op: &ConcatFromSequence) -> EvalResult {
    let items = elements(cx, 0)?;
    let mut arrays = Vec::with_capacity(items.len());
    for item in items {
        match item.as_array() {
            Some(a) => arrays.push(a),
            None => return EvalError::failed("an element is not a tensor"),
        }
    }
    let Some(first) = arrays.first() else {
        return EvalError::failed("the sequence is empty");
    };
    let rank = first.rank() + usize::from(op.new_axis);
    let axis = if op.axis < 0 { op.axis.saturating_add(rank as i64) } else { op.axis };
    let axis = match usize::try_from(axis) {
        Ok(a) if a < rank => a,
        _ => return EvalError::failed(format!("axis {} is not within rank {rank}", op.axis)),
    };
    let total: usize = arrays.iter().map(|a| a.numel()).sum();
    cx.check_size(first.dtype, &[total])?;
    if !op.new_axis {
        return one(Array::concat(&arrays, axis)?);
    }
    let mut lifted = Vec::with_capacity(arrays.len());
    for a in &arrays {
        if a.shape != first.shape {
            return EvalError::failed(format!(
                "elements of shapes {:?} and {:?} cannot be stacked",
                first.shape, a.shape
            ));
        }
        let mut shape = a.shape.clone();
        shape.insert(axis, 1);
        checked_numel(&shape)?;
        lifted.push((*a).clone().reshape(shape)?);
    }
    one(Array::concat(&lifted.iter().collect::<Vec<_>>(), axis)?)
}

/// An optional of the operand.
pub fn optional(cx: &mut EvalCx<'_, '_>, _op: &Optional) -> EvalResult {
    one(Datum::Optional(cx.opt(0).cloned().map(Box::new)))
}

/// The element of an optional.
pub fn optional_get_element(cx: &mut EvalCx<'_, '_>, _op: &OptionalGetElement) -> EvalResult {
    match cx.datum(0)? {
        Datum::Optional(Some(x)) => one((**x).clone()),
        Datum::Optional(None) => EvalError::failed("the optional holds no element"),
        other => one(other.clone()),
    }
}

/// Whether there is an element.
pub fn optional_has_element(cx: &mut EvalCx<'_, '_>, _op: &OptionalHasElement) -> EvalResult {
    let has = !matches!(cx.opt(0), None | Some(Datum::Optional(None)));
    one(Array::new(DType::Bool, Vec::new(), Data::Bool(vec![has]))?)
}
