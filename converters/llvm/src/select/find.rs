//! Finding a matrix product in a kernel.

use airconv_ir::dim::Dim;
use airconv_ir::op::ReduceKind;
use airconv_kernel::analysis::{dims, operands};
use airconv_kernel::ir::{
    Access, BinOp, Elem, Expr, ExprId, Kernel, LocalId, LoopKind, Scalar, Stmt, Var, VarDef,
};
use airconv_kernel::schedule::rewrite;
use rustc_hash::FxHashSet;

use super::whole::{Whole, byte_operand};

/// A loop of a product: how often it runs, and by how many elements it moves in each operand.
/// Everything is over the kernel's sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The counter.
    pub var: Var,
    /// How often.
    pub extent: Dim,
    /// In the left operand.
    pub left: Dim,
    /// In the right operand.
    pub right: Dim,
    /// In the result.
    pub out: Dim,
}

/// An operand or the result: the parameter and the element where all counters are zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The parameter.
    pub param: u32,
    /// The element.
    pub base: Dim,
}

/// Where the left operand is read, and not zero: the sum of `base` and of the counters times
/// their steps is not negative.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// With all counters zero.
    pub base: Dim,
    /// The steps that are not zero.
    pub steps: Vec<(Var, Dim)>,
}

/// A kernel that is a matrix product: for each combination of the batch axes, element (row,
/// column) of the result is made from the sum over all of `sums` of left times right. The left
/// operand does not depend on columns, nor the right one on rows. Rows and columns are numbered
/// through their axes, the first one outermost; in the result columns lie together, and rows
/// evenly apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// The left operand.
    pub left: Place,
    /// The right operand.
    pub right: Place,
    /// The result.
    pub out: Place,
    /// One product for each combination of these.
    pub batch: Vec<Axis>,
    /// The rows; none stands for one row.
    pub rows: Vec<Axis>,
    /// The columns.
    pub columns: Vec<Axis>,
    /// What is summed over.
    pub sums: Vec<Axis>,
    /// Where the left operand is not zero: all of these hold.
    pub guards: Vec<Guard>,
    /// Whether the operands are bytes and the sums `i32`, and what is taken away from the operands;
    /// `None` for floats.
    pub whole: Option<Whole>,
    /// Whether columns are channels that stay apart: the right operand has one row of weights for
    /// each column, and the left operand moves with the columns, one by one.
    pub window: bool,
    /// What is made from the sum: a kernel whose only statement stores the result; its rows and
    /// columns have one counter each.
    pub epilogue: Kernel,
    /// The local of the epilogue that stands for the sum.
    pub sum: LocalId,
    /// The counter of rows in the epilogue.
    pub row: Option<Var>,
    /// The counter of columns in the epilogue.
    pub column: Var,
}

impl Product {
    /// Whether there are so few rows that a right operand which is not known before is not worth
    /// being packed.
    pub fn is_thin(&self) -> bool {
        let rows = self.rows.iter().try_fold(1i64, |n, a| Some(n * a.extent.as_known()?));
        rows.is_some_and(|n| n <= 2)
    }

    /// Whether each product is one row times few: a depthwise convolution, or other windows.
    pub fn is_window(&self) -> bool {
        let few = |a: &Axis| a.extent.as_known().filter(|&n| n <= 64);
        let taps = self.sums.iter().try_fold(1i64, |n, a| Some(n.saturating_mul(few(a)?)));
        self.rows.is_empty() && !self.batch.is_empty() && taps.is_some_and(|n| n <= 64)
    }

    /// The value that the epilogue stores.
    pub fn value(&self) -> Option<ExprId> {
        match &self.epilogue.body[..] {
            [Stmt::Store { value, .. }] => Some(*value),
            _ => None,
        }
    }
}

/// How an index moves with counters: its value where all are zero, and its steps.
pub(super) fn linear(kernel: &Kernel, index: &Dim, counters: &[Var]) -> Option<(Dim, Vec<Dim>)> {
    let mut plain = true;
    index.symbols(&mut |v| {
        plain &= match kernel.vars.get(v.0 as usize) {
            Some(VarDef::Size(_)) => true,
            Some(VarDef::Counter) => counters.contains(&v),
            _ => false,
        };
    });
    if !plain || index.is_any() {
        return None;
    }
    let at = |one: Option<Var>| {
        index.substitute(&mut |v| {
            counters.contains(&v).then_some(Dim::Known(i64::from(Some(v) == one)))
        })
    };
    let base = at(None);
    let steps: Vec<Dim> = counters.iter().map(|&v| at(Some(v)).sub(&base)).collect();
    let mut rebuilt = base.clone();
    for (&v, step) in counters.iter().zip(&steps) {
        rebuilt = rebuilt.add(&Dim::symbol(v).mul(step));
    }
    (rebuilt == *index).then_some((base, steps))
}

/// The loops of a nest, and the parameter, place and value of its one store.
type Nest<'k> = (Vec<(Var, Dim)>, u32, &'k Dim, ExprId);

/// The loops of a nest around one store.
fn nest(kernel: &Kernel) -> Option<Nest<'_>> {
    let mut loops = Vec::new();
    let mut body = &kernel.body[..];
    loop {
        match body {
            [Stmt::For { var, extent, kind, body: inner }] if *kind != LoopKind::Serial => {
                loops.push((*var, extent.clone()));
                body = inner;
            }
            [Stmt::Store { param, at, value }] => return Some((loops, *param, at, *value)),
            _ => return None,
        }
    }
}

/// The one sum that a value is made from, outside of which nothing fails or reads what the
/// kernel writes.
fn the_sum(kernel: &Kernel, value: ExprId, out: u32) -> Option<ExprId> {
    let mut todo = vec![value];
    let mut seen = FxHashSet::default();
    let mut found = None;
    while let Some(id) = todo.pop() {
        if !seen.insert(id) {
            continue;
        }
        match kernel.expr(id) {
            Expr::Reduce { kind: ReduceKind::Sum, .. } if found.is_none() => {
                found = Some(id);
                continue;
            }
            Expr::Reduce { .. } | Expr::Check { .. } | Expr::Guard(..) | Expr::Local(_) => {
                return None;
            }
            Expr::Load { param, .. } if *param == out => return None,
            other => todo.extend(operands(other)),
        }
        for at in dims(kernel.expr(id)) {
            at.symbols(&mut |v| {
                if let Some(VarDef::Value(x)) = kernel.vars.get(v.0 as usize) {
                    todo.push(*x);
                }
            });
        }
    }
    found
}

/// The product that a kernel is, if it is one.
pub fn find(kernel: &Kernel) -> Option<Product> {
    let (loops, out, at, value) = nest(kernel)?;
    let target = kernel.params.get(out as usize)?;
    if target.access != Access::Write {
        return None;
    }
    if kernel.params.iter().filter(|p| p.access != Access::Read).count() != 1 {
        return None;
    }
    let sum = the_sum(kernel, value, out)?;
    let Expr::Reduce { axes, x, .. } = kernel.expr(sum) else { return None };
    let Expr::Binary(BinOp::Mul, a, b) = kernel.expr(*x) else { return None };
    let whole = kernel.ty(sum) == Scalar::I32;
    if !whole && !is_single(target.elem) {
        return None;
    }
    let operand = |id: ExprId| match whole {
        true => byte_operand(kernel, id),
        false => load(kernel, id).map(|(param, at, holds)| (param, at, holds, None)),
    };
    let (a, b) = (operand(*a)?, operand(*b)?);
    let counters: Vec<Var> = loops.iter().chain(axes).map(|(v, _)| *v).collect();
    let extents: Vec<Dim> = loops.iter().chain(axes).map(|(_, d)| d.clone()).collect();
    for extent in &extents {
        linear(kernel, extent, &[])?;
    }
    let (a_base, a_steps) = linear(kernel, a.1, &counters)?;
    let (b_base, b_steps) = linear(kernel, b.1, &counters)?;
    let (out_base, out_steps) = linear(kernel, at, &counters[..loops.len()])?;
    let zero = Dim::Known(0);
    // The columns are those that lie together in the result.
    let inner = (0..loops.len()).rev().find(|&i| out_steps[i].as_known() == Some(1))?;
    let one = |steps: &[Dim]| steps[inner].as_known() == Some(1);
    let (swap, window) = match (a_steps[inner] == zero, b_steps[inner] == zero) {
        (true, false) => (false, false),
        (false, true) => (true, false),
        (false, false) if one(&a_steps) => (false, true),
        (false, false) if one(&b_steps) => (true, true),
        _ => return None,
    };
    let ((a, a_base, a_steps), (b, b_base, b_steps)) = if swap {
        ((b, b_base, b_steps), (a, a_base, a_steps))
    } else {
        ((a, a_base, a_steps), (b, b_base, b_steps))
    };
    if b.2.is_some() {
        return None;
    }
    let guards = match a.2 {
        Some(holds) => guards(kernel, holds, &counters)?,
        None => Vec::new(),
    };
    let axis = |i: usize| Axis {
        var: counters[i],
        extent: extents[i].clone(),
        left: a_steps[i].clone(),
        right: b_steps[i].clone(),
        out: out_steps.get(i).cloned().unwrap_or(Dim::Known(0)),
    };
    let mut sums: Vec<Axis> = (loops.len()..counters.len()).map(axis).collect();
    if sums.last().is_some_and(|a| a.left.as_known() != Some(1)) {
        // What lies together in the left operand comes last.
        sums.sort_by_key(|a| std::cmp::Reverse(a.left.as_known().unwrap_or(i64::MAX)));
    }
    let (mut batch, mut rows, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    for i in (0..loops.len()).rev() {
        let axis = axis(i);
        let group = match (axis.left == zero, axis.right == zero) {
            _ if window && i == inner => {
                columns.insert(0, axis);
                continue;
            }
            (_, false) if window => return None,
            (true, false) => &mut columns,
            (false, true) => &mut rows,
            _ => {
                batch.push(axis);
                continue;
            }
        };
        if group.first().is_none_or(|inner: &Axis| joins(kernel, value, &axis, inner)) {
            group.insert(0, axis);
        } else {
            batch.push(axis);
        }
    }
    batch.reverse();
    // The columns must begin with those that lie together.
    if columns.last()?.out.as_known() != Some(1) {
        return None;
    }
    let whole = match whole {
        true => Some(Whole::new(kernel, (a.3, b.3), &counters, &columns)?),
        false => None,
    };
    let (epilogue, sum) = epilogue(kernel, sum, &rows, &columns)?;
    Some(Product {
        whole,
        left: Place { param: a.0, base: a_base },
        right: Place { param: b.0, base: b_base },
        out: Place { param: out, base: out_base },
        row: rows.last().map(|a| a.var),
        column: columns.last()?.var,
        batch,
        rows,
        columns,
        sums,
        guards,
        window,
        epilogue,
        sum,
    })
}

/// Whether the values of an element are `f32`.
fn is_single(elem: Elem) -> bool {
    matches!(elem, Elem::F32 | Elem::F16 | Elem::Bf16)
}

/// An operand: the parameter, the element, and where it is read and not zero.
fn load(kernel: &Kernel, id: ExprId) -> Option<(u32, &Dim, Option<ExprId>)> {
    match kernel.expr(id) {
        Expr::Load { param, at } if is_single(kernel.params[*param as usize].elem) => {
            Some((*param, at, None))
        }
        Expr::Guard(holds, x, other) => {
            let zero = matches!(kernel.expr(*other), Expr::Const(c) if c.bits == 0);
            let (param, at, inner) = load(kernel, *x)?;
            (zero && inner.is_none()).then_some((param, at, Some(*holds)))
        }
        _ => None,
    }
}

/// A conjunction of comparisons of indices as guards.
fn guards(kernel: &Kernel, holds: ExprId, counters: &[Var]) -> Option<Vec<Guard>> {
    let index = |id: ExprId| match kernel.expr(id) {
        Expr::Index(d) => Some(d.clone()),
        Expr::Const(c) => Some(Dim::Known(i64::try_from(c.as_int()?).ok()?)),
        _ => None,
    };
    let (low, high, gap) = match kernel.expr(holds) {
        Expr::Binary(BinOp::And, a, b) => {
            let mut all = guards(kernel, *a, counters)?;
            all.extend(guards(kernel, *b, counters)?);
            return Some(all);
        }
        Expr::Binary(BinOp::Le, a, b) => (index(*a)?, index(*b)?, 0),
        Expr::Binary(BinOp::Lt, a, b) => (index(*a)?, index(*b)?, 1),
        _ => return None,
    };
    let form = high.sub(&low).sub(&Dim::Known(gap));
    let (base, steps) = linear(kernel, &form, counters)?;
    let moves = counters.iter().copied().zip(steps);
    let steps = moves.filter(|(_, d)| *d != Dim::Known(0)).collect();
    Some(vec![Guard { base, steps }])
}

/// Whether an axis and the one within it walk as one in the result and in all that the epilogue
/// reads.
fn joins(kernel: &Kernel, value: ExprId, outer: &Axis, inner: &Axis) -> bool {
    if outer.out != inner.out.mul(&inner.extent) {
        return false;
    }
    let mut todo = vec![value];
    let mut seen = FxHashSet::default();
    while let Some(id) = todo.pop() {
        if !seen.insert(id) || matches!(kernel.expr(id), Expr::Reduce { .. }) {
            continue;
        }
        if let Expr::Index(at) | Expr::Load { at, .. } = kernel.expr(id) {
            let mut used = false;
            let mut plain = true;
            at.symbols(&mut |v| {
                used |= v == outer.var || v == inner.var;
                plain &= !matches!(kernel.vars.get(v.0 as usize), Some(VarDef::Value(_)));
            });
            if !plain {
                return false;
            }
            if used {
                let one = Dim::symbol(outer.var).mul(&inner.extent).add(&Dim::symbol(inner.var));
                let rebuilt = at.substitute(&mut |v| {
                    if v == outer.var {
                        return Some(Dim::Known(0));
                    }
                    (v == inner.var).then(|| one.clone())
                });
                if rebuilt != *at {
                    return false;
                }
            }
        }
        todo.extend(operands(kernel.expr(id)));
    }
    true
}

/// The kernel without its loops, with a local in place of the sum, and with one counter for the
/// rows and one for the columns.
fn epilogue(
    kernel: &Kernel,
    sum: ExprId,
    rows: &[Axis],
    columns: &[Axis],
) -> Option<(Kernel, LocalId)> {
    let mut outer: Vec<Var> = Vec::new();
    for group in [rows, columns] {
        outer.extend(group.iter().rev().skip(1).map(|a| a.var));
    }
    let mut cut = kernel.clone();
    let local = LocalId(cut.locals.len() as u32);
    cut.locals.push(kernel.ty(sum));
    cut.exprs[sum.0 as usize] = Expr::Local(local);
    let mut body = &kernel.body[..];
    while let [Stmt::For { body: inner, .. }] = body {
        body = inner;
    }
    cut.body = body.to_vec();
    let cut =
        rewrite(&cut, &mut |d| d.substitute(&mut |v| outer.contains(&v).then_some(Dim::Known(0))));
    // Where the index of an expression has become simpler, nothing else has changed.
    Some((cut, local))
}
