//! What is known of values while a function is flattened: which are constants, what makes them
//! and what integers they can be.

use airconv_ir::array::Array;
use airconv_ir::dtype::DType;
use airconv_ir::entity::{NodeId, TensorId, ValueId};
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::{Function, Module, Node};
use airconv_ir::op::{self, Op};
use airconv_ir::types::TensorType;
use rustc_hash::FxHashMap;

use super::code::tensor_of;
use super::flatten::Flatten;

/// The most bytes, counting eight for an element, of a constant that is made here.
const MOST_FOLDED: u64 = 512 << 20;

/// The most bytes, counting eight for an element, of a constant of bytes that is widened although
/// products of bytes stay what they are: zero points.
const FEW: u64 = 8;

/// Whether it is an integer of eight bits.
pub(super) fn is_byte(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::U8)
}

/// How far back the bounds of a value are looked for.
const BACK: u32 = 16;

/// Facts about values.
#[derive(Default)]
pub(super) struct Facts {
    constants: FxHashMap<ValueId, TensorId>,
    made: FxHashMap<ValueId, NodeId>,
    bounds: FxHashMap<TensorId, Option<(i64, i64)>>,
    evaluator: Option<Interpreter>,
}

impl Facts {
    /// Notes the results of a node that stays. What a loop takes from outside is inside what it
    /// is outside.
    pub fn note(&mut self, f: &Function, id: NodeId) {
        let node = &f.nodes[id];
        for v in node.results.iter().flatten() {
            self.made.insert(*v, id);
        }
        match &node.op {
            Op::Constant(c) => {
                if let Some(v) = node.result(0) {
                    self.constants.insert(v, c.tensor);
                }
            }
            Op::Loop(l) => {
                let carried = l.carried as usize;
                let params = f.regions[l.body].params.iter().skip(2);
                let given = node.operands.iter().skip(2).flatten();
                for (v, param) in given.zip(params).skip(carried) {
                    if let Some(&tensor) = self.constants.get(v) {
                        self.constants.insert(*param, tensor);
                    }
                }
            }
            _ => {}
        }
    }

    /// The tensor that a value is.
    pub fn constant(&self, v: ValueId) -> Option<TensorId> {
        self.constants.get(&v).copied()
    }

    /// The node that makes a value.
    pub fn node(&self, v: ValueId) -> Option<NodeId> {
        self.made.get(&v).copied()
    }

    /// The least and the greatest integer of a tensor.
    fn tensor_bounds(&mut self, module: &Module, id: TensorId) -> Option<(i64, i64)> {
        if let Some(found) = self.bounds.get(&id) {
            return *found;
        }
        let list = module.tensors[id].to_array().ok().and_then(|a| a.to_i64s());
        let found = list.and_then(|l| Some((*l.iter().min()?, *l.iter().max()?)));
        self.bounds.insert(id, found);
        found
    }

    /// Bounds of the integers that a value can hold.
    pub fn bounds(&mut self, module: &Module, f: &Function, v: ValueId) -> Option<(i64, i64)> {
        self.bounds_within(module, f, v, BACK)
    }

    fn bounds_within(
        &mut self,
        module: &Module,
        f: &Function,
        v: ValueId,
        back: u32,
    ) -> Option<(i64, i64)> {
        let dtype = f.ty(v).dtype().filter(|d| d.is_integer())?;
        if let Some(id) = self.constant(v) {
            return self.tensor_bounds(module, id);
        }
        let all = || {
            let (low, high) = dtype.int_range()?;
            Some((i64::try_from(low).ok()?, i64::try_from(high).ok()?))
        };
        let Some(&id) = self.made.get(&v) else { return all() };
        let node = &f.nodes[id];
        if back == 0 {
            return all();
        }
        let mut of = |slot: usize| -> Option<(i64, i64)> {
            self.bounds_within(module, f, node.operand(slot)?, back - 1)
        };
        let found = match &node.op {
            Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Slice(_)
            | Op::Broadcast(_)
            | Op::GatherNd(_) => of(0),
            Op::Cast(_) => of(0),
            Op::Pad(_) => {
                let value = if node.operand(1).is_some() { of(1) } else { Some((0, 0)) };
                of(0).zip(value).map(|((a, b), (c, d))| (a.min(c), b.max(d)))
            }
            Op::Select(_) => of(1).zip(of(2)).map(|((a, b), (c, d))| (a.min(c), b.max(d))),
            Op::Sub(_) => of(0)
                .zip(of(1))
                .and_then(|((a, b), (c, d))| Some((a.checked_sub(d)?, b.checked_sub(c)?))),
            Op::Add(_) => of(0)
                .zip(of(1))
                .and_then(|((a, b), (c, d))| Some((a.checked_add(c)?, b.checked_add(d)?))),
            _ => None,
        };
        // Where a result might not fit, it wraps.
        let (low, high) = all()?;
        match found {
            Some((a, b)) if a >= low && b <= high => Some((a, b)),
            _ => Some((low, high)),
        }
    }
}

/// Eight bytes per element of a value of known size.
fn volume(ty: Option<&TensorType>) -> Option<u64> {
    let ty = ty.filter(|t| t.dtype != DType::String)?;
    ty.shape.iter().try_fold(8u64, |n, d| n.checked_mul(u64::try_from(d.as_known()?).ok()?))
}

impl Flatten<'_> {
    /// The elements of a constant or of one that is broadcast, with eight bytes per element that
    /// is stored.
    fn known(&self, v: ValueId) -> Option<(Array, u64)> {
        if let Some(id) = self.facts.constant(v) {
            let tensor = &self.module.tensors[id];
            return Some((tensor.to_array().ok()?, tensor.numel()?.checked_mul(8)?));
        }
        let f = &self.module.functions[self.func];
        let node = &f.nodes[*self.facts.made.get(&v)?];
        let Op::Broadcast(_) = node.op else { return None };
        let tensor = &self.module.tensors[self.facts.constant(node.operand(0)?)?];
        let ty = f.ty(v).as_tensor()?;
        volume(Some(ty)).filter(|&bytes| bytes <= MOST_FOLDED)?;
        let shape: Option<Vec<usize>> =
            ty.shape.iter().map(|d| usize::try_from(d.as_known()?).ok()).collect();
        let array = tensor.to_array().ok()?.broadcast_to(&shape?).ok()?;
        Some((array, tensor.numel()?.checked_mul(8)?))
    }

    /// Lets a node that only rearranges, converts, shifts or scales constants become one, so that
    /// weights are there before the program runs.
    pub(super) fn fold(&mut self, id: NodeId, node: &Node) {
        let moves = matches!(
            node.op,
            Op::Slice(_)
                | Op::Reshape(_)
                | Op::Transpose(_)
                | Op::Broadcast(_)
                | Op::Cast(_)
                | Op::Add(_)
                | Op::Sub(_)
                | Op::Mul(_)
                | Op::Div(_)
                | Op::Concat(_)
        );
        let &[Some(result)] = &node.results[..] else { return };
        if !moves {
            return;
        }
        let f = &self.module.functions[self.func];
        let Some(bytes) = volume(f.ty(result).as_tensor()) else { return };
        let narrow = || node.operand(0).and_then(|x| f.ty(x).dtype()).is_some_and(is_byte);
        let widens = self.bytes && matches!(&node.op, Op::Cast(c) if c.to == DType::I32);
        if bytes > MOST_FOLDED || (widens && narrow() && bytes > FEW) {
            return;
        }
        let mut arrays = Vec::with_capacity(node.operands.len());
        let mut given = 0u64;
        for v in node.inputs() {
            let Some((array, own)) = self.known(v) else { return };
            given = given.saturating_add(own);
            arrays.push(Some(Datum::from(array)));
        }
        // What would grow is made where it is needed.
        if bytes > given.saturating_add(64) {
            return;
        }
        let interpreter = self.facts.evaluator.get_or_insert_with(|| {
            let mut module = Module::default();
            module.functions.push(Function::new("fold"));
            Interpreter::new(module, EvalLimits::default())
        });
        let Ok(made) = interpreter.eval_op(&node.op, &arrays) else { return };
        let Some(Some(Datum::Tensor(array))) = made.into_iter().next() else { return };
        let Ok(tensor) = tensor_of(self.module, &array) else { return };
        let slot = &mut self.module.functions[self.func].nodes[id];
        slot.op = Op::Constant(op::Constant { tensor });
        slot.operands.clear();
    }
}
