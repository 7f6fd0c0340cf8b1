//! infer rules of the attention family.

use super::{InferCx, InferError, InferResult, one};
use crate::dim::{Dim, Shape};
use crate::dtype::DType;
use crate::entity::RegionId;
use crate::op::*;
use crate::types::{TensorType, Type};

type R<T> = Result<T, InferError>;

/// Checks that a tensor is a float other than the 8-bit and narrower ones.
fn float(cx: &InferCx<'_>, ty: &TensorType) -> R<()> {
    let wide = matches!(ty.dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64);
    cx.require_dtype(ty.dtype, wide, "a float of 16 bits or more")
}

fn rank(cx: &InferCx<'_>, ty: &TensorType, want: &[usize], slot: usize, label: &str) -> R<()> {
    cx.require(want.contains(&ty.rank()), label, || {
        format!("operand `{}` has rank {}, not one of {want:?}", cx.slot_name(slot), ty.rank())
    })
}

/// Sizes of an operand seen as [batch, heads, sequence, head].
struct Heads {
    batch: Dim,
    heads: Dim,
    seq: Dim,
    head: Dim,
}

fn heads(cx: &InferCx<'_>, ty: &TensorType, count: Option<i64>, slot: usize) -> R<Heads> {
    match (ty.shape.as_slice(), count) {
        ([batch, heads, seq, head], _) => Ok(Heads {
            batch: batch.clone(),
            heads: heads.clone(),
            seq: seq.clone(),
            head: head.clone(),
        }),
        ([batch, seq, hidden], Some(n)) if n > 0 => {
            cx.require(hidden.as_known().is_none_or(|h| h % n == 0), "attention-c2", || {
                format!("{n} heads do not divide the hidden size of `{}`", cx.slot_name(slot))
            })?;
            Ok(Heads {
                batch: batch.clone(),
                heads: Dim::Known(n),
                seq: seq.clone(),
                head: hidden.floor_div(&Dim::Known(n)),
            })
        }
        ([_, _, _], _) => cx.fail(
            "attention-c2",
            format!("operand `{}` of rank 3 wants a number of heads", cx.slot_name(slot)),
        ),
        _ => cx.fail(
            "attention-c1",
            format!("operand `{}` has rank {}, not 3 or 4", cx.slot_name(slot), ty.rank()),
        ),
    }
}

/// Checks that one head count is a multiple of another, where both are known.
fn grouped(cx: &InferCx<'_>, q: &Dim, kv: &Dim, label: &str) -> R<()> {
    match (q.as_known(), kv.as_known()) {
        (Some(q), Some(kv)) => cx.require(kv > 0 && q % kv == 0, label, || {
            format!("{q} query heads are not a multiple of {kv} key heads")
        }),
        _ => Ok(()),
    }
}

fn merge_all(cx: &InferCx<'_>, dims: &[&Dim]) -> R<Dim> {
    let mut out = Dim::Any;
    for d in dims {
        out = cx.merge_dim(&out, d)?;
    }
    Ok(out)
}

/// Checks that a shape broadcasts to a larger one, where sizes are known. The last axis may
/// also be shorter when `short` says so.
fn broadcasts(cx: &InferCx<'_>, from: &[Dim], to: &[Dim], short: bool, label: &str) -> R<()> {
    cx.require(from.len() <= to.len(), label, || {
        format!("a mask of rank {} for scores of rank {}", from.len(), to.len())
    })?;
    for (i, (a, b)) in from.iter().rev().zip(to.iter().rev()).enumerate() {
        let fits = match (a.as_known(), b.as_known()) {
            (Some(a), Some(b)) => a == b || a == 1 || (i == 0 && short && a < b),
            _ => true,
        };
        cx.require(fits, label, || "the mask does not broadcast to the scores".to_owned())?;
    }
    Ok(())
}

/// Scaled dot-product attention.
pub fn attention(cx: &InferCx<'_>, op: &Attention) -> InferResult {
    let (q, k, v) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
    for ty in [q, k, v] {
        float(cx, ty)?;
    }
    cx.same_dtype(0, 1)?;
    cx.require(q.rank() == k.rank() && k.rank() == v.rank(), "attention-c1", || {
        "q, k and v differ in rank".to_owned()
    })?;
    let (hq, hk, hv) = (
        heads(cx, q, op.q_num_heads, 0)?,
        heads(cx, k, op.kv_num_heads, 1)?,
        heads(cx, v, op.kv_num_heads, 2)?,
    );
    let batch = merge_all(cx, &[&hq.batch, &hk.batch, &hv.batch])?;
    let kv_heads = cx.merge_dim(&hk.heads, &hv.heads)?;
    let seq = cx.merge_dim(&hk.seq, &hv.seq)?;
    let head = cx.merge_dim(&hq.head, &hk.head)?;
    grouped(cx, &hq.heads, &kv_heads, "attention-c3")?;
    cx.require((0..=3).contains(&op.qk_mode), "attention-c4", || {
        format!("qk_mode {} is not within 0 to 3", op.qk_mode)
    })?;
    if let Some(p) = op.softmax_precision {
        float(cx, &TensorType::scalar(p))?;
    }
    let (past_k, past_v) = (cx.opt_tensor(4)?, cx.opt_tensor(5)?);
    cx.require(past_k.is_some() == past_v.is_some(), "attention-c5", || {
        "past_key and past_value come together".to_owned()
    })?;
    let mut total = seq.clone();
    if let (Some(pk), Some(pv)) = (past_k, past_v) {
        rank(cx, pk, &[4], 4, "attention-c5")?;
        rank(cx, pv, &[4], 5, "attention-c5")?;
        cx.same_dtype(1, 4)?;
        cx.same_dtype(2, 5)?;
        let past = cx.merge_dim(&pk.shape[2], &pv.shape[2])?;
        merge_all(cx, &[&batch, &pk.shape[0], &pv.shape[0]])?;
        merge_all(cx, &[&kv_heads, &pk.shape[1], &pv.shape[1]])?;
        cx.merge_dim(&head, &pk.shape[3])?;
        cx.merge_dim(&hv.head, &pv.shape[3])?;
        total = &past + &seq;
    }
    let scores = [batch.clone(), hq.heads.clone(), hq.seq.clone(), total.clone()];
    if let Some(m) = cx.opt_tensor(3)? {
        let fits = m.dtype == DType::Bool || m.dtype.is_float() || m.dtype.is_integer();
        cx.require_dtype(m.dtype, fits, "a bool or a number")?;
        broadcasts(cx, &m.shape, &scores, true, "attention-c6")?;
    }
    if let Some(n) = cx.opt_tensor(6)? {
        rank(cx, n, &[1], 6, "attention-c7")?;
        cx.require_dtype(n.dtype, n.dtype.is_integer(), "an integer")?;
        cx.merge_dim(&batch, &n.shape[0])?;
    }
    let y: Vec<Dim> = if q.rank() == 3 {
        vec![batch.clone(), hq.seq.clone(), &hq.heads * &hv.head]
    } else {
        vec![batch.clone(), hq.heads.clone(), hq.seq.clone(), hv.head.clone()]
    };
    let present = |head: &Dim| [batch.clone(), kv_heads.clone(), total.clone(), head.clone()];
    Ok(vec![
        Type::tensor(q.dtype, y),
        Type::tensor(k.dtype, present(&head)),
        Type::tensor(v.dtype, present(&hv.head)),
        Type::tensor(q.dtype, scores),
    ])
}

/// Rotary position embedding.
pub fn rotary_embedding(cx: &InferCx<'_>, op: &RotaryEmbedding) -> InferResult {
    let (x, cos, sin) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
    float(cx, x)?;
    rank(cx, x, &[3, 4], 0, "rotary_embedding-c1")?;
    cx.same_dtype(0, 1)?;
    cx.same_dtype(0, 2)?;
    let (seq_axis, head) = match x.shape.as_slice() {
        [_, _, hidden] => {
            cx.require(op.num_heads > 0, "rotary_embedding-c2", || {
                "an operand of rank 3 wants a number of heads".to_owned()
            })?;
            let fits = hidden.as_known().is_none_or(|h| h % op.num_heads == 0);
            cx.require(fits, "rotary_embedding-c2", || {
                format!("{} heads do not divide the hidden size", op.num_heads)
            })?;
            (1, hidden.floor_div(&Dim::Known(op.num_heads)))
        }
        shape => (2, shape.last().cloned().unwrap_or(Dim::Any)),
    };
    cx.require(op.rotary_dim >= 0 && op.rotary_dim % 2 == 0, "rotary_embedding-c3", || {
        format!("rotary_dim {} is negative or odd", op.rotary_dim)
    })?;
    let rotated = if op.rotary_dim == 0 { head.clone() } else { Dim::Known(op.rotary_dim) };
    let fits = match (rotated.as_known(), head.as_known()) {
        (Some(r), Some(h)) => r <= h && r % 2 == 0,
        _ => true,
    };
    cx.require(fits, "rotary_embedding-c3", || {
        format!("a rotated part of {rotated:?} of a head of {head:?}")
    })?;
    let half = rotated.floor_div(&Dim::Known(2));
    let table = cx.merge_shape(&cos.shape, &sin.shape)?;
    let (batch, seq) = (&x.shape[0], &x.shape[seq_axis]);
    match cx.opt_tensor(3)? {
        Some(ids) => {
            cx.require_dtype(ids.dtype, ids.dtype.is_integer(), "an integer")?;
            rank(cx, cos, &[2], 1, "rotary_embedding-c4")?;
            rank(cx, ids, &[1, 2], 3, "rotary_embedding-c4")?;
            if let [b, s] = ids.shape.as_slice() {
                cx.merge_dim(batch, b)?;
                cx.merge_dim(seq, s)?;
            } else {
                cx.merge_dim(&ids.shape[0], &Dim::Known(1))?;
            }
        }
        None => {
            rank(cx, cos, &[3], 1, "rotary_embedding-c4")?;
            broadcasts(
                cx,
                &table[..2],
                &[batch.clone(), seq.clone()],
                false,
                "rotary_embedding-c4",
            )?;
        }
    }
    if let Some(last) = table.last() {
        cx.merge_dim(&half, last)?;
    }
    one(x.clone())
}

/// Linear attention with recurrent state.
pub fn linear_attention(cx: &InferCx<'_>, op: &LinearAttention) -> InferResult {
    let (q, k, v) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
    for (slot, ty) in [q, k, v].into_iter().enumerate() {
        float(cx, ty)?;
        rank(cx, ty, &[3], slot, "linear_attention-c1")?;
    }
    cx.same_dtype(0, 1)?;
    cx.same_dtype(0, 2)?;
    let (nq, nkv) = (op.q_num_heads, op.kv_num_heads);
    cx.require(nkv > 0 && nq > 0 && nq % nkv == 0, "linear_attention-c2", || {
        format!("{nq} query heads are not a positive multiple of {nkv} key heads")
    })?;
    let hq = heads(cx, q, Some(nq), 0)?;
    let hk = heads(cx, k, Some(nkv), 1)?;
    let hv = heads(cx, v, Some(nkv), 2)?;
    let batch = merge_all(cx, &[&hq.batch, &hk.batch, &hv.batch])?;
    let steps = merge_all(cx, &[&hq.seq, &hk.seq, &hv.seq])?;
    let dk = cx.merge_dim(&hq.head, &hk.head)?;
    let gated =
        matches!(op.update_rule, LinearAttentionRule::Gated | LinearAttentionRule::GatedDelta);
    let delta =
        matches!(op.update_rule, LinearAttentionRule::Delta | LinearAttentionRule::GatedDelta);
    let (decay, beta) = (cx.opt_tensor(4)?, cx.opt_tensor(5)?);
    cx.require(decay.is_some() == gated, "linear_attention-c3", || {
        format!("rule {} and operand `decay` do not fit", op.update_rule.as_str())
    })?;
    cx.require(beta.is_some() == delta, "linear_attention-c4", || {
        format!("rule {} and operand `beta` do not fit", op.update_rule.as_str())
    })?;
    for (slot, ty) in [(4, decay), (5, beta)] {
        if let Some(ty) = ty {
            float(cx, ty)?;
            rank(cx, ty, &[3], slot, "linear_attention-c5")?;
            cx.merge_dim(&batch, &ty.shape[0])?;
            cx.merge_dim(&steps, &ty.shape[1])?;
        }
    }
    if let Some(n) = decay.and_then(|d| d.shape[2].as_known()) {
        let wide = dk.as_known().is_none_or(|d| n == d.saturating_mul(nkv));
        cx.require(n == nkv || wide, "linear_attention-c5", || format!("decay has {n} columns"))?;
    }
    if let Some(n) = beta.and_then(|d| d.shape[2].as_known()) {
        cx.require(n == nkv || n == 1, "linear_attention-c5", || format!("beta has {n} columns"))?;
    }
    let state = [batch.clone(), Dim::Known(nkv), dk, hv.head.clone()];
    let state_dtype = match cx.opt_tensor(3)? {
        Some(past) => {
            float(cx, past)?;
            cx.merge_shape(&past.shape, &state)?;
            past.dtype
        }
        None => q.dtype,
    };
    Ok(vec![
        Type::tensor(q.dtype, [batch, steps, &Dim::Known(nq) * &hv.head]),
        Type::tensor(state_dtype, state),
    ])
}

/// Attention with regions.
pub fn flex_attention(cx: &InferCx<'_>, op: &FlexAttention) -> InferResult {
    let (q, k, v) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
    for (slot, ty) in [q, k, v].into_iter().enumerate() {
        float(cx, ty)?;
        rank(cx, ty, &[4], slot, "flex_attention-c1")?;
        cx.same_dtype(0, slot)?;
    }
    let batch = merge_all(cx, &[&q.shape[0], &k.shape[0], &v.shape[0]])?;
    let kv_heads = cx.merge_dim(&k.shape[1], &v.shape[1])?;
    grouped(cx, &q.shape[1], &kv_heads, "flex_attention-c2")?;
    let seq = cx.merge_dim(&k.shape[2], &v.shape[2])?;
    cx.merge_dim(&q.shape[3], &k.shape[3])?;
    let dtype = flex_precision(op, q.dtype);
    float(cx, &TensorType::scalar(dtype))?;
    let scores =
        TensorType::new(dtype, [batch.clone(), q.shape[1].clone(), q.shape[2].clone(), seq]);
    for region in [op.score_mod, op.prob_mod].into_iter().flatten() {
        modifier(cx, region, &scores)?;
    }
    one(TensorType::new(
        q.dtype,
        [batch, q.shape[1].clone(), q.shape[2].clone(), v.shape[3].clone()],
    ))
}

/// The dtype in which scores and probabilities of a flex attention are computed.
pub(crate) fn flex_precision(op: &FlexAttention, q: DType) -> DType {
    op.softmax_precision.unwrap_or(if q == DType::F64 { DType::F64 } else { DType::F32 })
}

fn modifier(cx: &InferCx<'_>, region: RegionId, scores: &TensorType) -> R<()> {
    let (params, results) = (cx.region_params(region)?, cx.region_results(region)?);
    let captures = cx.operand_count().saturating_sub(3);
    cx.require(params.len() == 1 + captures && results.len() == 1, "flex_attention-c3", || {
        format!(
            "a region takes the scores and {captures} captures and gives one result, not {} and {}",
            params.len(),
            results.len()
        )
    })?;
    for ty in params.iter().take(1).chain(&results) {
        if let Type::Tensor(t) = ty {
            cx.require(t.dtype == scores.dtype, "flex_attention-c3", || {
                format!("a region works in {}, not {}", t.dtype, scores.dtype)
            })?;
            cx.require(t.rank() == 4, "flex_attention-c3", || {
                format!("a region works at rank {}, not 4", t.rank())
            })?;
        }
    }
    Ok(())
}

/// Multi-head attention of com.microsoft.
pub fn multi_head_attention(cx: &InferCx<'_>, op: &MultiHeadAttention) -> InferResult {
    let q = cx.tensor(0)?;
    float(cx, q)?;
    let n = op.num_heads;
    cx.require(n > 0, "multi_head_attention-c1", || format!("{n} heads"))?;
    let nd = Dim::Known(n);
    let (k, v) = (cx.opt_tensor(1)?, cx.opt_tensor(2)?);
    // Sizes: batch, query length, key length, key head, value head.
    let (batch, seq, kv_seq, head, v_head) = match (q.rank(), k, v) {
        (5, None, None) => {
            cx.merge_dim(&q.shape[2], &nd)?;
            cx.merge_dim(&q.shape[3], &Dim::Known(3))?;
            let [b, s, h] = [&q.shape[0], &q.shape[1], &q.shape[4]].map(Dim::clone);
            (b, s.clone(), s, h.clone(), h)
        }
        (3, Some(k), None) => {
            rank(cx, k, &[5], 1, "multi_head_attention-c2")?;
            cx.merge_dim(&k.shape[2], &nd)?;
            cx.merge_dim(&k.shape[3], &Dim::Known(2))?;
            let batch = cx.merge_dim(&q.shape[0], &k.shape[0])?;
            let head = cx.merge_dim(&q.shape[2].floor_div(&nd), &k.shape[4])?;
            (batch, q.shape[1].clone(), k.shape[1].clone(), head.clone(), head)
        }
        (3, Some(k), Some(v)) => {
            rank(cx, k, &[3, 4], 1, "multi_head_attention-c2")?;
            rank(cx, v, &[k.rank()], 2, "multi_head_attention-c2")?;
            let hq = heads(cx, q, Some(n), 0)?;
            let (hk, hv) = (heads(cx, k, Some(n), 1)?, heads(cx, v, Some(n), 2)?);
            let batch = merge_all(cx, &[&hq.batch, &hk.batch, &hv.batch])?;
            let kv_seq = cx.merge_dim(&hk.seq, &hv.seq)?;
            let head = cx.merge_dim(&hq.head, &hk.head)?;
            (batch, hq.seq, kv_seq, head, hv.head)
        }
        _ => {
            return cx.fail(
                "multi_head_attention-c2",
                "wants q, k and v; q and packed k and v of rank 5; or all packed in rank 5",
            );
        }
    };
    if let Some(b) = cx.opt_tensor(3)? {
        rank(cx, b, &[1], 3, "multi_head_attention-c3")?;
        let width = &(&(&head + &head) + &v_head) * &nd;
        cx.merge_dim(&b.shape[0], &width)?;
    }
    if let Some(m) = cx.opt_tensor(4)? {
        rank(cx, m, &[1, 2, 3], 4, "multi_head_attention-c4")?;
        cx.require_dtype(m.dtype, m.dtype.is_integer(), "an integer")?;
    }
    let mut total = kv_seq;
    match (cx.opt_tensor(6)?, cx.opt_tensor(7)?) {
        (Some(pk), Some(pv)) => {
            rank(cx, pk, &[4], 6, "multi_head_attention-c5")?;
            rank(cx, pv, &[4], 7, "multi_head_attention-c5")?;
            total = &total + &pk.shape[2];
        }
        (None, None) => {}
        _ => {
            return cx.fail("multi_head_attention-c5", "past_key and past_value come together");
        }
    }
    if let Some(a) = cx.opt_tensor(5)? {
        let scores = [batch.clone(), nd.clone(), seq.clone(), total.clone()];
        broadcasts(cx, &a.shape, &scores, false, "multi_head_attention-c6")?;
    }
    let present = |head: &Dim| [batch.clone(), nd.clone(), total.clone(), head.clone()];
    Ok(vec![
        Type::tensor(q.dtype, [batch.clone(), seq, &nd * &v_head]),
        Type::tensor(q.dtype, present(&head)),
        Type::tensor(q.dtype, present(&v_head)),
    ])
}

/// Sizes of the q, k and v projections of a packed attention.
pub(crate) fn packed_sizes(op: &PackedAttention, columns: &Dim) -> Option<[Dim; 3]> {
    match *op.qkv_hidden_sizes.as_slice() {
        [] => {
            let third = columns.floor_div(&Dim::Known(3));
            Some([third.clone(), third.clone(), third])
        }
        [q, k, v] => Some([q, k, v].map(Dim::Known)),
        _ => None,
    }
}

/// Self-attention of com.microsoft.
pub fn packed_attention(cx: &InferCx<'_>, op: &PackedAttention) -> InferResult {
    let (x, w) = (cx.tensor(0)?, cx.tensor(1)?);
    float(cx, x)?;
    cx.same_dtype(0, 1)?;
    rank(cx, x, &[3], 0, "packed_attention-c1")?;
    rank(cx, w, &[2], 1, "packed_attention-c1")?;
    cx.merge_dim(&x.shape[2], &w.shape[0])?;
    let n = op.num_heads;
    cx.require(n > 0, "packed_attention-c2", || format!("{n} heads"))?;
    let Some([hq, hk, hv]) = packed_sizes(op, &w.shape[1]) else {
        return cx.fail("packed_attention-c3", "qkv_hidden_sizes wants three sizes");
    };
    cx.merge_dim(&hq, &hk)?;
    for h in [&hq, &hv] {
        cx.require(
            h.as_known().is_none_or(|h| h > 0 && h % n == 0),
            "packed_attention-c3",
            || format!("{n} heads do not divide {h:?}"),
        )?;
    }
    let columns = &(&hq + &hk) + &hv;
    cx.merge_dim(&columns, &w.shape[1])?;
    if let Some(b) = cx.opt_tensor(2)? {
        rank(cx, b, &[1], 2, "packed_attention-c4")?;
        cx.merge_dim(&columns, &b.shape[0])?;
    }
    if let Some(m) = cx.opt_tensor(3)? {
        rank(cx, m, &[1, 2, 3, 4], 3, "packed_attention-c5")?;
        cx.require_dtype(m.dtype, m.dtype.is_integer(), "an integer")?;
    }
    let nd = Dim::Known(n);
    let (batch, seq) = (x.shape[0].clone(), x.shape[1].clone());
    let (head, v_head) = (hq.floor_div(&nd), hv.floor_div(&nd));
    let mut total = seq.clone();
    if let Some(past) = cx.opt_tensor(4)? {
        rank(cx, past, &[5], 4, "packed_attention-c6")?;
        cx.merge_dim(&past.shape[0], &Dim::Known(2))?;
        cx.merge_dim(&head, &v_head)?;
        cx.merge_dim(&past.shape[4], &head)?;
        total = &total + &past.shape[3];
    }
    if let Some(a) = cx.opt_tensor(5)? {
        let scores = [batch.clone(), nd.clone(), seq.clone(), total.clone()];
        broadcasts(cx, &a.shape, &scores, false, "packed_attention-c7")?;
    }
    Ok(vec![
        Type::tensor(x.dtype, [batch.clone(), seq, hv]),
        Type::tensor(x.dtype, [Dim::Known(2), batch, nd, total, head]),
    ])
}

/// Sum of embeddings, layer-normalised.
pub fn embed_layer_normalization(cx: &InferCx<'_>, op: &EmbedLayerNormalization) -> InferResult {
    let ids = cx.tensor(0)?;
    rank(cx, ids, &[2], 0, "embed_layer_normalization-c1")?;
    let word = cx.tensor(2)?;
    float(cx, word)?;
    let mut hidden = Dim::Any;
    for slot in [2, 3, 4] {
        if let Some(table) = cx.opt_tensor(slot)? {
            rank(cx, table, &[2], slot, "embed_layer_normalization-c2")?;
            cx.same_dtype(2, slot)?;
            hidden = cx.merge_dim(&hidden, &table.shape[1])?;
        }
    }
    cx.require(cx.opt(1).is_some() == cx.opt(4).is_some(), "embed_layer_normalization-c3", || {
        "segment_ids and the segment table come together".to_owned()
    })?;
    for slot in [5, 6] {
        let ty = cx.tensor(slot)?;
        rank(cx, ty, &[1], slot, "embed_layer_normalization-c4")?;
        hidden = cx.merge_dim(&hidden, &ty.shape[0])?;
    }
    let mut shape: Shape = ids.shape.clone();
    for slot in [0, 1, 7, 8] {
        if let Some(ty) = cx.opt_tensor(slot)? {
            cx.require_dtype(ty.dtype, ty.dtype.is_integer(), "an integer")?;
            rank(cx, ty, &[2], slot, "embed_layer_normalization-c5")?;
            cx.merge_dim(&shape[1], &ty.shape[1])?;
            if slot != 8 || ty.shape[0].as_known() != Some(1) {
                cx.merge_dim(&shape[0], &ty.shape[0])?;
            }
        }
    }
    cx.require((0..=1).contains(&op.mask_index_type), "embed_layer_normalization-c6", || {
        format!("mask_index_type {} is neither 0 nor 1", op.mask_index_type)
    })?;
    let batch = shape[0].clone();
    shape.push(hidden);
    let y = TensorType::new(word.dtype, shape);
    Ok(vec![y.clone().into(), Type::tensor(DType::I32, [batch]), y.into()])
}
