//! The ONNX converter against the conformance kit.

use airconv_api::WriteOptions;

airconv_api::conformance!(airconv_onnx::OnnxReader, airconv_onnx::OnnxWriter, newest());

fn newest() -> WriteOptions {
    WriteOptions { opset: Some(airconv_onnx::common::NEWEST), ..WriteOptions::default() }
}

/// At the newest opset too, what is written reads back.
#[test]
fn the_newest_opset_reads_back_and_agrees() {
    airconv_api::conformance::assert_none(airconv_api::conformance::round_trips(
        &airconv_onnx::OnnxReader,
        &airconv_onnx::OnnxWriter,
        &newest(),
        &conformance_cases(),
    ));
}
