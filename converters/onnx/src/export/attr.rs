//! Attributes in ONNX's form.

use airconv_api::ir::attr::Float;
use airconv_api::ir::dtype::DType;
use bytes::Bytes;

use crate::common::dtype::to_onnx;
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, GraphProto, TensorProto};

fn named(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(kind as i32), ..Default::default() }
}

/// An integer.
pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..named(name, AttributeType::Int) }
}
/// A truth value as 0 or 1.
pub(crate) fn bool(name: &str, value: bool) -> AttributeProto {
    int(name, i64::from(value))
}
/// A float, rounded to f32.
pub(crate) fn float(name: &str, value: Float) -> AttributeProto {
    AttributeProto { f: Some(value.0 as f32), ..named(name, AttributeType::Float) }
}
/// A string.
pub(crate) fn string(name: &str, value: &str) -> AttributeProto {
    bytes(name, Bytes::copy_from_slice(value.as_bytes()))
}
/// A string of bytes.
pub(crate) fn bytes(name: &str, value: Bytes) -> AttributeProto {
    AttributeProto { s: Some(value), ..named(name, AttributeType::String) }
}
/// Integers.
pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..named(name, AttributeType::Ints) }
}
/// Floats, rounded to f32.
pub(crate) fn floats(name: &str, values: &[Float]) -> AttributeProto {
    let floats = values.iter().map(|v| v.0 as f32).collect();
    AttributeProto { floats, ..named(name, AttributeType::Floats) }
}
/// Strings.
pub(crate) fn strings(name: &str, values: &[String]) -> AttributeProto {
    let strings = values.iter().map(|v| Bytes::copy_from_slice(v.as_bytes())).collect();
    AttributeProto { strings, ..named(name, AttributeType::Strings) }
}
/// A tensor.
pub(crate) fn tensor(name: &str, value: TensorProto) -> AttributeProto {
    AttributeProto { t: Some(Box::new(value)), ..named(name, AttributeType::Tensor) }
}
/// A subgraph.
pub(crate) fn graph(name: &str, value: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(Box::new(value)), ..named(name, AttributeType::Graph) }
}
/// An element type by its number.
pub(crate) fn dtype(name: &str, value: DType) -> AttributeProto {
    int(name, i64::from(to_onnx(value).unwrap_or(0)))
}
/// Any kind, filled by `fill`.
pub(crate) fn other(
    name: &str,
    kind: AttributeType,
    fill: impl FnOnce(&mut AttributeProto),
) -> AttributeProto {
    let mut a = named(name, kind);
    fill(&mut a);
    a
}
