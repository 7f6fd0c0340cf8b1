//! One run of a region, node by node.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{Datum, Env, EvalError, Interpreter, bind_dim};
use crate::array::Array;
use crate::entity::{FuncId, NodeId, RegionId, SymbolId, ValueId};
use crate::op::Op;

/// A region that is being run. A value is dropped at its last use.
pub(super) struct Frame {
    func: FuncId,
    nodes: Vec<NodeId>,
    next: usize,
    results: Vec<ValueId>,
    /// How often each value is still used.
    uses: FxHashMap<ValueId, u32>,
    values: FxHashMap<ValueId, Datum>,
    env: Env,
    depth: u32,
}

impl Frame {
    /// The results, after the last node.
    pub(super) fn leave(self) -> Result<Vec<Datum>, EvalError> {
        let mut out = Vec::with_capacity(self.results.len());
        for v in self.results {
            match self.values.get(&v) {
                Some(d) => out.push(d.clone()),
                None => return EvalError::failed(format!("{v} is returned but not made")),
            }
        }
        Ok(out)
    }

    /// The operands of a node; those that are not used again go.
    fn take(&mut self, slots: &[Option<ValueId>]) -> Result<Operands, EvalError> {
        let mut operands = SmallVec::new();
        for slot in slots {
            let Some(v) = slot else {
                operands.push(None);
                continue;
            };
            let left = self.uses.get_mut(v).map_or(1, |u| {
                *u -= 1;
                *u
            });
            let found = if left == 0 { self.values.remove(v) } else { self.values.get(v).cloned() };
            match found {
                Some(d) => operands.push(Some(d)),
                None => return EvalError::failed(format!("{v} is used before it is made")),
            }
        }
        Ok(operands)
    }
}

type Operands = SmallVec<[Option<Datum>; 4]>;

impl Interpreter {
    /// Begins a region.
    pub(super) fn enter(
        &self,
        func: FuncId,
        region: RegionId,
        args: Vec<Datum>,
        mut env: Env,
        depth: u32,
    ) -> Result<Frame, EvalError> {
        if depth > self.limits.depth {
            return Err(EvalError::Limit(format!("nesting of {depth}")));
        }
        let f = &self.module.functions[func];
        let Some(r) = f.regions.get(region) else {
            return EvalError::failed(format!("there is no region {region}"));
        };
        if r.params.len() != args.len() {
            return EvalError::failed(format!(
                "{} arguments for {} parameters",
                args.len(),
                r.params.len()
            ));
        }
        let mut uses: FxHashMap<ValueId, u32> = FxHashMap::default();
        let operands = r.nodes.iter().flat_map(|&n| f.nodes[n].operands.iter().flatten());
        for &v in operands.chain(&r.results) {
            *uses.entry(v).or_default() += 1;
        }
        let mut values: FxHashMap<ValueId, Datum> = FxHashMap::default();
        for (&param, arg) in r.params.iter().zip(args) {
            self.bind(func, param, &arg, &mut env)?;
            values.insert(param, arg);
        }
        let (nodes, results) = (r.nodes.clone(), r.results.clone());
        Ok(Frame { func, nodes, next: 0, results, uses, values, env, depth })
    }

    /// Runs the next node of a region and shows its results; `None` after the last one.
    pub(super) fn step(
        &mut self,
        frame: &mut Frame,
        seen: &mut dyn FnMut(ValueId, &Datum),
    ) -> Result<Option<NodeId>, EvalError> {
        let Some(&node) = frame.nodes.get(frame.next) else { return Ok(None) };
        frame.next += 1;
        let func = frame.func;
        let n = self.module.functions[func].nodes[node].clone();
        let operands = frame.take(&n.operands)?;
        let out = self.node(func, node, &n.op, &operands, &n.results, &frame.env, frame.depth);
        drop(operands);
        let out = out.map_err(|error| self.locate(func, node, error))?;
        if let Op::DimsOf(d) = &n.op {
            // The values were compared and returned as a vector to bind from.
            let found = out.first().and_then(Option::as_ref).and_then(Datum::as_array);
            if let Some(ints) = found.and_then(Array::to_i64s) {
                for (dim, v) in d.dims.iter().zip(ints) {
                    bind_dim(dim, v, &mut frame.env).map_err(|e| self.locate(func, node, e))?;
                }
            }
            return Ok(Some(node));
        }
        for (slot, result) in n.results.iter().enumerate() {
            let Some(result) = result else { continue };
            let Some(datum) = out.get(slot).cloned().flatten() else {
                return EvalError::failed(format!("`{}` gave no result {slot}", n.op.name()));
            };
            self.bind(func, *result, &datum, &mut frame.env)
                .map_err(|e| self.locate(func, node, e))?;
            seen(*result, &datum);
            if frame.uses.get(result).is_some_and(|&u| u > 0) {
                frame.values.insert(*result, datum);
            }
        }
        Ok(Some(node))
    }
}

/// A run of the entry function that the caller drives, and whose values it sees.
pub struct Stepper {
    interp: Interpreter,
    frame: Frame,
}

impl Stepper {
    /// Begins a run on inputs as [`Interpreter::run`] takes them. The module has passed the
    /// verifier.
    pub fn start(
        mut interp: Interpreter,
        inputs: &BTreeMap<String, Datum>,
    ) -> Result<Self, EvalError> {
        let args = interp.arguments(inputs)?;
        let entry = interp.module.entry;
        let body = interp.module.functions[entry].body;
        let frame = interp.enter(entry, body, args, Env::default(), 0)?;
        Ok(Self { interp, frame })
    }
    /// The parameters' values that are still needed.
    pub fn params(&self) -> impl Iterator<Item = (ValueId, &Datum)> {
        let params = &self.interp.module.main().body().params;
        params.iter().filter_map(|v| Some((*v, self.frame.values.get(v)?)))
    }
    /// Runs the next node of the body and shows its results; `None` after the last one.
    pub fn step(
        &mut self,
        seen: &mut dyn FnMut(ValueId, &Datum),
    ) -> Result<Option<NodeId>, EvalError> {
        self.interp.step(&mut self.frame, seen)
    }
    /// The sizes that are known so far.
    pub fn sizes(&self) -> impl Iterator<Item = (SymbolId, i64)> {
        self.frame.env.iter().map(|(&s, &v)| (s, v))
    }
    /// Runs what is left and gives the outputs.
    pub fn finish(mut self) -> Result<Vec<(String, Datum)>, EvalError> {
        while self.step(&mut |_, _| {})?.is_some() {}
        let names = self.interp.module.main().outputs.iter().map(|o| o.name.clone());
        Ok(names.zip(self.frame.leave()?).collect())
    }
}
