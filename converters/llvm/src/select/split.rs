//! Loops split where a guard begins or ceases to hold.
//!
//! Padding is a guard on counters: within the inner of the data it always holds, outside never.
//! The innermost loop becomes one loop for each part, without the comparisons of its counter;
//! what then does not depend on it is decided before the loop.

use airconv_ir::dim::Dim;
use airconv_ir::entity::SymbolId;
use airconv_kernel::analysis::{free, operands};
use airconv_kernel::ir::{BinOp, Const, Expr, ExprId, Kernel, LoopKind, Scalar, Stmt, Var, VarDef};
use airconv_kernel::schedule::rewrite;
use rustc_hash::{FxHashMap, FxHashSet};

/// The most parts of a loop.
const MOST_PARTS: usize = 5;
/// The most expressions of a kernel that is split.
const MOST_EXPRESSIONS: usize = 200;
/// Loops shorter than this have no lanes.
const FEW: i64 = 4;

/// The kernel with its innermost loop split; `None` when there is nothing to split.
pub fn split_guards(kernel: &Kernel) -> Option<Kernel> {
    if kernel.exprs.len() > MOST_EXPRESSIONS {
        return None;
    }
    let (var, extent, param, at, value) = innermost(&kernel.body, 0)?;
    if kernel.vars.iter().any(|v| matches!(v, VarDef::Value(_))) {
        return None;
    }
    let leaves = leaves(kernel, value);
    let mut cuts = vec![0, extent];
    let mut known = Vec::new();
    for leaf in leaves {
        let Some((factor, offset)) = gap(kernel, leaf, var) else { continue };
        // Holds where `factor * var + offset` is not negative.
        let (cut, from) = if factor > 0 {
            ((-offset).div_euclid(factor) + i64::from((-offset).rem_euclid(factor) != 0), true)
        } else {
            (offset.div_euclid(-factor) + 1, false)
        };
        cuts.push(cut.clamp(0, extent));
        known.push((leaf, cut, from));
    }
    cuts.sort_unstable();
    cuts.dedup();
    if known.is_empty() || cuts.len() - 1 > MOST_PARTS {
        return None;
    }
    let mut out = kernel.clone();
    let mut parts = Vec::new();
    for pair in cuts.windows(2) {
        let (begin, end) = (pair[0], pair[1]);
        out.vars.push(VarDef::Counter);
        let counter = SymbolId(out.vars.len() as u32 - 1);
        let holds: FxHashMap<ExprId, bool> =
            known.iter().map(|&(leaf, cut, from)| (leaf, (begin >= cut) == from)).collect();
        let mut part = Part {
            kernel,
            out: &mut out,
            holds,
            var,
            place: Dim::symbol(counter).add(&Dim::Known(begin)),
            made: FxHashMap::default(),
        };
        let value = part.copy(value);
        let at = part.moved(&at);
        parts.extend(stored(&out, counter, end - begin, param, &at, value));
    }
    put(&mut out.body, var, &mut Some(parts));
    Some(rewrite(&out, &mut Dim::clone))
}

/// The loop over a part; where a guard remains that the loop does not change, one for each case.
fn stored(
    kernel: &Kernel,
    var: Var,
    extent: i64,
    param: u32,
    at: &Dim,
    value: ExprId,
) -> Vec<Stmt> {
    let one = |value: ExprId| Stmt::For {
        var,
        extent: Dim::Known(extent),
        kind: if extent < FEW { LoopKind::Independent } else { LoopKind::Vector },
        body: vec![Stmt::Store { param, at: at.clone(), value }],
    };
    if let Expr::Guard(cond, then, otherwise) = kernel.expr(value)
        && free(kernel)[cond.0 as usize].counters.binary_search(&var).is_err()
    {
        let (then, otherwise) = (vec![one(*then)], vec![one(*otherwise)]);
        return vec![Stmt::If { cond: *cond, then, otherwise }];
    }
    vec![one(value)]
}

/// The loop for lanes inside of another one, of known extent, with its one store.
fn innermost(body: &[Stmt], depth: usize) -> Option<(Var, i64, u32, Dim, ExprId)> {
    let [Stmt::For { var, extent, kind, body }] = body else { return None };
    if let (LoopKind::Vector, [Stmt::Store { param, at, value }]) = (kind, &body[..]) {
        let extent = extent.as_known().filter(|&n| n > 0 && depth > 0)?;
        return Some((*var, extent, *param, at.clone(), *value));
    }
    innermost(body, depth + 1)
}

/// Puts statements in the place of a loop.
fn put(body: &mut Vec<Stmt>, var: Var, parts: &mut Option<Vec<Stmt>>) {
    for i in 0..body.len() {
        let Stmt::For { var: v, body: inner, .. } = &mut body[i] else { continue };
        if *v == var {
            body.splice(i..=i, parts.take().unwrap_or_default());
            return;
        }
        put(inner, var, parts);
    }
}

/// The comparisons that the guards of a value are conjunctions of.
fn leaves(kernel: &Kernel, value: ExprId) -> Vec<ExprId> {
    let mut todo = vec![value];
    let mut seen = FxHashSet::default();
    let mut conditions = Vec::new();
    while let Some(id) = todo.pop() {
        if !seen.insert(id) {
            continue;
        }
        if let Expr::Guard(c, ..) = kernel.expr(id) {
            conditions.push(*c);
        }
        todo.extend(operands(kernel.expr(id)));
    }
    let mut out = Vec::new();
    while let Some(id) = conditions.pop() {
        match kernel.expr(id) {
            Expr::Binary(BinOp::And, a, b) => conditions.extend([*a, *b]),
            Expr::Binary(BinOp::Lt | BinOp::Le, ..) if !out.contains(&id) => out.push(id),
            _ => {}
        }
    }
    out
}

/// A comparison as `factor * var + offset >= 0`.
fn gap(kernel: &Kernel, leaf: ExprId, var: Var) -> Option<(i64, i64)> {
    let index = |id: &ExprId| match kernel.expr(*id) {
        Expr::Index(d) => Some(d.clone()),
        Expr::Const(c) if c.ty == Scalar::I64 => Some(Dim::Known(c.bits as i64)),
        _ => None,
    };
    let Expr::Binary(op, a, b) = kernel.expr(leaf) else { return None };
    let gap = index(b)?.sub(&index(a)?).sub(&Dim::Known(i64::from(*op == BinOp::Lt)));
    let at = |k: i64| gap.substitute(&mut |v| (v == var).then_some(Dim::Known(k)));
    let offset = at(0).as_known()?;
    let factor = at(1).as_known()? - offset;
    let rebuilt = Dim::symbol(var).mul(&Dim::Known(factor)).add(&Dim::Known(offset));
    (factor != 0 && rebuilt == gap).then_some((factor, offset))
}

/// Copies expressions for a part of a loop.
struct Part<'a> {
    kernel: &'a Kernel,
    out: &'a mut Kernel,
    holds: FxHashMap<ExprId, bool>,
    var: Var,
    place: Dim,
    made: FxHashMap<ExprId, ExprId>,
}

impl Part<'_> {
    fn moved(&self, d: &Dim) -> Dim {
        d.substitute(&mut |v| (v == self.var).then(|| self.place.clone()))
    }

    fn add(&mut self, expr: Expr) -> ExprId {
        self.out.exprs.push(expr);
        ExprId(self.out.exprs.len() as u32 - 1)
    }

    fn truth(&self, id: ExprId) -> Option<bool> {
        match self.out.expr(id) {
            Expr::Const(c) if c.ty == Scalar::Bool => Some(c.bits != 0),
            _ => None,
        }
    }

    fn copy(&mut self, id: ExprId) -> ExprId {
        if let Some(&made) = self.made.get(&id) {
            return made;
        }
        let new = match self.holds.get(&id) {
            Some(&holds) => self.add(Expr::Const(Const::bool(holds))),
            None => self.copied(id),
        };
        self.made.insert(id, new);
        new
    }

    fn copied(&mut self, id: ExprId) -> ExprId {
        let kernel = self.kernel;
        match kernel.expr(id) {
            Expr::Binary(BinOp::And, a, b) => {
                let (a, b) = (self.copy(*a), self.copy(*b));
                match (self.truth(a), self.truth(b)) {
                    (Some(true), _) | (_, Some(false)) => b,
                    (_, Some(true)) | (Some(false), _) => a,
                    _ => self.add(Expr::Binary(BinOp::And, a, b)),
                }
            }
            Expr::Guard(c, x, y) => {
                let c = self.copy(*c);
                match self.truth(c) {
                    Some(true) => self.copy(*x),
                    Some(false) => self.copy(*y),
                    None => {
                        let (x, y) = (self.copy(*x), self.copy(*y));
                        self.add(Expr::Guard(c, x, y))
                    }
                }
            }
            other => {
                for x in operands(other) {
                    self.copy(x);
                }
                let new = other.renamed(&|x| self.made[&x], &mut |d| self.moved(d));
                self.add(new)
            }
        }
    }
}
