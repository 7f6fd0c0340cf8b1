//! Writing rules of the linear family.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::{Contract, Op, OpKind, Transpose};
use airconv_ir::types::TensorType;

use super::cx::{ExportCx, Refuse, Written, args, number_of, other_op};
use super::elementwise::compute_dtype;
use super::program::{Arg, Var};
use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::Contract, contract),
    ExportRule::new(OpKind::Matmul, matmul),
    ExportRule::new(OpKind::Gemm, gemm),
    ExportRule::new(OpKind::Einsum, einsum),
    ExportRule::new(OpKind::Det, det),
];

/// The operands of a product in a dtype that PyTorch multiplies in.
fn operands(cx: &mut ExportCx<'_, '_>, slots: usize) -> Result<Vec<Var>, Refuse> {
    let mut out = Vec::new();
    for slot in 0..slots {
        let x = cx.x(slot)?;
        let dtype = cx.dtype(x)?;
        if dtype == DType::Bool {
            return Refuse::because("PyTorch multiplies no matrices of bools");
        }
        out.push(cx.cast(x, compute_dtype(dtype))?);
    }
    Ok(out)
}

fn finish(cx: &mut ExportCx<'_, '_>, y: Var) -> Written {
    let dtype = cx.result_type(0)?.dtype;
    let y = cx.cast(y, dtype)?;
    cx.one(y)
}

/// A letter for each axis of a contraction.
fn equation(c: &Contract, lhs: usize, rhs: usize) -> Option<String> {
    let mut letters = ('a'..='z').chain('A'..='Z');
    let mut left = vec![None; lhs];
    let mut right = vec![None; rhs];
    let mut out = String::new();
    for (&l, &r) in c.lhs_batch.iter().zip(&c.rhs_batch) {
        let letter = letters.next()?;
        *left.get_mut(usize::try_from(l).ok()?)? = Some(letter);
        *right.get_mut(usize::try_from(r).ok()?)? = Some(letter);
        out.push(letter);
    }
    for (&l, &r) in c.lhs_contract.iter().zip(&c.rhs_contract) {
        let letter = letters.next()?;
        *left.get_mut(usize::try_from(l).ok()?)? = Some(letter);
        *right.get_mut(usize::try_from(r).ok()?)? = Some(letter);
    }
    for slot in left.iter_mut().chain(&mut right).filter(|s| s.is_none()) {
        let letter = letters.next()?;
        *slot = Some(letter);
        out.push(letter);
    }
    let side = |v: Vec<Option<char>>| v.into_iter().flatten().collect::<String>();
    Some(format!("{},{}->{out}", side(left), side(right)))
}

/// `contract`: `linear` or `matmul` where axes stand right, else `einsum`.
fn contract(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Contract(c) = op else { return other_op() };
    let both = operands(cx, 2)?;
    let (a, b) = (both[0], both[1]);
    let (lhs, rhs) = (cx.ty(a)?.rank(), cx.ty(b)?.rank());
    let ty = TensorType { dtype: cx.dtype(a)?, ..cx.result_type(0)? };
    let y = if is_linear(c, lhs, rhs) && ty.dtype.is_float() {
        cx.op("aten::linear", args![a, b], ty)?
    } else if is_matmul(c, lhs, rhs) {
        cx.op("aten::matmul", args![a, b], ty)?
    } else {
        let Some(equation) = equation(c, lhs, rhs) else {
            return Refuse::because("it has more axes than there are letters");
        };
        cx.op("aten::einsum", args![equation.as_str(), vec![a, b]], ty)?
    };
    finish(cx, y)
}

/// The last axis of x with the last one of a matrix.
fn is_linear(c: &Contract, lhs: usize, rhs: usize) -> bool {
    c.lhs_batch.is_empty()
        && rhs == 2
        && lhs > 0
        && c.lhs_contract == [lhs as i64 - 1]
        && c.rhs_contract == [1]
}

/// The last axis of the left with the last but one of the right; all before are batches.
fn is_matmul(c: &Contract, lhs: usize, rhs: usize) -> bool {
    let batch: Vec<i64> = (0..c.lhs_batch.len() as i64).collect();
    let n = batch.len();
    c.lhs_batch == batch
        && c.rhs_batch == batch
        && lhs == n + 2
        && rhs == n + 2
        && c.lhs_contract == [n as i64 + 1]
        && c.rhs_contract == [n as i64]
}

/// `matmul`: `linear` where the right operand is a transposed matrix.
fn matmul(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Matmul(_) = op else { return other_op() };
    let result = cx.result_type(0)?;
    if let Some(weight) = transposed_matrix(cx)?
        && result.dtype.is_float()
        && compute_dtype(result.dtype) == result.dtype
    {
        let x = cx.x(0)?;
        let y = cx.op("aten::linear", args![x, weight], result)?;
        return cx.one(y);
    }
    let both = operands(cx, 2)?;
    let ty = TensorType { dtype: cx.dtype(both[0])?, ..result };
    let y = cx.op("aten::matmul", args![both[0], both[1]], ty)?;
    finish(cx, y)
}

/// The matrix whose transpose the right operand is.
fn transposed_matrix(cx: &mut ExportCx<'_, '_>) -> Result<Option<Var>, Refuse> {
    let right = cx.ex.root(cx.required(1)?);
    let Some(node) = cx.ex.maker(right) else { return Ok(None) };
    let (Op::Transpose(Transpose { perm }), Some(matrix)) = (&node.op, node.operand(0)) else {
        return Ok(None);
    };
    if *perm != [1, 0] || cx.operand_type(0)?.rank() < 2 {
        return Ok(None);
    }
    cx.ex.var_of(matrix).map(Some)
}

/// `gemm`: `linear` for a transposed weight and a bias vector, else `addmm` or `mm`.
fn gemm(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Gemm(g) = op else { return other_op() };
    let result = cx.result_type(0)?;
    let bias = match cx.value(2) {
        Some(v) => Some(cx.ex.value_type(v)?.rank()),
        None => None,
    };
    let work = compute_dtype(result.dtype);
    let plain = g.alpha.0 == 1.0 && (g.beta.0 == 1.0 || bias.is_none());
    if plain
        && g.trans_b
        && !g.trans_a
        && work == result.dtype
        && work.is_float()
        && bias.is_none_or(|r| r == 1)
    {
        let (x, weight, bias) = (cx.x(0)?, cx.x(1)?, cx.opt(2)?);
        let bias = bias.map_or(Arg::Default, Arg::Tensor);
        let y = cx.op("aten::linear", args![x, weight, bias], result)?;
        return cx.one(y);
    }
    let both = operands(cx, 2)?;
    let (mut a, mut b) = (both[0], both[1]);
    if g.trans_a {
        a = cx.permute(a, &[1, 0])?;
    }
    if g.trans_b {
        b = cx.permute(b, &[1, 0])?;
    }
    let ty = TensorType { dtype: work, ..result };
    if work.is_integer() && (g.alpha.0.fract() != 0.0 || g.beta.0.fract() != 0.0) {
        return Refuse::because("integers are scaled by fractions");
    }
    let (alpha, beta) = (number_of(work, g.alpha.0), number_of(work, g.beta.0));
    let y = match cx.opt(2)? {
        Some(c) if g.beta.0 != 0.0 => {
            let c = cx.cast(c, work)?;
            cx.op("aten::addmm", args![c, a, b, beta, alpha], ty)?
        }
        Some(_) => return Refuse::because("a summand times 0 can be NaN"),
        None => {
            let y = cx.op("aten::mm", args![a, b], ty)?;
            if g.alpha.0 == 1.0 { y } else { cx.with("aten::mul.Tensor", y, alpha)? }
        }
    };
    finish(cx, y)
}

fn einsum(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Einsum(e) = op else { return other_op() };
    let parts = operands(cx, cx.count())?;
    let ty = TensorType { dtype: cx.dtype(parts[0])?, ..cx.result_type(0)? };
    let y = cx.op("aten::einsum", args![e.equation.as_str(), parts], ty)?;
    finish(cx, y)
}

fn det(cx: &mut ExportCx<'_, '_>, op: &Op) -> Written {
    let Op::Det(_) = op else { return other_op() };
    let x = cx.x(0)?;
    let ty = cx.result_type(0)?;
    if !matches!(ty.dtype, DType::F32 | DType::F64) {
        return Refuse::because(format!("PyTorch has no determinant of {}", ty.dtype));
    }
    let y = cx.op("aten::linalg_det", args![x], ty)?;
    cx.one(y)
}

/// Sizes of axes as a list of numbers; nothing where one is not known.
pub(super) fn known(dims: &[Dim]) -> Option<Vec<i64>> {
    dims.iter().map(Dim::as_known).collect()
}
