//! TorchScript archives: the program's source, its objects and their tensors.

mod archive;
#[cfg_attr(not(test), expect(dead_code, reason = "the reader of programs is not there yet"))]
pub(crate) mod hub;
pub(crate) mod lower;
mod print;
pub mod syntax;
#[cfg(test)]
pub(crate) mod tests;
mod write;

pub use archive::{Object, ObjectId, Role, Script, ScriptTensor, TensorId, Value};
pub use write::ScriptWriter;
