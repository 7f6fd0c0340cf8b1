//! PyTorch's zip archives: opened by mapping, written in a fixed layout.

mod read;
mod tensor;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Archive, Entry, map_file};
pub(crate) use tensor::{add_tensor, digest};
pub use write::{ALIGNMENT, ArchiveWriter};
