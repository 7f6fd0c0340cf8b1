//! Normalisations and attention.

use airconv_ir::attr::Float;
use airconv_ir::dim::Dim;
use airconv_ir::op::*;
use airconv_ir::types::TensorType;

use super::maker::{Made, Maker};
use super::{Done, Step};

pub(super) const STEPS: &[Step] =
    &[softmax, softmax, layer, layer, batch, group, attention, attention, lp];

fn softmax(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.float() else { return Ok(None) };
    let Some(axis) = m.axis(&ty) else { return Ok(None) };
    let axes = vec![axis as i64];
    if m.rng.one_in(3) {
        m.computed(LogSoftmax { axes }, &[x])
    } else {
        m.computed(Softmax { axes }, &[x])
    }
}

/// A value whose axes from one on are known, and the sizes of those.
fn scaled(m: &mut Maker<'_>) -> Option<(Made, usize, Vec<usize>)> {
    let (x, ty) = m.pick(|ty, _| ty.dtype.is_float() && !ty.shape.is_empty())?;
    let axis = if m.rng.one_in(3) { m.axis(&ty)? } else { ty.shape.len() - 1 };
    let sizes = ty.shape[axis..].iter().map(|d| d.as_known().map(|n| n as usize));
    Some((x, axis, sizes.collect::<Option<Vec<usize>>>()?))
}

fn layer(m: &mut Maker<'_>) -> Done {
    let Some((x, axis, sizes)) = scaled(m) else { return Ok(None) };
    let scale = m.fixed(x.dtype, &sizes)?;
    let (axis, epsilon) = (axis as i64, Float(0.01));
    if m.rng.one_in(2) {
        return m.computed(RmsNormalization { axis, epsilon, stash: None }, &[x, scale]);
    }
    let bias = m.fixed(x.dtype, &sizes)?;
    m.computed(LayerNormalization { axis, epsilon, stash: None }, &[x, scale, bias])
}

fn channels(ty: &TensorType) -> Option<usize> {
    ty.shape.get(1)?.as_known().map(|n| n as usize)
}

fn batch(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| ty.dtype.is_float() && channels(ty).is_some()) else {
        return Ok(None);
    };
    let c = [channels(&ty).unwrap_or(0)];
    let (scale, bias, mean) = (m.fixed(x.dtype, &c)?, m.fixed(x.dtype, &c)?, m.fixed(x.dtype, &c)?);
    let spread = m.fixed(x.dtype, &c)?;
    let spread = m.b.abs(spread.value)?;
    let variance = Made { value: m.b.add_const(spread, 0.5)?, ..mean };
    let op =
        BatchNormalization { epsilon: Float(0.01), momentum: Float(0.9), training_mode: false };
    m.computed(op, &[x, scale, bias, mean, variance])
}

fn group(m: &mut Maker<'_>) -> Done {
    let fits = |ty: &TensorType, _: f64| {
        ty.dtype.is_float() && ty.shape.len() >= 3 && channels(ty).is_some_and(|c| c > 0)
    };
    let Some((x, ty)) = m.pick(fits) else { return Ok(None) };
    let c = channels(&ty).unwrap_or(1);
    let (scale, bias) = (m.fixed(x.dtype, &[c])?, m.fixed(x.dtype, &[c])?);
    if m.rng.one_in(2) {
        return m.computed(InstanceNormalization { epsilon: Float(0.01) }, &[x, scale, bias]);
    }
    let num_groups = if c.is_multiple_of(2) { 2 } else { 1 };
    m.computed(
        GroupNormalization { num_groups, epsilon: Float(0.01), stash: None },
        &[x, scale, bias],
    )
}

/// Of a value with itself, or with constant keys and values.
fn attention(m: &mut Maker<'_>) -> Done {
    let fits = |ty: &TensorType, _: f64| {
        ty.dtype.is_float()
            && ty.shape.len() == 4
            && ty.shape[1..].iter().all(|d| d.as_known() != Some(0))
    };
    let Some((q, ty)) = m.pick(fits) else { return Ok(None) };
    let op = Attention {
        is_causal: m.rng.one_in(3),
        q_num_heads: None,
        kv_num_heads: None,
        scale: None,
        softcap: Float(if m.rng.one_in(4) { 2.0 } else { 0.0 }),
        softmax_precision: None,
        qk_mode: 0,
    };
    let sizes: Option<Vec<usize>> =
        ty.shape.iter().map(|d| d.as_known().map(|n| n as usize)).collect();
    let (Some(mut sizes), false) = (sizes, m.rng.one_in(3)) else {
        return m.computed(op, &[q, q, q]);
    };
    sizes[2] = 1 + m.rng.below(20);
    let (k, v) = (m.fixed(q.dtype, &sizes)?, m.fixed(q.dtype, &sizes)?);
    m.computed(op, &[q, k, v])
}

fn lp(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) =
        m.pick(|ty, _| ty.dtype.is_float() && !ty.shape.iter().any(|d| *d == Dim::Known(0)))
    else {
        return Ok(None);
    };
    let Some(axis) = m.axis(&ty) else { return Ok(None) };
    // Away from zero, where the direction of a vector is anyone's guess.
    let away = m.b.cos(x.value)?;
    let away = m.b.add_const(away, 1.5)?;
    let p = 1 + m.rng.below(2) as i64;
    m.computed(LpNormalization { axis: axis as i64, p }, &[Made { value: away, ..x }])
}
