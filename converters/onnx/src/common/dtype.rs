//! Element types in ONNX's numbering.

use airconv_ir::dtype::DType;

use crate::proto::tensor_proto::DataType;

const TABLE: &[(DataType, DType)] = &[
    (DataType::Float, DType::F32),
    (DataType::Uint8, DType::U8),
    (DataType::Int8, DType::I8),
    (DataType::Uint16, DType::U16),
    (DataType::Int16, DType::I16),
    (DataType::Int32, DType::I32),
    (DataType::Int64, DType::I64),
    (DataType::String, DType::String),
    (DataType::Bool, DType::Bool),
    (DataType::Float16, DType::F16),
    (DataType::Double, DType::F64),
    (DataType::Uint32, DType::U32),
    (DataType::Uint64, DType::U64),
    (DataType::Complex64, DType::C64),
    (DataType::Complex128, DType::C128),
    (DataType::Bfloat16, DType::BF16),
    (DataType::Float8e4m3fn, DType::F8E4M3FN),
    (DataType::Float8e4m3fnuz, DType::F8E4M3FNUZ),
    (DataType::Float8e5m2, DType::F8E5M2),
    (DataType::Float8e5m2fnuz, DType::F8E5M2FNUZ),
    (DataType::Uint4, DType::U4),
    (DataType::Int4, DType::I4),
    (DataType::Float4e2m1, DType::F4E2M1),
    (DataType::Float8e8m0, DType::F8E8M0),
    (DataType::Uint2, DType::U2),
    (DataType::Int2, DType::I2),
    (DataType::Float6e2m3, DType::F6E2M3),
    (DataType::Float6e3m2, DType::F6E3M2),
];

/// The dtype with this number.
pub fn from_onnx(number: i64) -> Option<DType> {
    TABLE.iter().find(|(o, _)| *o as i64 == number).map(|(_, d)| *d)
}

/// The number of a dtype.
pub fn to_onnx(dtype: DType) -> Option<i32> {
    TABLE.iter().find(|(_, d)| *d == dtype).map(|(o, _)| *o as i32)
}
