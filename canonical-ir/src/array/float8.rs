//! Rounding to narrow float formats, and their codes.
//!
//! All formats of at most 16 bits are handled here. Values are held as `f32`, which represents
//! every one of them exactly.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::dtype::{DType, FloatFormat, FloatKind, exp2i};

/// The direction of rounding in conversions to `f8e8m0`; every other conversion to a float rounds
/// to the nearest value, ties to the even mantissa.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RoundMode {
    /// To the next power of two away from zero.
    #[default]
    Up,
    /// To the next power of two towards zero.
    Down,
    /// To the closest power of two; halfway goes up.
    Nearest,
}

/// Rounds to one float format.
///
/// The input is an `f64`, so a value that comes from an `f64` is rounded once.
#[derive(Clone, Copy, Debug)]
pub struct Rounder {
    kind: FloatKind,
    man_bits: i32,
    min_exp: i32,
    /// The greatest finite value.
    max: f64,
    /// Magnitudes are cut here first: beyond `max`, and small enough for exact arithmetic.
    cut: f64,
    /// The result for magnitudes that round to more than `max`.
    overflow: f32,
    /// What NaN gives, before its sign is put back.
    nan: f32,
    saturate: bool,
    mode: RoundMode,
}

impl Rounder {
    /// A rounder to `dtype`, or `None` unless `dtype` is a float of at most 16 bits.
    ///
    /// `saturate` applies to the 8-bit formats. The 16-bit ones always overflow to infinity, and
    /// the 4-bit and 6-bit ones, which have nothing else, always to the largest value. `mode`
    /// applies to `f8e8m0`.
    pub fn new(dtype: DType, saturate: bool, mode: RoundMode) -> Option<Rounder> {
        let format = dtype.float_format().filter(|_| dtype.bits() <= 16)?;
        let max = format.max_finite();
        let saturates = match format.kind {
            FloatKind::Finite => true,
            _ => saturate && dtype.bits() == 8,
        };
        let overflow = match format.kind {
            _ if saturates => max as f32,
            FloatKind::Ieee => f32::INFINITY,
            _ => f32::NAN,
        };
        Some(Rounder {
            kind: format.kind,
            man_bits: format.man_bits as i32,
            min_exp: format.min_exp(),
            max,
            cut: exp2i(format.max_exp() + 2),
            overflow,
            nan: if format.has_nan() { f32::NAN } else { 0.0 },
            saturate: saturates,
            mode,
        })
    }

    /// The value of the format for `x`.
    #[inline]
    pub fn round(&self, x: f64) -> f32 {
        if self.kind == FloatKind::PowerOfTwo {
            return self.round_power(x);
        }
        let negative = x.is_sign_negative();
        if x.is_nan() {
            // Formats without NaN get -0 whatever the sign of the NaN, which carries no meaning.
            return if (negative && self.kind != FloatKind::Fnuz) || self.kind == FloatKind::Finite {
                -self.nan
            } else {
                self.nan
            };
        }
        let a = x.abs().min(self.cut);
        // Adding 2^52 quanta leaves no bits below one quantum, so the addition itself rounds to
        // nearest even; subtracting is exact.
        let e = ((a.to_bits() >> 52) as i32 - 1023).max(self.min_exp);
        let big = f64::from_bits(((e - self.man_bits + 52 + 1023) as u64) << 52);
        let r = (a + big) - big;
        let r = if r > self.max { self.overflow } else { r as f32 };
        if negative && !(self.kind == FloatKind::Fnuz && (r == 0.0 || r.is_nan())) { -r } else { r }
    }

    /// Rounds to a power of two. Zero of either sign is below the range, so it gives the least
    /// power when saturating and NaN otherwise; values below zero give NaN.
    fn round_power(&self, x: f64) -> f32 {
        if x.is_nan() || x < 0.0 {
            return f32::NAN;
        }
        // The sign bit of a negative zero is no part of the exponent.
        let bits = x.abs().to_bits();
        // f64 subnormals count as exponent -1023 and are far below the range in any case.
        let mut e = (bits >> 52) as i32 - 1023;
        let fraction = bits & ((1 << 52) - 1);
        let up = match self.mode {
            RoundMode::Up => fraction != 0,
            RoundMode::Down => false,
            RoundMode::Nearest => fraction >= 1 << 51,
        };
        if x.is_finite() && up {
            e += 1;
        }
        if !(-127..=127).contains(&e) {
            if !self.saturate {
                return f32::NAN;
            }
            e = e.clamp(-127, 127);
        }
        exp2i(e) as f32
    }

    /// Rounds every value in place.
    pub fn round_slice(&self, values: &mut [f32]) {
        for v in values {
            *v = self.round(f64::from(*v));
        }
    }
}

/// Rounds `x` to `dtype` without saturation: what exceeds the range becomes infinity, or NaN in
/// formats without infinities, or the largest value in formats without either.
///
/// Rounding is to nearest even, for `f8e8m0` to the nearest power of two with ties up. For `f32`
/// and dtypes that are not floats of at most 32 bits `x` is returned as it is.
pub fn round_to_dtype(dtype: DType, x: f32) -> f32 {
    round_to(dtype, f64::from(x), false, RoundMode::Nearest)
}

/// Rounds `x` once to `dtype`, as [`Rounder`] does; for every dtype that it does not know the
/// result is the nearest `f32`.
pub fn round_to(dtype: DType, x: f64, saturate: bool, mode: RoundMode) -> f32 {
    match Rounder::new(dtype, saturate, mode) {
        Some(rounder) => rounder.round(x),
        None => x as f32,
    }
}

/// Rounds every value to `dtype` in place, as [`round_to_dtype`] does.
pub fn round_slice_to_dtype(dtype: DType, values: &mut [f32]) {
    round_slice_to(dtype, values, false, RoundMode::Nearest);
}

/// Rounds every value to `dtype` in place, as [`round_to`] does.
pub fn round_slice_to(dtype: DType, values: &mut [f32], saturate: bool, mode: RoundMode) {
    match dtype {
        DType::F16 => {
            let mut codes = [f16::ZERO; 256];
            for chunk in values.chunks_mut(256) {
                let codes = &mut codes[..chunk.len()];
                codes.convert_from_f32_slice(chunk);
                codes.convert_to_f32_slice(chunk);
            }
        }
        DType::BF16 => values.iter_mut().for_each(|v| *v = bf16::from_f32(*v).to_f32()),
        _ => {
            if let Some(rounder) = Rounder::new(dtype, saturate, mode) {
                rounder.round_slice(values);
            }
        }
    }
}

/// The value of a code of a format of at most 8 bits; bits above the format's width are ignored.
pub(super) fn decode(format: FloatFormat, code: u8) -> f32 {
    let code = u32::from(code);
    let man = code & ((1 << format.man_bits) - 1);
    let exp = (code >> format.man_bits) & ((1 << format.exp_bits) - 1);
    let negative = format.is_signed() && (code >> (format.man_bits + format.exp_bits)) & 1 == 1;
    let all_ones = exp == (1 << format.exp_bits) - 1;
    let magnitude = match format.kind {
        FloatKind::PowerOfTwo if all_ones => return f32::NAN,
        FloatKind::PowerOfTwo => return exp2i(exp as i32 - format.bias) as f32,
        FloatKind::Ieee if all_ones => f32::from_bits(0x7f80_0000 | man << (23 - format.man_bits)),
        FloatKind::FiniteNan if all_ones && man == (1 << format.man_bits) - 1 => f32::NAN,
        FloatKind::Fnuz if negative && exp == 0 && man == 0 => return f32::NAN,
        _ => {
            let implicit = if exp == 0 { 0 } else { 1 << format.man_bits };
            let quantum = (exp.max(1)) as i32 - format.bias - format.man_bits as i32;
            (f64::from(man + implicit) * exp2i(quantum)) as f32
        }
    };
    if negative { -magnitude } else { magnitude }
}

/// Turns values into codes of one format of at most 8 bits.
pub(super) struct Encoder {
    format: FloatFormat,
    rounder: Rounder,
}

impl Encoder {
    /// An encoder for `dtype`, or `None` unless it is a float of at most 8 bits.
    pub(super) fn new(dtype: DType) -> Option<Encoder> {
        let format = dtype.float_format().filter(|_| dtype.bits() <= 8)?;
        let rounder = Rounder::new(dtype, false, RoundMode::Nearest)?;
        Some(Encoder { format, rounder })
    }

    /// The code of `x`, which is rounded first if it is no value of the format.
    pub(super) fn encode(&self, x: f32) -> u8 {
        let FloatFormat { exp_bits, man_bits, bias, kind } = self.format;
        let sign_bit = 1u32 << (exp_bits + man_bits);
        let exp_mask = ((1u32 << exp_bits) - 1) << man_bits;
        // Only the IEEE format tells NaNs apart; rounding would lose the payload.
        let x = if kind == FloatKind::Ieee && x.is_nan() {
            x
        } else {
            self.rounder.round(f64::from(x))
        };
        let bits = x.to_bits();
        let sign = if bits >> 31 == 1 { sign_bit } else { 0 };
        if x.is_nan() {
            let code = match kind {
                FloatKind::PowerOfTwo => 0xff,
                FloatKind::Fnuz => sign_bit,
                FloatKind::FiniteNan => sign | (sign_bit - 1),
                _ => {
                    let payload = (bits & 0x7f_ffff) >> (23 - man_bits);
                    sign | exp_mask | if payload == 0 { 1 << (man_bits - 1) } else { payload }
                }
            };
            return code as u8;
        }
        if x.is_infinite() {
            return (sign | exp_mask) as u8;
        }
        let wide = f64::from(x.abs()).to_bits();
        let e = (wide >> 52) as i32 - 1023;
        if kind == FloatKind::PowerOfTwo {
            return (e + bias) as u8;
        }
        let magnitude = if e < self.format.min_exp() {
            // A multiple of the smallest value, zero included.
            (f64::from(x.abs()) / self.format.min_positive()) as u32
        } else {
            let man = (wide >> (52 - man_bits)) as u32 & ((1 << man_bits) - 1);
            (((e + bias) as u32) << man_bits) | man
        };
        (sign | magnitude) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: [DType; 8] = [
        DType::F8E4M3FN,
        DType::F8E4M3FNUZ,
        DType::F8E5M2,
        DType::F8E5M2FNUZ,
        DType::F8E8M0,
        DType::F4E2M1,
        DType::F6E2M3,
        DType::F6E3M2,
    ];

    #[test]
    fn every_code_survives_decode_and_encode() {
        for d in SMALL {
            let (format, encoder) = (d.float_format().unwrap(), Encoder::new(d).unwrap());
            for code in 0..(1u32 << d.bits()) {
                let x = decode(format, code as u8);
                assert_eq!(u32::from(encoder.encode(x)), code, "{d} {code:#x} {x}");
            }
        }
    }

    /// The neighbours of every midpoint between adjacent values go to the right side, and the
    /// midpoint itself to the even code.
    #[test]
    fn rounding_at_midpoints() {
        for d in SMALL {
            if d == DType::F8E8M0 {
                continue;
            }
            let (format, encoder) = (d.float_format().unwrap(), Encoder::new(d).unwrap());
            let r = Rounder::new(d, true, RoundMode::Up).unwrap();
            let top = encoder.encode(format.max_finite() as f32);
            for code in 0..top {
                let (lo, hi) = (decode(format, code), decode(format, code + 1));
                let mid = (f64::from(lo) + f64::from(hi)) / 2.0;
                assert_eq!(r.round(mid.next_down()), lo, "{d} {code}");
                assert_eq!(r.round(mid.next_up()), hi, "{d} {code}");
                assert_eq!(r.round(mid), if code % 2 == 0 { lo } else { hi }, "{d} {code}");
                assert_eq!(r.round(-mid.next_up()), -hi, "{d} {code}");
            }
        }
    }

    #[test]
    fn overflow_follows_the_table() {
        let at = |d, x, saturate| round_to(d, x, saturate, RoundMode::Up);
        for x in [f64::INFINITY, 1e300] {
            assert_eq!(at(DType::F8E4M3FN, x, true), 448.0);
            assert!(at(DType::F8E4M3FN, x, false).is_nan());
            assert_eq!(at(DType::F8E4M3FNUZ, -x, true), -240.0);
            assert!(at(DType::F8E4M3FNUZ, -x, false).is_nan());
            assert_eq!(at(DType::F8E5M2, -x, true), -57344.0);
            assert_eq!(at(DType::F8E5M2, -x, false), f32::NEG_INFINITY);
            assert_eq!(at(DType::F16, x, true), f32::INFINITY);
            assert_eq!(at(DType::BF16, -x, true), f32::NEG_INFINITY);
            assert_eq!(at(DType::F4E2M1, -x, false), -6.0);
        }
        // 464 is halfway between 448 and the absent 480: it rounds down to the even mantissa.
        assert_eq!(at(DType::F8E4M3FN, 464.0, false), 448.0);
        assert!(at(DType::F8E4M3FN, 464.1, false).is_nan());
        assert!(at(DType::F8E4M3FN, f64::NAN, true).is_nan());
        assert!(at(DType::F8E4M3FNUZ, -1e-9, true).is_sign_positive());
        assert!(at(DType::F8E4M3FN, -1e-9, true).is_sign_negative());
        assert_eq!(at(DType::F4E2M1, f64::NAN, true).to_bits(), (-0.0f32).to_bits());
    }

    #[test]
    fn one_rounding_from_f64() {
        // Just above a tie of f16: f32 would land on the tie and then go to even.
        let x = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
        assert_eq!(round_to(DType::F16, x, false, RoundMode::Up), 1.0 + 2f32.powi(-10));
        assert_eq!(round_to_dtype(DType::F16, x as f32), 1.0);
        let x = 1.0 + 2f64.powi(-8) + 2f64.powi(-40);
        assert_eq!(round_to(DType::BF16, x, false, RoundMode::Up), 1.0 + 2f32.powi(-7));
    }

    #[test]
    fn slices_round_like_scalars() {
        let mut values: Vec<f32> = (0..200_000u32)
            .map(|i| f32::from_bits(i.wrapping_mul(2_654_435_769)))
            .filter(|x| !x.is_nan())
            .collect();
        values.extend([65519.99, 65520.0, 5.9604645e-8, 2.9802322e-8, 2.9802326e-8, -0.0]);
        for &d in DType::ALL.iter().filter(|d| d.is_float() && d.bits() < 64) {
            let mut rounded = values.clone();
            round_slice_to_dtype(d, &mut rounded);
            for (&x, &r) in values.iter().zip(&rounded) {
                let want = round_to_dtype(d, x);
                let same = r.to_bits() == want.to_bits() || (r.is_nan() && want.is_nan());
                assert!(same, "{d}: {x:e} gives {r:e}, not {want:e}");
            }
        }
    }

    #[test]
    fn powers_of_two() {
        let at = |x, saturate, mode| round_to(DType::F8E8M0, x, saturate, mode);
        let (least, most) = (exp2i(-127) as f32, exp2i(127) as f32);
        assert_eq!(at(1.1, true, RoundMode::Up), 2.0);
        assert_eq!(at(1.9, true, RoundMode::Down), 1.0);
        assert_eq!(at(1.5, true, RoundMode::Nearest), 2.0);
        assert_eq!(at(1.49, true, RoundMode::Nearest), 1.0);
        assert_eq!(at(0.0, true, RoundMode::Up), least);
        assert_eq!(at(-0.0, true, RoundMode::Up), least);
        assert!(at(0.0, false, RoundMode::Nearest).is_nan());
        assert_eq!(at(1e-300, true, RoundMode::Up), least);
        assert!(at(1e-300, false, RoundMode::Nearest).is_nan());
        assert_eq!(at(f64::INFINITY, true, RoundMode::Up), most);
        assert!(at(f64::INFINITY, false, RoundMode::Nearest).is_nan());
        assert_eq!(at(f64::MAX, true, RoundMode::Up), most);
        assert!(at(f64::NAN, true, RoundMode::Up).is_nan());
        assert!(at(-1.0, true, RoundMode::Up).is_nan());
    }
}
