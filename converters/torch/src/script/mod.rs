//! TorchScript archives: the program's source, its objects and their tensors.

mod archive;
pub(crate) mod hub;
pub(crate) mod lower;
mod print;
mod reader;
pub mod syntax;
#[cfg(test)]
pub(crate) mod tests;
mod write;

pub use archive::{Object, ObjectId, Role, Script, ScriptTensor, TensorId, TracedInput, Value};
pub use reader::ScriptReader;
pub use write::{ScriptWriter, to_bytes};
