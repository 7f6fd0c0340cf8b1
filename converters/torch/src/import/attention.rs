//! Reading rules of scaled dot-product attention.

use airconv_ir::attr::Float;
use airconv_ir::dim::{Dim, Shape, broadcast_shapes, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Attention, OpKind, ReduceKind};

use super::arg::{Arg, Returns};
use super::call::{CallCx, Stop};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_scaled_dot_product_attention_math", ATTENTION, fused_attention),
    ImportRule::new("aten::_scaled_dot_product_attention_math_for_mps", ATTENTION, fused_attention),
    ImportRule::new("aten::_scaled_dot_product_cudnn_attention", ATTENTION, fused_attention),
    ImportRule::new("aten::_scaled_dot_product_efficient_attention", ATTENTION, fused_attention),
    ImportRule::of("aten::_scaled_dot_product_flash_attention", "", ATTENTION, fused_attention),
    ImportRule::new(
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        ATTENTION,
        fused_attention,
    ),
    ImportRule::new(
        "aten::_scaled_dot_product_fused_attention_overrideable",
        ATTENTION,
        fused_attention,
    ),
    ImportRule::new("aten::scaled_dot_product_attention", ATTENTION, attention),
];

const ATTENTION: &[OpKind] = &[OpKind::Attention];

/// `scaled_dot_product_attention`.
fn attention(cx: &mut CallCx<'_>) -> Outcome {
    Ok(attended(cx)?.into())
}

/// The forms for devices; what they give besides serves gradients.
fn fused_attention(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["compute_log_sumexp", "return_debug_mask"]);
    let count = cx.schema.returns.len();
    if cx.wanted.is_some() && (1..count).any(|i| cx.wants(i)) {
        return cx.unsupported("the results besides the first, which serve gradients");
    }
    let y = attended(cx)?;
    let mut all = vec![Arg::None; count];
    all[0] = y.into();
    Ok(Returns(all))
}

/// The mask, under either of its names.
fn mask(cx: &mut CallCx<'_>) -> Result<Option<ValueId>, Stop> {
    if cx.has("attn_mask") { cx.opt_tensor("attn_mask") } else { bias(cx) }
}

fn bias(cx: &mut CallCx<'_>) -> Result<Option<ValueId>, Stop> {
    if cx.has("attn_bias") { cx.opt_tensor("attn_bias") } else { Ok(None) }
}

fn attended(cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
    if cx.float("dropout_p")? != 0.0 {
        return cx.unsupported("attention with dropout, as in training");
    }
    // Groups of heads are seen from the sizes.
    cx.ignore(&["enable_gqa"]);
    let (q, k, v) = (cx.tensor("query")?, cx.tensor("key")?, cx.tensor("value")?);
    let is_causal = cx.bool("is_causal")?;
    let scale = cx.opt_float("scale")?.map(Float);
    let mask = mask(cx)?;
    let shape = cx.shape(q)?;
    let Some(lead) = shape.len().checked_sub(2) else {
        return cx.invalid("queries are at least matrices");
    };
    let [q, k, v] = common_batch(cx, [q, k, v])?;
    let batch = cx.shape(q)?[..lead].to_vec();
    let [q, k, v] = [of_rank_four(cx, q)?, of_rank_four(cx, k)?, of_rank_four(cx, v)?];
    let mask = mask.map(|m| mask_of_rank_four(cx, m, &batch)).transpose()?;
    // Scores of narrow floats are computed in f32, and only the result is rounded.
    let dtype = cx.dtype(q)?;
    let work = if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype };
    let [q, k, v] = [cx.cast(q, work)?, cx.cast(k, work)?, cx.cast(v, work)?];
    let mask = match mask {
        Some(mask) if cx.dtype(mask)?.is_float() => Some(cx.cast(mask, work)?),
        other => other,
    };
    let op = Attention {
        is_causal,
        q_num_heads: None,
        kv_num_heads: None,
        scale,
        softcap: Float(0.0),
        softmax_precision: None,
        qk_mode: 0,
    };
    let y = cx.emit_opt(op, &[Some(q), Some(k), Some(v), mask])?;
    let mut y = cx.cast(y, dtype)?;
    if let Some(mask) = mask {
        y = zero_masked_rows(cx, mask, y)?;
    }
    let mut dims = batch;
    dims.extend(cx.shape(y)?[2..].iter().cloned());
    Ok(cx.b().reshape(y, &dims)?)
}

/// Queries, keys and values with the same axes before the last three. The axis before the last
/// two counts heads, of which keys and values may have fewer.
fn common_batch(cx: &mut CallCx<'_>, qkv: [ValueId; 3]) -> Result<[ValueId; 3], Stop> {
    let shapes = [cx.shape(qkv[0])?, cx.shape(qkv[1])?, cx.shape(qkv[2])?];
    let rank = shapes[0].len();
    if shapes.iter().any(|s| s.len() != rank) {
        return cx.invalid("queries, keys and values differ in rank");
    }
    // With fewer than four axes there are no heads: the axis is one of the batch.
    let shared = if rank >= 4 { rank - 3 } else { rank - 2 };
    let mut batch = Shape::new();
    for shape in &shapes {
        batch =
            broadcast_shapes(&batch, &shape[..shared]).map_err(|e| Stop::Invalid(e.to_string()))?;
    }
    let mut out = qkv;
    for (value, shape) in out.iter_mut().zip(&shapes) {
        let dims: Vec<Dim> = batch.iter().chain(&shape[shared..]).cloned().collect();
        *value = cx.broadcast_to(*value, &dims)?;
    }
    Ok(out)
}

/// [.., heads, sequence, size] as [batch, heads, sequence, size].
fn of_rank_four(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    let shape = cx.shape(x)?;
    let rank = shape.len();
    let dims = match rank {
        4 => return Ok(x),
        2 => [1.into(), 1.into(), shape[0].clone(), shape[1].clone()],
        3 => [shape[0].clone(), 1.into(), shape[1].clone(), shape[2].clone()],
        _ => [
            numel(&shape[..rank - 3]),
            shape[rank - 3].clone(),
            shape[rank - 2].clone(),
            shape[rank - 1].clone(),
        ],
    };
    Ok(cx.b().reshape(x, &dims)?)
}

/// A mask that broadcasts to the scores as one of rank 4 that does.
fn mask_of_rank_four(cx: &mut CallCx<'_>, mask: ValueId, batch: &[Dim]) -> Result<ValueId, Stop> {
    let shape = cx.shape(mask)?;
    // With rank 4 the axes fall on each other, with fewer on the last ones.
    if batch.len() == 2 || shape.len() <= 2 {
        return Ok(mask);
    }
    let mut dims = batch.to_vec();
    dims.extend(shape[shape.len() - 2..].iter().cloned());
    let mask = cx.broadcast_to(mask, &dims)?;
    of_rank_four(cx, mask)
}

/// y with zeros in the rows of queries that see no key at all.
pub(super) fn zero_masked_rows(
    cx: &mut CallCx<'_>,
    mask: ValueId,
    y: ValueId,
) -> Result<ValueId, Stop> {
    let ty = cx.ty(mask)?;
    let Some(last) = ty.rank().checked_sub(1) else { return Ok(y) };
    if sees_something(cx, mask) {
        return Ok(y);
    }
    let mut b = cx.b();
    let seen = match ty.dtype {
        DType::Bool => b.reduce(ReduceKind::Or, mask, &[last], true)?,
        _ => {
            let greatest = b.reduce(ReduceKind::Max, mask, &[last], true)?;
            let lowest = b.scalar_like(greatest, f64::NEG_INFINITY)?;
            b.less(lowest, greatest)?
        }
    };
    let zero = b.scalar_like(y, 0.0)?;
    Ok(b.select(seen, y, zero)?)
}

/// Whether a mask is a constant of which every row shows a key.
fn sees_something(cx: &CallCx<'_>, mask: ValueId) -> bool {
    let Some(array) = cx.const_array(mask) else { return false };
    let Some(&columns) = array.shape.last() else { return false };
    let shown: Vec<bool> = match (array.as_slice::<bool>(), array.to_f64s()) {
        (Some(bools), _) => bools.to_vec(),
        (None, Some(floats)) => floats.iter().map(|v| *v > f64::NEG_INFINITY).collect(),
        _ => return false,
    };
    columns > 0 && shown.chunks(columns).all(|row| row.contains(&true))
}
