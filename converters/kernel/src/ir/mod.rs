//! The data of the kernel IR.
//!
//! A [`Program`] is a list of steps over buffers; most steps launch a [`Kernel`]. A kernel is a
//! loop nest: statements over pure expressions whose loads and stores are index maps. Kernels
//! know nothing of one another; equal ones are stored once.

mod expr;
mod kernel;
mod program;
mod types;

pub use expr::{BinOp, Expr, ExprId, LocalId, Narrow, UnOp, Var};
pub use kernel::{Access, Kernel, KernelBuilder, LoopKind, Param, Stmt, VarDef};
pub use program::{
    Binding, Buffer, BufferId, BufferKind, Fit, HostOp, KernelId, Launch, Loop, Program, Size, Step,
};
pub use types::{Const, Elem, Scalar};
