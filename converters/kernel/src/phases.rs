//! Loops over data with gaps, one for each phase.
//!
//! A transposed convolution reads its input where a position divided by the stride leaves
//! nothing, and zero elsewhere. With one loop for each remainder it is known which taps those
//! are: the others go, and what is left is a convolution without gaps. Long sums of many channels
//! get a kernel for each phase ([`apart`]), since each is a matrix product; others get loops in
//! one kernel ([`in_one`]), which share what they read.

use airconv_ir::dim::{Atom, Dim, Range};
use airconv_ir::entity::SymbolId;
use airconv_ir::op::ReduceKind;
use rustc_hash::FxHashMap;

use crate::analysis::{dims, extents, operands};
use crate::ir::{BinOp, Const, Expr, ExprId, Kernel, LoopKind, Stmt, Var, VarDef};
use crate::schedule::{rewrite, schedule};

/// The longest window that is written out.
const MOST_TAPS: i64 = 8;
/// The greatest stride.
const MOST_PHASES: i64 = 8;
/// The most expressions afterwards.
const MOST_EXPRESSIONS: usize = 4000;
/// The most kernels that one becomes.
const MOST_KERNELS: i64 = 16;
/// The fewest elements of a sum that is worth kernels of its own.
const LONG: i64 = 8;
/// The fewest multiplications of a kernel that is worth several.
const MANY: i64 = 1 << 17;

/// The kernel with a loop for each phase; `None` when there are no gaps.
pub fn in_one(kernel: &Kernel) -> Option<Kernel> {
    let gaps = Gaps::find(kernel)?;
    let first = gaps.loops.first()?;
    if gaps.phases.get(first).is_some_and(|by| gaps.known(*first).is_none_or(|n| n % by != 0)) {
        return None;
    }
    Make::new(kernel, gaps).kernel(&FxHashMap::default())
}

/// A kernel for each phase, which together do what the kernel does; `None` when there are no gaps,
/// or that would be worse than loops in one kernel.
pub fn apart(kernel: &Kernel) -> Option<Vec<Kernel>> {
    let gaps = Gaps::find(kernel)?;
    // Elements that follow one another in memory stay in one kernel.
    if gaps.phases.contains_key(gaps.loops.last()?) || !gaps.are_long(kernel) {
        return None;
    }
    let phased: Vec<(Var, i64, i64)> = (gaps.loops.iter())
        .filter_map(|v| Some((*v, *gaps.phases.get(v)?, gaps.known(*v)?)))
        .collect();
    if phased.iter().map(|(_, by, _)| by).product::<i64>() > MOST_KERNELS {
        return None;
    }
    let mut all: Vec<Vec<(Var, i64, i64, i64)>> = vec![Vec::new()];
    for (v, by, extent) in phased {
        let with = |some: &Vec<_>, phase| [&some[..], &[(v, by, phase, extent)]].concat();
        all = all.iter().flat_map(|some| (0..by).map(move |phase| with(some, phase))).collect();
    }
    let mut made = Vec::with_capacity(all.len());
    for phases in all {
        let mut make = Make::new(kernel, gaps.clone());
        let mut places = FxHashMap::default();
        for (v, by, phase, extent) in phases {
            let count = (extent - phase + by - 1).div_euclid(by);
            let counter = make.counter(count);
            make.only.insert(v, (counter, count));
            places = placed(&places, v, counter, by, phase);
        }
        made.push(schedule(make.kernel(&places)?));
    }
    Some(made)
}

/// Whether a window over data with gaps of these widths has few enough phases and taps for a
/// kernel each.
pub fn are_few(steps: &[i64], window: &[i64]) -> bool {
    steps.iter().all(|by| (1..=MOST_PHASES).contains(by))
        && steps.iter().product::<i64>() <= MOST_KERNELS
        && window.iter().all(|taps| *taps <= MOST_TAPS)
}

/// The gaps in what a kernel reads.
#[derive(Clone)]
struct Gaps {
    /// The loops around the store, outermost first.
    loops: Vec<Var>,
    /// The loops over positions that are divided, and by what.
    phases: FxHashMap<Var, i64>,
    /// The axes of windows that are added to positions, and what the sums are divided by.
    windows: FxHashMap<Var, i64>,
    /// All loops and axes with their extents.
    extents: Vec<(Var, Dim)>,
}

impl Gaps {
    fn find(kernel: &Kernel) -> Option<Gaps> {
        if kernel.vars.iter().any(|v| matches!(v, VarDef::Value(_))) {
            return None;
        }
        let mut gaps = Gaps {
            loops: Vec::new(),
            phases: FxHashMap::default(),
            windows: FxHashMap::default(),
            extents: extents(kernel),
        };
        nest(&kernel.body, &mut gaps.loops)?;
        for at in kernel.exprs.iter().flat_map(dims) {
            let Dim::Expr(e) = at else { continue };
            for atom in e.terms().iter().flat_map(|t| t.atoms()) {
                let Atom::Mod(sum, by) = atom else { continue };
                let by = by.as_known().filter(|n| (2..=MOST_PHASES).contains(n))?;
                let mut used = Vec::new();
                sum.symbols(&mut |v| used.push(v));
                for v in used {
                    let extent = gaps.known(v)?;
                    let found = match gaps.loops.contains(&v) {
                        true => &mut gaps.phases,
                        false if extent <= MOST_TAPS => &mut gaps.windows,
                        false => return None,
                    };
                    if *found.entry(v).or_insert(by) != by {
                        return None;
                    }
                }
            }
        }
        (!gaps.phases.is_empty() && gaps.loops.len() >= 2).then_some(gaps)
    }

    fn known(&self, v: Var) -> Option<i64> {
        self.extents.iter().find(|(w, _)| *w == v).and_then(|(_, d)| d.as_known())
    }

    /// Whether the sums of a kernel are long, and many.
    fn are_long(&self, kernel: &Kernel) -> bool {
        let count =
            |all: &[Var]| all.iter().try_fold(1i64, |n, v| n.checked_mul(self.known(*v)?.max(0)));
        let sums = kernel.exprs.iter().filter_map(|e| match e {
            Expr::Reduce { kind: ReduceKind::Sum, axes, .. } => {
                let all = axes.iter().map(|(v, _)| *v);
                count(&all.filter(|v| !self.windows.contains_key(v)).collect::<Vec<_>>())
            }
            _ => None,
        });
        let (Some(long), Some(elements)) = (sums.max(), count(&self.loops)) else {
            return false;
        };
        long >= LONG && elements.saturating_mul(long) >= MANY
    }
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

/// Where counters are at a tap, or at those that axes run over.
type Tap = (Places, Vec<(Var, Dim)>);

/// With a counter at a phase of another one.
fn placed(places: &Places, var: Var, counter: Var, by: i64, phase: i64) -> Places {
    let mut places = places.clone();
    let place = Dim::symbol(counter).mul(&Dim::Known(by)).add(&Dim::Known(phase));
    places.insert(var, place);
    places
}

struct Make<'a> {
    kernel: &'a Kernel,
    out: Kernel,
    gaps: Gaps,
    /// The loops of which there is one phase alone: their counters, and how often they run.
    only: FxHashMap<Var, (Var, i64)>,
    /// What stands where there is no data.
    gone: Vec<ExprId>,
}

impl<'a> Make<'a> {
    fn new(kernel: &'a Kernel, gaps: Gaps) -> Self {
        Make { kernel, out: kernel.clone(), gaps, only: FxHashMap::default(), gone: Vec::new() }
    }

    /// The kernel with counters at these places.
    fn kernel(mut self, places: &Places) -> Option<Kernel> {
        self.out.body = self.statements(&self.kernel.body, places)?;
        let out = rewrite(&self.out, &mut Dim::clone);
        (out.exprs.len() <= MOST_EXPRESSIONS).then_some(out)
    }

    fn statements(&mut self, body: &[Stmt], places: &Places) -> Option<Vec<Stmt>> {
        let mut made = Vec::new();
        for stmt in body {
            match stmt {
                Stmt::For { var, extent, kind, body } => {
                    let by = match (self.gaps.phases.get(var), self.only.get(var)) {
                        (Some(&by), None) => by,
                        (_, only) => {
                            let whole = (*var, extent.clone());
                            let (var, extent) =
                                only.map_or(whole, |&(counter, n)| (counter, Dim::Known(n)));
                            let body = self.statements(body, places)?;
                            made.push(Stmt::For { var, extent, kind: *kind, body });
                            continue;
                        }
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
        self.gaps.extents.push((counter, Dim::Known(count)));
        counter
    }

    fn moved(&self, d: &Dim, places: &Places) -> Dim {
        let range = |s: SymbolId| match self.gaps.extents.iter().find(|(v, _)| *v == s) {
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
                    axes.iter().cloned().partition(|(v, _)| self.gaps.windows.contains_key(v));
                let mut sum: Option<ExprId> = None;
                for (places, some) in self.taps(&short, places) {
                    let term = match short.is_empty() {
                        true => self.copy(*x, &places, made),
                        false => self.copy(*x, &places, &mut FxHashMap::default()),
                    };
                    if self.known(term).is_some_and(|c| c.as_f64() == 0.0) {
                        continue;
                    }
                    let term = match self.only.is_empty() {
                        true => term,
                        false => self.sum([some, long.clone()].concat(), term),
                    };
                    sum = Some(match sum {
                        None => term,
                        Some(sum) => self.add(Expr::Binary(BinOp::Add, sum, term)),
                    });
                }
                match sum {
                    None => self.add(Expr::Const(Const::from_f64(kernel.ty(*x), 0.0))),
                    Some(x) if self.only.is_empty() => self.sum(long, x),
                    Some(x) => x,
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
                let new = other.renamed(&|x| made[&x], &mut |d| self.moved(d, places));
                self.add(new)
            }
        }
    }

    /// A sum, of one term where there are no axes.
    fn sum(&mut self, axes: Vec<(Var, Dim)>, x: ExprId) -> ExprId {
        match axes.is_empty() {
            true => x,
            false => self.add(Expr::Reduce { kind: ReduceKind::Sum, axes, x }),
        }
    }

    /// The taps of a window: one by one; where there is one phase alone, those that are as far
    /// apart as the phases, with axes over them.
    fn taps(&mut self, window: &[(Var, Dim)], places: &Places) -> Vec<Tap> {
        let mut all = vec![(places.clone(), Vec::new())];
        for (v, extent) in window {
            let extent = extent.as_known().unwrap_or(0);
            let by = match self.only.is_empty() {
                true => extent.max(1),
                false => self.gaps.windows[v],
            };
            let starts: Vec<(i64, Option<(Var, Dim)>)> = (0..by.min(extent))
                .map(|first| {
                    let count = (extent - first + by - 1).div_euclid(by);
                    (first, (count > 1).then(|| (self.counter(count), Dim::Known(count))))
                })
                .collect();
            let from = |(places, axes): &Tap, (first, more): &(i64, Option<(Var, Dim)>)| {
                let places = match more {
                    Some((counter, _)) => placed(places, *v, *counter, by, *first),
                    None => {
                        let mut places = places.clone();
                        places.insert(*v, Dim::Known(*first));
                        places
                    }
                };
                (places, [&axes[..], more.as_slice()].concat())
            };
            all = all.iter().flat_map(|p| starts.iter().map(move |s| from(p, s))).collect();
        }
        all
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
