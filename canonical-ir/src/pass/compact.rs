//! Removes what nothing refers to and numbers the rest anew.
//!
//! Rewrites leave nodes, values, regions, tensors and origins behind in the arenas, out of
//! reach of any region. [`compact`] drops them, and notes about them. Functions and symbols
//! keep their ids.

use super::editor::reachable_regions;
use crate::attr::AttrVisitor;
use crate::entity::{Arena, EntityId, NodeId, OriginId, RegionId, TensorId, ValueId};
use crate::module::{Def, Entity, Function, InputRole, Module, Notes, Origin};
use crate::visit::tensors_of;

/// How much [`compact`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Nodes.
    pub nodes: usize,
    /// Tensors.
    pub tensors: usize,
    /// The bytes of these tensors.
    pub bytes: u64,
}

/// New ids by old index; `None` for what went.
struct Renumber<K>(Vec<Option<K>>);

impl<K: EntityId> Renumber<K> {
    /// Ids for those that are kept, in order of the old ids.
    fn of(keep: &[bool]) -> Self {
        let mut next = 0;
        let ids = keep.iter().map(|&k| {
            k.then(|| {
                next += 1;
                K::from_index(next - 1)
            })
        });
        Self(ids.collect())
    }
    fn get(&self, old: K) -> Option<K> {
        self.0.get(old.index()).copied().flatten()
    }
}

fn mark<K: EntityId>(keep: &mut [bool], id: K) {
    if let Some(k) = keep.get_mut(id.index()) {
        *k = true;
    }
}

fn kept<K: EntityId, V>(arena: Arena<K, V>, keep: &[bool]) -> Arena<K, V>
where
    V: Clone,
{
    arena.iter().zip(keep).filter(|(_, k)| **k).map(|((_, v), _)| v.clone()).collect()
}

struct Ids<'a> {
    regions: &'a Renumber<RegionId>,
    tensors: &'a Renumber<TensorId>,
}

impl AttrVisitor for Ids<'_> {
    fn region(&mut self, region: &mut RegionId) {
        *region = self.regions.get(*region).unwrap_or(*region);
    }
    fn tensor(&mut self, tensor: &mut TensorId) {
        *tensor = self.tensors.get(*tensor).unwrap_or(*tensor);
    }
}

/// What of a function is in reach.
struct Reach {
    regions: Vec<bool>,
    nodes: Vec<bool>,
    values: Vec<bool>,
}

impl Reach {
    fn of(f: &Function) -> Self {
        let mut r = Self {
            regions: vec![false; f.regions.len()],
            nodes: vec![false; f.nodes.len()],
            values: vec![false; f.values.len()],
        };
        for region in reachable_regions(f) {
            mark(&mut r.regions, region);
            let Some(body) = f.regions.get(region) else { continue };
            body.params.iter().for_each(|&v| mark(&mut r.values, v));
            for &node in &body.nodes {
                mark(&mut r.nodes, node);
                f.nodes[node].outputs().for_each(|v| mark(&mut r.values, v));
            }
        }
        r
    }
}

fn input_tensor(role: &mut InputRole) -> Option<&mut TensorId> {
    match role {
        InputRole::User { default, .. } => default.as_mut(),
        InputRole::Param(t) | InputRole::State(t) => t.as_mut(),
    }
}

/// Drops what no region reaches and numbers the rest anew, in the old order.
pub fn compact(module: &mut Module) -> Compacted {
    let mut out = Compacted::default();
    let mut tensors = vec![false; module.tensors.len()];
    let mut origins = vec![false; module.origins.len()];
    let reach: Vec<Reach> = module.functions.values().map(Reach::of).collect();
    for (f, r) in module.functions.values_mut().zip(&reach) {
        for input in &mut f.inputs {
            if let Some(t) = input_tensor(&mut input.role) {
                mark(&mut tensors, *t);
            }
        }
        for (_, node) in f.nodes.iter().filter(|(id, _)| r.nodes[id.index()]) {
            tensors_of(&node.op).into_iter().for_each(|t| mark(&mut tensors, t));
            mark(&mut origins, node.origin);
        }
    }
    // Origins that others were derived from, the newer ones first.
    for index in (0..origins.len()).rev() {
        if let (true, Some(Origin::Derived { from, .. })) =
            (origins[index], module.origins.get(OriginId::from_index(index)))
        {
            from.iter().for_each(|&o| mark(&mut origins, o));
        }
    }
    if let Some(first) = origins.first_mut() {
        // The origin of what comes from nowhere.
        *first = true;
    }
    for (_, tensor) in module.tensors.iter().filter(|(id, _)| !tensors[id.index()]) {
        out.tensors += 1;
        out.bytes += tensor.byte_len().unwrap_or(0);
    }
    let tensor_ids = Renumber::<TensorId>::of(&tensors);
    let origin_ids = Renumber::<OriginId>::of(&origins);
    module.tensors = kept(std::mem::take(&mut module.tensors), &tensors);
    module.origins = kept(std::mem::take(&mut module.origins), &origins);
    for origin in module.origins.values_mut() {
        if let Origin::Derived { from, .. } = origin {
            from.iter_mut().for_each(|o| *o = origin_ids.get(*o).unwrap_or(*o));
        }
    }
    let mut renumbered = Vec::new();
    for (f, r) in module.functions.values_mut().zip(&reach) {
        out.nodes += r.nodes.iter().filter(|k| !**k).count();
        renumbered.push(renumber(f, r, &tensor_ids, &origin_ids));
    }
    module.notes = std::mem::take(&mut module.notes)
        .into_iter()
        .filter_map(|(entity, notes)| {
            let of = |f: crate::entity::FuncId| renumbered.get(f.index());
            Some((
                match entity {
                    Entity::Module | Entity::Func(_) => entity,
                    Entity::Node(f, n) => Entity::Node(f, of(f)?.nodes.get(n)?),
                    Entity::Value(f, v) => Entity::Value(f, of(f)?.values.get(v)?),
                    Entity::Region(f, r) => Entity::Region(f, of(f)?.regions.get(r)?),
                    Entity::Tensor(t) => Entity::Tensor(tensor_ids.get(t)?),
                },
                notes,
            ))
        })
        .collect::<Notes>();
    out
}

struct FunctionIds {
    nodes: Renumber<NodeId>,
    values: Renumber<ValueId>,
    regions: Renumber<RegionId>,
}

fn renumber(
    f: &mut Function,
    reach: &Reach,
    tensors: &Renumber<TensorId>,
    origins: &Renumber<OriginId>,
) -> FunctionIds {
    let ids = FunctionIds {
        nodes: Renumber::of(&reach.nodes),
        values: Renumber::of(&reach.values),
        regions: Renumber::of(&reach.regions),
    };
    f.nodes = kept(std::mem::take(&mut f.nodes), &reach.nodes);
    f.values = kept(std::mem::take(&mut f.values), &reach.values);
    f.regions = kept(std::mem::take(&mut f.regions), &reach.regions);
    for input in &mut f.inputs {
        if let Some(t) = input_tensor(&mut input.role) {
            *t = tensors.get(*t).unwrap_or(*t);
        }
    }
    f.body = ids.regions.get(f.body).unwrap_or(f.body);
    let value = |v: &mut ValueId| *v = ids.values.get(*v).unwrap_or(*v);
    for region in f.regions.values_mut() {
        region.params.iter_mut().for_each(value);
        region.results.iter_mut().for_each(value);
        region.nodes.iter_mut().for_each(|n| *n = ids.nodes.get(*n).unwrap_or(*n));
    }
    for node in f.nodes.values_mut() {
        node.operands.iter_mut().flatten().for_each(value);
        node.results.iter_mut().flatten().for_each(value);
        node.origin = origins.get(node.origin).unwrap_or(node.origin);
        let fields = &node.op.info().fields;
        if fields.iter().any(|f| matches!(f.kind, "tensor" | "region" | "source_op")) {
            node.op.visit_attrs_mut(&mut Ids { regions: &ids.regions, tensors });
        }
    }
    for v in f.values.values_mut() {
        v.def = match v.def {
            Def::Param { region, index } => {
                Def::Param { region: ids.regions.get(region).unwrap_or(region), index }
            }
            Def::Result { node, index } => {
                Def::Result { node: ids.nodes.get(node).unwrap_or(node), index }
            }
        };
    }
    ids
}
