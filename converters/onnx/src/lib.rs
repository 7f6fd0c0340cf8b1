//! converters/onnx
