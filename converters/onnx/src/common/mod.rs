//! The vocabulary that reading and writing share.

pub mod dtype;
pub mod mirror;
pub mod mirrors;
pub mod schema;

/// The domain of the standard operators.
pub const ONNX: &str = "";
/// The domain of the classical machine-learning operators.
pub const ML: &str = "ai.onnx.ml";
/// The domain of ONNX Runtime's operators.
pub const MICROSOFT: &str = "com.microsoft";
/// The domain of preview operators.
pub const PREVIEW: &str = "ai.onnx.preview";
/// The domain of training operators.
pub const TRAINING: &str = "ai.onnx.preview.training";

/// The oldest version of the standard operators that is read.
pub const OLDEST_READ: i64 = 7;
/// The oldest version of the standard operators that is written.
pub const OLDEST_WRITTEN: i64 = 13;
/// The newest version of the standard operators.
pub const NEWEST: i64 = 28;
/// The newest IR version.
pub const NEWEST_IR: i64 = 14;

/// The canonical spelling of a domain: `ai.onnx` is the empty one.
pub fn domain(text: &str) -> &str {
    if text == "ai.onnx" { ONNX } else { text }
}

/// An op with its domain, for people.
pub fn op_name(domain: &str, name: &str) -> String {
    if domain.is_empty() { name.to_owned() } else { format!("{domain}::{name}") }
}
