//! Types in ONNX's form.

use airconv_api::ir::dim::Dim;
use airconv_api::ir::module::Function;
use airconv_api::ir::types::Type;

use crate::common::dtype::to_onnx;
use crate::proto::tensor_shape_proto::Dimension;
use crate::proto::tensor_shape_proto::dimension::Value as DimValue;
use crate::proto::type_proto::{self, Value as TypeValue};
use crate::proto::{TensorShapeProto, TypeProto};

/// The reason that marks a symbol for an axis without a name; such a size is left open.
const UNNAMED: &str = crate::import::UNNAMED;

/// The message of a type; `None` where ONNX cannot say it.
pub(crate) fn type_proto(f: &Function, ty: &Type) -> Option<TypeProto> {
    let value = match ty {
        Type::Tensor(t) => TypeValue::TensorType(type_proto::Tensor {
            elem_type: Some(to_onnx(t.dtype)?),
            shape: Some(TensorShapeProto {
                dim: t.shape.iter().map(|d| dimension(f, d)).collect(),
            }),
        }),
        Type::Unranked(dtype) => TypeValue::TensorType(type_proto::Tensor {
            elem_type: Some(to_onnx(*dtype)?),
            shape: None,
        }),
        Type::Sequence(t) => TypeValue::SequenceType(type_proto::Sequence {
            elem_type: Some(Box::new(type_proto(f, t)?)),
        }),
        Type::Optional(t) => TypeValue::OptionalType(type_proto::Optional {
            elem_type: Some(Box::new(type_proto(f, t)?)),
        }),
        Type::Map(key, t) => TypeValue::MapType(type_proto::Map {
            key_type: Some(to_onnx(*key)?),
            value_type: Some(Box::new(type_proto(f, t)?)),
        }),
        Type::Unknown => return None,
    };
    Some(TypeProto { value: Some(value), denotation: None })
}

fn dimension(f: &Function, dim: &Dim) -> Dimension {
    let value = match dim {
        Dim::Known(v) => Some(DimValue::DimValue(*v)),
        Dim::Expr(_) => {
            let unnamed = dim
                .as_symbol()
                .and_then(|s| f.symbols.get(s))
                .is_some_and(|s| s.why.as_deref() == Some(UNNAMED));
            (!unnamed).then(|| DimValue::DimParam(f.dim_text(dim)))
        }
        Dim::Any => None,
    };
    Dimension { value, denotation: None }
}
