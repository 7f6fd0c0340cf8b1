//! Tensors of a module: weights and constants. Their bytes are shared and never copied to
//! be looked at.

use std::sync::Arc;

use bytes::Bytes;

use crate::array::{Array, ArrayError, Data, StrBytes};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::types::TensorType;

/// A constant array of known shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The element type.
    pub dtype: DType,
    /// The size of each axis.
    pub dims: Vec<u64>,
    /// Where the elements are.
    pub storage: Storage,
}

/// Where the elements of a tensor are.
#[derive(Clone, Debug, PartialEq)]
pub enum Storage {
    /// All elements, little-endian, row-major, sub-byte ones packed. The bytes may be owned
    /// or a slice of a mapped file; cloning shares them.
    Bytes(Bytes),
    /// One element's bytes (for sub-byte dtypes one byte whose low bits count); every
    /// element equals it.
    Splat(Bytes),
    /// Strings.
    Strings(Arc<[StrBytes]>),
    /// Bytes in another file that have not been opened.
    External {
        /// The file, relative to the module's folder.
        path: Arc<str>,
        /// The first byte.
        offset: u64,
        /// The number of bytes.
        length: u64,
    },
}

/// Why a tensor's elements cannot be had.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TensorError {
    /// They do not make an array.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// They are in a file that has not been opened.
    #[error("the elements are in `{0}`, which has not been opened")]
    NotLoaded(String),
}

impl Tensor {
    /// A tensor over little-endian packed bytes. Fails when their number does not fit.
    pub fn from_bytes(dtype: DType, dims: Vec<u64>, bytes: Bytes) -> Result<Self, ArrayError> {
        let tensor = Self { dtype, dims, storage: Storage::Bytes(bytes.clone()) };
        match tensor.byte_len() {
            Some(n) if n == bytes.len() as u64 => Ok(tensor),
            expected => Err(ArrayError::ByteLength {
                dtype,
                expected: expected.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX),
                actual: bytes.len(),
            }),
        }
    }

    /// A tensor with the elements of an array.
    pub fn from_array(array: &Array) -> Result<Self, ArrayError> {
        let dims = array.shape.iter().map(|&d| d as u64).collect();
        let storage = match &array.data {
            Data::Str(v) => Storage::Strings(v.clone().into()),
            _ => Storage::Bytes(array.to_bytes()?.into()),
        };
        Ok(Self { dtype: array.dtype, dims, storage })
    }

    /// The number of elements; `None` when it does not fit.
    pub fn numel(&self) -> Option<u64> {
        self.dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d))
    }

    /// The number of bytes that the elements take in a file; `None` for strings and when it
    /// does not fit.
    pub fn byte_len(&self) -> Option<u64> {
        self.dtype.byte_len(self.numel()?)
    }

    /// The type of a value that holds this tensor.
    pub fn ty(&self) -> TensorType {
        let dim = |&d: &u64| i64::try_from(d).map_or(Dim::Any, Dim::Known);
        TensorType::new(self.dtype, self.dims.iter().map(dim))
    }

    /// The elements as a host array.
    pub fn to_array(&self) -> Result<Array, TensorError> {
        let shape = self
            .dims
            .iter()
            .map(|&d| usize::try_from(d))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| ArrayError::ShapeOverflow { shape: Vec::new() })?;
        match &self.storage {
            Storage::Bytes(b) => Ok(Array::from_bytes(self.dtype, shape, b)?),
            Storage::Splat(b) => {
                let one = Array::from_bytes(self.dtype, Vec::new(), b)?;
                let value = one.get(0).ok_or(ArrayError::Length { expected: 1, actual: 0 })?;
                Ok(Array::full(self.dtype, shape, &value)?)
            }
            Storage::Strings(s) => Ok(Array::new(self.dtype, shape, Data::Str(s.to_vec()))?),
            Storage::External { path, .. } => Err(TensorError::NotLoaded(path.to_string())),
        }
    }
}
