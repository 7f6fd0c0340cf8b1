//! Reading rules of the random family.

use airconv_api::ir::attr::Float;
use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{Dropout, OpKind, RandomNormal, RandomUniform};

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("Dropout", 7, &[OpKind::Dropout, OpKind::Constant, OpKind::Cast], dropout),
    ImportRule::new("RandomNormal", 1, &[OpKind::RandomNormal], random_normal),
    ImportRule::new("RandomUniform", 1, &[OpKind::RandomUniform], random_uniform),
];

/// The attributes that say what to draw: sizes, dtype and seed.
fn drawn(cx: &NodeCx<'_, '_>) -> Result<(Vec<Dim>, DType, Option<Float>), Stop> {
    let dims = cx.ints("shape")?.into_iter().map(Dim::Known).collect();
    let dtype = cx.attrs.opt_dtype("dtype")?.unwrap_or(DType::F32);
    Ok((dims, dtype, cx.attrs.opt_float("seed")?))
}

fn random_normal(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (dims, dtype, seed) = drawn(cx)?;
    let (mean, scale) = (cx.float("mean", 0.0)?, cx.float("scale", 1.0)?);
    cx.emit_same(RandomNormal { dims, dtype, mean, scale, seed })
}

fn random_uniform(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (dims, dtype, seed) = drawn(cx)?;
    let (low, high) = (cx.float("low", 0.0)?, cx.float("high", 1.0)?);
    cx.emit_same(RandomUniform { dims, dtype, low, high, seed })
}

/// `Dropout`: before opset 12 the ratio is an attribute and nothing is ever dropped; before
/// opset 10 the mask has the dtype of the data.
fn dropout(cx: &mut NodeCx<'_, '_>) -> Outcome {
    if cx.version >= 12 {
        let seed = cx.attrs.opt_int("seed")?.map(|s| Float(s as f64));
        return cx.emit_same(Dropout { seed });
    }
    let x = cx.input(0)?;
    let ratio = match cx.attrs.opt_float("ratio")? {
        Some(ratio) => Some(cx.b().scalar(DType::F32, ratio.0)?),
        None => None,
    };
    let mut out = cx.emit(Dropout { seed: None }, &[Some(x), ratio])?;
    if cx.version < 10
        && let Some(mask) = out.get_mut(1).and_then(Option::as_mut)
    {
        let dtype = cx.dtype(0)?;
        *mask = cx.b().cast(*mask, dtype)?;
    }
    Ok(out)
}
