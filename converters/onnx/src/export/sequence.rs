//! Writing rules of the sequence family.

use airconv_api::ir::op::{Op, OpKind};

use super::attr;
use super::index::other_op;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use super::types::type_proto;
use crate::proto::attribute_proto::AttributeType;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Optional, optional),
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
