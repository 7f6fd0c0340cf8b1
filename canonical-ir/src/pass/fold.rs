//! Computes what is known before the program runs.
//!
//! 1. A node whose operands are constants becomes its value, which the interpreter computes.
//!    Broadcasts of constants count as constants; they are not folded themselves while the
//!    format leaves them implicit.
//! 2. `shape_of`, `size` and `dim_value` of known sizes become constants.
//! 3. `if` is not looked into, and nothing that draws random numbers, acts on the world, calls
//!    a function, carries a region or works on strings is run. A node that fails on its
//!    operands stays and fails when the program runs.
//!
//! The byte budget: a constant replaces a node when it is not larger than the constants that
//! go with the node, plus a little for the node itself, plus what the options allow. So the
//! file does not grow.

use super::{Editor, Outcome, Pass, PassCx, Site};
use crate::array::Array;
use crate::dim::{Dim, numel};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::shape::shape_of_range;
use crate::interp::{Datum, EvalLimits, Interpreter};
use crate::module::{Function, Module};
use crate::op::{Constant, Effects, Op, OpInfo, Tier};
use crate::tensor::{Storage, Tensor};
use crate::types::Type;

/// What a node takes in a file, roughly.
const NODE_BYTES: u64 = 64;

/// The pass.
pub struct Fold;

impl Pass for Fold {
    fn name(&self) -> &'static str {
        "fold"
    }
    fn doc(&self) -> &'static str {
        "computes nodes whose operands are constants, while the file does not grow"
    }
    fn run(&self, edit: &mut Editor<'_>, cx: &mut PassCx) -> Outcome {
        let mut eval = Evaluator::new(cx);
        Outcome::of(edit.sweep(self.name(), cx, &mut |site, cx| {
            if !known_sizes(site, cx) {
                constants(site, cx, &mut eval);
            }
        }))
    }
}

/// Runs single ops.
struct Evaluator {
    interp: Interpreter,
    limits: EvalLimits,
    runs: u32,
}

impl Evaluator {
    fn new(cx: &PassCx) -> Self {
        let limits = EvalLimits {
            array_bytes: cx.options.fold_operand_bytes.max(1 << 20),
            steps: 1 << 20,
            depth: 32,
        };
        Self { interp: fresh(limits), limits, runs: 0 }
    }
    fn eval(&mut self, op: &Op, operands: &[Option<Datum>]) -> Result<Vec<Option<Datum>>, String> {
        self.runs += 1;
        // Decompositions and the count of steps stay with an interpreter.
        if self.runs.is_multiple_of(256) {
            self.interp = fresh(self.limits);
        }
        self.interp.eval_op(op, operands).map_err(|e| e.to_string())
    }
}

fn fresh(limits: EvalLimits) -> Interpreter {
    let mut module = Module::default();
    module.functions.push(Function::new("fold"));
    Interpreter::new(module, limits)
}

/// Puts constants in the place of a node's results.
fn become_constants(
    site: &mut Site<'_>,
    cx: &mut PassCx,
    why: &'static str,
    arrays: Vec<Option<Array>>,
) -> bool {
    let has_symbols = !site.f().symbols.is_empty();
    for (slot, array) in arrays.iter().enumerate() {
        let Some(value) = site.n().result(slot) else { continue };
        if has_symbols
            && let (Some(array), Type::Tensor(t)) = (array, site.ty(value))
            && t.known_shape().is_none_or(|s| s != array.shape)
        {
            // A size was declared by a name; it stays what the program checks it against.
            site.decline(cx, "the size of the result has a name");
            return false;
        }
    }
    site.replace(cx, why, &[], |b| {
        let mut out = Vec::with_capacity(arrays.len());
        for array in arrays {
            out.push(match array {
                Some(array) => {
                    let tensor = b.add_tensor(Tensor::from_array(&array)?);
                    Some(b.emit(Constant { tensor }, &[])?)
                }
                None => None,
            });
        }
        Ok(out)
    })
}

fn known(dims: &[Dim]) -> Option<Vec<i64>> {
    dims.iter().map(Dim::as_known).collect()
}

fn known_sizes(site: &mut Site<'_>, cx: &mut PassCx) -> bool {
    let shape = |slot: usize| {
        site.operand(slot).and_then(|v| site.tensor_ty(v)).map(|t| t.shape.as_slice())
    };
    let found = match site.op() {
        Op::ShapeOf(op) => shape(0).and_then(|s| {
            let range = shape_of_range(op, s.len())?;
            let sizes = known(s.get(range)?)?;
            Some((vec![sizes.len()], sizes))
        }),
        Op::Size(_) => shape(0).and_then(|s| Some((Vec::new(), vec![numel(s).as_known()?]))),
        Op::DimValue(op) => {
            let shape = if op.scalar { Vec::new() } else { vec![op.dims.len()] };
            known(&op.dims).map(|sizes| (shape, sizes))
        }
        _ => None,
    };
    let Some((shape, sizes)) = found else { return false };
    match Array::from_i64s(DType::I64, shape, &sizes) {
        Ok(array) => become_constants(site, cx, "the sizes are known", vec![Some(array)]),
        Err(_) => false,
    }
}

/// Whether an op takes more than one step per element of its operands and results.
fn heavy(info: &OpInfo) -> bool {
    matches!(
        info.family,
        "linear" | "conv" | "attention" | "rnn" | "image" | "signal" | "ml" | "training"
    )
}

/// The bytes of a constant operand and those of them that go when the node goes; `None` when
/// it is no constant.
fn cost(site: &Site<'_>, value: ValueId) -> Option<(u64, u64)> {
    let inner = site.unbroadcast(value);
    let (id, tensor) = site.constant(inner)?;
    let bytes = tensor.byte_len()?;
    // Used by this node alone, perhaps more than once.
    let here = site.n().inputs().filter(|&v| v == value).count() as u32;
    let alone = site.uses(value) == here && (inner == value || site.uses(inner) == 1);
    let freed = if alone && site.tensor_refs(id) == 1 { bytes } else { 0 };
    Some((bytes, freed))
}

fn candidate(site: &Site<'_>) -> bool {
    let n = site.n();
    let info = n.op.info();
    if n.operands.is_empty()
        || info.tier == Tier::Reference
        || !matches!(info.effects, Effects::Pure | Effects::MayFail)
        || n.results.is_empty()
        || info.fields.iter().any(|f| matches!(f.kind, "tensor" | "region" | "function"))
    {
        return false;
    }
    match &n.op {
        Op::DimsOf(_) | Op::Assert(_) | Op::Identity(_) => false,
        Op::Broadcast(b) => !b.implicit,
        _ => true,
    }
}

fn constants(site: &mut Site<'_>, cx: &mut PassCx, eval: &mut Evaluator) -> bool {
    if !candidate(site) {
        return false;
    }
    let (mut bytes, mut budget, mut elements) = (0u64, NODE_BYTES, 0u64);
    let mut counted = Vec::new();
    for value in site.n().inputs() {
        let Some((size, freed)) = cost(site, value) else { return false };
        if counted.contains(&value) {
            continue;
        }
        counted.push(value);
        bytes = bytes.saturating_add(size);
        budget = budget.saturating_add(freed);
        let count = site.tensor_ty(value).and_then(|t| numel(&t.shape).as_known());
        elements =
            elements.saturating_add(count.and_then(|n| u64::try_from(n).ok()).unwrap_or(u64::MAX));
    }
    budget = budget.saturating_add(cx.options.fold_growth);
    // Sizes that are known before anything is read.
    let mut grown = 0u64;
    for value in site.n().outputs() {
        let Some(t) = site.tensor_ty(value) else {
            return false;
        };
        if t.dtype == DType::String {
            return false;
        }
        let count = numel(&t.shape).as_known().and_then(|n| u64::try_from(n).ok());
        match count.and_then(|n| t.dtype.byte_len(n)) {
            Some(n) => grown = grown.saturating_add(n),
            None => {
                site.decline(cx, "the size of the result is not known");
                return false;
            }
        }
    }
    if grown > budget {
        site.decline(cx, "the file would grow");
        return false;
    }
    let light = !heavy(site.op().info());
    if bytes > cx.options.fold_operand_bytes
        || elements > cx.options.fold_operand_bytes
        || (!light && elements > cx.options.fold_heavy_elements)
    {
        site.decline(cx, "the operands are large");
        return false;
    }
    let mut operands = Vec::new();
    for slot in site.n().operands.clone() {
        operands.push(match slot {
            None => None,
            Some(v) => match datum(site, v, eval) {
                Ok(d) => Some(d),
                Err(why) => {
                    site.decline(cx, why);
                    return false;
                }
            },
        });
    }
    let op = site.op().clone();
    let out = match eval.eval(&op, &operands) {
        Ok(out) => out,
        Err(why) => {
            site.decline(cx, why);
            return false;
        }
    };
    let wanted = site.n().results.clone();
    let mut arrays = Vec::new();
    for (slot, wanted) in wanted.iter().enumerate() {
        let array = out.get(slot).and_then(Option::as_ref).and_then(Datum::as_array);
        arrays.push(match (wanted, array) {
            (None, _) => None,
            (Some(_), Some(a)) => Some(a.clone()),
            (Some(_), None) => return false,
        });
    }
    become_constants(site, cx, "the operands are constants", arrays)
}

/// The elements of a constant, broadcast as the node sees them.
fn datum(site: &Site<'_>, value: ValueId, eval: &mut Evaluator) -> Result<Datum, String> {
    let inner = site.unbroadcast(value);
    let (_, tensor) = site.constant(inner).ok_or("an operand is not constant")?;
    if matches!(tensor.storage, Storage::External { .. }) {
        return Err("the elements of a constant are in a file that is not open".to_owned());
    }
    if tensor.dtype == DType::String {
        return Err("strings are not folded".to_owned());
    }
    let array = tensor.to_array().map_err(|e| e.to_string())?;
    if inner == value {
        return Ok(array.into());
    }
    let dims = site.tensor_ty(value).map(|t| t.shape.to_vec()).unwrap_or_default();
    let op = crate::op::Broadcast { dims, implicit: true };
    let out = eval.eval(&op.into(), &[Some(array.into())])?;
    out.into_iter().flatten().next().ok_or_else(|| "no value".to_owned())
}
