//! The reference interpreter: slow, readable and right. It runs core ops; a composite runs
//! through its decomposition, made for the operand shapes at hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::array::{Array, ArrayError, Scalar};
use crate::decompose::{NoDecomposition, decomposition_function};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::{FuncId, NodeId, RegionId, SymbolId, TensorId, ValueId};
use crate::module::{InputRole, Module};
use crate::op::{Op, Tier};
use crate::types::{TensorType, Type};

pub mod control;
pub mod conv;
pub mod elementwise;
mod frame;
pub mod image;
pub mod index;
pub mod linear;
pub mod ml;
pub mod random;
pub mod reduce;
pub mod sequence;
pub mod shape;
pub mod signal;
pub mod string;

pub use frame::Stepper;

/// A run-time value.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// A tensor.
    Tensor(Arc<Array>),
    /// A list.
    Sequence(Vec<Datum>),
    /// A value that may be absent.
    Optional(Option<Box<Datum>>),
    /// A map.
    Map(BTreeMap<MapKey, Datum>),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MapKey {
    /// An integer.
    Int(i64),
    /// A string.
    Str(crate::array::StrBytes),
}

impl From<Array> for Datum {
    fn from(array: Array) -> Self {
        Self::Tensor(Arc::new(array))
    }
}

impl Datum {
    /// The tensor, if it is one.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Tensor(a) => Some(a),
            Self::Sequence(_) | Self::Optional(_) | Self::Map(_) => None,
        }
    }
    /// The concrete type. An empty sequence or optional has an unknown element.
    pub fn ty(&self) -> Type {
        match self {
            Self::Tensor(a) => Type::tensor(a.dtype, a.shape.iter().map(|&d| Dim::Known(d as i64))),
            Self::Sequence(v) => Type::Sequence(Box::new(common_type(v))),
            Self::Optional(v) => {
                Type::Optional(Box::new(v.as_ref().map_or(Type::Unknown, |v| v.ty())))
            }
            Self::Map(m) => {
                let key = match m.keys().next() {
                    Some(MapKey::Str(_)) => DType::String,
                    Some(MapKey::Int(_)) | None => DType::I64,
                };
                Type::Map(key, Box::new(m.values().next().map_or(Type::Unknown, Datum::ty)))
            }
        }
    }
}

fn common_type(items: &[Datum]) -> Type {
    let mut types = items.iter().map(Datum::ty);
    match types.next() {
        None => Type::Unknown,
        Some(first) => {
            if types.all(|t| t == first) {
                first
            } else {
                first.dtype().map_or(Type::Unknown, Type::Unranked)
            }
        }
    }
}

/// Result values by slot. Absent optional results may be left out or `None`.
pub type EvalResult = Result<Vec<Option<Datum>>, EvalError>;

/// Why a run stopped.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// The op is not core.
    #[error("the op is not core")]
    NotCore,
    /// The interpreter cannot run this.
    #[error("not supported by the interpreter: {0}")]
    Unsupported(String),
    /// The program fails on these operands, as its ops define.
    #[error("{0}")]
    Failed(String),
    /// An array could not be made.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// A tensor's elements cannot be had.
    #[error(transparent)]
    Tensor(#[from] crate::tensor::TensorError),
    /// A composite could not be decomposed.
    #[error(transparent)]
    Decompose(#[from] NoDecomposition),
    /// A limit was reached.
    #[error("limit reached: {0}")]
    Limit(String),
    /// An error in a node.
    #[error("{place}: {error}")]
    At {
        /// The node.
        place: String,
        /// What happened there.
        error: Box<EvalError>,
    },
}

impl EvalError {
    /// A failure that the program defines.
    pub fn failed<T>(message: impl Into<String>) -> Result<T, Self> {
        Err(Self::Failed(message.into()))
    }
    /// The innermost error.
    pub fn root(&self) -> &EvalError {
        match self {
            Self::At { error, .. } => error.root(),
            other => other,
        }
    }
}

/// Bounds on a run.
#[derive(Clone, Copy, Debug)]
pub struct EvalLimits {
    /// The most bytes of one array.
    pub array_bytes: u64,
    /// The most node executions.
    pub steps: u64,
    /// The deepest nesting of regions and calls.
    pub depth: u32,
}

impl Default for EvalLimits {
    fn default() -> Self {
        Self { array_bytes: 8 << 30, steps: 50_000_000, depth: 64 }
    }
}

type Env = FxHashMap<SymbolId, i64>;

/// Runs functions of a module.
pub struct Interpreter {
    module: Module,
    limits: EvalLimits,
    steps: u64,
    rng_draws: u64,
    tensors: FxHashMap<TensorId, Arc<Array>>,
    decomposed: FxHashMap<(FuncId, NodeId), Vec<Decomposed>>,
}

/// Operand types of a composite, and the function that it is for them.
type Decomposed = (Vec<Option<Type>>, FuncId);

/// What the evaluation of a core op sees.
pub struct EvalCx<'i, 'a> {
    interp: &'i mut Interpreter,
    func: FuncId,
    operands: &'a [Option<Datum>],
    result_types: SmallVec<[Option<Type>; 2]>,
    env: &'a Env,
    depth: u32,
}

impl Interpreter {
    /// An interpreter of a module.
    pub fn new(module: Module, limits: EvalLimits) -> Self {
        Self {
            module,
            limits,
            steps: 0,
            rng_draws: 0,
            tensors: FxHashMap::default(),
            decomposed: FxHashMap::default(),
        }
    }

    /// Runs the entry function on its user inputs by name. Inputs with a default,
    /// parameters and state may be left out.
    pub fn run(
        &mut self,
        inputs: &BTreeMap<String, Datum>,
    ) -> Result<Vec<(String, Datum)>, EvalError> {
        let args = self.arguments(inputs)?;
        let results = self.call(self.module.entry, args, 0)?;
        let names = self.module.main().outputs.iter().map(|o| o.name.clone());
        Ok(names.zip(results).collect())
    }

    /// The values of the entry function's parameters.
    fn arguments(&mut self, inputs: &BTreeMap<String, Datum>) -> Result<Vec<Datum>, EvalError> {
        let specs = self.module.main().inputs.clone();
        let mut args = Vec::new();
        for spec in &specs {
            let stored = match spec.role {
                InputRole::User { default, .. } => default,
                InputRole::Param(tensor) | InputRole::State(tensor) => tensor,
            };
            let datum = match (inputs.get(&spec.name), stored) {
                (Some(given), _) => given.clone(),
                (None, Some(tensor)) => Datum::Tensor(self.tensor(tensor)?),
                (None, None) => {
                    return EvalError::failed(format!("input `{}` is not given", spec.name));
                }
            };
            args.push(datum);
        }
        Ok(args)
    }

    /// Evaluates one op, core or composite, on concrete operands: the constant folder's way
    /// in. The op must not carry regions.
    pub fn eval_op(&mut self, op: &Op, operands: &[Option<Datum>]) -> EvalResult {
        let types: Vec<Option<Type>> = operands.iter().map(|o| o.as_ref().map(Datum::ty)).collect();
        let func = self.module.entry;
        let refs = types.iter().map(Option::as_ref).collect();
        let inferred =
            crate::infer::infer_types(&self.module, &self.module.functions[func], op, refs)
                .map_err(|e| EvalError::Failed(e.to_string()))?;
        let wanted = vec![true; inferred.len()];
        match op.info().tier {
            Tier::Composite => {
                let f = decomposition_function(&mut self.module, func, op, &types, &wanted)?;
                let args = operands.iter().flatten().cloned().collect();
                Ok(self.call(f, args, 1)?.into_iter().map(Some).collect())
            }
            Tier::Core | Tier::Reference => {
                let env = Env::default();
                let result_types = inferred.into_iter().map(Some).collect();
                op.eval_dispatch(&mut EvalCx {
                    interp: self,
                    func,
                    operands,
                    result_types,
                    env: &env,
                    depth: 1,
                })
            }
        }
    }

    fn tensor(&mut self, id: TensorId) -> Result<Arc<Array>, EvalError> {
        if let Some(a) = self.tensors.get(&id) {
            return Ok(a.clone());
        }
        let Some(tensor) = self.module.tensors.get(id) else {
            return EvalError::failed(format!("there is no tensor {id}"));
        };
        let array = Arc::new(tensor.to_array()?);
        self.tensors.insert(id, array.clone());
        Ok(array)
    }

    fn call(
        &mut self,
        func: FuncId,
        args: Vec<Datum>,
        depth: u32,
    ) -> Result<Vec<Datum>, EvalError> {
        let body = self.module.functions[func].body;
        self.region(func, body, args, Env::default(), depth)
    }

    fn region(
        &mut self,
        func: FuncId,
        region: RegionId,
        args: Vec<Datum>,
        env: Env,
        depth: u32,
    ) -> Result<Vec<Datum>, EvalError> {
        let mut frame = self.enter(func, region, args, env, depth)?;
        while self.step(&mut frame, &mut |_, _| {})?.is_some() {}
        frame.leave()
    }

    fn locate(&self, func: FuncId, node: NodeId, error: EvalError) -> EvalError {
        if matches!(error, EvalError::At { .. }) {
            return error;
        }
        let n = &self.module.functions[func].nodes[node];
        let place = match self.module.source_of(n.origin) {
            Some(source) => source.to_string(),
            None => format!("{node} {}", n.op.name()),
        };
        EvalError::At { place, error: Box::new(error) }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one node at one place")]
    fn node(
        &mut self,
        func: FuncId,
        node: NodeId,
        op: &Op,
        operands: &[Option<Datum>],
        results: &[Option<ValueId>],
        env: &Env,
        depth: u32,
    ) -> EvalResult {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return Err(EvalError::Limit(format!("{} node executions", self.limits.steps)));
        }
        match op.info().tier {
            Tier::Composite => {
                let types: Vec<Option<Type>> =
                    operands.iter().map(|o| o.as_ref().map(Datum::ty)).collect();
                let wanted: Vec<bool> = results.iter().map(Option::is_some).collect();
                let f = self.decomposed(func, node, op, types, &wanted, env)?;
                let args = operands.iter().flatten().cloned().collect();
                let mut out = self.call(f, args, depth + 1)?.into_iter();
                Ok(wanted.iter().map(|&w| if w { out.next() } else { None }).collect())
            }
            Tier::Core | Tier::Reference => {
                let f = &self.module.functions[func];
                let result_types = results.iter().map(|r| r.map(|r| f.ty(r).clone())).collect();
                op.eval_dispatch(&mut EvalCx {
                    interp: self,
                    func,
                    operands,
                    result_types,
                    env,
                    depth,
                })
            }
        }
    }

    /// The decomposition of a node for operand types, made once per combination. Sizes in
    /// the op's fields are replaced by their values first.
    fn decomposed(
        &mut self,
        func: FuncId,
        node: NodeId,
        op: &Op,
        types: Vec<Option<Type>>,
        wanted: &[bool],
        env: &Env,
    ) -> Result<FuncId, EvalError> {
        struct Concrete<'e>(&'e Env);
        impl crate::attr::AttrVisitor for Concrete<'_> {
            fn dim(&mut self, dim: &mut Dim) {
                *dim = dim.substitute(&mut |s| self.0.get(&s).map(|&v| Dim::Known(v)));
            }
        }
        let mut concrete = op.clone();
        concrete.visit_attrs_mut(&mut Concrete(env));
        let carries_regions = !crate::visit::regions_of(op).is_empty();
        let symbolic = concrete != *op || (carries_regions && !env.is_empty());
        if !symbolic
            && let Some(cached) = self.decomposed.get(&(func, node))
            && let Some((_, f)) = cached.iter().find(|(t, _)| *t == types)
        {
            return Ok(*f);
        }
        let f = decomposition_function(&mut self.module, func, &concrete, &types, wanted)?;
        if carries_regions {
            // The regions were copied with the symbols they mention; these have values here.
            let mut bindings = crate::infer::control::Bindings::default();
            let source = &self.module.functions[func];
            for (id, symbol) in self.module.functions[f].symbols.iter() {
                let value = source.symbol_named(&symbol.name).and_then(|s| env.get(&s));
                bindings.extend(value.map(|&v| (id, Dim::Known(v))));
            }
            crate::copy::substitute_symbols(&mut self.module.functions[f], &bindings);
        }
        if !symbolic {
            self.decomposed.entry((func, node)).or_default().push((types, f));
        }
        Ok(f)
    }

    /// Binds the symbols of a value's type to the sizes of its contents, and checks the rest.
    fn bind(
        &self,
        func: FuncId,
        value: ValueId,
        datum: &Datum,
        env: &mut Env,
    ) -> Result<(), EvalError> {
        let ty = self.module.functions[func].ty(value);
        match (ty, datum) {
            (Type::Tensor(t), Datum::Tensor(a)) => {
                if t.dtype != a.dtype {
                    return EvalError::failed(format!("{value} is {}, not {}", a.dtype, t.dtype));
                }
                if t.shape.len() != a.shape.len() {
                    return EvalError::failed(format!(
                        "{value} has rank {}, not {}",
                        a.shape.len(),
                        t.shape.len()
                    ));
                }
                for (dim, &size) in t.shape.iter().zip(&a.shape) {
                    bind_dim(dim, size as i64, env).map_err(|e| {
                        EvalError::Failed(format!("{value} of shape {:?}: {e}", a.shape))
                    })?;
                }
                Ok(())
            }
            (Type::Unranked(d), Datum::Tensor(a)) if *d != a.dtype => {
                EvalError::failed(format!("{value} is {}, not {d}", a.dtype))
            }
            (Type::Tensor(_), _) => EvalError::failed(format!("{value} is not a tensor")),
            _ => Ok(()),
        }
    }
}

/// Makes a size equal a number: binds the one free symbol, or checks.
fn bind_dim(dim: &Dim, size: i64, env: &mut Env) -> Result<(), EvalError> {
    match dim.eval(&|s| env.get(&s).copied()) {
        Some(v) if v == size => Ok(()),
        Some(v) => EvalError::failed(format!("size {size} where {v} is expected")),
        None => {
            if let Some((symbol, v)) = crate::dim::solve_for(dim, size, &|s| env.get(&s).copied()) {
                env.insert(symbol, v);
            }
            Ok(())
        }
    }
}

impl EvalCx<'_, '_> {
    /// The operand in a slot.
    pub fn opt(&self, slot: usize) -> Option<&Datum> {
        self.operands.get(slot).and_then(Option::as_ref)
    }
    /// The number of operand slots given.
    pub fn operand_count(&self) -> usize {
        self.operands.len()
    }
    /// The required operand in a slot.
    pub fn datum(&self, slot: usize) -> Result<&Datum, EvalError> {
        self.opt(slot).ok_or_else(|| EvalError::Failed(format!("operand {slot} is missing")))
    }
    /// The required tensor in a slot.
    pub fn array(&self, slot: usize) -> Result<&Array, EvalError> {
        match self.datum(slot)?.as_array() {
            Some(a) => {
                // Without elements an array can have axes that no memory holds.
                if a.shape.contains(&0) {
                    self.check_size(a.dtype, &a.shape)?;
                }
                Ok(a)
            }
            None => EvalError::failed(format!("operand {slot} is not a tensor")),
        }
    }
    /// The optional tensor in a slot.
    pub fn opt_array(&self, slot: usize) -> Result<Option<&Array>, EvalError> {
        if self.opt(slot).is_some() { self.array(slot).map(Some) } else { Ok(None) }
    }
    /// The one element of an optional scalar operand.
    pub fn opt_scalar(&self, slot: usize) -> Result<Option<Scalar>, EvalError> {
        match self.opt_array(slot)? {
            None => Ok(None),
            Some(a) if a.numel() == 1 => Ok(a.get(0)),
            Some(a) => {
                EvalError::failed(format!("operand {slot} of shape {:?} is not a scalar", a.shape))
            }
        }
    }
    /// The type that the program states for a result, if that is a tensor. Its sizes may be
    /// symbolic.
    pub fn result_type(&self, slot: usize) -> Option<&TensorType> {
        self.result_types.get(slot)?.as_ref()?.as_tensor()
    }
    /// Whether a result is wanted.
    pub fn wants(&self, slot: usize) -> bool {
        self.result_types.get(slot).is_some_and(Option::is_some)
    }
    /// A size as a number.
    pub fn dim(&self, dim: &Dim) -> Result<i64, EvalError> {
        dim.eval(&|s| self.env.get(&s).copied()).ok_or_else(|| {
            let text = self.interp.module.functions[self.func].dim_text(dim);
            EvalError::Failed(format!("the size {text} is not bound"))
        })
    }
    /// Sizes as numbers.
    pub fn dims(&self, dims: &[Dim]) -> Result<Vec<i64>, EvalError> {
        dims.iter().map(|d| self.dim(d)).collect()
    }
    /// Sizes as a shape; fails when one is negative or the array would be over the limit.
    pub fn shape(&self, dtype: DType, dims: &[Dim]) -> Result<Vec<usize>, EvalError> {
        let mut shape = Vec::with_capacity(dims.len());
        for size in self.dims(dims)? {
            match usize::try_from(size) {
                Ok(s) => shape.push(s),
                Err(_) => return EvalError::failed(format!("size {size} is negative")),
            }
        }
        self.check_size(dtype, &shape)?;
        Ok(shape)
    }
    /// Fails when an array of this shape would be over the limit.
    pub fn check_size(&self, dtype: DType, shape: &[usize]) -> Result<(), EvalError> {
        // The sizes beside a zero count too: they are counters of loops.
        let numel = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d.max(1) as u64));
        let width = (dtype.bits() as u64 / 8).max(1);
        match numel.and_then(|n| n.checked_mul(width)) {
            Some(bytes) if bytes <= self.interp.limits.array_bytes => Ok(()),
            _ => Err(EvalError::Limit(format!("an array of shape {shape:?}"))),
        }
    }
    /// A tensor of the module.
    pub fn module_tensor(&mut self, id: TensorId) -> Result<Arc<Array>, EvalError> {
        self.interp.tensor(id)
    }
    /// Runs a region of the function.
    pub fn run_region(
        &mut self,
        region: RegionId,
        args: Vec<Datum>,
    ) -> Result<Vec<Datum>, EvalError> {
        self.interp.region(self.func, region, args, self.env.clone(), self.depth + 1)
    }
    /// Calls a function of the module.
    pub fn call(&mut self, func: FuncId, args: Vec<Datum>) -> Result<Vec<Datum>, EvalError> {
        self.interp.call(func, args, self.depth + 1)
    }
    /// A number that is different at each draw of an unseeded random op.
    pub fn next_draw(&mut self) -> u64 {
        self.interp.rng_draws += 1;
        self.interp.rng_draws
    }
    /// All operands.
    pub fn operands(&self) -> &[Option<Datum>] {
        self.operands
    }
}

/// One result.
pub fn one(value: impl Into<Datum>) -> EvalResult {
    Ok(vec![Some(value.into())])
}
