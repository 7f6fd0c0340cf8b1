//! What is known of the values of a function before it runs.

use std::cell::RefCell;

use rustc_hash::FxHashMap;

use crate::array::{Array, Data};
use crate::entity::{TensorId, ValueId};
use crate::infer::facts::Facts;
use crate::interp::{Datum, EvalLimits, Interpreter};
use crate::module::{Def, Function, Module};
use crate::op::{Effects, Op};
use crate::visit::regions_of;

/// The most elements of a value that is computed.
const MOST_ELEMENTS: usize = 4096;
/// The most nodes that one value is computed from.
const MOST_NODES: u32 = 256;

/// What is known of the values of a function.
#[derive(Default)]
pub struct Known {
    /// The elements of small integer tensors.
    pub facts: Facts,
    /// From a parameter of a region that is a capture to the value outside.
    pub capture_of: FxHashMap<ValueId, ValueId>,
    computed: RefCell<FxHashMap<ValueId, Option<Array>>>,
}

impl Known {
    /// The value outside of all regions that a capture stands for.
    pub fn root(&self, mut value: ValueId) -> ValueId {
        while let Some(&outer) = self.capture_of.get(&value) {
            value = outer;
        }
        value
    }

    /// The tensor of a value that is a constant.
    pub fn tensor(&self, f: &Function, value: ValueId) -> Option<TensorId> {
        match f.values.get(self.root(value))?.def {
            Def::Result { node, .. } => match &f.nodes.get(node)?.op {
                Op::Constant(c) => Some(c.tensor),
                _ => None,
            },
            Def::Param { .. } => None,
        }
    }

    /// A truth value, if it is known.
    pub fn truth(&self, module: &Module, f: &Function, value: ValueId) -> Option<bool> {
        let root = self.root(value);
        if let Some(truth) = self.facts.truth(root) {
            return Some(truth);
        }
        let array = self.array(module, f, root)?;
        match &array.data {
            Data::Bool(v) if v.len() == 1 => v.first().copied(),
            _ => None,
        }
    }

    /// The elements of a small value that depends on constants only; they are computed.
    pub fn array(&self, module: &Module, f: &Function, value: ValueId) -> Option<Array> {
        let mut left = MOST_NODES;
        self.compute(module, f, value, &mut left)
    }

    fn compute(
        &self,
        module: &Module,
        f: &Function,
        value: ValueId,
        left: &mut u32,
    ) -> Option<Array> {
        let value = self.root(value);
        if let Some(known) = self.computed.borrow().get(&value) {
            return known.clone();
        }
        *left = left.checked_sub(1)?;
        let out = self.fresh(module, f, value, left);
        if out.is_some() || *left > 0 {
            self.computed.borrow_mut().insert(value, out.clone());
        }
        out
    }

    fn fresh(
        &self,
        module: &Module,
        f: &Function,
        value: ValueId,
        left: &mut u32,
    ) -> Option<Array> {
        let small = |shape: &[usize]| {
            let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            count.is_some_and(|n| n <= MOST_ELEMENTS)
        };
        let Def::Result { node, index } = f.values.get(value)?.def else { return None };
        let node = f.nodes.get(node)?;
        if let Op::Constant(c) = &node.op {
            let tensor = module.tensors.get(c.tensor)?;
            let count = tensor.numel().and_then(|n| usize::try_from(n).ok())?;
            return (count <= MOST_ELEMENTS).then(|| tensor.to_array().ok()).flatten();
        }
        let info = node.op.info();
        let plain = matches!(info.effects, Effects::Pure | Effects::MayFail)
            && !info.fields.iter().any(|f| matches!(f.kind, "tensor" | "function" | "source_op"))
            && regions_of(&node.op).is_empty();
        if !plain || !f.ty(value).as_tensor()?.known_shape().is_some_and(|s| small(&s)) {
            return None;
        }
        let mut operands = Vec::with_capacity(node.operands.len());
        for slot in &node.operands {
            operands.push(match slot {
                Some(v) => Some(Datum::from(self.compute(module, f, *v, left)?)),
                None => None,
            });
        }
        let mut dummy = Module::default();
        dummy.functions.push(Function::new("known"));
        let limits = EvalLimits { array_bytes: 1 << 20, steps: 1 << 16, depth: 16 };
        let out = Interpreter::new(dummy, limits).eval_op(&node.op, &operands).ok()?;
        let array = out.get(index as usize)?.as_ref()?.as_array()?.clone();
        small(&array.shape).then_some(array)
    }
}
