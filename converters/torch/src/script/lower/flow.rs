//! Branches and loops: decided and unrolled where that is possible, else given to the sink.

use airconv_ir::dim::Dim;

use super::eval::{Env, Flow, Frame, Halt, Lower, Run};
use super::heap::Heap;
use super::merge::{Plan, Side, leaves, plan, same_form, with_leaves};
use super::sink::AtenSink;
use super::value::Value;
use crate::script::syntax::ast::{Expr, ExprKind, Stmt, StmtKind};

/// A branch that was run in a region of its own.
struct Branch<S: AtenSink> {
    region: S::Region,
    frame: Frame<S>,
    env: Env<S::Tensor>,
    heap: Heap<S::Tensor>,
}

/// What a branch or loop counts for that is left in the program.
const BRANCH: u64 = 100;

impl<'s, S: AtenSink> Lower<'s, '_, S> {
    pub(super) fn conditional(
        &mut self,
        condition: &'s Expr,
        then: &'s [Stmt],
        otherwise: &'s [Stmt],
        env: &mut Env<S::Tensor>,
    ) -> Run<Flow<S::Tensor>> {
        let condition = self.expr(condition, env)?;
        match self.truth(&condition)? {
            Some(true) => return self.block(then, env),
            Some(false) => return self.block(otherwise, env),
            None => {}
        }
        // A check: the program has a meaning only where it succeeds.
        match (raises(then), raises(otherwise)) {
            (true, false) => {
                self.sink.assume("a check succeeds", &self.at());
                return self.block(otherwise, env);
            }
            (false, true) => {
                self.sink.assume("a check succeeds", &self.at());
                return self.block(then, env);
            }
            _ => {}
        }
        let condition = self.condition(&condition)?;
        let before = self.heap.clone();
        let first = self.branch(then, env)?;
        self.heap = before.clone();
        let second = self.branch(otherwise, env)?;
        self.heap = before.clone();
        match (first, second) {
            (Some(first), Some(second)) => {
                let mut names = Vec::new();
                assigned(then, &mut names);
                assigned(otherwise, &mut names);
                self.choose(condition, [first, second], &names, &before, env)?;
            }
            // A branch that raised: the other one is what happens.
            (Some(_), None) => {
                self.sink.assume("a check succeeds", &self.at());
                return self.block(then, env);
            }
            (None, Some(_)) => {
                self.sink.assume("a check succeeds", &self.at());
                return self.block(otherwise, env);
            }
            (None, None) => {
                return Err(Halt::Raised("both branches of an `if` do".to_owned(), self.at()));
            }
        }
        Ok(Flow::Next)
    }

    /// `a if condition else b` where only a run can tell.
    pub(super) fn choice(
        &mut self,
        condition: &Value<S::Tensor>,
        then: &'s Expr,
        otherwise: &'s Expr,
        env: &mut Env<S::Tensor>,
    ) -> Run<Value<S::Tensor>> {
        const NAME: &str = "a choice";
        let condition = self.condition(condition)?;
        let before = self.heap.clone();
        let mut branches = Vec::new();
        for expr in [then, otherwise] {
            self.heap = before.clone();
            let (region, outer) = self.open()?;
            let mut inner = env.clone();
            let value = self.expr(expr, &mut inner);
            let frame = self.close(region, outer);
            inner.insert(NAME.to_owned(), value?);
            branches.push(Branch { region, frame, env: inner, heap: self.heap.clone() });
        }
        self.heap = before.clone();
        let (Some(second), Some(first)) = (branches.pop(), branches.pop()) else {
            return self.invalid("a choice without branches");
        };
        let mut merged = env.clone();
        self.choose(condition, [first, second], &[NAME.to_owned()], &before, &mut merged)?;
        Ok(merged.remove(NAME).unwrap_or(Value::None))
    }

    fn open(&mut self) -> Run<(S::Region, S::Region)> {
        self.steps(BRANCH)?;
        let region = self.sink.branch();
        let region = self.stopped(region, "if")?;
        let outer = self.sink.enter(region);
        self.frames.push(Frame::new(Some(region)));
        Ok((region, outer))
    }
    /// Leaves a region; gives what was captured.
    fn close(&mut self, region: S::Region, outer: S::Region) -> Frame<S> {
        self.sink.enter(outer);
        self.frames.pop().unwrap_or_else(|| Frame::new(Some(region)))
    }

    /// Runs a branch in a region of its own; nothing if it raises an exception.
    fn branch(&mut self, body: &'s [Stmt], env: &Env<S::Tensor>) -> Run<Option<Branch<S>>> {
        let mut inner = env.clone();
        let (region, outer) = self.open()?;
        let depth = self.frames.len();
        let flow = self.block(body, &mut inner);
        self.frames.truncate(depth);
        let frame = self.close(region, outer);
        match flow {
            Ok(Flow::Next) => {}
            Ok(_) => {
                return self.unsupported(
                    "`return`, `break` or `continue` in a branch that only a run chooses",
                );
            }
            Err(Halt::Raised(..)) => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(Branch { region, frame, env: inner, heap: self.heap.clone() }))
    }

    /// Makes the results of the branches those of the choice.
    fn choose(
        &mut self,
        condition: S::Tensor,
        branches: [Branch<S>; 2],
        names: &[String],
        before: &Heap<S::Tensor>,
        env: &mut Env<S::Tensor>,
    ) -> Run<()> {
        let side = |b: &Branch<S>| (b.env.clone(), b.heap.clone());
        let (a, b) = (side(&branches[0]), side(&branches[1]));
        let sides = [Side { env: &a.0, heap: &a.1 }, Side { env: &b.0, heap: &b.1 }];
        let plan: Plan<S::Tensor> = plan(names, before, sides);
        let mut ends = Vec::new();
        for (i, branch) in branches.into_iter().enumerate() {
            let region = branch.region;
            let outer = self.sink.enter(region);
            self.frames.push(branch.frame);
            let made: Run<Vec<_>> = plan
                .pairs
                .0
                .iter()
                .map(|pair| self.number_or_tensor(&pair[i], &pair[1 - i]))
                .collect();
            self.close(region, outer);
            ends.push((region, made?));
        }
        let [(then, x), (otherwise, y)] = ends.as_slice() else {
            return self.invalid("a choice without branches");
        };
        let results = self.sink.if_(condition, [(*then, x), (*otherwise, y)]);
        let results = self.stopped(results, "if")?;
        let mut values = Vec::new();
        for (result, pair) in results.iter().zip(&plan.pairs.0) {
            self.born(*result);
            values.push(match pair[0] {
                Value::Tensor(_) => Value::Tensor(*result),
                _ => self.item(*result)?,
            });
        }
        // What both branches changed alike is on either of their heaps.
        for at in before.refs() {
            if let (Some(x), Some(y)) = (a.1.cell(at), b.1.cell(at))
                && x == y
                && let Some(slot) = self.heap.cell_mut(at)
            {
                *slot = x.clone();
            }
        }
        self.settle(plan, &values, env)
    }

    /// A result of a branch; numbers take the kind that both branches can have.
    fn number_or_tensor(
        &mut self,
        value: &Value<S::Tensor>,
        other: &Value<S::Tensor>,
    ) -> Run<S::Tensor> {
        match (value, other) {
            (Value::Tensor(t), _) => self.local(*t),
            (Value::Int(Dim::Known(n)), Value::Float(_)) => self.number(&Value::Float(*n as f64)),
            _ => self.number(value),
        }
    }

    // Loops.

    pub(super) fn for_loop(
        &mut self,
        target: &'s Expr,
        over: &'s Expr,
        body: &'s [Stmt],
        env: &mut Env<S::Tensor>,
    ) -> Run<Flow<S::Tensor>> {
        let items = match range_arguments(over) {
            None => {
                let over = self.expr(over, env)?;
                self.items(&over)?
            }
            Some(args) => {
                let args: Vec<_> = args.iter().map(|a| self.expr(a, env)).collect::<Run<_>>()?;
                let (begin, end, step) = match args.as_slice() {
                    [end] => (Value::int(0), end.clone(), Value::int(1)),
                    [begin, end] => (begin.clone(), end.clone(), Value::int(1)),
                    [begin, end, step] => (begin.clone(), end.clone(), step.clone()),
                    _ => return self.invalid("`range` without ends"),
                };
                let known = (begin.known_int(), end.known_int(), step.known_int());
                let (Some(begin), Some(end), Some(step)) = known else {
                    if (begin.known_int(), step.known_int()) != (Some(0), Some(1)) {
                        return self.unsupported("a range from elsewhere than 0 of unknown length");
                    }
                    return self.repeat(Some(&end), Some(target), None, body, env);
                };
                return self.unroll_range(target, (begin, end, step), body, env);
            }
        };
        for item in items {
            self.assign(target, item, env)?;
            match self.block(body, env)? {
                Flow::Next | Flow::Continue => {}
                Flow::Break => break,
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn unroll_range(
        &mut self,
        target: &'s Expr,
        (begin, end, step): (i64, i64, i64),
        body: &'s [Stmt],
        env: &mut Env<S::Tensor>,
    ) -> Run<Flow<S::Tensor>> {
        if step == 0 {
            return self.invalid("a range with a step of 0");
        }
        let mut at = begin;
        while if step > 0 { at < end } else { at > end } {
            self.step()?;
            self.assign(target, Value::int(at), env)?;
            match self.block(body, env)? {
                Flow::Next | Flow::Continue => {}
                Flow::Break => break,
                other => return Ok(other),
            }
            let Some(next) = at.checked_add(step) else { break };
            at = next;
        }
        Ok(Flow::Next)
    }

    pub(super) fn while_loop(
        &mut self,
        condition: &'s Expr,
        body: &'s [Stmt],
        env: &mut Env<S::Tensor>,
    ) -> Run<Flow<S::Tensor>> {
        loop {
            self.step()?;
            let value = self.expr(condition, env)?;
            match self.truth(&value)? {
                Some(false) => return Ok(Flow::Next),
                Some(true) => {}
                None => return self.repeat(None, None, Some((condition, value)), body, env),
            }
            match self.block(body, env)? {
                Flow::Next | Flow::Continue => {}
                Flow::Break => return Ok(Flow::Next),
                other => return Ok(other),
            }
        }
    }

    /// A loop whose length only a run can tell.
    fn repeat(
        &mut self,
        trips: Option<&Value<S::Tensor>>,
        target: Option<&'s Expr>,
        condition: Option<(&'s Expr, Value<S::Tensor>)>,
        body: &'s [Stmt],
        env: &mut Env<S::Tensor>,
    ) -> Run<Flow<S::Tensor>> {
        let mut names = Vec::new();
        assigned(body, &mut names);
        names.retain(|n| env.get(n).is_some_and(|v| !matches!(v, Value::Missing(_))));
        let mut carried = Vec::new();
        for name in &names {
            let Some(value) = env.get(name) else { continue };
            if leaves(value, &mut carried).is_none() {
                let kind = value.kind();
                return self.unsupported(format!(
                    "`{name}`, {kind}, changes in a loop whose length only a run can tell"
                ));
            }
        }
        let trips = trips.map(|t| self.number(t)).transpose()?;
        let first = match &condition {
            Some((_, value)) => Some(self.condition(value)?),
            None => None,
        };
        let kinds: Vec<_> = carried.iter().map(|v| matches!(v, Value::Tensor(_))).collect();
        let before: Vec<_> = carried.iter().map(|v| self.number(v)).collect::<Run<_>>()?;
        self.steps(BRANCH)?;
        let opened = self.sink.loop_body(&before);
        let (region, index, params) = self.stopped(opened, "loop")?;
        let outer = self.sink.enter(region);
        self.frames.push(Frame::new(Some(region)));
        let state = (names.as_slice(), kinds.as_slice());
        let made = self.repeated(state, index, params, target, condition.map(|c| c.0), body, env);
        self.close(region, outer);
        let (again, next) = made?;
        let results = self.sink.loop_(trips, first, &before, (region, again, &next));
        let results = self.stopped(results, "loop")?;
        results.iter().for_each(|r| self.born(*r));
        self.carry(&names, &kinds, results, env)?;
        // What is set in the loop only has no value after it, as there may be no iteration.
        let mut all = Vec::new();
        assigned(body, &mut all);
        for name in all.into_iter().filter(|n| !names.contains(n)) {
            let why: std::sync::Arc<str> =
                format!("`{name}` is set in a loop that may not run").into();
            env.insert(name, Value::Missing(why));
        }
        Ok(Flow::Next)
    }

    /// Gives variables the values that tensors hold for them.
    fn carry(
        &mut self,
        names: &[String],
        kinds: &[bool],
        tensors: Vec<S::Tensor>,
        env: &mut Env<S::Tensor>,
    ) -> Run<()> {
        let values = tensors.into_iter().zip(kinds);
        let values =
            values.map(|(t, tensor)| if *tensor { Value::Tensor(t) } else { Value::Number(t) });
        let mut values = values.collect::<Vec<_>>().into_iter();
        for name in names {
            if let Some(value) = env.get_mut(name) {
                *value = with_leaves(value, &mut values);
            }
        }
        Ok(())
    }

    /// One iteration, in the region of the loop: the condition after it, and what is carried on.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    fn repeated(
        &mut self,
        (names, kinds): (&[String], &[bool]),
        index: S::Tensor,
        params: Vec<S::Tensor>,
        target: Option<&'s Expr>,
        condition: Option<&'s Expr>,
        body: &'s [Stmt],
        env: &Env<S::Tensor>,
    ) -> Run<(Option<S::Tensor>, Vec<S::Tensor>)> {
        self.born(index);
        params.iter().for_each(|p| self.born(*p));
        let mut inner = env.clone();
        self.carry(names, kinds, params.clone(), &mut inner)?;
        let begin = inner.clone();
        if let Some(target) = target {
            self.assign(target, Value::Number(index), &mut inner)?;
        }
        let heap = self.heap.clone();
        match self.block(body, &mut inner)? {
            Flow::Next => {}
            _ => {
                return self.unsupported(
                    "`return`, `break` or `continue` in a loop whose length only a run can tell",
                );
            }
        }
        self.refuse_changes(&heap)?;
        let mut next = Vec::new();
        for name in names {
            let (Some(old), Some(new)) = (begin.get(name), inner.get(name)) else { continue };
            if !same_form(old, new) || leaves(new, &mut next).is_none() {
                return self.unsupported(format!(
                    "`{name}` is {} before and {} after an iteration of a loop whose length only \
                     a run can tell",
                    old.kind(),
                    new.kind()
                ));
            }
        }
        let mut tensors = Vec::with_capacity(next.len());
        for (value, param) in next.iter().zip(&params) {
            let tensor = self.number(value)?;
            // A whole number becomes a float where the variable began as one.
            let (have, want) = (self.dtype(tensor)?, self.dtype(*param)?);
            if have != want && !matches!(value, Value::Tensor(_)) {
                let code = crate::common::dtype::to_script(want).map_or(Value::None, Value::int);
                let cast = self.pass_on("aten::to", &[Value::Tensor(tensor), code], &[])?;
                tensors.push(self.number(&cast)?);
            } else {
                tensors.push(tensor);
            }
        }
        let again = match condition {
            Some(condition) => {
                let value = self.expr(condition, &mut inner)?;
                Some(self.condition(&value)?)
            }
            None => None,
        };
        Ok((again, tensors))
    }

    /// Lists and attributes cannot be carried.
    fn refuse_changes(&mut self, before: &Heap<S::Tensor>) -> Run<()> {
        for at in before.refs() {
            let same = match (before.object(at), self.heap.object(at)) {
                // Attributes that were only looked up are noted on the object, and are the same.
                (Some(old), Some(new)) => old.attrs.iter().all(|(n, v)| new.get(n) == Some(v)),
                _ => before.cell(at) == self.heap.cell(at),
            };
            if !same {
                return self.unsupported(
                    "a list or attribute changes in a loop whose length only a run can tell",
                );
            }
        }
        Ok(())
    }
}

/// The arguments of a `range`.
fn range_arguments(over: &Expr) -> Option<&[Expr]> {
    match &over.kind {
        ExprKind::Call(function, args, _) => match &function.kind {
            ExprKind::Name(name) if name == "range" => Some(args),
            _ => None,
        },
        _ => None,
    }
}

/// Whether statements always raise an exception.
fn raises(body: &[Stmt]) -> bool {
    body.iter().any(|stmt| match &stmt.kind {
        StmtKind::Expr(Expr { kind: ExprKind::Call(function, ..), .. }) => {
            function.dotted().is_some_and(|name| name == "ops.prim.RaiseException")
        }
        StmtKind::If(_, then, otherwise) => raises(then) && raises(otherwise),
        _ => false,
    })
}

/// The variables that statements set, in order, each once.
fn assigned(body: &[Stmt], out: &mut Vec<String>) {
    fn target(expr: &Expr, out: &mut Vec<String>) {
        match &expr.kind {
            ExprKind::Name(name) if !out.contains(name) => out.push(name.clone()),
            ExprKind::Tuple(parts) | ExprKind::List(parts) => {
                parts.iter().for_each(|p| target(p, out));
            }
            _ => {}
        }
    }
    for stmt in body {
        match &stmt.kind {
            StmtKind::Assign { target: t, .. } => target(t, out),
            StmtKind::If(_, then, otherwise) => {
                assigned(then, out);
                assigned(otherwise, out);
            }
            StmtKind::For { target: t, body, .. } => {
                target(t, out);
                assigned(body, out);
            }
            StmtKind::While(_, body) | StmtKind::With(_, body) => assigned(body, out),
            _ => {}
        }
    }
}
