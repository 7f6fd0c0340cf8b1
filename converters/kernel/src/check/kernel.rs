//! The checker of kernels.

use airconv_ir::dim::Dim;
use airconv_ir::op::ReduceKind;

use crate::analysis::{Free, free};
use crate::ir::{
    Access, BinOp, Const, Expr, ExprId, Kernel, Narrow, Scalar, Stmt, UnOp, Var, VarDef,
};

/// Finds everything that is wrong with a kernel.
///
/// # Errors
/// One line per fault, with its place.
pub fn check_kernel(kernel: &Kernel) -> Result<(), Vec<String>> {
    let mut check = Check { k: kernel, types: Vec::new(), errors: Vec::new() };
    check.vars();
    for i in 0..kernel.exprs.len() {
        let ty = check.expr(i);
        check.types.push(ty);
    }
    check.statements(&kernel.body, "body");
    if check.errors.is_empty() {
        let frees = free(kernel);
        check.nested(&frees);
        let mut scope = Scope { k: kernel, frees: &frees, open: Vec::new(), errors: Vec::new() };
        scope.statements(&kernel.body, "body");
        check.errors.append(&mut scope.errors);
    }
    if check.errors.is_empty() { Ok(()) } else { Err(check.errors) }
}

/// The type of each expression; `None` where a fault leaves it without one.
pub(crate) fn types(kernel: &Kernel) -> Vec<Option<Scalar>> {
    let mut check = Check { k: kernel, types: Vec::new(), errors: Vec::new() };
    for i in 0..kernel.exprs.len() {
        let ty = check.expr(i);
        check.types.push(ty);
    }
    check.types
}

struct Check<'k> {
    k: &'k Kernel,
    /// The type of each expression so far; `None` where it has none.
    types: Vec<Option<Scalar>>,
    errors: Vec<String>,
}

impl Check<'_> {
    fn error(&mut self, place: &str, what: impl std::fmt::Display) {
        self.errors.push(format!("{place}: {what}"));
    }

    fn vars(&mut self) {
        for (i, def) in self.k.vars.iter().enumerate() {
            match def {
                VarDef::Size(n) if *n >= self.k.sizes => {
                    let count = self.k.sizes;
                    self.error(&format!("v{i}"), format!("size {n} of {count}"));
                }
                VarDef::Value(x) if x.0 as usize >= self.k.exprs.len() => {
                    self.error(&format!("v{i}"), format!("no expression e{}", x.0));
                }
                VarDef::Size(_) | VarDef::Counter | VarDef::Value(_) => {}
            }
        }
    }

    /// An index expression at a place before which so many expressions stand.
    fn dim(&mut self, place: &str, dim: &Dim, before: usize) {
        let mut wrong = Vec::new();
        dim.symbols(&mut |var| match self.k.vars.get(var.0 as usize) {
            None => wrong.push(format!("no variable v{}", var.0)),
            Some(VarDef::Value(x)) if x.0 as usize >= before => {
                wrong.push(format!("v{} needs e{}, which stands later", var.0, x.0));
            }
            Some(VarDef::Value(x)) => match self.types[x.0 as usize] {
                Some(Scalar::I64) | None => {}
                Some(ty) => wrong.push(format!("v{} is of {}, not i64", var.0, ty.name())),
            },
            Some(VarDef::Size(_) | VarDef::Counter) => {}
        });
        if has_any(dim) {
            wrong.push("an index that is not known".to_owned());
        }
        for what in wrong {
            self.error(place, what);
        }
    }

    fn counter(&mut self, place: &str, var: Var) {
        match self.k.vars.get(var.0 as usize) {
            Some(VarDef::Counter) => {}
            Some(_) => self.error(place, format!("v{} is no counter", var.0)),
            None => self.error(place, format!("no variable v{}", var.0)),
        }
    }

    /// The type of an operand of the expression that comes next.
    fn operand(&mut self, place: &str, x: ExprId) -> Option<Scalar> {
        match self.types.get(x.0 as usize) {
            Some(ty) => *ty,
            None if self.types.len() < self.k.exprs.len() => {
                self.error(place, format!("operand e{} stands later", x.0));
                None
            }
            None => {
                self.error(place, format!("no expression e{}", x.0));
                None
            }
        }
    }

    fn truth(&mut self, place: &str, x: ExprId) {
        if let Some(ty) = self.operand(place, x).filter(|t| *t != Scalar::Bool) {
            self.error(place, format!("a condition of {}", ty.name()));
        }
    }

    fn same(&mut self, place: &str, a: ExprId, b: ExprId) -> Option<Scalar> {
        let (a, b) = (self.operand(place, a), self.operand(place, b));
        if let (Some(a), Some(b)) = (a, b)
            && a != b
        {
            self.error(place, format!("operands of {} and {}", a.name(), b.name()));
            return None;
        }
        a.or(b)
    }

    /// The type of an expression whose operands have one.
    fn expr(&mut self, i: usize) -> Option<Scalar> {
        let place = &format!("e{i}");
        match &self.k.exprs[i] {
            Expr::Const(Const { ty, bits }) => {
                if bits & !(u64::MAX >> (64 - ty.bits())) != 0 {
                    self.error(place, format!("bits {bits:#x} of a constant of {}", ty.name()));
                }
                Some(*ty)
            }
            Expr::Index(d) => {
                self.dim(place, d, i);
                Some(Scalar::I64)
            }
            Expr::Load { param, at } => {
                self.dim(place, at, i);
                let Some(p) = self.k.params.get(*param as usize) else {
                    self.error(place, format!("no parameter p{param}"));
                    return None;
                };
                if p.access == Access::Write {
                    self.error(place, format!("p{param} is only written"));
                }
                Some(p.elem.scalar())
            }
            Expr::Local(l) => {
                let ty = self.k.locals.get(l.0 as usize).copied();
                if ty.is_none() {
                    self.error(place, format!("no local l{}", l.0));
                }
                ty
            }
            Expr::Unary(op, x) => {
                let ty = self.operand(place, *x)?;
                if !unary_takes(*op, ty) {
                    self.error(place, format!("{op:?} of {}", ty.name()));
                }
                Some(if *op == UnOp::IsNan { Scalar::Bool } else { ty })
            }
            Expr::Binary(op, a, b) => {
                let ty = self.same(place, *a, *b);
                if let Some(ty) = ty.filter(|t| !binary_takes(*op, *t)) {
                    self.error(place, format!("{op:?} of {}", ty.name()));
                }
                if op.compares() { Some(Scalar::Bool) } else { ty }
            }
            Expr::Select(c, a, b) | Expr::Guard(c, a, b) => {
                self.truth(place, *c);
                self.same(place, *a, *b)
            }
            Expr::Cast(to, x) => {
                self.operand(place, *x);
                Some(*to)
            }
            Expr::Bitcast(to, x) => {
                if let Some(from) = self.operand(place, *x).filter(|t| t.bits() != to.bits()) {
                    self.error(place, format!("bitcast of {} to {}", from.name(), to.name()));
                }
                Some(*to)
            }
            Expr::Narrow(Narrow { to, .. }, x) => {
                let ty = self.operand(place, *x)?;
                let fits = if ty.is_float() { to.is_float() } else { to.is_integer() };
                if !fits || ty == Scalar::Bool {
                    self.error(place, format!("{} narrowed to {to}", ty.name()));
                }
                Some(ty)
            }
            Expr::Reduce { kind, axes, x } => {
                for (n, (var, extent)) in axes.iter().enumerate() {
                    self.counter(place, *var);
                    self.dim(place, extent, i);
                    if axes[..n].iter().any(|(v, _)| v == var) {
                        self.error(place, format!("v{} runs twice", var.0));
                    }
                }
                let ty = self.operand(place, *x)?;
                let fits = match kind {
                    ReduceKind::And | ReduceKind::Or => ty == Scalar::Bool,
                    ReduceKind::Sum | ReduceKind::Prod => ty != Scalar::Bool,
                    ReduceKind::Max | ReduceKind::Min => true,
                };
                if !fits {
                    self.error(place, format!("{kind:?} over {}", ty.name()));
                }
                Some(ty)
            }
            Expr::Check { ok, x, .. } => {
                self.truth(place, *ok);
                self.operand(place, *x)
            }
        }
    }

    /// Reductions within one another each have their own counters.
    fn nested(&mut self, frees: &[Free]) {
        for (i, expr) in self.k.exprs.iter().enumerate() {
            let Expr::Reduce { axes, x, .. } = expr else { continue };
            let mut inner = frees[x.0 as usize].clone();
            for (var, extent) in axes.iter().rev() {
                if inner.bound.contains(var) {
                    self.error(&format!("e{i}"), format!("v{} runs already", var.0));
                }
                inner.merge_dim(self.k, frees, extent);
            }
        }
    }

    fn statements(&mut self, list: &[Stmt], place: &str) {
        let all = self.k.exprs.len();
        for (n, stmt) in list.iter().enumerate() {
            let place = &format!("{place}.{n}");
            match stmt {
                Stmt::For { var, extent, body, .. } => {
                    self.counter(place, *var);
                    self.dim(place, extent, all);
                    self.statements(body, place);
                }
                Stmt::Store { param, at, value } => {
                    self.dim(place, at, all);
                    let ty = self.operand(place, *value);
                    match self.k.params.get(*param as usize) {
                        None => self.error(place, format!("no parameter p{param}")),
                        Some(p) => {
                            if p.access == Access::Read {
                                self.error(place, format!("p{param} is only read"));
                            }
                            if let Some(ty) = ty.filter(|t| *t != p.elem.scalar()) {
                                let elem = p.elem.name();
                                self.error(place, format!("{} stored as {elem}", ty.name()));
                            }
                        }
                    }
                }
                Stmt::Set { local, value } => {
                    let ty = self.operand(place, *value);
                    match self.k.locals.get(local.0 as usize) {
                        None => self.error(place, format!("no local l{}", local.0)),
                        Some(to) => {
                            if let Some(ty) = ty.filter(|t| t != to) {
                                let what = format!("{} set to {}", to.name(), ty.name());
                                self.error(place, what);
                            }
                        }
                    }
                }
                Stmt::If { cond, then, otherwise } => {
                    self.truth(place, *cond);
                    self.statements(then, &format!("{place}.then"));
                    self.statements(otherwise, &format!("{place}.else"));
                }
                Stmt::While { cond, body } => {
                    self.truth(place, *cond);
                    self.statements(body, place);
                }
            }
        }
    }
}

/// Whether a part of an index expression is not known.
pub(super) fn has_any(dim: &Dim) -> bool {
    match dim {
        Dim::Known(_) => false,
        Dim::Any => true,
        Dim::Expr(e) => {
            e.terms().iter().flat_map(|t| t.atoms()).any(|atom| atom.args().any(has_any))
        }
    }
}

fn unary_takes(op: UnOp, ty: Scalar) -> bool {
    match op {
        UnOp::Neg | UnOp::Abs | UnOp::Sign => ty != Scalar::Bool,
        UnOp::Not => !ty.is_float(),
        _ => ty.is_float(),
    }
}

fn binary_takes(op: BinOp, ty: Scalar) -> bool {
    match op {
        BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Div | BinOp::Rem | BinOp::FloorRem => {
            ty != Scalar::Bool
        }
        BinOp::FloorDiv | BinOp::Shl | BinOp::Shr => ty.is_int(),
        BinOp::Pow => ty.is_float() || (ty.is_int() && ty.bits() == 64),
        BinOp::And | BinOp::Or | BinOp::Xor => !ty.is_float(),
        BinOp::Max | BinOp::Min | BinOp::MaxNum | BinOp::MinNum => true,
        BinOp::Eq | BinOp::Lt | BinOp::Le => true,
    }
}

/// Follows the statements and sees that counters are used where they run.
struct Scope<'k> {
    k: &'k Kernel,
    frees: &'k [Free],
    open: Vec<Var>,
    errors: Vec<String>,
}

impl Scope<'_> {
    fn needs(&mut self, place: &str, free: &Free) {
        for var in free.counters.iter().filter(|v| !self.open.contains(v)) {
            self.errors.push(format!("{place}: counter v{} is used outside its loop", var.0));
        }
        for var in free.bound.iter().filter(|v| self.open.contains(v)) {
            self.errors.push(format!("{place}: counter v{} runs already", var.0));
        }
    }

    fn expr(&mut self, place: &str, x: ExprId) {
        let frees = self.frees;
        self.needs(place, &frees[x.0 as usize]);
    }

    fn dim(&mut self, place: &str, dim: &Dim) {
        let mut free = Free::default();
        free.merge_dim(self.k, self.frees, dim);
        self.needs(place, &free);
    }

    fn statements(&mut self, list: &[Stmt], place: &str) {
        for (n, stmt) in list.iter().enumerate() {
            let place = &format!("{place}.{n}");
            match stmt {
                Stmt::For { var, extent, body, .. } => {
                    self.dim(place, extent);
                    if self.open.contains(var) {
                        self.errors.push(format!("{place}: counter v{} runs already", var.0));
                    }
                    self.open.push(*var);
                    self.statements(body, place);
                    self.open.pop();
                }
                Stmt::Store { at, value, .. } => {
                    self.dim(place, at);
                    self.expr(place, *value);
                }
                Stmt::Set { value, .. } => self.expr(place, *value),
                Stmt::If { cond, then, otherwise } => {
                    self.expr(place, *cond);
                    self.statements(then, &format!("{place}.then"));
                    self.statements(otherwise, &format!("{place}.else"));
                }
                Stmt::While { cond, body } => {
                    self.expr(place, *cond);
                    self.statements(body, place);
                }
            }
        }
    }
}
