//! Infers types again, in order, and keeps what they say more.
//!
//! 1. A result whose type is not known, or has open sizes, takes the inferred type.
//! 2. A size that a node names by a symbol of its own, and that inference finds to be a number
//!    or an expression over other symbols, is replaced by it everywhere.
//! 3. The same for a symbol that `dims_of` binds, when the elements of its operand are known
//!    from the arithmetic that makes them.
//! 4. The number of elements that `nonzero`, `unique` and `compress` find is at most the
//!    number of elements there are.
//!
//! Sizes of inputs and of parameters of regions stay as they are declared.

use rustc_hash::FxHashSet;

use super::editor::reachable_regions;
use super::mentions::Mentions;
use super::symbols::{Binder, Step, binders, walk_inner_first};
use super::{Editor, Outcome, Pass, PassCx, Rewrite, place, text};
use crate::dim::{Dim, Range, numel};
use crate::entity::{FuncId, NodeId, SymbolId, ValueId};
use crate::infer::control::Bindings;
use crate::infer::facts::Facts;
use crate::infer::infer;
use crate::op::Op;
use crate::types::Type;

/// The pass.
pub struct Propagate;

impl Pass for Propagate {
    fn name(&self) -> &'static str {
        "propagate"
    }
    fn doc(&self) -> &'static str {
        "infers types again and keeps what is known more exactly than before"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        let start = cx.applied();
        for func in edit.functions() {
            function(edit, cx, func);
        }
        Outcome::of(cx.applied() - start)
    }
}

/// What is known so far of one function.
struct Known {
    func: FuncId,
    binders: rustc_hash::FxHashMap<SymbolId, Binder>,
    mentions: Mentions,
    /// Symbols whose value is had by now.
    bound: FxHashSet<SymbolId>,
    bindings: Bindings,
    facts: Facts,
}

fn function(edit: &mut Editor<'_>, cx: &mut PassCx, func: FuncId) {
    let mut steps = Vec::new();
    walk_inner_first(edit.func(func), &mut |s| steps.push(s));
    let f = edit.func(func);
    let binders = binders(f);
    let mut known = Known {
        func,
        mentions: Mentions::of(f, &reachable_regions(f), &binders),
        binders,
        bound: FxHashSet::default(),
        bindings: Bindings::default(),
        facts: Facts::new(),
    };
    for step in steps {
        match step {
            Step::Enter(region) => {
                if !known.bindings.is_empty() {
                    edit.substitute_params(func, region, &known.bindings);
                }
                if !known.binders.is_empty() {
                    let f = edit.func(func);
                    for &param in f.regions.get(region).into_iter().flat_map(|r| &r.params) {
                        super::symbols::of_type(f.ty(param), &mut |s| {
                            known.bound.insert(s);
                        });
                    }
                }
            }
            Step::Node(_, node) => known.visit(edit, cx, node),
        }
    }
}

impl Known {
    fn visit(&mut self, edit: &mut Editor<'_>, cx: &mut PassCx, node: NodeId) {
        if !self.bindings.is_empty() {
            edit.substitute_in(self.func, node, &self.bindings);
        }
        if !cx.exhausted() {
            self.dims_of(edit, cx, node);
            self.results(edit, cx, node);
            self.counts(edit, cx, node);
        }
        if !self.binders.is_empty() {
            let f = edit.func(self.func);
            let n = &f.nodes[node];
            if let Op::DimsOf(d) = &n.op {
                d.dims.iter().for_each(|d| {
                    d.symbols(&mut |s| {
                        self.bound.insert(s);
                    });
                });
            }
            for v in n.outputs() {
                super::symbols::of_type(f.ty(v), &mut |s| {
                    self.bound.insert(s);
                });
            }
        }
        self.facts.visit(edit.module(), edit.func(self.func), node);
    }

    /// The symbol that a node binds by this size, if a more exact size may take its place.
    fn own_symbol(&self, node: NodeId, size: &Dim, exact: &Dim) -> Option<SymbolId> {
        let symbol = size.as_symbol()?;
        if self.binders.get(&symbol) != Some(&Binder::Node(node)) || exact.is_any() {
            return None;
        }
        let mut usable = !self.bindings.contains_key(&symbol);
        exact.symbols(&mut |s| usable &= s != symbol && self.bound.contains(&s));
        usable.then_some(symbol)
    }

    fn bind(
        &mut self,
        edit: &mut Editor<'_>,
        cx: &mut PassCx,
        node: NodeId,
        symbol: SymbolId,
        exact: Dim,
        why: &'static str,
    ) {
        let f = edit.func(self.func);
        // A size that its declared range excludes, or another node, is left for the program to
        // fail on.
        if exact.as_known().is_some_and(|k| !f.symbol_range(symbol).contains(k)) {
            return;
        }
        let new = Bindings::from_iter([(symbol, exact.clone())]);
        if edit.contradicted(self.func, &self.mentions, [&self.bindings, &new]).is_some() {
            return;
        }
        let f = edit.func(self.func);
        let (name, size) = (f.dim_text(&Dim::symbol(symbol)), f.dim_text(&exact));
        let (module, func) = (edit.module(), self.func);
        cx.applied_one(|| Rewrite {
            number: 0,
            pass: "propagate",
            reason: why,
            func: f.name.clone(),
            place: place(module, func, node),
            before: vec![text::line(f, node)],
            after: vec![format!("{name} = {size}")],
            bytes: 0,
        });
        // What was bound before may mention the symbol only through a cycle, which
        // `own_symbol` excludes.
        self.mentions.moved(symbol, &exact);
        self.bindings.insert(symbol, exact);
        edit.substitute_in(self.func, node, &self.bindings);
    }

    fn dims_of(&mut self, edit: &mut Editor<'_>, cx: &mut PassCx, node: NodeId) {
        let n = &edit.func(self.func).nodes[node];
        let Op::DimsOf(d) = &n.op else { return };
        let Some(elems) = n.operand(0).and_then(|v| self.facts.get(v)) else { return };
        if elems.len() != d.dims.len() {
            return;
        }
        let pairs: Vec<(Dim, Dim)> = d.dims.iter().cloned().zip(elems.iter().cloned()).collect();
        for (size, exact) in pairs {
            if let Some(symbol) = self.own_symbol(node, &size, &exact) {
                self.bind(edit, cx, node, symbol, exact, "the elements are known");
            }
        }
    }

    fn results(&mut self, edit: &mut Editor<'_>, cx: &mut PassCx, node: NodeId) {
        let f = edit.func(self.func);
        let n = &f.nodes[node];
        if n.results.is_empty() || matches!(n.op, Op::Constant(_) | Op::Opaque(_)) {
            return;
        }
        let Ok(types) = infer(edit.module(), f, &n.op, &n.operands) else { return };
        let results: Vec<Option<ValueId>> = n.results.to_vec();
        for (value, exact) in results.into_iter().zip(types) {
            let Some(value) = value else { continue };
            self.result(edit, cx, node, value, &exact);
        }
    }

    fn result(
        &mut self,
        edit: &mut Editor<'_>,
        cx: &mut PassCx,
        node: NodeId,
        value: ValueId,
        exact: &Type,
    ) {
        let have = edit.func(self.func).ty(value).clone();
        if have == *exact {
            return;
        }
        if let (Type::Tensor(h), Type::Tensor(e)) = (&have, exact)
            && h.dtype == e.dtype
            && h.rank() == e.rank()
        {
            for (size, exact) in h.shape.iter().zip(&e.shape) {
                if let Some(symbol) = self.own_symbol(node, size, exact) {
                    let why = "the size follows from the operands";
                    self.bind(edit, cx, node, symbol, exact.clone(), why);
                }
            }
        }
        let have = edit.func(self.func).ty(value).clone();
        let Some(better) = merged(&have, exact) else { return };
        if better == have || cx.exhausted() {
            return;
        }
        let (module, f, func) = (edit.module(), edit.func(self.func), self.func);
        cx.applied_one(|| Rewrite {
            number: 0,
            pass: "propagate",
            reason: "the operands say more of the type",
            func: f.name.clone(),
            place: place(module, func, node),
            before: vec![text::line(f, node)],
            after: Vec::new(),
            bytes: 0,
        });
        let hint = edit.func(self.func).nodes[node].op.name();
        let better = edit.name_open(self.func, &better, hint);
        edit.refine(self.func, value, better);
    }

    /// Bounds of counts that are found at run time.
    fn counts(&mut self, edit: &mut Editor<'_>, cx: &mut PassCx, node: NodeId) {
        let f = edit.func(self.func);
        let n = &f.nodes[node];
        let most = |axis: Option<i64>| {
            let ty = f.ty(n.operand(0)?).as_tensor()?;
            match axis {
                None => Some(numel(&ty.shape)),
                Some(a) => ty.shape.get(usize::try_from(a).ok()?).cloned(),
            }
        };
        let (most, axis) = match &n.op {
            Op::Nonzero(_) => (most(None), 1),
            Op::Unique(op) => (most(op.axis), op.axis.unwrap_or(0)),
            Op::Compress(op) => (most(op.axis), op.axis.unwrap_or(0)),
            _ => return,
        };
        let (Some(most), Some(value), Ok(axis)) = (most, n.result(0), usize::try_from(axis)) else {
            return;
        };
        let size = f.ty(value).as_tensor().and_then(|t| t.shape.get(axis)?.as_symbol());
        let Some(symbol) = size.filter(|s| self.binders.get(s) == Some(&Binder::Node(node))) else {
            return;
        };
        let most = most.range(&|s| f.symbol_range(s)).max;
        let old = f.symbol_range(symbol);
        let new = old.intersect(&Range::new(Some(0), most));
        if new == old || new.is_empty() || cx.exhausted() {
            return;
        }
        let itself = Bindings::from_iter([(symbol, Dim::symbol(symbol))]);
        edit.narrow(self.func, symbol, new);
        if edit.contradicted(self.func, &self.mentions, [&self.bindings, &itself]).is_some() {
            edit.narrow(self.func, symbol, old);
            return;
        }
        let (module, f, func) = (edit.module(), edit.func(self.func), self.func);
        cx.applied_one(|| Rewrite {
            number: 0,
            pass: "propagate",
            reason: "there are no more elements to find",
            func: f.name.clone(),
            place: place(module, func, node),
            before: vec![text::line(f, node)],
            after: Vec::new(),
            bytes: 0,
        });
    }
}

/// The type that says what either says; `None` when they contradict each other.
fn merged(have: &Type, exact: &Type) -> Option<Type> {
    if have.refines(exact) {
        return Some(have.clone());
    }
    match (have, exact) {
        (Type::Unknown, _) => Some(exact.clone()),
        (Type::Unranked(d), Type::Tensor(t)) if *d == t.dtype => Some(exact.clone()),
        (Type::Tensor(h), Type::Tensor(e)) if h.dtype == e.dtype && h.rank() == e.rank() => {
            let mut shape = h.shape.clone();
            for (size, exact) in shape.iter_mut().zip(&e.shape) {
                match (&*size, exact) {
                    (_, Dim::Any) => {}
                    (Dim::Any, _) => *size = exact.clone(),
                    (Dim::Expr(_), Dim::Known(_)) => *size = exact.clone(),
                    (Dim::Known(a), Dim::Known(b)) if a != b => return None,
                    _ => {}
                }
            }
            Some(Type::tensor(h.dtype, shape))
        }
        (Type::Sequence(h), Type::Sequence(e)) => merged(h, e).map(|t| Type::Sequence(Box::new(t))),
        (Type::Optional(h), Type::Optional(e)) => merged(h, e).map(|t| Type::Optional(Box::new(t))),
        _ => None,
    }
}
