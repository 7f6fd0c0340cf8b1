//! The [`Writer`](airconv_api::Writer) of `.onnx` files.

/// Writes `.onnx` files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnnxWriter;
