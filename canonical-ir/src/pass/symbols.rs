//! Who binds the symbols of a function, and who uses them.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use crate::attr::AttrVisitor;
use crate::dim::Dim;
use crate::entity::{NodeId, RegionId, SymbolId};
use crate::module::Function;
use crate::op::{Op, OpKind};
use crate::types::Type;

/// What gives a symbol its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binder {
    /// A size of a parameter.
    Param,
    /// A size that a node finds, or a `dims_of`.
    Node(NodeId),
}

/// The kinds of ops whose payload can mention sizes.
static MENTIONS_SIZES: LazyLock<Vec<bool>> = LazyLock::new(|| {
    let sized = |kind: &str| matches!(kind, "dim" | "dims" | "type" | "source_op");
    OpKind::ALL.iter().map(|k| k.info().fields.iter().any(|f| sized(f.kind))).collect()
});

/// Calls `visit` with each symbol that a payload mentions.
pub fn of_op(op: &Op, visit: &mut dyn FnMut(SymbolId)) {
    struct Found<'v>(&'v mut dyn FnMut(SymbolId));
    impl AttrVisitor for Found<'_> {
        fn dim(&mut self, dim: &mut Dim) {
            dim.symbols(&mut |s| (self.0)(s));
        }
    }
    if !MENTIONS_SIZES.get(op.kind() as usize).copied().unwrap_or(true) {
        return;
    }
    let mut found = Found(visit);
    op.attrs().iter_mut().for_each(|(_, a)| a.visit_mut(&mut found));
}

/// Calls `visit` with each symbol that a type mentions.
pub fn of_type(ty: &Type, visit: &mut dyn FnMut(SymbolId)) {
    ty.for_each_dim(&mut |d| d.symbols(&mut |s| visit(s)));
}

/// A step of a walk in which a node comes after the regions that it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A region begins.
    Enter(RegionId),
    /// A node, whose regions are done.
    Node(RegionId, NodeId),
}

/// Walks a function with inner regions before the nodes that carry them.
pub fn walk_inner_first(f: &Function, visit: &mut dyn FnMut(Step)) {
    enum Todo {
        Region(RegionId),
        From(RegionId, usize),
        Done(RegionId, NodeId),
    }
    let mut stack = vec![Todo::Region(f.body)];
    while let Some(todo) = stack.pop() {
        match todo {
            Todo::Region(region) => {
                visit(Step::Enter(region));
                stack.push(Todo::From(region, 0));
            }
            Todo::From(region, next) => {
                let Some(&node) = f.regions.get(region).and_then(|r| r.nodes.get(next)) else {
                    continue;
                };
                stack.push(Todo::From(region, next + 1));
                stack.push(Todo::Done(region, node));
                for inner in f.nodes[node].regions().into_iter().rev() {
                    stack.push(Todo::Region(inner));
                }
            }
            Todo::Done(region, node) => visit(Step::Node(region, node)),
        }
    }
}

/// What binds each symbol: the first mention in a parameter, in a result or in a `dims_of`.
pub fn binders(f: &Function) -> FxHashMap<SymbolId, Binder> {
    let mut found = FxHashMap::default();
    if f.symbols.is_empty() {
        return found;
    }
    walk_inner_first(f, &mut |step| match step {
        Step::Enter(region) => {
            for &param in f.regions.get(region).into_iter().flat_map(|r| &r.params) {
                of_type(f.ty(param), &mut |s| {
                    found.entry(s).or_insert(Binder::Param);
                });
            }
        }
        Step::Node(_, node) => {
            let n = &f.nodes[node];
            if let Op::DimsOf(d) = &n.op {
                for dim in &d.dims {
                    dim.symbols(&mut |s| {
                        found.entry(s).or_insert(Binder::Node(node));
                    });
                }
            }
            for value in n.outputs() {
                of_type(f.ty(value), &mut |s| {
                    found.entry(s).or_insert(Binder::Node(node));
                });
            }
        }
    });
    found
}
