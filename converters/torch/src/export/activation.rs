//! Writing rules of the activation family.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{GeluKind, Op, OpKind};

use super::cx::{ExportCx, Refuse, Written, args, other_op};
use super::elementwise::is_about;
use super::program::{Arg, Var};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Relu, relu),
    ExportRule::new(OpKind::LeakyRelu, leaky_relu),
    ExportRule::new(OpKind::Prelu, prelu),
    ExportRule::new(OpKind::Elu, elu),
    ExportRule::new(OpKind::Celu, celu),
    ExportRule::new(OpKind::Selu, selu),
    ExportRule::new(OpKind::Sigmoid, |cx, _| of_float(cx, "aten::sigmoid", vec![])),
    ExportRule::new(OpKind::HardSigmoid, hard_sigmoid),
    ExportRule::new(OpKind::HardSwish, |cx, _| of_float(cx, "aten::hardswish", vec![])),
    ExportRule::new(OpKind::Softplus, softplus),
    ExportRule::new(OpKind::ThresholdedRelu, thresholded_relu),
    ExportRule::new(OpKind::Mish, |cx, _| of_float(cx, "aten::mish", vec![])),
    ExportRule::new(OpKind::Gelu, gelu),
    ExportRule::new(OpKind::Swish, swish),
    ExportRule::new(OpKind::Shrink, shrink),
];

/// The operand, which has to be of a dtype that activations take.
fn operand(cx: &mut ExportCx<'_, '_>) -> Result<Var, Refuse> {
    let x = cx.x(0)?;
    match cx.dtype(x)? {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => Ok(x),
        other => Refuse::because(format!("PyTorch has no form of it for {other}")),
    }
}

fn of_float(cx: &mut ExportCx<'_, '_>, name: &str, more: Vec<Arg>) -> Written {
    let x = operand(cx)?;
    let ty = cx.ty(x)?;
    let mut args = args![x];
    args.extend(more);
    let y = cx.op(name, args, ty)?;
    cx.one(y)
}

fn relu(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    let x = cx.x(0)?;
    if matches!(cx.dtype(x)?, DType::I8 | DType::I16 | DType::I32 | DType::I64) {
        let y = cx.unary("aten::relu", x)?;
        return cx.one(y);
    }
    of_float(cx, "aten::relu", vec![])
}

fn leaky_relu(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::LeakyRelu(l) = op else { return other_op() };
    of_float(cx, "aten::leaky_relu", args![l.alpha.0])
}

/// `prelu`: PyTorch's slope is one per channel, or one.
fn prelu(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Prelu(_) = op else { return other_op() };
    let x = operand(cx)?;
    let ty = cx.ty(x)?;
    let slope_value = cx.ex.bare(cx.required(1)?);
    let shape = cx.ex.value_type(slope_value)?.shape;
    let one = Dim::Known(1);
    // The axis of the slope that is not 1, counted from the end.
    let wide: Vec<usize> =
        shape.iter().rev().enumerate().filter(|(_, d)| **d != one).map(|(i, _)| i).collect();
    let channel = ty.rank().checked_sub(2);
    let count = match wide.as_slice() {
        [] => one.clone(),
        [at] if Some(*at) == channel && ty.shape.get(1) == shape.iter().rev().nth(*at) => {
            ty.shape[1].clone()
        }
        _ => return Refuse::because("PyTorch's slope is one per channel"),
    };
    if ty.rank() < 2 || count.as_known().is_none() {
        return Refuse::because("PyTorch's slope is one per channel");
    }
    let slope = cx.ex.var_of(slope_value)?;
    let slope = cx.reshape(slope, &[count])?;
    let y = cx.op("aten::prelu", args![x, slope], ty)?;
    cx.one(y)
}

fn elu(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Elu(e) = op else { return other_op() };
    of_float(cx, "aten::elu", args![e.alpha.0])
}

fn celu(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Celu(c) = op else { return other_op() };
    if c.alpha.0 == 0.0 {
        return Refuse::because("alpha is 0");
    }
    of_float(cx, "aten::celu", args![c.alpha.0])
}

/// `selu`: PyTorch's constants, else `elu` with a scale.
fn selu(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Selu(s) = op else { return other_op() };
    let own =
        is_about(s.alpha, 1.673_263_242_354_377_2) && is_about(s.gamma, 1.050_700_987_355_480_5);
    match own {
        true => of_float(cx, "aten::selu", vec![]),
        false => of_float(cx, "aten::elu", args![s.alpha.0, s.gamma.0]),
    }
}

fn hard_sigmoid(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::HardSigmoid(h) = op else { return other_op() };
    if !is_about(h.alpha, 1.0 / 6.0) || h.beta.0 != 0.5 {
        return Refuse::because("PyTorch's slope is a sixth");
    }
    of_float(cx, "aten::hardsigmoid", vec![])
}

/// `softplus`: PyTorch's is x from a threshold on, where the difference is below the precision.
fn softplus(cx: &mut ExportCx<'_, '_>, _: &Op) -> Written {
    let x = operand(cx)?;
    let more = match cx.dtype(x)? {
        DType::F64 => args![1i64, 40i64],
        _ => vec![],
    };
    of_float(cx, "aten::softplus", more)
}

fn thresholded_relu(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::ThresholdedRelu(t) = op else { return other_op() };
    of_float(cx, "aten::threshold", args![t.alpha.0, 0i64])
}

fn gelu(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Gelu(g) = op else { return other_op() };
    let approximate = match g.approximate {
        GeluKind::Exact => Arg::Default,
        GeluKind::Tanh => Arg::from("tanh"),
    };
    of_float(cx, "aten::gelu", vec![approximate])
}

fn swish(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Swish(s) = op else { return other_op() };
    if s.alpha.0 != 1.0 {
        return Refuse::because("PyTorch's slope is 1");
    }
    of_float(cx, "aten::silu", vec![])
}

/// `shrink`: hard for no offset, soft for an offset that is the threshold.
fn shrink(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Shrink(s) = op else { return other_op() };
    if s.bias.0 == 0.0 {
        return of_float(cx, "aten::hardshrink", args![s.lambd.0]);
    }
    if s.bias.0 == s.lambd.0 && s.lambd.0 > 0.0 {
        return of_float(cx, "aten::softshrink", args![s.lambd.0]);
    }
    Refuse::because("PyTorch's offset is 0 or the threshold")
}
