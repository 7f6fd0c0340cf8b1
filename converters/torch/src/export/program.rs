//! A program of operator calls, apart from any file format.
//!
//! What an exported program, a TorchScript program and an executor have in common: values with
//! types, calls of ATen operators in order, arithmetic of sizes, nested graphs of control flow.
//! Sizes that are not known are values of their own ([`Kind::Int`]), made by [`Target::Size`] and
//! [`Target::Arithmetic`] calls.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::module::{ArgKindRole, Symbols};
use airconv_ir::tensor::Tensor;
use airconv_ir::types::TensorType;

use crate::common::schema::{Param, Schema};

/// A value of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(pub(crate) u32);

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A tensor.
    Tensor(TensorType),
    /// An integer that is this size.
    Int(Dim),
}

/// A value with its name: a Python identifier, unique in the program.
#[derive(Clone, Debug, PartialEq)]
pub struct VarInfo {
    /// What it is.
    pub kind: Kind,
    /// The name.
    pub name: String,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// The default of the operator's schema.
    Default,
    /// `None`.
    None,
    /// A tensor.
    Tensor(Var),
    /// An integer.
    Int(i64),
    /// An integer that is found when the program runs.
    Size(Var),
    /// A float.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A complex number.
    Complex(f64, f64),
    /// A string.
    Str(String),
    /// A dtype.
    DType(DType),
    /// A list.
    List(Vec<Arg>),
}

impl Arg {
    /// The default of a parameter; `None` if it has none or it is not understood. A default place
    /// or layout is [`Arg::None`].
    pub fn default_of(param: &Param) -> Option<Self> {
        from_literal(&Literal::default_of(param)?)
    }
}

/// An argument as the schema notation has it.
type Literal = crate::import::arg::Arg<Var>;

fn from_literal(literal: &Literal) -> Option<Arg> {
    Some(match literal {
        Literal::None | Literal::Placement | Literal::ChannelsLast => Arg::None,
        Literal::Int(dim) => Arg::Int(dim.as_known()?),
        Literal::Float(v) => Arg::Float(*v),
        Literal::Bool(b) => Arg::Bool(*b),
        Literal::Str(text) => Arg::Str(text.to_string()),
        Literal::DType(dtype) => Arg::DType(*dtype),
        Literal::List(items) => Arg::List(items.iter().map(from_literal).collect::<Option<_>>()?),
        Literal::Tensor(_) | Literal::Number(_) | Literal::Complex(..) => return None,
    })
}

impl From<Var> for Arg {
    fn from(v: Var) -> Self {
        Self::Tensor(v)
    }
}
impl From<i64> for Arg {
    fn from(v: i64) -> Self {
        Self::Int(v)
    }
}
impl From<usize> for Arg {
    fn from(v: usize) -> Self {
        Self::Int(v as i64)
    }
}
impl From<f64> for Arg {
    fn from(v: f64) -> Self {
        Self::Float(v)
    }
}
impl From<bool> for Arg {
    fn from(v: bool) -> Self {
        Self::Bool(v)
    }
}
impl From<&str> for Arg {
    fn from(v: &str) -> Self {
        Self::Str(v.to_owned())
    }
}
impl From<DType> for Arg {
    fn from(v: DType) -> Self {
        Self::DType(v)
    }
}
impl From<Vec<Arg>> for Arg {
    fn from(v: Vec<Arg>) -> Self {
        Self::List(v)
    }
}
impl From<&[i64]> for Arg {
    fn from(v: &[i64]) -> Self {
        Self::List(v.iter().map(|&i| Self::Int(i)).collect())
    }
}
impl From<&Vec<i64>> for Arg {
    fn from(v: &Vec<i64>) -> Self {
        v.as_slice().into()
    }
}
impl From<Vec<Var>> for Arg {
    fn from(v: Vec<Var>) -> Self {
        Self::List(v.into_iter().map(Self::Tensor).collect())
    }
}
impl From<Option<Var>> for Arg {
    fn from(v: Option<Var>) -> Self {
        v.map_or(Self::None, Self::Tensor)
    }
}

/// An operation on sizes, with Python's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOp {
    /// Sum.
    Add,
    /// Product.
    Mul,
    /// Quotient, rounded down.
    FloorDiv,
    /// What floor division leaves.
    Mod,
    /// The lesser.
    Min,
    /// The greater.
    Max,
}

/// What a call calls.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// An operator.
    Operator(&'static Schema),
    /// The size of an axis: arguments are a tensor and the axis.
    Size,
    /// The element of an integer tensor of one element, as an integer.
    Item,
    /// Arithmetic of two sizes.
    Arithmetic(IntOp),
    /// One of two graphs: arguments are a condition and a list of operands for both.
    Cond(Box<Graph>, Box<Graph>),
    /// A body that runs while a condition holds: arguments are a list of carried tensors and a
    /// list of others; both graphs take all of them. The condition gives a bool tensor.
    While(Box<Graph>, Box<Graph>),
}

/// A result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// One value.
    One(Var),
    /// A list of tensors.
    Many(Vec<Var>),
}

/// What a source said about a call.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The Python stack.
    pub stack_trace: Option<String>,
    /// The path of modules.
    pub nn_module_stack: Option<String>,
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What is called.
    pub target: Target,
    /// In the order of the schema; trailing defaults are left out.
    pub args: Vec<Arg>,
    /// In the order of the schema.
    pub results: Vec<Returned>,
    /// The name of the call: a Python identifier, unique in the program.
    pub name: String,
    /// Where it came from.
    pub metadata: Metadata,
}

/// Calls in order. Closed: only inputs and results of its own calls are used.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Graph {
    /// The name, unique among nested graphs; empty for the program's.
    pub name: String,
    /// Tensors and integers that are given.
    pub inputs: Vec<Var>,
    /// The calls.
    pub calls: Vec<Call>,
    /// What it gives.
    pub outputs: Vec<Arg>,
}

/// What an input is to the program.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Given by the caller.
    User(ArgKindRole),
    /// A stored tensor.
    Stored(Stored),
}

/// Kinds of stored tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoredKind {
    /// A parameter.
    Parameter,
    /// A buffer that is saved with the parameters.
    Buffer,
    /// One that is not.
    NonPersistentBuffer,
    /// A constant.
    Constant,
}

/// A stored tensor with its qualified name.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// What it is.
    pub kind: StoredKind,
    /// The dotted name.
    pub name: String,
    /// The elements, shared with the module.
    pub tensor: Tensor,
}

/// What an output is to the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Returned to the caller.
    User,
    /// The new contents of the stored tensor of this name.
    Mutation(String),
    /// The new contents of the user input at this position of the graph's inputs.
    InputMutation(usize),
}

/// A program.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Program {
    /// All values of all graphs.
    pub vars: Vec<VarInfo>,
    /// What it does.
    pub graph: Graph,
    /// One per input of the graph.
    pub inputs: Vec<Input>,
    /// One per output of the graph: what changes something first, then what is returned.
    pub outputs: Vec<Output>,
    /// The symbols of sizes.
    pub symbols: Symbols,
    /// Notes of the source on its calling convention, by key.
    pub notes: std::collections::BTreeMap<String, String>,
}

impl Program {
    /// The value.
    pub fn var(&self, var: Var) -> Option<&VarInfo> {
        self.vars.get(var.0 as usize)
    }
    /// Whether the stored tensor of this name gets new contents.
    pub fn changes(&self, name: &str) -> bool {
        self.outputs.iter().any(|output| matches!(output, Output::Mutation(n) if n == name))
    }
}
