//! Writing: from a verified module to messages.
//!
//! A rule per op writes it in its own form or refuses with the reason; a composite that is
//! refused is decomposed first ([`airconv_api::legalize`]). Implicit broadcasts are left to
//! ONNX's own broadcasting where that provably gives the same type.

pub(crate) mod attr;
mod dims;
mod graph;
mod node;
mod rules;
mod types;

mod activation;
mod attention;
mod control;
mod conv;
mod elementwise;
mod image;
mod index;
mod linear;
mod ml;
mod norm;
mod quant;
mod random;
mod reduce;
mod rnn;
mod sequence;
mod shape;
mod signal;
mod string;
mod training;

pub use graph::export_model;
pub(crate) use graph::to_proto as tensor_to_proto;
pub use rules::{ExportRule, all_rules};
pub(crate) use types::type_proto;
