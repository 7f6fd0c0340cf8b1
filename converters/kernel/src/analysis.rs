//! What expressions depend on, and where code for them may stand.

use std::collections::BTreeSet;

use airconv_ir::dim::{Atom, Dim};

use crate::ir::{Access, BinOp, Expr, ExprId, Kernel, LocalId, Stmt, Var, VarDef};

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

/// All loops and reduction axes with their extents.
pub fn extents(kernel: &Kernel) -> Vec<(Var, Dim)> {
    fn loops(body: &[Stmt], out: &mut Vec<(Var, Dim)>) {
        for stmt in body {
            match stmt {
                Stmt::For { var, extent, body, .. } => {
                    out.push((*var, extent.clone()));
                    loops(body, out);
                }
                Stmt::While { body, .. } => loops(body, out),
                Stmt::If { then, otherwise, .. } => {
                    loops(then, out);
                    loops(otherwise, out);
                }
                Stmt::Store { .. } | Stmt::Set { .. } => {}
            }
        }
    }
    let mut out = Vec::new();
    loops(&kernel.body, &mut out);
    for expr in &kernel.exprs {
        if let Expr::Reduce { axes, .. } = expr {
            out.extend(axes.iter().cloned());
        }
    }
    out
}

/// Whether each expression of a well-formed kernel may be computed where it is not needed: it
/// does not load, divide integers or check.
pub fn speculatable(kernel: &Kernel) -> Vec<bool> {
    let mut safe: Vec<bool> = Vec::with_capacity(kernel.exprs.len());
    for (i, expr) in kernel.exprs.iter().enumerate() {
        let own = match expr {
            Expr::Load { .. } | Expr::Check { .. } => false,
            Expr::Binary(op, _, _) => {
                let divides =
                    matches!(op, BinOp::Div | BinOp::FloorDiv | BinOp::Rem | BinOp::FloorRem);
                !(divides && kernel.ty(ExprId(i as u32)).is_int())
            }
            _ => true,
        };
        let dims = dims(expr).all(|d| total(kernel, &safe, d));
        safe.push(own && dims && operands(expr).all(|x| safe[x.0 as usize]));
    }
    safe
}

/// Whether an index expression has a value wherever its variables do.
fn total(kernel: &Kernel, safe: &[bool], dim: &Dim) -> bool {
    let Dim::Expr(e) = dim else { return !dim.is_any() };
    e.terms().iter().flat_map(|t| t.atoms()).all(|atom| {
        let divides = |by: &Dim| by.as_known().is_some_and(|k| k != 0);
        let own = match atom {
            Atom::Symbol(v) => match kernel.vars[v.0 as usize] {
                VarDef::Value(x) => safe[x.0 as usize],
                VarDef::Size(_) | VarDef::Counter => true,
            },
            Atom::FloorDiv(_, b) | Atom::CeilDiv(_, b) | Atom::Mod(_, b) => divides(b),
            Atom::Min(_) | Atom::Max(_) | Atom::Broadcast(_) => true,
        };
        own && atom.args().all(|d| total(kernel, safe, d))
    })
}

/// What statements change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Locals that they set.
    pub sets: BTreeSet<LocalId>,
    /// Whether they store.
    pub stores: bool,
}

impl Effects {
    /// The effects of a list of statements.
    pub fn of(list: &[Stmt]) -> Effects {
        let mut effects = Effects::default();
        effects.add(list);
        effects
    }

    fn add(&mut self, list: &[Stmt]) {
        for stmt in list {
            match stmt {
                Stmt::Set { local, .. } => {
                    self.sets.insert(*local);
                }
                Stmt::Store { .. } => self.stores = true,
                Stmt::For { body, .. } | Stmt::While { body, .. } => self.add(body),
                Stmt::If { then, otherwise, .. } => {
                    self.add(then);
                    self.add(otherwise);
                }
            }
        }
    }
}

/// A block of generated code within others.
#[derive(Clone, Debug, Default)]
pub struct Level {
    /// Whether it runs again and again, so that it pays to take code out of it.
    pub repeats: bool,
    /// Whether it may not run although the block around it does.
    pub conditional: bool,
    /// Whether it is there to hold what is taken out of a loop, once that is known to run.
    pub header: bool,
    /// Counters that it runs.
    pub binds: Vec<Var>,
    /// What happens in it.
    pub effects: Effects,
}

/// Finds the blocks in which code for expressions may stand.
///
/// An expression goes to the outermost loop level at which all that it depends on is known, but
/// never out of a block that may not run, unless it may be computed where it is not needed. What
/// loads from a parameter that the kernel also writes stays inside of loops that store.
#[derive(Clone, Debug)]
pub struct Placement {
    /// What each expression depends on.
    pub frees: Vec<Free>,
    /// Whether each expression may be computed where it is not needed.
    pub speculatable: Vec<bool>,
    /// Whether each expression loads from a parameter that the kernel also writes.
    pub volatile: Vec<bool>,
}

impl Placement {
    /// The analysis of a well-formed kernel.
    pub fn new(kernel: &Kernel) -> Placement {
        let frees = free(kernel);
        let written = |p: &u32| kernel.params[*p as usize].access != Access::Read;
        let volatile = frees.iter().map(|f| f.loads.iter().any(written)).collect();
        Placement { frees, speculatable: speculatable(kernel), volatile }
    }

    /// Whether an expression that is needed in a block can be computed before it instead.
    pub fn hoistable(&self, x: ExprId, out_of: &Level) -> bool {
        let i = x.0 as usize;
        out_of.binds.iter().all(|v| self.frees[i].counters.binary_search(v).is_err())
            && self.survives(x, &out_of.effects)
            && (!out_of.conditional || self.speculatable[i])
    }

    /// Whether the value of an expression is the same after some effects.
    pub fn survives(&self, x: ExprId, effects: &Effects) -> bool {
        let i = x.0 as usize;
        self.frees[i].locals.iter().all(|l| !effects.sets.contains(l))
            && !(effects.stores && self.volatile[i])
    }

    /// The block for an expression that is needed in the last of a chain of blocks, outermost
    /// first.
    pub fn place(&self, x: ExprId, levels: &[Level]) -> usize {
        let mut best = levels.len().saturating_sub(1);
        for at in (1..levels.len()).rev() {
            if !self.hoistable(x, &levels[at]) {
                break;
            }
            if levels[at].repeats || levels[at].header {
                best = at - 1;
            }
        }
        best
    }
}
