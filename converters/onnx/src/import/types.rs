//! Types in ONNX's form.

use airconv_api::ir::dim::{Dim, Range};
use airconv_api::ir::dtype::DType;
use airconv_api::ir::module::Function;
use airconv_api::ir::types::Type;

use super::Importer;
use crate::common::dtype::from_onnx;
use crate::proto::tensor_shape_proto::dimension::Value as DimValue;
use crate::proto::type_proto::Value as TypeValue;
use crate::proto::{TensorShapeProto, TypeProto};

/// The reason given to a symbol for an axis that the source leaves without a name.
pub(crate) const UNNAMED: &str = "axis without a name";

impl Importer<'_> {
    /// The hub type of a declared type. Named sizes become symbols of `func`; an unnamed one
    /// becomes a fresh symbol where `name_open` is given, else it stays open.
    pub(super) fn declared_type(
        &self,
        func: &mut Function,
        ty: Option<&TypeProto>,
        name_open: Option<&str>,
    ) -> Type {
        let Some(value) = ty.and_then(|t| t.value.as_ref()) else { return Type::Unknown };
        match value {
            TypeValue::TensorType(t) => {
                let Some(dtype) = from_onnx(i64::from(t.elem_type())) else { return Type::Unknown };
                match &t.shape {
                    Some(shape) => self.shape_type(func, dtype, shape, name_open),
                    None => Type::Unranked(dtype),
                }
            }
            TypeValue::SequenceType(s) => {
                Type::Sequence(Box::new(self.declared_type(func, s.elem_type.as_deref(), None)))
            }
            TypeValue::OptionalType(o) => {
                Type::Optional(Box::new(self.declared_type(func, o.elem_type.as_deref(), None)))
            }
            TypeValue::MapType(m) => {
                let key = from_onnx(i64::from(m.key_type())).unwrap_or(DType::I64);
                Type::Map(key, Box::new(self.declared_type(func, m.value_type.as_deref(), None)))
            }
            TypeValue::SparseTensorType(_) | TypeValue::OpaqueType(_) => Type::Unknown,
        }
    }

    fn shape_type(
        &self,
        func: &mut Function,
        dtype: DType,
        shape: &TensorShapeProto,
        name_open: Option<&str>,
    ) -> Type {
        let mut dims = Vec::with_capacity(shape.dim.len());
        for (axis, dim) in shape.dim.iter().enumerate() {
            dims.push(match &dim.value {
                Some(DimValue::DimValue(v)) if *v >= 0 => Dim::Known(*v),
                // Paddle's exporter writes `?` for every size that it does not know.
                Some(DimValue::DimParam(name)) if !matches!(name.as_str(), "" | "?") => {
                    self.named_dim(func, name)
                }
                _ => match name_open {
                    Some(stem) => {
                        let hint = format!("{stem}_{axis}");
                        Dim::from(func.add_symbol(&hint, Range::NONNEG, Some(UNNAMED.to_owned())))
                    }
                    None => Dim::Any,
                },
            });
        }
        Type::tensor(dtype, dims)
    }

    /// The symbol of a name.
    fn named_dim(&self, func: &mut Function, name: &str) -> Dim {
        match func.symbol_named(name) {
            Some(id) => Dim::from(id),
            None => Dim::from(func.add_symbol(name, Range::NONNEG, None)),
        }
    }
}
