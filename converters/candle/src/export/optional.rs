//! Modules that are alike but for one module within, which some of them lack: the block of a
//! residual network whose shortcut projects its input, and the one whose shortcut is the input.
//!
//! Where a module would be like another one if it applied to one of its values what the other
//! has there, it is given such a module, marked as absent, that passes the value on. The two are
//! then printed alike, with an optional field.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::class::plain_name;
use super::tree::{Item, Module, Presence, children};
use crate::program::{Arg, Call, Callee, Layer, Program, Source, Stmt, Var};

/// What a module lacks: the module that has it, and at which item.
struct Lack {
    like: Module,
    at: usize,
}

/// Gives modules what they lack; pairs of a module and the one that it should be like now.
/// Those of `except` stay as they are.
pub(super) fn complete(
    program: &mut Program,
    root: &mut Module,
    except: &BTreeSet<usize>,
) -> Vec<(usize, usize)> {
    let (lacks, optional) = find(program, root, except);
    let pairs = lacks.iter().map(|(a, lack)| (*a, lack.like.id)).collect();
    let mut next = count(root);
    apply(program, root, &lacks, &optional, &mut next);
    pairs
}

fn count(module: &Module) -> usize {
    let mut inner = Vec::new();
    children(&module.body, &mut inner);
    1 + inner.into_iter().map(count).sum::<usize>()
}

fn all<'m>(module: &'m Module, out: &mut Vec<&'m Module>) {
    out.push(module);
    let mut inner = Vec::new();
    children(&module.body, &mut inner);
    for m in inner {
        all(m, out);
    }
}

/// What modules lack, by their numbers, and the modules that are optional.
fn find(
    program: &Program,
    root: &Module,
    except: &BTreeSet<usize>,
) -> (BTreeMap<usize, Lack>, BTreeSet<usize>) {
    let mut modules = Vec::new();
    all(root, &mut modules);
    let mut like: BTreeMap<Vec<String>, Vec<&Module>> = BTreeMap::new();
    for &m in modules.iter().filter(|m| !m.path.is_empty() && !except.contains(&m.id)) {
        if let Some(key) = signature(program, m) {
            like.entry(key).or_default().push(m);
        }
    }
    let (mut lacks, mut optional) = (BTreeMap::new(), BTreeSet::new());
    let mut taken: BTreeSet<&Vec<String>> = BTreeSet::new();
    for (key, having) in &like {
        let Some(&first) = having.first().filter(|_| !taken.contains(key)) else { continue };
        for at in (0..first.body.items.len()).filter(|&at| is_candidate(first, at)) {
            let mut less = key.clone();
            // The name and the numbers of values come first.
            less.remove(at + 1);
            let Some((less, lacking)) = like.get_key_value(&less).filter(|l| !taken.contains(l.0))
            else {
                continue;
            };
            let fits = |a: &&&Module| aligned(program, a, first, at, Var(0)).is_some();
            if lacking.iter().filter(fits).count() < lacking.len() {
                continue;
            }
            taken.extend([key, less]);
            for a in lacking {
                lacks.insert(a.id, Lack { like: first.clone(), at });
            }
            for b in having {
                if let Some(Item::Child(m)) = b.body.items.get(at) {
                    optional.insert(m.id);
                }
            }
            break;
        }
    }
    (lacks, optional)
}

/// What the text of a module looks like, item by item; `None` with control flow.
fn signature(program: &Program, module: &Module) -> Option<Vec<String>> {
    let (name, _) = plain_name(program, module);
    let mut out = vec![format!("{name} {} {}", module.inputs.len(), module.body.results.len())];
    for item in &module.body.items {
        out.push(match item {
            Item::Stmt(Stmt::Let { vars, call, .. }, path) => {
                let below = path.as_ref().and_then(|p| p.strip_prefix(&module.base[..]));
                format!("{} {below:?} {}", callee(call), vars.len())
            }
            Item::Child(m) => format!("{:?}", m.path.strip_prefix(&module.path[..])?),
            _ => return None,
        });
    }
    Some(out)
}

/// What is called, whatever its numbers.
fn callee(call: &Call) -> String {
    match call.callee {
        Callee::Func(func) => func.name.to_owned(),
        Callee::Layer(Layer::GroupNorm { .. }) => "GroupNorm".to_owned(),
        Callee::Layer(layer) => layer.type_name().to_owned(),
    }
}

/// Whether an item is a module that others may lack: of one value and one result.
fn is_candidate(module: &Module, at: usize) -> bool {
    let Some(Item::Child(m)) = module.body.items.get(at) else { return false };
    let named = m.base.len() > module.base.len() && m.base.starts_with(&module.base);
    named && m.inputs.len() == 1 && m.body.results.len() == 1
}

/// The values of one module by those of another one.
struct Pairs<'p> {
    program: &'p Program,
    of: FxHashMap<Var, Var>,
    /// What the other module makes and this one lacks.
    made: Var,
    /// What stands for it.
    stand_in: Var,
}

impl Pairs<'_> {
    /// What this module reads where it is completed; `None` where it reads something else.
    fn operand(&self, mine: Var, other: Var) -> Option<Var> {
        match self.of.get(&other) {
            Some(&same) if same != mine => None,
            Some(_) if other == self.made => Some(self.stand_in),
            Some(_) => Some(mine),
            None => {
                let loaded =
                    |v| !matches!(self.program.info(v).source, Source::Made | Source::Param);
                (loaded(mine) && loaded(other)).then_some(mine)
            }
        }
    }

    fn list(&self, mine: &[Var], other: &[Var]) -> Option<Vec<Var>> {
        let same = mine.len() == other.len();
        let both = mine.iter().zip(other);
        same.then(|| both.map(|(&a, &b)| self.operand(a, b)).collect()).flatten()
    }

    fn arg(&self, mine: &Arg, other: &Arg) -> Option<Arg> {
        Some(match (mine, other) {
            (Arg::Tensor(a), Arg::Tensor(b)) => Arg::Tensor(self.operand(*a, *b)?),
            (Arg::Maybe(Some(a)), Arg::Maybe(Some(b))) => Arg::Maybe(Some(self.operand(*a, *b)?)),
            (Arg::Tensors(a), Arg::Tensors(b)) => Arg::Tensors(self.list(a, b)?),
            (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => a.clone(),
            _ => return None,
        })
    }

    fn item(&mut self, mine: &Item, other: &Item) -> Option<Item> {
        match (mine, other) {
            (
                Item::Stmt(Stmt::Let { vars, call, path }, place),
                Item::Stmt(Stmt::Let { vars: made, call: like, .. }, _),
            ) if call.args.len() == like.args.len() => {
                let args = call.args.iter().zip(&like.args).map(|(a, b)| self.arg(a, b));
                let call = Call { callee: call.callee, args: args.collect::<Option<_>>()? };
                self.of.extend(made.iter().copied().zip(vars.iter().copied()));
                let stmt = Stmt::Let { vars: vars.clone(), call, path: path.clone() };
                Some(Item::Stmt(stmt, place.clone()))
            }
            (Item::Child(a), Item::Child(b)) => {
                // What is within reads the same values.
                let inputs = self.list(&a.inputs, &b.inputs)?;
                let results = [&a.body.results, &b.body.results];
                if inputs != a.inputs || results[0].len() != results[1].len() {
                    return None;
                }
                self.of.extend(results[1].iter().copied().zip(results[0].iter().copied()));
                Some(mine.clone())
            }
            _ => None,
        }
    }
}

/// A module with what it lacks; `None` where it is otherwise than the module that has it.
fn aligned(
    program: &Program,
    module: &Module,
    like: &Module,
    at: usize,
    stand_in: Var,
) -> Option<Module> {
    let Some(Item::Child(child)) = like.body.items.get(at) else { return None };
    let (&[input], &[made]) = (&child.inputs[..], &child.body.results[..]) else { return None };
    let of = like.inputs.iter().copied().zip(module.inputs.iter().copied()).collect();
    let mut pairs = Pairs { program, of, made, stand_in };
    let mut mine = module.body.items.iter();
    let mut out = module.clone();
    out.body.items.clear();
    for (i, other) in like.body.items.iter().enumerate() {
        if i != at {
            out.body.items.push(pairs.item(mine.next()?, other)?);
            continue;
        }
        let passed = *pairs.of.get(&input)?;
        pairs.of.insert(made, passed);
        let mut absent = (**child).clone();
        absent.presence = Presence::Absent { like: child.id };
        absent.inputs = vec![passed];
        absent.body.results = vec![stand_in];
        let below = |path: &[_]| path.get(like.path.len()..).unwrap_or_default().to_vec();
        absent.path = [&module.path[..], &below(&child.path)].concat();
        absent.base = [&module.base[..], &below(&child.base)].concat();
        out.body.items.push(Item::Child(Box::new(absent)));
    }
    out.body.results = pairs.list(&module.body.results, &like.body.results)?;
    mine.next().is_none().then_some(out)
}

/// Completes the modules within a module, then the module.
fn apply(
    program: &mut Program,
    module: &mut Module,
    lacks: &BTreeMap<usize, Lack>,
    optional: &BTreeSet<usize>,
    next: &mut usize,
) {
    each_child(&mut module.body.items, &mut |m| apply(program, m, lacks, optional, next));
    if optional.contains(&module.id) {
        module.presence = Presence::Optional;
    }
    let Some(Lack { like, at }) = lacks.get(&module.id) else { return };
    let stand_in = Var(program.vars.len() as u32);
    let Some(mut done) = aligned(program, module, like, *at, stand_in) else { return };
    let Some(Item::Child(absent)) = done.body.items.get_mut(*at) else { return };
    absent.id = *next;
    *next += 1;
    let Some(&passed) = absent.inputs.first() else { return };
    let mut info = program.info(passed).clone();
    info.source = Source::Made;
    program.vars.push(info);
    *module = done;
}

fn each_child(items: &mut [Item], f: &mut dyn FnMut(&mut Module)) {
    for item in items {
        match item {
            Item::Child(m) => f(m),
            Item::If { then, other, .. } => {
                each_child(&mut then.items, f);
                each_child(&mut other.items, f);
            }
            Item::Loop { body, .. } => each_child(&mut body.items, f),
            Item::Stmt(..) => {}
        }
    }
}
