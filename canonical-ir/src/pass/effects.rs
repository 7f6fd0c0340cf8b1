//! What a node may do, with what it runs counted in.

use rustc_hash::FxHashSet;

use crate::entity::{FuncId, NodeId};
use crate::module::Module;
use crate::op::{Effects, Op};
use crate::visit::walk_region;

/// The order of effects: the later ones bind more.
fn rank(e: Effects) -> u8 {
    match e {
        Effects::Pure => 0,
        Effects::MayFail => 1,
        Effects::Nondet => 2,
        Effects::Io => 3,
    }
}

fn worse(a: Effects, b: Effects) -> Effects {
    if rank(b) > rank(a) { b } else { a }
}

/// The effects of a node, of the regions that it carries and of the functions that it calls.
pub fn of_node(module: &Module, func: FuncId, node: NodeId) -> Effects {
    let Some(n) = module.functions.get(func).and_then(|f| f.nodes.get(node)) else {
        return Effects::Io;
    };
    let own = n.op.info().effects;
    let regions = n.regions();
    if regions.is_empty() && !matches!(n.op, Op::Call(_)) {
        return own;
    }
    let mut found = own;
    let mut seen: FxHashSet<FuncId> = FxHashSet::default();
    let mut calls = Vec::new();
    if let Op::Call(c) = &n.op {
        calls.push(c.function);
    }
    let mut look = |func: FuncId, region, calls: &mut Vec<FuncId>| {
        let f = &module.functions[func];
        walk_region(f, region, &mut |_, inner| {
            let op = &f.nodes[inner].op;
            found = worse(found, op.info().effects);
            if let Op::Call(c) = op {
                calls.push(c.function);
            }
        });
    };
    for region in regions {
        look(func, region, &mut calls);
    }
    while let Some(callee) = calls.pop() {
        if seen.insert(callee)
            && let Some(f) = module.functions.get(callee)
        {
            look(callee, f.body, &mut calls);
        }
    }
    found
}

/// Whether a node may be removed when its results are not used.
pub fn removable(module: &Module, func: FuncId, node: NodeId) -> bool {
    of_node(module, func, node) != Effects::Io
}
