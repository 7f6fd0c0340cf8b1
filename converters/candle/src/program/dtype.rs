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

/// How candle holds the elements of a dtype: as they are, truth values as `u8` of 0 and 1, and
/// those of dtypes that it lacks in the next wider one that has all their values. `None` for what
/// no dtype of candle holds.
pub fn held(dtype: DType) -> Option<Held> {
    let held = |name, element| Some(Held { name, element });
    match dtype {
        DType::Bool | DType::U8 | DType::U4 | DType::U2 => held("U8", "u8"),
        DType::U32 => held("U32", "u32"),
        DType::I16 | DType::I8 | DType::I4 | DType::I2 => held("I16", "i16"),
        DType::I32 | DType::U16 => held("I32", "i32"),
        DType::I64 => held("I64", "i64"),
        DType::F16 => held("F16", "half::f16"),
        DType::BF16 => held("BF16", "half::bf16"),
        DType::F64 => held("F64", "f64"),
        other if other == DType::F32 || is_small_float(other) => held("F32", "f32"),
        _ => None,
    }
}

/// Whether candle computes with the dtype itself, so that integers wrap and floats round where
/// they should.
pub fn is_own(dtype: DType) -> bool {
    let integer = matches!(dtype, DType::U8 | DType::U32 | DType::I16 | DType::I32 | DType::I64);
    integer || is_float(dtype)
}

/// Whether a dtype is a float of at most 8 bits.
pub fn is_small_float(dtype: DType) -> bool {
    dtype.float_format().is_some() && dtype.bits() <= 8
}

/// Whether a dtype is a float of 16 bits: candle's functions of several steps round each of them.
pub fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// Whether a float dtype has the functions that candle has for floats only.
pub fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

/// The dtype in which a tensor is stored in a weights file.
pub fn stored(dtype: DType) -> DType {
    match dtype {
        DType::Bool | DType::U4 | DType::U2 => DType::U8,
        DType::I8 | DType::I4 | DType::I2 => DType::I16,
        DType::U16 => DType::I32,
        other if is_small_float(other) => DType::F32,
        other => other,
    }
}
