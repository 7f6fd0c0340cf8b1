//! Elements of tensors as numbers.

use std::fmt::Write as _;
use std::str::FromStr;

use super::ErrorKind;
use super::lex::{Number, Parsed, fail};
use crate::array::{Array, Data};
use crate::dtype::DType;

/// The little-endian bytes of elements. Floats are rounded to the dtype.
pub(super) fn encode(dtype: DType, at: usize, list: &[Number<'_>]) -> Parsed<Vec<u8>> {
    fn all<T: FromStr>(dtype: DType, list: &[Number<'_>]) -> Parsed<Vec<T>> {
        let one = |n: &Number<'_>| match n.text.parse() {
            Ok(v) => Ok(v),
            Err(_) => fail(ErrorKind::Structure, n.at, format!("this is no element of {dtype}")),
        };
        list.iter().map(one).collect()
    }
    let wrong = || format!("elements of {dtype} cannot be written as numbers");
    let Ok(zeros) = Array::zeros(dtype, vec![0]) else {
        return fail(ErrorKind::Structure, at, wrong());
    };
    let data = match zeros.data {
        Data::Bool(_) => Data::Bool(all(dtype, list)?),
        Data::I8(_) => Data::I8(all(dtype, list)?),
        Data::I16(_) => Data::I16(all(dtype, list)?),
        Data::I32(_) => Data::I32(all(dtype, list)?),
        Data::I64(_) => Data::I64(all(dtype, list)?),
        Data::U8(_) => Data::U8(all(dtype, list)?),
        Data::U16(_) => Data::U16(all(dtype, list)?),
        Data::U32(_) => Data::U32(all(dtype, list)?),
        Data::U64(_) => Data::U64(all(dtype, list)?),
        Data::F32(_) => Data::F32(all(dtype, list)?),
        Data::F64(_) => Data::F64(all(dtype, list)?),
        Data::C64(_) | Data::C128(_) | Data::Str(_) => {
            return fail(ErrorKind::Structure, at, wrong());
        }
    };
    let is_float = matches!(data, Data::F32(_) | Data::F64(_));
    let shape = vec![list.len()];
    let array = match is_float {
        true => Array::narrowed(dtype, shape, data),
        false => Array::new(dtype, shape, data),
    };
    match array.and_then(|a| Ok((a.to_bytes()?, a))) {
        // An integer that the bytes do not hold is out of range.
        Ok((bytes, a))
            if is_float || Array::from_bytes(dtype, a.shape.clone(), &bytes).as_ref() == Ok(&a) =>
        {
            Ok(bytes)
        }
        Ok(_) => fail(ErrorKind::Structure, at, format!("an element is out of range for {dtype}")),
        Err(e) => fail(ErrorKind::Structure, at, e.to_string()),
    }
}

/// `1, 2, 3`, if that reads back as these bytes.
pub(super) fn decode(dtype: DType, count: usize, bytes: &[u8]) -> Option<String> {
    let array = Array::from_bytes(dtype, vec![count], bytes).ok()?;
    fn all<T>(list: &[T], show: impl Fn(&T) -> String) -> Vec<String> {
        list.iter().map(show).collect()
    }
    let texts = match &array.data {
        Data::Bool(v) => all(v, bool::to_string),
        Data::I8(v) => all(v, i8::to_string),
        Data::I16(v) => all(v, i16::to_string),
        Data::I32(v) => all(v, i32::to_string),
        Data::I64(v) => all(v, i64::to_string),
        Data::U8(v) => all(v, u8::to_string),
        Data::U16(v) => all(v, u16::to_string),
        Data::U32(v) => all(v, u32::to_string),
        Data::U64(v) => all(v, u64::to_string),
        Data::F32(v) => all(v, |x| if x.is_nan() { "nan".to_owned() } else { format!("{x:?}") }),
        Data::F64(v) => all(v, |x| if x.is_nan() { "nan".to_owned() } else { format!("{x:?}") }),
        Data::C64(_) | Data::C128(_) | Data::Str(_) => return None,
    };
    let tokens: Vec<Number<'_>> =
        texts.iter().map(|t| Number { at: 0, text: t, integer: false }).collect();
    (encode(dtype, 0, &tokens).ok()? == bytes).then(|| texts.join(", "))
}

/// The text of a float that is no integer to the parser, and whose bits come back.
pub(super) fn float(value: f64) -> String {
    match value.is_nan() {
        false => format!("{value:?}"),
        true if value.to_bits() == f64::NAN.to_bits() => "nan".to_owned(),
        true => format!("nan\"{:016x}\"", value.to_bits()),
    }
}

/// Text in quotes.
pub(super) fn quote(out: &mut impl std::fmt::Write, text: &str) -> std::fmt::Result {
    out.write_char('"')?;
    let mut plain = 0;
    for (i, c) in text.char_indices() {
        if !needs_escape(c) {
            continue;
        }
        out.write_str(text.get(plain..i).unwrap_or(""))?;
        plain = i + c.len_utf8();
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c => write!(out, "\\u{{{:x}}}", u32::from(c))?,
        }
    }
    out.write_str(text.get(plain..).unwrap_or(""))?;
    out.write_char('"')
}

/// Quotes, what ends a line, and what is not seen or turns the writing direction.
fn needs_escape(c: char) -> bool {
    matches!(c, '"' | '\\')
        || c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Hexadecimal data, without quotes.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        // Writing to a string does not fail.
        let _ = write!(out, "{b:02x}");
    }
    out
}
