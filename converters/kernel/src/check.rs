//! The checker of kernels and programs.

mod kernel;

pub use kernel::check_kernel;
