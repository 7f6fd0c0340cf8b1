//! Tree ensembles: one kernel per op, over the rows. The trees of a row are walked one after
//! another, a few levels at a time without a branch, so that walks of several trees overlap.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::module::Node;
use airconv_ir::op;

use super::code::{each, either, repeat, set, when};
use super::compute::needed;
use super::forest::{Forest, Test, Tests, Votes};
use super::nest::around;
use super::pull::Pull;
use super::scores::{Second, Stats, Transform};
use super::{Lowerer, Stop};
use crate::ir::{Access, BinOp, BufferId, BufferKind, Expr, ExprId, LocalId, Scalar, Stmt, UnOp};

/// What becomes of an ensemble's votes.
#[derive(Clone, Debug)]
pub(super) enum Decide {
    /// One result per target.
    Regress { aggregate: Aggregate, transform: Transform, targets: i64, base: Vec<f64> },
    /// A label and one score per class.
    Classify { transform: Transform, labels: Vec<i64>, base: Vec<f64>, one_sided: bool },
}

/// How the votes of trees are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Average,
    Sum,
    Min,
    Max,
}

impl Aggregate {
    /// The combination with this number in `tree_ensemble`.
    pub fn numbered(number: i64) -> Aggregate {
        match number {
            0 => Aggregate::Average,
            2 => Aggregate::Min,
            3 => Aggregate::Max,
            _ => Aggregate::Sum,
        }
    }

    /// The combination with this name.
    pub fn named(name: &str) -> Aggregate {
        match name {
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            _ => Aggregate::Sum,
        }
    }

    fn combine(self) -> BinOp {
        match self {
            Aggregate::Average | Aggregate::Sum => BinOp::Add,
            Aggregate::Min => BinOp::Min,
            Aggregate::Max => BinOp::Max,
        }
    }

    fn start(self) -> f64 {
        match self {
            Aggregate::Average | Aggregate::Sum => 0.0,
            Aggregate::Min => f64::INFINITY,
            Aggregate::Max => f64::NEG_INFINITY,
        }
    }
}

/// A tree op in the form that kernels are made from.
#[derive(Clone, Debug)]
pub(super) struct Trees {
    /// The trees.
    pub forest: Forest,
    /// What becomes of their votes.
    pub decide: Decide,
    /// The labels of classes.
    pub labels: Option<airconv_ir::entity::TensorId>,
    /// The base values, as many as there are targets.
    pub base: Option<airconv_ir::entity::TensorId>,
}

/// The most levels that are walked in one expression.
const LEVELS: u32 = 8;
/// The levels of a stretch of deeper trees, after which a walk may be over.
const STRETCH: u32 = 4;

/// The parameters and locals of a kernel in the making.
struct Walk<'f> {
    forest: &'f Forest,
    ty: Scalar,
    columns: Dim,
    x: airconv_ir::entity::ValueId,
    rank: usize,
    row: Dim,
    features: u32,
    thresholds: u32,
    next: u32,
    tests: Option<u32>,
    missing: Option<u32>,
    labels: Option<u32>,
    base: Option<u32>,
}

/// Where the votes of a row are counted.
enum Tally {
    /// All votes are for one target.
    One { target: i64, sum: LocalId, any: bool },
    /// In memory, with what there was a vote for unless there is one for all.
    All { sums: u32, seen: Option<u32>, first: Dim },
}

impl Tally {
    /// The votes for a target.
    fn sum(&self, p: &mut Pull<'_, '_>, ty: Scalar, t: &Dim) -> ExprId {
        match self {
            Tally::One { target, sum, .. } => {
                let sum = p.get(*sum);
                match t.as_known() {
                    Some(t) if t == *target => sum,
                    _ => {
                        let (t, own) = (p.b.index(t.clone()), p.int(*target));
                        let is = p.equals(t, own);
                        let zero = p.number(ty, 0.0);
                        p.pick(is, sum, zero)
                    }
                }
            }
            Tally::All { sums, first, .. } => p.b.load(*sums, first + t),
        }
    }

    /// Whether there was a vote for a target.
    fn any(&self, p: &mut Pull<'_, '_>, t: &Dim) -> ExprId {
        match self {
            Tally::One { target, any, .. } => {
                let (t, own) = (p.b.index(t.clone()), p.int(*target));
                let is = p.equals(t, own);
                let any = p.b.constant(crate::ir::Const::bool(*any));
                p.and(is, any)
            }
            Tally::All { seen: Some(seen), first, .. } => {
                let x = p.b.load(*seen, first + t);
                p.b.cast(Scalar::Bool, x)
            }
            Tally::All { seen: None, .. } => p.b.constant(crate::ir::Const::bool(true)),
        }
    }
}

impl Walk<'_> {
    /// The node after a node.
    fn step(&self, p: &mut Pull<'_, '_>, node: ExprId) -> Result<ExprId, Stop> {
        let mut feature = p.index_at(self.features, node);
        let columns = p.b.index(self.columns.clone());
        if self.columns.as_known().is_none_or(|n| n < self.forest.features_end) {
            let ok = p.less(feature, columns);
            let zero = p.int(0);
            let x = p.pick(ok, feature, zero);
            let code = p.l.failure("a tree asks for a feature that is not there");
            feature = p.b.add(Expr::Check { ok, x, code });
        }
        let feature = p.b.index_of(feature);
        let at = if self.rank == 1 { vec![feature] } else { vec![self.row.clone(), feature] };
        let x = p.real(self.x, &at)?;
        let x = p.b.cast(self.ty, x);
        let threshold = p.load_at(self.thresholds, node);
        let mut holds = match self.forest.tests {
            Tests::One(test) => compare(p, test, x, threshold),
            Tests::Each(_) => {
                let code = p.index_at(self.tests.unwrap_or(0), node);
                let mut found = compare(p, Test::LessOrEqual, x, threshold);
                for (i, &test) in Test::ALL.iter().enumerate().skip(1) {
                    let number = p.int(i as i64);
                    let is = p.equals(code, number);
                    let this = compare(p, test, x, threshold);
                    found = p.pick(is, this, found);
                }
                found
            }
        };
        if let Some(missing) = self.missing {
            let flag = p.load_at(missing, node);
            let flag = p.b.cast(Scalar::Bool, flag);
            let nan = p.b.unary(UnOp::IsNan, x);
            let tracks = p.and(flag, nan);
            holds = p.or(holds, tracks);
        }
        let two = p.int(2);
        let pair = p.times(node, two);
        let holds = p.b.cast(Scalar::I64, holds);
        let at = p.plus(pair, holds);
        Ok(p.index_at(self.next, at))
    }

    /// The node some levels below a node.
    fn steps(&self, p: &mut Pull<'_, '_>, node: ExprId, levels: u32) -> Result<ExprId, Stop> {
        (0..levels).try_fold(node, |node, _| self.step(p, node))
    }

    /// The statements that walk from a root, and the leaf.
    fn leaf(&self, p: &mut Pull<'_, '_>, root: ExprId) -> Result<(Vec<Stmt>, ExprId), Stop> {
        let depth = self.forest.depth;
        let at = p.b.local(Scalar::I64);
        let node = p.get(at);
        if depth <= LEVELS {
            let leaf = self.steps(p, root, depth)?;
            return Ok((vec![set(at, leaf)], node));
        }
        let further = self.steps(p, node, STRETCH)?;
        // A leaf leads to itself; so does no other node.
        let two = p.int(2);
        let pair = p.times(node, two);
        let next = p.index_at(self.next, pair);
        let one = p.int(1);
        let other = p.plus(pair, one);
        let too = p.index_at(self.next, other);
        let (stays, both) = (p.equals(next, node), p.equals(too, node));
        let stays = p.and(stays, both);
        let goes = p.not(stays);
        let walk = repeat(goes, vec![set(at, further)]);
        Ok((vec![set(at, root), walk], node))
    }
}

fn compare(p: &mut Pull<'_, '_>, test: Test, x: ExprId, threshold: ExprId) -> ExprId {
    match test {
        Test::LessOrEqual => p.at_most(x, threshold),
        Test::Less => p.less(x, threshold),
        Test::GreaterOrEqual => p.at_most(threshold, x),
        Test::Greater => p.less(threshold, x),
        Test::Equal => p.equals(x, threshold),
        Test::NotEqual => {
            let same = p.equals(x, threshold);
            p.not(same)
        }
    }
}

impl Lowerer<'_> {
    /// One of the three tree ops.
    pub(super) fn trees(&mut self, node: &Node, trees: &Trees) -> Result<(), Stop> {
        let x = needed(node.operand(0))?;
        if self.tensor(x)?.dtype.is_complex() {
            return Err(Stop::Unsupported("complex numbers".to_owned()));
        }
        self.settle(x)?;
        let mut outs = Vec::new();
        for slot in &node.results {
            outs.push(match slot {
                Some(v) => {
                    self.tensor(*v)?;
                    Some(self.new_buffer(*v, BufferKind::Temporary)?)
                }
                None => None,
            });
        }
        let out = |i: usize| outs.get(i).copied().flatten();
        let forest = &trees.forest;
        let t = &self.tensor(x)?.shape;
        let (rank, rows) = (t.len(), if t.len() == 1 { Dim::Known(1) } else { t[0].clone() });
        let targets = match &trees.decide {
            Decide::Regress { targets, .. } => *targets,
            Decide::Classify { labels, .. } => labels.len() as i64,
        };
        let mut tables = vec![
            self.table(forest.roots),
            self.table(forest.features),
            self.table(forest.thresholds),
            self.table(forest.next),
        ];
        let tests = match forest.tests {
            Tests::One(_) => None,
            Tests::Each(id) => Some(self.table(id)),
        };
        let missing = forest.missing.map(|id| self.table(id));
        let labels = trees.labels.filter(|_| out(0).is_some()).map(|id| self.table(id));
        let base = trees.base.map(|id| self.table(id));
        let float = if forest.double { DType::F64 } else { DType::F32 };
        let shape = vec![rows.clone(), Dim::Known(targets)];
        let memory = match forest.votes {
            Votes::Single { weights, .. } => {
                tables.push(self.table(weights));
                None
            }
            Votes::Many { first, targets, weights } => {
                tables.extend([self.table(first), self.table(targets), self.table(weights)]);
                let sums = self.scratch(float, shape.clone());
                let seen = (!forest.complete).then(|| self.scratch(DType::U8, shape));
                Some((sums, seen))
            }
        };
        let made = {
            let mut p = Pull::new(self, node.op.name());
            let rows = p.size(&rows);
            let mut axes = Vec::new();
            let row = p.axis(&rows, &mut axes);
            let mut params = Vec::with_capacity(tables.len());
            for &table in &tables {
                params.push(p.parameter(table, Access::Read)?);
            }
            let read = |p: &mut Pull<'_, '_>, b: Option<BufferId>| {
                b.map(|b| p.parameter(b, Access::Read)).transpose()
            };
            let whole = p.shape_of(x)?;
            let walk = Walk {
                forest,
                ty: if forest.double { Scalar::F64 } else { Scalar::F32 },
                columns: whole.last().cloned().unwrap_or(Dim::Known(1)),
                x,
                rank,
                row: row.clone(),
                features: params[1],
                thresholds: params[2],
                next: params[3],
                tests: read(&mut p, tests)?,
                missing: read(&mut p, missing)?,
                labels: read(&mut p, labels)?,
                base: read(&mut p, base)?,
            };
            let how = match &trees.decide {
                Decide::Regress { aggregate, .. } => *aggregate,
                Decide::Classify { .. } => Aggregate::Sum,
            };
            let (mut body, tally) = p.tally(&walk, &params, how, memory, targets)?;
            match &trees.decide {
                Decide::Regress { aggregate, transform, base, .. } => {
                    let Some(out) = out(0) else { return Ok(()) };
                    let r = Regress { walk: &walk, aggregate: *aggregate, base, targets };
                    body.extend(p.regressed(&r, &tally, *transform, out)?);
                }
                Decide::Classify { transform, labels, base, one_sided } => {
                    let c = Classify {
                        walk: &walk,
                        transform: *transform,
                        labels,
                        base,
                        one_sided: *one_sided,
                    };
                    let outs = [out(0), out(1)];
                    body.extend(if labels.len() > 2 {
                        p.one_of_many(&c, &tally, outs)?
                    } else {
                        p.one_of_two(&c, &tally, outs)?
                    });
                }
            }
            p.finish(around(axes, body))
        };
        self.launch(made.0, made.1, made.2);
        Ok(())
    }
}

struct Regress<'w> {
    walk: &'w Walk<'w>,
    aggregate: Aggregate,
    base: &'w [f64],
    targets: i64,
}

struct Classify<'w> {
    walk: &'w Walk<'w>,
    transform: Transform,
    labels: &'w [i64],
    base: &'w [f64],
    one_sided: bool,
}

impl Pull<'_, '_> {
    /// Counts the votes of a row.
    fn tally(
        &mut self,
        walk: &Walk<'_>,
        params: &[u32],
        how: Aggregate,
        memory: Option<(BufferId, Option<BufferId>)>,
        targets: i64,
    ) -> Result<(Vec<Stmt>, Tally), Stop> {
        let forest = walk.forest;
        let trees = Dim::Known(forest.trees);
        let tree = self.counter(&trees);
        let tree_index = self.b.index(tree.clone());
        let root = self.index_at(params[0], tree_index);
        let (mut body, leaf) = walk.leaf(self, root)?;
        let start = self.number(walk.ty, how.start());
        if let (Votes::Single { target, .. }, &[.., weights]) = (forest.votes, params) {
            let sum = self.b.local(walk.ty);
            let (held, weight) = (self.get(sum), self.load_at(weights, leaf));
            let next = self.b.binary(how.combine(), held, weight);
            body.push(set(sum, next));
            let tally = Tally::One { target, sum, any: forest.trees > 0 };
            return Ok((vec![set(sum, start), each(&tree, trees, body)?], tally));
        }
        let (Some((sums, seen)), &[.., first, vote_targets, weights]) = (memory, params) else {
            return Err(Stop::Unsupported("votes without memory".to_owned()));
        };
        let sums = self.parameter(sums, Access::ReadWrite)?;
        let seen = seen.map(|b| self.parameter(b, Access::ReadWrite)).transpose()?;
        let line = self.simple(&walk.row * &Dim::Known(targets))?;
        let count = Dim::Known(targets);
        let t = self.counter(&count);
        let mut clear = vec![Stmt::Store { param: sums, at: &line + &t, value: start }];
        if let Some(seen) = seen {
            let none = self.b.constant(crate::ir::Const::from_i128(Scalar::U8, 0));
            clear.push(Stmt::Store { param: seen, at: &line + &t, value: none });
        }
        // The votes of the leaf.
        let one = self.int(1);
        let after = self.plus(leaf, one);
        let (from, to) = (self.index_at(first, leaf), self.index_at(first, after));
        let votes = self.minus(to, from);
        let votes = self.b.index_of(votes);
        let v = self.counter(&votes);
        let v_index = self.b.index(v.clone());
        let vote = self.plus(from, v_index);
        let target = self.index_at(vote_targets, vote);
        let target = self.b.index_of(target);
        let weight = self.load_at(weights, vote);
        let place = &line + &target;
        let held = self.b.load(sums, place.clone());
        let next = self.b.binary(how.combine(), held, weight);
        let mut count_vote = vec![Stmt::Store { param: sums, at: place.clone(), value: next }];
        if let Some(seen) = seen {
            let yes = self.b.constant(crate::ir::Const::from_i128(Scalar::U8, 1));
            count_vote.push(Stmt::Store { param: seen, at: place, value: yes });
        }
        body.push(each(&v, votes, count_vote)?);
        let tally = Tally::All { sums, seen, first: line };
        Ok((vec![each(&t, count, clear)?, each(&tree, trees, body)?], tally))
    }

    /// The base value of a target.
    fn base(&mut self, walk: &Walk<'_>, base: &[f64], t: &Dim) -> ExprId {
        let value = t.as_known().and_then(|t| usize::try_from(t).ok()).map(|t| base.get(t));
        match (value, walk.base) {
            (None, Some(table)) => self.b.load(table, t.clone()),
            (value, _) => self.number(walk.ty, value.flatten().copied().unwrap_or(0.0)),
        }
    }

    /// The result of a regression for a target, before the transform.
    fn regression(&mut self, r: &Regress<'_>, tally: &Tally, t: &Dim) -> ExprId {
        let ty = r.walk.ty;
        let mut sum = tally.sum(self, ty, t);
        let any = tally.any(self, t);
        let zero = self.number(ty, 0.0);
        if r.targets == 1 {
            sum = self.pick(any, sum, zero);
        }
        if r.aggregate == Aggregate::Average {
            let count = self.number(ty, r.walk.forest.trees as f64);
            sum = self.over(sum, count);
        }
        let base = self.base(r.walk, r.base, t);
        let y = self.plus(sum, base);
        // One of several targets without a vote is 0, whatever its base.
        if r.targets > 1 { self.pick(any, y, zero) } else { y }
    }

    /// Stores the results of a regression.
    fn regressed(
        &mut self,
        r: &Regress<'_>,
        tally: &Tally,
        transform: Transform,
        out: BufferId,
    ) -> Result<Vec<Stmt>, Stop> {
        let dtype = self.l.program.buffer(out).dtype.unwrap_or(DType::F32);
        let param = self.parameter(out, Access::Write)?;
        let elem = self.b.kernel.params[param as usize].elem;
        let place = |t: &Dim| &(&r.walk.row * &Dim::Known(r.targets)) + t;
        let mut body = Vec::new();
        let store = |p: &mut Self, t: &Dim, y: ExprId| {
            let y = p.b.cast(elem.scalar(), y);
            let value = p.rounded(dtype, y);
            Stmt::Store { param, at: place(t), value }
        };
        if r.targets == 1 {
            let t = Dim::Known(0);
            let mut y = self.regression(r, tally, &t);
            if transform == Transform::Probit {
                let single = self.b.cast(Scalar::F32, y);
                y = self.transformed(transform, single, None);
            }
            body.push(store(self, &t, y));
            return Ok(body);
        }
        let count = Dim::Known(r.targets);
        let mut score = |p: &mut Self, t: &Dim| -> Result<ExprId, Stop> {
            let y = p.regression(r, tally, t);
            Ok(if transform == Transform::None { y } else { p.b.cast(Scalar::F32, y) })
        };
        let stats = self.stats(transform, r.targets, &mut body, &mut score)?;
        let t = self.counter(&count);
        let y = score(self, &t)?;
        let y = self.transformed(transform, y, stats);
        let last = store(self, &t, y);
        body.push(each(&t, count, vec![last])?);
        Ok(body)
    }

    /// Computes what a transform needs to know of a row, once.
    fn stats(
        &mut self,
        transform: Transform,
        count: i64,
        body: &mut Vec<Stmt>,
        score: &mut dyn FnMut(&mut Self, &Dim) -> Result<ExprId, Stop>,
    ) -> Result<Option<Stats>, Stop> {
        if !transform.by_row() {
            return Ok(None);
        }
        let (most, sum) = (self.b.local(Scalar::F32), self.b.local(Scalar::F32));
        let value = self.most(count, score)?;
        body.push(set(most, value));
        let most = self.get(most);
        let value = self.softmax_sum(transform, count, most, score)?;
        body.push(set(sum, value));
        Ok(Some(Stats { most, sum: self.get(sum) }))
    }

    /// A label by its place.
    fn label(&mut self, c: &Classify<'_>, place: ExprId) -> ExprId {
        match (c.walk.labels, c.labels) {
            (_, &[a, b]) => {
                let (a, b) = (self.int(a), self.int(b));
                let first = self.int(0);
                let is = self.equals(place, first);
                self.pick(is, a, b)
            }
            (Some(table), _) => self.load_at(table, place),
            (None, _) => place,
        }
    }

    /// The class with the most votes of three or more.
    fn one_of_many(
        &mut self,
        c: &Classify<'_>,
        tally: &Tally,
        outs: [Option<BufferId>; 2],
    ) -> Result<Vec<Stmt>, Stop> {
        let (ty, n) = (c.walk.ty, c.labels.len() as i64);
        let count = Dim::Known(n);
        let based = c.base.len() as i64;
        // The votes for a class, and whether there are any.
        let value = |p: &mut Self, t: &Dim| -> (ExprId, ExprId) {
            let sum = tally.sum(p, ty, t);
            let base = p.base(c.walk, c.base, t);
            let (zero, any) = (p.number(ty, 0.0), tally.any(p, t));
            let votes = p.pick(any, sum, zero);
            let y = p.plus(votes, base);
            let (t, end) = (p.b.index(t.clone()), p.int(based));
            let has_base = p.less(t, end);
            (y, p.or(any, has_base))
        };
        let (best, place) = (self.b.local(ty), self.b.local(Scalar::I64));
        let (held, held_at) = (self.get(best), self.get(place));
        let (none, zero) = (self.int(-1), self.int(0));
        let t = self.counter(&count);
        let (y, any) = value(self, &t);
        let unset = self.less(held_at, zero);
        let more = self.less(held, y);
        let wins = self.or(unset, more);
        let wins = self.and(any, wins);
        let index = self.b.index(t.clone());
        let mut body = vec![
            set(place, none),
            each(&t, count.clone(), vec![when(wins, vec![set(best, y), set(place, index)])])?,
        ];
        if let Some(out) = outs[0] {
            let param = self.parameter(out, Access::Write)?;
            let ok = self.at_most(zero, held_at);
            let code = self.l.failure("no class has a vote");
            let safe = self.pick(ok, held_at, zero);
            let place = self.b.add(Expr::Check { ok, x: safe, code });
            let value = self.label(c, place);
            body.push(Stmt::Store { param, at: c.walk.row.clone(), value });
        }
        let Some(out) = outs[1] else { return Ok(body) };
        let param = self.parameter(out, Access::Write)?;
        let mut score = |p: &mut Self, t: &Dim| -> Result<ExprId, Stop> {
            let (y, _) = value(p, t);
            Ok(p.b.cast(Scalar::F32, y))
        };
        let stats = self.stats(c.transform, n, &mut body, &mut score)?;
        let t = self.counter(&count);
        let y = score(self, &t)?;
        let value = self.transformed(c.transform, y, stats);
        let at = &(&c.walk.row * &count) + &t;
        body.push(each(&t, count, vec![Stmt::Store { param, at, value }])?);
        Ok(body)
    }

    /// One of two classes, or a lone one, by the rules that the op has for them.
    fn one_of_two(
        &mut self,
        c: &Classify<'_>,
        tally: &Tally,
        outs: [Option<BufferId>; 2],
    ) -> Result<Vec<Stmt>, Stop> {
        let (ty, classes) = (c.walk.ty, c.labels.len());
        let zero = self.number(ty, 0.0);
        let mut votes = Vec::new();
        for t in 0..2 {
            let t = Dim::Known(t);
            let inside = t.as_known().is_some_and(|t| t < classes as i64);
            votes.push(if inside {
                let any = tally.any(self, &t);
                let sum = tally.sum(self, ty, &t);
                (self.pick(any, sum, zero), any)
            } else {
                (zero, self.b.constant(crate::ir::Const::bool(false)))
            });
        }
        let (first, has_first) = votes[0];
        let (second, has_second) = votes[1];
        let base0 = self.base(c.walk, c.base, &Dim::Known(0));
        let base1 = self.base(c.walk, c.base, &Dim::Known(1));
        let half = self.number(ty, 0.5);
        let mut form = Second::None;
        // The scores where the second class has votes, and where it has none; what decides in
        // either case.
        let (with, without, decides) = match (c.base.len(), classes) {
            (2, 1) => {
                let s = self.plus(first, base1);
                let minus = self.negative(s);
                (vec![minus, s], vec![minus, s], [s, s])
            }
            (n, 1) => {
                let s = if n == 1 { self.plus(first, base0) } else { first };
                (vec![s], vec![s], [s, s])
            }
            (2, _) => {
                let s = self.plus(base1, first);
                let minus = self.negative(s);
                let minus = self.pick(has_first, minus, zero);
                let alone = self.plus(first, base0);
                let alone = self.pick(has_first, alone, zero);
                (vec![minus, s], vec![alone, zero], [s, alone])
            }
            (n, _) => {
                if n == 0 {
                    form = Second::Negative;
                }
                let own = self.plus(first, base0);
                let own = self.pick(has_first, own, zero);
                (vec![own, second], vec![own], [second, own])
            }
        };
        let weight = self.pick(has_second, decides[0], decides[1]);
        let least = match (c.one_sided, c.walk.forest.all_positive) {
            (true, true) => {
                form = Second::Rest;
                half
            }
            (true, false) => {
                form = Second::Negative;
                zero
            }
            (false, _) => zero,
        };
        let positive = self.less(least, weight);
        let mut body = Vec::new();
        if let Some(out) = outs[0] {
            let param = self.parameter(out, Access::Write)?;
            let value = if c.one_sided {
                let place = self.b.cast(Scalar::I64, positive);
                self.label(c, place)
            } else {
                // As the op has it: such classes are called 0 and 1.
                self.b.cast(Scalar::I64, positive)
            };
            body.push(Stmt::Store { param, at: c.walk.row.clone(), value });
        }
        let Some(out) = outs[1] else { return Ok(body) };
        let param = self.parameter(out, Access::Write)?;
        let finish = |p: &mut Self, list: Vec<ExprId>| -> Vec<ExprId> {
            let singles: Vec<ExprId> = list.iter().map(|&x| p.b.cast(Scalar::F32, x)).collect();
            p.finished(c.transform, &singles, form)
        };
        let (with, without) = (finish(self, with), finish(self, without));
        let none = self.number(Scalar::F32, 0.0);
        let width = Dim::Known(classes as i64);
        let mut sides = [Vec::new(), Vec::new()];
        for (side, scores) in sides.iter_mut().zip([with, without]) {
            for t in 0..classes {
                let at = &(&c.walk.row * &width) + &Dim::Known(t as i64);
                let value = scores.get(t).copied().unwrap_or(none);
                side.push(Stmt::Store { param, at, value });
            }
        }
        let [with, without] = sides;
        if with == without {
            body.extend(with);
        } else {
            body.push(either(has_second, with, without));
        }
        Ok(body)
    }
}

/// The tree op of a node in the form that kernels are made from; `None` for other ops.
pub(super) fn of_node(
    module: &mut airconv_ir::module::Module,
    node: &Node,
    dtype: DType,
) -> Option<Result<Trees, Stop>> {
    use super::forest::{bases, of_ensemble, of_regressor};
    let double = dtype == DType::F64;
    let made = match &node.op {
        op::Op::TreeEnsemble(op) => of_ensemble(module, op, double).map(|forest| Trees {
            forest,
            decide: Decide::Regress {
                aggregate: Aggregate::numbered(op.aggregate_function),
                transform: Transform::numbered(op.post_transform),
                targets: op.n_targets,
                base: Vec::new(),
            },
            labels: None,
            base: None,
        }),
        op::Op::TreeEnsembleRegressor(op) => of_regressor(module, op, double).and_then(|forest| {
            let base = bases(module, &op.base_values, op.base_values_as_tensor, double)?;
            // Only as many as there are targets mean anything.
            let base = if base.len() as i64 == op.n_targets { base } else { Vec::new() };
            let table = base_table(module, &base, op.n_targets, double)?;
            Ok(Trees {
                forest,
                labels: None,
                base: table,
                decide: Decide::Regress {
                    aggregate: Aggregate::named(&op.aggregate_function),
                    transform: Transform::named(&op.post_transform),
                    targets: op.n_targets,
                    base,
                },
            })
        }),
        op::Op::TreeEnsembleClassifier(op) => classifier(module, op, double),
        _ => return None,
    };
    Some(made.and_then(|t| {
        let extreme = match &t.decide {
            Decide::Regress { aggregate, .. } => {
                matches!(aggregate, Aggregate::Min | Aggregate::Max)
            }
            Decide::Classify { .. } => false,
        };
        if extreme && t.forest.has_nan {
            return Err(Stop::Unsupported("the extreme of weights that are NaN".to_owned()));
        }
        Ok(t)
    }))
}

/// The base values as a table, when there are several.
fn base_table(
    module: &mut airconv_ir::module::Module,
    base: &[f64],
    targets: i64,
    double: bool,
) -> Result<Option<airconv_ir::entity::TensorId>, Stop> {
    if base.is_empty() || targets < 2 {
        return Ok(None);
    }
    let mut all = base.to_vec();
    all.resize(usize::try_from(targets).unwrap_or(0), 0.0);
    let float = if double { DType::F64 } else { DType::F32 };
    super::code::numbers_of(module, float, &all).map(Some)
}

fn classifier(
    module: &mut airconv_ir::module::Module,
    op: &op::TreeEnsembleClassifier,
    double: bool,
) -> Result<Trees, Stop> {
    use super::forest::{bases, of_classifier};
    if !op.classlabels_strings.is_empty() {
        return Err(Stop::Unsupported("labels that are strings".to_owned()));
    }
    let labels = op.classlabels_int64s.clone();
    if labels.is_empty() {
        return Err(Stop::Unsupported("no classes".to_owned()));
    }
    let base = bases(module, &op.base_values, op.base_values_as_tensor, double)?;
    let all = op.class_ids.iter().all(|c| Some(c) == op.class_ids.first());
    let one_sided = labels.len() == 2 && all;
    let transform = Transform::named(&op.post_transform);
    let forest = of_classifier(module, op, double)?;
    let base_at = base_table(module, &base, labels.len() as i64, double)?;
    let labels_at = super::code::integers_of(module, DType::I64, &labels)?;
    Ok(Trees {
        forest,
        decide: Decide::Classify { transform, labels, base, one_sided },
        labels: Some(labels_at),
        base: base_at,
    })
}
