//! Rules of the attention family.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{Attention, Op, OpKind};

use super::cx::{Cx, Refuse, other, tidy};
use super::rules::Rule;
use crate::program::calls::*;
use crate::program::{Arg, Var};

pub(super) const RULES: &[(OpKind, Rule)] = &[(OpKind::Attention, attention)];

/// Attention over heads that are apart, as many of keys as of queries, without a cache.
fn attention<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Attention(a) = op else { return other() };
    let dtype = cx.ty(0)?.dtype;
    let plain = !(4..7).any(|slot| cx.value(slot).is_some())
        && !(1..4).any(|slot| cx.node.result(slot).is_some())
        && a.softcap.0 == 0.0
        && a.softmax_precision.is_none_or(|p| p == dtype)
        && [1, 2].iter().all(|&slot| cx.ty(slot).is_ok_and(|t| t.dtype == dtype));
    if !plain || !matches!(dtype, DType::F32 | DType::F64) {
        return Refuse::because("candle has no such attention");
    }
    let (q, k, v) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let shapes = [q, k, v].map(|x| cx.shape(x));
    let [[qb, qh, rows, size], [kb, kh, columns, _], [vb, vh, _, _]] =
        shapes.each_ref().map(Vec::as_slice)
    else {
        return Refuse::because("candle has attention of rank 4 only");
    };
    if [kb, vb].iter().any(|b| *b != qb) || [kh, vh].iter().any(|h| *h != qh) {
        return Refuse::because("candle has no attention of unequal heads");
    }
    let scale = scale(a, size, dtype)?;
    let mask = mask(cx, a, [rows, columns])?;
    let args = vec![q.into(), k.into(), v.into(), Arg::Maybe(mask), Arg::Float(scale)];
    cx.done(&ATTENTION, args)
}

/// The factor of the scores.
fn scale(op: &Attention, size: &Dim, dtype: DType) -> Result<f64, Refuse> {
    match (op.scale, size.as_known()) {
        (Some(scale), _) => Ok(tidy(dtype, scale.0)),
        (None, Some(size)) => Ok(tidy(dtype, 1.0 / (size as f64).sqrt())),
        (None, None) => Refuse::because("the size of heads is not known"),
    }
}

/// The mask, or that of later positions.
fn mask(
    cx: &mut Cx<'_, '_>,
    op: &Attention,
    [rows, columns]: [&Dim; 2],
) -> Result<Option<Var>, Refuse> {
    let mask = cx.opt(3)?;
    let Some(mask) = mask else {
        if !op.is_causal {
            return Ok(None);
        }
        let args = vec![Arg::Size(rows.clone()), Arg::Size(columns.clone()), Arg::Device];
        let shape = [rows.clone(), columns.clone()];
        return Ok(Some(cx.temp(&CAUSAL_MASK, args, DType::Bool, &shape)));
    };
    let info = cx.info(mask);
    let fits = info.shape.last() == Some(columns) || info.shape.is_empty();
    if op.is_causal || !fits || ![DType::Bool, cx.ty(0)?.dtype].contains(&info.dtype) {
        return Refuse::because("candle has no attention with such a mask");
    }
    Ok(Some(mask))
}
