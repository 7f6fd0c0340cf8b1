//! Attention ops of com.microsoft: a scaled product of q and k, plus a bias, through a softmax.

use super::{R, add_opt, join_heads, positions, row_products, split_heads, weighted, zero_or};
use crate::builder::Builder;
use crate::decompose::{DecomposeCx, DecomposeResult, NoDecomposition};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::attention::packed_sizes;
use crate::op::*;

/// 1 / sqrt(size), or what is given unless that is zero.
fn scale_of(b: &mut Builder<'_>, given: Option<f64>, size: &Dim, dtype: DType) -> R {
    Ok(match (given.filter(|s| *s != 0.0), size.as_known()) {
        (Some(s), _) => b.scalar(dtype, s)?,
        (None, Some(n)) => b.scalar(dtype, f64::from(1.0 / (n as f32).sqrt()))?,
        (None, None) => {
            let n = b.dim_scalar(size)?;
            let n = b.cast(n, DType::F32)?;
            let n = b.sqrt(n)?;
            let one = b.scalar(DType::F32, 1.0)?;
            let s = b.div(one, n)?;
            b.cast(s, dtype)?
        }
    })
}

/// What the scores of a padding mask are filled with: 0 where a key counts, else the filter
/// value. The mask is one length per batch entry, lengths and starts, or 0 and 1 per key.
fn padding(b: &mut Builder<'_>, mask: ValueId, scores: &[Dim; 4], fill: f64, dtype: DType) -> R {
    let ty = b.tensor_ty(mask)?;
    let [batch, _, rows, total] = scores;
    let one = || Dim::Known(1);
    let mask = b.cast(mask, DType::I64)?;
    let keep = match ty.shape.as_slice() {
        [n] => {
            let c = b.iota(DType::I64, total.clone())?;
            let c = b.reshape(c, &[one(), one(), one(), total.clone()])?;
            let column = [batch.clone(), one(), one(), one()];
            let twice = batch + batch;
            let both = *n == twice && *n != *batch;
            let differs = matches!((n, batch), (Dim::Known(n), Dim::Known(m)) if n != m);
            if differs && !both {
                return Err(NoDecomposition::Unsupported(
                    "a mask of cumulated lengths is for padding removal only".to_owned(),
                ));
            }
            let ends =
                if both { b.slice_axis(mask, 0, Dim::Known(0), batch.clone())? } else { mask };
            let ends = b.reshape(ends, &column)?;
            let before_end = b.less(c, ends)?;
            if both {
                let starts = b.slice_axis(mask, 0, batch.clone(), twice)?;
                let starts = b.reshape(starts, &column)?;
                let after_start = b.less_or_equal(starts, c)?;
                b.and(before_end, after_start)?
            } else {
                before_end
            }
        }
        shape => {
            let zero = b.scalar_int(DType::I64, 0)?;
            let keep = b.less(zero, mask)?;
            match shape.len() {
                2 => b.unsqueeze(keep, &[1, 2])?,
                3 => b.unsqueeze(keep, &[1])?,
                // [batch, 1, longest, longest]: the last rows that there are, the first keys.
                _ => {
                    let keep = b.slice_axis(keep, 2, total - rows, total.clone())?;
                    b.slice_axis(keep, 3, Dim::Known(0), total.clone())?
                }
            }
        }
    };
    zero_or(b, keep, fill, dtype)
}

/// What is common to the forms of attention: operands are [batch, heads, sequence, size].
struct Core<'o> {
    q: ValueId,
    k: ValueId,
    v: ValueId,
    past: &'o Dim,
    scale: Option<f64>,
    mask: Option<ValueId>,
    bias: Option<ValueId>,
    fill: f64,
    causal: bool,
}

fn attend(b: &mut Builder<'_>, c: &Core<'_>) -> R {
    let q_ty = b.tensor_ty(c.q)?;
    let k_ty = b.tensor_ty(c.k)?;
    let ([batch, heads, rows, size], [_, _, total, _]) =
        (q_ty.shape.as_slice(), k_ty.shape.as_slice())
    else {
        return Err(NoDecomposition::Unsupported("q and k are not of rank 4".to_owned()));
    };
    let dtype = q_ty.dtype;
    let scores = row_products(b, c.q, c.k)?;
    let scale = scale_of(b, c.scale, size, dtype)?;
    let mut scores = b.mul(scores, scale)?;
    let mut bias = c.bias;
    if let Some(mask) = c.mask {
        let shape = [batch.clone(), heads.clone(), rows.clone(), total.clone()];
        let m = padding(b, mask, &shape, c.fill, dtype)?;
        bias = Some(add_opt(b, bias, m)?);
    }
    if let Some(bias) = bias {
        scores = b.add(scores, bias)?;
    }
    if c.causal {
        let (r, columns) = positions(b, rows, total, c.past)?;
        let keep = b.less_or_equal(columns, r)?;
        let hidden = b.scalar(dtype, f64::NEG_INFINITY)?;
        scores = b.select(keep, scores, hidden)?;
    }
    let p = b.emit(Softmax { axes: vec![3] }, &[scores])?;
    let y = weighted(b, p, c.v)?;
    join_heads(b, y)
}

/// One part of a packed projection [batch, sequence, heads, parts, size], heads first.
fn unpack(b: &mut Builder<'_>, x: ValueId, part: i64) -> R {
    let x = b.index_axis(x, 3, part)?;
    Ok(b.transpose(x, &[0, 2, 1, 3])?)
}

/// Adds the part [start, end) of a bias over the heads to [batch, heads, sequence, size].
fn add_bias(b: &mut Builder<'_>, x: ValueId, bias: Option<ValueId>, start: &Dim, end: &Dim) -> R {
    let Some(bias) = bias else { return Ok(x) };
    let shape = b.tensor_ty(x)?.shape;
    let [_, heads, _, size] = shape.as_slice() else { return Ok(x) };
    let part = b.slice_axis(bias, 0, start.clone(), end.clone())?;
    let part = b.reshape(part, &[heads.clone(), Dim::Known(1), size.clone()])?;
    Ok(b.add(x, part)?)
}

fn width(b: &Builder<'_>, x: ValueId) -> Result<Dim, NoDecomposition> {
    let shape = b.tensor_ty(x)?.shape;
    Ok(match shape.as_slice() {
        [_, heads, _, size] => heads * size,
        _ => Dim::Any,
    })
}

/// Multi-head attention of com.microsoft.
pub fn multi_head_attention(
    cx: &mut DecomposeCx<'_, '_>,
    op: &MultiHeadAttention,
) -> DecomposeResult {
    let q = cx.x(0)?;
    let (k, v, bias) = (cx.opt(1), cx.opt(2), cx.opt(3));
    let (mask, attention_bias) = (cx.opt(4), cx.opt(5));
    let (past_k, past_v) = (cx.opt(6), cx.opt(7));
    let (wants_k, wants_v) = (cx.wants(1), cx.wants(2));
    let b = &mut *cx.b;
    let mut shared = false;
    let (q, k, v) = match (k, v) {
        (None, _) => (unpack(b, q, 0)?, unpack(b, q, 1)?, unpack(b, q, 2)?),
        (Some(kv), None) => {
            (split_heads(b, q, op.num_heads)?, unpack(b, kv, 0)?, unpack(b, kv, 1)?)
        }
        (Some(k), Some(v)) => {
            // Keys and values with heads first come from elsewhere, their bias included.
            shared = b.tensor_ty(k)?.rank() == 4;
            (
                split_heads(b, q, op.num_heads)?,
                split_heads(b, k, op.num_heads)?,
                split_heads(b, v, op.num_heads)?,
            )
        }
    };
    let (q_width, v_width) = (width(b, q)?, width(b, v)?);
    let twice = &q_width + &q_width;
    let q = add_bias(b, q, bias, &Dim::Known(0), &q_width)?;
    let kv_bias = if shared { None } else { bias };
    let mut k = add_bias(b, k, kv_bias, &q_width, &twice)?;
    let mut v = add_bias(b, v, kv_bias, &twice, &(&twice + &v_width))?;
    let mut past = Dim::Known(0);
    if let (Some(pk), Some(pv)) = (past_k, past_v) {
        past = b.tensor_ty(pk)?.shape.get(2).cloned().unwrap_or(Dim::Known(0));
        k = b.concat(&[pk, k], 2)?;
        v = b.concat(&[pv, v], 2)?;
    }
    let y = attend(
        b,
        &Core {
            q,
            k,
            v,
            past: &past,
            scale: op.scale.map(|s| s.0),
            mask,
            bias: attention_bias,
            fill: op.mask_filter_value.0,
            causal: op.unidirectional,
        },
    )?;
    Ok(vec![Some(y), wants_k.then_some(k), wants_v.then_some(v)])
}

/// Self-attention of com.microsoft.
pub fn packed_attention(cx: &mut DecomposeCx<'_, '_>, op: &PackedAttention) -> DecomposeResult {
    let (x, w) = (cx.x(0)?, cx.x(1)?);
    let (bias, mask, past, attention_bias) = (cx.opt(2), cx.opt(3), cx.opt(4), cx.opt(5));
    let wants_present = cx.wants(1);
    let b = &mut *cx.b;
    let columns = b.tensor_ty(w)?.shape.get(1).cloned().unwrap_or(Dim::Any);
    let Some([hq, hk, hv]) = packed_sizes(op, &columns) else {
        return cx.unsupported("qkv_hidden_sizes wants three sizes");
    };
    let mut all = b.matmul(x, w)?;
    if let Some(bias) = bias {
        all = b.add(all, bias)?;
    }
    let mut start = Dim::Known(0);
    let mut parts = Vec::with_capacity(3);
    for size in [&hq, &hk, &hv] {
        let end = &start + size;
        let part = b.slice_axis(all, 2, start, end.clone())?;
        parts.push(split_heads(b, part, op.num_heads)?);
        start = end;
    }
    let &[q, mut k, mut v] = parts.as_slice() else {
        return cx.unsupported("a projection is missing");
    };
    let mut past_len = Dim::Known(0);
    if let Some(past) = past {
        past_len = b.tensor_ty(past)?.shape.get(3).cloned().unwrap_or(Dim::Known(0));
        let pk = b.index_axis(past, 0, 0)?;
        let pv = b.index_axis(past, 0, 1)?;
        k = b.concat(&[pk, k], 2)?;
        v = b.concat(&[pv, v], 2)?;
    }
    let y = attend(
        b,
        &Core {
            q,
            k,
            v,
            past: &past_len,
            scale: op.scale.map(|s| s.0),
            mask,
            bias: attention_bias,
            fill: op.mask_filter_value.0,
            causal: op.unidirectional,
        },
    )?;
    let present = if wants_present {
        let k = b.unsqueeze(k, &[0])?;
        let v = b.unsqueeze(v, &[0])?;
        Some(b.concat(&[k, v], 0)?)
    } else {
        None
    };
    Ok(vec![Some(y), present])
}

/// Sum of embeddings, layer-normalised.
pub fn embed_layer_normalization(
    cx: &mut DecomposeCx<'_, '_>,
    op: &EmbedLayerNormalization,
) -> DecomposeResult {
    let (ids, word, position) = (cx.x(0)?, cx.x(2)?, cx.x(3)?);
    let (segments, segment) = (cx.opt(1), cx.opt(4));
    let (gamma, beta) = (cx.x(5)?, cx.x(6)?);
    let (mask, position_ids) = (cx.opt(7), cx.opt(8));
    let (wants_index, wants_sum) = (cx.wants(1), cx.wants(2));
    let shape = cx.shape(0)?;
    let [batch, seq] = shape.as_slice() else {
        return cx.unsupported("input_ids is not of rank 2");
    };
    let b = &mut *cx.b;
    let mut sum = b.emit(Gather { axis: 0 }, &[word, ids])?;
    let places = match position_ids {
        Some(ids) => b.emit(Gather { axis: 0 }, &[position, ids])?,
        None => b.slice_axis(position, 0, Dim::Known(0), seq.clone())?,
    };
    sum = b.add(sum, places)?;
    if let (Some(ids), Some(table)) = (segments, segment) {
        let s = b.emit(Gather { axis: 0 }, &[table, ids])?;
        sum = b.add(sum, s)?;
    }
    let dtype = b.tensor_ty(sum)?.dtype;
    let norm = LayerNormalization {
        axis: 2,
        epsilon: op.epsilon,
        stash: matches!(dtype, DType::F16 | DType::BF16).then_some(DType::F32),
    };
    let y = b.emit(norm, &[sum, gamma, beta])?;
    let index = match mask {
        _ if !wants_index => None,
        Some(mask) => {
            let zero = b.scalar_like(mask, 0.0)?;
            let padded = b.equal(mask, zero)?;
            let counts = b.not(padded)?;
            let counts = b.cast(counts, DType::I32)?;
            Some(b.reduce(ReduceKind::Sum, counts, &[1], false)?)
        }
        None => {
            let zero = b.scalar_int(DType::I32, 0)?;
            Some(b.broadcast_to(zero, std::slice::from_ref(batch))?)
        }
    };
    Ok(vec![Some(y), index, wants_sum.then_some(sum)])
}
