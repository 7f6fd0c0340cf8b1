//! Reading rules of activation functions.

use airconv_ir::attr::Float;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    Celu, Clip, Elu, Gelu, GeluKind, HardSigmoid, HardSwish, LeakyRelu, Mish, OpKind, Prelu,
    RandomUniformLike, Relu, Selu, Sigmoid, Softplus, Swish,
};

use super::arg::{Arg, Returns};
use super::call::{CallCx, Stop};
use super::elementwise::{float_unary, same_dtype};
use super::formula::Formula;
use super::promote::{Category, Number};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_prelu_kernel", &[OpKind::Prelu], prelu),
    ImportRule::new("aten::celu", &[OpKind::Celu], celu),
    ImportRule::new("aten::elu", &[OpKind::Elu, OpKind::Selu], elu),
    ImportRule::new("aten::gelu", &[OpKind::Gelu], gelu),
    ImportRule::new("aten::glu", &[OpKind::Sigmoid, OpKind::Mul], glu),
    ImportRule::new("aten::hardshrink", &[OpKind::Select], hardshrink),
    ImportRule::new("aten::hardsigmoid", &[OpKind::HardSigmoid], hardsigmoid),
    ImportRule::new("aten::hardswish", &[OpKind::HardSwish], hardswish),
    ImportRule::new("aten::hardtanh", &[OpKind::Clip], hardtanh),
    ImportRule::new("aten::leaky_relu", &[OpKind::LeakyRelu], leaky_relu),
    ImportRule::new("aten::log_sigmoid", &[OpKind::Softplus, OpKind::Neg], log_sigmoid),
    ImportRule::new(
        "aten::log_sigmoid_forward",
        &[OpKind::Softplus, OpKind::Neg],
        log_sigmoid_forward,
    ),
    ImportRule::new("aten::mish", &[OpKind::Mish], mish),
    ImportRule::new("aten::prelu", &[OpKind::Prelu], prelu),
    ImportRule::new("aten::relu", &[OpKind::Relu], relu),
    ImportRule::new("aten::relu6", &[OpKind::Clip], relu6),
    ImportRule::new("aten::rrelu", &[OpKind::LeakyRelu], rrelu),
    ImportRule::new("aten::rrelu_with_noise", &[OpKind::LeakyRelu], rrelu_with_noise),
    ImportRule::new("aten::rrelu_with_noise_functional", &[OpKind::LeakyRelu], rrelu_with_noise),
    ImportRule::new("aten::selu", &[OpKind::Selu], selu),
    ImportRule::new("aten::sigmoid", &[OpKind::Sigmoid], sigmoid),
    ImportRule::new("aten::silu", &[OpKind::Swish], silu),
    ImportRule::new("aten::softplus", &[OpKind::Softplus], softplus),
    ImportRule::new("aten::softshrink", &[OpKind::Select], softshrink),
    ImportRule::new("aten::threshold", &[OpKind::Select], threshold),
];

/// The scale and the slope of `selu`, as published with it.
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// `relu`.
fn relu(cx: &mut CallCx<'_>) -> Outcome {
    same_dtype(cx, Relu {})
}

/// `sigmoid`.
fn sigmoid(cx: &mut CallCx<'_>) -> Outcome {
    let x = super::elementwise::float_operand(cx, "self")?;
    match cx.category(x)? {
        Category::Complex => Ok(cx.computed(&[x], |v| logistic(&v[0]))?.into()),
        _ => float_unary(cx, Sigmoid {}),
    }
}

/// 1 / (1 + exp(-x)).
fn logistic(x: &Formula) -> Formula {
    ((-x).exp() + 1.0).inverse()
}

/// `silu`: x * sigmoid(x).
fn silu(cx: &mut CallCx<'_>) -> Outcome {
    let x = super::elementwise::float_operand(cx, "self")?;
    match cx.category(x)? {
        Category::Complex => Ok(cx.computed(&[x], |v| &v[0] * logistic(&v[0]))?.into()),
        _ => float_unary(cx, Swish { alpha: Float(1.0) }),
    }
}

/// `mish`.
fn mish(cx: &mut CallCx<'_>) -> Outcome {
    same_dtype(cx, Mish {})
}

/// `gelu`, exact or with the hyperbolic tangent.
fn gelu(cx: &mut CallCx<'_>) -> Outcome {
    let name = cx.string("approximate")?;
    let approximate = match &*name {
        "none" => GeluKind::Exact,
        "tanh" => GeluKind::Tanh,
        other => return cx.invalid(format!("the approximation is `{other}`")),
    };
    same_dtype(cx, Gelu { approximate })
}

/// `hardsigmoid`: x / 6 + 1 / 2 held to [0, 1].
fn hardsigmoid(cx: &mut CallCx<'_>) -> Outcome {
    same_dtype(cx, HardSigmoid { alpha: Float(1.0 / 6.0), beta: Float(0.5) })
}

/// `hardswish`.
fn hardswish(cx: &mut CallCx<'_>) -> Outcome {
    same_dtype(cx, HardSwish {})
}

/// `relu6`: x held to [0, 6].
fn relu6(cx: &mut CallCx<'_>) -> Outcome {
    clip(cx, &Number::Int(0.into()), &Number::Int(6.into()))
}

/// `hardtanh`: x held to two numbers.
fn hardtanh(cx: &mut CallCx<'_>) -> Outcome {
    let (low, high) = (cx.number("min_val")?, cx.number("max_val")?);
    clip(cx, &low, &high)
}

fn clip(cx: &mut CallCx<'_>, low: &Number, high: &Number) -> Outcome {
    let x = cx.tensor("self")?;
    let dtype = cx.dtype(x)?;
    let (low, high) = (cx.number_value(low, dtype)?, cx.number_value(high, dtype)?);
    Ok(cx.emit(Clip {}, &[x, low, high])?.into())
}

/// `leaky_relu`.
fn leaky_relu(cx: &mut CallCx<'_>) -> Outcome {
    let alpha = Float(cx.float("negative_slope")?);
    same_dtype(cx, LeakyRelu { alpha })
}

/// `rrelu`: the slope below zero is the mean of two bounds, in training drawn between them.
fn rrelu(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["generator"]);
    let (low, high) = (cx.float("lower")?, cx.float("upper")?);
    if !cx.bool("training")? {
        return same_dtype(cx, LeakyRelu { alpha: Float((low + high) / 2.0) });
    }
    let x = cx.tensor("self")?;
    let (low, high) = (Float(low), Float(high));
    let op = RandomUniformLike { dtype: None, low, high, seed: None };
    let slope = cx.emit(op, &[x])?;
    Ok(cx.emit(Prelu {}, &[x, slope])?.into())
}

/// `rrelu_with_noise`: outside of training the noise stays as it is.
fn rrelu_with_noise(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["generator"]);
    if cx.bool("training")? {
        return cx.unsupported("slopes that are drawn and kept");
    }
    let (x, noise) = (cx.tensor("self")?, cx.tensor("noise")?);
    let alpha = Float((cx.float("lower")? + cx.float("upper")?) / 2.0);
    let y = cx.emit(LeakyRelu { alpha }, &[x])?;
    if cx.schema.returns.len() == 2 {
        return Ok([y, noise].into());
    }
    cx.write("noise", noise)?;
    Ok(y.into())
}

/// `prelu`: a slope for all, or one per channel (axis 1).
fn prelu(cx: &mut CallCx<'_>) -> Outcome {
    let (x, weight) = (cx.tensor("self")?, cx.tensor("weight")?);
    let (rank, shape) = (cx.rank(x)?, cx.shape(weight)?);
    let slope = match shape.as_slice() {
        [one] if rank >= 2 && one.as_known() != Some(1) => {
            let behind: Vec<usize> = (1..rank - 1).collect();
            cx.b().unsqueeze(weight, &behind)?
        }
        [_] if rank == 0 => cx.b().squeeze(weight, &[0])?,
        _ => weight,
    };
    Ok(cx.emit(Prelu {}, &[x, slope])?.into())
}

/// `elu`: with the numbers of `selu` it is that.
fn elu(cx: &mut CallCx<'_>) -> Outcome {
    let (alpha, scale) = (cx.float("alpha")?, cx.float("scale")?);
    let inner = cx.float("input_scale")?;
    if inner == 1.0 && scale == 1.0 {
        return same_dtype(cx, Elu { alpha: Float(alpha) });
    }
    if inner == 1.0 {
        return same_dtype(cx, Selu { alpha: Float(alpha), gamma: Float(scale) });
    }
    // Above zero scale * x; below alpha * scale * (e^(inner * x) - 1).
    let x = cx.tensor("self")?;
    let mut b = cx.b();
    let zero = b.scalar_like(x, 0.0)?;
    let above = b.less(zero, x)?;
    let line = b.mul_const(x, scale)?;
    let inside = b.mul_const(x, inner)?;
    let curve = b.emit(Elu { alpha: Float(alpha) }, &[inside])?;
    let curve = b.mul_const(curve, scale)?;
    Ok(b.select(above, line, curve)?.into())
}

/// `selu`.
fn selu(cx: &mut CallCx<'_>) -> Outcome {
    same_dtype(cx, Selu { alpha: Float(SELU_ALPHA), gamma: Float(SELU_SCALE) })
}

/// `celu`.
fn celu(cx: &mut CallCx<'_>) -> Outcome {
    let alpha = Float(cx.float("alpha")?);
    same_dtype(cx, Celu { alpha })
}

/// `softplus`: ln(1 + e^(beta * x)) / beta, and x where beta * x is above a threshold.
fn softplus(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (beta, threshold) = (cx.float("beta")?, cx.float("threshold")?);
    // In f32 and narrower dtypes the function is x from there on.
    if beta == 1.0 && threshold >= 20.0 && cx.dtype(x)? != DType::F64 {
        return Ok(cx.emit(Softplus {}, &[x])?.into());
    }
    let mut b = cx.b();
    let inside = b.mul_const(x, beta)?;
    let curve = b.emit(Softplus {}, &[inside])?;
    let by = b.scalar_like(x, beta)?;
    let curve = b.div(curve, by)?;
    let limit = b.scalar_like(x, threshold)?;
    let above = b.less(limit, inside)?;
    Ok(b.select(above, x, curve)?.into())
}

/// ln(sigmoid(x)) = -softplus(-x).
pub(super) fn log_sigmoid_of(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    let mut b = cx.b();
    let minus = b.neg(x)?;
    let curve = b.emit(Softplus {}, &[minus])?;
    Ok(b.neg(curve)?)
}

/// `log_sigmoid`.
fn log_sigmoid(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    Ok(log_sigmoid_of(cx, x)?.into())
}

/// `log_sigmoid_forward`: also gives e^-|x|.
fn log_sigmoid_forward(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let y = log_sigmoid_of(cx, x)?;
    if !cx.wants(1) {
        return Ok(Returns(vec![y.into(), Arg::None]));
    }
    let mut b = cx.b();
    let magnitude = b.abs(x)?;
    let minus = b.neg(magnitude)?;
    Ok([y, b.exp(minus)?].into())
}

/// `glu`: the first half of an axis gated by the second.
fn glu(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let shape = cx.shape(x)?;
    if shape.is_empty() {
        return cx.invalid("a scalar has no halves");
    }
    let axis = cx.axis("dim", shape.len())?;
    let half = shape[axis].floor_div(&2.into());
    let mut b = cx.b();
    let value = b.slice_axis(x, axis, 0.into(), half.clone())?;
    let end = &half + &half;
    let gate = b.slice_axis(x, axis, half, end)?;
    let gate = b.emit(Sigmoid {}, &[gate])?;
    Ok(b.mul(value, gate)?.into())
}

/// Where |x| is at most a number.
fn within(cx: &mut CallCx<'_>, x: ValueId, limit: f64) -> Result<ValueId, Stop> {
    let mut b = cx.b();
    let magnitude = b.abs(x)?;
    let limit = b.scalar_like(x, limit)?;
    Ok(b.less_or_equal(magnitude, limit)?)
}

/// `hardshrink`: zero where |x| is at most lambd. NaN stays.
fn hardshrink(cx: &mut CallCx<'_>) -> Outcome {
    let (x, lambd) = (cx.tensor("self")?, cx.float("lambd")?);
    let inside = within(cx, x, lambd)?;
    let mut b = cx.b();
    let zero = b.scalar_like(x, 0.0)?;
    Ok(b.select(inside, zero, x)?.into())
}

/// `softshrink`: lambd nearer to zero, and zero where |x| is at most lambd. NaN stays.
fn softshrink(cx: &mut CallCx<'_>) -> Outcome {
    let (x, lambd) = (cx.tensor("self")?, cx.float("lambd")?);
    let inside = within(cx, x, lambd)?;
    let mut b = cx.b();
    let sign = b.sign(x)?;
    let step = b.mul_const(sign, lambd)?;
    let nearer = b.sub(x, step)?;
    let zero = b.scalar_like(x, 0.0)?;
    Ok(b.select(inside, zero, nearer)?.into())
}

/// `threshold`: a value where x is at most the threshold. NaN stays.
fn threshold(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let dtype = cx.dtype(x)?;
    let (limit, value) = (cx.number("threshold")?, cx.number("value")?);
    let limit = cx.number_value(&limit, dtype)?;
    let value = cx.number_value(&value, dtype)?;
    let mut b = cx.b();
    let low = b.less_or_equal(x, limit)?;
    Ok(b.select(low, value, x)?.into())
}
