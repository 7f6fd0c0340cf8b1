//! Reading rules of random numbers. Their algorithm is left to the executor.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Distribution, Less, OpKind, Rng, RngAlgorithm};

use super::DEFAULT_DTYPE;
use super::call::{CallCx, Stop};
use super::create::dtype_or;
use super::formula::{Formula, number, value};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::bernoulli", &[OpKind::Rng, OpKind::Less], bernoulli),
    ImportRule::new("aten::cauchy", &[OpKind::Rng, OpKind::Tan], cauchy),
    ImportRule::new("aten::exponential", &[OpKind::Rng, OpKind::Log], exponential),
    ImportRule::new("aten::geometric", &[OpKind::Rng, OpKind::Log], geometric),
    ImportRule::new("aten::log_normal", &[OpKind::Rng, OpKind::Exp], log_normal),
    ImportRule::new("aten::normal", &[OpKind::Rng], normal),
    ImportRule::of("aten::normal_", "", &[OpKind::Rng], normal_functional),
    ImportRule::new("aten::normal_functional", &[OpKind::Rng], normal_functional),
    ImportRule::new("aten::rand", &[OpKind::Rng], rand),
    ImportRule::new("aten::rand_like", &[OpKind::Rng], rand_like),
    ImportRule::new("aten::randint", &[OpKind::Rng, OpKind::Floor], randint),
    ImportRule::new("aten::randint_like", &[OpKind::Rng, OpKind::Floor], randint_like),
    ImportRule::new("aten::randn", &[OpKind::Rng], randn),
    ImportRule::new("aten::randn_like", &[OpKind::Rng], randn_like),
    ImportRule::new("aten::randperm", &[OpKind::Rng, OpKind::TopK], randperm),
    ImportRule::new("aten::uniform", &[OpKind::Rng], uniform),
];

/// Random numbers of a float dtype.
fn drawn(
    cx: &mut CallCx<'_>,
    distribution: Distribution,
    dims: &[Dim],
    dtype: DType,
) -> Result<ValueId, Stop> {
    if !matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64) {
        return cx.unsupported(format!("random numbers of the dtype {dtype}"));
    }
    let (algorithm, dims) = (RngAlgorithm::Unspecified, dims.to_vec());
    cx.emit(Rng { algorithm, distribution, dtype, dims, seed: None }, &[])
}

/// A generator that is given is the caller's affair, as the seed is.
fn sizes(cx: &mut CallCx<'_>) -> Result<(Vec<Dim>, DType), Stop> {
    cx.ignore(&["generator"]);
    Ok((cx.dims("size")?, dtype_or(cx, DEFAULT_DTYPE)?))
}

fn shape_of_self(cx: &mut CallCx<'_>) -> Result<(Vec<Dim>, DType), Stop> {
    cx.ignore(&["generator"]);
    let x = cx.tensor("self")?;
    let own = cx.dtype(x)?;
    Ok((cx.shape(x)?.to_vec(), dtype_or(cx, own)?))
}

/// `rand`: uniform in [0, 1).
fn rand(cx: &mut CallCx<'_>) -> Outcome {
    let (dims, dtype) = sizes(cx)?;
    Ok(drawn(cx, Distribution::Uniform, &dims, dtype)?.into())
}

/// `rand_like`.
fn rand_like(cx: &mut CallCx<'_>) -> Outcome {
    let (dims, dtype) = shape_of_self(cx)?;
    Ok(drawn(cx, Distribution::Uniform, &dims, dtype)?.into())
}

/// `randn`: normal.
fn randn(cx: &mut CallCx<'_>) -> Outcome {
    let (dims, dtype) = sizes(cx)?;
    Ok(drawn(cx, Distribution::Normal, &dims, dtype)?.into())
}

/// `randn_like`.
fn randn_like(cx: &mut CallCx<'_>) -> Outcome {
    let (dims, dtype) = shape_of_self(cx)?;
    Ok(drawn(cx, Distribution::Normal, &dims, dtype)?.into())
}

/// Integers in [low, high).
fn integers(cx: &mut CallCx<'_>, dims: &[Dim], dtype: DType) -> Outcome {
    let low = if cx.has("low") { cx.operand("low")? } else { nothing() };
    let high = cx.operand("high")?;
    let (low, high) = (cx.operand_value(&low, DType::F64)?, cx.operand_value(&high, DType::F64)?);
    let (low, high) = (cx.b().reshape(low, &[])?, cx.b().reshape(high, &[])?);
    let u = drawn(cx, Distribution::Uniform, dims, DType::F64)?;
    let y = (value(u) * (value(high) - value(low))).floor() + value(low);
    let y = cx.formula(&y, DType::F64)?;
    Ok(cx.cast(y, dtype)?.into())
}

fn nothing() -> super::promote::Operand {
    super::promote::Operand::Number(super::promote::Number::Int(0.into()))
}

/// `randint`.
fn randint(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["generator"]);
    let dims = cx.dims("size")?;
    let dtype = dtype_or(cx, DType::I64)?;
    integers(cx, &dims, dtype)
}

/// `randint_like`.
fn randint_like(cx: &mut CallCx<'_>) -> Outcome {
    let (dims, dtype) = shape_of_self(cx)?;
    integers(cx, &dims, dtype)
}

/// `randperm`: the order of random numbers.
fn randperm(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["generator"]);
    let n = cx.dim("n")?;
    let dtype = dtype_or(cx, DType::I64)?;
    let u = drawn(cx, Distribution::Uniform, &[n], DType::F64)?;
    let [_, order] = super::order::in_order(cx, u, 0, false)?;
    Ok(cx.cast(order, dtype)?.into())
}

/// `bernoulli`: 1 with the probability that is given, or that the elements are.
fn bernoulli(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["generator"]);
    let x = cx.tensor("self")?;
    let (shape, dtype) = (cx.shape(x)?, cx.dtype(x)?);
    let p = if cx.has("p") { cx.operand("p")? } else { super::promote::Operand::Tensor(x) };
    let p = cx.operand_value(&p, DType::F32)?;
    let p = cx.broadcast_to(p, &shape)?;
    let u = drawn(cx, Distribution::Uniform, &shape, DType::F32)?;
    let hit = cx.emit(Less {}, &[u, p])?;
    Ok(cx.cast(hit, dtype)?.into())
}

/// Mean plus standard deviation times normal numbers, of the common shape of both.
fn normal(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["generator"]);
    let (mean, std) = (cx.tensor("mean")?, cx.tensor("std")?);
    let both = cx.broadcast(&[mean, std])?;
    let (dims, natural) = match cx.has("size") {
        true => (cx.dims("size")?, DEFAULT_DTYPE),
        false => {
            let of = if cx.schema.overload == "float_Tensor" { both[1] } else { both[0] };
            (cx.shape(both[0])?.to_vec(), cx.dtype(of)?)
        }
    };
    let dtype = dtype_or(cx, natural)?;
    let z = drawn(cx, Distribution::Normal, &dims, dtype)?;
    let (mean, std) = (cx.cast(both[0], dtype)?, cx.cast(both[1], dtype)?);
    Ok(cx.formula(&(value(z) * value(std) + value(mean)), dtype)?.into())
}

/// A tensor of the shape of self, drawn from a distribution and changed by a formula.
fn transformed(
    cx: &mut CallCx<'_>,
    distribution: Distribution,
    f: impl FnOnce(Formula) -> Formula,
) -> Outcome {
    cx.ignore(&["generator"]);
    let x = cx.tensor("self")?;
    let (shape, dtype) = (cx.shape(x)?, cx.dtype(x)?);
    let work = super::formula::work_dtype(dtype);
    let drawn = drawn(cx, distribution, &shape, work)?;
    let y = cx.formula(&f(value(drawn)), work)?;
    Ok(cx.cast(y, dtype)?.into())
}

/// `normal_` in the shape of self.
fn normal_functional(cx: &mut CallCx<'_>) -> Outcome {
    let (mean, std) = (cx.float("mean")?, cx.float("std")?);
    transformed(cx, Distribution::Normal, |z| z * std + mean)
}

/// `uniform` between two numbers.
fn uniform(cx: &mut CallCx<'_>) -> Outcome {
    let (from, to) = (cx.float("from")?, cx.float("to")?);
    transformed(cx, Distribution::Uniform, |u| u * (to - from) + from)
}

/// `log_normal`.
fn log_normal(cx: &mut CallCx<'_>) -> Outcome {
    let (mean, std) = (cx.float("mean")?, cx.float("std")?);
    transformed(cx, Distribution::Normal, |z| (z * std + mean).exp())
}

/// `exponential`.
fn exponential(cx: &mut CallCx<'_>) -> Outcome {
    let rate = cx.float("lambd")?;
    transformed(cx, Distribution::Uniform, |u| -(number(1.0) - u).log() / rate)
}

/// `cauchy`.
fn cauchy(cx: &mut CallCx<'_>) -> Outcome {
    let (median, sigma) = (cx.float("median")?, cx.float("sigma")?);
    transformed(cx, Distribution::Uniform, |u| {
        ((u - 0.5) * std::f64::consts::PI).tan() * sigma + median
    })
}

/// `geometric`: how many trials it takes.
fn geometric(cx: &mut CallCx<'_>) -> Outcome {
    let p = cx.float("p")?;
    transformed(cx, Distribution::Uniform, |u| {
        ((number(1.0) - u).log() / (1.0 - p).ln()).ceil().max(1.0)
    })
}
