//! Which nodes speak of the sizes that others find, and whether they allow for what is found out.
//!
//! A program may say two things of one size, such as a reshape to one element of what three
//! are found of. It fails when it runs. A pass that learns the size from one of the two leaves it
//! alone, since the other would not verify with it.

use rustc_hash::FxHashMap;

use super::symbols::{Binder, of_op, of_type};
use crate::attr::AttrVisitor;
use crate::dim::Dim;
use crate::entity::{FuncId, NodeId, RegionId, SymbolId, ValueId};
use crate::infer::control::{Bindings, replaced};
use crate::infer::{InferError, infer};
use crate::module::{Function, Module};
use crate::op::Op;
use crate::types::Type;
use crate::verify::agrees;

/// By symbol whose value a node finds, the other nodes that mention it.
#[derive(Debug, Default)]
pub(super) struct Mentions(FxHashMap<SymbolId, Vec<NodeId>>);

impl Mentions {
    /// Those in some regions of a function.
    pub fn of(f: &Function, regions: &[RegionId], binders: &FxHashMap<SymbolId, Binder>) -> Self {
        let mut found: FxHashMap<SymbolId, Vec<NodeId>> = FxHashMap::default();
        if !binders.values().any(|b| matches!(b, Binder::Node(_))) {
            return Self(found);
        }
        for region in regions.iter().filter_map(|&r| f.regions.get(r)) {
            for &node in &region.nodes {
                let n = &f.nodes[node];
                let mut add = |s: SymbolId| {
                    if matches!(binders.get(&s), Some(Binder::Node(b)) if *b != node) {
                        let nodes = found.entry(s).or_default();
                        if nodes.last() != Some(&node) {
                            nodes.push(node);
                        }
                    }
                };
                of_op(&n.op, &mut add);
                n.inputs().chain(n.outputs()).for_each(|v| of_type(f.ty(v), &mut add));
            }
        }
        Self(found)
    }
    /// Notes that a size takes the place of a symbol: who mentions the symbol mentions what the
    /// size is made of.
    pub fn moved(&mut self, symbol: SymbolId, size: &Dim) {
        let Some(nodes) = self.0.remove(&symbol) else { return };
        size.symbols(&mut |s| self.0.entry(s).or_default().extend_from_slice(&nodes));
    }
    /// The first node that would not verify with sizes in the place of symbols: `new` ones, after
    /// `old` ones were put in.
    pub fn contradicted(
        &self,
        module: &mut Module,
        func: FuncId,
        [old, new]: [&Bindings; 2],
        gone: &dyn Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        let mut symbols: Vec<SymbolId> = new.keys().copied().collect();
        symbols.sort_unstable();
        let nodes = symbols.iter().filter_map(|s| self.0.get(s)).flatten().copied();
        nodes.filter(|&n| !gone(n)).find(|&n| fails(module, func, n, [old, new]))
    }
}

/// Whether a node would not verify; false of one whose type is not inferred from its operands
/// alone.
fn fails(module: &mut Module, func: FuncId, node: NodeId, [old, new]: [&Bindings; 2]) -> bool {
    let f = &module.functions[func];
    let n = &f.nodes[node];
    if !n.regions().is_empty() || matches!(n.op, Op::Call(_) | Op::Opaque(_)) {
        return false;
    }
    let (mut op, operands, results) = (n.op.clone(), n.operands.clone(), n.results.clone());
    for bindings in [old, new] {
        op.visit_attrs_mut(&mut Substitute(bindings));
    }
    let mut values: Vec<ValueId> = operands.iter().chain(&results).copied().flatten().collect();
    values.sort_unstable();
    values.dedup();
    let with = |ty: &Type| replaced(&replaced(ty, old), new);
    let mut types: Vec<(ValueId, Type)> = values.iter().map(|&v| (v, with(f.ty(v)))).collect();
    // They are put back below.
    swap(module, func, &mut types);
    let f = &module.functions[func];
    let failed = match infer(module, f, &op, &operands) {
        Ok(inferred) => {
            results.iter().zip(&inferred).any(|(v, ty)| v.is_some_and(|v| !agrees(f.ty(v), ty)))
        }
        Err(InferError::Invalid { .. }) => true,
        Err(InferError::Unknown(_)) => false,
    };
    swap(module, func, &mut types);
    failed
}

/// Exchanges the types of values with others.
fn swap(module: &mut Module, func: FuncId, types: &mut [(ValueId, Type)]) {
    for (value, ty) in types {
        std::mem::swap(&mut module.functions[func].values[*value].ty, ty);
    }
}

/// Puts sizes in the place of symbols in what a payload says.
pub(super) struct Substitute<'b>(pub &'b Bindings);

impl AttrVisitor for Substitute<'_> {
    fn dim(&mut self, dim: &mut Dim) {
        *dim = dim.substitute(&mut |s| self.0.get(&s).cloned());
    }
}
