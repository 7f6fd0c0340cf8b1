//! Reading rules of the fused forms of attention layers that PyTorch uses outside of training.

use airconv_ir::attr::Float;
use airconv_ir::dim::Dim;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Attention, Gelu, GeluKind, LayerNormalization, OpKind, Relu, Softmax};

use super::arg::{Arg, Returns};
use super::attention::zero_masked_rows;
use super::call::{CallCx, Stop};
use super::norm::zero_where_masked;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_native_multi_head_attention", LAYER, multi_head_attention),
    ImportRule::new("aten::_transformer_encoder_layer_fwd", LAYER, encoder_layer),
];

const LAYER: &[OpKind] = &[OpKind::Attention, OpKind::Matmul];

/// x times the transposed weight, plus a bias.
fn projected(
    cx: &mut CallCx<'_>,
    x: ValueId,
    weight: ValueId,
    bias: ValueId,
) -> Result<ValueId, Stop> {
    let mut b = cx.b();
    let weight = b.transpose(weight, &[1, 0])?;
    let y = b.matmul(x, weight)?;
    Ok(b.add(y, bias)?)
}

/// The heads of a self-attention.
struct Heads {
    q: ValueId,
    k: ValueId,
    v: ValueId,
    /// Whether each key is seen, of a shape that broadcasts to the scores.
    seen: Option<ValueId>,
    /// [batch, length, width].
    dims: [Dim; 3],
}

/// Queries, keys and values of [batch, length, width], each projected with a third of the
/// weights, as [batch, heads, length, size].
fn heads(cx: &mut CallCx<'_>, inputs: [ValueId; 3], count: i64) -> Result<Heads, Stop> {
    let (weight, bias) = (cx.tensor("qkv_weight")?, cx.tensor("qkv_bias")?);
    let dims = match cx.shape(inputs[0])?.as_slice() {
        [batch, length, width] => [batch.clone(), length.clone(), width.clone()],
        _ => return cx.invalid("the input of attention is [batch, length, width]"),
    };
    if count < 1 {
        return cx.invalid(format!("{count} heads"));
    }
    let width = dims[2].clone();
    let size = width.floor_div(&count.into());
    let mut parts = Vec::new();
    for (i, x) in inputs.into_iter().enumerate() {
        let start = Dim::mul(&width, &(i as i64).into());
        let end = &start + &width;
        let w = cx.b().slice_axis(weight, 0, start.clone(), end.clone())?;
        let c = cx.b().slice_axis(bias, 0, start, end)?;
        let y = projected(cx, x, w, c)?;
        let (batch, length) = (cx.size(x, 0)?, cx.size(x, 1)?);
        let mut b = cx.b();
        let y = b.reshape(y, &[batch, length, count.into(), size.clone()])?;
        parts.push(b.transpose(y, &[0, 2, 1, 3])?);
    }
    let seen = seen_keys(cx)?;
    Ok(Heads { q: parts[0], k: parts[1], v: parts[2], seen, dims })
}

/// The mask, which is true where a key is hidden, turned around. It is of queries and keys, of
/// the batch and keys, or whole.
fn seen_keys(cx: &mut CallCx<'_>) -> Result<Option<ValueId>, Stop> {
    let kind = cx.opt_int("mask_type")?;
    let Some(mask) = cx.opt_tensor("mask")? else { return Ok(None) };
    let mask = cx.cast(mask, airconv_ir::dtype::DType::Bool)?;
    let by_batch = kind == Some(1) && cx.rank(mask)? == 2;
    let mut b = cx.b();
    let seen = b.not(mask)?;
    Ok(Some(if by_batch { b.unsqueeze(seen, &[1, 1])? } else { seen }))
}

impl Heads {
    /// The values seen by each query, as [batch, length, width].
    fn attended(&self, cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
        let op = Attention {
            is_causal: false,
            q_num_heads: None,
            kv_num_heads: None,
            scale: None,
            softcap: Float(0.0),
            softmax_precision: None,
            qk_mode: 0,
        };
        let mut y = cx.emit_opt(op, &[Some(self.q), Some(self.k), Some(self.v), self.seen])?;
        if let Some(seen) = self.seen {
            y = zero_masked_rows(cx, seen, y)?;
        }
        let mut b = cx.b();
        let y = b.transpose(y, &[0, 2, 1, 3])?;
        Ok(b.reshape(y, &self.dims)?)
    }

    /// How much each query sees of each key, [batch, heads, queries, keys].
    fn weights(&self, cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
        let size = cx.size(self.q, 3)?;
        let mut b = cx.b();
        let keys = b.transpose(self.k, &[0, 1, 3, 2])?;
        let scores = b.matmul(self.q, keys)?;
        let size = b.dim_scalar(&size)?;
        let dtype = b.tensor_ty(scores)?.dtype;
        let size = b.cast(size, dtype)?;
        let root = b.sqrt(size)?;
        let mut scores = b.div(scores, root)?;
        if let Some(seen) = self.seen {
            let lowest = b.scalar_like(scores, f64::NEG_INFINITY)?;
            scores = b.select(seen, scores, lowest)?;
        }
        let y = b.emit(Softmax { axes: vec![3] }, &[scores])?;
        zero_where_masked(cx, scores, &[3], y)
    }
}

/// `_native_multi_head_attention`: also gives how much is seen, of each head or on average.
fn multi_head_attention(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["embed_dim"]);
    let inputs = [cx.tensor("query")?, cx.tensor("key")?, cx.tensor("value")?];
    let count = cx.int("num_head")?;
    let heads = heads(cx, inputs, count)?;
    let y = heads.attended(cx)?;
    let (weight, bias) = (cx.tensor("proj_weight")?, cx.tensor("proj_bias")?);
    let y = projected(cx, y, weight, bias)?;
    let (need, average) = (cx.bool("need_weights")?, cx.bool("average_attn_weights")?);
    if !need || !cx.wants(1) {
        return Ok(Returns(vec![y.into(), Arg::None]));
    }
    let weights = heads.weights(cx)?;
    let weights = if average { cx.b().mean(weights, &[1], false)? } else { weights };
    Ok([y, weights].into())
}

/// `_transformer_encoder_layer_fwd`: attention and a small network, each with a normalization
/// before or after it and what went in added.
fn encoder_layer(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["embed_dim"]);
    let src = cx.tensor("src")?;
    let (count, first) = (cx.int("num_heads")?, cx.bool("norm_first")?);
    let x = if first { normalized(cx, src, "1")? } else { src };
    let heads = heads(cx, [x, x, x], count)?;
    let y = heads.attended(cx)?;
    let (weight, bias) = (cx.tensor("proj_weight")?, cx.tensor("proj_bias")?);
    let y = projected(cx, y, weight, bias)?;
    let y = cx.b().add(y, src)?;
    let y = if first { y } else { normalized(cx, y, "1")? };
    let x = if first { normalized(cx, y, "2")? } else { y };
    let (weight, bias) = (cx.tensor("ffn_weight_1")?, cx.tensor("ffn_bias_1")?);
    let inner = projected(cx, x, weight, bias)?;
    let inner = match cx.bool("use_gelu")? {
        true => cx.emit(Gelu { approximate: GeluKind::Exact }, &[inner])?,
        false => cx.emit(Relu {}, &[inner])?,
    };
    let (weight, bias) = (cx.tensor("ffn_weight_2")?, cx.tensor("ffn_bias_2")?);
    let outer = projected(cx, inner, weight, bias)?;
    let y = cx.b().add(outer, y)?;
    Ok(if first { y } else { normalized(cx, y, "2")? }.into())
}

/// The first or the second normalization of an encoder layer.
fn normalized(cx: &mut CallCx<'_>, x: ValueId, which: &str) -> Result<ValueId, Stop> {
    let scale = cx.tensor(&format!("norm_weight_{which}"))?;
    let bias = cx.tensor(&format!("norm_bias_{which}"))?;
    let axis = cx.rank(x)?.saturating_sub(1) as i64;
    let op = LayerNormalization { axis, epsilon: Float(cx.float("eps")?), stash: None };
    cx.emit(op, &[x, scale, bias])
}
