//! Reading rules of what belongs to no larger family.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    Add, Gelu, GeluKind, Matmul, OpKind, Pad, PadMode, ReduceKind, Relu, Softmax,
};

use super::arg::Arg;
use super::call::CallCx;
use super::linear::scaled;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::of("aten::_add_relu", "Tensor", &[OpKind::Add, OpKind::Relu], add_relu),
    ImportRule::new("aten::_addmm_activation", &[OpKind::Matmul], addmm_activation),
    ImportRule::new("aten::_cast_Byte", &[OpKind::Cast], |cx| cast_to(cx, DType::U8)),
    ImportRule::new("aten::_cast_Char", &[OpKind::Cast], |cx| cast_to(cx, DType::I8)),
    ImportRule::new("aten::_cast_Double", &[OpKind::Cast], |cx| cast_to(cx, DType::F64)),
    ImportRule::new("aten::_cast_Float", &[OpKind::Cast], |cx| cast_to(cx, DType::F32)),
    ImportRule::new("aten::_cast_Half", &[OpKind::Cast], |cx| cast_to(cx, DType::F16)),
    ImportRule::new("aten::_cast_Int", &[OpKind::Cast], |cx| cast_to(cx, DType::I32)),
    ImportRule::new("aten::_cast_Long", &[OpKind::Cast], |cx| cast_to(cx, DType::I64)),
    ImportRule::new("aten::_cast_Short", &[OpKind::Cast], |cx| cast_to(cx, DType::I16)),
    ImportRule::new("aten::_int_mm", &[OpKind::Matmul], int_mm),
    ImportRule::new("aten::_is_all_true", &[OpKind::Reduce], is_all_true),
    ImportRule::new("aten::_is_any_true", &[OpKind::Reduce], is_any_true),
    ImportRule::new("aten::_masked_softmax", &[OpKind::Softmax], masked_softmax),
    ImportRule::new("aten::_shape_as_tensor", &[OpKind::DimValue], shape_as_tensor),
    ImportRule::new("aten::pad_sequence", &[OpKind::Pad, OpKind::Concat], pad_sequence),
    ImportRule::new("aten::type_as", &[OpKind::Cast], type_as),
];

/// `_cast_Float` and the like: another dtype.
fn cast_to(cx: &mut CallCx<'_>, dtype: DType) -> Outcome {
    cx.ignore(&["non_blocking"]);
    let x = cx.tensor("self")?;
    Ok(cx.cast(x, dtype)?.into())
}

/// `type_as`: the dtype of another tensor.
fn type_as(cx: &mut CallCx<'_>) -> Outcome {
    let (x, other) = (cx.tensor("self")?, cx.tensor("other")?);
    let dtype = cx.dtype(other)?;
    Ok(cx.cast(x, dtype)?.into())
}

/// `_shape_as_tensor`: the sizes as a vector.
fn shape_as_tensor(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let shape = cx.shape(x)?;
    Ok(cx.b().dims_value(&shape)?.into())
}

/// `_is_all_true`.
fn is_all_true(cx: &mut CallCx<'_>) -> Outcome {
    over_all(cx, ReduceKind::And)
}

/// `_is_any_true`.
fn is_any_true(cx: &mut CallCx<'_>) -> Outcome {
    over_all(cx, ReduceKind::Or)
}

fn over_all(cx: &mut CallCx<'_>, kind: ReduceKind) -> Outcome {
    let x = cx.tensor("self")?;
    let axes: Vec<usize> = (0..cx.rank(x)?).collect();
    let x = cx.cast(x, DType::Bool)?;
    Ok(cx.b().reduce(kind, x, &axes, false)?.into())
}

/// `_add_relu`: relu(self + alpha * other).
fn add_relu(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    let alpha = cx.number("alpha")?;
    let other = scaled(cx, operands[1], &alpha)?;
    let sum = cx.emit(Add {}, &[operands[0], other])?;
    Ok(cx.emit(Relu {}, &[sum])?.into())
}

/// `_addmm_activation`: relu or gelu of beta * self + alpha * (mat1 times mat2).
fn addmm_activation(cx: &mut CallCx<'_>) -> Outcome {
    let (c, a, b) = (cx.tensor("self")?, cx.tensor("mat1")?, cx.tensor("mat2")?);
    let (alpha, beta, use_gelu) = (cx.number("alpha")?, cx.number("beta")?, cx.bool("use_gelu")?);
    let product = cx.emit(Matmul {}, &[a, b])?;
    let product = scaled(cx, product, &alpha)?;
    let c = scaled(cx, c, &beta)?;
    let sum = cx.b().add(c, product)?;
    // The kernel for CPUs has the exact form.
    let y = match use_gelu {
        true => cx.emit(Gelu { approximate: GeluKind::Exact }, &[sum])?,
        false => cx.emit(Relu {}, &[sum])?,
    };
    Ok(y.into())
}

/// `_int_mm`: a product of bytes in 32 bits.
fn int_mm(cx: &mut CallCx<'_>) -> Outcome {
    let (a, b) = (cx.tensor("self")?, cx.tensor("mat2")?);
    let (a, b) = (cx.cast(a, DType::I32)?, cx.cast(b, DType::I32)?);
    Ok(cx.emit(Matmul {}, &[a, b])?.into())
}

/// `_masked_softmax`: positions where the mask is true do not count; of rows without others the
/// result is zero.
fn masked_softmax(cx: &mut CallCx<'_>) -> Outcome {
    let (x, mask) = (cx.tensor("self")?, cx.tensor("mask")?);
    let rank = cx.rank(x)?;
    let axis = match cx.given("dim")? {
        true => cx.axis("dim", rank)?,
        false => rank.saturating_sub(1),
    };
    let kind = cx.opt_int("mask_type")?.unwrap_or(2);
    if rank == 4 && kind == 1 {
        // A mask of padding, [batch, keys].
        return softmax_of(cx, x, mask, axis, &[1, 1]);
    }
    softmax_of(cx, x, mask, axis, &[])
}

fn softmax_of(
    cx: &mut CallCx<'_>,
    x: ValueId,
    mask: ValueId,
    axis: usize,
    new_axes: &[usize],
) -> Outcome {
    let mut b = cx.b();
    let mask = b.unsqueeze(mask, new_axes)?;
    let lowest = b.scalar_like(x, f64::NEG_INFINITY)?;
    let scores = b.select(mask, lowest, x)?;
    let y = b.emit(Softmax { axes: vec![axis as i64] }, &[scores])?;
    Ok(super::norm::zero_where_masked(cx, scores, &[axis], y)?.into())
}

/// `pad_sequence`: sequences of different lengths side by side, filled up at an end.
fn pad_sequence(cx: &mut CallCx<'_>) -> Outcome {
    let list = cx.tensors("sequences")?;
    let (batch_first, value) = (cx.bool("batch_first")?, cx.number("padding_value")?);
    let left = match cx.has("padding_side") {
        true => &*cx.string("padding_side")? == "left",
        false => false,
    };
    let mut lengths = Vec::new();
    for &x in &list {
        match cx.shape(x)?.first() {
            Some(n) => lengths.push(n.clone()),
            None => return cx.invalid("a sequence has an axis of steps"),
        }
    }
    let most = Dim::max_all(lengths.iter().cloned());
    let mut parts = Vec::new();
    for (&x, length) in list.iter().zip(&lengths) {
        let ty = cx.ty(x)?;
        let fill = cx.number_value(&value, ty.dtype)?;
        let none = vec![Dim::Known(0); ty.rank()];
        let (mut low, mut high) = (none.clone(), none);
        *(if left { &mut low[0] } else { &mut high[0] }) = &most - length;
        let padded = cx.emit(Pad { low, high, mode: PadMode::Constant }, &[x, fill])?;
        let mut dims = ty.shape.to_vec();
        dims[0] = most.clone();
        let padded = cx.b().reshape(padded, &dims)?;
        parts.push(cx.b().unsqueeze(padded, &[usize::from(!batch_first)])?);
    }
    if parts.is_empty() {
        return cx.invalid("there are no sequences");
    }
    Ok(Arg::Tensor(cx.b().concat(&parts, usize::from(!batch_first))?).into())
}
