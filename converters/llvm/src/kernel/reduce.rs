//! Reductions.

use airconv_ir::dim::Dim;
use airconv_ir::op::ReduceKind;
use airconv_kernel::analysis::operands;
use airconv_kernel::ir::{BinOp, Expr, ExprId, Kernel, Scalar, Var};
use rustc_hash::FxHashSet;

use super::expr::literal;
use super::{Emitter, Lanes, Moving, Result, Value};

/// Vectors of partial results that are kept at once, so that their latencies overlap.
const PARTIALS: usize = 4;

/// What is done in the innermost loop: it gets the types and names of the partial results, and
/// gives the names of the next ones.
type Row<'b, E> = &'b mut dyn FnMut(&mut E, Vec<(String, String)>) -> Result<Vec<String>>;

/// The most expressions in a body that is repeated for several partial results.
const SMALL: usize = 24;

impl Emitter<'_> {
    pub(super) fn reduce(
        &mut self,
        kind: ReduceKind,
        axes: &[(Var, Dim)],
        x: ExprId,
    ) -> Result<Value> {
        let scalar = self.kernel.ty(x);
        let Some(((last, extent), outer)) = axes.split_last() else { return self.expr(x) };
        let start = literal(Kernel::neutral(kind, scalar));
        if self.lanes.is_some() || !self.lanes_pay(*last, extent, x) {
            let varying = self.varies(x);
            let first = Value::uniform(start);
            let first = if varying { Value::varying(self.spread(&first, scalar)) } else { first };
            return self.serial(kind, axes, x, scalar, first);
        }
        self.in_vectors(kind, outer, (*last, extent), x, scalar, &start)
    }

    /// Loops around the combination of one element after another.
    fn serial(
        &mut self,
        kind: ReduceKind,
        axes: &[(Var, Dim)],
        x: ExprId,
        scalar: Scalar,
        start: Value,
    ) -> Result<Value> {
        let Some(((var, extent), inner)) = axes.split_first() else {
            return self.accumulate(kind, scalar, x, &start);
        };
        let end = self.dim(extent)?.name;
        let varying = start.varying;
        let t = self.vty(scalar, varying);
        let made = self.looped(*var, "0", &end, "1", &[(t, start.name)], |e, state| {
            let acc = Value { name: state[0].clone(), varying };
            let moving = Moving { counters: inner.iter().map(|(v, _)| *v).collect() };
            if !inner.is_empty() && inner.iter().all(|(_, n)| n.as_known().is_some_and(|n| n > 0)) {
                e.ahead_expr(x, &moving)?;
            }
            Ok(vec![e.serial(kind, inner, x, scalar, acc)?.name])
        })?;
        Ok(Value { name: made.into_iter().next().unwrap_or_default(), varying })
    }

    /// One more element.
    fn accumulate(
        &mut self,
        kind: ReduceKind,
        scalar: Scalar,
        x: ExprId,
        acc: &Value,
    ) -> Result<Value> {
        let varying = acc.varying;
        if kind == ReduceKind::Sum
            && scalar.is_float()
            && self.isa.has_fma()
            && self.known(x).is_none()
            && let Expr::Binary(BinOp::Mul, a, b) = self.kernel.expr(x)
        {
            let (a, b) = (self.expr(*a)?, self.expr(*b)?);
            return Ok(self.intrinsic("fma", scalar, &[&a, &b, acc]));
        }
        let v = self.expr(x)?;
        let mut out = self.combine(kind, scalar, acc, &v);
        if varying && !out.varying {
            out = Value::varying(self.spread(&out, scalar));
        }
        Ok(out)
    }

    fn combine(&mut self, kind: ReduceKind, scalar: Scalar, a: &Value, b: &Value) -> Value {
        let float = scalar.is_float();
        let signed = scalar.is_signed();
        match kind {
            ReduceKind::Sum if float => self.op2("fadd", scalar, a, b),
            ReduceKind::Sum => self.op2("add", scalar, a, b),
            ReduceKind::Prod if float => self.op2("fmul", scalar, a, b),
            ReduceKind::Prod => self.op2("mul", scalar, a, b),
            ReduceKind::Max if float => self.extreme_float("fcmp ogt", scalar, a, b),
            ReduceKind::Min if float => self.extreme_float("fcmp olt", scalar, a, b),
            ReduceKind::Max if scalar == Scalar::Bool => self.op2("or", scalar, a, b),
            ReduceKind::Min if scalar == Scalar::Bool => self.op2("and", scalar, a, b),
            ReduceKind::Max => {
                self.intrinsic(if signed { "smax" } else { "umax" }, scalar, &[a, b])
            }
            ReduceKind::Min => {
                self.intrinsic(if signed { "smin" } else { "umin" }, scalar, &[a, b])
            }
            ReduceKind::And => self.op2("and", scalar, a, b),
            ReduceKind::Or => self.op2("or", scalar, a, b),
        }
    }

    /// A loop with values that go from iteration to iteration; gives their last ones.
    fn looped(
        &mut self,
        var: Var,
        begin: &str,
        end: &str,
        step: &str,
        state: &[(String, String)],
        body: impl FnOnce(&mut Self, &[String]) -> Result<Vec<String>>,
    ) -> Result<Vec<String>> {
        let head = self.f.label("for");
        let inside = self.f.label("do");
        let latch = self.f.label("next");
        let after = self.f.label("end");
        let (index, next) = (self.f.name(), self.f.name());
        let from = self.f.block().to_owned();
        let nexts: Vec<String> = state.iter().map(|_| self.f.name()).collect();
        self.f.jump(&head);
        self.f.begin(&head);
        self.f.line(format_args!("{index} = phi i64 [ {begin}, %{from} ], [ {next}, %{latch} ]"));
        let mut held = Vec::with_capacity(state.len());
        for ((t, start), next) in state.iter().zip(&nexts) {
            held.push(
                self.f.value(format_args!("phi {t} [ {start}, %{from} ], [ {next}, %{latch} ]")),
            );
        }
        let more = self.f.value(format_args!("icmp slt i64 {index}, {end}"));
        self.f.branch(&more, &inside, &after);
        self.f.begin(&inside);
        self.counters.insert(var, index.clone());
        self.depth.push(var);
        let made = self.scoped(|e| body(e, &held))?;
        self.depth.pop();
        self.counters.remove(&var);
        let last = self.f.block().to_owned();
        self.f.jump(&latch);
        self.f.begin(&latch);
        for (((t, _), next), made) in state.iter().zip(&nexts).zip(&made) {
            self.f.line(format_args!("{next} = phi {t} [ {made}, %{last} ]"));
        }
        self.f.line(format_args!("{next} = add nsw i64 {index}, {step}"));
        self.f.jump(&head);
        self.f.begin(&after);
        Ok(held)
    }

    /// Whether a reduction along this axis reads memory in order.
    pub(super) fn lanes_pay(&self, var: Var, extent: &Dim, x: ExprId) -> bool {
        if extent.as_known().is_some_and(|n| n < self.isa.f32_lanes() as i64) {
            return false;
        }
        let (mut good, mut bad) = (0, 0);
        let mut todo = vec![x];
        let mut seen = FxHashSet::default();
        while let Some(id) = todo.pop() {
            if !seen.insert(id) || !self.free[id.0 as usize].counters.contains(&var) {
                continue;
            }
            match self.kernel.expr(id) {
                Expr::Load { at, .. } => match self.stride(at, var).and_then(|s| s.as_known()) {
                    Some(0 | 1) => good += 1,
                    _ => bad += 1,
                },
                Expr::Reduce { .. } => bad += 1,
                _ => {}
            }
            todo.extend(operands(self.kernel.expr(id)));
        }
        bad == 0 && good > 0
    }

    fn size_of(&self, x: ExprId) -> usize {
        let mut todo = vec![x];
        let mut seen = FxHashSet::default();
        while let Some(id) = todo.pop() {
            if seen.insert(id) {
                todo.extend(operands(self.kernel.expr(id)));
            }
        }
        seen.len()
    }

    /// Partial results in the lanes of vectors, combined at the end.
    fn in_vectors(
        &mut self,
        kind: ReduceKind,
        outer: &[(Var, Dim)],
        (var, extent): (Var, &Dim),
        x: ExprId,
        scalar: Scalar,
        start: &str,
    ) -> Result<Value> {
        let lanes = self.isa.f32_lanes();
        let partials = if self.size_of(x) <= SMALL { PARTIALS } else { 1 };
        let vt = format!("<{lanes} x {}>", super::ty(scalar));
        let first = crate::emit::splat(&mut self.f, lanes, super::ty(scalar), start);
        let mut state: Vec<(String, String)> = vec![(vt, first); partials];
        state.push((super::ty(scalar).to_owned(), start.to_owned()));
        let end = self.dim(extent)?.name;
        let made = self.nested(outer, &state, &mut |e, held| {
            e.one_row(kind, (var, &end), x, scalar, lanes, held)
        })?;
        // The lanes of all partial results, then what was left over.
        let as_value = |n: &String| Value::varying(n.clone());
        let before = self.lanes.replace(Lanes {
            var,
            count: lanes,
            first: String::new(),
            mask: None,
            alive: true,
        });
        let mut total = as_value(&made[0]);
        for other in &made[1..partials] {
            total = self.combine(kind, scalar, &total, &as_value(other));
        }
        self.lanes = before;
        let mut width = lanes;
        let mut name = total.name;
        // Halves are combined until one element is left.
        while width > 1 {
            let half = width / 2;
            let t = super::ty(scalar);
            let part = |e: &mut Self, from: usize| {
                let picks: Vec<String> = (from..from + half).map(|i| format!("i32 {i}")).collect();
                e.f.value(format_args!(
                    "shufflevector <{width} x {t}> {name}, <{width} x {t}> poison, \
                     <{half} x i32> <{}>",
                    picks.join(", ")
                ))
            };
            let (low, high) = (part(self, 0), part(self, half));
            let before = self.lanes.replace(Lanes {
                var,
                count: half,
                first: String::new(),
                mask: None,
                alive: true,
            });
            name = self.combine(kind, scalar, &Value::varying(low), &Value::varying(high)).name;
            self.lanes = before;
            width = half;
        }
        let t = super::ty(scalar);
        let one = self.f.value(format_args!("extractelement <1 x {t}> {name}, i64 0"));
        let rest = Value::uniform(made[partials].clone());
        Ok(self.combine(kind, scalar, &Value::uniform(one), &rest))
    }

    fn nested(
        &mut self,
        outer: &[(Var, Dim)],
        state: &[(String, String)],
        body: Row<'_, Self>,
    ) -> Result<Vec<String>> {
        let Some(((var, extent), inner)) = outer.split_first() else {
            return body(self, state.to_vec());
        };
        let end = self.dim(extent)?.name;
        let types: Vec<String> = state.iter().map(|(t, _)| t.clone()).collect();
        self.looped(*var, "0", &end, "1", state, |e, held| {
            let state: Vec<(String, String)> =
                types.iter().cloned().zip(held.iter().cloned()).collect();
            e.nested(inner, &state, body)
        })
    }

    /// One run along the innermost axis.
    fn one_row(
        &mut self,
        kind: ReduceKind,
        (var, end): (Var, &str),
        x: ExprId,
        scalar: Scalar,
        lanes: usize,
        state: Vec<(String, String)>,
    ) -> Result<Vec<String>> {
        let partials = state.len() - 1;
        let (vectors, rest) = state.split_at(partials);
        let moving = Moving { counters: [var].into_iter().collect() };
        self.ahead_expr_if_some(x, end, &moving)?;
        let block = lanes * partials;
        let whole = self.f.int("and", end, -(block as i64));
        let step = block.to_string();
        let mut done = self.looped(var, "0", &whole, &step, vectors, |e, held| {
            let mut out = Vec::with_capacity(partials);
            let base = e.counters.get(&var).cloned().unwrap_or_default();
            for (i, acc) in held.iter().enumerate() {
                let at = e.f.int("add nsw", &base, i * lanes);
                e.counters.insert(var, at);
                let acc = Value::varying(acc.clone());
                let v = e.scoped(|e| {
                    e.in_lanes(var, lanes, None, |e| e.accumulate(kind, scalar, x, &acc))
                })?;
                out.push(v.name);
            }
            e.counters.insert(var, base);
            Ok(out)
        })?;
        let mut from = whole;
        if partials > 1 {
            let single = self.f.int("and", end, -(lanes as i64));
            let one = vec![(vectors[0].0.clone(), done[0].clone())];
            let made = self.looped(var, &from, &single, &lanes.to_string(), &one, |e, held| {
                let acc = Value::varying(held[0].clone());
                let v = e.in_lanes(var, lanes, None, |e| e.accumulate(kind, scalar, x, &acc))?;
                Ok(vec![v.name])
            })?;
            done[0].clone_from(&made[0]);
            from = single;
        }
        let made = self.looped(var, &from, end, "1", rest, |e, held| {
            let acc = Value::uniform(held[0].clone());
            Ok(vec![e.accumulate(kind, scalar, x, &acc)?.name])
        })?;
        done.extend(made);
        Ok(done)
    }

    /// Computes ahead what the row does not change, where the row certainly runs.
    fn ahead_expr_if_some(&mut self, x: ExprId, end: &str, moving: &Moving) -> Result<()> {
        if end.parse::<i64>().is_ok_and(|n| n > 0) {
            self.ahead_expr(x, moving)?;
        }
        Ok(())
    }
}
