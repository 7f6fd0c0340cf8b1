//! Writing rules of the random family. ONNX names no algorithm, so that only unspecified
//! draws have a form there.

use airconv_api::ir::attr::Float;
use airconv_api::ir::dim::Dim;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::op::{Distribution, Op, OpKind, RngAlgorithm};

use super::attr;
use super::index::other_op;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use crate::proto::AttributeProto;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Dropout, dropout),
    ExportRule::new(OpKind::RandomNormal, random_normal),
    ExportRule::new(OpKind::RandomUniform, random_uniform),
    ExportRule::new(OpKind::Rng, rng),
];

type Written = Result<(), Refuse>;

/// A draw: `op` where the sizes are known, else `op`Like in the shape of a tensor made for it.
fn draw(
    cx: &mut ExportCx<'_, '_>,
    op: &str,
    dims: &[Dim],
    dtype: DType,
    seed: Option<Float>,
    mut attrs: Vec<AttributeProto>,
) -> Written {
    attrs.push(attr::dtype("dtype", dtype));
    if let Some(seed) = seed {
        if f64::from(seed.0 as f32) != seed.0 {
            return Refuse::because(format!("the seed {} is not an f32", seed.0));
        }
        attrs.push(attr::float("seed", seed));
    }
    match dims.iter().map(Dim::as_known).collect::<Option<Vec<i64>>>() {
        Some(shape) => {
            attrs.push(attr::ints("shape", &shape));
            cx.emit(op, &[], attrs)
        }
        None => {
            let shape = cx.dims(dims)?;
            let like = cx.temp("ConstantOfShape", &[shape], Vec::new(), DType::F32)?;
            cx.emit(&format!("{op}Like"), &[like], attrs)
        }
    }
}

fn random_normal(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::RandomNormal(r) = op else { return other_op(op) };
    let attrs = vec![attr::float("mean", r.mean), attr::float("scale", r.scale)];
    draw(cx, "RandomNormal", &r.dims, r.dtype, r.seed, attrs)
}

fn random_uniform(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::RandomUniform(r) = op else { return other_op(op) };
    let attrs = vec![attr::float("low", r.low), attr::float("high", r.high)];
    draw(cx, "RandomUniform", &r.dims, r.dtype, r.seed, attrs)
}

fn rng(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Rng(r) = op else { return other_op(op) };
    if r.algorithm != RngAlgorithm::Unspecified {
        return Refuse::because(format!("ONNX has no {} numbers", r.algorithm.as_str()));
    }
    let name = match r.distribution {
        Distribution::Uniform => "RandomUniform",
        Distribution::Normal => "RandomNormal",
    };
    draw(cx, name, &r.dims, r.dtype, r.seed, Vec::new())
}

fn dropout(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Dropout(d) = op else { return other_op(op) };
    let attrs = match d.seed {
        None => Vec::new(),
        Some(Float(seed)) if (seed as i64) as f64 == seed => vec![attr::int("seed", seed as i64)],
        Some(Float(seed)) => {
            return Refuse::because(format!("the seed {seed} is not an integer"));
        }
    };
    let inputs = cx.all()?;
    cx.emit("Dropout", &inputs, attrs)
}
