//! Kernels shaped by hand, as IR text with explicit vectors.
//!
//! A kernel here is a *class*: sizes, strides and trip counts are arguments, so that one object
//! serves every shape and stays in the cache across models. What differs between classes is in
//! the text: the tile of registers, the instruction-set level, and the epilogue.

pub mod amx;
mod epilogue;
mod gathered;
mod gemm;
mod inner;
mod pack;
mod packing;
mod store;
mod tile;
pub mod whole;
mod window;

pub use epilogue::{Activation, Bias, Custom, Epilogue, Identity, Place};
pub use gathered::{GatheredCall, GatheredFn, ZEROS, gathered_module};
pub use gemm::{GemmCall, GemmFn, GemmSpec, flags, gemm_module};
pub use pack::{pack_b, pack_b_into, packed_len};
pub use packing::{PackCall, PackFn, PackSpec, pack_module};
pub use tile::Tile;
pub use window::{AT_ONCE, MOST_TAPS, WindowCall, WindowFn, window_module};
