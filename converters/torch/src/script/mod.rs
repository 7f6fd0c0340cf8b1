//! TorchScript archives: the program's source, its objects and their tensors.

mod archive;
#[cfg_attr(not(test), expect(dead_code, reason = "the reader of programs is not there yet"))]
pub(crate) mod hub;
pub(crate) mod lower;
pub mod syntax;
#[cfg(test)]
pub(crate) mod tests;

pub use archive::{Object, ObjectId, Role, Script, ScriptTensor, TensorId, Value};
