//! PyTorch's dtypes: three numberings and the names of each.

use airconv_ir::dtype::DType;

/// A dtype with what PyTorch calls it.
struct Row {
    dtype: DType,
    /// The number in `.pt2` files (`torch._export.serde.schema.ScalarType`).
    export: i64,
    /// The number in TorchScript programs (`c10::ScalarType`).
    script: i64,
    /// The class of storages in pickles, without `Storage`; empty where there is none.
    storage: &'static str,
    /// The name in Python, `torch.NAME`.
    name: &'static str,
}

const fn row(
    dtype: DType,
    export: i64,
    script: i64,
    storage: &'static str,
    name: &'static str,
) -> Row {
    Row { dtype, export, script, storage, name }
}

const ROWS: &[Row] = &[
    row(DType::U8, 1, 0, "Byte", "uint8"),
    row(DType::I8, 2, 1, "Char", "int8"),
    row(DType::I16, 3, 2, "Short", "int16"),
    row(DType::I32, 4, 3, "Int", "int32"),
    row(DType::I64, 5, 4, "Long", "int64"),
    row(DType::F16, 6, 5, "Half", "float16"),
    row(DType::F32, 7, 6, "Float", "float32"),
    row(DType::F64, 8, 7, "Double", "float64"),
    row(DType::C64, 10, 9, "ComplexFloat", "complex64"),
    row(DType::C128, 11, 10, "ComplexDouble", "complex128"),
    row(DType::Bool, 12, 11, "Bool", "bool"),
    row(DType::BF16, 13, 15, "BFloat16", "bfloat16"),
    row(DType::U16, 28, 27, "UInt16", "uint16"),
    row(DType::F8E4M3FN, 29, 24, "Float8_e4m3fn", "float8_e4m3fn"),
    row(DType::F8E5M2, 30, 23, "Float8_e5m2", "float8_e5m2"),
    row(DType::F8E4M3FNUZ, 31, 26, "Float8_e4m3fnuz", "float8_e4m3fnuz"),
    row(DType::F8E5M2FNUZ, 32, 25, "Float8_e5m2fnuz", "float8_e5m2fnuz"),
    row(DType::F8E8M0, 33, 44, "Float8_e8m0fnu", "float8_e8m0fnu"),
    row(DType::U32, 34, 28, "UInt32", "uint32"),
    row(DType::U64, 35, 29, "UInt64", "uint64"),
];

/// The dtype of a number in a `.pt2` file.
pub fn from_export(number: i64) -> Option<DType> {
    ROWS.iter().find(|r| r.export == number).map(|r| r.dtype)
}

/// The number of a dtype in a `.pt2` file; `None` where PyTorch has no such dtype.
pub fn to_export(dtype: DType) -> Option<i64> {
    ROWS.iter().find(|r| r.dtype == dtype).map(|r| r.export)
}

/// The dtype of a number in a TorchScript program.
pub fn from_script(number: i64) -> Option<DType> {
    ROWS.iter().find(|r| r.script == number).map(|r| r.dtype)
}

/// The number of a dtype in a TorchScript program; `None` where PyTorch has no such dtype.
pub fn to_script(dtype: DType) -> Option<i64> {
    ROWS.iter().find(|r| r.dtype == dtype).map(|r| r.script)
}

/// The dtype of a storage class in a pickle, such as `FloatStorage`.
pub fn from_storage(class: &str) -> Option<DType> {
    let name = class.strip_suffix("Storage")?;
    ROWS.iter().find(|r| r.storage == name).map(|r| r.dtype)
}

/// The storage class of a dtype in a pickle; `None` where PyTorch has no such dtype.
pub fn to_storage(dtype: DType) -> Option<String> {
    ROWS.iter().find(|r| r.dtype == dtype).map(|r| format!("{}Storage", r.storage))
}

/// The dtype of a name in Python, such as `float32`.
pub fn from_name(name: &str) -> Option<DType> {
    ROWS.iter().find(|r| r.name == name).map(|r| r.dtype)
}

/// The name of a dtype in Python; `None` where PyTorch has no such dtype.
pub fn to_name(dtype: DType) -> Option<&'static str> {
    ROWS.iter().find(|r| r.dtype == dtype).map(|r| r.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_numbering_is_one_to_one() {
        for r in ROWS {
            assert_eq!(from_export(r.export), Some(r.dtype));
            assert_eq!(from_script(r.script), Some(r.dtype));
            assert_eq!(from_name(r.name), Some(r.dtype));
            assert_eq!(from_storage(&to_storage(r.dtype).unwrap()), Some(r.dtype));
        }
    }

    #[test]
    fn what_pytorch_lacks_has_no_number() {
        assert_eq!(to_export(DType::I4), None);
        assert_eq!(to_script(DType::String), None);
        assert_eq!(from_storage("Float"), None);
    }
}
