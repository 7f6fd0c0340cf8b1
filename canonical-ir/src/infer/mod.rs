//! Type inference: one function per op, used by the builder, the verifier and shape
//! inference alike. A rule checks the constraints of the op and gives the result types.
//! Each message cites the constraint's label in SPEC.md where it has one.
//!
//! A size that the operands do not determine is [`Dim::Any`]; the builder names it with a
//! fresh symbol, which the node then binds.

use std::cell::RefCell;

use smallvec::SmallVec;

use crate::dim::{Dim, Shape};
use crate::dtype::DType;
use crate::entity::{RegionId, TensorId};
use crate::module::{Function, Module, Operands};
use crate::op::{Arity, Op};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

pub mod facts;

pub mod activation;
pub mod attention;
pub mod control;
pub mod conv;
pub mod elementwise;
pub mod image;
pub mod index;
pub mod linear;
pub mod ml;
pub mod norm;
pub mod quant;
pub mod random;
pub mod reduce;
pub mod rnn;
pub mod sequence;
pub mod shape;
pub mod signal;
pub mod string;
pub mod training;

/// Result types by slot. Absent optional results get a type too; callers ignore it.
pub type InferResult = Result<Vec<Type>, InferError>;

/// Why result types could not be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// A constraint does not hold.
    #[error("{message}")]
    Invalid {
        /// A label of SPEC.md, such as `conv-c3`, or the op's name.
        label: String,
        /// What does not hold.
        message: String,
    },
    /// An operand's rank or dtype is not known yet (stage `Imported`).
    #[error("the type of operand `{0}` is not known")]
    Unknown(String),
}

/// An equality of sizes that an op asks for and its rule can neither prove nor refute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// A size of an operand.
    pub from: Dim,
    /// What it has to be.
    pub to: Dim,
    /// Whether it may be 1 as well.
    pub or_one: bool,
}

/// What an inference rule sees.
pub struct InferCx<'a> {
    /// The module, for tensors and called functions.
    pub module: &'a Module,
    /// The function, for regions and symbol ranges.
    pub func: &'a Function,
    op: &'a Op,
    operands: SmallVec<[Option<&'a Type>; 6]>,
    assumed: RefCell<Vec<Assumption>>,
}

/// The result types of an op applied to operands of a function.
pub fn infer(module: &Module, func: &Function, op: &Op, operands: &Operands) -> InferResult {
    let types = operands.iter().map(|v| v.and_then(|v| func.values.get(v)).map(|v| &v.ty));
    infer_types(module, func, op, types.collect())
}

/// The result types of an op for operand types.
pub fn infer_types<'a>(
    module: &'a Module,
    func: &'a Function,
    op: &'a Op,
    operands: SmallVec<[Option<&'a Type>; 6]>,
) -> InferResult {
    let cx = InferCx { module, func, op, operands, assumed: RefCell::default() };
    cx.check_operand_count()?;
    op.infer_dispatch(&cx)
}

/// What an op applied to operands takes for granted about sizes: a program that computes without
/// looking at shapes again has to check it first.
pub fn assumptions(
    module: &Module,
    func: &Function,
    op: &Op,
    operands: &Operands,
) -> Result<Vec<Assumption>, InferError> {
    let types = operands.iter().map(|v| v.and_then(|v| func.values.get(v)).map(|v| &v.ty));
    let cx = InferCx { module, func, op, operands: types.collect(), assumed: RefCell::default() };
    op.infer_dispatch(&cx)?;
    let range = |s| func.symbol_range(s);
    let mut found = cx.assumed.into_inner();
    found.retain(|a| !a.from.proves_eq(&a.to, &range));
    found.dedup();
    Ok(found)
}

impl<'a> InferCx<'a> {
    fn check_operand_count(&self) -> Result<(), InferError> {
        let info = self.op.info();
        let (_, most) = info.operand_count();
        if most.is_some_and(|m| self.operands.len() > m) {
            return self
                .fail("op-operands", format!("takes at most {} operands", most.unwrap_or(0)));
        }
        for (i, slot) in info.operands.iter().enumerate() {
            if slot.arity == Arity::One && self.operands.get(i).copied().flatten().is_none() {
                return self.fail("op-operands", format!("operand `{}` is missing", slot.name));
            }
        }
        Ok(())
    }

    /// The op's spelling.
    pub fn name(&self) -> &'static str {
        self.op.name()
    }
    /// An error that cites a constraint.
    pub fn fail<T>(&self, label: &str, message: impl Into<String>) -> Result<T, InferError> {
        let message = format!("`{}`: {}", self.name(), message.into());
        Err(InferError::Invalid { label: label.to_owned(), message })
    }
    /// An error unless a constraint holds.
    pub fn require(
        &self,
        holds: bool,
        label: &str,
        message: impl FnOnce() -> String,
    ) -> Result<(), InferError> {
        if holds { Ok(()) } else { self.fail(label, message()) }
    }
    /// The number of operand slots given, absent inner ones counted.
    pub fn operand_count(&self) -> usize {
        self.operands.len()
    }
    /// The name of an operand slot for messages.
    pub fn slot_name(&self, slot: usize) -> String {
        let slots = &self.op.info().operands;
        match slots.get(slot.min(slots.len().saturating_sub(1))) {
            Some(s) if s.arity == Arity::Variadic => {
                format!("{}[{}]", s.name, slot + 1 - slots.len())
            }
            Some(s) => s.name.to_owned(),
            None => slot.to_string(),
        }
    }
    /// The type of an operand that may be absent.
    pub fn opt(&self, slot: usize) -> Option<&'a Type> {
        self.operands.get(slot).copied().flatten()
    }
    /// The type of a required operand.
    pub fn operand(&self, slot: usize) -> Result<&'a Type, InferError> {
        self.opt(slot).ok_or_else(|| InferError::Invalid {
            label: "op-operands".to_owned(),
            message: format!("`{}`: operand `{}` is missing", self.name(), self.slot_name(slot)),
        })
    }
    /// The type of a required operand that has to be a ranked tensor.
    pub fn tensor(&self, slot: usize) -> Result<&'a TensorType, InferError> {
        self.as_tensor(self.operand(slot)?, slot)
    }
    /// The type of an optional operand that has to be a ranked tensor.
    pub fn opt_tensor(&self, slot: usize) -> Result<Option<&'a TensorType>, InferError> {
        self.opt(slot).map(|t| self.as_tensor(t, slot)).transpose()
    }
    /// The types of the operands from a slot on, all ranked tensors.
    pub fn tensors_from(&self, slot: usize) -> Result<Vec<&'a TensorType>, InferError> {
        (slot..self.operands.len()).map(|i| self.tensor(i)).collect()
    }
    fn as_tensor(&self, ty: &'a Type, slot: usize) -> Result<&'a TensorType, InferError> {
        match ty {
            Type::Tensor(t) => Ok(t),
            Type::Unranked(_) | Type::Unknown => Err(InferError::Unknown(self.slot_name(slot))),
            Type::Sequence(_) | Type::Optional(_) | Type::Map(..) => self
                .fail("op-tensor", format!("operand `{}` is not a tensor", self.slot_name(slot))),
        }
    }
    /// Checks that a non-negative axis is in range and gives it as an index.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize, InferError> {
        match usize::try_from(axis) {
            Ok(a) if a < rank => Ok(a),
            _ => self.fail("axis-range", format!("axis {axis} is not within rank {rank}")),
        }
    }
    /// Checks that axes are in range and distinct.
    pub fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, InferError> {
        let mut out = Vec::with_capacity(axes.len());
        for &axis in axes {
            let a = self.axis(axis, rank)?;
            self.require(!out.contains(&a), "axis-distinct", || format!("axis {a} occurs twice"))?;
            out.push(a);
        }
        Ok(out)
    }
    /// Checks that operands have the same dtype.
    pub fn same_dtype(&self, a: usize, b: usize) -> Result<(), InferError> {
        let (x, y) = (self.tensor(a)?.dtype, self.tensor(b)?.dtype);
        self.require(x == y, "dtype-same", || {
            format!(
                "operands `{}` ({x}) and `{}` ({y}) differ in dtype",
                self.slot_name(a),
                self.slot_name(b)
            )
        })
    }
    /// Notes that a size has to be another one, or 1, unless that is plain to see.
    fn assume(&self, from: &Dim, to: &Dim, or_one: bool) {
        let known = from.as_known().is_some()
            && (to.as_known().is_some() || from.as_known() == Some(1) && or_one);
        if !known && !from.is_any() && !to.is_any() && from != to {
            self.assumed.borrow_mut().push(Assumption {
                from: from.clone(),
                to: to.clone(),
                or_one,
            });
        }
    }
    /// One size for two that have to be equal: an error when they provably differ, else the
    /// more informative one.
    pub fn merge_dim(&self, a: &Dim, b: &Dim) -> Result<Dim, InferError> {
        self.assume(a, b, false);
        match (a, b) {
            (Dim::Known(x), Dim::Known(y)) if x != y => {
                self.fail("dim-equal", format!("sizes {x} and {y} differ"))
            }
            (Dim::Known(_), _) | (_, Dim::Any) => Ok(a.clone()),
            (_, Dim::Known(_)) | (Dim::Any, _) => Ok(b.clone()),
            (Dim::Expr(_), Dim::Expr(_)) => Ok(a.clone()),
        }
    }
    /// One shape for two that have to be equal.
    pub fn merge_shape(&self, a: &[Dim], b: &[Dim]) -> Result<Shape, InferError> {
        self.require(a.len() == b.len(), "rank-equal", || {
            format!("ranks {} and {} differ", a.len(), b.len())
        })?;
        a.iter().zip(b).map(|(x, y)| self.merge_dim(x, y)).collect()
    }
    /// The type of all tensor operands from `first` on, which have to be of one type.
    pub fn same_type(&self, first: usize) -> Result<TensorType, InferError> {
        let mut out = self.tensor(first)?.clone();
        for slot in first + 1..self.operands.len() {
            self.same_dtype(first, slot)?;
            out.shape = self.merge_shape(&out.shape, &self.tensor(slot)?.shape)?;
        }
        Ok(out)
    }
    /// Checks a dtype against a class.
    pub fn require_dtype(&self, dtype: DType, holds: bool, wanted: &str) -> Result<(), InferError> {
        self.require(holds, "dtype-class", || format!("wants {wanted}, not {dtype}"))
    }
    /// Checks that an operand, if present, is a scalar (rank 0, or one element of rank 1).
    pub fn scalar(&self, slot: usize) -> Result<(), InferError> {
        match self.opt_tensor(slot)? {
            Some(t) if t.rank() > 1 => {
                self.fail("scalar", format!("operand `{}` is not a scalar", self.slot_name(slot)))
            }
            _ => Ok(()),
        }
    }
    /// The types of a region's parameters.
    pub fn region_params(&self, region: RegionId) -> Result<Vec<&'a Type>, InferError> {
        match self.func.regions.get(region) {
            Some(r) => Ok(r.params.iter().map(|&v| self.func.ty(v)).collect()),
            None => self.fail("region-range", format!("there is no region {region}")),
        }
    }
    /// The types of a region's results.
    pub fn region_results(&self, region: RegionId) -> Result<Vec<&'a Type>, InferError> {
        match self.func.regions.get(region) {
            Some(r) => Ok(r.results.iter().map(|&v| self.func.ty(v)).collect()),
            None => self.fail("region-range", format!("there is no region {region}")),
        }
    }
    /// A tensor of the module.
    pub fn module_tensor(&self, id: TensorId) -> Result<&'a Tensor, InferError> {
        match self.module.tensors.get(id) {
            Some(t) => Ok(t),
            None => self.fail("tensor-range", format!("there is no tensor {id}")),
        }
    }
}

/// One result.
pub fn one(ty: impl Into<Type>) -> InferResult {
    Ok(vec![ty.into()])
}
