//! Copies the nodes of a region to the builder's place.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{BuildError, Builder};
use crate::attr::AttrVisitor;
use crate::dim::Dim;
use crate::entity::{RegionId, SymbolId, ValueId};
use crate::infer::{InferError, infer};
use crate::module::Operands;
use crate::op::Op;
use crate::types::Type;

type Symbols = FxHashMap<SymbolId, Dim>;

/// Puts sizes in the place of symbols, and the ids of copies in the place of regions.
struct Rewrite<'a, 'm> {
    b: &'a mut Builder<'m>,
    symbols: &'a mut Symbols,
    failed: Option<BuildError>,
}

impl AttrVisitor for Rewrite<'_, '_> {
    fn dim(&mut self, dim: &mut Dim) {
        *dim = dim.substitute(&mut |s| self.symbols.get(&s).cloned());
    }
    fn region(&mut self, region: &mut RegionId) {
        match self.b.copy_region(*region, self.symbols) {
            Ok(new) => *region = new,
            Err(e) => self.failed = Some(e),
        }
    }
}

/// Makes the symbols of a type stand for the sizes of the type that takes its place.
fn bind(symbols: &mut Symbols, old: &Type, new: &Type) {
    if let (Type::Tensor(old), Type::Tensor(new)) = (old, new) {
        for (a, b) in old.shape.iter().zip(&new.shape) {
            if let Some(symbol) = a.as_symbol() {
                symbols.entry(symbol).or_insert_with(|| b.clone());
            }
        }
    }
}

impl Builder<'_> {
    /// Adds copies of the nodes of a region of this function, with arguments in the place of
    /// its parameters, and gives the values of its results. Types are inferred anew.
    pub fn inline_region(
        &mut self,
        region: RegionId,
        args: &[ValueId],
    ) -> Result<Vec<ValueId>, BuildError> {
        self.inline_with(region, args, &mut Symbols::default())
    }

    fn inline_with(
        &mut self,
        region: RegionId,
        args: &[ValueId],
        symbols: &mut Symbols,
    ) -> Result<Vec<ValueId>, BuildError> {
        let broken =
            |message: String| InferError::Invalid { label: "region-range".to_owned(), message };
        let Some(source) = self.f().regions.get(region).cloned() else {
            return Err(broken(format!("there is no region {region}")).into());
        };
        if source.params.len() != args.len() {
            let (n, m) = (args.len(), source.params.len());
            return Err(broken(format!("{n} arguments for {m} parameters")).into());
        }
        let mut map: FxHashMap<ValueId, ValueId> = FxHashMap::default();
        for (&param, &arg) in source.params.iter().zip(args) {
            bind(symbols, self.ty(param), self.ty(arg));
            map.insert(param, arg);
        }
        for id in source.nodes {
            let node = self.f().nodes[id].clone();
            if let Op::DimsOf(d) = &node.op {
                // Symbols bound here are new ones in the copy.
                for dim in &d.dims {
                    if let Some(s) = dim.as_symbol().filter(|s| !symbols.contains_key(s)) {
                        let (name, range) = match self.f().symbols.get(s) {
                            Some(old) => (old.name.clone(), old.range),
                            None => (String::new(), self.f().symbol_range(s)),
                        };
                        let new = self.f_mut().add_symbol(&name, range, None);
                        symbols.insert(s, Dim::from(new));
                    }
                }
            }
            let mut op = node.op;
            let mut rewrite = Rewrite { b: self, symbols, failed: None };
            op.visit_attrs_mut(&mut rewrite);
            if let Some(e) = rewrite.failed {
                return Err(e);
            }
            let operands: Operands =
                node.operands.iter().map(|o| o.and_then(|v| map.get(&v).copied())).collect();
            let present: SmallVec<[bool; 4]> = node.results.iter().map(Option::is_some).collect();
            let declared: SmallVec<[Type; 4]> = node
                .results
                .iter()
                .map(|r| match r {
                    Some(r) => self
                        .ty(*r)
                        .map_dims(&mut |d| d.substitute(&mut |s| symbols.get(&s).cloned())),
                    None => Type::Unknown,
                })
                .collect();
            let types = match infer(self.module, self.f(), &op, &operands) {
                // What inference leaves open the source may have declared.
                Ok(mut types) => {
                    for (ty, declared) in types.iter_mut().zip(&declared) {
                        if matches!(ty, Type::Unranked(_) | Type::Unknown) && declared.refines(ty) {
                            *ty = declared.clone();
                        }
                    }
                    types
                }
                Err(InferError::Unknown(_)) => declared.into_vec(),
                Err(e) => return Err(e.into()),
            };
            let origin = std::mem::replace(&mut self.origin, node.origin);
            let new = self.typed_node(op, &operands, types, &present);
            self.origin = origin;
            let results = self.f().nodes[new].results.clone();
            for (old, new) in node.results.iter().zip(&results) {
                if let (Some(old), Some(new)) = (old, new) {
                    bind(symbols, self.ty(*old), self.ty(*new));
                    if let Some(name) = self.f().values[*old].name.clone() {
                        self.name(*new, name);
                    }
                    map.insert(*old, *new);
                }
            }
        }
        source
            .results
            .iter()
            .map(|v| {
                let value = map.get(v).copied();
                value.ok_or_else(|| broken(format!("{v} is returned but not made")).into())
            })
            .collect()
    }

    fn copy_region(
        &mut self,
        region: RegionId,
        symbols: &mut Symbols,
    ) -> Result<RegionId, BuildError> {
        let params = match self.f().regions.get(region) {
            Some(r) => r.params.clone(),
            None => return Ok(region),
        };
        let types: Vec<Type> = params
            .iter()
            .map(|&p| {
                let ty = self.ty(p);
                ty.map_dims(&mut |d| d.substitute(&mut |s| symbols.get(&s).cloned()))
            })
            .collect();
        let (new, args) = self.new_region(&types);
        let results = self.in_region(new, |b| b.inline_with(region, &args, symbols))?;
        self.set_results(new, &results);
        Ok(new)
    }
}
