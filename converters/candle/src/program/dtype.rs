//! Which dtypes candle has, and in which one it holds those that it lacks.

use airconv_ir::dtype::DType;

/// A dtype in candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The variant of candle's `DType`.
    pub name: &'static str,
    /// The Rust type of an element.
    pub element: &'static str,
}

/// How candle holds the elements of a dtype: as they are; truth values as `u8` of 0 and 1; `i8`
/// as `i16`, which holds the same numbers. `None` for what no dtype of candle holds.
pub fn held(dtype: DType) -> Option<Held> {
    let held = |name, element| Some(Held { name, element });
    match dtype {
        DType::Bool | DType::U8 => held("U8", "u8"),
        DType::U32 => held("U32", "u32"),
        DType::I8 | DType::I16 => held("I16", "i16"),
        DType::I32 => held("I32", "i32"),
        DType::I64 => held("I64", "i64"),
        DType::F16 => held("F16", "half::f16"),
        DType::BF16 => held("BF16", "half::bf16"),
        DType::F32 => held("F32", "f32"),
        DType::F64 => held("F64", "f64"),
        _ => None,
    }
}

/// Whether candle computes with the dtype itself, so that integers wrap where they should.
pub fn is_own(dtype: DType) -> bool {
    held(dtype).is_some() && !matches!(dtype, DType::Bool | DType::I8)
}

/// Whether a float dtype has the functions that candle has for floats only.
pub fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

/// The dtype in which a tensor is stored in a weights file.
pub fn stored(dtype: DType) -> DType {
    match dtype {
        DType::Bool => DType::U8,
        DType::I8 => DType::I16,
        other => other,
    }
}
