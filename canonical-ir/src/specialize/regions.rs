//! Nodes that carry regions, and opaque ones.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::replay::{Making, Outcome, Replay, Rewrite, invalid, param_type, replaced_dim};
use super::{Bodies, Known, OpaqueNode, Place, Reading};
use crate::dim::{Dim, Range as DimRange};
use crate::entity::{NodeId, RegionId, ValueId};
use crate::infer::control::replaced;
use crate::module::{Module, Operands};
use crate::op::{Op, Opaque};
use crate::types::Type;
use crate::visit::producer;

/// What the values that a region's own parameters stand for say of their types.
enum Formals {
    /// Nothing but what is declared.
    Declared(usize),
    /// Types where a declared one does not say enough.
    Given(Vec<Type>),
    /// Types that the region may change as it is run again.
    Changing(Vec<Type>),
}

impl<'a> Replay<'a> {
    /// Puts a region in the place of the node that carries it.
    pub fn inline(
        &mut self,
        module: &mut Module,
        m: &mut Making<'a>,
        id: NodeId,
        region: RegionId,
        args: &[Option<ValueId>],
        to: RegionId,
    ) -> Outcome<()> {
        let params = m.old.regions.get(region).map(|r| r.params.as_slice()).unwrap_or_default();
        for (&param, arg) in params.iter().zip(args) {
            let Some(arg) = *arg else { continue };
            let ty = module.functions[m.func].ty(arg).clone();
            self.bind(m, m.old.ty(param), &ty);
            m.values.insert(param, arg);
        }
        m.depth += 1;
        self.nodes(module, m, region, to)?;
        m.depth -= 1;
        let results: Vec<Option<ValueId>> =
            self.results(m, region)?.into_iter().map(Some).collect();
        self.becomes(module, m, id, &results)
    }

    /// Makes the symbols of a region's parameter stand for the sizes of what it is given.
    fn bind(&self, m: &mut Making<'a>, param: &Type, given: &Type) {
        let (Type::Tensor(p), Type::Tensor(g)) = (param, given) else { return };
        for (size, exact) in p.shape.iter().zip(&g.shape) {
            let Some(symbol) = size.as_symbol() else { continue };
            let usable =
                !exact.is_any() && (exact.as_known().is_some() || !m.of_inputs.contains(&symbol));
            if usable {
                m.bindings.entry(symbol).or_insert_with(|| exact.clone());
            }
        }
    }

    /// Makes a region anew. Its last parameters are the captures, each value once.
    fn region(
        &mut self,
        module: &mut Module,
        m: &mut Making<'a>,
        old: RegionId,
        formals: &[Type],
        captures: &[Option<ValueId>],
        share: bool,
    ) -> Outcome<RegionId> {
        let params = m.old.regions.get(old).map(|r| r.params.as_slice()).unwrap_or_default();
        let saved = m.bindings.clone();
        let new = module.functions[m.func].regions.push(Default::default());
        let (own, captured) = params.split_at(formals.len().min(params.len()));
        for (&param, ty) in own.iter().zip(formals) {
            self.bind(m, m.old.ty(param), ty);
            let name = m.old.values[param].name.clone();
            let value = module.functions[m.func].add_param(new, ty.clone(), name);
            self.is_now(module, m, param, value);
        }
        let mut inner: Vec<(ValueId, ValueId)> = Vec::new();
        for (&param, outer) in captured.iter().zip(captures) {
            let Some(outer) = *outer else { continue };
            if let Some((_, value)) = inner.iter().find(|(o, _)| share && *o == outer) {
                m.values.insert(param, *value);
                continue;
            }
            let ty = module.functions[m.func].ty(outer).clone();
            self.bind(m, m.old.ty(param), &ty);
            let name = m.old.values[param].name.clone();
            let value = module.functions[m.func].add_param(new, ty, name);
            inner.push((outer, value));
            m.known.capture_of.insert(value, outer);
            m.known.facts.alias(value, outer);
            self.is_now(module, m, param, value);
        }
        m.depth += 1;
        let done = self.nodes(module, m, old, new);
        m.depth -= 1;
        m.bindings = saved;
        done?;
        module.functions[m.func].regions[new].results = self.results(m, old)?;
        self.region_is_now(m, old, new);
        Ok(new)
    }

    /// The types of a region's own parameters, given those of the values they stand for.
    fn formals(
        &self,
        module: &mut Module,
        m: &Making<'a>,
        region: RegionId,
        given: &Formals,
    ) -> Vec<Type> {
        let params = m.old.regions.get(region).map(|r| r.params.as_slice()).unwrap_or_default();
        let f = &mut module.functions[m.func];
        let declared =
            |i: usize| params.get(i).map_or(Type::Unknown, |&p| replaced(m.old.ty(p), &m.bindings));
        match given {
            Formals::Declared(count) => (0..*count).map(declared).collect(),
            Formals::Given(types) => types
                .iter()
                .enumerate()
                .map(|(i, ty)| param_type(f, &declared(i), ty, "element"))
                .collect(),
            Formals::Changing(types) => types
                .iter()
                .enumerate()
                .map(|(i, ty)| match (declared(i), ty) {
                    (Type::Unknown | Type::Unranked(_), Type::Tensor(t)) => {
                        let fresh = |_| {
                            let why = Some("size that a loop may change".to_owned());
                            Dim::from(f.add_symbol("carried", DimRange::NONNEG, why))
                        };
                        Type::tensor(t.dtype, (0..t.rank()).map(fresh))
                    }
                    (Type::Unknown, ty) => ty.clone(),
                    (declared, _) => declared,
                })
                .collect(),
        }
    }

    /// A node whose regions are made anew.
    pub fn with_regions(
        &mut self,
        module: &mut Module,
        m: &mut Making<'a>,
        id: NodeId,
        operands: &Operands,
        to: RegionId,
    ) -> Outcome<()> {
        let node = &m.old.nodes[id];
        let ty = |slot: usize| match operands.get(slot).copied().flatten() {
            Some(v) => module.functions[m.func].ty(v).clone(),
            None => Type::Unknown,
        };
        let count = |n: i64| usize::try_from(n).unwrap_or(0).min(operands.len());
        // The formal parameters, and the first operand that is a capture.
        let (formals, first) = match &node.op {
            Op::If(_) => (Formals::Declared(0), 1),
            Op::Loop(op) => {
                let first = (2 + count(op.carried)).min(operands.len());
                let mut types = vec![Type::Unknown, Type::Unknown];
                types.extend((2..first).map(ty));
                (Formals::Changing(types), first)
            }
            Op::Scan(op) => {
                let states = count(op.states);
                let first = (states + count(op.scanned)).min(operands.len());
                let mut types: Vec<Type> = (0..states).map(ty).collect();
                for (slot, axis) in (states..first).zip(&op.input_axes) {
                    let mut slice = ty(slot);
                    match (&mut slice, usize::try_from(*axis)) {
                        (Type::Tensor(t), Ok(axis)) if axis < t.rank() => {
                            t.shape.remove(axis);
                        }
                        _ => slice = Type::Unknown,
                    }
                    types.push(slice);
                }
                (Formals::Given(types), first)
            }
            Op::SequenceMap(op) => {
                let first = count(op.inputs);
                let element = |slot| match ty(slot) {
                    Type::Sequence(element) => *element,
                    other => other,
                };
                (Formals::Given((0..first).map(element).collect()), first)
            }
            _ => {
                let regions = node.regions();
                let params = |r: &RegionId| m.old.regions.get(*r).map_or(0, |r| r.params.len());
                let most = regions.iter().map(params).max().unwrap_or(0);
                let captures = match &node.op {
                    Op::FlexAttention(_) => operands.len().saturating_sub(3),
                    _ => 0,
                };
                (Formals::Declared(most - captures.min(most)), operands.len() - captures)
            }
        };
        let mut regions = FxHashMap::default();
        for old in node.regions() {
            let types = self.formals(module, m, old, &formals);
            let captures = operands.get(first..).unwrap_or_default();
            let mut new = self.region(module, m, old, &types, captures, false)?;
            if matches!(formals, Formals::Changing(_)) && !keeps_ranks(module, m, new, &types) {
                // The region makes values of another rank; it is made again with what was
                // declared.
                let types = self.formals(module, m, old, &Formals::Declared(types.len()));
                new = self.region(module, m, old, &types, captures, false)?;
            }
            regions.insert(old, new);
        }
        let mut op = node.op.clone();
        op.visit_attrs_mut(&mut Rewrite {
            bindings: &m.bindings,
            regions: &regions,
            function: None,
        });
        self.emit(module, m, id, op, operands, to)
    }

    /// An opaque node: read again by its format, or kept.
    pub fn opaque(
        &mut self,
        module: &mut Module,
        m: &mut Making<'a>,
        id: NodeId,
        op: &'a Opaque,
        operands: &Operands,
        to: RegionId,
    ) -> Outcome<()> {
        let node = &m.old.nodes[id];
        let captured = usize::try_from(op.captures).unwrap_or(0);
        // Absent operands at the end are left out, but captures are always there.
        let (inputs, captures) = operands.split_at(operands.len().saturating_sub(captured));
        let format = self.formats.iter().copied().find(|f| f.format() == op.source.format);
        let mut reason = op.reason.clone();
        if let Some(format) = format {
            let mut once: Vec<ValueId> = Vec::new();
            for &v in captures.iter().flatten() {
                if !once.contains(&v) {
                    once.push(v);
                }
            }
            let wanted: SmallVec<[bool; 4]> = node.results.iter().map(Option::is_some).collect();
            let func = m.func;
            let again =
                OpaqueNode { op, inputs, captures: &once, results: &wanted, origin: node.origin };
            let mut known = std::mem::take(&mut m.known);
            let mut bodies = OpaqueBodies { replay: self, m, captures };
            let reading = format.reread(
                &again,
                Place { module, func, region: to, known: &mut known, bodies: &mut bodies },
            );
            m.known = known;
            match reading {
                Reading::Read(values) => {
                    if let Some(new) = values
                        .iter()
                        .flatten()
                        .next()
                        .and_then(|&v| producer(&module.functions[m.func], v))
                    {
                        self.node_is_now(m, id, new);
                    }
                    return self.becomes(module, m, id, &values);
                }
                Reading::Waits(why) => reason = why,
                // A branch that is never taken need not be valid for what is fixed.
                Reading::Invalid(why) if to != module.functions[m.func].body => {
                    reason = format!("not valid here: {why}");
                }
                Reading::Invalid(why) => return Err(invalid(module, m, node, &why)),
            }
        }
        let mut regions = FxHashMap::default();
        for old in node.regions() {
            let params = m.old.regions.get(old).map_or(0, |r| r.params.len());
            let formals = Formals::Declared(params.saturating_sub(captures.len()));
            let types = self.formals(module, m, old, &formals);
            let new = self.region(module, m, old, &types, captures, false)?;
            regions.insert(old, new);
        }
        let mut kept = Op::Opaque(Opaque { reason, ..op.clone() });
        let bindings = &m.bindings;
        kept.visit_attrs_mut(&mut Rewrite { bindings, regions: &regions, function: None });
        self.emit(module, m, id, kept, operands, to)?;
        if let Some(types) = self.given.op_types.get(&op.source.full_name()) {
            for (old, ty) in node.results.iter().zip(types) {
                if let Some(new) = old.and_then(|old| m.values.get(&old)) {
                    let slot = &mut module.functions[m.func].values[*new].ty;
                    if !slot.is_canonical() && ty.refines(slot) {
                        *slot = ty.clone();
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether the carried results of a loop's body have the ranks of its parameters.
fn keeps_ranks(module: &Module, m: &Making<'_>, region: RegionId, params: &[Type]) -> bool {
    let f = &module.functions[m.func];
    let results = f.regions[region].results.iter().skip(1);
    params.iter().skip(2).zip(results).all(|(param, &result)| match (param, f.ty(result)) {
        (Type::Tensor(p), Type::Tensor(r)) => p.rank() == r.rank(),
        (Type::Tensor(_), _) => false,
        _ => true,
    })
}

/// The regions of an opaque node, while its format reads it.
struct OpaqueBodies<'r, 'a> {
    replay: &'r mut Replay<'a>,
    m: &'r mut Making<'a>,
    captures: &'r [Option<ValueId>],
}

impl Bodies for OpaqueBodies<'_, '_> {
    fn params(&self, region: RegionId) -> Vec<Type> {
        let params = self.m.old.regions.get(region).map(|r| r.params.as_slice());
        let params = params.unwrap_or_default();
        let own = params.len().saturating_sub(self.captures.len());
        let ty = |p: &ValueId| {
            let ty = self.m.old.ty(*p);
            ty.map_dims(&mut |d| replaced_dim(d, &self.m.bindings))
        };
        params[..own].iter().map(ty).collect()
    }

    fn body(
        &mut self,
        module: &mut Module,
        known: &mut Known,
        region: RegionId,
        params: &[Type],
    ) -> Result<RegionId, String> {
        let declared = self.params(region);
        let types: Vec<Type> = params
            .iter()
            .zip(&declared)
            .map(|(ty, declared)| match ty {
                Type::Unknown | Type::Unranked(_) if declared.refines(ty) => declared.clone(),
                known => known.clone(),
            })
            .collect();
        std::mem::swap(known, &mut self.m.known);
        let done = self.replay.region(module, self.m, region, &types, self.captures, true);
        std::mem::swap(known, &mut self.m.known);
        done.map_err(|e| e.message)
    }
}
