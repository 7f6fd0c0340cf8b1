//! TorchScript archives: the program's source, its objects and their tensors.

mod archive;
mod print;
pub mod syntax;
#[cfg(test)]
mod tests;
mod write;

pub use archive::{Object, ObjectId, Role, Script, ScriptTensor, TensorId, Value};
pub use write::ScriptWriter;
