//! Adds nodes to a region, with types inferred.

mod inline;
mod sugar;

use std::sync::Arc;

use smallvec::SmallVec;

use crate::array::{Array, ArrayError, Scalar};
use crate::dim::{Dim, Range};
use crate::dtype::{Class, DType};
use crate::entity::{FuncId, NodeId, OriginId, RegionId, TensorId, ValueId};
use crate::infer::{InferError, infer};
use crate::module::{Function, Module, Operands};
use crate::op::{Arity, Constant, DimValue, Op};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

/// Why a node could not be added.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// The operands do not fit the op.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// A constant could not be made.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// The op does not have that many results.
    #[error("`{op}` does not have {wanted} results")]
    Results {
        /// The op.
        op: &'static str,
        /// How many were wanted.
        wanted: usize,
    },
}

/// A cursor at the end of a region of a function of a module.
pub struct Builder<'m> {
    /// The module.
    pub module: &'m mut Module,
    /// The function.
    pub func: FuncId,
    /// The region.
    pub region: RegionId,
    /// The origin of the nodes to come.
    pub origin: OriginId,
}

impl<'m> Builder<'m> {
    /// A builder at the end of a region.
    pub fn new(module: &'m mut Module, func: FuncId, region: RegionId, origin: OriginId) -> Self {
        Self { module, func, region, origin }
    }
    /// The function.
    pub fn f(&self) -> &Function {
        &self.module.functions[self.func]
    }
    /// The function for change.
    pub fn f_mut(&mut self) -> &mut Function {
        &mut self.module.functions[self.func]
    }
    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> &Type {
        self.f().ty(value)
    }
    /// The tensor type of a value.
    pub fn tensor_ty(&self, value: ValueId) -> Result<TensorType, BuildError> {
        match self.ty(value) {
            Type::Tensor(t) => Ok(t.clone()),
            Type::Unranked(_)
            | Type::Unknown
            | Type::Sequence(_)
            | Type::Optional(_)
            | Type::Map(..) => Err(InferError::Unknown(value.to_string()).into()),
        }
    }
    /// Adds a tensor to the module.
    pub fn add_tensor(&mut self, tensor: Tensor) -> TensorId {
        self.module.tensors.push(tensor)
    }

    /// Adds a node with the inferred result types; sizes that inference leaves open get
    /// fresh symbols. All results are present.
    pub fn node(
        &mut self,
        op: impl Into<Op>,
        operands: &[Option<ValueId>],
    ) -> Result<NodeId, BuildError> {
        let op = op.into();
        let types = infer(self.module, self.f(), &op, &Operands::from_slice(operands))?;
        let present = vec![true; types.len()];
        Ok(self.typed_node(op, operands, types, &present))
    }

    /// Adds a node whose results are present where `present` says so (missing entries: absent).
    pub fn node_with(
        &mut self,
        op: impl Into<Op>,
        operands: &[Option<ValueId>],
        present: &[bool],
    ) -> Result<NodeId, BuildError> {
        let op = op.into();
        let types = infer(self.module, self.f(), &op, &Operands::from_slice(operands))?;
        Ok(self.typed_node(op, operands, types, present))
    }

    /// Adds a node whose result types are already known; open sizes get fresh symbols.
    pub fn typed_node(
        &mut self,
        op: Op,
        operands: &[Option<ValueId>],
        types: Vec<Type>,
        present: &[bool],
    ) -> NodeId {
        let hint = op.name();
        let types: Vec<Option<Type>> = types
            .into_iter()
            .enumerate()
            .map(|(i, ty)| {
                present.get(i).copied().unwrap_or(false).then(|| self.name_open_dims(ty, hint))
            })
            .collect();
        let (region, origin) = (self.region, self.origin);
        self.f_mut().add_node(region, op, Operands::from_slice(operands), types, origin)
    }

    /// Gives each open size at the top level of a type a fresh symbol.
    fn name_open_dims(&mut self, ty: Type, hint: &str) -> Type {
        match ty {
            Type::Tensor(mut t) => {
                for dim in t.shape.iter_mut().filter(|d| **d == Dim::Any) {
                    *dim = self.fresh_dim(hint, Some(format!("size found by {hint}")));
                }
                Type::Tensor(t)
            }
            other => other,
        }
    }

    /// A fresh symbolic size, not negative.
    pub fn fresh_dim(&mut self, hint: &str, why: Option<String>) -> Dim {
        let range = Range { min: Some(0), max: None };
        Dim::from(self.f_mut().add_symbol(hint, range, why))
    }

    /// Adds a node whose one result is wanted.
    pub fn emit(&mut self, op: impl Into<Op>, operands: &[ValueId]) -> Result<ValueId, BuildError> {
        let operands: SmallVec<[_; 4]> = operands.iter().map(|&v| Some(v)).collect();
        self.emit_opt(op, &operands)
    }

    /// Adds a node with optional operands whose first result is wanted; later optional
    /// results are absent.
    pub fn emit_opt(
        &mut self,
        op: impl Into<Op>,
        operands: &[Option<ValueId>],
    ) -> Result<ValueId, BuildError> {
        let op = op.into();
        let name = op.name();
        let present: SmallVec<[bool; 4]> =
            op.info().results.iter().map(|s| s.arity != Arity::Optional).collect();
        let first_only: SmallVec<[bool; 4]> =
            present.iter().enumerate().map(|(i, p)| i == 0 || *p).collect();
        let node = self.node_with(op, operands, &first_only)?;
        self.f().nodes[node].result(0).ok_or(BuildError::Results { op: name, wanted: 1 })
    }

    /// Adds a node and gives all its results.
    pub fn emit_all(
        &mut self,
        op: impl Into<Op>,
        operands: &[Option<ValueId>],
    ) -> Result<Vec<ValueId>, BuildError> {
        let node = self.node(op, operands)?;
        Ok(self.f().nodes[node].outputs().collect())
    }

    /// A constant.
    pub fn constant(&mut self, array: &Array) -> Result<ValueId, BuildError> {
        let tensor = self.add_tensor(Tensor::from_array(array)?);
        self.emit(Constant { tensor }, &[])
    }
    /// A scalar constant of a dtype, rounded to it; the fraction is cut off for an integer dtype.
    pub fn scalar(&mut self, dtype: DType, value: f64) -> Result<ValueId, BuildError> {
        let scalar = match dtype.class() {
            Class::Bool => Scalar::Bool(value != 0.0),
            Class::Signed | Class::Unsigned => Scalar::Int(value as i128),
            Class::Float | Class::Complex | Class::String => Scalar::Float(value),
        };
        self.constant(&Array::scalar(dtype, &scalar)?)
    }
    /// A scalar integer constant.
    pub fn scalar_int(&mut self, dtype: DType, value: i64) -> Result<ValueId, BuildError> {
        let array = Array::full(dtype, Vec::new(), &Scalar::Int(value.into()))?;
        self.constant(&array)
    }
    /// An i64 vector constant.
    pub fn ints(&mut self, values: &[i64]) -> Result<ValueId, BuildError> {
        self.constant(&Array::from_i64s(DType::I64, vec![values.len()], values)?)
    }
    /// An i64 vector of sizes.
    pub fn dims_value(&mut self, dims: &[Dim]) -> Result<ValueId, BuildError> {
        match dims.iter().map(Dim::as_known).collect::<Option<Vec<i64>>>() {
            Some(known) => self.ints(&known),
            None => self.emit(DimValue { dims: dims.to_vec(), scalar: false }, &[]),
        }
    }
    /// An i64 scalar of a size.
    pub fn dim_scalar(&mut self, dim: &Dim) -> Result<ValueId, BuildError> {
        match dim.as_known() {
            Some(v) => self.scalar_int(DType::I64, v),
            None => self.emit(DimValue { dims: vec![dim.clone()], scalar: true }, &[]),
        }
    }

    /// Runs `f` with the cursor at the end of another region of the same function.
    pub fn in_region<T>(&mut self, region: RegionId, f: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.region, region);
        let out = f(self);
        self.region = outer;
        out
    }
    /// A new empty region with parameters of these types.
    pub fn new_region(&mut self, params: &[Type]) -> (RegionId, Vec<ValueId>) {
        let f = self.f_mut();
        let region = f.regions.push(Default::default());
        let ids = params.iter().map(|ty| f.add_param(region, ty.clone(), None)).collect();
        (region, ids)
    }
    /// Sets the results of a region.
    pub fn set_results(&mut self, region: RegionId, results: &[ValueId]) {
        self.f_mut().regions[region].results = results.to_vec();
    }
    /// Names a value if it has no name.
    pub fn name(&mut self, value: ValueId, name: impl Into<Arc<str>>) {
        let slot = &mut self.f_mut().values[value].name;
        if slot.is_none() {
            *slot = Some(name.into());
        }
    }
}
