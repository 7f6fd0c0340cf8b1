//! Little-endian storage bytes to and from arrays.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use num_complex::Complex;

use super::float8::{Encoder, decode};
use super::{Array, ArrayError, Data, checked_numel};
use crate::dtype::DType;

/// Bytes that an array of this dtype and element count has in storage.
fn storage_len(dtype: DType, numel: usize) -> Result<usize, ArrayError> {
    if dtype == DType::String {
        return Err(ArrayError::NoByteLayout);
    }
    dtype
        .byte_len(numel as u64)
        .and_then(|n| usize::try_from(n).ok())
        .ok_or(ArrayError::TooLarge { elements: numel })
}

/// Splits a little-endian bit string into `numel` codes of `bits` bits each.
fn unpack(bits: u32, bytes: &[u8], numel: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(numel.next_multiple_of(4));
    match bits {
        2 => bytes.iter().for_each(|b| {
            out.extend_from_slice(&[b & 3, (b >> 2) & 3, (b >> 4) & 3, b >> 6]);
        }),
        4 => bytes.iter().for_each(|b| out.extend_from_slice(&[b & 15, b >> 4])),
        6 => bytes.chunks(3).for_each(|c| {
            let at = |i: usize| u32::from(c.get(i).copied().unwrap_or(0)) << (8 * i);
            let word = at(0) | at(1) | at(2);
            out.extend([0, 6, 12, 18].map(|s| (word >> s) as u8 & 63));
        }),
        _ => out.extend_from_slice(bytes),
    }
    out.truncate(numel);
    out
}

/// Joins codes of `bits` bits each into a little-endian bit string.
fn pack(bits: u32, codes: &[u8]) -> Vec<u8> {
    match bits {
        2 => pack_chunks::<4>(2, codes),
        4 => pack_chunks::<2>(4, codes),
        6 => {
            let mut out = Vec::with_capacity(codes.len().div_ceil(4) * 3);
            for chunk in codes.chunks(4) {
                let fields = chunk.iter().enumerate();
                let word = fields.fold(0u32, |w, (i, &c)| w | u32::from(c & 63) << (6 * i));
                let used = (chunk.len() * 6).div_ceil(8);
                out.extend_from_slice(&word.to_le_bytes()[..used]);
            }
            out
        }
        _ => codes.to_vec(),
    }
}

fn pack_chunks<const PER_BYTE: usize>(bits: u32, codes: &[u8]) -> Vec<u8> {
    let mask = (1u8 << bits) - 1;
    let join = |chunk: &[u8]| {
        let fields = chunk.iter().enumerate();
        fields.fold(0u8, |b, (i, &c)| b | (c & mask) << (bits * i as u32))
    };
    codes.chunks(PER_BYTE).map(join).collect()
}

macro_rules! read_le {
    ($t:ty, $bytes:expr) => {{
        const SIZE: usize = size_of::<$t>();
        let (chunks, _) = $bytes.as_chunks::<SIZE>();
        chunks.iter().map(|c| <$t>::from_le_bytes(*c)).collect::<Vec<$t>>()
    }};
}

macro_rules! write_le {
    ($values:expr, $count:expr, $t:ty) => {{
        const SIZE: usize = size_of::<$t>();
        let mut out = vec![0u8; $count * SIZE];
        let (chunks, _) = out.as_chunks_mut::<SIZE>();
        chunks.iter_mut().zip($values).for_each(|(c, v)| *c = v.to_le_bytes());
        out
    }};
}

fn decode_small(dtype: DType, codes: &[u8]) -> Vec<f32> {
    let Some(format) = dtype.float_format() else { return Vec::new() };
    let mut table = [0f32; 256];
    for (code, value) in table.iter_mut().enumerate() {
        *value = decode(format, code as u8);
    }
    codes.iter().map(|&c| table[usize::from(c)]).collect()
}

impl Array {
    /// Reads an array from its storage bytes: little-endian, row-major, narrow elements packed as
    /// [`DType::byte_len`] says.
    ///
    /// A `bool` is true when its byte is not zero. Unused bits of the last byte are ignored.
    ///
    /// # Errors
    /// When the number of bytes is not what dtype and shape ask for, and for `string`.
    pub fn from_bytes(dtype: DType, shape: Vec<usize>, bytes: &[u8]) -> Result<Array, ArrayError> {
        let numel = checked_numel(&shape)?;
        let expected = storage_len(dtype, numel)?;
        if bytes.len() != expected {
            return Err(ArrayError::ByteLength { dtype, expected, actual: bytes.len() });
        }
        let data = match dtype {
            DType::Bool => Data::Bool(bytes.iter().map(|&b| b != 0).collect()),
            DType::I8 => Data::I8(bytes.iter().map(|&b| b as i8).collect()),
            DType::I2 | DType::I4 => {
                let shift = 8 - dtype.bits();
                let codes = unpack(dtype.bits(), bytes, numel);
                Data::I8(codes.into_iter().map(|c| ((c << shift) as i8) >> shift).collect())
            }
            DType::U2 | DType::U4 | DType::U8 => Data::U8(unpack(dtype.bits(), bytes, numel)),
            DType::I16 => Data::I16(read_le!(i16, bytes)),
            DType::I32 => Data::I32(read_le!(i32, bytes)),
            DType::I64 => Data::I64(read_le!(i64, bytes)),
            DType::U16 => Data::U16(read_le!(u16, bytes)),
            DType::U32 => Data::U32(read_le!(u32, bytes)),
            DType::U64 => Data::U64(read_le!(u64, bytes)),
            DType::F32 => Data::F32(read_le!(f32, bytes)),
            DType::F64 => Data::F64(read_le!(f64, bytes)),
            DType::F16 => {
                let codes = read_le!(u16, bytes);
                let mut out = vec![0f32; numel];
                codes.reinterpret_cast::<f16>().convert_to_f32_slice(&mut out);
                Data::F32(out)
            }
            DType::BF16 => {
                let codes = read_le!(u16, bytes);
                Data::F32(codes.into_iter().map(|c| bf16::from_bits(c).to_f32()).collect())
            }
            DType::C64 => {
                let (pairs, _) = bytes.as_chunks::<8>();
                let part = |c: [u8; 4]| f32::from_le_bytes(c);
                let read = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| {
                    Complex::new(part([a, b, c, d]), part([e, f, g, h]))
                };
                Data::C64(pairs.iter().map(read).collect())
            }
            DType::C128 => {
                let parts = read_le!(f64, bytes);
                let (pairs, _) = parts.as_chunks::<2>();
                Data::C128(pairs.iter().map(|&[re, im]| Complex::new(re, im)).collect())
            }
            DType::F8E4M3FN
            | DType::F8E4M3FNUZ
            | DType::F8E5M2
            | DType::F8E5M2FNUZ
            | DType::F8E8M0 => Data::F32(decode_small(dtype, bytes)),
            DType::F4E2M1 | DType::F6E2M3 | DType::F6E3M2 => {
                Data::F32(decode_small(dtype, &unpack(dtype.bits(), bytes, numel)))
            }
            DType::String => return Err(ArrayError::NoByteLayout),
        };
        Ok(Array { dtype, shape, data })
    }

    /// The storage bytes of the array, as [`Array::from_bytes`] reads them.
    ///
    /// Every finite value and infinity gets its exact bits. NaNs of `f32` and wider keep theirs;
    /// those of narrower floats may come out as the format's quiet NaN.
    ///
    /// # Errors
    /// For `string`, and for an array whose data do not fit its dtype.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArrayError> {
        self.check()?;
        let n = self.data.len();
        storage_len(self.dtype, n)?;
        Ok(match &self.data {
            Data::Bool(v) => v.iter().map(|&b| u8::from(b)).collect(),
            Data::I8(v) => {
                let codes: Vec<u8> = v.iter().map(|&x| x as u8).collect();
                if self.dtype == DType::I8 { codes } else { pack(self.dtype.bits(), &codes) }
            }
            Data::U8(v) => pack(self.dtype.bits(), v),
            Data::I16(v) => write_le!(v, n, i16),
            Data::I32(v) => write_le!(v, n, i32),
            Data::I64(v) => write_le!(v, n, i64),
            Data::U16(v) => write_le!(v, n, u16),
            Data::U32(v) => write_le!(v, n, u32),
            Data::U64(v) => write_le!(v, n, u64),
            Data::F64(v) => write_le!(v, n, f64),
            Data::C64(v) => write_le!(v.iter().flat_map(|z| [z.re, z.im]), 2 * n, f32),
            Data::C128(v) => write_le!(v.iter().flat_map(|z| [z.re, z.im]), 2 * n, f64),
            Data::Str(_) => return Err(ArrayError::NoByteLayout),
            Data::F32(v) => match self.dtype {
                DType::F16 => {
                    let mut codes = vec![f16::ZERO; n];
                    codes.convert_from_f32_slice(v);
                    write_le!(&codes, n, f16)
                }
                DType::BF16 => write_le!(v.iter().map(|&x| bf16::from_f32(x)), n, bf16),
                dtype => match Encoder::new(dtype) {
                    Some(encoder) => {
                        let codes: Vec<u8> = v.iter().map(|&x| encoder.encode(x)).collect();
                        if dtype.bits() == 8 { codes } else { pack(dtype.bits(), &codes) }
                    }
                    None => write_le!(v, n, f32),
                },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scalar;
    use super::*;

    #[test]
    fn bytes_survive_a_round_trip() {
        // No NaN payloads among these: the codes are small, or single bytes of a float.
        let bytes: Vec<u8> = (0..240u32).map(|i| (i * 37 % 113) as u8).collect();
        for &d in DType::ALL.iter().filter(|&&d| d != DType::String && d != DType::Bool) {
            let numel = bytes.len() * 8 / d.bits() as usize;
            let array = Array::from_bytes(d, vec![numel], &bytes).unwrap();
            assert_eq!(array.to_bytes().unwrap(), bytes, "{d}");
        }
    }

    #[test]
    fn every_half_code_survives() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for (d, inf) in [(DType::F16, 0x7c00), (DType::BF16, 0x7f80)] {
            let array = Array::from_bytes(d, vec![65536], &bytes).unwrap();
            let back = array.to_bytes().unwrap();
            for (code, b) in (0..=u16::MAX).zip(back.chunks(2)) {
                let got = u16::from_le_bytes([b[0], b[1]]);
                let nan = code & 0x7fff > inf && got & 0x7fff > inf;
                assert!(got == code || nan, "{d} {code:#x} {got:#x}");
            }
        }
    }

    #[test]
    fn packing_order() {
        let ints = |d, n, b: &[u8]| Array::from_bytes(d, vec![n], b).unwrap().to_i64s().unwrap();
        assert_eq!(ints(DType::I4, 3, &[0x7f, 0xf8]), [-1, 7, -8]);
        assert_eq!(ints(DType::U4, 3, &[0x7f, 0xf8]), [15, 7, 8]);
        assert_eq!(ints(DType::I2, 5, &[0b10_01_11_00, 0xfe]), [0, -1, 1, -2, -2]);
        assert_eq!(ints(DType::U2, 2, &[0b1110]), [2, 3]);
        // Codes 1, 2, 3 and 0x20: 0.125, 0.25, 0.375 and -0.
        let word = 1u32 | 2 << 6 | 3 << 12 | 0x20 << 18;
        let six = Array::from_bytes(DType::F6E2M3, vec![4], &word.to_le_bytes()[..3]).unwrap();
        assert_eq!(six.data, Data::F32(vec![0.125, 0.25, 0.375, -0.0]));
        let four = Array::from_bytes(DType::F4E2M1, vec![2], &[0xf2]).unwrap();
        assert_eq!(four.data, Data::F32(vec![1.0, -6.0]));
        // Unused bits are written as zero.
        let one = Array::from_bytes(DType::I4, vec![1], &[0xf9]).unwrap();
        assert_eq!(one.to_bytes().unwrap(), [0x09]);
    }

    #[test]
    fn wide_nans_keep_their_bits() {
        let bits = 0x7f80_1234u32.to_le_bytes();
        let array = Array::from_bytes(DType::F32, vec![], &bits).unwrap();
        assert_eq!(array.to_bytes().unwrap(), bits);
    }

    #[test]
    fn wrong_sizes_are_errors() {
        let err = Array::from_bytes(DType::I32, vec![2], &[0; 7]).unwrap_err();
        assert_eq!(err, ArrayError::ByteLength { dtype: DType::I32, expected: 8, actual: 7 });
        assert!(Array::from_bytes(DType::U2, vec![5], &[0; 1]).is_err());
        assert!(Array::from_bytes(DType::String, vec![0], &[]).is_err());
        assert!(Array::from_bytes(DType::F64, vec![usize::MAX, 2], &[]).is_err());
        assert!(Array::from_bytes(DType::F64, vec![usize::MAX], &[]).is_err());
        let empty = Array::from_bytes(DType::F64, vec![0, usize::MAX, 2], &[]).unwrap();
        assert_eq!(empty.numel(), 0);
        assert_eq!(Array::zeros(DType::Bool, vec![]).unwrap().get(0), Some(Scalar::Bool(false)));
    }
}
