//! Reading rules of the index family.

use airconv_api::ir::dim::Dim;
use airconv_api::ir::op::{
    CacheMode, Compress, Gather, GatherElements, GatherNd, Nonzero, OneHot, OpKind,
    ReverseSequence, ScatterElements, ScatterNd, ScatterReduction, TensorScatter, TopK, Unique,
};

use super::node::{NodeCx, Outcome, Stop};
use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("Compress", 9, &[OpKind::Compress], compress),
    ImportRule::new("Gather", 1, &[OpKind::Gather], gather),
    ImportRule::new("GatherElements", 11, &[OpKind::GatherElements], gather_elements),
    ImportRule::new("GatherND", 11, &[OpKind::GatherNd], gather_nd),
    ImportRule::new("NonZero", 9, &[OpKind::Nonzero], nonzero),
    ImportRule::new("OneHot", 9, &[OpKind::OneHot], one_hot),
    ImportRule::new("ReverseSequence", 10, &[OpKind::ReverseSequence], reverse_sequence),
    ImportRule::new("Scatter", 9, &[OpKind::ScatterElements], scatter_elements).until(10),
    ImportRule::new("ScatterElements", 11, &[OpKind::ScatterElements], scatter_elements),
    ImportRule::new("ScatterND", 11, &[OpKind::ScatterNd], scatter_nd),
    ImportRule::new("TensorScatter", 24, &[OpKind::TensorScatter], tensor_scatter),
    ImportRule::new("TopK", 1, &[OpKind::TopK], top_k),
    ImportRule::new("Unique", 11, &[OpKind::Unique], unique),
];

/// The `axis` attribute, non-negative, for an input.
fn axis_of(cx: &NodeCx<'_, '_>, input: usize, default: i64) -> Result<i64, Stop> {
    cx.axis(cx.int("axis", default)?, cx.rank(input)?)
}

/// The `axis` attribute of an op that flattens its input without one.
fn optional_axis(cx: &NodeCx<'_, '_>) -> Result<Option<i64>, Stop> {
    match cx.attrs.opt_int("axis")? {
        Some(axis) => cx.axis(axis, cx.rank(0)?).map(Some),
        None => Ok(None),
    }
}

fn gather(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axis = axis_of(cx, 0, 0)?;
    cx.emit_same(Gather { axis })
}

fn gather_elements(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axis = axis_of(cx, 0, 0)?;
    cx.emit_same(GatherElements { axis })
}

fn gather_nd(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let batch_dims = cx.int("batch_dims", 0)?;
    cx.emit_same(GatherNd { batch_dims })
}

fn scatter_elements(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axis = axis_of(cx, 0, 0)?;
    let reduction = cx.choice("reduction", "none", ScatterReduction::parse)?;
    cx.emit_same(ScatterElements { axis, reduction })
}

fn scatter_nd(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let reduction = cx.choice("reduction", "none", ScatterReduction::parse)?;
    cx.emit_same(ScatterNd { reduction })
}

/// `TopK`: k is an attribute before opset 10, an input since.
fn top_k(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axis = axis_of(cx, 0, -1)?;
    let x = cx.input(0)?;
    let k = if cx.version < 10 { Dim::Known(cx.need_int("k")?) } else { cx.dim_input(1, "k")? };
    let (largest, sorted) = (cx.bool("largest", true)?, cx.bool("sorted", true)?);
    cx.emit_all(TopK { k, axis, largest, sorted }, &[x])
}

/// `NonZero`: a scalar counts as a vector of one element.
fn nonzero(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let mut x = cx.input(0)?;
    if cx.rank(0)? == 0 {
        x = cx.b().reshape(x, &[Dim::Known(1)])?;
    }
    cx.emit_all(Nonzero {}, &[x])
}

fn unique(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (axis, sorted) = (optional_axis(cx)?, cx.bool("sorted", true)?);
    cx.emit_same(Unique { axis, sorted })
}

fn compress(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axis = optional_axis(cx)?;
    cx.emit_same(Compress { axis })
}

/// `OneHot`: the depth may be a float.
fn one_hot(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axis = cx.axis(cx.int("axis", -1)?, cx.rank(0)? + 1)?;
    let (indices, values) = (cx.input(0)?, cx.input(2)?);
    let depth = if cx.dtype(1)?.is_float() {
        match cx.need_array(1, "the depth")?.to_f64s().as_deref() {
            Some(&[d]) => Dim::Known(d as i64),
            _ => return cx.invalid("the depth is not one number"),
        }
    } else {
        cx.dim_input(1, "the depth")?
    };
    cx.emit_all(OneHot { depth, axis }, &[indices, values])
}

fn reverse_sequence(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let (batch_axis, time_axis) = (cx.int("batch_axis", 1)?, cx.int("time_axis", 0)?);
    cx.emit_same(ReverseSequence { batch_axis, time_axis })
}

fn tensor_scatter(cx: &mut NodeCx<'_, '_>) -> Outcome {
    let axis = axis_of(cx, 0, -2)?;
    let mode = cx.choice("mode", "linear", CacheMode::parse)?;
    cx.emit_same(TensorScatter { axis, mode })
}
