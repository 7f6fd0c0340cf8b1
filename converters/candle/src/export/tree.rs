//! The tree of modules: which statements belong together, by the paths of the source.
//!
//! Statements of one path become one module where that is possible without changing what comes
//! before what: all of them have to be computable at one place. A level is left out where it says
//! nothing: a module of one statement, of no weights, or whose only content is another module; and
//! lists, whose elements become modules of the level above.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::program::{Block, Callee, Loop, Program, Source, Stmt, Var};

/// A path of names.
pub(super) type Names = Vec<Arc<str>>;

/// What a module or a block consists of.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// A statement without blocks; a layer has a path of its own.
    Stmt(Stmt, Option<Names>),
    /// Another module.
    Child(Box<Module>),
    /// One of two blocks.
    If { condition: Var, then: Body, other: Body, vars: Vec<Var> },
    /// A block over and over.
    Loop { head: Box<Loop>, body: Body },
}

/// Items with results.
#[derive(Clone, Debug, Default)]
pub(super) struct Body {
    pub items: Vec<Item>,
    pub results: Vec<Var>,
}

/// A module of the source: some of its statements, applied to values from outside.
#[derive(Clone, Debug)]
pub(super) struct Module {
    /// Its number among all modules.
    pub id: usize,
    /// What it is called after.
    pub path: Names,
    /// Where its weights are: the path again, except in a stage.
    pub base: Names,
    pub body: Body,
    /// Values from outside, by first use.
    pub inputs: Vec<Var>,
    pub presence: Presence,
}

/// Whether a module is there in all modules that are like the one that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Always,
    /// It is there, and others lack it.
    Optional,
    /// It is not there and passes its input on; others have a module like the one of this number.
    Absent {
        like: usize,
    },
}

/// The modules of a body, those of its blocks too.
pub(super) fn children<'m>(body: &'m Body, out: &mut Vec<&'m Module>) {
    for item in &body.items {
        match item {
            Item::Child(m) => out.push(m),
            Item::If { then, other, .. } => {
                children(then, out);
                children(other, out);
            }
            Item::Loop { body, .. } => children(body, out),
            Item::Stmt(..) => {}
        }
    }
}

/// The module that is the program.
pub(super) fn root(program: &Program) -> Module {
    let placed = place(program);
    let tree = Tree { program, placed };
    let body = tree.block(&program.body, &[]);
    let (path, base, inputs) = (Vec::new(), Vec::new(), program.params.clone());
    let mut root = Module { id: 0, path, base, body, inputs, presence: Presence::Always };
    number(&mut root, &mut 0);
    root
}

/// Numbers modules, outer ones first.
fn number(module: &mut Module, next: &mut usize) {
    module.id = *next;
    *next += 1;
    number_in(&mut module.body, next);
}

fn number_in(body: &mut Body, next: &mut usize) {
    for item in &mut body.items {
        match item {
            Item::Child(m) => number(m, next),
            Item::If { then, other, .. } => {
                number_in(then, next);
                number_in(other, next);
            }
            Item::Loop { body, .. } => number_in(body, next),
            Item::Stmt(..) => {}
        }
    }
}

/// Where a statement is: the module, and for a layer its own path.
#[derive(Clone, Debug, Default)]
struct Place {
    module: Names,
    layer: Option<Names>,
}

/// Statements are known by the first value that they make.
type Places = FxHashMap<Var, Place>;

struct Tree<'p> {
    program: &'p Program,
    placed: Places,
}

/// The path in the dotted name of one of a call's weights.
fn weight_path(program: &Program, stmt: &Stmt) -> Option<Names> {
    let Stmt::Let { call, .. } = stmt else { return None };
    call.vars().skip(1).chain(call.vars().take(1)).find_map(|v| {
        let info = program.info(v);
        if !matches!(info.source, Source::Weight(_) | Source::Turned(_)) {
            return None;
        }
        let named = super::names::is_named(&info.name);
        let (path, _) = info.name.rsplit_once('.').filter(|_| named)?;
        Some(path.split('.').filter(|s| !s.is_empty()).map(Arc::from).collect())
    })
}

fn is_layer(stmt: &Stmt) -> bool {
    matches!(stmt, Stmt::Let { call, .. } if matches!(call.callee, Callee::Layer(_)))
}

/// All statements in order, those of blocks too.
fn flat<'a>(block: &'a Block, out: &mut Vec<&'a Stmt>) {
    for stmt in &block.stmts {
        out.push(stmt);
        for inner in stmt.blocks() {
            flat(inner, out);
        }
    }
}

fn common(a: &[Arc<str>], b: &[Arc<str>]) -> Names {
    a.iter().zip(b).take_while(|(x, y)| x == y).map(|(x, _)| x.clone()).collect()
}

/// Finds the places of all statements.
fn place(program: &Program) -> Places {
    let mut stmts = Vec::new();
    flat(&program.body, &mut stmts);
    let mut count: BTreeMap<Names, usize> = BTreeMap::new();
    for stmt in &stmts {
        *count.entry(stmt.path().to_vec()).or_default() += 1;
    }
    let any_path = stmts.iter().any(|s| !s.path().is_empty());
    let mut used = super::names::Used::default();
    let mut places = Places::default();
    // Layers first: their weights name them.
    for stmt in &stmts {
        let Some(&var) = stmt.made().first() else { continue };
        let own: Names = stmt.path().to_vec();
        if !is_layer(stmt) {
            let by_weight = weight_path(program, stmt).filter(|_| own.is_empty());
            let module = by_weight.unwrap_or(own);
            places.insert(var, Place { module, layer: None });
            continue;
        }
        let Stmt::Let { call, .. } = stmt else { continue };
        let Callee::Layer(layer) = call.callee else { continue };
        let mut path = match weight_path(program, stmt) {
            Some(path) => path,
            None if !own.is_empty() && count.get(&own) == Some(&1) => own,
            None => {
                let kind: Arc<str> = super::names::snake(layer.type_name()).into();
                [own, vec![kind]].concat()
            }
        };
        if path.is_empty() {
            path.push(super::names::snake(layer.type_name()).into());
        }
        let dotted = used.fresh(&path.join("."));
        let path: Names = dotted.split('.').map(Arc::from).collect();
        let module = path.get(..path.len() - 1).unwrap_or_default().to_vec();
        places.insert(var, Place { module, layer: Some(path) });
    }
    // What is between two statements of a module belongs to what they share.
    if !any_path {
        let paths: Vec<Option<Names>> = stmts
            .iter()
            .map(|s| s.made().first().and_then(|v| places.get(v)).map(|p| p.module.clone()))
            .map(|p| p.filter(|p| !p.is_empty()))
            .collect();
        let mut before: Option<Names> = None;
        for (i, stmt) in stmts.iter().enumerate() {
            if let Some(Some(path)) = paths.get(i) {
                before = Some(path.clone());
                continue;
            }
            let after = paths.iter().skip(i).flatten().next();
            let (Some(a), Some(b), Some(&var)) = (&before, after, stmt.made().first()) else {
                continue;
            };
            if is_layer(stmt) {
                continue;
            }
            places.insert(var, Place { module: common(a, b), layer: None });
        }
        lift_shared(program, &stmts, &mut places);
    }
    places
}

/// Moves what is made without weights and read in several modules, such as a mask, with all that it
/// is made of to what these modules share.
fn lift_shared(program: &Program, stmts: &[&Stmt], places: &mut Places) {
    let mut readers: FxHashMap<Var, Vec<Var>> = FxHashMap::default();
    for stmt in stmts {
        let Some(&made) = stmt.made().first() else { continue };
        stmt.reads_all(&mut |v| readers.entry(v).or_default().push(made));
    }
    let plain = weightless(program, stmts);
    let mut lifted: FxHashSet<Var> = FxHashSet::default();
    for stmt in stmts.iter().rev() {
        let Some(&var) = stmt.made().first().filter(|v| plain.contains(v)) else { continue };
        let readers = readers.get(&var).map_or(&[][..], |r| r);
        let mut modules = readers.iter().filter_map(|r| places.get(r)).map(|p| &p.module);
        let Some(first) = modules.next() else { continue };
        let several = modules.clone().any(|m| m != first);
        if several || readers.iter().all(|r| lifted.contains(r)) {
            let module = modules.fold(first.clone(), |shared, m| common(&shared, m));
            lifted.insert(var);
            places.insert(var, Place { module, layer: None });
        }
    }
}

/// The values that no weight has a part in.
fn weightless(program: &Program, stmts: &[&Stmt]) -> FxHashSet<Var> {
    let mut out: FxHashSet<Var> = program.params.iter().copied().collect();
    for stmt in stmts {
        let Stmt::Let { vars, call, .. } = stmt else { continue };
        let made = |v: &Var| matches!(program.info(*v).source, Source::Made | Source::Param);
        if !is_layer(stmt)
            && call.vars().all(|v| if made(&v) { out.contains(&v) } else { !is_big(program, v) })
        {
            out.extend(vars.iter().copied());
        }
    }
    for param in &program.params {
        out.remove(param);
    }
    out
}

/// The most statements and modules of one module.
const MOST_UNITS: usize = 120;

fn stage_stmts<'s>(units: &[Unit<'s>]) -> Vec<&'s Stmt> {
    units.iter().flat_map(|u| u.stmts.iter().copied()).collect()
}

/// How many values pass each place between units.
fn crossing(units: &[Unit<'_>]) -> Vec<usize> {
    let mut made: FxHashMap<Var, usize> = FxHashMap::default();
    let mut last: FxHashMap<Var, usize> = FxHashMap::default();
    for (i, unit) in units.iter().enumerate() {
        for stmt in &unit.stmts {
            made.extend(stmt.made().iter().map(|&v| (v, i)));
            stmt.reads_all(&mut |v| {
                last.insert(v, i);
            });
        }
    }
    let mut passing = vec![0; units.len() + 1];
    for (v, &from) in &made {
        for place in from + 1..=last.get(v).copied().unwrap_or(from) {
            if let Some(n) = passing.get_mut(place) {
                *n += 1;
            }
        }
    }
    passing
}

/// A unit of a level: a statement, or all statements below one path.
struct Unit<'s> {
    key: Option<Names>,
    stmts: Vec<&'s Stmt>,
    first: usize,
}

impl Tree<'_> {
    fn place(&self, stmt: &Stmt) -> Place {
        match stmt.made().first().and_then(|v| self.placed.get(v)) {
            Some(place) => place.clone(),
            None => Place { module: stmt.path().to_vec(), layer: None },
        }
    }

    fn block(&self, block: &Block, prefix: &[Arc<str>]) -> Body {
        let stmts: Vec<&Stmt> = block.stmts.iter().collect();
        let wanted: FxHashSet<Var> = block.results.iter().copied().collect();
        Body { items: self.level(&stmts, prefix, &wanted), results: block.results.clone() }
    }

    /// The items of statements at a level. `wanted`: what is read after them.
    fn level(&self, stmts: &[&Stmt], prefix: &[Arc<str>], wanted: &FxHashSet<Var>) -> Vec<Item> {
        let mut dissolved: FxHashSet<Names> = FxHashSet::default();
        let units = loop {
            let units = self.units(stmts, prefix, &dissolved);
            let mut again = false;
            for unit in &units {
                if let Some(key) = &unit.key
                    && self.says_nothing(unit, key)
                {
                    dissolved.insert(key.clone());
                    again = true;
                }
            }
            if again {
                continue;
            }
            match order(units) {
                Ok(units) => break units,
                Err(key) => {
                    dissolved.insert(key);
                }
            }
        };
        if units.len() > MOST_UNITS {
            return self.stages(units, prefix, wanted);
        }
        self.items(units, prefix, wanted)
    }

    /// The items of units in order.
    fn items(
        &self,
        units: Vec<Unit<'_>>,
        prefix: &[Arc<str>],
        wanted: &FxHashSet<Var>,
    ) -> Vec<Item> {
        let mut after = wanted.clone();
        let mut items = Vec::new();
        for unit in units.into_iter().rev() {
            match &unit.key {
                Some(key) => items.push(Item::Child(Box::new(self.module(key, &unit, &after)))),
                None => items.extend(unit.stmts.iter().map(|s| self.item(s, prefix))),
            }
            for stmt in &unit.stmts {
                stmt.reads_all(&mut |v| {
                    after.insert(v);
                });
            }
        }
        items.reverse();
        items
    }

    /// Units cut into stages, each a module, where few values pass from one to the next.
    fn stages(
        &self,
        mut units: Vec<Unit<'_>>,
        prefix: &[Arc<str>],
        wanted: &FxHashSet<Var>,
    ) -> Vec<Item> {
        let crossing = crossing(&units);
        let mut cuts = vec![units.len()];
        let mut at = 0;
        while units.len() - at > MOST_UNITS {
            let window = at + MOST_UNITS / 2..=at + MOST_UNITS;
            let best =
                window.min_by_key(|&i| (crossing.get(i).copied().unwrap_or(0), units.len() - i));
            at = best.unwrap_or(units.len());
            cuts.push(at);
        }
        cuts.sort_unstable();
        let mut after = wanted.clone();
        let mut items = Vec::new();
        cuts.pop();
        let mut number = cuts.len();
        cuts.insert(0, 0);
        while let Some(cut) = cuts.pop() {
            let stage = units.split_off(cut);
            let mut path = prefix.to_vec();
            path.push(format!("stage{number}").into());
            number = number.saturating_sub(1);
            let (inputs, results) = self.interface(&stage_stmts(&stage), &after);
            let wanted = results.iter().copied().collect();
            for stmt in stage_stmts(&stage) {
                stmt.reads_all(&mut |v| {
                    after.insert(v);
                });
            }
            let body = Body { items: self.items(stage, prefix, &wanted), results };
            let (base, presence) = (prefix.to_vec(), Presence::Always);
            let module = Module { id: 0, path, base, body, inputs, presence };
            items.push(Item::Child(Box::new(module)));
        }
        items.reverse();
        items
    }

    fn units<'s>(
        &self,
        stmts: &[&'s Stmt],
        prefix: &[Arc<str>],
        dissolved: &FxHashSet<Names>,
    ) -> Vec<Unit<'s>> {
        let mut units: Vec<Unit<'s>> = Vec::new();
        let mut by_key: FxHashMap<Names, usize> = FxHashMap::default();
        for (first, &stmt) in stmts.iter().enumerate() {
            let module = self.place(stmt).module;
            let below = module.starts_with(prefix);
            let key = (prefix.len() + 1..=module.len())
                .filter(|_| below)
                .map(|n| module.get(..n).unwrap_or_default().to_vec())
                .find(|k| !dissolved.contains(k));
            match &key {
                Some(k) => match by_key.get(k).and_then(|&i| units.get_mut(i)) {
                    Some(unit) => unit.stmts.push(stmt),
                    None => {
                        by_key.insert(k.clone(), units.len());
                        units.push(Unit { key, stmts: vec![stmt], first });
                    }
                },
                None => units.push(Unit { key, stmts: vec![stmt], first }),
            }
        }
        units
    }

    /// Whether a module is not worth a struct.
    fn says_nothing(&self, unit: &Unit<'_>, key: &[Arc<str>]) -> bool {
        if unit.stmts.len() < 2 {
            return true;
        }
        let weighted = unit.stmts.iter().any(|s| {
            let mut found = false;
            s.reads_all(&mut |v| found |= is_big(self.program, v));
            found
        });
        let next = |s: &&Stmt| self.place(s).module.get(key.len()).cloned();
        let nexts: FxHashSet<Option<Arc<str>>> = unit.stmts.iter().map(next).collect();
        let numbered = |n: &Option<Arc<str>>| {
            n.as_ref().is_some_and(|n| n.chars().all(|c| c.is_ascii_digit()))
        };
        let list = nexts.iter().all(numbered);
        let only = nexts.len() == 1 && !nexts.contains(&None);
        !weighted || list || only
    }

    /// What statements read from outside, by first use, and which of their values are read after
    /// them.
    fn interface(&self, stmts: &[&Stmt], after: &FxHashSet<Var>) -> (Vec<Var>, Vec<Var>) {
        let made: FxHashSet<Var> = stmts.iter().flat_map(|s| made_all(s)).collect();
        let mut inputs = Vec::new();
        for stmt in stmts {
            stmt.reads_all(&mut |v| {
                let outside = matches!(self.program.info(v).source, Source::Param | Source::Made);
                if outside && !made.contains(&v) && !inputs.contains(&v) {
                    inputs.push(v);
                }
            });
        }
        self.by_position(&mut inputs);
        let mut results = Vec::new();
        for stmt in stmts {
            results.extend(stmt.made().iter().copied().filter(|v| after.contains(v)));
        }
        (inputs, results)
    }

    /// Puts the inputs of the program among values in the order that the program has them in.
    fn by_position(&self, values: &mut [Var]) {
        let position = |v: &Var| self.program.params.iter().position(|p| p == v);
        let mut inputs: Vec<Var> =
            values.iter().copied().filter(|v| position(v).is_some()).collect();
        inputs.sort_by_key(position);
        let slots = values.iter_mut().filter(|v| position(v).is_some());
        for (slot, input) in slots.zip(inputs) {
            *slot = input;
        }
    }

    fn module(&self, key: &[Arc<str>], unit: &Unit<'_>, after: &FxHashSet<Var>) -> Module {
        let (inputs, results) = self.interface(&unit.stmts, after);
        let wanted = results.iter().copied().collect();
        let items = self.level(&unit.stmts, key, &wanted);
        let (path, base) = (key.to_vec(), key.to_vec());
        let body = Body { items, results };
        Module { id: 0, path, base, body, inputs, presence: Presence::Always }
    }

    fn item(&self, stmt: &Stmt, prefix: &[Arc<str>]) -> Item {
        match stmt {
            Stmt::If { condition, then, other, vars, .. } => Item::If {
                condition: *condition,
                then: self.block(then, prefix),
                other: self.block(other, prefix),
                vars: vars.clone(),
            },
            Stmt::Loop(l) => Item::Loop { head: l.clone(), body: self.block(&l.block, prefix) },
            _ => Item::Stmt(stmt.clone(), self.place(stmt).layer),
        }
    }
}

/// What a statement and its blocks make, parameters of blocks too.
pub(super) fn made_all(stmt: &Stmt) -> Vec<Var> {
    let mut out = stmt.made().to_vec();
    if let Stmt::Loop(l) = stmt {
        out.extend([l.trip, l.holds]);
        out.extend(&l.carried);
    }
    for block in stmt.blocks() {
        out.extend(block.stmts.iter().flat_map(made_all));
    }
    out
}

/// Whether a value is a tensor that is loaded rather than written down.
pub(super) fn is_big(program: &Program, var: Var) -> bool {
    let info = program.info(var);
    match info.source {
        Source::Weight(_) | Source::Turned(_) | Source::Literal(_) => {
            super::literal::is_loaded(info)
        }
        _ => false,
    }
}

/// Units in an order in which each comes after what it reads, as near as possible to the order
/// that they are in; or the path of a module that cannot be computed at one place.
fn order(units: Vec<Unit<'_>>) -> Result<Vec<Unit<'_>>, Names> {
    let mut maker: FxHashMap<Var, usize> = FxHashMap::default();
    for (i, unit) in units.iter().enumerate() {
        for stmt in &unit.stmts {
            for v in stmt.made() {
                maker.insert(*v, i);
            }
        }
    }
    // What acts stays in order.
    let mut last_act: Option<usize> = None;
    let mut needs: Vec<FxHashSet<usize>> = vec![FxHashSet::default(); units.len()];
    for (i, unit) in units.iter().enumerate() {
        let mut mine = FxHashSet::default();
        for stmt in &unit.stmts {
            stmt.reads_all(&mut |v| {
                if let Some(&m) = maker.get(&v)
                    && m != i
                {
                    mine.insert(m);
                }
            });
        }
        if let Some(last) = last_act
            && last != i
        {
            mine.insert(last);
        }
        if unit.stmts.iter().any(|s| s.acts()) {
            last_act = Some(i);
        }
        if let Some(n) = needs.get_mut(i) {
            *n = mine;
        }
    }
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); units.len()];
    let mut left: Vec<usize> = needs.iter().map(FxHashSet::len).collect();
    for (i, n) in needs.iter().enumerate() {
        for &m in n {
            if let Some(u) = users.get_mut(m) {
                u.push(i);
            }
        }
    }
    let mut ready: BTreeMap<usize, usize> = BTreeMap::new();
    for (i, unit) in units.iter().enumerate() {
        if left.get(i) == Some(&0) {
            ready.insert(unit.first, i);
        }
    }
    let mut sequence = Vec::new();
    while let Some((_, i)) = ready.pop_first() {
        sequence.push(i);
        for &u in users.get(i).into_iter().flatten() {
            if let Some(l) = left.get_mut(u) {
                *l -= 1;
                if *l == 0
                    && let Some(unit) = units.get(u)
                {
                    ready.insert(unit.first, u);
                }
            }
        }
    }
    if sequence.len() < units.len() {
        let stuck = units.iter().enumerate().filter(|(i, _)| left.get(*i) != Some(&0));
        let key = stuck.filter_map(|(_, u)| u.key.clone()).next();
        return Err(key.unwrap_or_default());
    }
    let mut units: Vec<Option<Unit<'_>>> = units.into_iter().map(Some).collect();
    Ok(sequence.into_iter().filter_map(|i| units.get_mut(i).and_then(Option::take)).collect())
}
