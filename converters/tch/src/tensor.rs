//! Arrays and stored tensors of the hub as tensors of libtorch, and back.

use airconv_ir::array::{Array, Data};
use airconv_ir::dtype::DType;
use airconv_ir::tensor::{Storage, Tensor as Stored};
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result, fail};

const KINDS: &[(DType, Kind)] = &[
    (DType::Bool, Kind::Bool),
    (DType::U8, Kind::Uint8),
    (DType::I8, Kind::Int8),
    (DType::I16, Kind::Int16),
    (DType::I32, Kind::Int),
    (DType::I64, Kind::Int64),
    (DType::F16, Kind::Half),
    (DType::BF16, Kind::BFloat16),
    (DType::F32, Kind::Float),
    (DType::F64, Kind::Double),
    (DType::C64, Kind::ComplexFloat),
    (DType::C128, Kind::ComplexDouble),
    (DType::F8E4M3FN, Kind::Float8e4m3fn),
    (DType::F8E4M3FNUZ, Kind::Float8e4m3fnuz),
    (DType::F8E5M2, Kind::Float8e5m2),
    (DType::F8E5M2FNUZ, Kind::Float8e5m2fnuz),
];

/// What tch calls a dtype.
pub fn kind_of(dtype: DType) -> Result<Kind> {
    match KINDS.iter().find(|(d, _)| *d == dtype) {
        Some((_, kind)) => Ok(*kind),
        None => fail(format!("tch has no {dtype}")),
    }
}

/// The dtype of a tensor.
pub fn dtype_of(tensor: &Tensor) -> Result<DType> {
    let kind = tensor.f_kind()?;
    match KINDS.iter().find(|(_, k)| *k == kind) {
        Some((dtype, _)) => Ok(*dtype),
        None => fail(format!("a tensor of {kind:?}, which the hub does not have")),
    }
}

/// A tensor over memory that it does not own; a copy where the memory is not aligned.
///
/// # Safety
/// The memory stays as it is while the tensor, or a view of it, is in use. Nothing writes to it:
/// of libtorch's functions, only those without side effects may be given the tensor.
unsafe fn over(bytes: &[u8], dims: &[i64], kind: Kind) -> Result<Tensor> {
    let numel = dims.iter().product::<i64>();
    let width = kind.elt_size_in_bytes();
    if Some(bytes.len()) != usize::try_from(numel).ok().and_then(|n| n.checked_mul(width)) {
        return fail("a tensor has another number of bytes than its sizes ask for");
    }
    // A complex element is aligned as its parts are; asking for more does no harm.
    if bytes.is_empty() || bytes.as_ptr().align_offset(width) != 0 {
        return Ok(Tensor::f_from_data_size(bytes, dims, kind)?);
    }
    // SAFETY: the caller keeps the memory; its length is right for the sizes.
    Ok(unsafe { Tensor::f_from_blob(bytes.as_ptr(), dims, &[], kind, Device::Cpu)? })
}

fn signed(dims: impl IntoIterator<Item = u64>) -> Result<Vec<i64>> {
    let one = |d| i64::try_from(d).map_err(|_| Error(format!("a size of {d}")));
    dims.into_iter().map(one).collect()
}

/// A stored tensor. Where its bytes are at hand they are used where they lie.
///
/// # Safety
/// As for arrays: see [`of_array`].
pub unsafe fn of_stored(stored: &Stored) -> Result<Tensor> {
    let kind = kind_of(stored.dtype)?;
    let dims = signed(stored.dims.iter().copied())?;
    match &stored.storage {
        // SAFETY: the caller keeps the tensor.
        Storage::Bytes(bytes) => unsafe { over(bytes, &dims, kind) },
        Storage::Splat(one) => {
            let one = Tensor::f_from_data_size(one, &[], kind)?;
            Ok(one.f_expand(dims, false)?)
        }
        Storage::Strings(_) | Storage::External { .. } => fail("a tensor without numbers"),
    }
}

/// An array as a tensor: its own memory where the elements lie as libtorch has them, and a copy
/// for floats that the hub holds wider than they are.
///
/// # Safety
/// The array outlives the tensor and all views of it.
pub unsafe fn of_array(array: &Array) -> Result<Tensor> {
    let kind = kind_of(array.dtype)?;
    let dims = signed(array.shape.iter().map(|&d| d as u64))?;
    match held(array) {
        // SAFETY: the caller keeps the array.
        Some(bytes) => unsafe { over(bytes, &dims, kind) },
        None => {
            let bytes = array.to_bytes().map_err(|e| Error(e.to_string()))?;
            Ok(Tensor::f_from_data_size(&bytes, &dims, kind)?)
        }
    }
}

/// The bytes of the elements, if they are those of the dtype.
fn held(array: &Array) -> Option<&[u8]> {
    fn bytes<T>(values: &[T]) -> Option<&[u8]> {
        // SAFETY: the elements of arrays are numbers without padding, and any byte can be read.
        Some(unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) })
    }
    match (&array.data, array.dtype) {
        (Data::Bool(v), DType::Bool) => bytes(v),
        (Data::I8(v), DType::I8) => bytes(v),
        (Data::I16(v), DType::I16) => bytes(v),
        (Data::I32(v), DType::I32) => bytes(v),
        (Data::I64(v), DType::I64) => bytes(v),
        (Data::U8(v), DType::U8) => bytes(v),
        (Data::F32(v), DType::F32) => bytes(v),
        (Data::F64(v), DType::F64) => bytes(v),
        (Data::C64(v), DType::C64) => bytes(v),
        (Data::C128(v), DType::C128) => bytes(v),
        _ => None,
    }
}

/// A tensor as an array.
pub fn to_array(tensor: &Tensor) -> Result<Array> {
    let dtype = dtype_of(tensor)?;
    let tensor = tensor.f_contiguous()?.f_resolve_conj()?.f_resolve_neg()?;
    let shape: Vec<usize> = tensor.size().iter().map(|&d| d as usize).collect();
    let len = tensor.numel() * tensor.f_kind()?.elt_size_in_bytes();
    let data = tensor.data_ptr().cast::<u8>();
    let bytes = match len {
        0 => &[][..],
        // SAFETY: the tensor is contiguous, on the CPU and alive, and has this many bytes.
        _ => unsafe { std::slice::from_raw_parts(data, len) },
    };
    Array::from_bytes(dtype, shape, bytes).map_err(|e| Error(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_goes_there_and_back() {
        for &(dtype, kind) in KINDS {
            let array = match dtype.is_complex() || dtype.is_float() {
                true => Array::from_f64s(dtype, vec![2, 2], &[0.0, 1.0, -2.0, 0.5]),
                false => Array::from_i64s(dtype, vec![2, 2], &[0, 1, 1, 0]),
            };
            let Ok(array) = array else { continue };
            // SAFETY: the array lives on.
            let tensor = unsafe { of_array(&array).unwrap() };
            assert_eq!(tensor.kind(), kind);
            assert_eq!(to_array(&tensor).unwrap(), array, "{dtype}");
            assert_eq!(to_array(&tensor.tr()).unwrap(), array.transpose(&[1, 0]).unwrap());
        }
        assert!(kind_of(DType::I4).is_err());
    }

    #[test]
    fn weights_are_used_where_they_lie() {
        let stored = Stored::from_array(&Array::from_vec(vec![3], vec![1f32, 2.0, 3.0]).unwrap());
        let stored = stored.unwrap();
        let Storage::Bytes(bytes) = &stored.storage else { panic!("{stored:?}") };
        // SAFETY: the tensor lives on.
        let tensor = unsafe { of_stored(&stored).unwrap() };
        assert_eq!(tensor.data_ptr().cast_const().cast::<u8>(), bytes.as_ptr());
        let odd = Stored { storage: Storage::Bytes(bytes.slice(0..4)), ..stored.clone() };
        // SAFETY: as above.
        assert!(unsafe { of_stored(&odd) }.is_err());
    }
}
