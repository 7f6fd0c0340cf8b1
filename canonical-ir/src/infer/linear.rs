//! infer rules of the linear family.

use std::collections::BTreeMap;

use super::{InferCx, InferError, InferResult, one};
use crate::dim::{Dim, Shape, broadcast_shapes};
use crate::dtype::DType;
use crate::op::*;
use crate::types::{TensorType, Type};

/// Whether a dtype has arithmetic.
fn numeric(dtype: DType) -> bool {
    dtype.is_float() || dtype.is_integer() || dtype.is_complex()
}

fn same_numbers(cx: &InferCx<'_>) -> Result<DType, InferError> {
    cx.same_dtype(0, 1)?;
    let dtype = cx.tensor(0)?.dtype;
    cx.require_dtype(dtype, numeric(dtype), "numbers")?;
    Ok(dtype)
}

/// `contract`
pub fn contract(cx: &InferCx<'_>, op: &Contract) -> InferResult {
    let (lhs, rhs) = (cx.tensor(0)?, cx.tensor(1)?);
    let dtype = same_numbers(cx)?;
    let paired = |a: &[i64], b: &[i64], label: &str, what: &str| {
        cx.require(a.len() == b.len(), label, || format!("{what} axes come in pairs"))
    };
    paired(&op.lhs_batch, &op.rhs_batch, "contract-c1", "batch")?;
    paired(&op.lhs_contract, &op.rhs_contract, "contract-c2", "contracted")?;
    let of_lhs = cx.axes(&[&op.lhs_batch[..], &op.lhs_contract].concat(), lhs.rank())?;
    let of_rhs = cx.axes(&[&op.rhs_batch[..], &op.rhs_contract].concat(), rhs.rank())?;
    let mut shape = Shape::new();
    for (i, (&l, &r)) in of_lhs.iter().zip(&of_rhs).enumerate() {
        if let (Some(l), Some(r)) = (lhs.shape.get(l), rhs.shape.get(r)) {
            let size = cx.merge_dim(l, r)?;
            if i < op.lhs_batch.len() {
                shape.push(size);
            }
        }
    }
    for (ty, used) in [(lhs, &of_lhs), (rhs, &of_rhs)] {
        let free = ty.shape.iter().enumerate().filter(|(i, _)| !used.contains(i));
        shape.extend(free.map(|(_, d)| d.clone()));
    }
    one(TensorType { dtype, shape })
}

/// The shape of `numpy.matmul` of two shapes.
fn product(cx: &InferCx<'_>, a: &[Dim], b: &[Dim], label: &str) -> Result<Shape, InferError> {
    let (a_batch, rows, k) = match a {
        [] => return cx.fail(label, "`a` is a scalar"),
        [k] => (&a[..0], None, k),
        [batch @ .., m, k] => (batch, Some(m), k),
    };
    let (b_batch, l, columns) = match b {
        [] => return cx.fail(label, "`b` is a scalar"),
        [k] => (&b[..0], k, None),
        [batch @ .., k, n] => (batch, k, Some(n)),
    };
    cx.merge_dim(k, l)?;
    let mut shape = match broadcast_shapes(a_batch, b_batch) {
        Ok(shape) => shape,
        Err(e) => return cx.fail(label, e.to_string()),
    };
    shape.extend(rows.into_iter().chain(columns).cloned());
    Ok(shape)
}

/// `matmul`
pub fn matmul(cx: &InferCx<'_>, _: &Matmul) -> InferResult {
    let dtype = same_numbers(cx)?;
    let shape = product(cx, &cx.tensor(0)?.shape, &cx.tensor(1)?.shape, "matmul-c1")?;
    one(TensorType { dtype, shape })
}

/// `gemm`
pub fn gemm(cx: &InferCx<'_>, op: &Gemm) -> InferResult {
    let dtype = same_numbers(cx)?;
    let matrix = |slot: usize, trans: bool| -> Result<(Dim, Dim), InferError> {
        match (&cx.tensor(slot)?.shape[..], trans) {
            ([r, c], false) | ([c, r], true) => Ok((r.clone(), c.clone())),
            _ => cx.fail("gemm-c1", format!("`{}` is not a matrix", cx.slot_name(slot))),
        }
    };
    let (m, k) = matrix(0, op.trans_a)?;
    let (l, n) = matrix(1, op.trans_b)?;
    cx.merge_dim(&k, &l)?;
    if let Some(c) = cx.opt_tensor(2)? {
        cx.require(c.dtype == dtype, "gemm-c2", || {
            format!("`c` ({}) has the dtype of `a` ({dtype})", c.dtype)
        })?;
        cx.require(fits(&c.shape, &[m.clone(), n.clone()]), "gemm-c3", || {
            "`c` does not broadcast to the product".to_owned()
        })?;
    }
    one(Type::tensor(dtype, [m, n]))
}

/// Whether a shape may broadcast to another without widening it.
pub(crate) fn fits(shape: &[Dim], to: &[Dim]) -> bool {
    shape.len() <= to.len()
        && shape.iter().rev().zip(to.iter().rev()).all(|(s, t)| match (s, t) {
            (Dim::Known(s), Dim::Known(t)) => *s == 1 || s == t,
            _ => true,
        })
}

/// A name for an axis in an Einstein summation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Label {
    /// An axis of an ellipsis, counted from its right end.
    Ellipsis(usize),
    /// A letter.
    Letter(char),
}

/// A parsed Einstein summation with one label per axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Equation {
    /// Labels of each operand.
    pub operands: Vec<Vec<Label>>,
    /// Labels of the result.
    pub result: Vec<Label>,
}

impl Equation {
    /// Parses an equation for operands of these ranks.
    pub fn parse(text: &str, ranks: &[usize]) -> Result<Equation, String> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match text.split_once("->") {
            Some((l, r)) => (l, Some(r)),
            None => (text.as_str(), None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != ranks.len() {
            return Err(format!("{} terms for {} operands", terms.len(), ranks.len()));
        }
        let mut widest = 0;
        let mut operands = Vec::with_capacity(terms.len());
        for (term, &rank) in terms.iter().zip(ranks) {
            let letters = term.chars().filter(char::is_ascii_alphabetic).count();
            let ellipsis = match term.contains("...") {
                true => rank.checked_sub(letters),
                false => (rank == letters).then_some(0),
            };
            let Some(ellipsis) = ellipsis else {
                return Err(format!("`{term}` does not name {rank} axes"));
            };
            widest = widest.max(ellipsis);
            operands.push(labels(term, ellipsis)?);
        }
        let result = match right {
            Some(right) => labels(right, widest)?,
            None => {
                let mut counts: BTreeMap<Label, usize> = BTreeMap::new();
                for &label in operands.iter().flatten() {
                    *counts.entry(label).or_default() += 1;
                }
                let letters = counts
                    .iter()
                    .filter(|&(label, &n)| n == 1 && matches!(label, Label::Letter(_)))
                    .map(|(label, _)| *label);
                (0..widest).rev().map(Label::Ellipsis).chain(letters).collect()
            }
        };
        for (i, label) in result.iter().enumerate() {
            if result.iter().take(i).any(|l| l == label) {
                return Err("an axis occurs twice in the result".to_owned());
            }
            if !operands.iter().flatten().any(|l| l == label) {
                return Err("an axis of the result is in no operand".to_owned());
            }
        }
        Ok(Equation { operands, result })
    }
}

/// The labels of one term whose ellipsis stands for that many axes.
fn labels(term: &str, ellipsis: usize) -> Result<Vec<Label>, String> {
    let mut out = Vec::new();
    let mut rest = term;
    let mut seen = false;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            if seen {
                return Err(format!("`{term}` has two ellipses"));
            }
            seen = true;
            out.extend((0..ellipsis).rev().map(Label::Ellipsis));
            rest = after;
        } else if c.is_ascii_alphabetic() {
            out.push(Label::Letter(c));
            rest = rest.get(1..).unwrap_or_default();
        } else {
            return Err(format!("`{c}` in `{term}` is no letter"));
        }
    }
    Ok(out)
}

/// The size of each label; an error text where sizes provably differ.
pub(crate) fn label_sizes(
    equation: &Equation,
    shapes: &[&[Dim]],
) -> Result<BTreeMap<Label, Dim>, String> {
    let mut sizes: BTreeMap<Label, Dim> = BTreeMap::new();
    for (labels, shape) in equation.operands.iter().zip(shapes) {
        for (&label, size) in labels.iter().zip(*shape) {
            let known = sizes.remove(&label).unwrap_or(Dim::Known(1));
            let size = match (&known, size) {
                (Dim::Known(1), s) | (s, Dim::Known(1)) => s.clone(),
                (Dim::Known(a), Dim::Known(b)) if a != b => {
                    let name = match label {
                        Label::Letter(c) => c.to_string(),
                        Label::Ellipsis(_) => "...".to_owned(),
                    };
                    return Err(format!("axis `{name}` has sizes {a} and {b}"));
                }
                (k @ Dim::Known(_), _) | (_, k @ Dim::Known(_)) => k.clone(),
                (a, b) => match label {
                    Label::Ellipsis(_) => a.broadcast(b),
                    Label::Letter(_) => a.clone(),
                },
            };
            sizes.insert(label, size);
        }
    }
    Ok(sizes)
}

/// `einsum`
pub fn einsum(cx: &InferCx<'_>, op: &Einsum) -> InferResult {
    let operands = cx.tensors_from(0)?;
    let dtype = cx.tensor(0)?.dtype;
    cx.require_dtype(dtype, numeric(dtype), "numbers")?;
    for slot in 1..operands.len() {
        cx.same_dtype(0, slot)?;
    }
    let ranks: Vec<usize> = operands.iter().map(|t| t.rank()).collect();
    let shapes: Vec<&[Dim]> = operands.iter().map(|t| &t.shape[..]).collect();
    let equation = match Equation::parse(&op.equation, &ranks) {
        Ok(e) => e,
        Err(e) => return cx.fail("einsum-c1", e),
    };
    let sizes = match label_sizes(&equation, &shapes) {
        Ok(s) => s,
        Err(e) => return cx.fail("einsum-c2", e),
    };
    let dims = equation.result.iter().map(|l| sizes.get(l).cloned().unwrap_or(Dim::Any));
    one(Type::tensor(dtype, dims))
}

/// `det`
pub fn det(cx: &InferCx<'_>, _: &Det) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require_dtype(x.dtype, x.dtype.is_float(), "a float")?;
    let [batch @ .., r, c] = &x.shape[..] else {
        return cx.fail("det-c1", format!("`x` has rank {}, not at least 2", x.rank()));
    };
    cx.merge_dim(r, c)?;
    one(Type::tensor(x.dtype, batch.iter().cloned()))
}

/// `fused_matmul`
pub fn fused_matmul(cx: &InferCx<'_>, op: &FusedMatmul) -> InferResult {
    let dtype = same_numbers(cx)?;
    let arranged = |slot: usize, trans: bool, batch: bool| -> Result<Vec<Dim>, InferError> {
        let shape = &cx.tensor(slot)?.shape;
        let perm = fused_matmul_perm(shape.len(), trans, batch);
        Ok(perm.iter().filter_map(|&p| shape.get(p as usize).cloned()).collect())
    };
    let a = arranged(0, op.trans_a, op.trans_batch_a)?;
    let b = arranged(1, op.trans_b, op.trans_batch_b)?;
    let shape = product(cx, &a, &b, "fused_matmul-c1")?;
    one(TensorType { dtype, shape })
}

/// The permutation of an operand of `fused_matmul` before the product.
pub(crate) fn fused_matmul_perm(rank: usize, trans: bool, batch: bool) -> Vec<i64> {
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    if rank >= 2 {
        if batch && let Some(part) = perm.get_mut(..rank - 1) {
            part.rotate_left(1);
        }
        if trans {
            perm.swap(rank - 2, rank - 1);
        }
    }
    perm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations() {
        let l = |text: &str| -> Vec<Label> { text.chars().map(Label::Letter).collect() };
        let e = Equation::parse("ij, jk", &[2, 2]).unwrap();
        assert_eq!((e.operands, e.result), (vec![l("ij"), l("jk")], l("ik")));
        let e = Equation::parse("...ii->...i", &[4]).unwrap();
        assert_eq!(e.result, [vec![Label::Ellipsis(1), Label::Ellipsis(0)], l("i")].concat());
        let e = Equation::parse("bA", &[2]).unwrap();
        assert_eq!(e.result, l("Ab"));
        assert!(Equation::parse("ij->ii", &[2]).is_err());
        assert!(Equation::parse("ij->k", &[2]).is_err());
        assert!(Equation::parse("ij", &[3]).is_err());
        assert!(Equation::parse("i,j", &[1]).is_err());
    }

    #[test]
    fn batch_transposition_moves_the_first_axis() {
        assert_eq!(fused_matmul_perm(4, false, true), [1, 2, 0, 3]);
        assert_eq!(fused_matmul_perm(4, true, true), [1, 2, 3, 0]);
        assert_eq!(fused_matmul_perm(1, true, true), [0]);
    }
}
