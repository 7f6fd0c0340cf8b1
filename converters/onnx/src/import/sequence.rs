//! Reading rules of the sequence family.

use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{OpKind, Optional, SequenceEmpty, SplitToSequence};

use super::node::{NodeCx, Outcome};
use super::rules::ImportRule;
use crate::proto::attribute_proto::AttributeType;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("Optional", 15, &[OpKind::Optional], optional),
    ImportRule::new("SequenceEmpty", 11, &[OpKind::SequenceEmpty], sequence_empty),
    ImportRule::new("SplitToSequence", 11, &[OpKind::SplitToSequence], split_to_sequence),
];

fn sequence_empty(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let dtype = cx.attrs.opt_dtype("dtype")?.unwrap_or(DType::F32);
    cx.emit_same(SequenceEmpty { dtype })
}

fn split_to_sequence(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axis = cx.axis(cx.int("axis", 0)?, cx.rank(0)?)?;
    let keepdims = cx.bool("keepdims", true)?;
    cx.emit_same(SplitToSequence { axis, keepdims })
}

fn optional(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let given = cx.attrs.opt_proto("type", AttributeType::TypeProto)?;
    let ty = match given.and_then(|a| a.tp.as_deref()) {
        Some(proto) => {
            let func = cx.fs.func;
            let mut f = std::mem::take(&mut cx.imp.module.functions[func]);
            let ty = cx.imp.declared_type(&mut f, Some(proto), None);
            cx.imp.module.functions[func] = f;
            Some(ty)
        }
        None => None,
    };
    cx.emit_same(Optional { ty })
}
