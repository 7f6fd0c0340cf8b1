//! PyTorch's zip archives: opened by mapping, written in a fixed layout.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Archive, Entry, map_file};
pub use write::{ALIGNMENT, ArchiveWriter};
