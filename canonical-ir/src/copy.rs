//! Copies regions between functions.

use rustc_hash::FxHashMap;

use crate::attr::AttrVisitor;
use crate::dim::Dim;
use crate::entity::{RegionId, SymbolId, ValueId};
use crate::infer::control::{Bindings, replaced};
use crate::module::{Def, Function, Node, Value};
use crate::op::Op;

/// Copies the regions that `op` refers to from one function into another and gives the op
/// with the new ids. Symbols are carried over by name.
pub fn import_regions(from: &Function, to: &mut Function, op: &Op) -> Op {
    let mut op = op.clone();
    let mut copier = Copier { from, to, symbols: FxHashMap::default() };
    op.visit_attrs_mut(&mut copier);
    op
}

struct Copier<'a> {
    from: &'a Function,
    to: &'a mut Function,
    symbols: FxHashMap<SymbolId, SymbolId>,
}

impl Copier<'_> {
    fn symbol(&mut self, id: SymbolId) -> SymbolId {
        if let Some(&new) = self.symbols.get(&id) {
            return new;
        }
        let new = match self.from.symbols.get(id) {
            Some(s) => self
                .to
                .symbol_named(&s.name)
                .unwrap_or_else(|| self.to.add_symbol(&s.name, s.range, s.why.clone())),
            None => id,
        };
        self.symbols.insert(id, new);
        new
    }

    fn map_dim(&mut self, dim: &Dim) -> Dim {
        dim.substitute(&mut |s| Some(Dim::from(self.symbol(s))))
    }

    fn copy(&mut self, region: RegionId) -> RegionId {
        let new = self.to.regions.push(Default::default());
        let Some(source) = self.from.regions.get(region) else { return new };
        let mut map: FxHashMap<ValueId, ValueId> = FxHashMap::default();
        for &param in &source.params {
            let value = &self.from.values[param];
            let ty = value.ty.map_dims(&mut |d| self.map_dim(d));
            map.insert(param, self.to.add_param(new, ty, value.name.clone()));
        }
        for &id in &source.nodes {
            let node = &self.from.nodes[id];
            let mut op = node.op.clone();
            op.visit_attrs_mut(self);
            let new_id = crate::entity::NodeId(self.to.nodes.len() as u32);
            let operands =
                node.operands.iter().map(|o| o.and_then(|v| map.get(&v).copied())).collect();
            let mut results = crate::module::Results::new();
            for (index, result) in node.results.iter().enumerate() {
                results.push(result.map(|r| {
                    let old = &self.from.values[r];
                    let ty = old.ty.map_dims(&mut |d| self.map_dim(d));
                    let def = Def::Result { node: new_id, index: index as u32 };
                    let value = self.to.values.push(Value { ty, def, name: old.name.clone() });
                    map.insert(r, value);
                    value
                }));
            }
            self.to.nodes.push(Node { op, operands, results, origin: node.origin });
            self.to.regions[new].nodes.push(new_id);
        }
        self.to.regions[new].results =
            source.results.iter().filter_map(|v| map.get(v).copied()).collect();
        new
    }
}

impl AttrVisitor for Copier<'_> {
    fn dim(&mut self, dim: &mut Dim) {
        *dim = self.map_dim(dim);
    }
    fn region(&mut self, region: &mut RegionId) {
        *region = self.copy(*region);
    }
}

/// Replaces symbols in the types and payloads of a whole function.
pub fn substitute_symbols(f: &mut Function, bindings: &Bindings) {
    struct Substitute<'a>(&'a Bindings);
    impl AttrVisitor for Substitute<'_> {
        fn dim(&mut self, dim: &mut Dim) {
            *dim = dim.substitute(&mut |s| self.0.get(&s).cloned());
        }
    }
    if bindings.is_empty() {
        return;
    }
    for value in f.values.values_mut() {
        value.ty = replaced(&value.ty, bindings);
    }
    for node in f.nodes.values_mut() {
        node.op.visit_attrs_mut(&mut Substitute(bindings));
    }
}
