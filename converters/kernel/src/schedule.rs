//! The order and kind of loops: neighbouring loops that walk memory as one become one, and the
//! innermost independent loop is marked for vectors.

use airconv_ir::dim::Dim;
use rustc_hash::FxHashMap;

use crate::ir::{Expr, ExprId, Kernel, KernelBuilder, LoopKind, Stmt, Var, VarDef};
use crate::simplify::simplify;

/// Chooses the loop structure of a kernel.
pub fn schedule(kernel: Kernel) -> Kernel {
    let mut kernel = simplify(&kernel);
    while let Some((outer, extent)) = joinable(&kernel) {
        kernel = join(&kernel, outer, &extent);
    }
    while let Some(axes) = joinable_sums(&kernel) {
        kernel = join_sums(&kernel, axes);
    }
    mark_vectors(&mut kernel.body);
    kernel
}

/// A perfect nest of two independent loops whose counters only occur as one combined index.
fn joinable(kernel: &Kernel) -> Option<(Var, Dim)> {
    fn pairs<'k>(body: &'k [Stmt], out: &mut Vec<(Var, Var, &'k Dim)>) {
        for stmt in body {
            if let Stmt::For { var, kind: LoopKind::Independent, body, .. } = stmt {
                if let [Stmt::For { var: inner, extent, kind: LoopKind::Independent, .. }] =
                    &body[..]
                {
                    out.push((*var, *inner, extent));
                }
                pairs(body, out);
            }
        }
    }
    let mut found = Vec::new();
    pairs(&kernel.body, &mut found);
    found.into_iter().find_map(|(outer, inner, extent)| {
        let mut all = true;
        each_dim(kernel, &mut |d| all &= walks_as_one(d, outer, inner, extent));
        all.then(|| (outer, extent.clone()))
    })
}

/// Two neighbouring axes of reductions that walk memory as one, the outer one first; no reduction
/// has one of them alone.
fn joinable_sums(kernel: &Kernel) -> Option<[Var; 2]> {
    let reductions = || {
        kernel.exprs.iter().filter_map(|e| match e {
            Expr::Reduce { axes, .. } => Some(axes),
            _ => None,
        })
    };
    let pairs = reductions().flat_map(|axes| axes.windows(2));
    pairs.into_iter().find_map(|pair| {
        let [(outer, _), (inner, extent)] = pair else { return None };
        let whole = reductions().all(|axes| {
            let has = axes.iter().any(|(v, _)| v == outer || v == inner);
            !has || axes.windows(2).any(|other| other == pair)
        });
        let mut all = whole;
        each_dim(kernel, &mut |d| all &= walks_as_one(d, *outer, *inner, extent));
        all.then_some([*outer, *inner])
    })
}

/// Two axes of reductions as one: the inner counter runs over both.
fn join_sums(kernel: &Kernel, [outer, inner]: [Var; 2]) -> Kernel {
    let without = &mut |d: &Dim| d.substitute(&mut |s| (s == outer).then_some(Dim::Known(0)));
    rewrite_with(kernel, without, &mut |b, expr| {
        let Expr::Reduce { kind, mut axes, x } = expr else { return b.add(expr) };
        if let Some(at) = axes.iter().position(|(v, _)| *v == outer) {
            let (_, count) = axes.remove(at);
            if let Some((_, extent)) = axes.iter_mut().find(|(v, _)| *v == inner) {
                *extent = &count * &*extent;
            }
        }
        b.add(Expr::Reduce { kind, axes, x })
    })
}

/// Whether an index depends on two counters only through `outer * extent + inner`.
fn walks_as_one(index: &Dim, outer: Var, inner: Var, extent: &Dim) -> bool {
    let mut used = false;
    index.symbols(&mut |s| used |= s == outer || s == inner);
    if !used {
        return true;
    }
    let combined = &(&Dim::symbol(outer) * extent) + &Dim::symbol(inner);
    let rebuilt = index.substitute(&mut |s| {
        if s == outer { Some(Dim::Known(0)) } else { (s == inner).then(|| combined.clone()) }
    });
    rebuilt == *index
}

fn each_dim(kernel: &Kernel, f: &mut dyn FnMut(&Dim)) {
    for expr in &kernel.exprs {
        match expr {
            Expr::Index(d) | Expr::Load { at: d, .. } => f(d),
            Expr::Reduce { axes, .. } => axes.iter().for_each(|(_, d)| f(d)),
            _ => {}
        }
    }
    fn statements(body: &[Stmt], f: &mut dyn FnMut(&Dim)) {
        for stmt in body {
            match stmt {
                Stmt::For { extent, body, .. } => {
                    f(extent);
                    statements(body, f);
                }
                Stmt::Store { at, .. } => f(at),
                Stmt::Set { .. } => {}
                Stmt::If { then, otherwise, .. } => {
                    statements(then, f);
                    statements(otherwise, f);
                }
                Stmt::While { body, .. } => statements(body, f),
            }
        }
    }
    statements(&kernel.body, f);
}

/// Two loops as one: the inner counter runs over both.
fn join(kernel: &Kernel, outer: Var, extent: &Dim) -> Kernel {
    let mut out = rewrite(kernel, &mut |d: &Dim| {
        d.substitute(&mut |s| (s == outer).then_some(Dim::Known(0)))
    });
    fn fix(body: &mut Vec<Stmt>, outer: Var, inner_extent: &Dim) {
        for stmt in body {
            if let Stmt::For { var, extent, body, .. } = stmt {
                if *var == outer
                    && let [Stmt::For { var: v, body: inner, .. }] = &mut body[..]
                {
                    *var = *v;
                    *extent = &*extent * inner_extent;
                    *body = std::mem::take(inner);
                    return;
                }
                fix(body, outer, inner_extent);
            }
        }
    }
    fix(&mut out.body, outer, extent);
    out
}

/// Which expressions the statements need.
fn reachable(kernel: &Kernel) -> Vec<bool> {
    struct Walk<'k> {
        kernel: &'k Kernel,
        live: Vec<bool>,
    }
    impl Walk<'_> {
        fn expr(&mut self, id: ExprId) {
            if std::mem::replace(&mut self.live[id.0 as usize], true) {
                return;
            }
            match self.kernel.expr(id) {
                Expr::Const(_) | Expr::Local(_) => {}
                Expr::Index(d) | Expr::Load { at: d, .. } => self.dim(d),
                Expr::Unary(_, x) | Expr::Cast(_, x) | Expr::Bitcast(_, x) | Expr::Narrow(_, x) => {
                    self.expr(*x)
                }
                Expr::Binary(_, x, y) | Expr::Check { ok: x, x: y, .. } => {
                    self.expr(*x);
                    self.expr(*y);
                }
                Expr::Select(c, x, y) | Expr::Guard(c, x, y) => {
                    self.expr(*c);
                    self.expr(*x);
                    self.expr(*y);
                }
                Expr::Reduce { axes, x, .. } => {
                    axes.iter().for_each(|(_, d)| self.dim(d));
                    self.expr(*x);
                }
            }
        }
        fn dim(&mut self, dim: &Dim) {
            let mut values = Vec::new();
            dim.symbols(&mut |s| {
                if let Some(VarDef::Value(x)) = self.kernel.vars.get(s.0 as usize) {
                    values.push(*x);
                }
            });
            values.into_iter().for_each(|x| self.expr(x));
        }
        fn statements(&mut self, body: &[Stmt]) {
            for stmt in body {
                match stmt {
                    Stmt::For { extent, body, .. } => {
                        self.dim(extent);
                        self.statements(body);
                    }
                    Stmt::Store { at, value, .. } => {
                        self.dim(at);
                        self.expr(*value);
                    }
                    Stmt::Set { value, .. } => self.expr(*value),
                    Stmt::If { cond, then, otherwise } => {
                        self.expr(*cond);
                        self.statements(then);
                        self.statements(otherwise);
                    }
                    Stmt::While { cond, body } => {
                        self.expr(*cond);
                        self.statements(body);
                    }
                }
            }
        }
    }
    let mut walk = Walk { kernel, live: vec![false; kernel.exprs.len()] };
    walk.statements(&kernel.body);
    walk.live
}

/// A copy of a kernel with each index changed; equal expressions are joined anew, and those
/// that no statement needs are left out.
pub fn rewrite(kernel: &Kernel, f: &mut dyn FnMut(&Dim) -> Dim) -> Kernel {
    rewrite_with(kernel, f, &mut |b, expr| b.add(expr))
}

/// The same with each expression added by a function, whose operands are those of the copy.
pub fn rewrite_with(
    kernel: &Kernel,
    f: &mut dyn FnMut(&Dim) -> Dim,
    add: &mut dyn FnMut(&mut KernelBuilder, Expr) -> ExprId,
) -> Kernel {
    let mut b = KernelBuilder::new(kernel.name.clone());
    b.kernel.params.clone_from(&kernel.params);
    b.kernel.sizes = kernel.sizes;
    b.kernel.vars.clone_from(&kernel.vars);
    b.kernel.locals.clone_from(&kernel.locals);
    let mut map: FxHashMap<ExprId, ExprId> = FxHashMap::default();
    let live = reachable(kernel);
    for (i, expr) in kernel.exprs.iter().enumerate() {
        if !live[i] {
            continue;
        }
        let new = expr.renamed(&|x| map[&x], f);
        map.insert(ExprId(i as u32), add(&mut b, new));
    }
    for def in &mut b.kernel.vars {
        if let VarDef::Value(x) = def {
            match map.get(x) {
                Some(&new) => *x = new,
                None => *def = VarDef::Counter,
            }
        }
    }
    fn statements(
        body: &[Stmt],
        map: &FxHashMap<ExprId, ExprId>,
        f: &mut dyn FnMut(&Dim) -> Dim,
    ) -> Vec<Stmt> {
        body.iter()
            .map(|stmt| match stmt {
                Stmt::For { var, extent, kind, body } => Stmt::For {
                    var: *var,
                    extent: f(extent),
                    kind: *kind,
                    body: statements(body, map, f),
                },
                Stmt::Store { param, at, value } => {
                    Stmt::Store { param: *param, at: f(at), value: map[value] }
                }
                Stmt::Set { local, value } => Stmt::Set { local: *local, value: map[value] },
                Stmt::If { cond, then, otherwise } => Stmt::If {
                    cond: map[cond],
                    then: statements(then, map, f),
                    otherwise: statements(otherwise, map, f),
                },
                Stmt::While { cond, body } => {
                    Stmt::While { cond: map[cond], body: statements(body, map, f) }
                }
            })
            .collect()
    }
    let body = statements(&kernel.body, &map, f);
    b.kernel.body = body;
    b.kernel
}

/// Marks the innermost independent loops that only store.
fn mark_vectors(body: &mut [Stmt]) {
    for stmt in body {
        if let Stmt::For { kind, body, .. } = stmt {
            let plain = body.iter().all(|s| matches!(s, Stmt::Store { .. }));
            if plain && *kind == LoopKind::Independent {
                *kind = LoopKind::Vector;
            }
            mark_vectors(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse;

    /// The extents of the sum over a block of 4 by 5 numbers that lie at some places.
    fn extents(at: &str) -> Vec<Option<i64>> {
        let text = format!(
            "kernel \"sum\" {{\n  param p0 = read f32\n  param p1 = write f32\n  sizes 0\n  \
             var v0 = counter\n  var v1 = counter\n  var v2 = counter\n  \
             e0 = load p0 [{at}] : f32\n  e1 = reduce sum [v1 < 4, v2 < 5] e0 : f32\n  \
             independent v0 < [3] {{\n    p1 [v0] = e1\n  }}\n}}\n"
        );
        let kernel = schedule(parse(&text).unwrap());
        let axes = kernel.exprs.iter().find_map(|e| match e {
            Expr::Reduce { axes, .. } => Some(axes.iter().map(|(_, n)| n.as_known()).collect()),
            _ => None,
        });
        axes.unwrap()
    }

    #[test]
    fn sums_along_memory_are_one() {
        assert_eq!(extents("20*v0 + 5*v1 + v2"), [Some(20)]);
        assert_eq!(extents("20*v0 + v1 + 4*v2"), [Some(4), Some(5)]);
        assert_eq!(extents("24*v0 + 6*v1 + v2"), [Some(4), Some(5)]);
    }
}
