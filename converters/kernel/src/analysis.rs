//! What expressions depend on.

use airconv_ir::dim::Dim;

use crate::ir::{Expr, ExprId, Kernel, LocalId, Var, VarDef};

/// What the value of an expression depends on, besides sizes: sorted lists without repetition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Free {
    /// Counters of enclosing loops and reductions.
    pub counters: Vec<Var>,
    /// Local variables.
    pub locals: Vec<LocalId>,
    /// Parameters that are loaded from.
    pub loads: Vec<u32>,
    /// Counters that reductions in it run.
    pub bound: Vec<Var>,
    /// Whether a check is in it, so that computing it can fail the run.
    pub checks: bool,
}

fn insert<T: Ord + Copy>(list: &mut Vec<T>, item: T) {
    if let Err(at) = list.binary_search(&item) {
        list.insert(at, item);
    }
}

impl Free {
    /// Adds all that another one depends on.
    pub fn merge(&mut self, other: &Free) {
        other.counters.iter().for_each(|&v| insert(&mut self.counters, v));
        other.locals.iter().for_each(|&l| insert(&mut self.locals, l));
        other.loads.iter().for_each(|&p| insert(&mut self.loads, p));
        other.bound.iter().for_each(|&v| insert(&mut self.bound, v));
        self.checks |= other.checks;
    }

    /// Adds what an index expression depends on, given what expressions do.
    pub fn merge_dim(&mut self, kernel: &Kernel, frees: &[Free], dim: &Dim) {
        dim.symbols(&mut |var| match kernel.vars[var.0 as usize] {
            VarDef::Size(_) => {}
            VarDef::Counter => insert(&mut self.counters, var),
            VarDef::Value(x) => self.merge(&frees[x.0 as usize]),
        });
    }
}

/// What each expression of a well-formed kernel depends on.
pub fn free(kernel: &Kernel) -> Vec<Free> {
    let mut frees: Vec<Free> = Vec::with_capacity(kernel.exprs.len());
    for expr in &kernel.exprs {
        let mut f = Free::default();
        let merge = |f: &mut Free, x: ExprId| f.merge(&frees[x.0 as usize]);
        match expr {
            Expr::Const(_) => {}
            Expr::Index(d) => f.merge_dim(kernel, &frees, d),
            Expr::Load { param, at } => {
                f.merge_dim(kernel, &frees, at);
                insert(&mut f.loads, *param);
            }
            Expr::Local(l) => insert(&mut f.locals, *l),
            Expr::Reduce { axes, x, .. } => {
                merge(&mut f, *x);
                for (var, extent) in axes.iter().rev() {
                    f.counters.retain(|v| v != var);
                    f.merge_dim(kernel, &frees, extent);
                    insert(&mut f.bound, *var);
                }
            }
            Expr::Check { ok, x, .. } => {
                merge(&mut f, *ok);
                merge(&mut f, *x);
                f.checks = true;
            }
            other => operands(other).for_each(|x| merge(&mut f, x)),
        }
        frees.push(f);
    }
    frees
}

/// The expressions that an expression is made of, apart from those in its index expressions.
pub fn operands(expr: &Expr) -> impl Iterator<Item = ExprId> {
    let list = match *expr {
        Expr::Const(_) | Expr::Index(_) | Expr::Load { .. } | Expr::Local(_) => [None; 3],
        Expr::Unary(_, x)
        | Expr::Cast(_, x)
        | Expr::Bitcast(_, x)
        | Expr::Narrow(_, x)
        | Expr::Reduce { x, .. } => [Some(x), None, None],
        Expr::Binary(_, a, b) | Expr::Check { ok: a, x: b, .. } => [Some(a), Some(b), None],
        Expr::Select(c, a, b) | Expr::Guard(c, a, b) => [Some(c), Some(a), Some(b)],
    };
    list.into_iter().flatten()
}

/// The index expressions that an expression holds.
pub fn dims(expr: &Expr) -> impl Iterator<Item = &Dim> {
    let (one, axes): (Option<&Dim>, &[(Var, Dim)]) = match expr {
        Expr::Index(d) | Expr::Load { at: d, .. } => (Some(d), &[]),
        Expr::Reduce { axes, .. } => (None, axes),
        _ => (None, &[]),
    };
    one.into_iter().chain(axes.iter().map(|(_, extent)| extent))
}
