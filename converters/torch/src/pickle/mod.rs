//! Pickles as data: an interpreter that runs nothing and knows a list of names, and a writer.
//!
//! Only what `torch.save` and `torch.jit.save` write is understood. A name that is not in the
//! table of [`globals`] is refused; those that are do not lead to code but to one of the forms
//! of [`Value`].

mod globals;
mod rebuild;
#[cfg(test)]
mod tests;
mod value;
mod vm;
mod write;

pub use globals::Global;
pub use value::{Id, Pickle, StorageRef, TensorRef, Value};
pub use vm::{load, load_prefix};
pub use write::{PickleWriter, TensorParts};
