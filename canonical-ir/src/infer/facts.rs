//! Elements of small integer tensors, known in terms of sizes.
//!
//! Programs compute shapes with ordinary ops: the sizes of a tensor are taken apart, combined
//! and joined, and the outcome tells a reshape what to do. [`Facts`] follows such arithmetic
//! from node to node, so that what comes out is an expression over the symbols of the function.

use rustc_hash::FxHashMap;

use crate::array::Array;
use crate::dim::{Dim, Range as DimRange, numel};
use crate::dtype::DType;
use crate::entity::{NodeId, TensorId, ValueId};
use crate::infer::shape::shape_of_range;
use crate::interp::shape::slice_bounds;
use crate::module::{Function, Module, Node};
use crate::op::*;

/// Tensors of more elements are not followed.
pub const MAX_ELEMENTS: usize = 64;

/// What is known of one value: one entry per element, `Any` for one that is not known. Bools
/// are 0 and 1.
#[derive(Clone, Debug)]
struct Fact {
    dtype: DType,
    shape: Vec<usize>,
    elems: Vec<Dim>,
}

/// A side table of the elements of small integer tensors.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    known: FxHashMap<ValueId, Fact>,
}

/// One function and one node of it, with what is known of the operands.
struct Cx<'a> {
    module: &'a Module,
    func: &'a Function,
    node: &'a Node,
    facts: &'a Facts,
}

impl Facts {
    /// A table without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// The elements of an integer tensor of rank 0 or 1. Single elements that are not known
    /// are `Any`; where none is known there is no entry.
    pub fn get(&self, value: ValueId) -> Option<&[Dim]> {
        let fact = self.known.get(&value)?;
        (fact.shape.len() <= 1 && fact.dtype.is_integer()).then_some(&fact.elems)
    }

    /// The elements of an integer tensor of rank 0 or 1, when all of them are known numbers.
    pub fn numbers(&self, value: ValueId) -> Option<Vec<i64>> {
        self.get(value)?.iter().map(Dim::as_known).collect()
    }

    /// The truth value of a bool tensor of one element, when it is known.
    pub fn truth(&self, value: ValueId) -> Option<bool> {
        let fact = self.known.get(&value).filter(|f| f.dtype == DType::Bool)?;
        match fact.elems.as_slice() {
            [one] => one.as_known().map(|k| k != 0),
            _ => None,
        }
    }

    /// States that a value is another one: what is known of that is known of it.
    pub fn alias(&mut self, value: ValueId, same: ValueId) {
        if let Some(fact) = self.known.get(&same).cloned() {
            self.known.insert(value, fact);
        }
    }

    /// States the elements of a value, in row-major order. What does not fit its type, or is
    /// too long, is not kept.
    pub fn set(&mut self, func: &Function, value: ValueId, elems: Vec<Dim>) {
        let Some(ty) = func.values.get(value).and_then(|v| v.ty.as_tensor()) else { return };
        if !(ty.dtype.is_integer() || ty.dtype == DType::Bool) {
            return;
        }
        let Some(shape) = ty.known_shape().filter(|s| small(s) == Some(elems.len())) else {
            return;
        };
        let range = |s| func.symbol_range(s);
        let elems: Vec<Dim> = elems
            .into_iter()
            .map(|d| if fits(&d, ty.dtype, &range) { d } else { Dim::Any })
            .collect();
        if elems.iter().any(|d| !d.is_any()) {
            self.known.insert(value, Fact { dtype: ty.dtype, shape, elems });
        }
    }

    /// Derives what the results of a node are from what is known of its operands. Nodes are
    /// visited in order of execution.
    pub fn visit(&mut self, module: &Module, func: &Function, node: NodeId) {
        let Some(node) = func.nodes.get(node) else { return };
        match &node.op {
            Op::DimsOf(op) => self.stated(func, node, &op.dims),
            Op::If(op) => self.chosen(func, node, op),
            Op::Split(op) => {
                for (value, elems) in self.split(module, func, node, op) {
                    self.set(func, value, elems);
                }
            }
            _ => {
                let Some(out) = node.result(0) else { return };
                if !followed(func, out) {
                    return;
                }
                let cx = Cx { module, func, node, facts: self };
                if let Some(elems) = cx.derive(out) {
                    self.set(func, out, elems);
                }
            }
        }
    }

    /// An `if` whose condition is known gives what the branch gives, whose nodes were visited.
    fn chosen(&mut self, func: &Function, node: &Node, op: &If) {
        let condition = node.operand(0).and_then(|v| self.known.get(&v));
        let branch = match condition.and_then(|f| f.elems.first()).and_then(Dim::as_known) {
            Some(0) => op.else_branch,
            Some(_) => op.then_branch,
            None => return,
        };
        let Some(region) = func.regions.get(branch) else { return };
        for (i, inner) in region.results.iter().enumerate() {
            let elems = self.known.get(inner).map(|f| f.elems.clone());
            if let (Some(outer), Some(elems)) = (node.result(i), elems) {
                self.set(func, outer, elems);
            }
        }
    }

    /// `dims_of` says what its operand is.
    fn stated(&mut self, func: &Function, node: &Node, dims: &[Dim]) {
        let Some(x) = node.operand(0) else { return };
        let mut elems = dims.to_vec();
        if let Some(fact) = self.known.get(&x) {
            for (e, have) in elems.iter_mut().zip(&fact.elems) {
                if have.as_known().is_some() || e.is_any() {
                    *e = have.clone();
                }
            }
        }
        self.set(func, x, elems);
    }

    fn split(
        &self,
        module: &Module,
        func: &Function,
        node: &Node,
        op: &Split,
    ) -> Vec<(ValueId, Vec<Dim>)> {
        let cx = Cx { module, func, node, facts: self };
        let mut out = Vec::new();
        let Some(fact) = node.operand(0).and_then(|v| self.known.get(&v)) else { return out };
        let Some(axis) = usize::try_from(op.axis).ok().filter(|&a| a < fact.shape.len()) else {
            return out;
        };
        let mut start = 0i64;
        for (i, size) in op.sizes.iter().enumerate() {
            let Some(end) = size.as_known().and_then(|s| start.checked_add(s)) else { break };
            let picked = cx.sliced(fact, &[(axis, start, end, 1)]);
            if let (Some(value), Some(elems)) = (node.result(i), picked) {
                out.push((value, elems));
            }
            start = end;
        }
        out
    }
}

/// The number of elements, unless it is too great.
fn small(shape: &[usize]) -> Option<usize> {
    let n = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    (n <= MAX_ELEMENTS).then_some(n)
}

fn followed(func: &Function, value: ValueId) -> bool {
    let Some(ty) = func.values.get(value).and_then(|v| v.ty.as_tensor()) else { return false };
    let dtype = ty.dtype.is_integer() || ty.dtype == DType::Bool;
    dtype && ty.known_shape().is_some_and(|s| small(&s).is_some())
}

/// Whether an element is surely not changed by the width of its dtype. Sizes are taken to fit
/// 32 bits where the program computes with so many.
fn fits(d: &Dim, dtype: DType, range: &dyn Fn(crate::entity::SymbolId) -> DimRange) -> bool {
    match (d, dtype.int_range()) {
        (Dim::Any, _) => false,
        (Dim::Known(k), Some((low, high))) => (low..=high).contains(&i128::from(*k)),
        (Dim::Known(k), None) => (0..=1).contains(k),
        (Dim::Expr(_), None) => false,
        (Dim::Expr(_), Some((low, _))) => dtype.bits() >= 32 && (low < 0 || d.is_nonneg(range)),
    }
}

impl Cx<'_> {
    fn range(&self, d: &Dim) -> DimRange {
        d.range(&|s| self.func.symbol_range(s))
    }
    fn nonneg(&self, d: &Dim) -> bool {
        !d.is_any() && self.range(d).min.is_some_and(|m| m >= 0)
    }
    fn nonpos(&self, d: &Dim) -> bool {
        !d.is_any() && self.range(d).max.is_some_and(|m| m <= 0)
    }
    fn simplified(&self, d: Dim) -> Dim {
        match d {
            Dim::Expr(_) => d.simplify(&|s| self.func.symbol_range(s)),
            other => other,
        }
    }

    /// What is known of an operand; all `Any` for a small one of which nothing is known.
    fn fact(&self, slot: usize) -> Option<Fact> {
        let value = self.node.operand(slot)?;
        if let Some(fact) = self.facts.known.get(&value) {
            return Some(fact.clone());
        }
        let ty = self.func.values.get(value)?.ty.as_tensor()?;
        let shape = ty.known_shape()?;
        Some(Fact { dtype: ty.dtype, elems: vec![Dim::Any; small(&shape)?], shape })
    }
    fn elems(&self, slot: usize) -> Option<Vec<Dim>> {
        self.fact(slot).map(|f| f.elems)
    }
    /// The elements of an operand that are all numbers.
    fn numbers(&self, slot: usize) -> Option<(Vec<usize>, Vec<i64>)> {
        let fact = self.fact(slot)?;
        let values = fact.elems.iter().map(Dim::as_known).collect::<Option<Vec<_>>>()?;
        Some((fact.shape, values))
    }
    fn tensor(&self, id: TensorId) -> Option<Vec<Dim>> {
        let tensor = self.module.tensors.get(id)?;
        if tensor.numel()? > MAX_ELEMENTS as u64 {
            return None;
        }
        if tensor.dtype == DType::Bool {
            let array = tensor.to_array().ok()?;
            return Some(array.as_slice::<bool>()?.iter().map(|&b| i64::from(b).into()).collect());
        }
        if !tensor.dtype.is_integer() {
            return None;
        }
        let values = tensor.to_array().ok()?.to_i64s()?;
        Some(values.into_iter().map(Dim::Known).collect())
    }

    fn map(&self, f: impl Fn(&Dim) -> Dim) -> Option<Vec<Dim>> {
        Some(self.elems(0)?.iter().map(|d| if d.is_any() { Dim::Any } else { f(d) }).collect())
    }
    /// Combines all operands element by element, from the left.
    fn zip(&self, f: impl Fn(&Dim, &Dim) -> Dim) -> Option<Vec<Dim>> {
        let mut out = self.elems(0)?;
        for slot in 1..self.node.operands.len() {
            let other = self.elems(slot)?;
            if other.len() != out.len() {
                return None;
            }
            for (a, b) in out.iter_mut().zip(&other) {
                *a = if a.is_any() || b.is_any() { Dim::Any } else { f(a, b) };
            }
        }
        Some(out)
    }
    fn compare(&self, f: impl Fn(&Dim, &Dim) -> Option<bool>) -> Option<Vec<Dim>> {
        self.zip(|a, b| truth(f(a, b)))
    }
    fn is_equal(&self, a: &Dim, b: &Dim) -> Option<bool> {
        let range = |s| self.func.symbol_range(s);
        if a.proves_eq(b, &range) {
            Some(true)
        } else if a.proves_ne(b, &range) {
            Some(false)
        } else {
            None
        }
    }
    /// Whether a + least <= b.
    fn is_below(&self, a: &Dim, b: &Dim, least: i64) -> Option<bool> {
        let range = self.range(&(&(b - a) - least));
        if range.min.is_some_and(|m| m >= 0) {
            Some(true)
        } else if range.max.is_some_and(|m| m < 0) {
            Some(false)
        } else {
            None
        }
    }

    fn quotient(&self, a: &Dim, b: &Dim, rounding: IntRounding) -> Dim {
        if rounding == IntRounding::Floor || (self.nonneg(a) && self.nonneg(b)) {
            return a.floor_div(b);
        }
        match (a, b) {
            (Dim::Known(a), Dim::Known(b)) => a.checked_div(*b).map_or(Dim::Any, Dim::Known),
            _ if self.nonpos(a) && self.nonneg(b) => a.ceil_div(b),
            _ => Dim::Any,
        }
    }
    fn remainder(&self, a: &Dim, b: &Dim, rounding: IntRounding) -> Dim {
        if rounding == IntRounding::Floor || (self.nonneg(a) && self.nonneg(b)) {
            return a.rem(b);
        }
        match (a, b) {
            (Dim::Known(a), Dim::Known(b)) => a.checked_rem(*b).map_or(Dim::Any, Dim::Known),
            _ => Dim::Any,
        }
    }
    fn magnitude(&self, d: &Dim) -> Dim {
        if self.nonneg(d) {
            d.clone()
        } else if self.nonpos(d) {
            -d
        } else {
            Dim::max(d, &-d)
        }
    }

    /// The elements that an array of positions names.
    fn picked(&self, fact: &Fact, positions: &Array) -> Option<Vec<Dim>> {
        let at = positions.to_i64s()?;
        at.iter().map(|&i| fact.elems.get(usize::try_from(i).ok()?).cloned()).collect()
    }
    /// The position of each element of a tensor, in its shape.
    fn positions(&self, fact: &Fact) -> Option<Array> {
        Array::from_vec(fact.shape.clone(), (0..fact.elems.len() as i64).collect()).ok()
    }
    fn sliced(&self, fact: &Fact, cuts: &[(usize, i64, i64, i64)]) -> Option<Vec<Dim>> {
        let positions = self.positions(fact)?;
        let mut first = vec![0usize; fact.shape.len()];
        let mut steps = vec![1isize; fact.shape.len()];
        let mut lens = fact.shape.clone();
        for &(axis, start, end, step) in cuts {
            if step == 0 {
                return None;
            }
            let (at, len) = slice_bounds(*fact.shape.get(axis)?, start, end, step);
            *first.get_mut(axis)? = at;
            *lens.get_mut(axis)? = len;
            *steps.get_mut(axis)? = if len < 2 { 1 } else { step as isize };
        }
        self.picked(fact, &positions.slice(&first, &steps, &lens).ok()?)
    }
    fn slice(&self, op: &Slice) -> Option<Vec<Dim>> {
        let mut cuts = Vec::with_capacity(op.axes.len());
        for (((axis, start), end), step) in
            op.axes.iter().zip(&op.starts).zip(&op.ends).zip(&op.steps)
        {
            cuts.push((usize::try_from(*axis).ok()?, start.as_known()?, end.as_known()?, *step));
        }
        self.sliced(&self.fact(0)?, &cuts)
    }
    fn concat(&self, op: &Concat) -> Option<Vec<Dim>> {
        let facts =
            (0..self.node.operands.len()).map(|i| self.fact(i)).collect::<Option<Vec<_>>>()?;
        let mut all = Vec::new();
        let mut parts = Vec::new();
        for fact in facts {
            let first = all.len() as i64;
            all.extend(fact.elems);
            let positions = (first..all.len() as i64).collect();
            parts.push(Array::from_vec(fact.shape, positions).ok()?);
        }
        let joined =
            Array::concat(&parts.iter().collect::<Vec<_>>(), usize::try_from(op.axis).ok()?);
        let fact = Fact { dtype: DType::I64, shape: Vec::new(), elems: all };
        self.picked(&fact, &joined.ok()?)
    }
    fn broadcast(&self, out: &[usize]) -> Option<Vec<Dim>> {
        let fact = self.fact(0)?;
        self.picked(&fact, &self.positions(&fact)?.broadcast_to(out).ok()?)
    }
    fn tile(&self, op: &Tile) -> Option<Vec<Dim>> {
        let fact = self.fact(0)?;
        let mut positions = self.positions(&fact)?;
        for (axis, repeats) in op.repeats.iter().enumerate() {
            let copies = usize::try_from(repeats.as_known()?).ok()?;
            if copies.checked_mul(positions.numel())? > MAX_ELEMENTS {
                return None;
            }
            let size = *positions.shape.get(axis)?;
            let order: Vec<usize> = (0..copies).flat_map(|_| 0..size).collect();
            positions = positions.gather_rows(axis, &order).ok()?;
        }
        self.picked(&fact, &positions)
    }
    fn gather(&self, op: &Gather) -> Option<Vec<Dim>> {
        let fact = self.fact(0)?;
        let axis = usize::try_from(op.axis).ok()?;
        let size = *fact.shape.get(axis)?;
        let (_, indices) = self.numbers(1)?;
        let order = indices.iter().map(|&i| index(i, size)).collect::<Option<Vec<_>>>()?;
        self.picked(&fact, &self.positions(&fact)?.gather_rows(axis, &order).ok()?)
    }
    fn gather_elements(&self, op: &GatherElements) -> Option<Vec<Dim>> {
        let fact = self.fact(0)?;
        let [size] = *fact.shape.as_slice() else { return None };
        if op.axis != 0 {
            return None;
        }
        let (_, indices) = self.numbers(1)?;
        indices.iter().map(|&i| fact.elems.get(index(i, size)?).cloned()).collect()
    }
    /// Positions in row-major order that index tuples name; the tuples reach the last axis.
    fn tuple_positions(&self, slot: usize, shape: &[usize]) -> Option<Vec<usize>> {
        let (index_shape, indices) = self.numbers(slot)?;
        let width = *index_shape.last()?;
        if width != shape.len() || width == 0 {
            return None;
        }
        let at = |tuple: &[i64]| {
            tuple.iter().zip(shape).try_fold(0usize, |at, (&i, &size)| {
                at.checked_mul(size)?.checked_add(index(i, size)?)
            })
        };
        indices.chunks_exact(width).map(at).collect()
    }
    fn gather_nd(&self, op: &GatherNd) -> Option<Vec<Dim>> {
        let fact = self.fact(0)?;
        if op.batch_dims != 0 {
            return None;
        }
        let at = self.tuple_positions(1, &fact.shape)?;
        at.into_iter().map(|i| fact.elems.get(i).cloned()).collect()
    }
    fn scatter(&self, at: Vec<usize>, reduction: ScatterReduction) -> Option<Vec<Dim>> {
        let mut elems = self.elems(0)?;
        let updates = self.elems(2)?;
        if updates.len() != at.len() {
            return None;
        }
        for (i, update) in at.into_iter().zip(updates) {
            let slot = elems.get_mut(i)?;
            *slot = match reduction {
                ScatterReduction::None => update,
                ScatterReduction::Add => &*slot + &update,
                ScatterReduction::Mul => &*slot * &update,
                ScatterReduction::Min => self.simplified(Dim::min(slot, &update)),
                ScatterReduction::Max => self.simplified(Dim::max(slot, &update)),
            };
        }
        Some(elems)
    }
    fn scatter_elements(&self, op: &ScatterElements) -> Option<Vec<Dim>> {
        let [size] = *self.fact(0)?.shape.as_slice() else { return None };
        let (_, indices) = self.numbers(1)?;
        let at = indices.iter().map(|&i| index(i, size)).collect::<Option<Vec<_>>>()?;
        self.scatter(at, op.reduction)
    }
    fn select(&self) -> Option<Vec<Dim>> {
        let (condition, x, y) = (self.elems(0)?, self.elems(1)?, self.elems(2)?);
        if condition.len() != x.len() || x.len() != y.len() {
            return None;
        }
        let choose = |(c, (x, y)): (&Dim, (&Dim, &Dim))| match c {
            Dim::Known(0) => y.clone(),
            Dim::Known(_) => x.clone(),
            _ if x == y => x.clone(),
            _ => Dim::Any,
        };
        Some(condition.iter().zip(x.iter().zip(&y)).map(choose).collect())
    }
    fn cast(&self) -> Option<Vec<Dim>> {
        let fact = self.fact(0)?;
        let to = self.func.values.get(self.node.result(0)?)?.ty.dtype()?;
        if !(fact.dtype.is_integer() || fact.dtype == DType::Bool) {
            return None;
        }
        if to != DType::Bool {
            return Some(fact.elems);
        }
        let zero = Dim::Known(0);
        let one = |d: &Dim| truth(self.is_equal(d, &zero).map(|e| !e));
        Some(fact.elems.iter().map(one).collect())
    }
    fn clip(&self) -> Option<Vec<Dim>> {
        let mut elems = self.elems(0)?;
        for slot in 1..=2 {
            if self.node.operand(slot).is_none() {
                continue;
            }
            let bound = self.elems(slot)?.first()?.clone();
            for d in &mut elems {
                let held = if slot == 1 { Dim::max(d, &bound) } else { Dim::min(d, &bound) };
                *d = self.simplified(held);
            }
        }
        Some(elems)
    }
    fn combined(&self, kind: ReduceKind, a: &Dim, b: &Dim) -> Dim {
        match kind {
            ReduceKind::Sum => a + b,
            ReduceKind::Prod => a * b,
            ReduceKind::Max => self.simplified(Dim::max(a, b)),
            ReduceKind::Min => self.simplified(Dim::min(a, b)),
            ReduceKind::And => truth(both(a, b, false)),
            ReduceKind::Or => truth(both(a, b, true)),
        }
    }
    fn reduce(&self, op: &Reduce) -> Option<Vec<Dim>> {
        let fact = self.fact(0)?;
        if op.axes.is_empty() {
            return Some(fact.elems);
        }
        if op.axes.len() != fact.shape.len() {
            return None;
        }
        let mut elems = fact.elems.into_iter();
        let first = match (elems.next(), op.kind) {
            (Some(first), _) => first,
            (None, ReduceKind::Sum | ReduceKind::Or) => Dim::Known(0),
            (None, ReduceKind::Prod | ReduceKind::And) => Dim::Known(1),
            (None, ReduceKind::Max | ReduceKind::Min) => return None,
        };
        Some(vec![elems.fold(first, |a, b| self.combined(op.kind, &a, &b))])
    }
    fn scan(&self, op: &ScanReduce) -> Option<Vec<Dim>> {
        let fact = self.fact(0)?;
        if fact.shape.len() != 1 {
            return None;
        }
        let mut elems = fact.elems;
        if op.reverse {
            elems.reverse();
        }
        let mut acc = match op.kind {
            ReduceKind::Sum => Some(Dim::Known(0)),
            ReduceKind::Prod => Some(Dim::Known(1)),
            _ if op.exclusive => return None,
            _ => None,
        };
        for d in &mut elems {
            let next = match &acc {
                Some(acc) => self.combined(op.kind, acc, d),
                None => d.clone(),
            };
            let before = acc.replace(next.clone());
            *d = if op.exclusive { before.unwrap_or(Dim::Any) } else { next };
        }
        if op.reverse {
            elems.reverse();
        }
        Some(elems)
    }
    fn counted(&self, n: usize, start: &Dim, delta: &Dim) -> Vec<Dim> {
        (0..n as i64).map(|i| start + &(delta * i)).collect()
    }
    fn pad(&self, op: &Pad) -> Option<Vec<Dim>> {
        let fact = self.fact(0)?;
        let ([low], [high], 1) = (op.low.as_slice(), op.high.as_slice(), fact.shape.len()) else {
            return None;
        };
        let (low, high) = (low.as_known()?, high.as_known()?);
        let most = MAX_ELEMENTS as i64;
        if op.mode != PadMode::Constant || !(0..=most).contains(&low) || !(0..=most).contains(&high)
        {
            return None;
        }
        let value = match self.node.operand(1) {
            Some(_) => self.elems(1)?.first()?.clone(),
            None => Dim::Known(0),
        };
        let mut out = vec![value.clone(); low as usize];
        out.extend(fact.elems);
        out.extend(vec![value; high as usize]);
        Some(out)
    }
    fn operand_shape(&self, slot: usize) -> Option<&[Dim]> {
        let value = self.func.values.get(self.node.operand(slot)?)?;
        Some(&value.ty.as_tensor()?.shape)
    }

    /// The elements of the first result.
    fn derive(&self, out: ValueId) -> Option<Vec<Dim>> {
        let shape = self.func.values.get(out)?.ty.as_tensor()?.known_shape()?;
        let n = small(&shape)?;
        match &self.node.op {
            Op::Constant(op) => self.tensor(op.tensor),
            Op::DimValue(op) => Some(op.dims.clone()),
            Op::ShapeOf(op) => {
                let shape = self.operand_shape(0)?;
                Some(shape.get(shape_of_range(op, shape.len())?)?.to_vec())
            }
            Op::Size(_) => Some(vec![numel(self.operand_shape(0)?)]),
            Op::Full(op) => Some(vec![self.tensor(op.value)?.first()?.clone(); n]),
            Op::Iota(_) if shape.len() == 1 => {
                Some(self.counted(n, &Dim::Known(0), &Dim::Known(1)))
            }
            Op::Range(_) => Some(self.counted(n, self.elems(0)?.first()?, self.elems(2)?.first()?)),
            Op::Identity(_)
            | Op::Reshape(_)
            | Op::Squeeze(_)
            | Op::Unsqueeze(_)
            | Op::Flatten(_) => self.elems(0),
            Op::Cast(_) | Op::CastLike(_) => self.cast(),
            Op::Transpose(op) => {
                let fact = self.fact(0)?;
                let perm = op.perm.iter().map(|&p| usize::try_from(p).ok());
                let perm = perm.collect::<Option<Vec<_>>>()?;
                self.picked(&fact, &self.positions(&fact)?.transpose(&perm).ok()?)
            }
            Op::Broadcast(_) => self.broadcast(&shape),
            Op::Slice(op) => self.slice(op),
            Op::Concat(op) => self.concat(op),
            Op::Tile(op) => self.tile(op),
            Op::Pad(op) => self.pad(op),
            Op::Gather(op) => self.gather(op),
            Op::GatherElements(op) => self.gather_elements(op),
            Op::GatherNd(op) => self.gather_nd(op),
            Op::ScatterNd(op) => {
                let shape = self.fact(0)?.shape;
                self.scatter(self.tuple_positions(1, &shape)?, op.reduction)
            }
            Op::ScatterElements(op) => self.scatter_elements(op),
            Op::Select(_) => self.select(),
            Op::Clip(_) => self.clip(),
            Op::Reduce(op) => self.reduce(op),
            Op::ScanReduce(op) => self.scan(op),
            Op::Add(_) | Op::VariadicSum(_) => self.zip(|a, b| a + b),
            Op::Sub(_) => self.zip(|a, b| a - b),
            Op::Mul(_) => self.zip(|a, b| a * b),
            Op::Div(op) => self.zip(|a, b| self.quotient(a, b, op.rounding)),
            Op::Rem(op) => self.zip(|a, b| self.remainder(a, b, op.rounding)),
            Op::Max(_) | Op::VariadicMax(_) => self.zip(|a, b| self.simplified(Dim::max(a, b))),
            Op::Min(_) | Op::VariadicMin(_) => self.zip(|a, b| self.simplified(Dim::min(a, b))),
            Op::Neg(_) => self.map(|d| -d),
            Op::Abs(_) => self.map(|d| self.magnitude(d)),
            Op::Sign(_) => self.map(|d| match self.range(d) {
                DimRange { min: Some(1..), .. } => Dim::Known(1),
                DimRange { max: Some(i64::MIN..=-1), .. } => Dim::Known(-1),
                DimRange { min: Some(0), max: Some(0) } => Dim::Known(0),
                _ => Dim::Any,
            }),
            Op::Equal(_) => self.compare(|a, b| self.is_equal(a, b)),
            Op::Less(_) => self.compare(|a, b| self.is_below(a, b, 1)),
            Op::LessOrEqual(_) => self.compare(|a, b| self.is_below(a, b, 0)),
            Op::Greater(_) => self.compare(|a, b| self.is_below(b, a, 1)),
            Op::GreaterOrEqual(_) => self.compare(|a, b| self.is_below(b, a, 0)),
            Op::Not(_) => self.map(|d| truth(d.as_known().map(|k| k == 0))),
            Op::And(_) => self.logical(false),
            Op::Or(_) => self.logical(true),
            _ => None,
        }
    }
    fn logical(&self, decisive: bool) -> Option<Vec<Dim>> {
        let (a, b) = (self.elems(0)?, self.elems(1)?);
        let pairs = (a.len() == b.len()).then(|| a.iter().zip(&b))?;
        Some(pairs.map(|(a, b)| truth(both(a, b, decisive))).collect())
    }
}

fn truth(b: Option<bool>) -> Dim {
    b.map_or(Dim::Any, |b| Dim::Known(b.into()))
}

/// `or` where `true` decides, `and` where `false` does.
fn both(a: &Dim, b: &Dim, decisive: bool) -> Option<bool> {
    match (a.as_known().map(|k| k != 0), b.as_known().map(|k| k != 0)) {
        (Some(a), _) if a == decisive => Some(decisive),
        (_, Some(b)) if b == decisive => Some(decisive),
        (Some(_), Some(_)) => Some(!decisive),
        _ => None,
    }
}

/// An index that counts from the end when negative.
fn index(i: i64, size: usize) -> Option<usize> {
    let size = i64::try_from(size).ok()?;
    let i = if i < 0 { i.checked_add(size)? } else { i };
    usize::try_from(i).ok().filter(|_| i < size)
}

/// The shape that a reshape asks for: -1 takes what is left; 0 keeps the operand's size at
/// that position unless `allow_zero`.
pub fn reshape_dims(shape: &[Dim], asked: &[Dim], allow_zero: bool) -> Result<Vec<Dim>, String> {
    let mut dims = Vec::with_capacity(asked.len());
    let mut inferred = None;
    for (i, d) in asked.iter().enumerate() {
        dims.push(match d.as_known() {
            Some(0) if !allow_zero => shape
                .get(i)
                .cloned()
                .ok_or_else(|| format!("there is no size to keep at axis {i}"))?,
            Some(-1) => {
                if inferred.replace(i).is_some() {
                    return Err("more than one size is -1".to_owned());
                }
                Dim::Known(1)
            }
            Some(v) if v < 0 => return Err(format!("the size {v} is negative")),
            _ => d.clone(),
        });
    }
    if let Some(i) = inferred {
        let total = numel(shape);
        let rest = numel(&dims);
        dims[i] = match (total.as_known(), rest.as_known()) {
            (Some(t), Some(r)) if r == 0 || t % r != 0 => {
                if t == 0 && r == 0 {
                    Dim::Known(0)
                } else {
                    return Err(format!("{t} elements do not divide into {r}"));
                }
            }
            _ => total.floor_div(&rest),
        };
    }
    Ok(dims)
}
