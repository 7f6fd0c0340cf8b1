//! TorchScript archives: the program's source, its objects and their tensors.

mod archive;
pub mod syntax;
#[cfg(test)]
mod tests;

pub use archive::{Object, ObjectId, Role, Script, ScriptTensor, TensorId, Value};
