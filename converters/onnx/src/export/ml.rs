//! Writing rules of the ml family.

use airconv_api::ir::array::{Array, Scalar, StrBytes};
use airconv_api::ir::attr::Float;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::entity::TensorId;
use airconv_api::ir::op::{Op, OpKind};
use bytes::Bytes;

use super::attr;
use super::node::{ExportCx, Refuse};
use super::rules::ExportRule;
use crate::common::ML;
use crate::common::mirror::Mirror;
use crate::proto::AttributeProto;
use crate::proto::attribute_proto::AttributeType;

pub(super) const RULES: &[ExportRule] = &[
    ExportRule::new(OpKind::CastMap, cast_map),
    ExportRule::new(OpKind::Imputer, imputer),
    ExportRule::new(OpKind::LabelEncoder, label_encoder),
];

fn wrong<T>() -> Result<T, Refuse> {
    Refuse::because("the rule is for another op")
}

fn cast_map(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::CastMap(c) = op else { return wrong() };
    let mut attrs = Vec::new();
    match c.cast_to {
        DType::F32 => {}
        DType::I64 => attrs.push(attr::string("cast_to", "TO_INT64")),
        DType::String => attrs.push(attr::string("cast_to", "TO_STRING")),
        other => return Refuse::because(format!("CastMap does not make {other}")),
    }
    if c.sparse {
        attrs.push(attr::string("map_form", "SPARSE"));
    }
    if c.max_map != 1 {
        attrs.push(attr::int("max_map", c.max_map));
    }
    let inputs = cx.all()?;
    cx.emit_in(ML, "CastMap", &inputs, attrs)
}

/// `Imputer`; ONNX Runtime asks for the marker that goes with the replacements.
fn imputer(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    const FLOATS: Mirror =
        Mirror::of(ML, "Imputer", 1, OpKind::Imputer).always(&["replaced_value_float"]);
    const INTS: Mirror =
        Mirror::of(ML, "Imputer", 1, OpKind::Imputer).always(&["replaced_value_int64"]);
    let Op::Imputer(i) = op else { return wrong() };
    cx.mirror(op, if i.imputed_value_floats.is_empty() { &INTS } else { &FLOATS })
}

/// The elements of a tensor.
fn array(cx: &ExportCx<'_, '_>, id: TensorId) -> Result<Array, Refuse> {
    let tensor = cx.ex.module.tensors.get(id);
    match tensor.map(airconv_api::ir::tensor::Tensor::to_array) {
        Some(Ok(array)) => Ok(array),
        Some(Err(e)) => Err(Refuse(e.to_string())),
        None => Refuse::because(format!("there is no tensor {id}")),
    }
}

/// Strings as bytes, which need not be UTF-8.
fn texts(name: &str, values: &[StrBytes]) -> AttributeProto {
    attr::other(name, AttributeType::Strings, |a| {
        a.strings = values.iter().map(|s| Bytes::copy_from_slice(s)).collect();
    })
}

/// One side of a table: a list, or a tensor for the dtypes that have none.
fn column(cx: &ExportCx<'_, '_>, prefix: &str, id: TensorId) -> Result<AttributeProto, Refuse> {
    let values = array(cx, id)?;
    let name = |kind: &str| format!("{prefix}_{kind}");
    if let Some(v) = values.as_slice::<StrBytes>() {
        return Ok(texts(&name("strings"), v));
    }
    if let Some(v) = values.as_slice::<i64>() {
        return Ok(attr::ints(&name("int64s"), v));
    }
    match (values.dtype, values.to_f64s()) {
        (DType::F32, Some(v)) => {
            let v: Vec<Float> = v.into_iter().map(Float).collect();
            Ok(attr::floats(&name("floats"), &v))
        }
        _ => Ok(attr::tensor(&name("tensor"), cx.tensor(id)?)),
    }
}

/// What stands for keys that are not there; `None` where ONNX's default says it.
fn default(cx: &ExportCx<'_, '_>, id: TensorId) -> Result<Option<AttributeProto>, Refuse> {
    let value = array(cx, id)?;
    Ok(Some(match (value.dtype, value.get(0)) {
        (DType::String, Some(Scalar::Str(s))) if &s[..] == b"_Unused" => return Ok(None),
        (DType::I64, Some(Scalar::Int(-1))) => return Ok(None),
        (DType::String, Some(Scalar::Str(s))) => {
            attr::bytes("default_string", Bytes::copy_from_slice(&s))
        }
        (DType::I64, Some(Scalar::Int(i))) => {
            attr::int("default_int64", i64::try_from(i).unwrap_or(-1))
        }
        (DType::F32, Some(Scalar::Float(x))) => attr::float("default_float", Float(x)),
        _ => {
            let mut tensor = cx.tensor(id)?;
            tensor.dims = vec![1];
            attr::tensor("default_tensor", tensor)
        }
    }))
}

/// `LabelEncoder`; version 1 knows classes and their positions only.
fn label_encoder(cx: &mut ExportCx<'_, '_>, op: &Op) -> Result<(), Refuse> {
    let Op::LabelEncoder(l) = op else { return wrong() };
    let default = default(cx, l.default)?;
    let mut attrs = if cx.ex.version_of(ML) >= 2 {
        vec![column(cx, "keys", l.keys)?, column(cx, "values", l.values)?]
    } else {
        let (keys, values) = (array(cx, l.keys)?, array(cx, l.values)?);
        let counts = |a: &Array| {
            a.as_slice::<i64>().is_some_and(|v| v.iter().zip(0..).all(|(&x, i)| x == i))
        };
        let classes = if counts(&values) { &keys } else { &values };
        match classes.as_slice::<StrBytes>() {
            Some(v) if counts(&values) || counts(&keys) => {
                vec![texts("classes_strings", v)]
            }
            _ => return Refuse::because("this table needs version 2 of ai.onnx.ml"),
        }
    };
    attrs.extend(default);
    let inputs = cx.all()?;
    cx.emit_in(ML, "LabelEncoder", &inputs, attrs)
}
