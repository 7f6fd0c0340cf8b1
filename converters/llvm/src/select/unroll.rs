//! Short reductions written out.
//!
//! A window of a few taps (a depthwise convolution, pooling) inside of a loop whose iterations
//! are lanes becomes a chain of operations: indices are then known but for the loop's own, and
//! what the loop does not change is computed before it.

use airconv_ir::dim::Dim;
use airconv_kernel::analysis::{dims, free, operands};
use airconv_kernel::ir::{Expr, ExprId, Kernel, KernelBuilder, LoopKind, Stmt, Var, VarDef};
use rustc_hash::{FxHashMap, FxHashSet};

/// The most elements of a reduction that is written out.
const MOST: i64 = 64;
/// The most expressions of a kernel afterwards.
const MOST_EXPRESSIONS: usize = 1500;

/// The kernel with its short reductions written out; `None` when there are none.
pub fn unroll(kernel: &Kernel) -> Option<Kernel> {
    let lanes = lanes_of(&kernel.body)?;
    let frees = free(kernel);
    let mut chosen = FxHashMap::default();
    for (i, expr) in kernel.exprs.iter().enumerate() {
        let Expr::Reduce { axes, x, .. } = expr else { continue };
        // As many of the inner axes as are short.
        let (mut taps, mut kept) = (1i64, axes.len());
        while kept > 0 {
            let more = taps.saturating_mul(axes[kept - 1].1.as_known().unwrap_or(MOST + 1));
            if !(1..=MOST).contains(&more) {
                break;
            }
            (taps, kept) = (more, kept - 1);
        }
        let simple = kept < axes.len() && walks(kernel, *x, lanes);
        let bound = |x: &ExprId| {
            axes.iter().any(|(v, _)| frees[x.0 as usize].counters.binary_search(v).is_ok())
        };
        let computed = kernel.vars.iter().any(|v| matches!(v, VarDef::Value(x) if bound(x)));
        if simple && !computed {
            chosen.insert(ExprId(i as u32), (taps, kept));
        }
    }
    if chosen.is_empty() {
        return None;
    }
    let total: i64 = chosen.values().map(|(taps, _)| taps).sum();
    if total as usize * 4 + kernel.exprs.len() > MOST_EXPRESSIONS {
        return None;
    }
    let mut b = KernelBuilder::new(kernel.name.clone());
    b.kernel.params.clone_from(&kernel.params);
    b.kernel.sizes = kernel.sizes;
    b.kernel.vars.clone_from(&kernel.vars);
    b.kernel.locals.clone_from(&kernel.locals);
    let mut map: Vec<ExprId> = Vec::with_capacity(kernel.exprs.len());
    for (i, expr) in kernel.exprs.iter().enumerate() {
        let id = ExprId(i as u32);
        let new = match expr {
            Expr::Reduce { kind, axes, x } if chosen.contains_key(&id) => {
                let (outer, axes) = axes.split_at(chosen[&id].1);
                let op = Kernel::combine(*kind);
                let mut acc: Option<ExprId> = None;
                each_tap(axes, &mut Vec::new(), &mut |at| {
                    let mut copier =
                        Copier { kernel, b: &mut b, map: &map, at, made: FxHashMap::default() };
                    let term = copier.copy(*x);
                    acc = Some(match acc {
                        None => term,
                        Some(acc) => b.binary(op, acc, term),
                    });
                });
                match outer {
                    [] => acc?,
                    _ => b.add(Expr::Reduce { kind: *kind, axes: outer.to_vec(), x: acc? }),
                }
            }
            other => b.add(other.renamed(&|x| map[x.0 as usize], &mut Dim::clone)),
        };
        map.push(new);
    }
    for def in &mut b.kernel.vars {
        if let VarDef::Value(x) = def {
            *x = map[x.0 as usize];
        }
    }
    b.kernel.body = statements(&kernel.body, &map);
    // Without what is no longer needed.
    Some(airconv_kernel::schedule::rewrite(&b.kernel, &mut Dim::clone))
}

/// The counter of the innermost loop that is marked for vectors.
fn lanes_of(body: &[Stmt]) -> Option<Var> {
    body.iter().find_map(|s| match s {
        Stmt::For { var, kind: LoopKind::Vector, .. } => Some(*var),
        Stmt::For { body, .. } | Stmt::While { body, .. } => lanes_of(body),
        Stmt::If { then, otherwise, .. } => lanes_of(then).or_else(|| lanes_of(otherwise)),
        Stmt::Store { .. } | Stmt::Set { .. } => None,
    })
}

/// Whether everything that is loaded stands still or goes along with a counter, and something
/// does; no other reduction is within.
fn walks(kernel: &Kernel, x: ExprId, lanes: Var) -> bool {
    let mut todo = vec![x];
    let mut seen = FxHashSet::default();
    let mut moves = false;
    while let Some(id) = todo.pop() {
        if !seen.insert(id) {
            continue;
        }
        match kernel.expr(id) {
            Expr::Reduce { .. } => return false,
            Expr::Load { at, .. } => {
                let by = |k: i64| at.substitute(&mut |v| (v == lanes).then_some(Dim::Known(k)));
                match by(1).sub(&by(0)).as_known() {
                    Some(0) => {}
                    Some(1 | 2) => moves = true,
                    _ => return false,
                }
            }
            _ => {}
        }
        todo.extend(operands(kernel.expr(id)));
    }
    moves
}

/// Calls with the value of each axis, the last one fastest.
fn each_tap(axes: &[(Var, Dim)], at: &mut Vec<(Var, i64)>, call: &mut impl FnMut(&[(Var, i64)])) {
    let Some(((var, extent), rest)) = axes.split_first() else {
        call(at);
        return;
    };
    for i in 0..extent.as_known().unwrap_or(0) {
        at.push((*var, i));
        each_tap(rest, at, call);
        at.pop();
    }
}

/// Copies expressions with numbers for some counters.
struct Copier<'a> {
    kernel: &'a Kernel,
    b: &'a mut KernelBuilder,
    map: &'a [ExprId],
    at: &'a [(Var, i64)],
    made: FxHashMap<ExprId, ExprId>,
}

impl Copier<'_> {
    fn copy(&mut self, id: ExprId) -> ExprId {
        if let Some(&made) = self.made.get(&id) {
            return made;
        }
        let kernel = self.kernel;
        let expr = kernel.expr(id);
        for x in operands(expr) {
            self.copy(x);
        }
        let at = self.at;
        let mut moved = false;
        let mut place = |d: &Dim| {
            let new = d
                .substitute(&mut |v| at.iter().find(|(w, _)| *w == v).map(|(_, i)| Dim::Known(*i)));
            moved |= new != *d;
            new
        };
        dims(expr).for_each(|d| {
            place(d);
        });
        moved |= operands(expr).any(|x| self.made[&x] != self.map[x.0 as usize]);
        let new = if moved {
            let made = &self.made;
            let new = expr.renamed(&|x| made[&x], &mut |d| {
                d.substitute(&mut |v| at.iter().find(|(w, _)| *w == v).map(|(_, i)| Dim::Known(*i)))
            });
            match new {
                Expr::Index(Dim::Known(k)) => self.b.index(Dim::Known(k)),
                new => self.b.add(new),
            }
        } else {
            self.map[id.0 as usize]
        };
        self.made.insert(id, new);
        new
    }
}

fn statements(body: &[Stmt], map: &[ExprId]) -> Vec<Stmt> {
    let m = |x: &ExprId| map[x.0 as usize];
    body.iter()
        .map(|stmt| match stmt {
            Stmt::For { var, extent, kind, body } => Stmt::For {
                var: *var,
                extent: extent.clone(),
                kind: *kind,
                body: statements(body, map),
            },
            Stmt::Store { param, at, value } => {
                Stmt::Store { param: *param, at: at.clone(), value: m(value) }
            }
            Stmt::Set { local, value } => Stmt::Set { local: *local, value: m(value) },
            Stmt::If { cond, then, otherwise } => Stmt::If {
                cond: m(cond),
                then: statements(then, map),
                otherwise: statements(otherwise, map),
            },
            Stmt::While { cond, body } => {
                Stmt::While { cond: m(cond), body: statements(body, map) }
            }
        })
        .collect()
}
