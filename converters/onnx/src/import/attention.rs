//! Reading rules of the attention family.

use airconv_api::ir::attr::Float;
use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{
    EmbedLayerNormalization, FlexAttention, MultiHeadAttention, OpKind, PackedAttention,
    RotaryEmbedding,
};
use airconv_api::ir::types::Type;

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;
use crate::common::MICROSOFT;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("RotaryEmbedding", 23, &[OpKind::RotaryEmbedding], rotary),
    ImportRule::preview("FlexAttention", &[OpKind::FlexAttention], flex),
    ImportRule::ms("RotaryEmbedding", &[OpKind::RotaryEmbedding], rotary_ms),
    ImportRule::ms("MultiHeadAttention", &[OpKind::MultiHeadAttention], multi_head),
    ImportRule::ms("Attention", &[OpKind::PackedAttention], packed),
    ImportRule::ms("EmbedLayerNormalization", &[OpKind::EmbedLayerNormalization], embed),
];

fn rotary_fields(cx: &NodeCx<'_, '_>) -> Result<RotaryEmbedding, Stop> {
    Ok(RotaryEmbedding {
        interleaved: cx.bool("interleaved", false)?,
        num_heads: cx.int("num_heads", 0)?,
        rotary_dim: cx.int("rotary_embedding_dim", 0)?,
    })
}

fn rotary(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let op = rotary_fields(cx)?;
    cx.emit_same(op)
}

/// The position ids come second, and the size of a head may follow from the tables.
fn rotary_ms(cx: &mut NodeCx<'_, '_>) -> Outcome {
    only(cx, "is_packed_batching", 0)?;
    if cx.float("scale", 1.0)? != Float(1.0) {
        return Err(Stop::Defer("attribute `scale` is not 1".to_owned()));
    }
    let mut op = rotary_fields(cx)?;
    let x = cx.input_ty(0)?;
    if let (0, [_, _, hidden]) = (op.num_heads, x.shape.as_slice()) {
        let half = cx.input_ty(2)?.shape.get(1).and_then(Dim::as_known);
        match (hidden.as_known(), half) {
            (Some(hidden), Some(half)) if half > 0 => op.num_heads = hidden / half / 2,
            _ => {
                return Err(Stop::Defer("the size of a head is only known at run time".to_owned()));
            }
        }
    }
    let operands = [cx.opt(0), cx.opt(2), cx.opt(3), cx.opt(1)];
    let outputs = cx.emit(op, &operands)?;
    cx.note_node(&outputs, "onnx.domain", MICROSOFT);
    Ok(outputs)
}

fn flex(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let scale = cx.attrs.opt_float("scale")?;
    let softmax_precision = cx.attrs.opt_dtype("softmax_precision")?;
    let (q, k) = (cx.input_ty(0)?, cx.input_ty(1)?);
    let ([batch, heads, rows, _], [_, _, columns, _]) = (q.shape.as_slice(), k.shape.as_slice())
    else {
        return cx.invalid("Q and K are not of rank 4");
    };
    let default = if q.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let dims = [batch, heads, rows, columns].map(Dim::clone);
    let scores = Type::tensor(softmax_precision.unwrap_or(default), dims);
    let mut bodies = Vec::with_capacity(2);
    let mut at = [None, None];
    for (slot, name) in at.iter_mut().zip(["score_mod", "prob_mod"]) {
        if cx.has_attr(name) {
            *slot = Some(bodies.len());
            let body = cx.body(name, std::slice::from_ref(&scores))?;
            bodies.push(body);
        }
    }
    let captures = cx.unite_captures(&bodies);
    let [score_mod, prob_mod] = at.map(|i| i.and_then(|i| bodies.get(i)).map(|b| b.region));
    let mut operands = cx.inputs_from(0)?;
    operands.truncate(3);
    operands.extend(captures);
    cx.emit_all(FlexAttention { scale, softmax_precision, score_mod, prob_mod }, &operands)
}

/// An attribute has to have one value; with any other the node is kept as it is.
pub(super) fn only(cx: &NodeCx<'_, '_>, name: &str, value: i64) -> Result<(), Stop> {
    match cx.int(name, value)? {
        v if v == value => Ok(()),
        v => Err(Stop::Defer(format!("attribute `{name}` is {v}"))),
    }
}

/// Operands from a position on have to be absent.
fn none_from(cx: &NodeCx<'_, '_>, first: usize) -> Result<(), Stop> {
    match (first..cx.input_count()).find(|&i| cx.opt(i).is_some()) {
        Some(i) => Err(Stop::Defer(format!("input {i} has no counterpart"))),
        None => Ok(()),
    }
}

fn multi_head(cx: &mut NodeCx<'_, '_>) -> Outcome {
    none_from(cx, 8)?;
    if cx.wants(3) {
        return Err(Stop::Defer("output 3 has no counterpart".to_owned()));
    }
    let op = MultiHeadAttention {
        num_heads: cx.need_int("num_heads")?,
        scale: cx.attrs.opt_float("scale")?,
        mask_filter_value: cx.float("mask_filter_value", -10000.0)?,
        unidirectional: cx.bool("unidirectional", false)?,
    };
    let operands: Vec<_> = (0..cx.input_count().min(8)).map(|i| cx.opt(i)).collect();
    cx.emit(op, &operands)
}

fn packed(cx: &mut NodeCx<'_, '_>) -> Outcome {
    none_from(cx, 6)?;
    only(cx, "do_rotary", 0)?;
    only(cx, "past_present_share_buffer", 0)?;
    cx.attrs.ignore("rotary_embedding_dim");
    let op = PackedAttention {
        num_heads: cx.need_int("num_heads")?,
        scale: cx.attrs.opt_float("scale")?,
        mask_filter_value: cx.float("mask_filter_value", -10000.0)?,
        unidirectional: cx.bool("unidirectional", false)?,
        qkv_hidden_sizes: cx.ints("qkv_hidden_sizes")?,
    };
    let operands: Vec<_> = (0..cx.input_count().min(6)).map(|i| cx.opt(i)).collect();
    cx.emit(op, &operands)
}

fn embed(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let op = EmbedLayerNormalization {
        epsilon: cx.float("epsilon", 1e-12)?,
        mask_index_type: cx.int("mask_index_type", 0)?,
    };
    cx.emit_same(op)
}
