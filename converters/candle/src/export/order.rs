//! The order of statements for readers: what is made of a value alone comes right after it.

use airconv_ir::dim::Dim;
use airconv_ir::entity::SymbolId;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::program::{Block, Callee, Program, Source, Stmt, Var};

/// The same program with chains of calls in one place: a call whose only operand besides weights
/// is a value that nothing else reads follows the call that makes the value. Where the source says
/// nothing of modules, the places of statements do, and they stay.
pub(super) fn chained(program: &Program) -> Program {
    let mut uses: FxHashMap<Var, usize> = FxHashMap::default();
    program.body.reads_all(&mut |v| *uses.entry(v).or_default() += 1);
    if program.body.stmts.iter().all(|s| s.path().is_empty()) {
        return program.clone();
    }
    let mut known = FxHashSet::default();
    for &param in &program.params {
        symbols(&program.info(param).shape, &mut known);
    }
    let mut out = program.clone();
    Chains { program, uses, known }.block(&mut out.body);
    out
}

fn symbols(shape: &[Dim], into: &mut FxHashSet<SymbolId>) {
    for dim in shape {
        dim.symbols(&mut |s| {
            into.insert(s);
        });
    }
}

/// Whether a statement is a layer of a module.
fn is_layer_in(stmt: &Stmt, path: &[std::sync::Arc<str>]) -> bool {
    let layer = matches!(stmt, Stmt::Let { call, .. } if matches!(call.callee, Callee::Layer(_)));
    layer && stmt.path().starts_with(path)
}

struct Chains<'p> {
    program: &'p Program,
    /// How often each value is read.
    uses: FxHashMap<Var, usize>,
    /// Sizes that the inputs tell.
    known: FxHashSet<SymbolId>,
}

impl Chains<'_> {
    fn block(&self, block: &mut Block) {
        let mut stmts: Vec<Option<Stmt>> =
            std::mem::take(&mut block.stmts).into_iter().map(Some).collect();
        let mut maker: FxHashMap<Var, usize> = FxHashMap::default();
        let mut next: FxHashMap<usize, usize> = FxHashMap::default();
        let mut follows: FxHashSet<usize> = FxHashSet::default();
        for (at, stmt) in stmts.iter().enumerate().filter_map(|(i, s)| Some((i, s.as_ref()?))) {
            let before = self.operand(stmt).and_then(|v| maker.get(&v).copied());
            let same = |i: &usize| {
                let other = stmts.get(*i).and_then(Option::as_ref);
                other.is_some_and(|o| o.path() == stmt.path() || is_layer_in(o, stmt.path()))
            };
            // Of several results only one can be gone on with at once.
            if let Some(before) = before.filter(same)
                && !next.contains_key(&before)
            {
                next.insert(before, at);
                follows.insert(at);
            }
            if let Stmt::Let { vars, .. } = stmt {
                maker.extend(vars.iter().map(|v| (*v, at)));
            }
        }
        for start in (0..stmts.len()).filter(|i| !follows.contains(i)) {
            let mut at = Some(start);
            while let Some(i) = at {
                block.stmts.extend(stmts.get_mut(i).and_then(Option::take));
                at = next.get(&i).copied();
            }
        }
        for stmt in &mut block.stmts {
            match stmt {
                Stmt::If { then, other, .. } => {
                    self.block(then);
                    self.block(other);
                }
                Stmt::Loop(l) => self.block(&mut l.block),
                _ => {}
            }
        }
    }

    /// The value that a call is made of alone, if nothing else reads it and all sizes that the call
    /// names are known with it.
    fn operand(&self, stmt: &Stmt) -> Option<Var> {
        let Stmt::Let { vars, call, .. } = stmt else { return None };
        let [_] = vars[..] else { return None };
        let made = |v: &Var| matches!(self.program.info(*v).source, Source::Made | Source::Param);
        let mut operands = call.vars().filter(made);
        let operand = operands.next()?;
        if operands.next().is_some() || self.uses.get(&operand) != Some(&1) {
            return None;
        }
        let mut told = FxHashSet::default();
        symbols(&self.program.info(operand).shape, &mut told);
        let mut all = true;
        for dim in call.dims() {
            dim.symbols(&mut |s| all &= told.contains(&s) || self.known.contains(&s));
        }
        all.then_some(operand)
    }
}
