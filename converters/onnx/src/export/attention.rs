//! Writing rules of the attention family.

use airconv_api::ir::op::{Op, OpKind};

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use crate::common::{MICROSOFT, PREVIEW};
use crate::proto::AttributeProto;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::RotaryEmbedding, rotary),
    ExportRule::new(OpKind::FlexAttention, flex),
    ExportRule::new(OpKind::MultiHeadAttention, multi_head),
    ExportRule::new(OpKind::PackedAttention, packed),
    ExportRule::new(OpKind::EmbedLayerNormalization, embed),
];

fn wrong() -> Result<(), Refuse> {
    Refuse::because("the rule is for another op")
}

/// ONNX's op where it can say it and the source did not have ONNX Runtime's.
fn rotary(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::RotaryEmbedding(op) = op else { return wrong() };
    let mut attrs = Vec::new();
    if op.interleaved {
        attrs.push(attr::bool("interleaved", true));
    }
    if op.num_heads != 0 {
        attrs.push(attr::int("num_heads", op.num_heads));
    }
    if op.rotary_dim != 0 {
        attrs.push(attr::int("rotary_embedding_dim", op.rotary_dim));
    }
    let ids = if cx.value(3).is_some() { Some(cx.tensor_ty(3)?.rank()) } else { None };
    let theirs = cx.note("onnx.domain") == Some(MICROSOFT);
    if ids != Some(1) && !theirs {
        let inputs = cx.all()?;
        return cx.emit("RotaryEmbedding", &inputs, attrs);
    }
    if ids.is_none() {
        return Refuse::because("com.microsoft::RotaryEmbedding needs position ids");
    }
    let inputs = [cx.x(0)?, cx.x(3)?, cx.x(1)?, cx.x(2)?];
    cx.emit_in(MICROSOFT, "RotaryEmbedding", &inputs, attrs)
}

fn flex(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::FlexAttention(op) = op else { return wrong() };
    let captures: Vec<_> = (3..cx.count()).filter_map(|i| cx.value(i)).collect();
    let mut attrs = Vec::new();
    for (name, region) in [("score_mod", op.score_mod), ("prob_mod", op.prob_mod)] {
        if let Some(region) = region {
            attrs.push(attr::graph(name, cx.graph(region, &captures)?));
        }
    }
    if let Some(scale) = op.scale {
        attrs.push(attr::float("scale", scale));
    }
    if let Some(dtype) = op.softmax_precision {
        attrs.push(attr::dtype("softmax_precision", dtype));
    }
    let inputs = [cx.x(0)?, cx.x(1)?, cx.x(2)?];
    cx.emit_in(PREVIEW, "FlexAttention", &inputs, attrs)
}

fn common(
    heads: i64,
    scale: Option<airconv_api::ir::attr::Float>,
    fill: airconv_api::ir::attr::Float,
    unidirectional: bool,
) -> Vec<AttributeProto> {
    let mut attrs = vec![attr::int("num_heads", heads)];
    if let Some(scale) = scale {
        attrs.push(attr::float("scale", scale));
    }
    if fill.0 != -10000.0 {
        attrs.push(attr::float("mask_filter_value", fill));
    }
    if unidirectional {
        attrs.push(attr::bool("unidirectional", true));
    }
    attrs
}

fn multi_head(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::MultiHeadAttention(op) = op else { return wrong() };
    let attrs = common(op.num_heads, op.scale, op.mask_filter_value, op.unidirectional);
    let inputs = cx.all()?;
    cx.emit_in(MICROSOFT, "MultiHeadAttention", &inputs, attrs)
}

fn packed(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::PackedAttention(op) = op else { return wrong() };
    let mut attrs = common(op.num_heads, op.scale, op.mask_filter_value, op.unidirectional);
    if !op.qkv_hidden_sizes.is_empty() {
        attrs.push(attr::ints("qkv_hidden_sizes", &op.qkv_hidden_sizes));
    }
    let inputs = cx.all()?;
    cx.emit_in(MICROSOFT, "Attention", &inputs, attrs)
}

fn embed(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::EmbedLayerNormalization(op) = op else { return wrong() };
    let mut attrs = vec![attr::float("epsilon", op.epsilon)];
    if op.mask_index_type != 0 {
        attrs.push(attr::int("mask_index_type", op.mask_index_type));
    }
    let inputs = cx.all()?;
    cx.emit_in(MICROSOFT, "EmbedLayerNormalization", &inputs, attrs)
}
