//! Element and value types of kernels.

use airconv_ir::dtype::DType;

/// How one element lies in a buffer.
///
/// Every hub dtype has a carrier: integers of less than a byte lie in `I8` or `U8`, floats
/// narrower than 16 bits in `F32` (already rounded to their dtype), complex numbers are two
/// elements, real part first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Elem {
    /// One byte, 0 or 1.
    Bool,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// IEEE half precision; its value is an `F32`.
    F16,
    /// The upper half of an IEEE single; its value is an `F32`.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl Elem {
    /// All of them.
    pub const ALL: [Elem; 13] = [
        Elem::Bool,
        Elem::I8,
        Elem::I16,
        Elem::I32,
        Elem::I64,
        Elem::U8,
        Elem::U16,
        Elem::U32,
        Elem::U64,
        Elem::F16,
        Elem::Bf16,
        Elem::F32,
        Elem::F64,
    ];

    /// The carrier of a hub dtype and how many elements make one value; `None` for strings.
    pub fn of(dtype: DType) -> Option<(Elem, usize)> {
        Some(match dtype {
            DType::Bool => (Elem::Bool, 1),
            DType::I2 | DType::I4 | DType::I8 => (Elem::I8, 1),
            DType::I16 => (Elem::I16, 1),
            DType::I32 => (Elem::I32, 1),
            DType::I64 => (Elem::I64, 1),
            DType::U2 | DType::U4 | DType::U8 => (Elem::U8, 1),
            DType::U16 => (Elem::U16, 1),
            DType::U32 => (Elem::U32, 1),
            DType::U64 => (Elem::U64, 1),
            DType::F16 => (Elem::F16, 1),
            DType::BF16 => (Elem::Bf16, 1),
            DType::F64 => (Elem::F64, 1),
            DType::C64 => (Elem::F32, 2),
            DType::C128 => (Elem::F64, 2),
            DType::String => return None,
            _ => (Elem::F32, 1),
        })
    }

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Elem::Bool | Elem::I8 | Elem::U8 => 1,
            Elem::I16 | Elem::U16 | Elem::F16 | Elem::Bf16 => 2,
            Elem::I32 | Elem::U32 | Elem::F32 => 4,
            Elem::I64 | Elem::U64 | Elem::F64 => 8,
        }
    }

    /// The type of a loaded value.
    pub fn scalar(self) -> Scalar {
        match self {
            Elem::Bool => Scalar::Bool,
            Elem::I8 => Scalar::I8,
            Elem::I16 => Scalar::I16,
            Elem::I32 => Scalar::I32,
            Elem::I64 => Scalar::I64,
            Elem::U8 => Scalar::U8,
            Elem::U16 => Scalar::U16,
            Elem::U32 => Scalar::U32,
            Elem::U64 => Scalar::U64,
            Elem::F16 | Elem::Bf16 | Elem::F32 => Scalar::F32,
            Elem::F64 => Scalar::F64,
        }
    }

    /// The spelling in the text form.
    pub fn name(self) -> &'static str {
        match self {
            Elem::F16 => "f16",
            Elem::Bf16 => "bf16",
            other => other.scalar().name(),
        }
    }
}

/// The type of a value in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    /// A truth value.
    Bool,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits. Indices have this type.
    I64,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl Scalar {
    /// The type in which values of a hub dtype (of one part of it, when complex) are computed.
    pub fn of(dtype: DType) -> Option<Scalar> {
        Some(Elem::of(dtype)?.0.scalar())
    }
    /// Whether it is a float.
    pub fn is_float(self) -> bool {
        matches!(self, Scalar::F32 | Scalar::F64)
    }
    /// Whether it is an integer of either sign.
    pub fn is_int(self) -> bool {
        !self.is_float() && self != Scalar::Bool
    }
    /// Whether it is a signed integer.
    pub fn is_signed(self) -> bool {
        matches!(self, Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64)
    }
    /// Width in bits; 1 for a truth value.
    pub fn bits(self) -> u32 {
        match self {
            Scalar::Bool => 1,
            Scalar::I8 | Scalar::U8 => 8,
            Scalar::I16 | Scalar::U16 => 16,
            Scalar::I32 | Scalar::U32 | Scalar::F32 => 32,
            Scalar::I64 | Scalar::U64 | Scalar::F64 => 64,
        }
    }
    /// The spelling in the text form.
    pub fn name(self) -> &'static str {
        match self {
            Scalar::Bool => "bool",
            Scalar::I8 => "i8",
            Scalar::I16 => "i16",
            Scalar::I32 => "i32",
            Scalar::I64 => "i64",
            Scalar::U8 => "u8",
            Scalar::U16 => "u16",
            Scalar::U32 => "u32",
            Scalar::U64 => "u64",
            Scalar::F32 => "f32",
            Scalar::F64 => "f64",
        }
    }
}

/// A constant: the bits of a value of its type, zero-extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Const {
    /// The type.
    pub ty: Scalar,
    /// The bits; two's complement for signed integers, IEEE for floats, 0 or 1 for `Bool`.
    pub bits: u64,
}

impl Const {
    /// A constant of a type from a number; floats are rounded, integers keep their low bits.
    pub fn from_f64(ty: Scalar, x: f64) -> Const {
        match ty {
            Scalar::F32 => Const { ty, bits: u64::from((x as f32).to_bits()) },
            Scalar::F64 => Const { ty, bits: x.to_bits() },
            _ => Self::from_i128(ty, x as i128),
        }
    }
    /// A constant of a type from an integer, of which the low bits are kept.
    pub fn from_i128(ty: Scalar, x: i128) -> Const {
        match ty {
            Scalar::F32 | Scalar::F64 => Self::from_f64(ty, x as f64),
            Scalar::Bool => Const { ty, bits: u64::from(x != 0) },
            _ => {
                let mask = u64::MAX >> (64 - ty.bits());
                Const { ty, bits: (x as u64) & mask }
            }
        }
    }
    /// The truth values.
    pub fn bool(x: bool) -> Const {
        Const { ty: Scalar::Bool, bits: u64::from(x) }
    }
    /// The value as an integer, sign-extended; `None` for floats.
    pub fn as_int(self) -> Option<i128> {
        if self.ty.is_float() {
            return None;
        }
        let bits = self.ty.bits();
        Some(if self.ty.is_signed() {
            i128::from(((self.bits << (64 - bits)) as i64) >> (64 - bits))
        } else {
            i128::from(self.bits)
        })
    }
    /// The value as a double.
    pub fn as_f64(self) -> f64 {
        match self.ty {
            Scalar::F32 => f64::from(f32::from_bits(self.bits as u32)),
            Scalar::F64 => f64::from_bits(self.bits),
            _ => self.as_int().unwrap_or(0) as f64,
        }
    }
}
