//! Reading rules of matrix products.

use airconv_ir::attr::Float;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Add, Einsum, Gemm, Matmul, Mul, OpKind, ReduceKind, Transpose};

use super::call::{CallCx, Stop};
use super::promote::Number;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_trilinear", &[OpKind::Mul, OpKind::Reduce], trilinear),
    ImportRule::new("aten::addmm", &[OpKind::Gemm], addmm),
    ImportRule::new("aten::baddbmm", &[OpKind::Matmul, OpKind::Add], baddbmm),
    ImportRule::new("aten::bmm", &[OpKind::Matmul], bmm),
    ImportRule::new("aten::dot", &[OpKind::Matmul], dot),
    ImportRule::new("aten::einsum", &[OpKind::Einsum], einsum),
    ImportRule::new("aten::linear", &[OpKind::Matmul, OpKind::Gemm, OpKind::Add], linear),
    ImportRule::new("aten::matmul", &[OpKind::Matmul], matmul),
    ImportRule::of("aten::mm", "", &[OpKind::Matmul], mm),
    ImportRule::new("aten::mv", &[OpKind::Matmul], mv),
];

/// `mm`: the product of two matrices.
fn mm(cx: &mut CallCx<'_>) -> Outcome {
    product(cx, "self", "mat2")
}

/// `bmm`: the products of matrices in a batch.
fn bmm(cx: &mut CallCx<'_>) -> Outcome {
    product(cx, "self", "mat2")
}

/// `matmul`, with NumPy's rules for vectors and batches.
fn matmul(cx: &mut CallCx<'_>) -> Outcome {
    product(cx, "self", "other")
}

/// `mv`: a matrix times a vector.
fn mv(cx: &mut CallCx<'_>) -> Outcome {
    product(cx, "self", "vec")
}

/// `dot`: the product of two vectors.
fn dot(cx: &mut CallCx<'_>) -> Outcome {
    product(cx, "self", "tensor")
}

fn product(cx: &mut CallCx<'_>, a: &str, b: &str) -> Outcome {
    let (a, b) = (cx.tensor(a)?, cx.tensor(b)?);
    Ok(cx.emit(Matmul {}, &[a, b])?.into())
}

/// `linear`: x times the transposed weight, plus a bias.
fn linear(cx: &mut CallCx<'_>) -> Outcome {
    let (x, weight) = (cx.tensor("input")?, cx.tensor("weight")?);
    let bias = cx.opt_tensor("bias")?;
    if cx.rank(x)? == 2 && cx.rank(weight)? == 2 && cx.dtype(x)?.is_float() {
        let (one, trans_b) = (Float(1.0), true);
        let op = Gemm { alpha: one, beta: one, trans_a: false, trans_b };
        return Ok(cx.emit_opt(op, &[Some(x), Some(weight), bias])?.into());
    }
    let weight = match cx.rank(weight)? {
        2 => cx.emit(Transpose { perm: vec![1, 0] }, &[weight])?,
        _ => weight,
    };
    let y = cx.emit(Matmul {}, &[x, weight])?;
    match bias {
        Some(bias) => {
            let both = cx.broadcast(&[y, bias])?;
            Ok(cx.emit(Add {}, &both)?.into())
        }
        None => Ok(y.into()),
    }
}

/// `addmm`: beta * self + alpha * (mat1 times mat2).
fn addmm(cx: &mut CallCx<'_>) -> Outcome {
    let (c, a, b) = (cx.tensor("self")?, cx.tensor("mat1")?, cx.tensor("mat2")?);
    let (alpha, beta) = (cx.number("alpha")?, cx.number("beta")?);
    if let (Some(alpha), Some(beta), true) = (alpha.known(), beta.known(), is_f32_or_wider(cx, a)?)
        && beta != 0.0
    {
        let (alpha, beta) = (Float(alpha), Float(beta));
        let op = Gemm { alpha, beta, trans_a: false, trans_b: false };
        return Ok(cx.emit_opt(op, &[Some(a), Some(b), Some(c)])?.into());
    }
    scaled_sum(cx, c, a, b, &alpha, &beta)
}

/// `baddbmm`: beta * self + alpha * (batch1 times batch2).
fn baddbmm(cx: &mut CallCx<'_>) -> Outcome {
    let (c, a, b) = (cx.tensor("self")?, cx.tensor("batch1")?, cx.tensor("batch2")?);
    let (alpha, beta) = (cx.number("alpha")?, cx.number("beta")?);
    scaled_sum(cx, c, a, b, &alpha, &beta)
}

fn is_f32_or_wider(cx: &CallCx<'_>, x: ValueId) -> Result<bool, Stop> {
    Ok(matches!(cx.dtype(x)?, DType::F32 | DType::F64))
}

/// beta * c + alpha * (a times b); with beta 0, c does not count at all.
pub(super) fn scaled_sum(
    cx: &mut CallCx<'_>,
    c: ValueId,
    a: ValueId,
    b: ValueId,
    alpha: &Number,
    beta: &Number,
) -> Outcome {
    let ab = cx.emit(Matmul {}, &[a, b])?;
    let product = scaled(cx, ab, alpha)?;
    if beta.is(0) {
        return Ok(product.into());
    }
    let c = scaled(cx, c, beta)?;
    let shape = cx.shape(product)?;
    let c = cx.broadcast_to(c, &shape)?;
    Ok(cx.emit(Add {}, &[c, product])?.into())
}

/// A tensor times a number.
pub(super) fn scaled(cx: &mut CallCx<'_>, x: ValueId, by: &Number) -> Result<ValueId, Stop> {
    if by.is(1) {
        return Ok(x);
    }
    let dtype = cx.dtype(x)?;
    let factor = cx.number_value(by, dtype)?;
    if dtype == DType::Bool {
        return Ok(cx.b().and(x, factor)?);
    }
    let both = cx.broadcast(&[x, factor])?;
    cx.emit(Mul {}, &both)
}

/// `einsum`; a path of contraction has no bearing on the value.
fn einsum(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["path"]);
    let equation = cx.string("equation")?.to_string();
    let operands: Vec<Option<ValueId>> = cx.tensors("tensors")?.into_iter().map(Some).collect();
    Ok(cx.emit_opt(Einsum { equation }, &operands)?.into())
}

/// `_trilinear`: the product of three operands with new axes, summed along some.
fn trilinear(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["unroll_dim"]);
    let mut product = None;
    for (name, axes) in [("i1", "expand1"), ("i2", "expand2"), ("i3", "expand3")] {
        let x = cx.tensor(name)?;
        let rank = cx.rank(x)? + cx.ints(axes)?.len();
        let mut axes = cx.axes(axes, rank)?;
        axes.sort_unstable();
        let x = cx.b().unsqueeze(x, &axes)?;
        product = Some(match product {
            Some(p) => cx.b().mul(p, x)?,
            None => x,
        });
    }
    let Some(product) = product else { return cx.invalid("there are no operands") };
    let rank = cx.rank(product)?;
    let axes = cx.axes("sumdim", rank)?;
    Ok(super::reduce::reduced(cx, ReduceKind::Sum, product, &axes, false)?.into())
}
