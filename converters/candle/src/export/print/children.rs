//! Modules within a module: their fields and how they are called.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::super::class::Classes;
use super::super::names;
use super::super::template::Position;
use super::super::tree::{Body, Item, Module, Names, Presence, children};
use super::{Field, Form, Printer};
use crate::program::{Callee, Stmt, Var};

/// Which children are elements of lists: by the id of the child, the path of the list and the
/// position.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    place: FxHashMap<usize, (Names, usize)>,
    members: BTreeMap<Names, Vec<usize>>,
}

/// Children whose paths end in 0, 1, 2 ... and that are of one class.
pub(super) fn lists(classes: &Classes, module: &Module) -> Lists {
    let mut all = Vec::new();
    children(&module.body, &mut all);
    let mut stems: BTreeMap<Names, BTreeMap<usize, &Module>> = BTreeMap::new();
    for m in all.into_iter().filter(|m| m.presence == Presence::Always) {
        if let Some((last, stem)) = m.path.split_last()
            && let Ok(n) = last.parse::<usize>()
        {
            stems.entry(stem.to_vec()).or_default().insert(n, m);
        }
    }
    let mut lists = Lists::default();
    for (stem, members) in stems {
        let class = members.values().next().and_then(|m| classes.class_of(m.id));
        let same = members.values().all(|m| classes.class_of(m.id) == class);
        let counted = members.keys().enumerate().all(|(i, &n)| i == n);
        if members.len() < 2 || !same || !counted {
            continue;
        }
        for (&n, m) in &members {
            lists.place.insert(m.id, (stem.clone(), n));
        }
        lists.members.insert(stem, members.values().map(|m| m.id).collect());
    }
    lists
}

/// The most calls between a layer and what is called after it.
const MOST_CALLS: usize = 4;

/// What the layer is called that a value of a body comes from by calls on it alone.
fn layer_behind(body: &Body, mut var: Var) -> Option<String> {
    for _ in 0..MOST_CALLS {
        let made = body.items.iter().find_map(|item| match item {
            Item::Stmt(Stmt::Let { vars, call, .. }, path) if vars.contains(&var) => {
                Some((call, path))
            }
            _ => None,
        });
        let (call, path) = made?;
        if let Callee::Layer(_) = call.callee {
            return names::layer(path.as_deref()?);
        }
        let mut operands = call.vars();
        var = operands.next().filter(|_| operands.next().is_none())?;
    }
    None
}

impl<'p> Printer<'p> {
    /// Calls the children at a position: one, or a whole list; how many items that were.
    pub(super) fn children(&mut self, items: &'p [Item], at: usize) -> Result<usize, String> {
        let Some(Item::Child(first)) = items.get(at) else { return Ok(1) };
        if first.presence != Presence::Always {
            self.optional(first)?;
            return Ok(1);
        }
        if let Some((through, run)) = self.whole_list(items, at, first) {
            self.for_each(&run, through)?;
            return Ok(run.len());
        }
        let field = self.child_field(first)?;
        let mut args = Vec::new();
        let mut reads = Vec::new();
        for &input in &first.inputs {
            let (text, read) = self.value(input, Position::Argument)?;
            args.push(text);
            reads.extend(read);
        }
        self.size_args(first, &mut args);
        let text = format!("self.{field}.forward({})?", args.join(", "));
        self.done_reading(&reads);
        let hint = first.path.iter().rev().find(|p| p.parse::<usize>().is_err());
        let hint = hint.map(|h| names::snake(h));
        let results = &first.body.results;
        let own = &self.module.body;
        let last = at + 1 == items.len() && std::ptr::eq(items.as_ptr(), own.items.as_ptr());
        let once = results.iter().all(|v| self.left.get(v) == Some(&1));
        if last && once && own.results == *results && !results.is_empty() {
            if let [var] = results[..] {
                self.scope.forms.insert(var, Form::Expr(text, Vec::new()));
                return Ok(1);
            }
            if !self.module.path.is_empty() {
                self.whole_tail = text.strip_suffix('?').map(str::to_owned);
                return Ok(1);
            }
        }
        let single = results.len() == 1;
        let mut names = Vec::new();
        for &var in results {
            // What flows through a module is its first input.
            let reads = first.inputs.get(..usize::from(single)).unwrap_or_default();
            let own = if single { hint.clone() } else { layer_behind(&first.body, var) };
            names.push(self.bind(var, reads, own.as_deref(), false));
        }
        let left = match &names[..] {
            [one] => one.clone(),
            many => format!("({})", many.join(", ")),
        };
        self.lines.push(format!("let {left} = {text};"));
        Ok(1)
    }

    /// Calls a child where it is there, and takes its input where it is not.
    fn optional(&mut self, child: &'p Module) -> Result<(), String> {
        let (&[input], &[result]) = (&child.inputs[..], &child.body.results[..]) else {
            return Err("an optional module of several values".to_owned());
        };
        if !self.classes.sizes(child.id).is_empty() {
            return Err("an optional module that needs to know sizes".to_owned());
        }
        let field = self.child_field(child)?;
        let (text, reads) = self.borrowed(input)?;
        let item = self.plain_name(&field);
        self.used.release(&item);
        self.done_reading(&reads);
        let bare = text.strip_prefix('&').unwrap_or(&text);
        let text = format!(
            "match &self.{field} {{ Some({item}) => {item}.forward({text})?, None => {bare}.clone() }}"
        );
        let hint = if self.is_residual(result) { "residual" } else { field.as_str() };
        let name = self.bind(result, &[], Some(hint), false);
        self.lines.push(format!("let {name} = {text};"));
        Ok(())
    }

    fn size_args(&mut self, child: &Module, args: &mut Vec<String>) {
        for dim in self.classes.sizes(child.id) {
            args.push(self.size(&dim, "size"));
        }
    }

    /// All elements of a list one after the other, each applied to what the one before gives at
    /// one input and to the same values at the others.
    fn whole_list(
        &self,
        items: &'p [Item],
        at: usize,
        first: &'p Module,
    ) -> Option<(usize, Vec<&'p Module>)> {
        let (stem, 0) = self.lists.place.get(&first.id)? else { return None };
        let members = self.lists.members.get(stem)?;
        let mut run: Vec<&Module> = Vec::new();
        for (i, id) in members.iter().enumerate() {
            match items.get(at + i) {
                Some(Item::Child(m)) if m.id == *id && m.body.results.len() == 1 => run.push(m),
                _ => return None,
            }
        }
        if !self.classes.sizes(first.id).is_empty() {
            return None;
        }
        let mut through = None;
        for pair in run.windows(2) {
            let [a, b] = pair else { return None };
            let result = *a.body.results.first()?;
            let here = b.inputs.iter().position(|v| *v == result)?;
            let others = a.inputs.iter().zip(&b.inputs).enumerate();
            let same = others.filter(|(i, _)| *i != here).all(|(_, (x, y))| x == y);
            let once = self.left.get(&result) == Some(&1);
            if !same
                || !once
                || a.inputs.len() != b.inputs.len()
                || *through.get_or_insert(here) != here
            {
                return None;
            }
        }
        Some((through?, run))
    }

    fn for_each(&mut self, run: &[&'p Module], through: usize) -> Result<(), String> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let field = self.list_field(first)?;
        let field = field.split('[').next().unwrap_or_default().to_owned();
        let (Some(&start), Some(&end)) = (first.inputs.get(through), last.body.results.first())
        else {
            return Err("a list without a value".to_owned());
        };
        let mut others: FxHashMap<usize, String> = FxHashMap::default();
        for (i, &input) in first.inputs.iter().enumerate() {
            if i != through {
                let (text, _) = self.borrowed(input)?;
                others.insert(i, text);
            }
        }
        let from = match self.scope.forms.get(&start) {
            Some(Form::Expr(_, reads)) => reads.clone(),
            _ => vec![start],
        };
        let initial = self.owned(start)?;
        for m in run {
            let inputs: Vec<Var> = m.inputs.iter().copied().filter(|v| *v != start).collect();
            self.done_reading(&inputs);
        }
        let flow = self.bind(end, &from, None, false);
        let made = [format!("let {initial} = "), format!("let mut {initial} = ")];
        let same = flow == initial;
        let last = |l: &&mut String| same && made.iter().any(|m| l.starts_with(m));
        match self.lines.iter_mut().rev().find(last) {
            Some(line) if line.starts_with("let mut ") => {}
            Some(line) => line.insert_str("let ".len(), "mut "),
            None => self.lines.push(format!("let mut {flow} = {initial};")),
        }
        let stem = first.path.iter().rev().find(|p| p.parse::<usize>().is_err());
        let stem = stem.map_or_else(|| "item".to_owned(), |s| names::snake(s));
        let singular = stem.strip_suffix('s').filter(|s| s.len() > 2).unwrap_or(&stem).to_owned();
        let item = self.plain_name(&singular);
        let args: Vec<String> = (0..first.inputs.len())
            .map(|i| others.get(&i).cloned().unwrap_or_else(|| format!("&{flow}")))
            .collect();
        self.lines.push(format!(
            "for {item} in &self.{field} {{ {flow} = {item}.forward({})?; }}",
            args.join(", ")
        ));
        self.used.release(&item);
        Ok(())
    }

    /// A value to be read more than once.
    fn borrowed(&mut self, var: Var) -> Result<(String, Vec<Var>), String> {
        if let Form::Expr(text, reads) = self.form(var)? {
            self.done_reading(&reads);
            let name = match self.naming {
                super::Naming::Numbered => self.number(),
                super::Naming::Told => names::of_value(self.program.info(var)),
            };
            let name = self.local(var, &name);
            self.lines.push(format!("let {name} = {text};"));
        }
        self.value(var, Position::Argument)
    }

    /// The field of a child, an element of a list as `list[0]`.
    fn child_field(&mut self, child: &Module) -> Result<String, String> {
        if self.lists.place.contains_key(&child.id) {
            return self.list_field(child);
        }
        let relative = self.relative(&child.base);
        let dotted = relative.join(".");
        let key = format!("child {}", child.id);
        // A stage is called after itself; its weights are those of the module.
        let called = if relative.is_empty() {
            child.path.get(child.path.len().saturating_sub(1)..).unwrap_or_default()
        } else {
            &relative
        };
        let name = self.field_names.fresh(&names::field(called));
        let vb =
            if dotted.is_empty() { "vb.clone()".to_owned() } else { format!("vb.pp({dotted:?})") };
        let mut load = self.load_child(child, &vb)?;
        let mut ty = self.class_text(child)?;
        if child.presence != Presence::Always {
            let Some(tensor) = self.classes.tensor_within(child.id) else {
                return Err("an optional module without a tensor".to_owned());
            };
            let tensor = format!("{dotted}.{tensor}");
            load = format!("if vb.contains_tensor({tensor:?}) {{ Some({load}) }} else {{ None }}");
            ty = format!("Option<{ty}>");
        }
        self.by_weight.insert(key, name.clone());
        self.out.fields.push(Field { name: name.clone(), ty, load });
        Ok(name)
    }

    fn class_text(&self, child: &Module) -> Result<String, String> {
        match self.classes.class_of(child.id) {
            Some(class) => Ok(format!("__class{class}__")),
            None => Err("a module without a class".to_owned()),
        }
    }

    fn load_child(&mut self, child: &Module, vb: &str) -> Result<String, String> {
        let class = self.class_text(child)?;
        let mut args = self.child_args(child.id);
        args.push(vb.to_owned());
        Ok(format!("{class}::load({})?", args.join(", ")))
    }

    fn child_args(&mut self, id: usize) -> Vec<String> {
        let was = std::mem::replace(&mut self.in_forward, false);
        let mut args = self.classes.args(id);
        if self.classes.is_absent(id) {
            args.iter_mut().for_each(|(_, value)| value.clear());
        }
        let texts = args.into_iter().map(|(hint, value)| self.note(value, &hint)).collect();
        self.in_forward = was;
        texts
    }

    fn list_field(&mut self, child: &Module) -> Result<String, String> {
        let Some((stem, at)) = self.lists.place.get(&child.id).cloned() else {
            return Err("no element of a list".to_owned());
        };
        let key = format!("list {}", stem.join("."));
        if let Some(name) = self.by_weight.get(&key) {
            return Ok(format!("{name}[{at}]"));
        }
        let members = self.lists.members.get(&stem).cloned().unwrap_or_default();
        let relative: Vec<Arc<str>> = self.relative(&stem);
        let dotted = relative.join(".");
        let stem = if relative.is_empty() { "blocks".to_owned() } else { names::field(&relative) };
        let plural =
            if stem.ends_with('s') || relative.len() < 2 { stem } else { format!("{stem}s") };
        let name = self.field_names.fresh(&plural);
        let class = self.class_text(child)?;
        let all: Vec<_> = members.iter().map(|&id| self.classes.args(id)).collect();
        let prefix = if dotted.is_empty() { String::new() } else { format!("{dotted}.") };
        let load = if all.iter().all(|a| Some(a) == all.first()) {
            let mut args = self.child_args(child.id);
            args.push(format!("vb.pp(format!(\"{prefix}{{i}}\"))"));
            format!(
                "(0..{}).map(|i| {class}::load({})).collect::<Result<_>>()?",
                members.len(),
                args.join(", ")
            )
        } else {
            let mut elements = Vec::new();
            for (i, &id) in members.iter().enumerate() {
                let mut args = self.child_args(id);
                args.push(format!("vb.pp(\"{prefix}{i}\")"));
                elements.push(format!("{class}::load({})?", args.join(", ")));
            }
            format!("Vec::from([{}])", elements.join(", "))
        };
        self.out.fields.push(Field { name: name.clone(), ty: format!("Vec<{class}>"), load });
        self.by_weight.insert(key, name.clone());
        Ok(format!("{name}[{at}]"))
    }
}
