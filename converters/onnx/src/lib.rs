//! ONNX into and out of the canonical array IR.

pub mod common;
pub mod decode;
pub mod encode;
pub mod export;
pub mod external;
pub mod import;
pub mod proto;
mod reader;
mod writer;

pub use reader::OnnxReader;
pub use writer::OnnxWriter;
