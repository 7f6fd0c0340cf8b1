//! Short forms for statements and scalar code, for kernels that are more than one expression
//! per element.

use airconv_ir::array::Array;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::TensorId;
use airconv_ir::module::Module;
use airconv_ir::tensor::Tensor;

use super::pull::Pull;
use super::special::variable;
use super::{Lowerer, Stop};
use crate::ir::{
    BinOp, Buffer, BufferId, BufferKind, Const, Expr, ExprId, LocalId, LoopKind, Scalar, Stmt, UnOp,
};

/// Gives a local a value.
pub(super) fn set(local: LocalId, value: ExprId) -> Stmt {
    Stmt::Set { local, value }
}

/// Runs a list where a condition holds.
pub(super) fn when(cond: ExprId, then: Vec<Stmt>) -> Stmt {
    Stmt::If { cond, then, otherwise: Vec::new() }
}

/// Runs one of two lists.
pub(super) fn either(cond: ExprId, then: Vec<Stmt>, otherwise: Vec<Stmt>) -> Stmt {
    Stmt::If { cond, then, otherwise }
}

/// Runs a list as long as a condition holds.
pub(super) fn repeat(cond: ExprId, body: Vec<Stmt>) -> Stmt {
    Stmt::While { cond, body }
}

/// A loop in order over an index made by [`Pull::counter`].
pub(super) fn each(index: &Dim, extent: Dim, body: Vec<Stmt>) -> Result<Stmt, Stop> {
    Ok(Stmt::For { var: variable(index)?, extent, kind: LoopKind::Serial, body })
}

/// Adds a constant to a module.
pub(super) fn tensor_of(module: &mut Module, array: &Array) -> Result<TensorId, Stop> {
    let tensor = Tensor::from_array(array).map_err(|e| Stop::Unsupported(e.to_string()))?;
    Ok(module.tensors.push(tensor))
}

/// Adds a constant vector of numbers, rounded to a dtype.
pub(super) fn numbers_of(
    module: &mut Module,
    dtype: DType,
    values: &[f64],
) -> Result<TensorId, Stop> {
    let array = Array::from_f64s(dtype, vec![values.len()], values);
    tensor_of(module, &array.map_err(|e| Stop::Unsupported(e.to_string()))?)
}

/// Adds a constant vector of integers.
pub(super) fn integers_of(
    module: &mut Module,
    dtype: DType,
    values: &[i64],
) -> Result<TensorId, Stop> {
    let array = Array::from_i64s(dtype, vec![values.len()], values);
    tensor_of(module, &array.map_err(|e| Stop::Unsupported(e.to_string()))?)
}

impl Lowerer<'_> {
    /// A buffer that holds a tensor of the module.
    pub(super) fn table(&mut self, id: TensorId) -> BufferId {
        let tensor = &self.module.tensors[id];
        let shape = tensor.dims.iter().map(|&d| Dim::Known(d as i64)).collect();
        let dtype = Some(tensor.dtype);
        self.add_buffer(Buffer { dtype, shape, kind: BufferKind::Constant(id) })
    }

    /// Memory that is no value of the function.
    pub(super) fn scratch(&mut self, dtype: DType, shape: Vec<Dim>) -> BufferId {
        self.add_buffer(Buffer { dtype: Some(dtype), shape, kind: BufferKind::Temporary })
    }
}

impl Pull<'_, '_> {
    /// The present value of a local.
    pub fn get(&mut self, local: LocalId) -> ExprId {
        self.b.add(Expr::Local(local))
    }

    /// An integer constant for indices.
    pub fn int(&mut self, k: i64) -> ExprId {
        self.b.index(Dim::Known(k))
    }

    /// A number of a type.
    pub fn number(&mut self, ty: Scalar, x: f64) -> ExprId {
        self.b.constant(Const::from_f64(ty, x))
    }

    /// a + b.
    pub fn plus(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.b.binary(BinOp::Add, a, b)
    }

    /// a - b.
    pub fn minus(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.b.binary(BinOp::Sub, a, b)
    }

    /// a * b.
    pub fn times(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.b.binary(BinOp::Mul, a, b)
    }

    /// a / b.
    pub fn over(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.b.binary(BinOp::Div, a, b)
    }

    /// Whether a < b.
    pub fn less(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.b.binary(BinOp::Lt, a, b)
    }

    /// Whether a <= b.
    pub fn at_most(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.b.binary(BinOp::Le, a, b)
    }

    /// Whether a == b.
    pub fn equals(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.b.binary(BinOp::Eq, a, b)
    }

    /// Both.
    pub fn and(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.b.binary(BinOp::And, a, b)
    }

    /// At least one.
    pub fn or(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.b.binary(BinOp::Or, a, b)
    }

    /// The second where the first holds, else the third.
    pub fn pick(&mut self, cond: ExprId, a: ExprId, b: ExprId) -> ExprId {
        self.b.add(Expr::Select(cond, a, b))
    }

    /// The negative.
    pub fn negative(&mut self, x: ExprId) -> ExprId {
        self.b.unary(UnOp::Neg, x)
    }

    /// The element of a parameter at an index that was computed.
    pub fn load_at(&mut self, param: u32, at: ExprId) -> ExprId {
        let at = self.b.index_of(at);
        self.b.load(param, at)
    }

    /// An element of a parameter as an index.
    pub fn index_at(&mut self, param: u32, at: ExprId) -> ExprId {
        let x = self.load_at(param, at);
        self.b.cast(Scalar::I64, x)
    }

    /// A store at an index that was computed.
    pub fn store_at(&mut self, param: u32, at: ExprId, value: ExprId) -> Stmt {
        let at = self.b.index_of(at);
        Stmt::Store { param, at, value }
    }
}
