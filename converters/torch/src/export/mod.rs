//! Writing: from a verified module to a program of operator calls.
//!
//! A rule per op writes it as ATen calls or refuses with the reason; a composite that is refused
//! is decomposed first ([`airconv_api::legalize`]). What a program is says [`program`]; files are
//! made of it elsewhere.

pub mod program;

mod cx;
mod dims;
mod exporter;
mod names;
mod rules;
mod shared;
mod tidy;

mod activation;
mod attention;
mod control;
mod conv;
mod elementwise;
mod image;
mod index;
mod linear;
mod norm;
mod opaque;
mod pool;
mod random;
mod reduce;
mod rnn;
mod scatter;
mod shape;
mod signal;

pub use exporter::export;
pub use rules::{ExportRule, all_rules};
