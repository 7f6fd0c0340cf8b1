//! Strided views of stored bytes.

use airconv_ir::dtype::DType;
use airconv_ir::tensor::{Storage, Tensor};
use bytes::Bytes;

use crate::error::FileError;

/// A tensor that is a view of a storage: sizes, strides and offset are in elements. Bytes are
/// shared where the view is row-major, and gathered otherwise, up to `limit` bytes.
pub(crate) fn contiguous(
    dtype: DType,
    sizes: &[u64],
    strides: &[u64],
    offset: u64,
    storage: Bytes,
    limit: u64,
) -> Result<Tensor, FileError> {
    let malformed = |message: &str| FileError::malformed("", message);
    if sizes.len() != strides.len() {
        return Err(malformed("there are not as many strides as sizes"));
    }
    let width = u64::from(dtype.bits() / 8);
    let count = sizes.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
    let length = count.and_then(|n| n.checked_mul(width));
    let (Some(count), Some(length)) = (count, length) else {
        return Err(malformed("its size does not fit in 64 bits"));
    };
    let tensor =
        |bytes: Bytes| Tensor { dtype, dims: sizes.to_vec(), storage: Storage::Bytes(bytes) };
    if count == 0 {
        return Ok(tensor(Bytes::new()));
    }
    let last = sizes
        .iter()
        .zip(strides)
        .try_fold(offset, |at, (&size, &stride)| at.checked_add((size - 1).checked_mul(stride)?));
    let end = last.and_then(|n| n.checked_add(1)?.checked_mul(width));
    if end.is_none_or(|end| end > storage.len() as u64) {
        return Err(malformed("it reaches beyond the end of its storage"));
    }
    let start = (offset * width) as usize;
    if is_row_major(sizes, strides) {
        return Ok(tensor(storage.slice(start..start + length as usize)));
    }
    if length > limit {
        return Err(FileError::limit("", format!("{length} bytes have to be gathered by strides")));
    }
    Ok(tensor(gather(sizes, strides, start, width as usize, &storage).into()))
}

fn is_row_major(sizes: &[u64], strides: &[u64]) -> bool {
    let mut expected = 1;
    sizes.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected *= size;
        fits
    })
}

/// The elements in row-major order. All positions are in range.
fn gather(sizes: &[u64], strides: &[u64], start: usize, width: usize, storage: &[u8]) -> Vec<u8> {
    let count: u64 = sizes.iter().product();
    let mut out = Vec::with_capacity(count as usize * width);
    let mut index = vec![0u64; sizes.len()];
    let mut at = start;
    for _ in 0..count {
        out.extend_from_slice(&storage[at..at + width]);
        for axis in (0..sizes.len()).rev() {
            let step = strides[axis] as usize * width;
            index[axis] += 1;
            at += step;
            if index[axis] < sizes[axis] {
                break;
            }
            at -= step * sizes[axis] as usize;
            index[axis] = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(sizes: &[u64], strides: &[u64], offset: u64) -> Result<Vec<u8>, FileError> {
        let storage = Bytes::from((0u8..12).collect::<Vec<_>>());
        let tensor = contiguous(DType::U8, sizes, strides, offset, storage, 100)?;
        match tensor.storage {
            Storage::Bytes(b) => Ok(b.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn views_are_gathered_by_stride() {
        assert_eq!(view(&[2, 3], &[3, 1], 6), Ok(vec![6, 7, 8, 9, 10, 11]));
        assert_eq!(view(&[3, 2], &[1, 3], 0), Ok(vec![0, 3, 1, 4, 2, 5]));
        assert_eq!(view(&[2, 2], &[0, 5], 1), Ok(vec![1, 6, 1, 6]));
        assert_eq!(view(&[0, 9], &[9, 9], 99), Ok(vec![]));
        assert_eq!(view(&[], &[], 11), Ok(vec![11]));
    }

    #[test]
    fn views_outside_of_the_storage_are_refused() {
        assert!(view(&[3], &[6], 0).is_err());
        assert!(view(&[1], &[1], 12).is_err());
        assert!(view(&[u64::MAX, 2], &[1, 1], 0).is_err());
        assert!(view(&[2], &[u64::MAX], 0).is_err());
        assert!(view(&[60, 2], &[0, 1], 0).unwrap_err().message.contains("gathered"));
    }
}
