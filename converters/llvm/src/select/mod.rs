//! Kernels that are matrix products, found by what they compute.
//!
//! A kernel is a product when it is a nest of independent loops around one store, whose value is
//! made from one sum of products of two loads, with indices that are linear in the counters
//! ([`mod@find`]). Matrix products, batched ones, and convolutions of any number of axes are
//! such sums: a convolution is a product of the weights and of the matrix of its patches, whose
//! rows and columns lie in memory at offsets that are sums of an offset of the row and one of
//! the column. That matrix is never made as a whole; panels of it are packed when they are
//! needed ([`mod@gather`]). Where channels lie last the patches are the left operand, and are read
//! in runs where they are ([`mod@gathered`]).
//!
//! A product of rows that were made from the rows of another product is done together with it, in
//! blocks of rows ([`mod@attention`]).
//!
//! What is done to the sum before it is stored is the epilogue of the micro-kernel
//! ([`mod@epilogue`]). Sizes are given at run time ([`mod@plan`]); constants are packed once
//! ([`mod@run`]).

pub(crate) mod attention;
mod axes;
mod constants;
pub mod cost;
mod epilogue;
pub mod explain;
pub(crate) mod export;
pub mod find;
pub mod gather;
pub mod gathered;
pub mod plan;
pub mod run;
pub mod shared;
pub mod split;
mod tiles;
pub mod unroll;
pub mod whole;
mod wide;
mod windows;

use airconv_kernel::ir::Kernel;

pub use axes::split_axes;
pub use constants::Constants;
pub use explain::{Declined, Explained};
pub use find::{Axis, Product, find};
pub use run::Compiled;
pub use shared::share;
pub use split::split_guards;
pub use unroll::unroll;

/// For each kernel which parameter is the right operand of the product that it is, if it is one.
pub fn right_operands<'k>(kernels: impl Iterator<Item = &'k Kernel>) -> Vec<Option<u32>> {
    kernels.map(|k| find(k).map(|p| p.right.param)).collect()
}
