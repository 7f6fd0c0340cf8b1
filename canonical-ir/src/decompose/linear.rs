//! decompose rules of the linear family.

use super::{DecomposeCx, DecomposeResult, NoDecomposition, one};
use crate::dim::{Dim, Shape, broadcast_shapes};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::InferError;
use crate::infer::linear::{Equation, Label, fused_matmul_perm, label_sizes};
use crate::op::*;

type Value = Result<ValueId, NoDecomposition>;

/// The largest matrix whose determinant is written out.
const MAX_DET: i64 = 64;

/// `matmul`
pub fn matmul(cx: &mut DecomposeCx<'_, '_>, _: &Matmul) -> DecomposeResult {
    let (a, b) = (cx.x(0)?, cx.x(1)?);
    let (ra, rb) = (cx.ty(0)?.rank(), cx.ty(1)?.rank());
    let (a_batch, b_batch) = (ra.saturating_sub(2), rb.saturating_sub(2));
    if ra == 0 || rb == 0 {
        return cx.unsupported("matmul of a scalar");
    }
    let last = (ra - 1) as i64;
    let k = b_batch as i64;
    if a_batch == 0 && b_batch > 0 {
        // The free axis of a comes first; it belongs after the batch axes.
        let y = cx.b.emit(contraction(&[], &[], &[last], &[k]), &[a, b])?;
        if ra == 1 {
            return one(y);
        }
        let rank = b_batch as i64 + 2;
        let mut perm: Vec<i64> = (1..rank - 1).collect();
        perm.extend([0, rank - 1]);
        return one(cx.b.transpose(y, &perm)?);
    }
    if b_batch == 0 {
        return one(cx.b.emit(contraction(&[], &[], &[last], &[k]), &[a, b])?);
    }
    let (sa, sb) = (cx.shape(0)?, cx.shape(1)?);
    let (a_lead, a_core) = sa.split_at(a_batch.min(sa.len()));
    let (b_lead, b_core) = sb.split_at(b_batch.min(sb.len()));
    let lead = broadcast_shapes(a_lead, b_lead).map_err(|e| {
        NoDecomposition::Build(
            InferError::Invalid { label: "matmul-c1".to_owned(), message: e.to_string() }.into(),
        )
    })?;
    let a = widened(cx, a, &lead, a_lead, a_core)?;
    let b = widened(cx, b, &lead, b_lead, b_core)?;
    let batch: Vec<i64> = (0..lead.len() as i64).collect();
    let n = lead.len() as i64;
    one(cx.b.emit(contraction(&batch, &batch, &[n + 1], &[n]), &[a, b])?)
}

fn contraction(lhs_batch: &[i64], rhs_batch: &[i64], lhs: &[i64], rhs: &[i64]) -> Contract {
    Contract {
        lhs_batch: lhs_batch.to_vec(),
        rhs_batch: rhs_batch.to_vec(),
        lhs_contract: lhs.to_vec(),
        rhs_contract: rhs.to_vec(),
    }
}

/// Broadcasts leading axes, where they differ.
fn widened(
    cx: &mut DecomposeCx<'_, '_>,
    x: ValueId,
    lead: &[Dim],
    own: &[Dim],
    core: &[Dim],
) -> Value {
    if lead == own {
        return Ok(x);
    }
    Ok(cx.b.broadcast_to(x, &[lead, core].concat())?)
}

/// The dtype in which sums of a dtype are scaled and added to: narrow floats go to f32.
fn wide(dtype: DType) -> DType {
    if dtype.is_float() && dtype != DType::F64 { DType::F32 } else { dtype }
}

/// x times a factor that need not be a value of an integer dtype.
fn scaled(cx: &mut DecomposeCx<'_, '_>, x: ValueId, factor: f64, dtype: DType) -> Value {
    if factor == 1.0 {
        return Ok(x);
    }
    if !dtype.is_integer() {
        let c = if dtype.is_complex() {
            let part = dtype.complex_part().unwrap_or(DType::F64);
            let c = cx.b.scalar(part, factor)?;
            cx.b.cast(c, dtype)?
        } else {
            cx.b.scalar(dtype, factor)?
        };
        return Ok(cx.b.mul(x, c)?);
    }
    let whole = factor.fract() == 0.0
        && dtype.int_range().is_some_and(|(lo, hi)| {
            let range = lo.max(i64::MIN.into()) as f64..=hi.min(i64::MAX.into()) as f64;
            range.contains(&factor)
        });
    if whole {
        let c = cx.b.scalar_int(dtype, factor as i64)?;
        return Ok(cx.b.mul(x, c)?);
    }
    let x = cx.b.cast(x, DType::F64)?;
    let y = cx.b.mul_const(x, factor)?;
    Ok(cx.b.cast(y, dtype)?)
}

/// `gemm`
pub fn gemm(cx: &mut DecomposeCx<'_, '_>, op: &Gemm) -> DecomposeResult {
    let dtype = cx.dtype(0)?;
    let plain = op.alpha.0 == 1.0 && cx.opt(2).is_none();
    let wide = if plain { dtype } else { wide(dtype) };
    let (a, b) = (cx.x(0)?, cx.x(1)?);
    let a = cx.b.cast(a, wide)?;
    let b = cx.b.cast(b, wide)?;
    let (l, r) = (if op.trans_a { 0 } else { 1 }, if op.trans_b { 1 } else { 0 });
    let mut y = cx.b.emit(contraction(&[], &[], &[l], &[r]), &[a, b])?;
    y = scaled(cx, y, op.alpha.0, wide)?;
    if let (Some(c), true) = (cx.opt(2), op.beta.0 != 0.0) {
        let c = cx.b.cast(c, wide)?;
        let c = scaled(cx, c, op.beta.0, wide)?;
        let c = cx.b.broadcast_like(c, y)?;
        y = cx.b.add(y, c)?;
    }
    one(cx.b.cast(y, dtype)?)
}

/// `fused_matmul`
pub fn fused_matmul(cx: &mut DecomposeCx<'_, '_>, op: &FusedMatmul) -> DecomposeResult {
    let dtype = cx.dtype(0)?;
    let wide = if op.alpha.0 == 1.0 { dtype } else { wide(dtype) };
    let arranged = |cx: &mut DecomposeCx<'_, '_>, slot: usize, trans: bool, batch: bool| -> Value {
        let x = cx.x(slot)?;
        let perm = fused_matmul_perm(cx.ty(slot)?.rank(), trans, batch);
        let x = cx.b.transpose(x, &perm)?;
        Ok(cx.b.cast(x, wide)?)
    };
    let a = arranged(cx, 0, op.trans_a, op.trans_batch_a)?;
    let b = arranged(cx, 1, op.trans_b, op.trans_batch_b)?;
    let y = cx.b.matmul(a, b)?;
    let y = scaled(cx, y, op.alpha.0, wide)?;
    one(cx.b.cast(y, dtype)?)
}

/// An operand of an Einstein summation with one label per axis.
struct Term {
    value: ValueId,
    labels: Vec<Label>,
}

fn position(labels: &[Label], label: Label) -> Option<usize> {
    labels.iter().position(|&l| l == label)
}

impl Term {
    /// Replaces two axes of one label by their diagonal, until no label repeats.
    fn without_repeats(mut self, cx: &mut DecomposeCx<'_, '_>) -> Result<Term, NoDecomposition> {
        loop {
            let repeat = self.labels.iter().enumerate().find_map(|(j, &l)| {
                let i = position(self.labels.get(..j)?, l)?;
                Some((i, j))
            });
            let Some((i, j)) = repeat else { return Ok(self) };
            let rank = self.labels.len();
            let rest: Vec<usize> = (0..rank).filter(|&a| a != i && a != j).collect();
            let perm: Vec<i64> = [i, j].iter().chain(&rest).map(|&a| a as i64).collect();
            let x = cx.b.transpose(self.value, &perm)?;
            let size = cx.b.tensor_ty(x)?.shape.first().cloned().unwrap_or(Dim::Any);
            let line = Iota { dtype: DType::I64, dims: vec![size, Dim::Known(2)], axis: 0 };
            let indices = cx.b.emit(line, &[])?;
            let value = cx.b.emit(GatherNd { batch_dims: 0 }, &[x, indices])?;
            let labels = std::iter::once(i).chain(rest).filter_map(|a| self.labels.get(a).copied());
            self = Term { value, labels: labels.collect() };
        }
    }

    /// Sums away the axes whose labels are not wanted.
    fn summed(
        self,
        cx: &mut DecomposeCx<'_, '_>,
        wanted: impl Fn(Label) -> bool,
    ) -> Result<Term, NoDecomposition> {
        let axes: Vec<usize> = (0..self.labels.len())
            .filter(|&i| self.labels.get(i).is_some_and(|&l| !wanted(l)))
            .collect();
        if axes.is_empty() {
            return Ok(self);
        }
        let value = cx.b.reduce(ReduceKind::Sum, self.value, &axes, false)?;
        Ok(Term { value, labels: self.labels.into_iter().filter(|&l| wanted(l)).collect() })
    }

    /// The product with another, whose labels in `later` stay.
    fn times(
        self,
        cx: &mut DecomposeCx<'_, '_>,
        other: Term,
        later: &[Label],
    ) -> Result<Term, NoDecomposition> {
        let lhs = self.summed(cx, |l| later.contains(&l) || other.labels.contains(&l))?;
        let rhs = other.summed(cx, |l| later.contains(&l) || lhs.labels.contains(&l))?;
        let mut op = contraction(&[], &[], &[], &[]);
        let (mut batch, mut free) = (Vec::new(), Vec::new());
        for (i, &label) in lhs.labels.iter().enumerate() {
            match position(&rhs.labels, label) {
                Some(j) if later.contains(&label) => {
                    op.lhs_batch.push(i as i64);
                    op.rhs_batch.push(j as i64);
                    batch.push(label);
                }
                Some(j) => {
                    op.lhs_contract.push(i as i64);
                    op.rhs_contract.push(j as i64);
                }
                None => free.push(label),
            }
        }
        free.extend(rhs.labels.iter().filter(|&&l| position(&lhs.labels, l).is_none()));
        let value = cx.b.emit(op, &[lhs.value, rhs.value])?;
        Ok(Term { value, labels: [batch, free].concat() })
    }
}

/// `einsum`
pub fn einsum(cx: &mut DecomposeCx<'_, '_>, op: &Einsum) -> DecomposeResult {
    let values = cx.from(0);
    let mut shapes: Vec<Shape> = Vec::with_capacity(values.len());
    for &v in &values {
        shapes.push(cx.b.tensor_ty(v)?.shape);
    }
    let ranks: Vec<usize> = shapes.iter().map(|s| s.len()).collect();
    let equation = Equation::parse(&op.equation, &ranks).map_err(NoDecomposition::Unsupported)?;
    let views: Vec<&[Dim]> = shapes.iter().map(|s| &s[..]).collect();
    let sizes = label_sizes(&equation, &views).map_err(NoDecomposition::Unsupported)?;
    let mut terms = Vec::with_capacity(values.len());
    for (&value, labels) in values.iter().zip(&equation.operands) {
        let mut term = Term { value, labels: labels.clone() }.without_repeats(cx)?;
        let mut dims = cx.b.tensor_ty(term.value)?.shape;
        // An axis of size 1 whose label is longer elsewhere only repeats.
        let single = |label: &Label, size: &Dim| {
            size.as_known() == Some(1) && sizes.get(label).is_some_and(|s| s != size)
        };
        let drop: Vec<usize> = (0..dims.len())
            .filter(|&i| match (term.labels.get(i), dims.get(i)) {
                (Some(l), Some(d)) => single(l, d),
                _ => false,
            })
            .collect();
        if !drop.is_empty() {
            term.value = cx.b.squeeze(term.value, &drop)?;
            let mut axis = 0..;
            term.labels.retain(|_| axis.next().is_some_and(|i| !drop.contains(&i)));
            dims = cx.b.tensor_ty(term.value)?.shape;
        }
        // Ellipses broadcast where sizes are symbolic, too.
        for (label, size) in term.labels.iter().zip(dims.iter_mut()) {
            if let (Label::Ellipsis(_), Some(s)) = (label, sizes.get(label)) {
                *size = s.clone();
            }
        }
        term.value = cx.b.broadcast_to(term.value, &dims)?;
        terms.push(term);
    }
    let mut rest = terms.into_iter();
    let Some(mut product) = rest.next() else {
        return cx.unsupported("einsum of nothing");
    };
    while let Some(next) = rest.next() {
        let later: Vec<Label> = equation
            .result
            .iter()
            .chain(rest.as_slice().iter().flat_map(|t| &t.labels))
            .copied()
            .collect();
        product = product.times(cx, next, &later)?;
    }
    let product = product.summed(cx, |l| equation.result.contains(&l))?;
    let perm: Option<Vec<i64>> =
        equation.result.iter().map(|&l| position(&product.labels, l).map(|i| i as i64)).collect();
    let Some(perm) = perm else {
        return cx.unsupported("an axis of the result is in no operand");
    };
    one(cx.b.transpose(product.value, &perm)?)
}

/// `det`, by elimination with partial pivoting. Each step takes the row whose first element is
/// greatest in magnitude, moves it to the top and clears the column below it.
pub fn det(cx: &mut DecomposeCx<'_, '_>, _: &Det) -> DecomposeResult {
    let ty = cx.ty(0)?;
    let x = cx.x(0)?;
    let [batch @ .., rows, columns] = &ty.shape[..] else {
        return cx.unsupported("the determinant of less than a matrix");
    };
    let n = match (rows, columns) {
        (Dim::Known(n), _) | (_, Dim::Known(n)) => *n,
        _ => cx.known(rows, "the size of the matrix of a determinant")?,
    };
    if n > MAX_DET {
        return cx.unsupported(format!("the determinant of a matrix of {n} rows"));
    }
    let wide = wide(ty.dtype);
    let one_ = cx.b.scalar(wide, 1.0)?;
    if n == 0 {
        let y = cx.b.broadcast_to(one_, batch)?;
        return one(cx.b.cast(y, ty.dtype)?);
    }
    let lead = batch.len();
    let shaped = |sizes: &[i64]| -> Vec<Dim> {
        batch.iter().cloned().chain(sizes.iter().map(|&s| Dim::Known(s))).collect()
    };
    let x = cx.b.reshape(x, &shaped(&[n, n]))?;
    let mut m = cx.b.cast(x, wide)?;
    let zero = cx.b.scalar(wide, 0.0)?;
    let minus = cx.b.scalar(wide, -1.0)?;
    let mut product: Option<ValueId> = None;
    for size in (1..=n).rev() {
        let pivot = if size == 1 {
            cx.b.reshape(m, &shaped(&[]))?
        } else {
            let column = cx.b.slice_axis(m, lead + 1, Dim::Known(0), Dim::Known(1))?;
            let magnitude = cx.b.abs(column)?;
            let arg = ArgReduce {
                kind: ArgKind::Max,
                axis: lead as i64,
                keepdims: true,
                select_last: false,
            };
            let row = cx.b.emit(arg, &[magnitude])?;
            let dims = shaped(&[size, 1]);
            let count = cx.b.emit(Iota { dtype: DType::I64, dims, axis: lead as i64 }, &[])?;
            let chosen = cx.b.equal(count, row)?;
            let picked = cx.b.select(chosen, m, zero)?;
            let top = cx.b.reduce(ReduceKind::Sum, picked, &[lead], true)?;
            let first = cx.b.slice_axis(m, lead, Dim::Known(0), Dim::Known(1))?;
            // The first row takes the place of the chosen one.
            let below = cx.b.slice_axis(m, lead, Dim::Known(1), Dim::Known(size))?;
            let chosen = cx.b.slice_axis(chosen, lead, Dim::Known(1), Dim::Known(size))?;
            let below = cx.b.select(chosen, first, below)?;
            let pivot = cx.b.slice_axis(top, lead + 1, Dim::Known(0), Dim::Known(1))?;
            let is_zero = cx.b.equal(pivot, zero)?;
            let divisor = cx.b.select(is_zero, one_, pivot)?;
            let left = cx.b.slice_axis(below, lead + 1, Dim::Known(0), Dim::Known(1))?;
            let factor = cx.b.div(left, divisor)?;
            let right = cx.b.slice_axis(below, lead + 1, Dim::Known(1), Dim::Known(size))?;
            let top = cx.b.slice_axis(top, lead + 1, Dim::Known(1), Dim::Known(size))?;
            let taken = cx.b.mul(factor, top)?;
            m = cx.b.sub(right, taken)?;
            let origin = cx.b.scalar_int(DType::I64, 0)?;
            let stays = cx.b.equal(row, origin)?;
            let sign = cx.b.select(stays, one_, minus)?;
            let signed = cx.b.mul(pivot, sign)?;
            cx.b.reshape(signed, &shaped(&[]))?
        };
        product = Some(match product {
            Some(p) => cx.b.mul(p, pivot)?,
            None => pivot,
        });
    }
    let y = product.unwrap_or(one_);
    one(cx.b.cast(y, ty.dtype)?)
}
