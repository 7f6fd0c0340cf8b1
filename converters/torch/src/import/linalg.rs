//! Reading rules of linear algebra that is products and sums.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{self, Contract, Det, Matmul, Mul, OpKind, ReduceKind};

use super::arg::Arg;
use super::call::{CallCx, Stop};
use super::complex::conjugate;
use super::formula::{value, when, work_dtype};
use super::index::{cut, permuted};
use super::layout::rolled;
use super::linear::{scaled, scaled_sum};
use super::promote::{Category, Number};
use super::reduce::{norm_along, reduced};
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_cdist_forward", &[OpKind::Sub, OpKind::Reduce], cdist),
    ImportRule::new("aten::_linalg_check_errors", &[], check_errors),
    ImportRule::new("aten::_pdist_forward", &[OpKind::Sub, OpKind::Reduce], pdist),
    ImportRule::new("aten::addbmm", &[OpKind::Matmul, OpKind::Reduce], addbmm),
    ImportRule::new("aten::addmv", &[OpKind::Matmul, OpKind::Add], addmv),
    ImportRule::new("aten::addr", &[OpKind::Mul, OpKind::Add], addr),
    ImportRule::new("aten::cdist", &[OpKind::Sub, OpKind::Reduce], cdist),
    ImportRule::new("aten::chain_matmul", &[OpKind::Matmul], multi_dot),
    ImportRule::new("aten::cross", &[OpKind::Mul, OpKind::Sub], cross),
    ImportRule::new("aten::det", &[OpKind::Det], det),
    ImportRule::new("aten::inner", &[OpKind::Contract], inner),
    ImportRule::new("aten::kron", &[OpKind::Mul, OpKind::Reshape], kron),
    ImportRule::new("aten::linalg_cross", &[OpKind::Mul, OpKind::Sub], cross),
    ImportRule::new("aten::linalg_det", &[OpKind::Det], det),
    ImportRule::new("aten::linalg_matrix_norm", &[OpKind::Reduce], matrix_norm),
    ImportRule::new("aten::linalg_matrix_power", &[OpKind::Matmul], matrix_power),
    ImportRule::new("aten::linalg_multi_dot", &[OpKind::Matmul], multi_dot),
    ImportRule::new("aten::linalg_norm", &[OpKind::Reduce], linalg_norm),
    ImportRule::new("aten::linalg_slogdet", &[OpKind::Det, OpKind::Log], slogdet),
    ImportRule::new("aten::linalg_vander", &[OpKind::Pow], vander),
    ImportRule::new("aten::linalg_vecdot", &[OpKind::Mul, OpKind::Reduce], vecdot),
    ImportRule::new("aten::logdet", &[OpKind::Det, OpKind::Log], logdet),
    ImportRule::new("aten::matrix_power", &[OpKind::Matmul], matrix_power),
    ImportRule::new("aten::outer", &[OpKind::Mul], outer),
    ImportRule::new("aten::pdist", &[OpKind::Sub, OpKind::Reduce], pdist),
    ImportRule::new("aten::renorm", &[OpKind::Reduce, OpKind::Mul], renorm),
    ImportRule::new("aten::slogdet", &[OpKind::Det, OpKind::Log], slogdet),
    ImportRule::new("aten::tensordot", &[OpKind::Contract], tensordot),
    ImportRule::new("aten::vdot", &[OpKind::Contract], vdot),
];

/// The last two axes in the other order.
pub(super) fn transposed(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    let rank = cx.rank(x)? as i64;
    if rank < 2 {
        return cx.invalid("a matrix is needed");
    }
    let mut perm: Vec<i64> = (0..rank).collect();
    perm.swap(rank as usize - 1, rank as usize - 2);
    permuted(cx, x, &perm)
}

/// A product of matrices.
pub(super) fn times(cx: &mut CallCx<'_>, a: ValueId, b: ValueId) -> Result<ValueId, Stop> {
    cx.emit(Matmul {}, &[a, b])
}

/// `_linalg_check_errors`: what fails, fails where it is computed.
fn check_errors(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["info", "api_name", "is_matrix"]);
    Ok(super::arg::Returns(Vec::new()))
}

// Products.

/// `addmv`: beta * self + alpha * (mat times vec).
fn addmv(cx: &mut CallCx<'_>) -> Outcome {
    let (c, a, b) = (cx.tensor("self")?, cx.tensor("mat")?, cx.tensor("vec")?);
    let (alpha, beta) = (cx.number("alpha")?, cx.number("beta")?);
    scaled_sum(cx, c, a, b, &alpha, &beta)
}

/// `addbmm`: beta * self + alpha * the sum of the products of a batch.
fn addbmm(cx: &mut CallCx<'_>) -> Outcome {
    let (c, a, b) = (cx.tensor("self")?, cx.tensor("batch1")?, cx.tensor("batch2")?);
    let (alpha, beta) = (cx.number("alpha")?, cx.number("beta")?);
    let op = Contract {
        lhs_batch: Vec::new(),
        rhs_batch: Vec::new(),
        lhs_contract: vec![0, 2],
        rhs_contract: vec![0, 1],
    };
    let product = cx.emit(op, &[a, b])?;
    added(cx, c, product, &alpha, &beta)
}

/// beta * c + alpha * product; with beta 0, c does not count at all.
fn added(
    cx: &mut CallCx<'_>,
    c: ValueId,
    product: ValueId,
    alpha: &Number,
    beta: &Number,
) -> Outcome {
    let product = scaled(cx, product, alpha)?;
    if beta.is(0) {
        return Ok(product.into());
    }
    let c = scaled(cx, c, beta)?;
    Ok(match cx.category(product)? {
        Category::Bool => {
            let both = cx.broadcast(&[c, product])?;
            cx.emit(op::Or {}, &both)?
        }
        _ => cx.b().add(c, product)?,
    }
    .into())
}

/// All products of the elements of two vectors.
fn outer_product(cx: &mut CallCx<'_>, a: ValueId, b: ValueId) -> Result<ValueId, Stop> {
    let column = cx.b().unsqueeze(a, &[1])?;
    let both = cx.broadcast(&[column, b])?;
    match cx.category(a)? {
        Category::Bool => cx.emit(op::And {}, &both),
        _ => cx.emit(Mul {}, &both),
    }
}

/// `outer`: all products of the elements of two vectors.
fn outer(cx: &mut CallCx<'_>) -> Outcome {
    let (a, b) = promoted_pair(cx, "self", "vec2")?;
    Ok(outer_product(cx, a, b)?.into())
}

/// `addr`: beta * self + alpha * (vec1 outer vec2).
fn addr(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.operands(&["self", "vec1", "vec2"])?;
    let dtype = super::promote::result_type(cx, &operands)?;
    let mut values = Vec::new();
    for operand in &operands {
        values.push(cx.operand_value(operand, dtype)?);
    }
    let (alpha, beta) = (cx.number("alpha")?, cx.number("beta")?);
    let product = outer_product(cx, values[1], values[2])?;
    added(cx, values[0], product, &alpha, &beta)
}

/// Two tensors in their common dtype, of their own shapes.
fn promoted_pair(cx: &mut CallCx<'_>, a: &str, b: &str) -> Result<(ValueId, ValueId), Stop> {
    let operands = cx.operands(&[a, b])?;
    let dtype = super::promote::result_type(cx, &operands)?;
    Ok((cx.operand_value(&operands[0], dtype)?, cx.operand_value(&operands[1], dtype)?))
}

/// A product that contracts these axes.
fn contracted(
    cx: &mut CallCx<'_>,
    a: ValueId,
    b: ValueId,
    of_a: Vec<i64>,
    of_b: Vec<i64>,
) -> Result<ValueId, Stop> {
    let (lhs_batch, rhs_batch) = (Vec::new(), Vec::new());
    let op = Contract { lhs_batch, rhs_batch, lhs_contract: of_a, rhs_contract: of_b };
    cx.emit(op, &[a, b])
}

/// `inner`: products along the last axes; with a scalar, elementwise.
fn inner(cx: &mut CallCx<'_>) -> Outcome {
    let (a, b) = promoted_pair(cx, "self", "other")?;
    let (ra, rb) = (cx.rank(a)? as i64, cx.rank(b)? as i64);
    if ra == 0 || rb == 0 {
        return Ok(cx.b().mul(a, b)?.into());
    }
    Ok(contracted(cx, a, b, vec![ra - 1], vec![rb - 1])?.into())
}

/// `vdot`: of vectors, the first one conjugated.
fn vdot(cx: &mut CallCx<'_>) -> Outcome {
    let (a, b) = (cx.tensor("self")?, cx.tensor("other")?);
    let a = conjugate(cx, a)?;
    Ok(contracted(cx, a, b, vec![0], vec![0])?.into())
}

/// `linalg_vecdot`: products summed along an axis, the first operand conjugated.
fn vecdot(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["x", "y"])?;
    let rank = cx.rank(operands[0])?;
    let axis = cx.axis("dim", rank)?;
    let a = conjugate(cx, operands[0])?;
    let product = cx.b().mul(a, operands[1])?;
    Ok(cx.b().reduce(ReduceKind::Sum, product, &[axis], false)?.into())
}

/// `tensordot`.
fn tensordot(cx: &mut CallCx<'_>) -> Outcome {
    let (a, b) = (cx.tensor("self")?, cx.tensor("other")?);
    let (sa, sb) = (cx.shape(a)?, cx.shape(b)?);
    let (of_a, of_b) = (cx.axes("dims_self", sa.len())?, cx.axes("dims_other", sb.len())?);
    if of_a.len() != of_b.len() {
        return cx.invalid("there are as many axes on both sides");
    }
    // An axis of size 1 stands for any size: the other one is summed first.
    let sums = |own: &[Dim], axes: &[usize], other: &[Dim], others: &[usize]| -> Vec<usize> {
        let one = |d: &Dim| d.as_known() == Some(1);
        let pairs = axes.iter().zip(others);
        pairs.filter(|(i, j)| one(&other[**j]) && !one(&own[**i])).map(|(i, _)| *i).collect()
    };
    let (more_a, more_b) = (sums(&sa, &of_a, &sb, &of_b), sums(&sb, &of_b, &sa, &of_a));
    let a = reduced(cx, ReduceKind::Sum, a, &more_a, true)?;
    let b = reduced(cx, ReduceKind::Sum, b, &more_b, true)?;
    let ints = |axes: Vec<usize>| axes.into_iter().map(|d| d as i64).collect();
    Ok(contracted(cx, a, b, ints(of_a), ints(of_b))?.into())
}

/// `kron`: every element of the first times the second.
fn kron(cx: &mut CallCx<'_>) -> Outcome {
    let (a, b) = promoted_pair(cx, "self", "other")?;
    let (mut sa, mut sb) = (cx.shape(a)?.to_vec(), cx.shape(b)?.to_vec());
    let rank = sa.len().max(sb.len());
    for shape in [&mut sa, &mut sb] {
        while shape.len() < rank {
            shape.insert(0, 1.into());
        }
    }
    let (mut wide_a, mut wide_b, mut joined) = (Vec::new(), Vec::new(), Vec::new());
    for (m, n) in sa.iter().zip(&sb) {
        wide_a.extend([m.clone(), 1.into()]);
        wide_b.extend([1.into(), n.clone()]);
        joined.push(m * n);
    }
    let (a, b) = (cx.b().reshape(a, &wide_a)?, cx.b().reshape(b, &wide_b)?);
    let product = match cx.category(a)? {
        Category::Bool => cx.b().and(a, b)?,
        _ => cx.b().mul(a, b)?,
    };
    Ok(cx.b().reshape(product, &joined)?.into())
}

/// `linalg_multi_dot`: a product of matrices; the ends may be vectors.
fn multi_dot(cx: &mut CallCx<'_>) -> Outcome {
    let name = if cx.has("matrices") { "matrices" } else { "tensors" };
    let all = cx.tensors(name)?;
    let Some((&first, rest)) = all.split_first() else { return cx.invalid("there is no matrix") };
    let mut product = first;
    for &next in rest {
        product = times(cx, product, next)?;
    }
    Ok(product.into())
}

/// The most matrices that a power multiplies.
const MOST_POWER: i64 = 1 << 20;

/// `matrix_power`: by repeated squaring; power 0 is the identity.
fn matrix_power(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let mut n = cx.int("n")?;
    let mut base = x;
    if n < 0 {
        base = super::decomposition::inverse_of(cx, x)?;
        n = n.saturating_neg();
    }
    if n > MOST_POWER {
        return cx.unsupported(format!("a power of {n}"));
    }
    let mut product = None;
    while n > 0 {
        if n & 1 == 1 {
            product = Some(match product {
                None => base,
                Some(p) => times(cx, p, base)?,
            });
        }
        n >>= 1;
        if n > 0 {
            base = times(cx, base, base)?;
        }
    }
    match product {
        Some(p) => Ok(p.into()),
        None => {
            let shape = cx.shape(x)?;
            let [.., rows, columns] = &shape[..] else { return cx.invalid("a matrix is needed") };
            let dtype = cx.dtype(x)?;
            let dims = [rows.clone(), columns.clone()];
            let one = super::create::identity(cx, &dims, dtype)?;
            Ok(cx.broadcast_to(one, &shape)?.into())
        }
    }
}

/// `cross`: of the axis that is named; `cross` without one takes the first of size 3.
fn cross(cx: &mut CallCx<'_>) -> Outcome {
    let operands = cx.promoted(&["self", "other"])?;
    let shape = cx.shape(operands[0])?;
    let axis = match cx.given("dim")? {
        true => cx.axis("dim", shape.len())?,
        false => match shape.iter().position(|d| d.as_known() == Some(3)) {
            Some(axis) => axis,
            None => return cx.invalid("no axis is of size 3"),
        },
    };
    let mut turned = Vec::new();
    for x in operands {
        for shift in [-1, -2] {
            turned.push(rolled(cx, x, axis, &shift.into())?);
        }
    }
    let [a1, a2, b1, b2] = turned[..] else { return cx.invalid("two operands are needed") };
    let (left, right) = (cx.b().mul(a1, b2)?, cx.b().mul(a2, b1)?);
    Ok(cx.b().sub(left, right)?.into())
}

/// `linalg_vander`: powers of the elements along a new last axis.
fn vander(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("x")?;
    let shape = cx.shape(x)?;
    let x = match cx.category(x)? {
        Category::Bool | Category::Int => cx.cast(x, DType::I64)?,
        Category::Float => x,
        Category::Complex => return cx.unsupported("complex numbers"),
    };
    let own = shape.last().cloned().unwrap_or(Dim::Known(1));
    let count = cx.opt_dim("N")?.unwrap_or(own);
    let dtype = cx.dtype(x)?;
    let powers = cx.b().iota(dtype, count)?;
    let x = super::index::with_axis(cx, x)?;
    let rank = cx.rank(x)?;
    let x = cx.b().unsqueeze(x, &[rank])?;
    Ok(cx.b().pow(x, powers)?.into())
}

// Determinants.

/// The first matrix argument, under either name.
fn matrix(cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
    let x = if cx.has("A") { cx.tensor("A")? } else { cx.tensor("self")? };
    super::math::real_only(cx, x)?;
    Ok(x)
}

/// `det`: the determinant.
fn det(cx: &mut CallCx<'_>) -> Outcome {
    let x = matrix(cx)?;
    Ok(cx.emit(Det {}, &[x])?.into())
}

/// `slogdet`: sign and logarithm of the magnitude of the determinant.
fn slogdet(cx: &mut CallCx<'_>) -> Outcome {
    let x = matrix(cx)?;
    let dtype = cx.dtype(x)?;
    let det = cx.emit(Det {}, &[x])?;
    let sign = cx.b().sign(det)?;
    let log = cx.formula(&value(det).abs().log(), dtype)?;
    Ok([sign, log].into())
}

/// `logdet`: the logarithm of the determinant.
fn logdet(cx: &mut CallCx<'_>) -> Outcome {
    let x = matrix(cx)?;
    let det = cx.emit(Det {}, &[x])?;
    Ok(cx.b().log(det)?.into())
}

// Norms and distances.

/// The norm of matrices of an order that needs no singular values, with axes (rows, columns).
fn matrix_norm_of(
    cx: &mut CallCx<'_>,
    x: ValueId,
    order: Order,
    [rows, columns]: [usize; 2],
    keep: bool,
) -> Result<ValueId, Stop> {
    let order = match order {
        Order::Frobenius => return norm_along(cx, x, 2.0, &[rows, columns], keep),
        Order::Nuclear => return singular_norm(cx, x, ReduceKind::Sum, [rows, columns], keep),
        Order::Number(p) => p,
    };
    if order.abs() == 2.0 {
        let kind = if order > 0.0 { ReduceKind::Max } else { ReduceKind::Min };
        return singular_norm(cx, x, kind, [rows, columns], keep);
    }
    let (inner, outer) = match order.abs() {
        1.0 => (rows, columns),
        f64::INFINITY => (columns, rows),
        _ => return cx.invalid(format!("the order of the norm is {order}")),
    };
    let kind = if order > 0.0 { ReduceKind::Max } else { ReduceKind::Min };
    let sums = norm_along(cx, x, 1.0, &[inner], true)?;
    let best = reduced(cx, kind, sums, &[outer], true)?;
    let mut axes = [rows, columns];
    axes.sort_unstable();
    Ok(if keep { best } else { cx.b().squeeze(best, &axes)? })
}

/// The sum or an extreme of the singular values, in f64.
fn singular_norm(
    cx: &mut CallCx<'_>,
    x: ValueId,
    kind: ReduceKind,
    [rows, columns]: [usize; 2],
    keep: bool,
) -> Result<ValueId, Stop> {
    let rank = cx.rank(x)?;
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    perm.retain(|&d| d != rows as i64 && d != columns as i64);
    perm.extend([rows as i64, columns as i64]);
    let last = permuted(cx, x, &perm)?;
    let dtype = cx.dtype(last)?;
    let norm = match super::index::is_empty(cx, last)? {
        true => {
            let shape = cx.shape(last)?;
            super::shape::filled(cx, &shape[..rank - 2], &Number::Int(0.into()), dtype)?
        }
        false => {
            let values = super::singular::singular_values(cx, last)?;
            reduced(cx, kind, values, &[rank - 2], false)?
        }
    };
    let mut axes = [rows, columns];
    axes.sort_unstable();
    Ok(if keep { cx.b().unsqueeze(norm, &axes)? } else { norm })
}

/// The order of a matrix norm.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Frobenius,
    Nuclear,
    Number(f64),
}

fn order(cx: &mut CallCx<'_>) -> Result<Option<Order>, Stop> {
    Ok(match cx.arg("ord")? {
        Arg::None => None,
        Arg::Str(name) => Some(match &**name {
            "fro" => Order::Frobenius,
            "nuc" => Order::Nuclear,
            other => return cx.invalid(format!("the order of the norm is `{other}`")),
        }),
        _ => Some(Order::Number(cx.float("ord")?)),
    })
}

/// The operand in the dtype that is asked for.
fn norm_operand(cx: &mut CallCx<'_>) -> Result<ValueId, Stop> {
    let x = cx.tensor("self")?;
    match cx.opt_dtype("dtype")? {
        Some(dtype) => cx.cast(x, dtype),
        None => Ok(x),
    }
}

/// `linalg_matrix_norm`.
fn matrix_norm(cx: &mut CallCx<'_>) -> Outcome {
    let x = norm_operand(cx)?;
    let dtype = super::complex_part(cx.dtype(x)?);
    let (rank, keep) = (cx.rank(x)?, cx.bool("keepdim")?);
    let order = order(cx)?.unwrap_or(Order::Frobenius);
    let axes = cx.axes("dim", rank)?;
    let [rows, columns] = axes[..] else { return cx.invalid("a matrix has two axes") };
    let y = matrix_norm_of(cx, x, order, [rows, columns], keep)?;
    Ok(cx.cast(y, dtype)?.into())
}

/// `linalg_norm`: of vectors or matrices, as the axes and the order say.
fn linalg_norm(cx: &mut CallCx<'_>) -> Outcome {
    let mut x = norm_operand(cx)?;
    let dtype = super::complex_part(cx.dtype(x)?);
    let order = order(cx)?;
    let (given, keep) = (cx.rank(x)?, cx.bool("keepdim")?);
    let mut axes = cx.axes("dim", given)?;
    if axes.is_empty() {
        axes = (0..given).collect();
        if order.is_none() && given != 2 {
            // All elements as one vector.
            let count = numel(&cx.shape(x)?);
            x = cx.b().reshape(x, &[count])?;
            let y = norm_along(cx, x, 2.0, &[0], false)?;
            let ones = vec![Dim::Known(1); if keep { given } else { 0 }];
            let y = cx.b().reshape(y, &ones)?;
            return Ok(cx.cast(y, dtype)?.into());
        }
    }
    let y = match (axes.as_slice(), order) {
        (&[rows, columns], Some(order)) => matrix_norm_of(cx, x, order, [rows, columns], keep)?,
        (axes, None) => norm_along(cx, x, 2.0, axes, keep)?,
        (axes, Some(Order::Number(p))) => norm_along(cx, x, p, axes, keep)?,
        _ => return cx.invalid("a matrix norm of what is no matrix"),
    };
    Ok(cx.cast(y, dtype)?.into())
}

/// `cdist`: the distances of all pairs of rows.
fn cdist(cx: &mut CallCx<'_>) -> Outcome {
    cx.ignore(&["compute_mode"]);
    let (a, b) = (cx.tensor("x1")?, cx.tensor("x2")?);
    let p = cx.float("p")?;
    let (ra, rb) = (cx.rank(a)?, cx.rank(b)?);
    if ra < 2 || rb < 2 {
        return cx.invalid("matrices are needed");
    }
    let dtype = cx.dtype(a)?;
    let (a, b) = (cx.b().unsqueeze(a, &[ra - 1])?, cx.b().unsqueeze(b, &[rb - 2])?);
    let difference = cx.b().sub(a, b)?;
    let last = cx.rank(difference)? - 1;
    let y = norm_along(cx, difference, p, &[last], false)?;
    Ok(cx.cast(y, dtype)?.into())
}

/// `pdist`: the distances of all pairs of different rows.
fn pdist(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let p = cx.float("p")?;
    let (shape, dtype) = (cx.shape(x)?, cx.dtype(x)?);
    const MOST: i64 = 1 << 12;
    let Some(n) = shape.first().and_then(Dim::as_known).filter(|n| *n <= MOST) else {
        return cx.unsupported("distances of an unknown number of rows, or of very many");
    };
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    let (first, second): (Vec<i64>, Vec<i64>) = pairs.unzip();
    let (first, second) = (cx.b().ints(&first)?, cx.b().ints(&second)?);
    let a = cx.emit(op::Gather { axis: 0 }, &[x, first])?;
    let b = cx.emit(op::Gather { axis: 0 }, &[x, second])?;
    let difference = cx.b().sub(a, b)?;
    let y = norm_along(cx, difference, p, &[1], false)?;
    Ok(cx.cast(y, dtype)?.into())
}

/// `renorm`: slices along an axis whose norm is too great are scaled down to it.
fn renorm(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (p, most) = (cx.float("p")?, cx.float("maxnorm")?);
    let (rank, dtype) = (cx.rank(x)?, cx.dtype(x)?);
    super::math::real_only(cx, x)?;
    let axis = cx.axis("dim", rank)?;
    let others: Vec<usize> = (0..rank).filter(|&a| a != axis).collect();
    let norm = norm_along(cx, x, p, &others, true)?;
    let work = work_dtype(dtype);
    let too_great = value(norm).gt(most);
    let scale = when(&too_great, super::formula::number(most) / (value(norm) + 1e-7), 1.0);
    let wide = cx.cast(x, work)?;
    let y = cx.formula(&(value(wide) * scale), work)?;
    Ok(cx.cast(y, dtype)?.into())
}

/// Rows or columns [start, end) of the last two axes.
pub(super) fn block(
    cx: &mut CallCx<'_>,
    x: ValueId,
    rows: [i64; 2],
    columns: [i64; 2],
) -> Result<ValueId, Stop> {
    let rank = cx.rank(x)?;
    let part = cut(cx, x, rank - 2, rows.map(Dim::Known), 1)?;
    cut(cx, part, rank - 1, columns.map(Dim::Known), 1)
}
