//! Loops over data with gaps, one for each phase.
//!
//! A transposed convolution reads its input where a position divided by the stride leaves
//! nothing, and zero elsewhere. With one loop for each remainder it is known which taps those
//! are: the others go, and what is left is a convolution without gaps.

use airconv_ir::dim::{Atom, Dim, Range};
use airconv_ir::entity::SymbolId;
use airconv_ir::op::ReduceKind;
use airconv_kernel::analysis::{dims, operands};
use airconv_kernel::ir::{BinOp, Const, Expr, ExprId, Kernel, LoopKind, Scalar, Stmt, Var, VarDef};
use airconv_kernel::schedule::rewrite;
use rustc_hash::FxHashMap;

use super::axes::extents;

/// The longest window that is written out.
const MOST_TAPS: i64 = 8;
/// The greatest stride.
const MOST_PHASES: i64 = 8;
/// The most expressions afterwards.
const MOST_EXPRESSIONS: usize = 4000;

/// The kernel with a loop for each phase; `None` when there are no gaps.
pub fn split_phases(kernel: &Kernel) -> Option<Kernel> {
    if kernel.vars.iter().any(|v| matches!(v, VarDef::Value(_))) {
        return None;
    }
    let all = extents(kernel);
    let known = |v: Var| all.iter().find(|(w, _)| *w == v).and_then(|(_, d)| d.as_known());
    let mut loops = Vec::new();
    nest(&kernel.body, &mut loops)?;
    // Counters whose sum is divided: of loops, and of windows.
    let (mut phases, mut windows) = (FxHashMap::default(), Vec::new());
    for at in kernel.exprs.iter().flat_map(dims) {
        let Dim::Expr(e) = at else { continue };
        for atom in e.terms().iter().flat_map(|t| t.atoms()) {
            let Atom::Mod(sum, by) = atom else { continue };
            let by = by.as_known().filter(|n| (2..=MOST_PHASES).contains(n))?;
            let mut used = Vec::new();
            sum.symbols(&mut |v| used.push(v));
            for v in used {
                let extent = known(v)?;
                if loops.contains(&v) {
                    if *phases.entry(v).or_insert(by) != by {
                        return None;
                    }
                } else if extent <= MOST_TAPS {
                    windows.push(v);
                } else {
                    return None;
                }
            }
        }
    }
    let first = loops.first()?;
    let shared = phases.get(first).is_none_or(|by| known(*first).is_some_and(|n| n % by == 0));
    if phases.is_empty() || !shared || loops.len() < 2 {
        return None;
    }
    let mut out = kernel.clone();
    let mut make = Make { kernel, out: &mut out, phases, windows, ranges: all, gone: Vec::new() };
    let body = make.statements(&kernel.body, &FxHashMap::default())?;
    out.body = body;
    let out = rewrite(&out, &mut Dim::clone);
    (out.exprs.len() <= MOST_EXPRESSIONS).then_some(out)
}

/// The loops of a nest around one store.
fn nest(body: &[Stmt], loops: &mut Vec<Var>) -> Option<()> {
    match body {
        [Stmt::For { var, kind, body, .. }] if *kind != LoopKind::Serial => {
            loops.push(*var);
            nest(body, loops)
        }
        [Stmt::Store { .. }] => Some(()),
        _ => None,
    }
}

type Places = FxHashMap<Var, Dim>;

/// With a counter at a phase of another one.
fn placed(places: &Places, var: Var, counter: Var, by: i64, phase: i64) -> Places {
    let mut places = places.clone();
    let place = Dim::symbol(counter).mul(&Dim::Known(by)).add(&Dim::Known(phase));
    places.insert(var, place);
    places
}

struct Make<'a> {
    kernel: &'a Kernel,
    out: &'a mut Kernel,
    phases: FxHashMap<Var, i64>,
    windows: Vec<Var>,
    ranges: Vec<(Var, Dim)>,
    /// What stands where there is no data.
    gone: Vec<ExprId>,
}

impl Make<'_> {
    fn statements(&mut self, body: &[Stmt], places: &Places) -> Option<Vec<Stmt>> {
        let mut made = Vec::new();
        for stmt in body {
            match stmt {
                Stmt::For { var, extent, kind, body } => {
                    let Some(&by) = self.phases.get(var) else {
                        let body = self.statements(body, places)?;
                        let (var, extent, kind) = (*var, extent.clone(), *kind);
                        made.push(Stmt::For { var, extent, kind, body });
                        continue;
                    };
                    let all = extent.as_known()?;
                    if *kind != LoopKind::Vector && all % by == 0 {
                        // One loop with all phases in it, which threads can share.
                        let (counter, count) = (self.counter(all / by), Dim::Known(all / by));
                        let mut bodies = Vec::new();
                        for phase in 0..by {
                            let places = placed(places, *var, counter, by, phase);
                            bodies.extend(self.statements(body, &places)?);
                        }
                        let kind = *kind;
                        made.push(Stmt::For { var: counter, extent: count, kind, body: bodies });
                        continue;
                    }
                    for phase in 0..by {
                        let count = (all - phase + by - 1).div_euclid(by);
                        let counter = self.counter(count);
                        let places = placed(places, *var, counter, by, phase);
                        let body = self.statements(body, &places)?;
                        let extent = Dim::Known(count);
                        made.push(Stmt::For { var: counter, extent, kind: *kind, body });
                    }
                }
                Stmt::Store { param, at, value } => {
                    let value = self.copy(*value, places, &mut FxHashMap::default());
                    let at = self.moved(at, places);
                    made.push(Stmt::Store { param: *param, at, value });
                }
                _ => return None,
            }
        }
        Some(made)
    }

    fn counter(&mut self, count: i64) -> Var {
        self.out.vars.push(VarDef::Counter);
        let counter = SymbolId(self.out.vars.len() as u32 - 1);
        self.ranges.push((counter, Dim::Known(count)));
        counter
    }

    fn moved(&self, d: &Dim, places: &Places) -> Dim {
        let range = |s: SymbolId| match self.ranges.iter().find(|(v, _)| *v == s) {
            Some((_, extent)) => Range::new(Some(0), extent.as_known().map(|n| (n - 1).max(0))),
            None => Range::new(None, None),
        };
        d.substitute(&mut |v| places.get(&v).cloned()).simplify(&range)
    }

    fn add(&mut self, expr: Expr) -> ExprId {
        self.out.exprs.push(expr);
        ExprId(self.out.exprs.len() as u32 - 1)
    }

    fn known(&self, id: ExprId) -> Option<Const> {
        match self.out.expr(id) {
            Expr::Const(c) => Some(*c),
            _ => None,
        }
    }

    fn copy(
        &mut self,
        id: ExprId,
        places: &Places,
        made: &mut FxHashMap<ExprId, ExprId>,
    ) -> ExprId {
        if let Some(&new) = made.get(&id) {
            return new;
        }
        let new = self.copied(id, places, made);
        made.insert(id, new);
        new
    }

    fn copied(
        &mut self,
        id: ExprId,
        places: &Places,
        made: &mut FxHashMap<ExprId, ExprId>,
    ) -> ExprId {
        let kernel = self.kernel;
        match kernel.expr(id) {
            Expr::Reduce { kind: ReduceKind::Sum, axes, x } => {
                let (short, long): (Vec<_>, Vec<_>) =
                    axes.iter().cloned().partition(|(v, _)| self.windows.contains(v));
                let mut all = vec![places.clone()];
                for (v, extent) in &short {
                    let count = extent.as_known().unwrap_or(0);
                    all = all
                        .iter()
                        .flat_map(|p| {
                            (0..count).map(move |i| {
                                let mut p = p.clone();
                                p.insert(*v, Dim::Known(i));
                                p
                            })
                        })
                        .collect();
                }
                let mut sum: Option<ExprId> = None;
                for places in &all {
                    let term = match short.is_empty() {
                        true => self.copy(*x, places, made),
                        false => self.copy(*x, places, &mut FxHashMap::default()),
                    };
                    if self.known(term).is_some_and(|c| c.as_f64() == 0.0) {
                        continue;
                    }
                    sum = Some(match sum {
                        None => term,
                        Some(sum) => self.add(Expr::Binary(BinOp::Add, sum, term)),
                    });
                }
                match sum {
                    None => self.add(Expr::Const(Const::from_f64(kernel.ty(*x), 0.0))),
                    Some(x) if long.is_empty() => x,
                    Some(x) => self.add(Expr::Reduce { kind: ReduceKind::Sum, axes: long, x }),
                }
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.copy(*a, places, made), self.copy(*b, places, made));
                let new = self.binary(*op, a, b);
                match new {
                    Ok(found) => found,
                    Err(new) => self.add(new),
                }
            }
            Expr::Guard(c, x, y) => {
                let c = self.copy(*c, places, made);
                match self.known(c) {
                    Some(c) if c.bits != 0 => self.copy(*x, places, made),
                    Some(_) => {
                        let new = self.copy(*y, places, made);
                        self.gone.push(new);
                        new
                    }
                    None => {
                        let x = self.copy(*x, places, made);
                        let y = self.copy(*y, places, made);
                        self.add(Expr::Guard(c, x, y))
                    }
                }
            }
            other => {
                for x in operands(other) {
                    self.copy(x, places, made);
                }
                let new =
                    super::unroll::renamed(other, &|x| made[&x], &mut |d| self.moved(d, places));
                let new = match new {
                    Expr::Index(Dim::Known(k)) => {
                        Expr::Const(Const::from_i128(Scalar::I64, k.into()))
                    }
                    new => new,
                };
                self.add(new)
            }
        }
    }

    /// An operation of what is known, or what remains of it.
    fn binary(&self, op: BinOp, a: ExprId, b: ExprId) -> Result<ExprId, Expr> {
        let (x, y) = (self.known(a), self.known(b));
        let truth = |holds: bool| Err(Expr::Const(Const::bool(holds)));
        match (op, x, y) {
            (BinOp::And, Some(x), _) => Ok(if x.bits != 0 { b } else { a }),
            (BinOp::And, _, Some(y)) => Ok(if y.bits != 0 { a } else { b }),
            // What is not there adds nothing, whatever it would be multiplied by.
            (BinOp::Mul, Some(x), _) if self.gone.contains(&a) && x.as_f64() == 0.0 => Ok(a),
            (BinOp::Mul, _, Some(y)) if self.gone.contains(&b) && y.as_f64() == 0.0 => Ok(b),
            (BinOp::Eq | BinOp::Lt | BinOp::Le, Some(x), Some(y)) => {
                match (x.as_int(), y.as_int()) {
                    (Some(x), Some(y)) => truth(match op {
                        BinOp::Eq => x == y,
                        BinOp::Lt => x < y,
                        _ => x <= y,
                    }),
                    _ => Err(Expr::Binary(op, a, b)),
                }
            }
            _ => Err(Expr::Binary(op, a, b)),
        }
    }
}
