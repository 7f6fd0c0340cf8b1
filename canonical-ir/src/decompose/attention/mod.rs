//! decompose rules of the attention family.

mod contrib;

pub use contrib::{embed_layer_normalization, multi_head_attention, packed_attention};

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::builder::Builder;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::{RegionId, ValueId};
use crate::infer::attention::flex_precision;
use crate::op::*;
use crate::types::Type;

type R = Result<ValueId, NoDecomposition>;

/// [batch, sequence, heads * size] as [batch, heads, sequence, size]; rank 4 stays.
fn split_heads(b: &mut Builder<'_>, x: ValueId, heads: i64) -> R {
    let shape = b.tensor_ty(x)?.shape;
    let [batch, seq, hidden] = shape.as_slice() else { return Ok(x) };
    let size = hidden.floor_div(&Dim::Known(heads.max(1)));
    let wide = b.reshape(x, &[batch.clone(), seq.clone(), Dim::Known(heads), size])?;
    Ok(b.transpose(wide, &[0, 2, 1, 3])?)
}

/// [batch, heads, sequence, size] as [batch, sequence, heads * size].
fn join_heads(b: &mut Builder<'_>, x: ValueId) -> R {
    let y = b.transpose(x, &[0, 2, 1, 3])?;
    let shape = b.tensor_ty(y)?.shape;
    let [batch, seq, heads, size] = shape.as_slice() else { return Ok(y) };
    Ok(b.reshape(y, &[batch.clone(), seq.clone(), heads * size])?)
}

/// Repeats each head of [batch, heads, sequence, size] so that there are as many as asked.
fn repeat_heads(b: &mut Builder<'_>, x: ValueId, want: &Dim) -> R {
    let shape = b.tensor_ty(x)?.shape;
    let [batch, heads, seq, size] = shape.as_slice() else { return Ok(x) };
    if heads == want {
        return Ok(x);
    }
    let times = want.floor_div(heads);
    let [batch, heads, seq, size] = [batch, heads, seq, size].map(Dim::clone);
    let y = b.unsqueeze(x, &[2])?;
    let wide = [batch.clone(), heads, times, seq.clone(), size.clone()];
    let y = b.broadcast_to(y, &wide)?;
    Ok(b.reshape(y, &[batch, want.clone(), seq, size])?)
}

/// Products of the rows of [batch, heads, m, size] with those of [batch, heads, n, size].
fn row_products(b: &mut Builder<'_>, q: ValueId, k: ValueId) -> R {
    let op = Contract {
        lhs_batch: vec![0, 1],
        rhs_batch: vec![0, 1],
        lhs_contract: vec![3],
        rhs_contract: vec![3],
    };
    Ok(b.emit(op, &[q, k])?)
}

/// Weighted sums of the rows of [batch, heads, n, size].
fn weighted(b: &mut Builder<'_>, weights: ValueId, v: ValueId) -> R {
    let op = Contract {
        lhs_batch: vec![0, 1],
        rhs_batch: vec![0, 1],
        lhs_contract: vec![3],
        rhs_contract: vec![2],
    };
    Ok(b.emit(op, &[weights, v])?)
}

/// The square root of the scale, given or 1 / sqrt(size), as a scalar. It is computed in f32
/// (f64 for f64) and rounded to the dtype.
fn root_scale(b: &mut Builder<'_>, scale: Option<f64>, size: &Dim, dtype: DType) -> R {
    let work = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let known = match (scale, size.as_known()) {
        (Some(s), _) => Some(s),
        (None, Some(n)) if work == DType::F64 => Some(1.0 / (n as f64).sqrt()),
        (None, Some(n)) => Some(f64::from(1.0 / (n as f32).sqrt())),
        (None, None) => None,
    };
    Ok(match known {
        Some(s) if work == DType::F64 => b.scalar(dtype, s.sqrt())?,
        Some(s) => b.scalar(dtype, f64::from((s as f32).sqrt()))?,
        None => {
            let n = b.dim_scalar(size)?;
            let n = b.cast(n, work)?;
            let root = b.sqrt(n)?;
            let one = b.scalar(work, 1.0)?;
            let s = b.div(one, root)?;
            let s = b.sqrt(s)?;
            b.cast(s, dtype)?
        }
    })
}

/// Column numbers 0, 1 ... as [1, columns], and row numbers plus an offset as [rows, 1].
fn positions(
    b: &mut Builder<'_>,
    rows: &Dim,
    columns: &Dim,
    offset: &Dim,
) -> Result<(ValueId, ValueId), NoDecomposition> {
    let r = b.iota(DType::I64, rows.clone())?;
    let r = if offset.as_known() == Some(0) {
        r
    } else {
        let offset = b.dim_scalar(offset)?;
        b.add(r, offset)?
    };
    let r = b.reshape(r, &[rows.clone(), Dim::Known(1)])?;
    let c = b.iota(DType::I64, columns.clone())?;
    let c = b.reshape(c, &[Dim::Known(1), columns.clone()])?;
    Ok((r, c))
}

/// 0 where a condition holds, a value elsewhere.
fn zero_or(b: &mut Builder<'_>, keep: ValueId, other: f64, dtype: DType) -> R {
    let zero = b.scalar(dtype, 0.0)?;
    let other = b.scalar(dtype, other)?;
    Ok(b.select(keep, zero, other)?)
}

fn add_opt(b: &mut Builder<'_>, sum: Option<ValueId>, x: ValueId) -> R {
    Ok(match sum {
        Some(sum) => b.add(sum, x)?,
        None => x,
    })
}

/// A mask as a summand of the scores, filled up with -inf to the length of the keys.
fn mask_bias(b: &mut Builder<'_>, mask: ValueId, total: &Dim, dtype: DType) -> R {
    let ty = b.tensor_ty(mask)?;
    let bias = if ty.dtype == DType::Bool {
        zero_or(b, mask, f64::NEG_INFINITY, dtype)?
    } else {
        b.cast(mask, dtype)?
    };
    let Some(last) = ty.shape.last() else { return Ok(bias) };
    let missing = total - last;
    if missing.as_known().is_some_and(|m| m <= 0) {
        return Ok(bias);
    }
    let low = vec![Dim::Known(0); ty.rank()];
    let mut high = low.clone();
    if let Some(end) = high.last_mut() {
        *end = missing;
    }
    let value = b.scalar(dtype, f64::NEG_INFINITY)?;
    Ok(b.emit(Pad { low, high, mode: PadMode::Constant }, &[bias, value])?)
}

/// Scaled dot-product attention.
pub fn attention(cx: &mut DecomposeCx<'_, '_>, op: &Attention) -> DecomposeResult {
    let (dtype, v_dtype) = (cx.dtype(0)?, cx.dtype(2)?);
    let flat = cx.ty(0)?.rank() == 3;
    let (q, k, v) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let q = split_heads(cx.b, q, op.q_num_heads.unwrap_or(1))?;
    let mut k = split_heads(cx.b, k, op.kv_num_heads.unwrap_or(1))?;
    let mut v = split_heads(cx.b, v, op.kv_num_heads.unwrap_or(1))?;
    let mut past = Dim::Known(0);
    if let (Some(pk), Some(pv)) = (cx.opt(4), cx.opt(5)) {
        past = cx.shape(4)?.get(2).cloned().unwrap_or(Dim::Known(0));
        k = cx.b.concat(&[pk, k], 2)?;
        v = cx.b.concat(&[pv, v], 2)?;
    }
    let (present_k, present_v) = (k, v);
    let (wants_k, wants_v, wants_qk) = (cx.wants(1), cx.wants(2), cx.wants(3));
    let mask = cx.opt(3);
    let valid = cx.opt(6);
    let b = &mut *cx.b;

    let q_shape = b.tensor_ty(q)?.shape;
    let k_shape = b.tensor_ty(k)?.shape;
    let ([batch, q_heads, rows, size], [_, _, total, _]) = (q_shape.as_slice(), k_shape.as_slice())
    else {
        return cx.unsupported("q and k are not of rank 3 or 4");
    };
    let k = repeat_heads(b, k, q_heads)?;
    let v = repeat_heads(b, v, q_heads)?;
    let (q, k) = if op.scale.is_some_and(|s| s.0 == 1.0) {
        (q, k)
    } else {
        let root = root_scale(b, op.scale.map(|s| s.0), size, dtype)?;
        (b.mul(q, root)?, b.mul(k, root)?)
    };
    let raw = row_products(b, q, k)?;
    let capped = if op.softcap.0 > 0.0 {
        let cap = b.scalar(dtype, op.softcap.0)?;
        let t = b.div(raw, cap)?;
        let t = b.tanh(t)?;
        b.mul(t, cap)?
    } else {
        raw
    };

    let mut bias = None;
    if let Some(mask) = mask {
        bias = Some(mask_bias(b, mask, total, dtype)?);
    }
    if op.is_causal {
        let (r, c) = positions(b, rows, total, &past)?;
        let keep = b.less_or_equal(c, r)?;
        let m = zero_or(b, keep, f64::NEG_INFINITY, dtype)?;
        bias = Some(add_opt(b, bias, m)?);
    }
    if let Some(valid) = valid {
        let c = b.iota(DType::I64, total.clone())?;
        let c = b.reshape(c, &[Dim::Known(1), Dim::Known(1), Dim::Known(1), total.clone()])?;
        let n = b.cast(valid, DType::I64)?;
        let n = b.reshape(n, &[batch.clone(), Dim::Known(1), Dim::Known(1), Dim::Known(1)])?;
        let keep = b.less(c, n)?;
        let m = zero_or(b, keep, f64::NEG_INFINITY, dtype)?;
        bias = Some(add_opt(b, bias, m)?);
    }
    let masked = match bias {
        Some(bias) => b.add(capped, bias)?,
        None => capped,
    };
    let work = op.softmax_precision.unwrap_or(dtype);
    let s = b.cast(masked, work)?;
    let s = b.emit(Softmax { axes: vec![3] }, &[s])?;
    let probabilities = b.cast(s, dtype)?;
    let weights = b.cast(probabilities, v_dtype)?;
    let y = weighted(b, weights, v)?;
    let y = b.cast(y, dtype)?;
    let y = if flat { join_heads(b, y)? } else { y };
    let qk = match op.qk_mode {
        0 => raw,
        1 => capped,
        2 => masked,
        _ => probabilities,
    };
    Ok(vec![
        Some(y),
        wants_k.then_some(present_k),
        wants_v.then_some(present_v),
        wants_qk.then_some(qk),
    ])
}

/// Rotary position embedding.
pub fn rotary_embedding(cx: &mut DecomposeCx<'_, '_>, op: &RotaryEmbedding) -> DecomposeResult {
    let (x, mut cos, mut sin) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let ids = cx.opt(3);
    let full = cx.shape(0)?;
    let b = &mut *cx.b;
    // With rank 3 the heads stay behind the sequence: [batch, sequence, heads, size].
    let (x, head_axis, seq) = match full.as_slice() {
        [batch, seq, hidden] => {
            let size = hidden.floor_div(&Dim::Known(op.num_heads.max(1)));
            let dims = [batch.clone(), seq.clone(), Dim::Known(op.num_heads), size];
            (b.reshape(x, &dims)?, 2, seq.clone())
        }
        [_, _, seq, _] => (x, 1, seq.clone()),
        _ => return cx.unsupported("x is not of rank 3 or 4"),
    };
    let shape = b.tensor_ty(x)?.shape;
    let size = shape.last().cloned().unwrap_or(Dim::Known(0));
    if let Some(ids) = ids {
        let ids = if b.tensor_ty(ids)?.rank() == 1 {
            let steps = b.iota(DType::I64, seq.clone())?;
            let first = b.cast(ids, DType::I64)?;
            let ids = b.add(steps, first)?;
            b.reshape(ids, &[Dim::Known(1), seq])?
        } else {
            ids
        };
        cos = b.emit(Gather { axis: 0 }, &[cos, ids])?;
        sin = b.emit(Gather { axis: 0 }, &[sin, ids])?;
    }
    let cos = b.unsqueeze(cos, &[head_axis])?;
    let sin = b.unsqueeze(sin, &[head_axis])?;
    let rotated = if op.rotary_dim == 0 { size.clone() } else { Dim::Known(op.rotary_dim) };
    let half = rotated.floor_div(&Dim::Known(2));
    let part = |b: &mut Builder<'_>, start: Dim, end: Dim, step: i64| {
        b.emit(
            Slice { axes: vec![3], starts: vec![start], ends: vec![end], steps: vec![step] },
            &[x],
        )
    };
    let (x1, x2) = if op.interleaved {
        (part(b, Dim::Known(0), rotated.clone(), 2)?, part(b, Dim::Known(1), rotated.clone(), 2)?)
    } else {
        (part(b, Dim::Known(0), half.clone(), 1)?, part(b, half.clone(), rotated.clone(), 1)?)
    };
    let (a, c) = (b.mul(cos, x1)?, b.mul(sin, x2)?);
    let re = b.sub(a, c)?;
    let (a, c) = (b.mul(sin, x1)?, b.mul(cos, x2)?);
    let im = b.add(a, c)?;
    let turned = if op.interleaved {
        let re = b.unsqueeze(re, &[4])?;
        let im = b.unsqueeze(im, &[4])?;
        let pairs = b.concat(&[re, im], 4)?;
        let mut dims = shape.clone();
        if let Some(last) = dims.last_mut() {
            *last = rotated.clone();
        }
        b.reshape(pairs, &dims)?
    } else {
        b.concat(&[re, im], 3)?
    };
    let y = if rotated == size {
        turned
    } else {
        let rest = part(b, rotated, size, 1)?;
        b.concat(&[turned, rest], 3)?
    };
    one(b.reshape(y, &full)?)
}

/// Linear attention: a loop over the steps that carries the state in f32.
pub fn linear_attention(cx: &mut DecomposeCx<'_, '_>, op: &LinearAttention) -> DecomposeResult {
    let dtype = cx.dtype(0)?;
    let (nq, nkv) = (op.q_num_heads, op.kv_num_heads.max(1));
    let (q_shape, v_shape) = (cx.shape(0)?, cx.shape(2)?);
    let ([batch, steps, q_width], [_, _, v_width]) = (q_shape.as_slice(), v_shape.as_slice())
    else {
        return cx.unsupported("q, k and v are not of rank 3");
    };
    let [heads, group] = [Dim::Known(nkv), Dim::Known(nq / nkv)];
    let key = q_width.floor_div(&Dim::Known(nq.max(1)));
    let size = v_width.floor_div(&heads);
    let (q, k, v) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let (past, decay, beta) = (cx.opt(3), cx.opt(4), cx.opt(5));
    let state_dtype = match past {
        Some(_) => cx.dtype(3)?,
        None => dtype,
    };
    let b = &mut *cx.b;
    // Every operand as [steps, batch, heads, ...] in f32, so that a step is one slice.
    let by_step = |b: &mut Builder<'_>, x: ValueId, tail: &[Dim]| -> R {
        let x = b.cast(x, DType::F32)?;
        let x = b.transpose(x, &[1, 0, 2])?;
        let mut dims = vec![steps.clone(), batch.clone()];
        dims.extend_from_slice(tail);
        Ok(b.reshape(x, &dims)?)
    };
    let scale = match (op.scale.0, key.as_known()) {
        (0.0, Some(n)) => b.scalar(DType::F32, 1.0 / (n as f64).sqrt())?,
        (0.0, None) => {
            let n = b.dim_scalar(&key)?;
            let n = b.cast(n, DType::F32)?;
            let n = b.sqrt(n)?;
            let one = b.scalar(DType::F32, 1.0)?;
            b.div(one, n)?
        }
        (s, _) => b.scalar(DType::F32, s)?,
    };
    let q = by_step(b, q, &[heads.clone(), group, key.clone()])?;
    let k = by_step(b, k, &[heads.clone(), key.clone()])?;
    let v = by_step(b, v, &[heads.clone(), size.clone()])?;
    let mut captures = vec![q, k, v, scale];
    if let Some(g) = decay {
        let width = b.tensor_ty(g)?.shape.get(2).cloned().unwrap_or(Dim::Any);
        let tail = if width == heads { Dim::Known(1) } else { width.floor_div(&heads) };
        let g = by_step(b, g, &[heads.clone(), tail])?;
        captures.push(b.exp(g)?);
    }
    if let Some(r) = beta {
        let width = b.tensor_ty(r)?.shape.get(2).cloned().unwrap_or(Dim::Any);
        captures.push(by_step(b, r, &[width, Dim::Known(1)])?);
    }
    let state_dims = [batch.clone(), heads, key.clone(), size.clone()];
    let state = match past {
        Some(past) => b.cast(past, DType::F32)?,
        None => {
            let zero = b.scalar(DType::F32, 0.0)?;
            b.broadcast_to(zero, &state_dims)?
        }
    };
    let state = b.reshape(state, &state_dims)?;

    let mut params = vec![
        Type::tensor(DType::I64, []),
        Type::tensor(DType::Bool, []),
        Type::tensor(DType::F32, state_dims.clone()),
    ];
    params.extend(captures.iter().map(|&v| b.ty(v).clone()));
    let (body, p) = b.new_region(&params);
    let results = b.in_region(body, |b| linear_step(b, &p, decay.is_some(), beta.is_some()))?;
    b.set_results(body, &results);

    let count = b.dim_scalar(steps)?;
    let mut operands = vec![Some(count), None, Some(state)];
    operands.extend(captures.into_iter().map(Some));
    let out = b.emit_all(Loop { body, carried: 1 }, &operands)?;
    let [state, stacked] = out.as_slice() else {
        return cx.unsupported("the loop has other results than a state and the outputs");
    };
    let wide = [steps.clone(), batch.clone(), &Dim::Known(nq) * &size];
    let y = b.reshape(*stacked, &wide)?;
    let y = b.transpose(y, &[1, 0, 2])?;
    let y = b.cast(y, dtype)?;
    let state = b.cast(*state, state_dtype)?;
    Ok(vec![Some(y), Some(state)])
}

fn linear_step(
    b: &mut Builder<'_>,
    p: &[ValueId],
    gated: bool,
    delta: bool,
) -> Result<Vec<ValueId>, NoDecomposition> {
    let &[step, going, mut state, q, k, v, scale, ref rest @ ..] = p else {
        return Err(NoDecomposition::Unsupported("the loop lacks operands".to_owned()));
    };
    let mut rest = rest.iter().copied();
    let at = |b: &mut Builder<'_>, x: ValueId| b.emit(Gather { axis: 0 }, &[x, step]);
    let (q, k, mut v) = (at(b, q)?, at(b, k)?, at(b, v)?);
    let decay = if gated { rest.next() } else { None };
    if let Some(g) = decay {
        let g = at(b, g)?;
        let g = b.unsqueeze(g, &[3])?;
        state = b.mul(state, g)?;
    }
    let rate = if delta { rest.next() } else { None };
    if let Some(r) = rate {
        let op = Contract {
            lhs_batch: vec![0, 1],
            rhs_batch: vec![0, 1],
            lhs_contract: vec![2],
            rhs_contract: vec![2],
        };
        let found = b.emit(op, &[k, state])?;
        let gap = b.sub(v, found)?;
        let r = at(b, r)?;
        v = b.mul(r, gap)?;
    }
    let kk = b.unsqueeze(k, &[3])?;
    let vv = b.unsqueeze(v, &[2])?;
    let outer = b.mul(kk, vv)?;
    state = b.add(state, outer)?;
    let op = Contract {
        lhs_batch: vec![0, 1],
        rhs_batch: vec![0, 1],
        lhs_contract: vec![3],
        rhs_contract: vec![2],
    };
    let y = b.emit(op, &[q, state])?;
    let y = b.mul(y, scale)?;
    Ok(vec![going, state, y])
}

/// Attention with regions.
pub fn flex_attention(cx: &mut DecomposeCx<'_, '_>, op: &FlexAttention) -> DecomposeResult {
    let dtype = cx.dtype(0)?;
    let work = flex_precision(op, dtype);
    let (q, k, v) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let captures = cx.from(3);
    let b = &mut *cx.b;
    let shape = b.tensor_ty(q)?.shape;
    let [_, q_heads, _, size] = shape.as_slice() else {
        return cx.unsupported("q is not of rank 4");
    };
    let k = repeat_heads(b, k, q_heads)?;
    let v = repeat_heads(b, v, q_heads)?;
    let root = root_scale(b, op.scale.map(|s| s.0), size, dtype)?;
    let q = b.mul(q, root)?;
    let k = b.mul(k, root)?;
    let scores = row_products(b, q, k)?;
    let scores = b.cast(scores, work)?;
    let scores = modify(b, op.score_mod, scores, &captures)?;
    let weights = b.emit(Softmax { axes: vec![3] }, &[scores])?;
    let weights = modify(b, op.prob_mod, weights, &captures)?;
    let v = b.cast(v, work)?;
    let y = weighted(b, weights, v)?;
    one(b.cast(y, dtype)?)
}

fn modify(b: &mut Builder<'_>, region: Option<RegionId>, x: ValueId, captures: &[ValueId]) -> R {
    let Some(region) = region else { return Ok(x) };
    let shape = b.tensor_ty(x)?.shape;
    let mut args = vec![x];
    args.extend_from_slice(captures);
    match b.inline_region(region, &args)?.as_slice() {
        [y] => Ok(b.reshape(*y, &shape)?),
        _ => Err(NoDecomposition::Unsupported("a region gives more than one result".to_owned())),
    }
}
