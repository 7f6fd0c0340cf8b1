//! The symbols of a program as PyTorch names them, and values that it may have been traced with.

use airconv_ir::dim::{Dim, Range};
use airconv_ir::entity::SymbolId;
use airconv_ir::module::ArgKindRole;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

use super::expr;
use super::records::{RangeConstraint, SymExpr, SymInt};
use crate::export::program::{Input, Kind, Program};

/// Sizes that programs are commonly traced with, besides small primes.
const COMMON: &[i64] = &[4, 8, 16, 32, 64, 128, 224, 256, 512, 1024, 3, 2, 1];
const PRIMES: &[i64] = &[7, 11, 13, 17, 19, 23, 29, 31, 37, 41];

/// A symbol as PyTorch has it.
struct Named {
    /// `s...` for a size of an input, `u...` for one that is found at run time.
    name: String,
    backed: bool,
    range: Range,
}

/// The symbols that a program uses.
pub(super) struct Symbols {
    named: FxHashMap<SymbolId, Named>,
    hints: FxHashMap<SymbolId, i64>,
}

impl Symbols {
    pub(super) fn of(program: &Program) -> Self {
        let backed = of_inputs(program);
        let mut all = backed.clone();
        for var in &program.vars {
            for_each_dim(&var.kind, &mut |d| {
                d.symbols(&mut |s| {
                    all.insert(s);
                })
            });
        }
        let mut used = BTreeSet::new();
        let mut named = FxHashMap::default();
        // Those that have a name of PyTorch's kind keep it.
        let (own, rest): (Vec<SymbolId>, Vec<SymbolId>) = all.into_iter().partition(|&s| {
            let prefix = if backed.contains(&s) { 's' } else { 'u' };
            program.symbols.get(s).is_some_and(|x| is_numbered(&x.name, prefix))
        });
        for s in own.into_iter().chain(rest) {
            let Some(symbol) = program.symbols.get(s) else { continue };
            let backed = backed.contains(&s);
            let name = fresh(&symbol.name, backed, &mut used);
            named.insert(s, Named { name, backed, range: symbol.range });
        }
        let hints = hints(program, &named);
        Self { named, hints }
    }

    /// The text of an expression.
    pub(super) fn text(&self, dim: &Dim) -> Option<String> {
        expr::write(dim, &|s| match self.named.get(&s) {
            Some(n) if n.backed => format!("Symbol('{}', positive=True, integer=True)", n.name),
            Some(n) => format!("Symbol('{}', integer=True)", n.name),
            None => format!("Symbol('{s}', integer=True)"),
        })
    }
    /// A size; a size that is not known at all is written as -1, which no tensor has.
    pub(super) fn size(&self, dim: &Dim) -> SymInt {
        if let Some(n) = dim.as_known() {
            return SymInt::AsInt(n);
        }
        let Some(expr_str) = self.text(dim) else { return SymInt::AsInt(-1) };
        let hint = dim.eval(&|s| self.hints.get(&s).copied());
        let hint = hint.map(|n| serde_json::json!({ "as_int": n }));
        SymInt::AsExpr(SymExpr { expr_str, hint })
    }
    /// The ranges of all symbols.
    pub(super) fn ranges(&self) -> BTreeMap<String, RangeConstraint> {
        let range = |n: &Named| RangeConstraint {
            min_val: Some(n.range.min.unwrap_or(0)),
            max_val: n.range.max,
        };
        self.named.values().map(|n| (n.name.clone(), range(n))).collect()
    }
}

fn is_numbered(name: &str, prefix: char) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|n| !n.is_empty() && n.len() < 10 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// A name that PyTorch takes for a symbol of the kind: a size of an input may be called anything
/// that begins with `s`, what is found at run time is numbered.
fn fresh(name: &str, backed: bool, used: &mut BTreeSet<String>) -> String {
    let prefix = if backed { 's' } else { 'u' };
    if is_numbered(name, prefix) && used.insert(name.to_owned()) {
        return name.to_owned();
    }
    if backed {
        let word: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let own = format!("s_{word}");
        if used.insert(own.clone()) {
            return own;
        }
    }
    let mut n = 0;
    loop {
        let numbered = format!("{prefix}{n}");
        if used.insert(numbered.clone()) {
            return numbered;
        }
        n += 1;
    }
}

fn for_each_dim(kind: &Kind, f: &mut dyn FnMut(&Dim)) {
    match kind {
        Kind::Tensor(ty) => ty.shape.iter().for_each(f),
        Kind::Int(dim) => f(dim),
    }
}

/// The symbols of sizes of what the caller gives.
fn of_inputs(program: &Program) -> BTreeSet<SymbolId> {
    let mut out = BTreeSet::new();
    for (input, var) in program.inputs.iter().zip(&program.graph.inputs) {
        let Input::User(kind) = input else { continue };
        let Some(info) = program.var(*var) else { continue };
        if matches!(kind, ArgKindRole::Tensor | ArgKindRole::Int) {
            for_each_dim(&info.kind, &mut |d| {
                d.symbols(&mut |s| {
                    out.insert(s);
                })
            });
        }
    }
    out
}

/// Values for the sizes of inputs for which all sizes of the program are possible: the first of a
/// few sets of values that has the fewest sizes below 1.
fn hints(program: &Program, named: &FxHashMap<SymbolId, Named>) -> FxHashMap<SymbolId, i64> {
    let mut backed: Vec<(&SymbolId, &Named)> = named.iter().filter(|(_, n)| n.backed).collect();
    backed.sort_by_key(|(s, _)| **s);
    if backed.is_empty() {
        return FxHashMap::default();
    }
    let mut dims: BTreeSet<&Dim> = BTreeSet::new();
    for var in &program.vars {
        if let Kind::Tensor(ty) = &var.kind {
            dims.extend(ty.shape.iter().filter(|d| d.as_known().is_none()));
        }
    }
    let within = |range: &Range, value: i64| {
        let low = range.min.unwrap_or(1).max(1);
        value.max(low).min(range.max.unwrap_or(i64::MAX))
    };
    let mut candidates: Vec<FxHashMap<SymbolId, i64>> = Vec::new();
    let distinct = backed.iter().zip(PRIMES.iter().cycle());
    candidates.push(distinct.map(|((s, n), p)| (**s, within(&n.range, *p))).collect());
    for &value in COMMON {
        candidates.push(backed.iter().map(|(s, n)| (**s, within(&n.range, value))).collect());
    }
    let mut best: Option<(usize, FxHashMap<SymbolId, i64>)> = None;
    for candidate in candidates {
        let bad = |d: &&&Dim| {
            let mut only_backed = true;
            d.symbols(&mut |s| only_backed &= candidate.contains_key(&s));
            only_backed && d.eval(&|s| candidate.get(&s).copied()).is_none_or(|n| n < 1)
        };
        let wrong = dims.iter().filter(bad).count();
        if best.as_ref().is_none_or(|(least, _)| wrong < *least) {
            best = Some((wrong, candidate));
        }
    }
    best.map(|(_, hints)| hints).unwrap_or_default()
}
