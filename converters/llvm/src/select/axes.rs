//! Axes whose counter is divided in indices, as two.
//!
//! Where one shape is read through another one (the heads of attention put side by side), a
//! counter `v` occurs as quotient and remainder by a constant. As `c * a + b` with two counters
//! it does not, and indices are linear again.

use airconv_ir::dim::{Atom, Dim, Range};
use airconv_ir::entity::SymbolId;
use airconv_kernel::analysis::{dims, extents};
use airconv_kernel::ir::{BinOp, Const, Expr, ExprId, Kernel, Scalar, Stmt, Var, VarDef};
use airconv_kernel::schedule::{rewrite, schedule};

/// How often axes are split at most.
const MOST: usize = 6;

/// The kernel with such axes split, and without guards that always hold; `None` when there is
/// nothing to do.
pub fn split_axes(kernel: &Kernel) -> Option<Kernel> {
    let mut out = without_guards(kernel);
    for _ in 0..MOST {
        let now = out.as_ref().unwrap_or(kernel);
        let Some((var, by)) = divided(now) else { break };
        out = Some(split(now, var, by));
    }
    let changed = out?;
    Some(schedule(unmarked(changed)))
}

/// Loops as they are before lanes are chosen.
fn unmarked(mut kernel: Kernel) -> Kernel {
    fn walk(body: &mut [Stmt]) {
        use airconv_kernel::ir::LoopKind;
        for stmt in body {
            match stmt {
                Stmt::For { kind, body, .. } => {
                    if *kind == LoopKind::Vector {
                        *kind = LoopKind::Independent;
                    }
                    walk(body);
                }
                Stmt::While { body, .. } => walk(body),
                Stmt::If { then, otherwise, .. } => {
                    walk(then);
                    walk(otherwise);
                }
                Stmt::Store { .. } | Stmt::Set { .. } => {}
            }
        }
    }
    walk(&mut kernel.body);
    kernel
}

/// A counter that is divided by a constant which divides its extent.
fn divided(kernel: &Kernel) -> Option<(Var, i64)> {
    let all = extents(kernel);
    let mut found = None;
    let mut look = |at: &Dim| {
        let mut todo = vec![at.clone()];
        while let Some(d) = todo.pop() {
            let Dim::Expr(e) = &d else { continue };
            for atom in e.terms().iter().flat_map(|t| t.atoms()) {
                todo.extend(atom.args().cloned());
                let (Atom::FloorDiv(a, b) | Atom::Mod(a, b)) = atom else { continue };
                let (Some(v), Some(by)) = (a.as_symbol(), b.as_known()) else { continue };
                let extent = all.iter().filter(|(w, _)| *w == v).map(|(_, d)| d.as_known());
                // A counter may run in several reductions.
                let fits = |n: Option<i64>| n.is_some_and(|n| by > 1 && n > by && n % by == 0);
                let mut extent = extent.peekable();
                if extent.peek().is_some() && extent.all(fits) {
                    found = found.or(Some((v, by)));
                }
            }
        }
    };
    let mut stores = Vec::new();
    store_places(&kernel.body, &mut stores);
    kernel.exprs.iter().flat_map(dims).for_each(&mut look);
    stores.into_iter().for_each(&mut look);
    found
}

fn store_places<'k>(body: &'k [Stmt], out: &mut Vec<&'k Dim>) {
    for stmt in body {
        match stmt {
            Stmt::Store { at, .. } => out.push(at),
            Stmt::For { body, .. } | Stmt::While { body, .. } => store_places(body, out),
            Stmt::If { then, otherwise, .. } => {
                store_places(then, out);
                store_places(otherwise, out);
            }
            Stmt::Set { .. } => {}
        }
    }
}

/// A counter as `by` times a new one plus another new one.
fn split(kernel: &Kernel, var: Var, by: i64) -> Kernel {
    let mut k = kernel.clone();
    let fresh = |k: &mut Kernel| {
        k.vars.push(VarDef::Counter);
        SymbolId(k.vars.len() as u32 - 1)
    };
    let (high, low) = (fresh(&mut k), fresh(&mut k));
    let pair = |extent: &Dim| {
        let n = extent.as_known().unwrap_or(by) / by;
        [(high, Dim::Known(n)), (low, Dim::Known(by))]
    };
    for expr in &mut k.exprs {
        if let Expr::Reduce { axes, .. } = expr
            && let Some(at) = axes.iter().position(|(v, _)| *v == var)
        {
            let both = pair(&axes[at].1);
            axes.splice(at..=at, both);
        }
    }
    fn loops(body: &mut [Stmt], var: Var, pair: &dyn Fn(&Dim) -> [(Var, Dim); 2]) {
        for stmt in body {
            match stmt {
                Stmt::For { var: v, extent, kind, body } => {
                    loops(body, var, pair);
                    if *v == var {
                        let [(high, n), (low, m)] = pair(extent);
                        let inner = Stmt::For {
                            var: low,
                            extent: m,
                            kind: *kind,
                            body: std::mem::take(body),
                        };
                        (*v, *extent, *body) = (high, n, vec![inner]);
                    }
                }
                Stmt::While { body, .. } => loops(body, var, pair),
                Stmt::If { then, otherwise, .. } => {
                    loops(then, var, pair);
                    loops(otherwise, var, pair);
                }
                Stmt::Store { .. } | Stmt::Set { .. } => {}
            }
        }
    }
    loops(&mut k.body, var, &pair);
    let ranges = extents(&k);
    let range = |s: SymbolId| match ranges.iter().find(|(v, _)| *v == s) {
        Some((_, extent)) => Range::new(Some(0), extent.as_known().map(|n| (n - 1).max(0))),
        None => Range::new(None, None),
    };
    let whole = Dim::symbol(high).mul(&Dim::Known(by)).add(&Dim::symbol(low));
    rewrite(&k, &mut |d| {
        let mut used = false;
        d.symbols(&mut |v| used |= v == var);
        if !used {
            return d.clone();
        }
        d.substitute(&mut |v| (v == var).then(|| whole.clone())).simplify(&range)
    })
}

/// The kernel without comparisons of a counter that its extent decides.
fn without_guards(kernel: &Kernel) -> Option<Kernel> {
    let all = extents(kernel);
    let range = |s: SymbolId| match all.iter().find(|(v, _)| *v == s) {
        Some((_, extent)) => Range::new(Some(0), extent.as_known().map(|n| (n - 1).max(0))),
        None => Range::new(None, None),
    };
    let index = |id: ExprId| match kernel.expr(id) {
        Expr::Index(d) => Some(d.clone()),
        Expr::Const(c) if c.ty == Scalar::I64 => Some(Dim::Known(c.bits as i64)),
        _ => None,
    };
    // Whether a is below b, or at most b.
    let below = |a: &Dim, b: &Dim, or_same: bool| {
        // A counter is below its extent, even where that is a size.
        let own = a.as_symbol().is_some_and(|v| {
            let mut found = all.iter().filter(|(w, _)| *w == v).peekable();
            found.peek().is_some() && found.all(|(_, e)| e == b)
        });
        let gap = b.sub(a).sub(&Dim::Known(i64::from(!or_same)));
        own || gap.is_nonneg(&range)
    };
    let mut k = kernel.clone();
    let mut changed = false;
    for i in 0..k.exprs.len() {
        let holds = match &k.exprs[i] {
            Expr::Binary(op @ (BinOp::Lt | BinOp::Le), a, b) => match (index(*a), index(*b)) {
                (Some(a), Some(b)) => below(&a, &b, *op == BinOp::Le),
                _ => false,
            },
            Expr::Binary(BinOp::And, a, b) => {
                let yes = Expr::Const(Const::bool(true));
                k.exprs[a.0 as usize] == yes && k.exprs[b.0 as usize] == yes
            }
            Expr::Guard(c, x, _) => {
                if k.exprs[c.0 as usize] == Expr::Const(Const::bool(true)) {
                    // Stands for what is guarded.
                    let x = *x;
                    replace(&mut k, ExprId(i as u32), x);
                    changed = true;
                }
                false
            }
            _ => false,
        };
        if holds {
            k.exprs[i] = Expr::Const(Const::bool(true));
        }
    }
    changed.then(|| rewrite(&k, &mut Dim::clone))
}

/// Lets all users of an expression use an earlier one.
fn replace(kernel: &mut Kernel, old: ExprId, new: ExprId) {
    let m = |x: &mut ExprId| {
        if *x == old {
            *x = new;
        }
    };
    for expr in &mut kernel.exprs {
        match expr {
            Expr::Const(_) | Expr::Local(_) | Expr::Index(_) | Expr::Load { .. } => {}
            Expr::Unary(_, x)
            | Expr::Cast(_, x)
            | Expr::Bitcast(_, x)
            | Expr::Narrow(_, x)
            | Expr::Reduce { x, .. } => m(x),
            Expr::Binary(_, a, b) | Expr::Check { ok: a, x: b, .. } => {
                m(a);
                m(b);
            }
            Expr::Select(c, a, b) | Expr::Guard(c, a, b) => {
                m(c);
                m(a);
                m(b);
            }
        }
    }
    for def in &mut kernel.vars {
        if let VarDef::Value(x) = def {
            m(x);
        }
    }
    fn statements(body: &mut [Stmt], m: &dyn Fn(&mut ExprId)) {
        for stmt in body {
            match stmt {
                Stmt::Store { value, .. } | Stmt::Set { value, .. } => m(value),
                Stmt::For { body, .. } => statements(body, m),
                Stmt::While { cond, body } => {
                    m(cond);
                    statements(body, m);
                }
                Stmt::If { cond, then, otherwise } => {
                    m(cond);
                    statements(then, m);
                    statements(otherwise, m);
                }
            }
        }
    }
    statements(&mut kernel.body, &m);
}
