//! Inference rules of the sequence family. Elements of a sequence have one dtype; what their
//! shapes have in common is the element type.

use super::control::unify;
use super::{InferCx, InferError, InferResult, one};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::op::*;
use crate::types::{TensorType, Type};

fn sequence_of(element: Type) -> InferResult {
    one(Type::Sequence(Box::new(element)))
}

/// The element type of a sequence operand.
fn elements<'a>(cx: &InferCx<'a>, slot: usize, label: &str) -> Result<&'a Type, InferError> {
    match cx.operand(slot)? {
        Type::Sequence(element) => Ok(element),
        Type::Unknown => Err(InferError::Unknown(cx.slot_name(slot))),
        Type::Tensor(_) | Type::Unranked(_) | Type::Optional(_) | Type::Map(..) => {
            cx.fail(label, format!("operand `{}` is not a sequence", cx.slot_name(slot)))
        }
    }
}

/// Checks that a position, if there is one, is a single integer.
fn position(cx: &InferCx<'_>, slot: usize, label: &str) -> Result<(), InferError> {
    let Some(t) = cx.opt_tensor(slot)? else { return Ok(()) };
    cx.scalar(slot)?;
    cx.require(t.dtype.is_integer(), label, || format!("a position is {}", t.dtype))
}

/// A sequence of the operands.
pub fn sequence_construct(cx: &InferCx<'_>, _op: &SequenceConstruct) -> InferResult {
    let mut element = cx.operand(0)?.clone();
    for slot in 1..cx.operand_count() {
        element = match unify(&element, cx.operand(slot)?) {
            Some(ty) => ty,
            None => {
                return cx.fail(
                    "sequence_construct-c1",
                    format!("operand `{}` is not like the others", cx.slot_name(slot)),
                );
            }
        };
    }
    sequence_of(element)
}

/// A sequence of no tensors.
pub fn sequence_empty(_cx: &InferCx<'_>, op: &SequenceEmpty) -> InferResult {
    sequence_of(Type::Unranked(op.dtype))
}

/// A sequence with one more element.
pub fn sequence_insert(cx: &InferCx<'_>, _op: &SequenceInsert) -> InferResult {
    let element = elements(cx, 0, "sequence_insert-c1")?;
    position(cx, 2, "sequence_insert-c3")?;
    match unify(element, cx.operand(1)?) {
        Some(ty) => sequence_of(ty),
        None => cx.fail("sequence_insert-c2", "the operand is not like the elements"),
    }
}

/// An element.
pub fn sequence_at(cx: &InferCx<'_>, _op: &SequenceAt) -> InferResult {
    position(cx, 1, "sequence_at-c2")?;
    one(elements(cx, 0, "sequence_at-c1")?.clone())
}

/// A sequence with one element less.
pub fn sequence_erase(cx: &InferCx<'_>, _op: &SequenceErase) -> InferResult {
    position(cx, 1, "sequence_erase-c2")?;
    sequence_of(elements(cx, 0, "sequence_erase-c1")?.clone())
}

/// How many elements there are.
pub fn sequence_length(cx: &InferCx<'_>, _op: &SequenceLength) -> InferResult {
    elements(cx, 0, "sequence_length-c1")?;
    one(TensorType::scalar(DType::I64))
}

/// Parts of a tensor.
pub fn split_to_sequence(cx: &InferCx<'_>, op: &SplitToSequence) -> InferResult {
    let mut x = cx.tensor(0)?.clone();
    let axis = cx.axis(op.axis, x.rank())?;
    match cx.opt_tensor(1)? {
        Some(split) => {
            cx.require(
                split.dtype.is_integer() && split.rank() <= 1,
                "split_to_sequence-c1",
                || "the sizes are not an integer or a vector of integers".to_owned(),
            )?;
            x.shape[axis] = Dim::Any;
        }
        None if op.keepdims => x.shape[axis] = Dim::Known(1),
        None => {
            x.shape.remove(axis);
        }
    }
    sequence_of(Type::Tensor(x))
}

/// All elements in one tensor.
pub fn concat_from_sequence(cx: &InferCx<'_>, op: &ConcatFromSequence) -> InferResult {
    let mut t = match elements(cx, 0, "concat_from_sequence-c1")? {
        Type::Tensor(t) => t.clone(),
        Type::Unranked(d) => return one(Type::Unranked(*d)),
        Type::Unknown => return Err(InferError::Unknown(cx.slot_name(0))),
        Type::Sequence(_) | Type::Optional(_) | Type::Map(..) => {
            return cx.fail("concat_from_sequence-c1", "the elements are not tensors");
        }
    };
    let rank = t.rank() + usize::from(op.new_axis);
    let axis = if op.axis < 0 { op.axis.saturating_add(rank as i64) } else { op.axis };
    let axis = cx.axis(axis, rank)?;
    if op.new_axis {
        t.shape.insert(axis, Dim::Any);
    } else {
        t.shape[axis] = Dim::Any;
    }
    one(t)
}

/// An optional of the operand, or of the stated type.
pub fn optional(cx: &InferCx<'_>, op: &Optional) -> InferResult {
    match (cx.opt(0), &op.ty) {
        (Some(ty), _) | (None, Some(ty)) => one(Type::Optional(Box::new(ty.clone()))),
        (None, None) => {
            cx.fail("optional-c1", "there is neither an operand nor a type of the element")
        }
    }
}

/// What an optional holds.
pub fn optional_get_element(cx: &InferCx<'_>, _op: &OptionalGetElement) -> InferResult {
    match cx.operand(0)? {
        Type::Optional(element) => one((**element).clone()),
        other => one(other.clone()),
    }
}

/// Whether there is an element.
pub fn optional_has_element(_cx: &InferCx<'_>, _op: &OptionalHasElement) -> InferResult {
    one(TensorType::scalar(DType::Bool))
}
