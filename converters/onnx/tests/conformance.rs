//! The ONNX converter against the conformance kit.

airconv_api::conformance!(airconv_onnx::OnnxReader, airconv_onnx::OnnxWriter);
