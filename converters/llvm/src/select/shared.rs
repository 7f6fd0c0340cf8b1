//! Costly elements that are summed along a row and used once more, computed once.
//!
//! In a softmax the exponential of each element is summed, and then divided by the sum. As
//! expressions these are two computations. Here the row is stored first, its sum is taken over
//! what was stored, and each element is made from what is there.

use airconv_ir::dim::Dim;
use airconv_kernel::ir::{
    Access, Elem, Expr, ExprId, Kernel, LoopKind, Scalar, Stmt, UnOp, Var, VarDef,
};
use rustc_hash::FxHashMap;

/// The kernel with such rows stored first; `None` where there are none.
pub fn share(kernel: &Kernel) -> Option<Kernel> {
    if kernel.vars.iter().any(|v| matches!(v, VarDef::Value(_))) {
        return None;
    }
    let mut out = kernel.clone();
    let body = shared(&kernel.body, &mut out)?;
    out.body = body;
    Some(out)
}

/// The statements anew, where the innermost loop of a nest is such a row.
fn shared(body: &[Stmt], out: &mut Kernel) -> Option<Vec<Stmt>> {
    let [Stmt::For { var, extent, kind, body: inner }] = body else { return None };
    if let [Stmt::Store { param, at, value }] = &inner[..] {
        let p = out.params.get(*param as usize)?;
        if *kind != LoopKind::Vector || p.elem != Elem::F32 || p.access != Access::Write {
            return None;
        }
        return row(out, (*var, extent), (*param, at), *value);
    }
    let inner = shared(inner, out)?;
    Some(vec![Stmt::For { var: *var, extent: extent.clone(), kind: *kind, body: inner }])
}

fn row(
    out: &mut Kernel,
    (var, extent): (Var, &Dim),
    (param, at): (u32, &Dim),
    value: ExprId,
) -> Option<Vec<Stmt>> {
    let (sum, each) = find(out, var, extent, value)?;
    let Expr::Reduce { kind, axes, .. } = out.expr(sum).clone() else { return None };
    let [(counter, _)] = axes[..] else { return None };
    out.params[param as usize].access = Access::ReadWrite;
    let add = |out: &mut Kernel, e: Expr| {
        out.exprs.push(e);
        ExprId(out.exprs.len() as u32 - 1)
    };
    let there = at.substitute(&mut |v| (v == var).then(|| Dim::symbol(counter)));
    let here = add(out, Expr::Load { param, at: at.clone() });
    let x = add(out, Expr::Load { param, at: there });
    let total = add(out, Expr::Reduce { kind, axes, x });
    out.locals.push(Scalar::F32);
    let local = airconv_kernel::ir::LocalId(out.locals.len() as u32 - 1);
    let held = add(out, Expr::Local(local));
    let mut made: FxHashMap<ExprId, ExprId> = [(sum, held), (each, here)].into_iter().collect();
    let last = rebuilt(out, value, &mut made)?;
    let looped = |value: ExprId| Stmt::For {
        var,
        extent: extent.clone(),
        kind: LoopKind::Vector,
        body: vec![Stmt::Store { param, at: at.clone(), value }],
    };
    Some(vec![looped(each), Stmt::Set { local, value: total }, looped(last)])
}

/// A sum over the row of an expression that the value uses too, and that expression, where it is
/// costly.
fn find(kernel: &Kernel, var: Var, extent: &Dim, value: ExprId) -> Option<(ExprId, ExprId)> {
    let mut all = Vec::new();
    parts(kernel, value, &mut all)?;
    let sum = *all.iter().find(|&&id| {
        matches!(kernel.expr(id), Expr::Reduce { axes, .. }
            if matches!(&axes[..], [(_, n)] if n == extent) && costly(kernel, id))
    })?;
    let Expr::Reduce { axes, x, .. } = kernel.expr(sum) else { return None };
    let counter = axes.first()?.0;
    let each = all.iter().copied().find(|&id| same(kernel, id, *x, var, counter))?;
    // What is stored and what is kept has the dtype of the row.
    let is_row = |id| kernel.ty(id) == Scalar::F32;
    (is_row(sum) && is_row(each)).then_some((sum, each))
}

/// The expressions of a value, down to reductions; nothing where one of them is more than
/// arithmetic.
fn parts(kernel: &Kernel, id: ExprId, out: &mut Vec<ExprId>) -> Option<()> {
    if out.contains(&id) {
        return Some(());
    }
    out.push(id);
    match kernel.expr(id) {
        Expr::Const(_) | Expr::Index(_) | Expr::Load { .. } | Expr::Reduce { .. } => Some(()),
        Expr::Unary(_, x) | Expr::Cast(_, x) => parts(kernel, *x, out),
        Expr::Binary(_, a, b) => {
            parts(kernel, *a, out)?;
            parts(kernel, *b, out)
        }
        Expr::Select(c, a, b) => {
            parts(kernel, *c, out)?;
            parts(kernel, *a, out)?;
            parts(kernel, *b, out)
        }
        _ => None,
    }
}

/// Whether the body of a reduction has a function that takes long.
fn costly(kernel: &Kernel, id: ExprId) -> bool {
    let Expr::Reduce { x, .. } = kernel.expr(id) else { return false };
    matches!(kernel.expr(*x), Expr::Unary(UnOp::Exp | UnOp::Tanh | UnOp::Erf | UnOp::Log, _))
}

/// Whether two expressions are one, with one variable for another one.
fn same(kernel: &Kernel, a: ExprId, b: ExprId, from: Var, to: Var) -> bool {
    let index =
        |x: &Dim, y: &Dim| x.substitute(&mut |v| (v == from).then(|| Dim::symbol(to))) == *y;
    let both = |x: &ExprId, y: &ExprId| same(kernel, *x, *y, from, to);
    match (kernel.expr(a), kernel.expr(b)) {
        (Expr::Const(x), Expr::Const(y)) => x == y,
        (Expr::Index(x), Expr::Index(y)) => index(x, y),
        (Expr::Load { param: p, at: x }, Expr::Load { param: q, at: y }) => p == q && index(x, y),
        (Expr::Unary(p, x), Expr::Unary(q, y)) => p == q && both(x, y),
        (Expr::Cast(p, x), Expr::Cast(q, y)) => p == q && both(x, y),
        (Expr::Binary(p, x, z), Expr::Binary(q, y, w)) => p == q && both(x, y) && both(z, w),
        (Expr::Select(c, x, z), Expr::Select(d, y, w)) => both(c, d) && both(x, y) && both(z, w),
        // What does not move with the row is the same thing.
        (Expr::Reduce { .. }, Expr::Reduce { .. }) => a == b,
        _ => false,
    }
}

/// An expression with some of its parts replaced.
fn rebuilt(out: &mut Kernel, id: ExprId, made: &mut FxHashMap<ExprId, ExprId>) -> Option<ExprId> {
    if let Some(&found) = made.get(&id) {
        return Some(found);
    }
    let new = match out.expr(id).clone() {
        Expr::Unary(op, x) => Expr::Unary(op, rebuilt(out, x, made)?),
        Expr::Cast(ty, x) => Expr::Cast(ty, rebuilt(out, x, made)?),
        Expr::Binary(op, a, b) => Expr::Binary(op, rebuilt(out, a, made)?, rebuilt(out, b, made)?),
        Expr::Select(c, a, b) => {
            Expr::Select(rebuilt(out, c, made)?, rebuilt(out, a, made)?, rebuilt(out, b, made)?)
        }
        _ => return Some(id),
    };
    out.exprs.push(new);
    let new = ExprId(out.exprs.len() as u32 - 1);
    made.insert(id, new);
    Some(new)
}
