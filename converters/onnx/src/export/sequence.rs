//! Writing rules of the sequence family.

use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{Op, OpKind};
use airconv_api::ir::types::Type;

use super::attr;
use super::index::other_op;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use super::types::type_proto;
use crate::proto::attribute_proto::AttributeType;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Optional, optional),
    ExportRule::new(OpKind::OptionalGetElement, optional_get_element),
    ExportRule::new(OpKind::OptionalHasElement, optional_has_element),
    ExportRule::new(OpKind::SequenceEmpty, sequence_empty),
    ExportRule::new(OpKind::SplitToSequence, split_to_sequence),
];

type Written = Result<(), Refuse>;

fn sequence_empty(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::SequenceEmpty(s) = op else { return other_op(op) };
    cx.emit("SequenceEmpty", &[], vec![attr::dtype("dtype", s.dtype)])
}

fn split_to_sequence(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::SplitToSequence(s) = op else { return other_op(op) };
    let inputs = cx.all()?;
    let attrs = vec![attr::int("axis", s.axis), attr::bool("keepdims", s.keepdims)];
    cx.emit("SplitToSequence", &inputs, attrs)
}

fn optional(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Optional(o) = op else { return other_op(op) };
    let inputs = cx.all()?;
    let mut attrs = Vec::new();
    if let Some(ty) = &o.ty {
        let Some(proto) = type_proto(cx.ex.f(), ty) else {
            return Refuse::because("the type of the element is not known");
        };
        attrs.push(attr::other("type", AttributeType::TypeProto, |a| a.tp = Some(Box::new(proto))));
    }
    cx.emit("Optional", &inputs, attrs)
}

/// From this opset on, the ops on optionals take other values too.
const OPTIONAL_OR_NOT: i64 = 18;

fn optional_get_element(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::OptionalGetElement(_) = op else { return other_op(op) };
    let x = cx.x(0)?;
    let plain = !matches!(cx.ty(0), Some(Type::Optional(_) | Type::Unknown));
    if cx.opset() < 14 && !matches!(cx.ty(0), Some(Type::Tensor(_) | Type::Unranked(_))) {
        return Refuse::because("the identity of a sequence needs opset 14");
    }
    let name =
        if plain && cx.opset() < OPTIONAL_OR_NOT { "Identity" } else { "OptionalGetElement" };
    cx.emit(name, &[x], Vec::new())
}

fn optional_has_element(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::OptionalHasElement(_) = op else { return other_op(op) };
    let inputs = cx.all()?;
    let known = match cx.ty(0) {
        None => Some(false),
        Some(Type::Optional(_) | Type::Unknown) => None,
        Some(_) => Some(true),
    };
    match known {
        Some(has) if cx.opset() < OPTIONAL_OR_NOT => {
            let int = cx.int_scalar(i64::from(has))?;
            cx.emit("Cast", &[int], vec![attr::dtype("to", DType::Bool)])
        }
        _ => cx.emit("OptionalHasElement", &inputs, Vec::new()),
    }
}
