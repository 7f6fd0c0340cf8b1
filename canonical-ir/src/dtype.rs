//! Element types.
//!
//! Every fact about a dtype comes from the one table in this file: its name, its width, its class,
//! and for floats the layout from which the numeric limits are computed.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The broad kind of values that a dtype holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// True or false, one byte each in storage.
    Bool,
    /// Two's complement integers.
    Signed,
    /// Integers from zero up.
    Unsigned,
    /// Binary floating point.
    Float,
    /// A pair of floats: real part, then imaginary part.
    Complex,
    /// Byte strings of any length.
    String,
}

/// What the codes at the top of a float format's range mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatKind {
    /// IEEE 754: the top exponent is for infinities and NaNs.
    Ieee,
    /// No infinities; NaN is the code whose exponent and mantissa bits are all ones ("fn").
    FiniteNan,
    /// No infinities and no negative zero; the sign bit alone is the only NaN ("fnuz").
    Fnuz,
    /// Neither infinities nor NaN.
    Finite,
    /// Unsigned powers of two without zero; the code of all ones is NaN (E8M0).
    PowerOfTwo,
}

/// The bit layout of a binary float, sign bit first (absent for [`FloatKind::PowerOfTwo`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FloatFormat {
    /// Width of the exponent field.
    pub exp_bits: u32,
    /// Width of the stored mantissa field.
    pub man_bits: u32,
    /// What is subtracted from the exponent field.
    pub bias: i32,
    /// The meaning of the special codes.
    pub kind: FloatKind,
}

impl FloatFormat {
    /// The exponent of the largest finite value.
    pub const fn max_exp(self) -> i32 {
        let top = (1i32 << self.exp_bits) - 1 - self.bias;
        match self.kind {
            FloatKind::Ieee | FloatKind::PowerOfTwo => top - 1,
            FloatKind::FiniteNan | FloatKind::Fnuz | FloatKind::Finite => top,
        }
    }

    /// The exponent of the smallest normal value; values below it have fewer digits.
    pub const fn min_exp(self) -> i32 {
        match self.kind {
            FloatKind::PowerOfTwo => -self.bias,
            _ => 1 - self.bias,
        }
    }

    /// The largest finite value.
    pub fn max_finite(self) -> f64 {
        let steps = match self.kind {
            FloatKind::FiniteNan => 2.0,
            _ => 1.0,
        };
        match self.kind {
            FloatKind::PowerOfTwo => exp2i(self.max_exp()),
            _ => (2.0 - steps * exp2i(-(self.man_bits as i32))) * exp2i(self.max_exp()),
        }
    }

    /// The smallest value above zero that has full precision.
    pub fn min_normal(self) -> f64 {
        exp2i(self.min_exp())
    }

    /// The smallest value above zero.
    pub fn min_positive(self) -> f64 {
        exp2i(self.min_exp() - self.man_bits as i32)
    }

    /// Binary digits of a normal value, the implicit leading one included.
    pub const fn digits(self) -> u32 {
        self.man_bits + 1
    }

    /// Whether infinities are representable.
    pub const fn has_inf(self) -> bool {
        matches!(self.kind, FloatKind::Ieee)
    }

    /// Whether NaN is representable.
    pub const fn has_nan(self) -> bool {
        !matches!(self.kind, FloatKind::Finite)
    }

    /// Whether values below zero are representable.
    pub const fn is_signed(self) -> bool {
        !matches!(self.kind, FloatKind::PowerOfTwo)
    }

    /// Whether zero is representable.
    pub const fn has_zero(self) -> bool {
        self.is_signed()
    }

    /// Whether there is a zero with the sign bit set.
    pub const fn has_neg_zero(self) -> bool {
        !matches!(self.kind, FloatKind::Fnuz | FloatKind::PowerOfTwo)
    }
}

/// Two to the power of `e`, exact down to the smallest subnormal; `e` is within -1074..=1023.
pub(crate) const fn exp2i(e: i32) -> f64 {
    if e >= -1022 {
        f64::from_bits(((e + 1023) as u64) << 52)
    } else {
        f64::from_bits(1u64 << (e + 1074))
    }
}

macro_rules! dtypes {
    ($( $(#[$doc:meta])* $var:ident = $name:literal, $bits:literal, $class:ident
        $( ( $exp:literal, $man:literal, $bias:literal, $kind:ident ) )? ; )*) => {
        /// The type of one element of a tensor.
        ///
        /// `Display` and `FromStr` use the name in lower case, such as `f8e4m3fn`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DType { $( $(#[$doc])* $var, )* }

        impl DType {
            /// Every dtype, in declaration order.
            pub const ALL: &'static [DType] = &[ $( DType::$var, )* ];

            /// The name used in text forms.
            pub const fn name(self) -> &'static str {
                match self { $( DType::$var => $name, )* }
            }

            /// Bits of one element as stored; 0 for `string`, whose elements have no fixed size.
            pub const fn bits(self) -> u32 {
                match self { $( DType::$var => $bits, )* }
            }

            /// The kind of values.
            pub const fn class(self) -> Class {
                match self { $( DType::$var => Class::$class, )* }
            }

            /// The bit layout of a float dtype; `None` for every other class.
            #[allow(unreachable_code)]
            pub const fn float_format(self) -> Option<FloatFormat> {
                match self { $( DType::$var => {
                    $( return Some(FloatFormat {
                        exp_bits: $exp, man_bits: $man, bias: $bias, kind: FloatKind::$kind,
                    }); )?
                    None
                } )* }
            }
        }
    };
}

dtypes! {
    /// A truth value.
    Bool = "bool", 8, Bool;
    /// Two-bit signed integer, four per byte.
    I2 = "i2", 2, Signed;
    /// Four-bit signed integer, two per byte.
    I4 = "i4", 4, Signed;
    /// Signed 8-bit integer.
    I8 = "i8", 8, Signed;
    /// Signed 16-bit integer.
    I16 = "i16", 16, Signed;
    /// Signed 32-bit integer.
    I32 = "i32", 32, Signed;
    /// Signed 64-bit integer.
    I64 = "i64", 64, Signed;
    /// Two-bit unsigned integer, four per byte.
    U2 = "u2", 2, Unsigned;
    /// Four-bit unsigned integer, two per byte.
    U4 = "u4", 4, Unsigned;
    /// Unsigned 8-bit integer.
    U8 = "u8", 8, Unsigned;
    /// Unsigned 16-bit integer.
    U16 = "u16", 16, Unsigned;
    /// Unsigned 32-bit integer.
    U32 = "u32", 32, Unsigned;
    /// Unsigned 64-bit integer.
    U64 = "u64", 64, Unsigned;
    /// IEEE half precision.
    F16 = "f16", 16, Float(5, 10, 15, Ieee);
    /// The upper half of an IEEE single.
    BF16 = "bf16", 16, Float(8, 7, 127, Ieee);
    /// IEEE single precision.
    F32 = "f32", 32, Float(8, 23, 127, Ieee);
    /// IEEE double precision.
    F64 = "f64", 64, Float(11, 52, 1023, Ieee);
    /// Eight bits, four of exponent, without infinities.
    F8E4M3FN = "f8e4m3fn", 8, Float(4, 3, 7, FiniteNan);
    /// Eight bits, four of exponent, one NaN, one zero, no infinities.
    F8E4M3FNUZ = "f8e4m3fnuz", 8, Float(4, 3, 8, Fnuz);
    /// Eight bits, five of exponent, with infinities as in IEEE formats.
    F8E5M2 = "f8e5m2", 8, Float(5, 2, 15, Ieee);
    /// Eight bits, five of exponent, one NaN, one zero, no infinities.
    F8E5M2FNUZ = "f8e5m2fnuz", 8, Float(5, 2, 16, Fnuz);
    /// A power of two between 2^-127 and 2^127, or NaN.
    F8E8M0 = "f8e8m0", 8, Float(8, 0, 127, PowerOfTwo);
    /// Four bits, two of exponent, finite values only; two per byte.
    F4E2M1 = "f4e2m1", 4, Float(2, 1, 1, Finite);
    /// Six bits, two of exponent, finite values only; four in three bytes.
    F6E2M3 = "f6e2m3", 6, Float(2, 3, 1, Finite);
    /// Six bits, three of exponent, finite values only; four in three bytes.
    F6E3M2 = "f6e3m2", 6, Float(3, 2, 3, Finite);
    /// A pair of `f32`.
    C64 = "c64", 64, Complex;
    /// A pair of `f64`.
    C128 = "c128", 128, Complex;
    /// A byte string; UTF-8 by custom, not by rule.
    String = "string", 0, String;
}

impl DType {
    /// Whether this is a float of any width (complex is apart).
    pub const fn is_float(self) -> bool {
        matches!(self.class(), Class::Float)
    }

    /// Whether this is a signed integer of any width.
    pub const fn is_signed_int(self) -> bool {
        matches!(self.class(), Class::Signed)
    }

    /// Whether this is an unsigned integer of any width; `bool` is not one.
    pub const fn is_unsigned_int(self) -> bool {
        matches!(self.class(), Class::Unsigned)
    }

    /// Whether this is an integer of either sign; `bool` is not one.
    pub const fn is_integer(self) -> bool {
        self.is_signed_int() || self.is_unsigned_int()
    }

    /// Whether this is a complex dtype.
    pub const fn is_complex(self) -> bool {
        matches!(self.class(), Class::Complex)
    }

    /// Whether several elements share a byte in storage.
    pub const fn is_sub_byte(self) -> bool {
        matches!(self.bits(), 2 | 4 | 6)
    }

    /// The least and the greatest value of an integer dtype.
    pub const fn int_range(self) -> Option<(i128, i128)> {
        let bits = self.bits();
        match self.class() {
            Class::Signed => Some((-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)),
            Class::Unsigned => Some((0, (1i128 << bits) - 1)),
            _ => None,
        }
    }

    /// The dtype of the parts of a complex dtype.
    pub const fn complex_part(self) -> Option<DType> {
        match self {
            DType::C64 => Some(DType::F32),
            DType::C128 => Some(DType::F64),
            _ => None,
        }
    }

    /// Bytes that `numel` elements take in storage.
    ///
    /// Elements narrower than a byte form one little-endian bit string: element `i` is in bits
    /// `i * bits .. (i + 1) * bits`, counted from the low bit of the first byte, and unused high
    /// bits of the last byte are zero. So 2-bit elements are four per byte, 4-bit elements have the
    /// low nibble first, and four 6-bit elements take three bytes.
    ///
    /// `None` for `string`, and when the size does not fit in a `u64`.
    pub const fn byte_len(self, numel: u64) -> Option<u64> {
        if matches!(self, DType::String) {
            return None;
        }
        let bytes = (numel as u128 * self.bits() as u128).div_ceil(8);
        if bytes > u64::MAX as u128 { None } else { Some(bytes as u64) }
    }
}

/// A name that is no dtype's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a dtype")]
pub struct UnknownDType(pub String);

impl FromStr for DType {
    type Err = UnknownDType;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let found = DType::ALL.iter().find(|d| d.name() == s);
        found.copied().ok_or_else(|| UnknownDType(s.to_owned()))
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_parse_back() {
        for &d in DType::ALL {
            assert_eq!(d.to_string().parse::<DType>(), Ok(d));
        }
        assert_eq!(DType::ALL.len(), 28);
        assert_eq!("F32".parse::<DType>(), Err(UnknownDType("F32".into())));
    }

    #[test]
    fn field_widths_add_up() {
        for &d in DType::ALL {
            assert_eq!(d.float_format().is_some(), d.is_float());
            if let Some(f) = d.float_format() {
                assert_eq!(u32::from(f.is_signed()) + f.exp_bits + f.man_bits, d.bits(), "{d}");
            }
        }
    }

    #[test]
    fn limits_match_the_standards() {
        let max = |d: DType| d.float_format().unwrap().max_finite();
        let least = |d: DType| d.float_format().unwrap().min_positive();
        assert_eq!(max(DType::F16), 65504.0);
        assert_eq!(max(DType::F32), f64::from(f32::MAX));
        assert_eq!(max(DType::F64), f64::MAX);
        assert_eq!(max(DType::F8E4M3FN), 448.0);
        assert_eq!(max(DType::F8E4M3FNUZ), 240.0);
        assert_eq!(max(DType::F8E5M2), 57344.0);
        assert_eq!(max(DType::F8E5M2FNUZ), 57344.0);
        assert_eq!(max(DType::F8E8M0), exp2i(127));
        assert_eq!(max(DType::F4E2M1), 6.0);
        assert_eq!(max(DType::F6E2M3), 7.5);
        assert_eq!(max(DType::F6E3M2), 28.0);
        assert_eq!(least(DType::F64), f64::from_bits(1));
        assert_eq!(least(DType::F32), f64::from(f32::from_bits(1)));
        assert_eq!(least(DType::F8E4M3FN), exp2i(-9));
        assert_eq!(least(DType::F8E5M2FNUZ), exp2i(-17));
        assert_eq!(least(DType::F8E8M0), exp2i(-127));
        assert_eq!(least(DType::F4E2M1), 0.5);
        assert_eq!(DType::F64.float_format().unwrap().min_normal(), f64::MIN_POSITIVE);
    }

    #[test]
    fn integer_ranges() {
        assert_eq!(DType::I2.int_range(), Some((-2, 1)));
        assert_eq!(DType::U4.int_range(), Some((0, 15)));
        assert_eq!(DType::I64.int_range(), Some((i64::MIN.into(), i64::MAX.into())));
        assert_eq!(DType::U64.int_range(), Some((0, u64::MAX.into())));
        assert_eq!(DType::Bool.int_range(), None);
    }

    #[test]
    fn byte_lengths() {
        assert_eq!(DType::I2.byte_len(5), Some(2));
        assert_eq!(DType::U4.byte_len(3), Some(2));
        assert_eq!(DType::F6E2M3.byte_len(4), Some(3));
        assert_eq!(DType::F6E3M2.byte_len(5), Some(4));
        assert_eq!(DType::C128.byte_len(2), Some(32));
        assert_eq!(DType::String.byte_len(1), None);
        assert_eq!(DType::I4.byte_len(u64::MAX), Some(1 << 63));
        assert_eq!(DType::I16.byte_len(u64::MAX), None);
    }
}
