//! Bodies of functions: the statements of a module as Rust text.
//!
//! A value that is read once, soon after it is made, is written where it is read. A value takes
//! the name of the one that it is made from where that one is not read again, so that what flows
//! through a module is `x`. Numbers that may differ between modules that are otherwise alike are
//! written as `__kN__`, and types of modules as `__classN__`, until it is known what they are.

mod args;
mod blocks;
mod children;
mod fields;

use std::collections::{BTreeMap, BTreeSet};

use airconv_ir::dim::Dim;
use rustc_hash::{FxHashMap, FxHashSet};

use super::class::Classes;
use super::helpers::HELPERS;
use super::names::{self, Used};
use super::size;
use super::template::Position;
use super::tree::{Body, Item, Module};
use crate::program::calls::{
    ADD, ATTENTION, BROADCAST_ADD, BROADCAST_AS, CHUNK, CONTIGUOUS, NARROW, UNSQUEEZE,
};
use crate::program::dtype::is_float;
use crate::program::{Arg, Call, Callee, Program, Source, Stmt, Var};

/// The most calls and arguments of an expression that is written where its value is read.
const LONGEST: usize = 9;
/// The most of one that is the last of its block.
const LONGEST_LAST: usize = 30;
/// The most of one that is written as an argument that is not the first.
const LONGEST_INNER: usize = 3;
/// How many statements later a value may be read to be written there.
const NEAR: usize = 3;

/// A number that may differ between modules that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Const {
    /// Empty where any number will do.
    pub text: String,
    /// What it is called when it differs.
    pub hint: String,
    /// Whether the body of `forward` has it.
    pub in_forward: bool,
}

/// A field of a struct.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub name: String,
    pub ty: String,
    /// The expression that loads it from `vb`.
    pub load: String,
}

/// A module as text.
#[derive(Clone, Debug, Default)]
pub(super) struct Printed {
    pub fields: Vec<Field>,
    /// Names of the parameters that are tensors.
    pub params: Vec<String>,
    /// Sizes that the caller passes, with their names.
    pub sizes: Vec<(String, Dim)>,
    /// Statements and the last expression.
    pub body: String,
    pub consts: Vec<Const>,
    pub helpers: BTreeSet<&'static str>,
    /// The tensors of the weights file that the fields are loaded from.
    pub tensors: Vec<(String, Var)>,
}

/// How a value is written.
#[derive(Clone, Debug)]
enum Form {
    /// A local variable that owns it.
    Local(String),
    /// A variable that refers to it.
    Ref(String),
    /// A field.
    Field(String),
    /// An expression that makes it, and the variables in it.
    Expr(String, Vec<Var>),
}

/// How local variables are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// By number, so that modules that are alike have the same text.
    Numbered,
    /// For readers.
    Told,
}

/// What is in scope.
#[derive(Clone, Default)]
struct Scope {
    forms: FxHashMap<Var, Form>,
    owners: FxHashMap<String, Var>,
    sizes: BTreeMap<Dim, String>,
    /// Variables whose sizes can be asked for, in order.
    seen: Vec<Var>,
    /// Variables made in the innermost block.
    own: FxHashSet<Var>,
}

/// Writes the body of one module.
pub(super) struct Printer<'p> {
    program: &'p Program,
    classes: &'p Classes<'p>,
    module: &'p Module,
    naming: Naming,
    scope: Scope,
    used: Used,
    field_names: Used,
    lines: Vec<String>,
    /// How often each value is still read.
    left: FxHashMap<Var, usize>,
    /// How often each value is read in all.
    total: FxHashMap<Var, usize>,
    out: Printed,
    /// Fields by what they hold.
    by_weight: FxHashMap<String, String>,
    lists: children::Lists,
    /// Axes of parameters that are asked for, with names.
    asked: BTreeMap<(usize, usize), String>,
    needs_device: bool,
    counter: usize,
    /// Whether numbers are noted as part of `forward`.
    in_forward: bool,
    /// The last expression, where it gives all results at once.
    whole_tail: Option<String>,
    /// The single result of each block around, innermost last.
    tails: Vec<Option<Var>>,
    /// The layers that values come from which are written where they are read.
    layers: FxHashMap<Var, String>,
    /// Conditions of loops that hold within them.
    holding: FxHashSet<Var>,
}

/// The text of a module.
pub(super) fn print(
    program: &Program,
    classes: &Classes,
    module: &Module,
    naming: Naming,
) -> Result<Printed, String> {
    let printer = Printer {
        program,
        classes,
        module,
        naming,
        scope: Scope::default(),
        used: Used::default(),
        field_names: Used::default(),
        lines: Vec::new(),
        left: FxHashMap::default(),
        total: FxHashMap::default(),
        out: Printed::default(),
        by_weight: FxHashMap::default(),
        lists: children::Lists::default(),
        asked: BTreeMap::new(),
        needs_device: false,
        counter: 0,
        in_forward: true,
        whole_tail: None,
        tails: vec![single(&module.body.results)],
        layers: FxHashMap::default(),
        holding: FxHashSet::default(),
    };
    printer.module()
}

impl<'p> Printer<'p> {
    fn module(mut self) -> Result<Printed, String> {
        count(&self.module.body, &mut self.left);
        self.total = self.left.clone();
        self.lists = children::lists(self.classes, self.module);
        self.params();
        let module = self.module;
        self.items(&module.body.items)?;
        let tail = self.tail(&module.body.results)?;
        let mut lines = self.prelude();
        lines.append(&mut self.lines);
        lines.push(tail);
        self.out.body = lines.join("\n");
        Ok(self.out)
    }

    fn params(&mut self) {
        let inputs = &self.module.inputs;
        let root = self.module.path.is_empty();
        for (i, &var) in inputs.iter().enumerate() {
            let name = match (self.naming, root) {
                (Naming::Numbered, _) => self.number(),
                (Naming::Told, true) => {
                    names::snake(self.program.inputs.get(i).map_or("x", String::as_str))
                }
                (Naming::Told, false) => self.param_name(i, var),
            };
            let name = self.used.fresh(&name);
            self.out.params.push(name.clone());
            self.scope.owners.insert(name.clone(), var);
            self.scope.forms.insert(var, Form::Ref(name));
            self.scope.seen.push(var);
        }
    }

    /// What a parameter of a module that is not the model is called: as the model's input that it
    /// is or that it is made of alone; else the first is `x`, and others are called after what they
    /// are used for, or after what makes them.
    fn param_name(&self, at: usize, var: Var) -> String {
        let shared = self.classes.is_shared(self.module.id);
        let input = |v: Var| {
            let position = self.program.params.iter().position(|p| *p == v)?;
            self.program.inputs.get(position).map(|n| names::snake(n))
        };
        if let Some(name) = input(var).filter(|_| at > 0 || !shared) {
            return name;
        }
        if at == 0 {
            return "x".to_owned();
        }
        let of_input = || self.classes.derived(var).and_then(input);
        let used = || self.ids_of(var).or_else(|| self.is_residual(var).then(|| "residual".into()));
        of_input().or_else(used).unwrap_or_else(|| names::of_value(self.program.info(var)))
    }

    /// The calls of this module that read a value.
    fn readers(&self, var: Var) -> Vec<(&Call, Option<&[std::sync::Arc<str>]>)> {
        let mut out = Vec::new();
        for item in &self.module.body.items {
            if let Item::Stmt(Stmt::Let { call, .. }, path) = item
                && call.vars().any(|v| v == var)
            {
                out.push((call, path.as_deref()));
            }
        }
        out
    }

    /// What indices of rows of a table are called: after the table.
    pub(super) fn ids_of(&self, var: Var) -> Option<String> {
        ids_in(&self.module.body, var, MOST_VIEWS)
    }

    /// Whether a value is only added to another one.
    fn is_residual(&self, var: Var) -> bool {
        let readers = self.readers(var);
        let adds = [&ADD, &BROADCAST_ADD].map(Callee::Func);
        let once = self.total.get(&var) == Some(&1);
        once && matches!(readers[..], [(call, _)] if adds.contains(&call.callee))
    }

    /// Statements at the start: sizes of parameters and the device.
    fn prelude(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (i, param) in self.out.params.iter().enumerate() {
            let rank = self.module.inputs.get(i).map_or(0, |&v| self.program.info(v).shape.len());
            let asked: Vec<(usize, &String)> =
                self.asked.range((i, 0)..(i + 1, 0)).map(|((_, a), n)| (*a, n)).collect();
            match &asked[..] {
                [] => {}
                [(axis, name)] => lines.push(format!("let {name} = {param}.dim({axis})?;")),
                many if (2..=5).contains(&rank) => {
                    let all: Vec<&str> = (0..rank)
                        .map(|a| {
                            many.iter().find(|(x, _)| *x == a).map_or("_", |(_, n)| n.as_str())
                        })
                        .collect();
                    lines.push(format!("let ({}) = {param}.dims{rank}()?;", all.join(", ")));
                }
                many => {
                    for (axis, name) in many {
                        lines.push(format!("let {name} = {param}.dim({axis})?;"));
                    }
                }
            }
        }
        if self.needs_device {
            let device = match self.out.params.first() {
                Some(param) => format!("{param}.device()"),
                None => "&Device::Cpu".to_owned(),
            };
            lines.push(format!("let device = {device};"));
        }
        lines
    }

    fn number(&mut self) -> String {
        self.counter += 1;
        format!("v{}", self.counter)
    }

    fn items(&mut self, items: &'p [Item]) -> Result<(), String> {
        let mut i = 0;
        while let Some(item) = items.get(i) {
            match item {
                Item::Stmt(stmt, path) => self.stmt(items, i, stmt, path.as_deref())?,
                Item::Child(_) => {
                    i += self.children(items, i)?;
                    continue;
                }
                Item::If { condition, then, other, vars } => {
                    let last = i + 1 == items.len();
                    self.branch(*condition, [then, other], vars, last)?;
                }
                Item::Loop { head, body } => self.repeat(head, body)?,
            }
            i += 1;
        }
        Ok(())
    }

    fn stmt(
        &mut self,
        items: &'p [Item],
        at: usize,
        stmt: &'p Stmt,
        path: Option<&[std::sync::Arc<str>]>,
    ) -> Result<(), String> {
        match stmt {
            Stmt::Let { vars, call, .. } => {
                let (text, reads) = self.call(call, path)?;
                if let [var] = vars[..]
                    && self.written_later(items, at, var, &text)
                {
                    let layer = path.and_then(names::layer);
                    let flow = call.vars().next().and_then(|f| self.layers.get(&f).cloned());
                    let own = (call.callee == Callee::Func(&ATTENTION)).then(|| "attention".into());
                    if let Some(name) = layer.or(own).or(flow) {
                        self.layers.insert(var, name);
                    }
                    self.scope.forms.insert(var, Form::Expr(text, reads));
                    return Ok(());
                }
                self.done_reading(&reads);
                if call.callee == Callee::Func(&CHUNK) {
                    self.bind_chunks(vars, &text);
                } else {
                    self.bind_all(vars, &text, (call, &reads), path);
                }
                Ok(())
            }
            Stmt::Sizes { x, dims, .. } => self.read_sizes(*x, dims),
            Stmt::Assert { condition, message, .. } => {
                let (value, reads) = self.value(*condition, Position::Argument)?;
                self.done_reading(&reads);
                self.helper("is_true");
                self.lines.push(format!(
                    "if !ops::is_true({value})? {{ candle_core::bail!({message:?}) }}"
                ));
                Ok(())
            }
            Stmt::If { .. } | Stmt::Loop(_) => Err("a block outside of its place".to_owned()),
        }
    }

    /// Whether a value is written where it is read.
    fn written_later(&self, items: &[Item], at: usize, var: Var, text: &str) -> bool {
        if self.left.get(&var) != Some(&1) || self.tells_size(var) {
            return false;
        }
        // The last expression of a function or a block.
        if at + 1 == items.len() && self.tails.last() == Some(&Some(var)) {
            return cost(text) <= LONGEST_LAST;
        }
        // What the last expression goes on with may be as long.
        let last = at + 2 == items.len() && self.tails.last() != Some(&None);
        if cost(text) > if last { LONGEST_LAST } else { LONGEST } {
            return false;
        }
        for item in items.iter().skip(at + 1).take(NEAR) {
            match item {
                Item::Stmt(Stmt::Let { call, .. }, _) => {
                    if let Some(place) = call.vars().position(|v| v == var) {
                        let list = call
                            .args
                            .iter()
                            .any(|a| matches!(a, Arg::Tensors(l) if l.contains(&var)));
                        // Its operands are of equal rank, so they look alike.
                        let attention = call.callee == Callee::Func(&ATTENTION);
                        if mentions_twice(call, var) || attention {
                            return false;
                        }
                        let limit = match place == 0 && !list {
                            true if last => LONGEST_LAST,
                            true => LONGEST,
                            false => LONGEST_INNER,
                        };
                        return cost(text) <= limit;
                    }
                }
                Item::Child(m) if m.inputs.contains(&var) => return cost(text) <= LONGEST_INNER,
                _ => return false,
            }
        }
        false
    }

    /// Takes down that values were read.
    fn done_reading(&mut self, reads: &[Var]) {
        for v in reads {
            if let Some(left) = self.left.get_mut(v) {
                *left = left.saturating_sub(1);
            }
        }
    }

    /// `let` for the parts of a tensor, which are elements of a vector.
    fn bind_chunks(&mut self, vars: &[Var], text: &str) {
        let name = self.plain_name("chunks");
        self.lines.push(format!("let {name} = {text};"));
        for (at, &var) in vars.iter().enumerate() {
            self.scope.forms.insert(var, Form::Field(format!("{name}[{at}]")));
        }
    }

    /// `let` for the results of a call.
    fn bind_all(
        &mut self,
        vars: &[Var],
        text: &str,
        (call, reads): (&Call, &[Var]),
        path: Option<&[std::sync::Arc<str>]>,
    ) {
        let first = call.vars().next();
        let layer = path.and_then(names::layer);
        let layer = layer.or_else(|| first.and_then(|f| self.layers.get(&f).cloned()));
        let joins = call.vars().count() > 1 && layer_of(call).is_none();
        let reads = if call.callee == Callee::Func(&ATTENTION) { &[] } else { reads };
        let layer = layer.filter(|_| call.callee != Callee::Func(&ATTENTION));
        let mut names = Vec::new();
        for &var in vars {
            if self.left.get(&var).copied().unwrap_or(0) == 0 {
                names.push("_".to_owned());
                continue;
            }
            let reads = if vars.len() == 1 { reads } else { &[] };
            names.push(self.bind(var, reads, layer.as_deref(), joins));
        }
        let left = match &names[..] {
            [one] => one.clone(),
            many => format!("({})", many.join(", ")),
        };
        self.lines.push(format!("let {left} = {text};"));
    }

    /// A name for a new value: that of a value which it is made from and which is not read again;
    /// else the name of the layer, else what the source calls it. What a layer makes of a value
    /// that others read too is called after the layer, and what `joins` values after a value.
    fn bind(&mut self, var: Var, reads: &[Var], layer: Option<&str>, joins: bool) -> String {
        let over = |v: &&Var| self.left.get(v).copied().unwrap_or(0) == 0;
        // What a layer makes of indices is nothing like them.
        let float = |v: Var| is_float(self.program.info(v).dtype);
        let alike = |v: &&Var| layer.is_none() || float(**v) == float(var);
        let flowing =
            reads.iter().filter(over).filter(alike).find_map(|v| match self.scope.forms.get(v) {
                Some(Form::Local(name) | Form::Ref(name)) => {
                    let alone = self.total.get(v).copied().unwrap_or(0) <= 1;
                    (joins || alone || layer.is_none()).then(|| name.clone())
                }
                _ => None,
            });
        let name = match self.naming {
            Naming::Numbered => self.number(),
            Naming::Told if self.output_name(var).is_some() => {
                self.output_name(var).unwrap_or_default()
            }
            Naming::Told => match (flowing, layer) {
                (Some(name), _) => name,
                (None, Some(layer)) => layer.to_owned(),
                (None, None) => {
                    let ids = self.ids_of(var);
                    ids.unwrap_or_else(|| names::of_value(self.program.info(var)))
                }
            },
        };
        self.local(var, &name)
    }

    /// The name of a value that is an output of the program.
    fn output_name(&self, var: Var) -> Option<String> {
        let root = self.module.path.is_empty();
        let at = self.module.body.results.iter().position(|v| *v == var && root)?;
        self.program.outputs.get(at).map(|n| names::output(n))
    }

    /// Makes a local variable of a name like this one.
    fn local(&mut self, var: Var, name: &str) -> String {
        if let Some(owner) = self.scope.owners.get(name)
            && self.left.get(owner).copied().unwrap_or(0) == 0
        {
            self.used.release(name);
        }
        let name = self.used.fresh(name);
        self.scope.owners.insert(name.clone(), var);
        self.scope.forms.insert(var, Form::Local(name.clone()));
        self.scope.seen.push(var);
        self.scope.own.insert(var);
        name
    }

    /// A name that is no value's.
    fn plain_name(&mut self, name: &str) -> String {
        match self.naming {
            Naming::Numbered => self.number(),
            Naming::Told => self.used.fresh(name),
        }
    }

    /// The last expression: the results.
    fn tail(&mut self, results: &[Var]) -> Result<String, String> {
        if let Some(text) = self.whole_tail.take() {
            return Ok(text);
        }
        if let [one] = results {
            if let Some(Form::Expr(text, _)) = self.scope.forms.get(one) {
                // `Ok(x?)` is `x`.
                return Ok(match text.strip_suffix('?') {
                    Some(bare) => unwrapped(bare),
                    None => format!("Ok({text})"),
                });
            }
            return Ok(format!("Ok({})", self.owned(*one)?));
        }
        let mut list = Vec::new();
        for &var in results {
            list.push(self.owned(var)?);
        }
        if self.module.path.is_empty() && results.len() != 1 {
            let mut fields = Used::default();
            let outputs = self.program.outputs.iter().zip(list);
            let texts = outputs.map(|(name, value)| {
                let name = fields.fresh(&names::output(name));
                if name == value { name } else { format!("{name}: {value}") }
            });
            return Ok(format!("Ok(Output {{ {} }})", texts.collect::<Vec<_>>().join(", ")));
        }
        Ok(format!("Ok(({}))", list.join(", ")))
    }

    /// A value that its reader owns.
    fn owned(&mut self, var: Var) -> Result<String, String> {
        let again = self.left.get(&var).copied().unwrap_or(0) > 1;
        self.done_reading(&[var]);
        let own = self.scope.own.contains(&var);
        Ok(match self.form(var)? {
            Form::Local(name) if own && !again => name,
            Form::Local(name) | Form::Ref(name) | Form::Field(name) => format!("{name}.clone()"),
            Form::Expr(text, reads) => {
                self.done_reading(&reads);
                text
            }
        })
    }

    fn form(&mut self, var: Var) -> Result<Form, String> {
        if let Some(form) = self.scope.forms.get(&var) {
            return Ok(form.clone());
        }
        match self.program.info(var).source {
            Source::Weight(_) | Source::Turned(_) | Source::Literal(_) => self.constant(var),
            Source::Param | Source::Made => {
                Err(format!("`{}` is read before it is made", self.program.info(var).name))
            }
        }
    }

    fn helper(&mut self, name: &str) {
        if let Some(helper) = HELPERS.iter().find(|h| h.name == name) {
            self.out.helpers.insert(helper.name);
        }
    }

    /// A size as text.
    fn size(&mut self, dim: &Dim, hint: &str) -> String {
        if let Some(known) = dim.as_known() {
            return self.note(known.to_string(), hint);
        }
        self.bind_sizes(dim);
        let scope = &self.scope.sizes;
        match size::text(dim, &mut |d| scope.get(d).cloned()) {
            Some(text) => text,
            None => self.passed(dim),
        }
    }

    /// Whether a value has a size that nothing before it has.
    fn tells_size(&self, var: Var) -> bool {
        let seen =
            |d: &Dim| self.scope.seen.iter().any(|&v| self.program.info(v).shape.contains(d));
        self.program.info(var).shape.iter().any(|d| !self.can_know(d) && !seen(d))
    }

    /// Whether a size follows from parameters, or from what has been read here.
    fn can_know(&self, dim: &Dim) -> bool {
        let has = |d: &Dim| {
            let of_param = |v: &Var| self.program.info(*v).shape.contains(d);
            self.scope.sizes.contains_key(d) || self.module.inputs.iter().any(of_param)
        };
        let mut all = true;
        dim.symbols(&mut |s| all &= has(&Dim::symbol(s)));
        all || has(dim)
    }

    /// A size that the caller passes.
    fn passed(&mut self, dim: &Dim) -> String {
        let name = self.size_name(dim, "size");
        self.out.sizes.push((name.clone(), dim.clone()));
        self.scope.sizes.insert(dim.clone(), name.clone());
        name
    }

    /// Finds names for a size or for what it is made of.
    fn bind_sizes(&mut self, dim: &Dim) {
        if dim.as_known().is_some() || self.scope.sizes.contains_key(dim) || self.ask_param(dim) {
            return;
        }
        if dim.as_symbol().is_some() {
            self.ask_local(dim);
            return;
        }
        let mut symbols = Vec::new();
        dim.symbols(&mut |s| symbols.push(Dim::symbol(s)));
        for symbol in &symbols {
            self.bind_sizes(symbol);
        }
        let all = symbols.iter().all(|s| self.scope.sizes.contains_key(s));
        if !all {
            self.ask_local(dim);
        }
    }

    /// Asks a parameter for a size at the start of the function.
    fn ask_param(&mut self, dim: &Dim) -> bool {
        for (i, &var) in self.module.inputs.iter().enumerate() {
            let Some(axis) = self.program.info(var).shape.iter().position(|d| d == dim) else {
                continue;
            };
            let name = self.size_name(dim, "len");
            self.asked.insert((i, axis), name.clone());
            self.scope.sizes.insert(dim.clone(), name);
            return true;
        }
        false
    }

    /// Asks a local variable for a size.
    fn ask_local(&mut self, dim: &Dim) {
        let found = self.scope.seen.iter().rev().find_map(|&v| {
            let axis = self.program.info(v).shape.iter().position(|d| d == dim)?;
            match self.scope.forms.get(&v)? {
                Form::Local(name) | Form::Ref(name)
                    if self.scope.owners.get(name) == Some(&v) && self.is_alive(v) =>
                {
                    Some((name.clone(), axis))
                }
                _ => None,
            }
        });
        if let Some((var, axis)) = found {
            let name = self.size_name(dim, "len");
            self.lines.push(format!("let {name} = {var}.dim({axis})?;"));
            self.scope.sizes.insert(dim.clone(), name);
        }
    }

    /// Whether a variable has not been moved away.
    fn is_alive(&self, var: Var) -> bool {
        self.left.get(&var).copied().unwrap_or(0) > 0
    }

    fn size_name(&mut self, dim: &Dim, other: &str) -> String {
        let symbol = dim.as_symbol().and_then(|s| self.program.symbols.get(s.0 as usize));
        let name = symbol.map(|s| size_hint(s)).unwrap_or_else(|| other.to_owned());
        self.plain_name(&name)
    }

    /// Notes a number that may differ between modules.
    fn note(&mut self, text: String, hint: &str) -> String {
        let name = format!("__k{}__", self.out.consts.len());
        let in_forward = self.in_forward;
        self.out.consts.push(Const { text, hint: hint.to_owned(), in_forward });
        name
    }
}

/// A symbol's name as that of a variable.
fn size_hint(symbol: &str) -> String {
    let snake = names::snake(symbol);
    let long = snake.len() > 24 || snake.contains("output") || snake.contains("if_");
    if long { "n".to_owned() } else { snake }
}

/// An expression in parentheses without them.
fn unwrapped(text: &str) -> String {
    let inner = text.strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    match inner {
        Some(inner) if balanced(inner) => inner.to_owned(),
        _ => text.to_owned(),
    }
}

fn balanced(text: &str) -> bool {
    let mut depth = 0i32;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

/// The result of a body that has exactly one.
fn single(results: &[Var]) -> Option<Var> {
    match results {
        [one] => Some(*one),
        _ => None,
    }
}

/// How much there is in an expression, whatever its names.
fn cost(text: &str) -> usize {
    text.matches(['(', ',', '{']).count()
}

/// Counts how often each value is read.
fn count(body: &Body, left: &mut FxHashMap<Var, usize>) {
    let mut add = |v: Var| *left.entry(v).or_default() += 1;
    body.results.iter().for_each(|&v| add(v));
    for item in &body.items {
        match item {
            Item::Stmt(stmt, _) => stmt.reads(&mut add),
            Item::Child(m) => m.inputs.iter().for_each(|&v| add(v)),
            Item::If { condition, .. } => add(*condition),
            Item::Loop { head, .. } => {
                let first = head.trips.iter().chain(&head.condition);
                first.chain(&head.initial).for_each(|&v| add(v));
            }
        }
    }
    for item in &body.items {
        match item {
            Item::If { then, other, .. } => {
                count(then, left);
                count(other, left);
            }
            Item::Loop { body, .. } => count(body, left),
            _ => {}
        }
    }
}

/// The most views and modules between indices and the table.
const MOST_VIEWS: usize = 6;

/// The name of indices by the table whose rows a body takes by them, if it does.
fn ids_in(body: &Body, var: Var, most: usize) -> Option<String> {
    let most = most.checked_sub(1)?;
    let views = [&NARROW, &BROADCAST_AS, &UNSQUEEZE, &CONTIGUOUS].map(Callee::Func);
    body.items.iter().find_map(|item| match item {
        Item::Stmt(Stmt::Let { vars, call, .. }, path) => {
            let first = call.vars().next().filter(|v| *v == var)?;
            if call.callee == Callee::Layer(crate::program::Layer::Embedding) {
                let table = names::layer(path.as_deref()?)?;
                let stem = table.strip_suffix("_embeddings");
                let stem = stem.or_else(|| table.strip_suffix("_embedding"))?;
                return Some(format!("{stem}_ids"));
            }
            let view = first == var && views.contains(&call.callee);
            vars.first().filter(|_| view).and_then(|v| ids_in(body, *v, most))
        }
        Item::Child(m) if m.inputs.contains(&var) => ids_in(&m.body, var, most),
        _ => None,
    })
}

/// Whether the body of a call has an argument more than once.
fn mentions_twice(call: &Call, var: Var) -> bool {
    let Callee::Func(func) = call.callee else { return false };
    let is = |arg: &Arg| *arg == Arg::Tensor(var);
    let param = call.args.iter().position(is).and_then(|i| func.params.get(i));
    param.is_some_and(|(name, _)| {
        let words = func.body.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.filter(|w| w == name).count() > 1
    })
}

/// Whether a call is of a layer.
fn layer_of(call: &Call) -> Option<crate::program::Layer> {
    match call.callee {
        Callee::Layer(layer) => Some(layer),
        Callee::Func(_) => None,
    }
}
