//! Removes what nothing uses.
//!
//! 1. A node whose results are not used is removed, unless it acts on the world. A node that
//!    may fail or draws random numbers goes too.
//! 2. A `dims_of` is removed when no size that it binds is used.
//! 3. An optional result that is not used is made absent.
//!
//! A node stays while something that stays mentions a symbol that it binds. Inputs of
//! functions stay: they are the program's interface. Tensors that lose their last user are
//! left to [`compact`](super::compact()).

use rustc_hash::{FxHashMap, FxHashSet};

use super::symbols::{Binder, binders, of_op, of_type};
use super::{Editor, Outcome, Pass, PassCx, Rewrite, effects, place, text};
use crate::entity::{EntityId, FuncId, NodeId, RegionId, SymbolId, ValueId};
use crate::module::{Def, Function, Module};
use crate::op::{Arity, Effects};

/// The pass.
pub struct Dce;

impl Pass for Dce {
    fn name(&self) -> &'static str {
        "dce"
    }
    fn doc(&self) -> &'static str {
        "removes nodes and optional results that nothing uses"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        let start = cx.applied();
        for func in edit.functions() {
            let live = Liveness::of(edit.module(), func);
            for &region in &live.regions {
                remove_dead(edit, cx, func, region, &live);
            }
            drop_results(edit, cx, func, &live);
        }
        Outcome::of(cx.applied() - start)
    }
}

/// What of a function is needed.
struct Liveness {
    nodes: Vec<bool>,
    values: Vec<bool>,
    /// Regions that live nodes carry, outer before inner.
    regions: Vec<RegionId>,
    binders: FxHashMap<SymbolId, Binder>,
}

impl Liveness {
    fn of(module: &Module, func: FuncId) -> Self {
        let f = &module.functions[func];
        let mut live = Self {
            nodes: vec![false; f.nodes.len()],
            values: vec![false; f.values.len()],
            regions: Vec::new(),
            binders: binders(f),
        };
        let mut nodes = Vec::new();
        live.region(module, func, f.body, &mut nodes);
        while let Some(node) = nodes.pop() {
            let n = &f.nodes[node];
            n.inputs().for_each(|v| live.value(f, v, &mut nodes));
            if !live.binders.is_empty() {
                let mut symbols = Vec::new();
                of_op(&n.op, &mut |s| symbols.push(s));
                for v in n.outputs() {
                    of_type(f.ty(v), &mut |s| symbols.push(s));
                }
                for symbol in symbols {
                    if let Some(Binder::Node(binder)) = live.binders.get(&symbol).copied() {
                        live.node(binder, &mut nodes);
                    }
                }
            }
            for region in n.regions() {
                live.region(module, func, region, &mut nodes);
            }
        }
        live
    }
    fn node(&mut self, node: NodeId, todo: &mut Vec<NodeId>) {
        if let Some(live) = self.nodes.get_mut(node.index())
            && !std::mem::replace(live, true)
        {
            todo.push(node);
        }
    }
    fn value(&mut self, f: &Function, value: ValueId, todo: &mut Vec<NodeId>) {
        if let Some(live) = self.values.get_mut(value.index()) {
            *live = true;
        }
        if let Some(Def::Result { node, .. }) = f.values.get(value).map(|v| v.def) {
            self.node(node, todo);
        }
    }
    fn region(&mut self, module: &Module, func: FuncId, region: RegionId, todo: &mut Vec<NodeId>) {
        let f = &module.functions[func];
        let Some(r) = f.regions.get(region) else { return };
        self.regions.push(region);
        r.results.iter().for_each(|&v| self.value(f, v, todo));
        for &node in &r.nodes {
            if effects::of_node(module, func, node) == Effects::Io {
                self.node(node, todo);
            }
        }
    }
    fn is_live(&self, node: NodeId) -> bool {
        self.nodes.get(node.index()).copied().unwrap_or(true)
    }
}

fn remove_dead(
    edit: &mut Editor<'_>,
    cx: &mut PassCx,
    func: FuncId,
    region: RegionId,
    live: &Liveness,
) {
    let f = edit.func(func);
    // The last ones first, so that a limit of rewrites leaves no use without its definition.
    let dead = f.regions[region].nodes.iter().rev().copied().filter(|&n| !live.is_live(n));
    let mut gone = FxHashSet::default();
    for node in dead {
        if cx.exhausted() {
            break;
        }
        let module = edit.module();
        cx.applied_one(|| Rewrite {
            number: 0,
            pass: "dce",
            reason: "nothing uses it",
            func: f.name.clone(),
            place: place(module, func, node),
            before: vec![text::line(f, node)],
            after: Vec::new(),
            bytes: 0,
        });
        gone.insert(node);
    }
    if !gone.is_empty() {
        edit.remove_nodes(func, region, &gone);
    }
}

fn drop_results(edit: &mut Editor<'_>, cx: &mut PassCx, func: FuncId, live: &Liveness) {
    let f = edit.func(func);
    let mut unused: Vec<(NodeId, usize)> = Vec::new();
    for &region in &live.regions {
        for &node in &f.regions[region].nodes {
            let n = &f.nodes[node];
            if n.results.len() < 2 || !live.is_live(node) {
                continue;
            }
            let slots = &n.op.info().results;
            for (slot, value) in n.results.iter().enumerate() {
                let Some(value) = *value else { continue };
                let optional = slots.get(slot).is_some_and(|s| s.arity == Arity::Optional);
                if !optional || live.values.get(value.index()).copied().unwrap_or(true) {
                    continue;
                }
                let mut binds = false;
                of_type(f.ty(value), &mut |s| {
                    binds |= live.binders.get(&s) == Some(&Binder::Node(node));
                });
                if !binds {
                    unused.push((node, slot));
                }
            }
        }
    }
    for (node, slot) in unused {
        if cx.exhausted() {
            return;
        }
        let before = edit.func(func).nodes[node].results.clone();
        // One result always stays.
        if before.iter().flatten().count() < 2 {
            continue;
        }
        let (module, f) = (edit.module(), edit.func(func));
        let entry = Rewrite {
            number: 0,
            pass: "dce",
            reason: "nothing uses the optional result",
            func: f.name.clone(),
            place: place(module, func, node),
            before: if cx.logs() { vec![text::line(f, node)] } else { Vec::new() },
            after: Vec::new(),
            bytes: 0,
        };
        edit.drop_result(func, node, slot);
        let after = if cx.logs() { vec![text::line(edit.func(func), node)] } else { Vec::new() };
        cx.applied_one(|| Rewrite { after, ..entry });
    }
}
