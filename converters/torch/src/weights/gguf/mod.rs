//! The GGUF format of llama.cpp, versions 2 and 3, little-endian.
//!
//! A header of named values and tensor records, then the elements, aligned. Plain tensors stay in
//! the mapped file. Tensors of quantised blocks are decoded to `f32` by the rule of their type,
//! which is exact, and named as such.

mod blocks;
mod header;
mod writer;

use airconv_api::Limits;
use airconv_ir::dtype::DType;
use bytes::Bytes;

use super::{View, Weight, Weights};
use crate::error::FileError;
use header::{Header, Record};
pub use writer::GgufWriter;

/// Whether a file is of this format.
pub(super) fn sniff(bytes: &[u8]) -> bool {
    bytes.starts_with(b"GGUF")
}

/// Reads the header, and decodes what is in blocks.
pub(super) fn read(bytes: &Bytes, limits: &Limits) -> Result<Weights, FileError> {
    let header = Header::read(bytes, limits)?;
    let mut out = Weights { metadata: header.metadata, ..Weights::default() };
    let mut left = limits.expanded_bytes;
    for record in &header.tensors {
        let at = |e: FileError| e.within(&record.name);
        let elements = elements(bytes, header.data, record).map_err(at)?;
        let view = match plain(record.kind) {
            Some(dtype) => View::dense(dtype, record.shape.clone(), elements),
            None => {
                out.decoded.push((record.name.clone(), blocks::name(record.kind).to_owned()));
                decoded(record, &elements, &mut left)
            }
        };
        let view = view.map_err(at)?;
        out.tensors.push(Weight { name: record.name.clone(), view, requires_grad: false });
    }
    Ok(out)
}

/// The numbers of the types of elements that are not in blocks.
const PLAIN: &[(u32, DType)] = &[
    (0, DType::F32),
    (1, DType::F16),
    (24, DType::I8),
    (25, DType::I16),
    (26, DType::I32),
    (27, DType::I64),
    (28, DType::F64),
    (30, DType::BF16),
];

/// The dtype of elements that are not in blocks.
fn plain(kind: u32) -> Option<DType> {
    PLAIN.iter().find(|(k, _)| *k == kind).map(|(_, dtype)| *dtype)
}

/// The bytes of a tensor.
fn elements(bytes: &Bytes, data: u64, record: &Record) -> Result<Bytes, FileError> {
    let count = record.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
    let length = match (count, plain(record.kind), blocks::layout(record.kind)) {
        (Some(n), Some(dtype), _) => dtype.byte_len(n),
        (Some(n), None, Some(layout)) => {
            let row = record.shape.last().copied().unwrap_or(1);
            if row % layout.elements != 0 {
                let why = format!("its rows of {row} elements are not whole blocks");
                return Err(FileError::malformed("", why));
            }
            (n / layout.elements).checked_mul(layout.bytes)
        }
        (Some(_), None, None) => {
            let why = format!("elements of type {} are not supported", record.kind);
            return Err(FileError::unsupported("", why));
        }
        (None, ..) => None,
    };
    let start = data.checked_add(record.offset);
    let end = start.zip(length).and_then(|(s, n)| s.checked_add(n));
    match (start.map(usize::try_from), end.map(usize::try_from)) {
        (Some(Ok(start)), Some(Ok(end))) if end <= bytes.len() => Ok(bytes.slice(start..end)),
        _ => Err(FileError::malformed("", "its elements are not all in the file")),
    }
}

/// The elements of blocks as `f32`.
fn decoded(record: &Record, bytes: &Bytes, left: &mut u64) -> Result<View, FileError> {
    let count: u64 = record.shape.iter().product();
    *left = match count.checked_mul(4).and_then(|n| left.checked_sub(n)) {
        Some(left) => left,
        None => {
            let why = format!("{count} elements would have to be decoded, too many");
            return Err(FileError::limit("", why));
        }
    };
    let mut values = Vec::with_capacity(usize::try_from(count).unwrap_or(0) * 4);
    blocks::decode(record.kind, bytes, &mut |block: &[f32]| {
        values.extend(block.iter().flat_map(|v| v.to_le_bytes()));
    });
    View::dense(DType::F32, record.shape.clone(), values.into())
}
