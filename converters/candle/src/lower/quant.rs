//! Rules of the quant family: products of small integers, computed exactly in `f64`.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{Op, OpKind};

use super::conv::{Moves, plain};
use super::cx::{Cx, Refuse, other};
use super::linear::exact;
use super::rules::Rule;
use crate::program::calls::*;
use crate::program::{Arg, Var};

pub(super) const RULES: &[(OpKind, Rule)] =
    &[(OpKind::MatmulInteger, matmul_integer), (OpKind::ConvInteger, conv_integer)];

/// A zero point that is one number.
fn one_zero(cx: &mut Cx<'_, '_>, slot: usize) -> Result<Option<Var>, Refuse> {
    let Some(zero) = cx.opt(slot)? else { return Ok(None) };
    let one = cx.info(zero).shape.iter().all(|d| *d == Dim::Known(1));
    if !one {
        return Refuse::because("it has a zero point per row");
    }
    Ok(Some(zero))
}

fn matmul_integer<'m>(cx: &mut Cx<'_, 'm>, _: &'m Op) -> Result<(), Refuse> {
    let (a, b) = (cx.x(0)?, cx.x(1)?);
    if cx.shape(a).len() < 2 || cx.shape(b).len() < 2 {
        return Refuse::because("candle multiplies matrices");
    }
    let a_zero = one_zero(cx, 2)?;
    let b_zero = cx.opt(3)?;
    let vector = b_zero.is_none_or(|z| cx.info(z).shape.len() <= 1);
    if !vector {
        return Refuse::because("it has a zero point per stack");
    }
    let (a, b) = (exact(cx, a, a_zero), exact(cx, b, b_zero));
    let (a, b) = (cx.contiguous(a), cx.contiguous(b));
    let shape = cx.result_ty(0)?.shape.to_vec();
    let y = cx.temp(&BROADCAST_MATMUL, vec![a.into(), b.into()], DType::F64, &shape);
    let terms = cx.shape(a).last().cloned();
    low_bits(cx, y, terms)
}

/// A sum of so many products of small integers as `i32`: its low bits.
fn low_bits(cx: &mut Cx<'_, '_>, y: Var, terms: Option<Dim>) -> Result<(), Refuse> {
    // The greatest magnitude of the difference of two numbers of 8 bits.
    let most = i64::from(u8::MAX);
    let terms = terms.and_then(|d| d.as_known()).unwrap_or(i64::MAX);
    let fits = terms.saturating_mul(most * most) <= i64::from(i32::MAX);
    // candle limits floats to the integers of `i32`.
    let y = if fits { y } else { cx.as_dtype(y, DType::I64) };
    cx.done(&TO_DTYPE, vec![y.into(), Arg::DType(DType::I32)])
}

fn conv_integer<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::ConvInteger(c) = op else { return other() };
    let (x, w) = (cx.x(0)?, cx.x(1)?);
    let x_zero = one_zero(cx, 2)?;
    let mut w_zero = cx.opt(3)?;
    if let Some(zero) = w_zero {
        let per_filter = cx.info(zero).shape.iter().any(|d| *d != Dim::Known(1));
        if per_filter {
            let mut shape = vec![Dim::Known(1); cx.shape(w).len()];
            if let (Some(first), Some(n)) = (shape.first_mut(), cx.shape(zero).first()) {
                *first = n.clone();
            }
            w_zero = Some(cx.reshaped(zero, &shape));
        }
    }
    let (x, w) = (exact(cx, x, x_zero), exact(cx, w, w_zero));
    let moves = Moves {
        strides: &c.strides,
        pads: &c.pads,
        dilations: &c.dilations,
        groups: c.groups,
        auto_pad: c.auto_pad,
    };
    let terms = cx.shape(w).iter().skip(1).try_fold(1i64, |n, d| n.checked_mul(d.as_known()?));
    let y = plain(cx, x, w, &moves)?;
    low_bits(cx, y, terms.map(Dim::Known))
}
