//! Generic walks over nodes, regions and what payloads refer to.

use smallvec::SmallVec;

use crate::attr::{Attr, AttrVisitor};
use crate::entity::{FuncId, NodeId, RegionId, TensorId};
use crate::module::Function;
use crate::op::Op;

/// What a payload refers to.
#[derive(Default)]
struct Refs {
    regions: SmallVec<[RegionId; 2]>,
    tensors: SmallVec<[TensorId; 2]>,
    funcs: SmallVec<[FuncId; 1]>,
}

impl AttrVisitor for Refs {
    fn region(&mut self, region: &mut RegionId) {
        self.regions.push(*region);
    }
    fn tensor(&mut self, tensor: &mut TensorId) {
        self.tensors.push(*tensor);
    }
    fn func(&mut self, func: &mut FuncId) {
        self.funcs.push(*func);
    }
}

fn refs(op: &Op) -> Refs {
    let mut found = Refs::default();
    for (_, mut attr) in op.attrs() {
        if may_refer(&attr) {
            attr.visit_mut(&mut found);
        }
    }
    found
}

fn may_refer(attr: &Attr) -> bool {
    matches!(attr, Attr::Tensor(_) | Attr::Region(_) | Attr::Func(_) | Attr::List(_) | Attr::Map(_))
}

/// Whether the op can carry a region at all; cheap.
fn may_carry_regions(op: &Op) -> bool {
    op.info().fields.iter().any(|f| f.kind == "region" || f.kind == "source_op")
}

/// The regions that an op carries.
pub fn regions_of(op: &Op) -> SmallVec<[RegionId; 2]> {
    if may_carry_regions(op) { refs(op).regions } else { SmallVec::new() }
}

/// The tensors that an op refers to.
pub fn tensors_of(op: &Op) -> SmallVec<[TensorId; 2]> {
    if let Op::Constant(c) = op {
        return SmallVec::from_slice(&[c.tensor]);
    }
    refs(op).tensors
}

/// The functions that an op refers to.
pub fn funcs_of(op: &Op) -> SmallVec<[FuncId; 1]> {
    if let Op::Call(c) = op {
        return SmallVec::from_slice(&[c.function]);
    }
    SmallVec::new()
}

/// All nodes of a region and of the regions within, each before the nodes inside it.
pub fn walk_region(f: &Function, region: RegionId, visit: &mut dyn FnMut(RegionId, NodeId)) {
    let mut stack = vec![(region, 0usize)];
    while let Some((region, next)) = stack.pop() {
        let Some(&node) = f.regions.get(region).and_then(|r| r.nodes.get(next)) else {
            continue;
        };
        stack.push((region, next + 1));
        visit(region, node);
        for inner in f.nodes[node].regions().into_iter().rev() {
            stack.push((inner, 0));
        }
    }
}

/// All nodes of a function, outer before inner, in order.
pub fn walk(f: &Function, visit: &mut dyn FnMut(RegionId, NodeId)) {
    walk_region(f, f.body, visit);
}

/// The node that makes a value; `None` for a parameter.
pub fn producer(f: &Function, value: crate::entity::ValueId) -> Option<NodeId> {
    match f.values.get(value)?.def {
        crate::module::Def::Result { node, .. } => Some(node),
        crate::module::Def::Param { .. } => None,
    }
}
