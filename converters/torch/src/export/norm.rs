//! Writing rules of the norm family.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{Op, OpKind};
use airconv_ir::types::TensorType;

use super::cx::{ExportCx, Refuse, Written, args, axes_of, other_op};
use super::linear::known;
use super::program::{Arg, Var};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Softmax, softmax),
    ExportRule::new(OpKind::LogSoftmax, log_softmax),
    ExportRule::new(OpKind::BatchNormalization, batch_normalization),
    ExportRule::new(OpKind::InstanceNormalization, instance_normalization),
    ExportRule::new(OpKind::GroupNormalization, group_normalization),
    ExportRule::new(OpKind::LayerNormalization, layer_normalization),
    ExportRule::new(OpKind::RmsNormalization, rms_normalization),
];

fn softmax(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Softmax(s) = op else { return other_op() };
    along_one(cx, "aten::softmax.int", &s.axes)
}

fn log_softmax(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::LogSoftmax(s) = op else { return other_op() };
    along_one(cx, "aten::log_softmax.int", &s.axes)
}

/// Whether PyTorch normalises floats of a dtype.
fn float(dtype: DType) -> Result<(), Refuse> {
    match dtype {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => Ok(()),
        other => Refuse::because(format!("PyTorch has no form of it for {other}")),
    }
}

fn along_one(cx: &mut ExportCx<'_, '_>, name: &str, axes: &[i64]) -> Written {
    let [axis] = axes else { return Refuse::because("PyTorch goes along one axis") };
    let x = cx.x(0)?;
    float(cx.dtype(x)?)?;
    let y = cx.with(name, x, *axis)?;
    cx.one(y)
}

/// Whether operands have the dtype of the first one.
fn one_dtype(cx: &ExportCx<'_, '_>, slots: &[usize]) -> Result<(), Refuse> {
    let dtype = cx.operand_type(0)?.dtype;
    float(dtype)?;
    for &slot in slots {
        if cx.value(slot).is_some() && cx.operand_type(slot)?.dtype != dtype {
            return Refuse::because("PyTorch's operands have one dtype");
        }
    }
    Ok(())
}

fn batch_normalization(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::BatchNormalization(b) = op else { return other_op() };
    if b.training_mode || cx.wants(1) || cx.wants(2) {
        return Refuse::because("PyTorch counts the running variance differently");
    }
    one_dtype(cx, &[1, 2, 3, 4])?;
    let v = cx.from(0)?;
    let ty = cx.result_type(0)?;
    if ty.rank() < 2 {
        return Refuse::because("PyTorch's has channels");
    }
    let momentum = ((1.0 - b.momentum.0) * 1e6).round() / 1e6;
    let args = args![v[0], v[1], v[2], v[3], v[4], false, momentum, b.epsilon.0, true];
    let y = cx.op("aten::batch_norm", args, ty)?;
    cx.one(y)
}

fn instance_normalization(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::InstanceNormalization(i) = op else { return other_op() };
    one_dtype(cx, &[1, 2])?;
    let v = cx.from(0)?;
    let ty = cx.result_type(0)?;
    let args = args![v[0], v[1], v[2], Arg::None, Arg::None, true, 0.1, i.epsilon.0, true];
    let y = cx.op("aten::instance_norm", args, ty)?;
    cx.one(y)
}

/// The dtype of statistics: PyTorch's are at least f32.
fn stash(dtype: DType, stash: Option<DType>) -> Result<(), Refuse> {
    let own = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    match stash.unwrap_or(dtype) {
        s if s == own || s == dtype => Ok(()),
        s => Refuse::because(format!("PyTorch's statistics are not in {s}")),
    }
}

fn group_normalization(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::GroupNormalization(g) = op else { return other_op() };
    one_dtype(cx, &[1, 2])?;
    let v = cx.from(0)?;
    let ty = cx.result_type(0)?;
    stash(ty.dtype, g.stash)?;
    if cx.shape(v[1])?.first() != ty.shape.get(1) {
        return Refuse::because("PyTorch's scale is one per channel");
    }
    let args = args![v[0], g.num_groups, v[1], v[2], g.epsilon.0];
    let y = cx.op("aten::group_norm", args, ty)?;
    cx.one(y)
}

/// The sizes that are normalised over, and a scale or bias of that shape.
fn scaled_over(
    cx: &mut ExportCx<'_, '_>,
    axis: i64,
    slots: &[usize],
) -> Result<(Vec<i64>, Vec<Arg>), Refuse> {
    let axis = axes_of(&[axis])?[0];
    let shape = cx.operand_type(0)?.shape;
    let Some(sizes) = shape.get(axis..).and_then(known) else {
        return Refuse::because("sizes that are normalised over are not known");
    };
    let dims: Vec<Dim> = sizes.iter().map(|&n| Dim::Known(n)).collect();
    let mut out = Vec::new();
    for &slot in slots {
        let Some(value) = cx.value(slot) else {
            out.push(Arg::None);
            continue;
        };
        let value = cx.ex.bare(value);
        let ty = cx.ex.value_type(value)?;
        let given = known(&ty.shape);
        let count: i64 = sizes.iter().product();
        let fits = given.is_some_and(|g| {
            let inner: Vec<i64> = g.iter().copied().skip_while(|&n| n == 1).collect();
            let own: Vec<i64> = sizes.iter().copied().skip_while(|&n| n == 1).collect();
            inner == own && g.iter().product::<i64>() == count
        });
        if !fits {
            return Refuse::because("PyTorch's scale has the shape that is normalised over");
        }
        let var = cx.ex.var_of(value)?;
        out.push(cx.reshape(var, &dims)?.into());
    }
    Ok((sizes, out))
}

fn layer_normalization(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::LayerNormalization(l) = op else { return other_op() };
    one_dtype(cx, &[1, 2])?;
    let x = cx.x(0)?;
    let ty = cx.ty(x)?;
    stash(ty.dtype, l.stash)?;
    let (sizes, parts) = scaled_over(cx, l.axis, &[1, 2])?;
    let [scale, bias] = [parts[0].clone(), parts[1].clone()];
    if !cx.wants(1) && !cx.wants(2) {
        let args = args![x, &sizes, scale, bias, l.epsilon.0];
        let y = cx.op("aten::layer_norm", args, ty)?;
        return cx.one(y);
    }
    let statistics = match (cx.wants(1), cx.wants(2)) {
        (true, _) => cx.result_type(1)?,
        _ => cx.result_type(2)?,
    };
    if !matches!(ty.dtype, DType::F32 | DType::F64) || statistics.dtype != ty.dtype {
        return Refuse::because("PyTorch's statistics have the dtype of the operand");
    }
    let types: [TensorType; 3] = [ty, statistics.clone(), statistics];
    let args = args![x, &sizes, scale, bias, l.epsilon.0];
    let [y, mean, inv_std]: [Var; 3] = cx.ops("aten::native_layer_norm", args, types)?;
    cx.all([y, mean, inv_std])
}

fn rms_normalization(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::RmsNormalization(r) = op else { return other_op() };
    one_dtype(cx, &[1])?;
    let x = cx.x(0)?;
    let ty = cx.ty(x)?;
    stash(ty.dtype, r.stash)?;
    let (sizes, parts) = scaled_over(cx, r.axis, &[1])?;
    let y = cx.op("aten::rms_norm", args![x, &sizes, parts[0].clone(), r.epsilon.0], ty)?;
    cx.one(y)
}
