//! Rules of the image family.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{CoordinateMode, NearestMode, Op, OpKind, Resize, ResizeMode};

use super::cx::{Cx, Refuse, other};
use super::rules::Rule;
use crate::program::Arg;
use crate::program::calls::*;

pub(super) const RULES: &[(OpKind, Rule)] = &[(OpKind::Resize, resize)];

/// By how much an axis grows, where that is a whole number.
fn factor(from: &Dim, to: &Dim) -> Option<i64> {
    (1..=16).find(|&s| *to == from * &Dim::Known(s))
}

/// Whether the nearest neighbour is that of candle: the position divided by the factor.
fn is_plain_nearest(r: &Resize, factors: &[Option<i64>]) -> bool {
    factors.iter().all(|f| {
        let Some(f) = *f else { return false };
        match (r.coordinates, r.nearest) {
            (CoordinateMode::Asymmetric, NearestMode::Floor) => true,
            (CoordinateMode::Asymmetric, NearestMode::RoundPreferFloor) => f <= 2,
            (
                CoordinateMode::HalfPixel | CoordinateMode::PytorchHalfPixel,
                NearestMode::RoundPreferFloor,
            ) => true,
            _ => false,
        }
    })
}

fn resize<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Resize(r) = op else { return other() };
    let (from, to) = (cx.ty(0)?, cx.result_ty(0)?);
    let plain = from.rank() == 4
        && from.shape.get(..2) == to.shape.get(..2)
        && !r.antialias
        && !r.exclude_outside
        && from.dtype == DType::F32;
    let (Some([h0, w0]), Some([h, w])) = (from.shape.get(2..), to.shape.get(2..)) else {
        return Refuse::because("candle resizes images of rank 4");
    };
    if !plain {
        return Refuse::because("candle resizes images of rank 4, without filters");
    }
    let x = cx.x(0)?;
    let x = cx.contiguous(x);
    let sizes = vec![x.into(), Arg::Size(h.clone()), Arg::Size(w.clone())];
    match r.mode {
        ResizeMode::Nearest if is_plain_nearest(r, &[factor(h0, h), factor(w0, w)]) => {
            cx.done(&UPSAMPLE_NEAREST2D, sizes)
        }
        ResizeMode::Linear => {
            let whole = factor(h0, h).is_some() && factor(w0, w).is_some();
            let corners = match r.coordinates {
                CoordinateMode::AlignCorners => true,
                CoordinateMode::HalfPixel if whole || r.scales.is_empty() => false,
                _ => return Refuse::because("candle has no such mapping of coordinates"),
            };
            cx.done(&UPSAMPLE_BILINEAR2D, [sizes, vec![Arg::Bool(corners)]].concat())
        }
        _ => Refuse::because("candle has no such interpolation"),
    }
}
