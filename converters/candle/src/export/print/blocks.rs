//! Control flow, and sizes that are read from tensors.

use airconv_ir::dim::Dim;

use super::super::names;
use super::super::template::Position;
use super::super::tree::Body;
use super::{Form, Printer};
use crate::program::dtype::held;
use crate::program::{Loop, Source, Var};

impl<'p> Printer<'p> {
    /// The lines of a block, whose variables are gone after it. `results` makes the last ones.
    fn inside(
        &mut self,
        body: &'p Body,
        tail: Option<Var>,
        results: impl FnOnce(&mut Self) -> Result<Vec<String>, String>,
    ) -> Result<String, String> {
        let scope = self.scope.clone();
        let used = self.used.clone();
        let outer = std::mem::take(&mut self.lines);
        self.scope.own.clear();
        self.tails.push(tail);
        let done = self.items(&body.items).and_then(|()| results(self));
        self.tails.pop();
        let kept = self.kept_sizes(&scope.sizes);
        let mut lines = std::mem::replace(&mut self.lines, outer);
        self.scope = scope;
        self.scope.sizes.extend(kept);
        self.used = used;
        for name in self.asked.values() {
            let _ = self.used.fresh(name);
        }
        lines.extend(done?);
        Ok(lines.join("\n"))
    }

    /// Sizes that were found at the start of the function and stay.
    fn kept_sizes(&self, before: &std::collections::BTreeMap<Dim, String>) -> Vec<(Dim, String)> {
        let stays = |name: &String| {
            self.asked.values().any(|n| n == name) || self.out.sizes.iter().any(|(n, _)| n == name)
        };
        let new = self.scope.sizes.iter().filter(|(d, _)| !before.contains_key(*d));
        new.filter(|(_, n)| stays(n)).map(|(d, n)| (d.clone(), n.clone())).collect()
    }

    /// `if`, as the last expression where it is the last thing that happens.
    pub(super) fn branch(
        &mut self,
        condition: Var,
        [then, other]: [&'p Body; 2],
        vars: &[Var],
        last: bool,
    ) -> Result<(), String> {
        let (condition, reads) = self.value(condition, Position::Argument)?;
        self.done_reading(&reads);
        self.helper("is_true");
        let mut blocks = Vec::new();
        for body in [then, other] {
            blocks.push(
                self.inside(body, super::single(&body.results), |p| {
                    p.block_results(&body.results)
                })?,
            );
        }
        if let ([var], [then, other], true) = (vars, &blocks[..], last)
            && self.tails.last() == Some(&Some(*var))
            && self.left.get(var) == Some(&1)
        {
            let text = format!("if ops::is_true({condition})? {{\n{then}\n}} else {{\n{other}\n}}");
            self.scope.forms.insert(*var, Form::Expr(text, Vec::new()));
            return Ok(());
        }
        let mut list = Vec::new();
        for &var in vars {
            let unread = self.left.get(&var).copied().unwrap_or(0) == 0;
            list.push(if unread { "_".to_owned() } else { self.bind(var, &[], None, false) });
        }
        let left = match &list[..] {
            [] => String::new(),
            [one] => format!("let {one} = "),
            many => format!("let ({}) = ", many.join(", ")),
        };
        let [then, other] = &blocks[..] else { return Err("a branch is missing".to_owned()) };
        self.lines.push(format!(
            "{left}if ops::is_true({condition})? {{\n{then}\n}} else {{\n{other}\n}};"
        ));
        Ok(())
    }

    fn block_results(&mut self, results: &[Var]) -> Result<Vec<String>, String> {
        let mut list = Vec::new();
        for &v in results {
            list.push(self.owned(v)?);
        }
        Ok(match &list[..] {
            [] => Vec::new(),
            [one] => vec![one.clone()],
            many => vec![format!("({})", many.join(", "))],
        })
    }

    /// Whether a value is a constant that holds.
    fn is_constant_true(&self, var: Var) -> bool {
        if self.holding.contains(&var) {
            return true;
        }
        let array = match &self.program.info(var).source {
            Source::Literal(array) => Some((**array).clone()),
            Source::Weight(id) => self.classes.tensor(*id),
            _ => None,
        };
        let values = array.and_then(|a| match &a.data {
            airconv_ir::array::Data::Bool(v) => Some(v.iter().all(|b| *b)),
            _ => None,
        });
        values == Some(true)
    }

    pub(super) fn repeat(&mut self, l: &'p Loop, body: &'p Body) -> Result<(), String> {
        let always = |p: &Self, v: Var| v == l.holds || p.is_constant_true(v);
        let ends = body.results.first().is_some_and(|&v| !always(self, v));
        let starts = l.condition.is_some_and(|v| !always(self, v));
        let trips = match l.trips {
            Some(v) => {
                let (text, reads) = self.value(v, Position::Argument)?;
                self.done_reading(&reads);
                self.helper("ints");
                let name = self.plain_name("trips");
                self.lines.push(format!("let {name} = ops::ints({text})?[0];"));
                Some(name)
            }
            None => None,
        };
        let holds = if starts || ends {
            let text = match l.condition.filter(|_| starts) {
                Some(v) => {
                    let (text, reads) = self.value(v, Position::Argument)?;
                    self.done_reading(&reads);
                    self.helper("is_true");
                    format!("ops::is_true({text})?")
                }
                None => "true".to_owned(),
            };
            let name = self.plain_name("running");
            let mutable = if ends { "mut " } else { "" };
            self.lines.push(format!("let {mutable}{name} = {text};"));
            Some(name)
        } else {
            None
        };
        let mut states = Vec::new();
        for (i, &initial) in l.initial.iter().enumerate() {
            let text = self.owned(initial)?;
            let hint = l.vars.get(i).map(|&v| names::of_value(self.program.info(v)));
            let hint = hint.unwrap_or_else(|| "state".to_owned());
            let name = self.plain_name(&hint);
            let same = body.results.get(i + 1) == l.carried.get(i);
            let mutable = if same { "" } else { "mut " };
            self.lines.push(format!("let {mutable}{name} = {text};"));
            states.push(name);
        }
        let mut stacks = Vec::new();
        for _ in l.carried.len()..l.vars.len() {
            let name = self.plain_name("slices");
            self.lines.push(format!("let mut {name} = Vec::new();"));
            stacks.push(name);
        }
        let counter = self.plain_name("trip");
        let reads_trip = self.left.get(&l.trip).copied().unwrap_or(0) > 0;
        let scope = self.scope.clone();
        let used = self.used.clone();
        for (&var, name) in l.carried.iter().zip(&states) {
            self.scope.forms.insert(var, Form::Local(name.clone()));
            self.scope.owners.insert(name.clone(), var);
            self.scope.seen.push(var);
            // The next trip reads it.
            *self.left.entry(var).or_default() += 1;
        }
        let mut head = Vec::new();
        for (var, value) in [(l.trip, counter.as_str()), (l.holds, "1u8")] {
            if self.left.get(&var).copied().unwrap_or(0) > 0
                && (var != l.holds || uses_holds(body, l))
            {
                self.needs_device = true;
                let name = self.plain_name("index");
                head.push(format!("let {name} = Tensor::new({value}, device)?;"));
                self.scope.forms.insert(var, Form::Local(name));
            }
        }
        self.holding.insert(l.holds);
        let text =
            self.inside(body, None, |p| p.next_trip(l, body, &holds, ends, &states, &stacks))?;
        self.scope = scope;
        self.used = used;
        head.push(text);
        let block = head.join("\n");
        let text = match (&trips, &holds) {
            (Some(trips), None) => {
                let counter = if reads_trip { counter } else { "_".to_owned() };
                format!("for {counter} in 0..{trips} {{\n{block}\n}}")
            }
            (None, Some(holds)) if !reads_trip => format!("while {holds} {{\n{block}\n}}"),
            _ => {
                self.lines.push(format!("let mut {counter} = 0i64;"));
                let conditions: Vec<String> =
                    [trips.map(|t| format!("{counter} < {t}")), holds.clone()]
                        .into_iter()
                        .flatten()
                        .collect();
                let while_ = if conditions.is_empty() {
                    "loop".to_owned()
                } else {
                    format!("while {}", conditions.join(" && "))
                };
                format!("{while_} {{\n{block}\n{counter} += 1;\n}}")
            }
        };
        self.lines.push(text);
        for (&var, name) in l.vars.iter().zip(&states) {
            self.scope.forms.insert(var, Form::Local(name.clone()));
            self.scope.owners.insert(name.clone(), var);
            self.scope.seen.push(var);
            self.scope.own.insert(var);
        }
        for (&var, name) in l.vars.iter().skip(states.len()).zip(&stacks) {
            let info = self.program.info(var).clone();
            let rest = info.shape.get(1..).unwrap_or_default().to_vec();
            let mut sizes = vec!["0".to_owned()];
            // What only a trip tells is nothing where there was none.
            for dim in &rest {
                sizes.push(if self.can_know(dim) { self.size(dim, "dim") } else { "0".to_owned() });
            }
            let dtype = held(info.dtype).map_or("F32", |h| h.name);
            self.needs_device = true;
            let stack_name = match self.naming {
                super::Naming::Numbered => self.number(),
                super::Naming::Told => "stacked".to_owned(),
            };
            let text = format!(
                "if {name}.is_empty() {{ Tensor::zeros({}, DType::{dtype}, device)? }} else {{ Tensor::stack(&{name}, 0)? }}",
                super::args::tuple(sizes)
            );
            let bound = self.local(var, &stack_name);
            self.lines.push(format!("let {bound} = {text};"));
        }
        Ok(())
    }

    /// The last lines of a trip.
    fn next_trip(
        &mut self,
        l: &Loop,
        body: &Body,
        holds: &Option<String>,
        ends: bool,
        states: &[String],
        stacks: &[String],
    ) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        let mut results = body.results.iter();
        let condition = results.next();
        if let (Some(holds), Some(&v), true) = (holds, condition, ends) {
            let (text, reads) = self.value(v, Position::Argument)?;
            self.done_reading(&reads);
            self.helper("is_true");
            lines.push(format!("{holds} = ops::is_true({text})?;"));
        }
        let values: Vec<Var> = results.copied().collect();
        let (next, slices) = values.split_at(l.carried.len().min(values.len()));
        for (&v, stack) in slices.iter().zip(stacks) {
            let text = self.owned(v)?;
            lines.push(format!("{stack}.push({text});"));
        }
        let mut changed = Vec::new();
        for ((&v, state), carried) in next.iter().zip(states).zip(&l.carried) {
            if v != *carried {
                let text = self.owned(v)?;
                changed.push((state.clone(), text));
            }
        }
        match &changed[..] {
            [] => {}
            [(state, text)] => lines.push(format!("{state} = {text};")),
            many => {
                let left: Vec<&str> = many.iter().map(|(s, _)| s.as_str()).collect();
                let right: Vec<&str> = many.iter().map(|(_, t)| t.as_str()).collect();
                lines.push(format!("({}) = ({});", left.join(", "), right.join(", ")));
            }
        }
        Ok(lines)
    }

    /// Reads sizes from an integer tensor, those that are not known otherwise.
    pub(super) fn read_sizes(&mut self, x: Var, dims: &[Dim]) -> Result<(), String> {
        let (text, reads) = self.value(x, Position::Argument)?;
        self.done_reading(&reads);
        let new: Vec<(usize, &Dim)> = dims
            .iter()
            .enumerate()
            .filter(|(_, d)| d.as_symbol().is_some() && !self.scope.sizes.contains_key(*d))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        self.helper("sizes");
        let mut names = Vec::new();
        for (at, dim) in &new {
            let name = self.size_name(dim, "size");
            self.scope.sizes.insert((*dim).clone(), name.clone());
            names.push((*at, name));
        }
        if let ([(at, name)], 1) = (&names[..], dims.len()) {
            self.lines.push(format!("let {name} = ops::sizes({text})?[{at}];"));
            return Ok(());
        }
        let list = self.plain_name("sizes");
        self.lines.push(format!("let {list} = ops::sizes({text})?;"));
        for (at, name) in names {
            self.lines.push(format!("let {name} = {list}[{at}];"));
        }
        Ok(())
    }
}

fn uses_holds(body: &Body, l: &Loop) -> bool {
    let mut found = body.results.iter().skip(1).any(|v| *v == l.holds);
    for item in &body.items {
        found |= match item {
            super::Item::Stmt(stmt, _) => {
                let mut read = false;
                stmt.reads_all(&mut |v| read |= v == l.holds);
                read
            }
            super::Item::Child(m) => m.inputs.contains(&l.holds),
            super::Item::If { condition, then, other, .. } => {
                *condition == l.holds || uses_holds(then, l) || uses_holds(other, l)
            }
            super::Item::Loop { head, body } => {
                head.initial.contains(&l.holds) || uses_holds(body, l)
            }
        };
    }
    found
}
