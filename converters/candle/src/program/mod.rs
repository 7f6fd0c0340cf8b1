//! Programs of candle calls: what rules make, what is printed and run.

pub mod calls;
pub mod dtype;
mod layer;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;

use airconv_ir::array::Array;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::TensorId;

pub use calls::Func;
pub use layer::{Layer, Role, Window};

/// A value of a program: one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Var(pub u32);

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct VarInfo {
    /// The element type in the hub.
    pub dtype: DType,
    /// The sizes.
    pub shape: Vec<Dim>,
    /// What gives it.
    pub source: Source,
    /// What it is called in the source; may be empty.
    pub name: Arc<str>,
    /// The hub op that it is made by or for.
    pub op: &'static str,
}

/// What gives a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The caller of the program, or the block that the value is a parameter of.
    Param,
    /// A tensor of the module.
    Weight(TensorId),
    /// A tensor of the module of rank 2 with its axes swapped.
    Turned(TensorId),
    /// Numbers that a rule came up with.
    Literal(Arc<Array>),
    /// A statement.
    Made,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// A tensor.
    Tensor(Var),
    /// A tensor, or none.
    Maybe(Option<Var>),
    /// A list of tensors.
    Tensors(Vec<Var>),
    /// A size.
    Size(Dim),
    /// The sizes of a shape.
    Shape(Vec<Dim>),
    /// Integers that are not known: bounds, positions.
    Index(Dim),
    /// An axis, or another small number that is part of the program.
    Number(usize),
    /// A list of them.
    Numbers(Vec<usize>),
    /// A signed integer.
    Int(i64),
    /// Signed integers.
    Ints(Vec<i64>),
    /// A floating-point number.
    Float(f64),
    /// An element type.
    DType(DType),
    /// A truth value.
    Bool(bool),
    /// The device that the program runs on.
    Device,
}

/// What is called.
#[derive(Clone, Copy, Debug)]
pub enum Callee {
    /// A row of the table of calls.
    Func(&'static Func),
    /// A layer of `candle_nn`: the first argument is its input, the others are its weights.
    Layer(Layer),
}

impl PartialEq for Callee {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Func(a), Self::Func(b)) => a.name == b.name,
            (Self::Layer(a), Self::Layer(b)) => a == b,
            _ => false,
        }
    }
}

/// A call with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What is called.
    pub callee: Callee,
    /// One per parameter.
    pub args: Vec<Arg>,
}

/// The path of modules that a statement belongs to, outermost first.
pub type Path = Arc<[Arc<str>]>;

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    /// Values from a call.
    Let {
        /// One per result.
        vars: Vec<Var>,
        /// The call.
        call: Call,
        /// Where it belongs.
        path: Path,
    },
    /// Reads the elements of an integer tensor, which are these sizes.
    Sizes {
        /// The tensor, of rank 0 or 1.
        x: Var,
        /// One per element.
        dims: Vec<Dim>,
        /// Where it belongs.
        path: Path,
    },
    /// Stops where not all elements of a condition hold.
    Assert {
        /// A truth value per element.
        condition: Var,
        /// What to say.
        message: Arc<str>,
        /// Where it belongs.
        path: Path,
    },
    /// One of two blocks.
    If {
        /// A single truth value.
        condition: Var,
        /// Where it holds.
        then: Block,
        /// Where it does not.
        other: Block,
        /// One per result of either block.
        vars: Vec<Var>,
        /// Where it belongs.
        path: Path,
    },
    /// A block over and over.
    Loop(Box<Loop>),
}

/// A loop: runs while the trips last and the condition holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// How often at most: one i64.
    pub trips: Option<Var>,
    /// Whether to start.
    pub condition: Option<Var>,
    /// What the carried values are at the start.
    pub initial: Vec<Var>,
    /// Within the block: the number of the trip, an i64 scalar.
    pub trip: Var,
    /// Within the block: the condition, which is true there.
    pub holds: Var,
    /// Within the block: the carried values.
    pub carried: Vec<Var>,
    /// Results: the condition (where the loop has one), the carried values, then what is stacked.
    pub block: Block,
    /// After the loop: the carried values, then the stacks.
    pub vars: Vec<Var>,
    /// Where it belongs.
    pub path: Path,
}

/// Statements with results.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Block {
    /// In order.
    pub stmts: Vec<Stmt>,
    /// Values of the block or from around it.
    pub results: Vec<Var>,
}

/// A program: a function on tensors.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Program {
    /// All values.
    pub vars: Vec<VarInfo>,
    /// The parameters, in the order of the inputs of the hub function that are not weights.
    pub params: Vec<Var>,
    /// The body; its results are the outputs.
    pub body: Block,
    /// The name of each parameter.
    pub inputs: Vec<String>,
    /// What each parameter is where the caller gives nothing, if the program says so.
    pub defaults: Vec<Option<Var>>,
    /// The name of each output.
    pub outputs: Vec<String>,
    /// The name of each symbol by its number.
    pub symbols: Vec<String>,
    /// What the source calls the classes of modules, by their dotted paths.
    pub classes: BTreeMap<String, String>,
}

impl Program {
    /// What is known of a value.
    pub fn info(&self, var: Var) -> &VarInfo {
        &self.vars[var.0 as usize]
    }
}
