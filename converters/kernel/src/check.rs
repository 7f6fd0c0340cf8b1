//! The checker of kernels and programs.

mod kernel;
mod program;
#[cfg(test)]
mod tests;

pub use kernel::check_kernel;
pub(crate) use kernel::types;
pub use program::check_program;
