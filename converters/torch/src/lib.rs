//! PyTorch files into and out of the canonical array IR.

pub mod archive;
pub mod common;
pub mod error;
pub mod pickle;
pub mod script;
pub mod weights;
