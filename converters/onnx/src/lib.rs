//! ONNX into and out of the canonical array IR.

pub mod common;
pub mod decode;
pub mod encode;
pub mod export;
pub mod external;
pub mod import;
mod ort;
pub mod proto;
mod reader;
mod support;
mod writer;

pub use ort::{OrtExecutor, python};
pub use reader::OnnxReader;
pub use writer::OnnxWriter;
