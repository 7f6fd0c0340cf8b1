//! Conversion between dtypes, with the meaning of ONNX `Cast`.

use std::fmt::Write;

use num_complex::Complex;
use num_traits::AsPrimitive;

use super::float8::{RoundMode, Rounder, round_slice_to};
use super::{Array, ArrayError, Data, FloatElement, IntElement, StrBytes, native};
use crate::dtype::{DType, exp2i};

/// Converts every element to `to`.
///
/// | from, to           | result                                                               |
/// |--------------------|----------------------------------------------------------------------|
/// | same dtype         | unchanged                                                            |
/// | number to `bool`   | whether it differs from zero; true for NaN                           |
/// | `bool` to number   | 0 or 1                                                               |
/// | integer to integer | the low bits, in two's complement                                    |
/// | float to `i32`, `i64`, `u32`, `u64` | truncated towards zero, then held to the range; NaN is 0 |
/// | float to narrower integers | truncated towards zero; the low bits when that fits in `i32`, else 0 (NaN and infinities too) |
/// | number to float    | rounded once, nearest even; see [`Rounder`] for what exceeds the range |
/// | real to complex    | imaginary part zero                                                  |
/// | complex to real    | the real part is converted                                           |
/// | number to string   | decimal digits that give the same value when read back as the source dtype; the shortest such; `NaN`, `INF`, `-INF` |
/// | `bool` to string   | `True`, `False`                                                      |
/// | string to float    | the nearest value (for dtypes narrower than `f32` by way of `f64`)   |
/// | string to integer  | the value; a fraction is cut off; out of range is an error           |
/// | string to `bool`   | `true` and `false` in any case of letters, else a number that is compared with zero |
///
/// `saturate` and `mode` apply to the 8-bit floats as [`Rounder::new`] says. Strings may have
/// white space around them, and spell infinity and NaN in any case of letters. Floats are written
/// without an exponent from 1e-4 up to 1e16, otherwise as in `1e-05`.
///
/// # Errors
/// When a string spells no value of `to`, and between complex numbers and strings.
pub fn cast(
    array: &Array,
    to: DType,
    saturate: bool,
    mode: RoundMode,
) -> Result<Array, ArrayError> {
    array.check()?;
    let from = array.dtype;
    if from == to {
        return Ok(array.clone());
    }
    let target = Target { to, saturate, mode };
    let refused = ArrayError::Cast { from, to };
    let data = match &array.data {
        Data::Bool(v) if to == DType::String => {
            let (yes, no) = (StrBytes::from(&b"True"[..]), StrBytes::from(&b"False"[..]));
            Data::Str(v.iter().map(|&b| if b { yes.clone() } else { no.clone() }).collect())
        }
        Data::Bool(v) => target.ints(&v.iter().map(|&b| u8::from(b)).collect::<Vec<_>>()),
        Data::I8(v) => target.ints(v),
        Data::I16(v) => target.ints(v),
        Data::I32(v) => target.ints(v),
        Data::I64(v) => target.ints(v),
        Data::U8(v) => target.ints(v),
        Data::U16(v) => target.ints(v),
        Data::U32(v) => target.ints(v),
        Data::U64(v) => target.ints(v),
        Data::F32(v) => target.floats(from, v),
        Data::F64(v) => target.floats(from, v),
        Data::C64(_) | Data::C128(_) if to == DType::String => return Err(refused),
        Data::C64(v) => target.complexes(v),
        Data::C128(v) => target.complexes(v),
        Data::Str(_) if to.is_complex() => return Err(refused),
        Data::Str(v) => target.strings(v)?,
    };
    Ok(Array { dtype: to, shape: array.shape.clone(), data })
}

/// Keeps the low bits of `i2` and `i4` values that were computed as `i8`.
pub(super) fn wrap_signed(dtype: DType, values: &mut [i8]) {
    let shift = 8 - dtype.bits().min(8);
    if shift > 0 {
        values.iter_mut().for_each(|x| *x = (*x << shift) >> shift);
    }
}

/// Keeps the low bits of `u2` and `u4` values that were computed as `u8`.
pub(super) fn wrap_unsigned(dtype: DType, values: &mut [u8]) {
    let shift = 8 - dtype.bits().min(8);
    if shift > 0 {
        values.iter_mut().for_each(|x| *x = (*x << shift) >> shift);
    }
}

/// An `f64` that rounds to any narrow float as the integer itself does: bits beyond the first 53
/// are replaced by a last bit that says whether any was set.
pub(super) fn sticky_f64(x: i128) -> f64 {
    let magnitude = x.unsigned_abs();
    let shift = (128 - magnitude.leading_zeros()).saturating_sub(53);
    let lost = magnitude & ((1u128 << shift) - 1) != 0;
    let top = (magnitude >> shift) as u64 | u64::from(lost);
    let value = top as f64 * exp2i(shift as i32);
    if x < 0 { -value } else { value }
}

/// Native integers that convert to every native number.
trait ToAll:
    AsPrimitive<i8>
    + AsPrimitive<i16>
    + AsPrimitive<i32>
    + AsPrimitive<i64>
    + AsPrimitive<u8>
    + AsPrimitive<u16>
    + AsPrimitive<u32>
    + AsPrimitive<u64>
    + AsPrimitive<f32>
    + AsPrimitive<f64>
{
}
impl<T> ToAll for T where
    T: AsPrimitive<i8>
        + AsPrimitive<i16>
        + AsPrimitive<i32>
        + AsPrimitive<i64>
        + AsPrimitive<u8>
        + AsPrimitive<u16>
        + AsPrimitive<u32>
        + AsPrimitive<u64>
        + AsPrimitive<f32>
        + AsPrimitive<f64>
{
}

/// Where a conversion goes.
#[derive(Clone, Copy)]
struct Target {
    to: DType,
    saturate: bool,
    mode: RoundMode,
}

/// Converts element by element with `as`.
fn each<S, T>(values: &[S]) -> Vec<T>
where
    S: AsPrimitive<T>,
    T: Copy + 'static,
{
    values.iter().map(|&x| x.as_()).collect()
}

/// Truncates floats to integers of at most 16 bits.
fn truncated<S, T>(values: &[S]) -> Vec<T>
where
    S: AsPrimitive<i64>,
    T: Copy + 'static,
    i32: AsPrimitive<T>,
{
    let narrow = |&x: &S| {
        let wide: i64 = x.as_();
        i32::try_from(wide).unwrap_or(0).as_()
    };
    values.iter().map(narrow).collect()
}

fn text(s: String) -> StrBytes {
    StrBytes::from(s.into_bytes())
}

impl Target {
    fn i8s(self, mut values: Vec<i8>) -> Data {
        wrap_signed(self.to, &mut values);
        Data::I8(values)
    }

    fn u8s(self, mut values: Vec<u8>) -> Data {
        wrap_unsigned(self.to, &mut values);
        Data::U8(values)
    }

    fn rounder(self) -> Option<Rounder> {
        Rounder::new(self.to, self.saturate, self.mode)
    }

    fn ints<T: IntElement + ToAll>(self, v: &[T]) -> Data {
        match native(self.to) {
            DType::Bool => Data::Bool(v.iter().map(|x| !x.is_zero()).collect()),
            DType::I8 => self.i8s(each(v)),
            DType::I16 => Data::I16(each(v)),
            DType::I32 => Data::I32(each(v)),
            DType::I64 => Data::I64(each(v)),
            DType::U8 => self.u8s(each(v)),
            DType::U16 => Data::U16(each(v)),
            DType::U32 => Data::U32(each(v)),
            DType::U64 => Data::U64(each(v)),
            DType::F64 => Data::F64(each(v)),
            DType::C64 => Data::C64(v.iter().map(|&x| Complex::new(x.as_(), 0.0)).collect()),
            DType::C128 => Data::C128(v.iter().map(|&x| Complex::new(x.as_(), 0.0)).collect()),
            DType::String => {
                let show = |&x: &T| text(AsPrimitive::<i128>::as_(x).to_string());
                Data::Str(v.iter().map(show).collect())
            }
            _ => Data::F32(match self.rounder() {
                None => each(v),
                Some(r) if size_of::<T>() <= 4 => v.iter().map(|&x| r.round(x.as_())).collect(),
                Some(r) => v.iter().map(|&x| r.round(sticky_f64(x.as_()))).collect(),
            }),
        }
    }

    fn floats<T: FloatElement + ToAll>(self, from: DType, v: &[T]) -> Data {
        match native(self.to) {
            DType::Bool => Data::Bool(v.iter().map(|x| !x.is_zero()).collect()),
            DType::I8 => self.i8s(truncated(v)),
            DType::I16 => Data::I16(truncated(v)),
            DType::I32 => Data::I32(each(v)),
            DType::I64 => Data::I64(each(v)),
            DType::U8 => self.u8s(truncated(v)),
            DType::U16 => Data::U16(truncated(v)),
            DType::U32 => Data::U32(each(v)),
            DType::U64 => Data::U64(each(v)),
            DType::F64 => Data::F64(each(v)),
            DType::C64 => Data::C64(v.iter().map(|&x| Complex::new(x.as_(), 0.0)).collect()),
            DType::C128 => Data::C128(v.iter().map(|&x| Complex::new(x.as_(), 0.0)).collect()),
            DType::String => {
                let mut scratch = String::new();
                let mut show = |&x: &T| {
                    scratch.clear();
                    write_float(&mut scratch, from, x.as_());
                    StrBytes::from(scratch.as_bytes())
                };
                Data::Str(v.iter().map(&mut show).collect())
            }
            _ => Data::F32(match self.rounder() {
                Some(r) if from == DType::F64 => v.iter().map(|&x| r.round(x.as_())).collect(),
                _ => {
                    let mut values = each(v);
                    round_slice_to(self.to, &mut values, self.saturate, self.mode);
                    values
                }
            }),
        }
    }

    fn complexes<T: FloatElement + ToAll>(self, v: &[Complex<T>]) -> Data {
        match self.to {
            DType::Bool => {
                Data::Bool(v.iter().map(|z| !z.re.is_zero() || !z.im.is_zero()).collect())
            }
            DType::C64 => {
                Data::C64(v.iter().map(|z| Complex::new(z.re.as_(), z.im.as_())).collect())
            }
            DType::C128 => {
                Data::C128(v.iter().map(|z| Complex::new(z.re.as_(), z.im.as_())).collect())
            }
            _ => {
                let part = if size_of::<T>() == 8 { DType::F64 } else { DType::F32 };
                self.floats(part, &v.iter().map(|z| z.re).collect::<Vec<T>>())
            }
        }
    }

    fn strings(self, v: &[StrBytes]) -> Result<Data, ArrayError> {
        /// Applies `parse` to the trimmed text of each string.
        fn parse_all<T>(
            to: DType,
            v: &[StrBytes],
            parse: impl Fn(&str) -> Option<T>,
        ) -> Result<Vec<T>, ArrayError> {
            let one = |s: &StrBytes| {
                let trimmed = std::str::from_utf8(s).ok().map(str::trim);
                trimmed.and_then(&parse).ok_or_else(|| {
                    let text = s.escape_ascii().to_string();
                    ArrayError::Parse { to, text }
                })
            };
            v.iter().map(one).collect()
        }
        let to = self.to;
        Ok(match to {
            DType::String => Data::Str(v.to_vec()),
            DType::Bool => Data::Bool(parse_all(to, v, parse_bool)?),
            DType::F64 => Data::F64(parse_all(to, v, |s| s.parse().ok())?),
            DType::F32 => Data::F32(parse_all(to, v, |s| s.parse().ok())?),
            _ => match self.rounder() {
                Some(r) => {
                    Data::F32(parse_all(to, v, |s| s.parse().ok().map(|x: f64| r.round(x)))?)
                }
                None => {
                    let range = to.int_range();
                    let parse = |s: &str| {
                        let (lo, hi) = range?;
                        parse_int(s).filter(|x| (lo..=hi).contains(x))
                    };
                    let wide = parse_all(to, v, parse)?;
                    match native(to) {
                        DType::I8 => Data::I8(each(&wide)),
                        DType::I16 => Data::I16(each(&wide)),
                        DType::I32 => Data::I32(each(&wide)),
                        DType::I64 => Data::I64(each(&wide)),
                        DType::U8 => Data::U8(each(&wide)),
                        DType::U16 => Data::U16(each(&wide)),
                        DType::U32 => Data::U32(each(&wide)),
                        DType::U64 => Data::U64(each(&wide)),
                        _ => return Err(ArrayError::Cast { from: DType::String, to }),
                    }
                }
            },
        })
    }
}

fn parse_bool(s: &str) -> Option<bool> {
    if s.eq_ignore_ascii_case("true") {
        Some(true)
    } else if s.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        s.parse().ok().map(|x: f64| x != 0.0)
    }
}

/// Reads an integer, or a finite float whose fraction is cut off.
fn parse_int(s: &str) -> Option<i128> {
    let as_float = || s.parse().ok().filter(|x: &f64| x.is_finite()).map(|x| x as i128);
    s.parse().ok().or_else(as_float)
}

/// Writes a value of `dtype` with the fewest digits that read back as the same value.
fn write_float(out: &mut String, dtype: DType, x: f64) {
    if x.is_nan() {
        return out.push_str("NaN");
    }
    if x.is_infinite() {
        return out.push_str(if x < 0.0 { "-INF" } else { "INF" });
    }
    // `d.ddde-5`: Rust knows the shortest digits of f32 and f64; for narrower formats they are the
    // first that round to the value.
    let shortest = match Rounder::new(dtype, true, RoundMode::Nearest) {
        None if dtype == DType::F32 => format!("{:e}", x as f32),
        None => format!("{x:e}"),
        Some(rounder) => {
            let reads_back = |s: &String| s.parse().is_ok_and(|y| f64::from(rounder.round(y)) == x);
            let tries = (0..17).map(|digits| format!("{x:.digits$e}"));
            { tries }.find(reads_back).unwrap_or_else(|| format!("{x:e}"))
        }
    };
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    out.push_str(sign);
    let digits = mantissa.chars().filter(char::is_ascii_digit);
    if mantissa.bytes().all(|b| matches!(b, b'0' | b'.')) {
        out.push_str("0.0");
    } else if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        // Writing to a string cannot fail.
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    } else if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        out.extend(digits);
    } else {
        let whole = exponent as usize + 1;
        let count = digits.clone().count();
        out.extend(digits.clone().chain(std::iter::repeat('0')).take(whole));
        out.push('.');
        if count > whole {
            out.extend(digits.skip(whole));
        } else {
            out.push('0');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(array: &Array, dtype: DType) -> Array {
        cast(array, dtype, true, RoundMode::Up).unwrap()
    }

    fn f32s(values: &[f32]) -> Array {
        Array::from_vec(vec![values.len()], values.to_vec()).unwrap()
    }

    fn strings(array: &Array) -> Vec<String> {
        let v: &[StrBytes] = array.as_slice().unwrap();
        v.iter().map(|s| String::from_utf8(s.to_vec()).unwrap()).collect()
    }

    #[test]
    fn floats_to_integers_are_defined_everywhere() {
        let a = f32s(&[-9.0, -7.6, 9.0, 300.7, 5e9, f32::NAN, f32::INFINITY, -1.0]);
        let ints = |d| to(&a, d).to_i64s().unwrap();
        assert_eq!(ints(DType::I4), [7, -7, -7, -4, 0, 0, 0, -1]);
        assert_eq!(ints(DType::U4), [7, 9, 9, 12, 0, 0, 0, 15]);
        assert_eq!(ints(DType::U2), [3, 1, 1, 0, 0, 0, 0, 3]);
        assert_eq!(ints(DType::I8), [-9, -7, 9, 44, 0, 0, 0, -1]);
        assert_eq!(ints(DType::U16), [65527, 65529, 9, 300, 0, 0, 0, 65535]);
        let max = i64::from(i32::MAX);
        assert_eq!(ints(DType::I32), [-9, -7, 9, 300, max, 0, max, -1]);
        let max = i64::from(u32::MAX);
        assert_eq!(ints(DType::U32), [0, 0, 9, 300, max, 0, max, 0]);
        assert_eq!(ints(DType::I64)[4..7], [5_000_000_000, 0, i64::MAX]);
        let truth = to(&f32s(&[0.0, -0.0, f32::NAN, 1e-45]), DType::Bool);
        assert_eq!(truth.data, Data::Bool(vec![false, false, true, true]));
    }

    #[test]
    fn integers_keep_their_low_bits() {
        let a = Array::from_vec(vec![4], vec![200i16, -1, 0x1234, 256]).unwrap();
        assert_eq!(to(&a, DType::I8).to_i64s(), Some(vec![-56, -1, 0x34, 0]));
        assert_eq!(to(&a, DType::I2).to_i64s(), Some(vec![0, -1, 0, 0]));
        assert_eq!(to(&a, DType::U64).data, Data::U64(vec![200, u64::MAX, 0x1234, 256]));
        assert_eq!(to(&a, DType::Bool).data, Data::Bool(vec![true; 4]));
        let b = Array::from_vec(vec![2], vec![true, false]).unwrap();
        assert_eq!(to(&b, DType::BF16).data, Data::F32(vec![1.0, 0.0]));
        assert_eq!(strings(&to(&b, DType::String)), ["True", "False"]);
    }

    #[test]
    fn wide_integers_round_once() {
        // 2^60 + 2^52 is halfway between two bf16 values; one more has to go up.
        let x = (1i64 << 60) + (1 << 52) + 1;
        let a = Array::from_vec(vec![2], vec![x, -x]).unwrap();
        let up = 2f32.powi(60) + 2f32.powi(53);
        assert_eq!(to(&a, DType::BF16).data, Data::F32(vec![up, -up]));
        assert_eq!(sticky_f64(i128::from(u64::MAX)), 2f64.powi(64).next_down());
        assert_eq!(sticky_f64(-5), -5.0);
        assert_eq!(sticky_f64(i128::MIN), -(2f64.powi(127)));
        assert_eq!(to(&a, DType::F8E5M2).data, Data::F32(vec![57344.0, -57344.0]));
    }

    #[test]
    fn doubles_round_once() {
        let a = Array::from_vec(vec![1], vec![1.0 + 2f64.powi(-11) + 2f64.powi(-40)]).unwrap();
        assert_eq!(to(&a, DType::F16).data, Data::F32(vec![1.0 + 2f32.powi(-10)]));
        let a = Array::from_vec(vec![1], vec![1.0625 + 2f64.powi(-40)]).unwrap();
        assert_eq!(to(&a, DType::F8E4M3FN).data, Data::F32(vec![1.125]));
    }

    #[test]
    fn text_of_floats() {
        let a =
            f32s(&[0.1, 1e-5, 1e16, 123456.79, 16777216.0, -0.0, 3.0, f32::NAN, -f32::INFINITY]);
        let want =
            ["0.1", "1e-05", "1e+16", "123456.79", "16777216.0", "-0.0", "3.0", "NaN", "-INF"];
        assert_eq!(strings(&to(&a, DType::String)), want);
        let a = Array::from_vec(vec![3], vec![0.1f64, 1.5e-7, 123456789012345680.0]).unwrap();
        let want = ["0.1", "1.5e-07", "1.2345678901234568e+17"];
        assert_eq!(strings(&to(&a, DType::String)), want);
        let a = Array::from_f64s(DType::F16, vec![3], &[0.1, 65504.0, 0.00025]).unwrap();
        assert_eq!(strings(&to(&a, DType::String)), ["0.1", "65500.0", "0.00025"]);
    }

    #[test]
    fn text_reads_back() {
        for &d in DType::ALL.iter().filter(|d| d.is_float() && d.bits() <= 16) {
            let codes: Vec<u8> = (0..240u8).collect();
            let n = codes.len() * 8 / d.bits() as usize;
            let a = Array::from_bytes(d, vec![n], &codes).unwrap();
            let back = cast(&to(&a, DType::String), d, false, RoundMode::Nearest).unwrap();
            for i in 0..n {
                assert_eq!(a.get(i).map(|x| x.to_string()), back.get(i).map(|x| x.to_string()));
            }
        }
    }

    #[test]
    fn text_to_numbers() {
        let a =
            Array::from_strs(vec![6], &["2.5e0", "1e-5", " +inf", "-INF", "nan", "1E8"]).unwrap();
        let got = to(&a, DType::F32).to_f64s().unwrap();
        assert_eq!(got[..4], [2.5, 1e-5f32.into(), f64::INFINITY, f64::NEG_INFINITY]);
        assert!(got[4].is_nan());
        let ints = |s: &str, d| {
            let a = Array::from_strs(vec![], &[s]).unwrap();
            cast(&a, d, true, RoundMode::Up).map(|a| a.get(0).unwrap())
        };
        use super::super::Scalar::{Bool, Int};
        assert_eq!(ints("18446744073709551615", DType::U64), Ok(Int(u64::MAX.into())));
        assert_eq!(ints("100.5", DType::I32), Ok(Int(100)));
        assert_eq!(ints("-8", DType::I4), Ok(Int(-8)));
        let text = "8".to_owned();
        assert_eq!(ints("8", DType::I4), Err(ArrayError::Parse { to: DType::I4, text }));
        assert!(ints("NaN", DType::I32).is_err());
        assert!(ints("Hello World!", DType::F32).is_err());
        assert_eq!(ints("False", DType::Bool), Ok(Bool(false)));
        assert_eq!(ints("2", DType::Bool), Ok(Bool(true)));
        let bytes = Array::from_strs(vec![1], &[&b"\xff"[..]]).unwrap();
        let text = "\\xff".to_owned();
        let err = cast(&bytes, DType::F64, true, RoundMode::Up).unwrap_err();
        assert_eq!(err, ArrayError::Parse { to: DType::F64, text });
    }

    #[test]
    fn every_pair_is_answered() {
        for &from in DType::ALL {
            for &into in DType::ALL {
                let shape = vec![2, 0];
                let a = Array::zeros(from, shape.clone()).unwrap();
                let strings = |d| d == DType::String;
                let refused =
                    (strings(from) && into.is_complex()) || (from.is_complex() && strings(into));
                match cast(&a, into, true, RoundMode::Up) {
                    Ok(b) => {
                        assert!(!refused, "{from} to {into}");
                        assert_eq!((b.dtype, &b.shape, b.check()), (into, &shape, Ok(())));
                    }
                    Err(e) => assert!(refused && e == ArrayError::Cast { from, to: into }, "{e}"),
                }
            }
        }
    }

    #[test]
    fn complex_numbers() {
        let z = vec![Complex::new(1.5f64, -2.0), Complex::new(0.0, 1.0)];
        let a = Array::from_vec(vec![2], z).unwrap();
        assert_eq!(to(&a, DType::I32).data, Data::I32(vec![1, 0]));
        assert_eq!(to(&a, DType::Bool).data, Data::Bool(vec![true, true]));
        let narrow = vec![Complex::new(1.5f32, -2.0), Complex::new(0.0, 1.0)];
        assert_eq!(to(&a, DType::C64).data, Data::C64(narrow));
        assert_eq!(to(&f32s(&[2.5]), DType::C128).data, Data::C128(vec![Complex::new(2.5, 0.0)]));
    }
}
