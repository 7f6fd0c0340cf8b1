//! A tensor as a view of a storage.

use airconv_api::Limits;
use airconv_ir::dtype::DType;
use airconv_ir::tensor::{Storage, Tensor};
use bytes::Bytes;

use crate::error::FileError;
use crate::pickle::TensorRef;

/// How many bytes may still be made that are not in a file as they are.
#[derive(Clone, Debug)]
pub struct Budget(u64);

impl Budget {
    /// The budget that the limits give.
    pub fn new(limits: &Limits) -> Self {
        Self(limits.expanded_bytes)
    }
    fn take(&mut self, bytes: u64) -> Result<(), FileError> {
        match self.0.checked_sub(bytes) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                let message = format!("{bytes} bytes would have to be laid out, too many");
                Err(FileError::limit("", message))
            }
        }
    }
}

/// Elements of a storage by strides. Every element is inside of the storage.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    dtype: DType,
    sizes: Vec<u64>,
    strides: Vec<u64>,
    offset: u64,
    storage: Bytes,
}

impl View {
    /// A view of all of some bytes, row-major. Fails if their number is wrong.
    pub fn dense(dtype: DType, sizes: Vec<u64>, storage: Bytes) -> Result<Self, FileError> {
        let numel = numel(&sizes)?;
        if dtype.byte_len(numel) != Some(storage.len() as u64) {
            let message = format!("{} bytes are not {numel} elements of {dtype}", storage.len());
            return Err(FileError::malformed("", message));
        }
        let strides = dense_strides(&sizes);
        Ok(Self { dtype, sizes, strides, offset: 0, storage })
    }

    /// The view that a tensor of a pickle is of its storage.
    pub fn of(tensor: &TensorRef, storage: Bytes) -> Result<Self, FileError> {
        let strides = tensor.strides.iter().map(|&s| u64::try_from(s)).collect::<Result<_, _>>();
        let Ok(strides) = strides else {
            return Err(FileError::malformed("", "a stride of a tensor is negative"));
        };
        Self::strided(tensor.dtype, tensor.sizes.clone(), strides, tensor.offset, storage)
    }

    /// A view by strides from an offset, both counted in elements. Fails if an element is outside
    /// of the storage.
    pub fn strided(
        dtype: DType,
        sizes: Vec<u64>,
        strides: Vec<u64>,
        offset: u64,
        storage: Bytes,
    ) -> Result<Self, FileError> {
        let width = u64::from(dtype.bits() / 8);
        if width == 0 || sizes.len() != strides.len() {
            return Err(FileError::malformed("", "a tensor has no layout"));
        }
        let has = storage.len() as u64 / width;
        let numel = numel(&sizes)?;
        let last = sizes.iter().zip(&strides).fold(u128::from(offset), |at, (&size, &stride)| {
            at.saturating_add(u128::from(size.saturating_sub(1)).saturating_mul(stride.into()))
        });
        if numel > 0 && last >= has.into() {
            let message = format!("it needs element {last} of a storage that has {has}");
            return Err(FileError::malformed("", message));
        }
        Ok(Self { dtype, sizes, strides, offset, storage })
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }
    /// The size of each axis.
    pub fn sizes(&self) -> &[u64] {
        &self.sizes
    }
    /// The distance of neighbours on each axis, counted in elements.
    pub fn strides(&self) -> &[u64] {
        &self.strides
    }
    /// The first element.
    pub fn offset(&self) -> u64 {
        self.offset
    }
    /// The storage that it is a view of.
    pub fn storage(&self) -> &Bytes {
        &self.storage
    }
    /// Whether two views show the same elements of one storage.
    pub fn same_place(&self, other: &Self) -> bool {
        self.storage.as_ptr() == other.storage.as_ptr()
            && self.storage.len() == other.storage.len()
            && (self.dtype, self.offset) == (other.dtype, other.offset)
            && (&self.sizes, &self.strides) == (&other.sizes, &other.strides)
    }
    /// The number of elements.
    pub fn numel(&self) -> u64 {
        self.sizes.iter().product()
    }

    /// The elements, row-major: a slice of the storage where it has them so, else laid out anew.
    pub fn bytes(&self, budget: &mut Budget) -> Result<Bytes, FileError> {
        if let Some(slice) = self.slice() {
            return Ok(slice);
        }
        let length = self.dtype.byte_len(self.numel());
        let length = length.ok_or_else(|| FileError::malformed("", "a tensor has no size"))?;
        budget.take(length)?;
        let mut out = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        self.gather(0, self.offset, &mut out);
        Ok(out.into())
    }

    /// The slice of the storage that has the elements in order.
    fn slice(&self) -> Option<Bytes> {
        let numel = self.numel();
        if numel == 0 {
            return Some(Bytes::new());
        }
        let dense = dense_strides(&self.sizes);
        let axes = self.sizes.iter().zip(self.strides.iter().zip(&dense));
        if axes.into_iter().any(|(&size, (have, want))| size > 1 && have != want) {
            return None;
        }
        if self.dtype.is_sub_byte() {
            return Some(self.storage.clone());
        }
        let width = u64::from(self.dtype.bits() / 8);
        let start = usize::try_from(self.offset * width).ok()?;
        Some(self.storage.slice(start..start + usize::try_from(numel * width).ok()?))
    }

    /// Appends the elements from an axis on.
    fn gather(&self, axis: usize, at: u64, out: &mut Vec<u8>) {
        let width = u64::from(self.dtype.bits() / 8);
        let copy = |from: u64, count: u64, out: &mut Vec<u8>| {
            let range = (from * width) as usize..((from + count) * width) as usize;
            out.extend_from_slice(self.storage.get(range).unwrap_or_default());
        };
        match (self.sizes.get(axis), self.strides.get(axis)) {
            (Some(&size), Some(1)) if axis + 1 == self.sizes.len() => copy(at, size, out),
            (Some(&size), Some(&stride)) => {
                for i in 0..size {
                    self.gather(axis + 1, at + i * stride, out);
                }
            }
            _ => copy(at, 1, out),
        }
    }

    /// As a tensor of the hub. One element that is repeated stays one.
    pub fn tensor(&self, budget: &mut Budget) -> Result<Tensor, FileError> {
        let repeated = self.numel() > 1
            && !self.dtype.is_sub_byte()
            && self
                .sizes
                .iter()
                .zip(&self.strides)
                .all(|(&size, &stride)| size == 1 || stride == 0);
        let storage = if repeated {
            let one = Self { sizes: Vec::new(), strides: Vec::new(), ..self.clone() };
            Storage::Splat(one.bytes(budget)?)
        } else {
            Storage::Bytes(self.bytes(budget)?)
        };
        Ok(Tensor { dtype: self.dtype, dims: self.sizes.clone(), storage })
    }
}

fn numel(sizes: &[u64]) -> Result<u64, FileError> {
    // An empty axis must not hide that the others overflow: strides are made of them.
    let nonzero = sizes.iter().try_fold(1u64, |n, &d| n.checked_mul(d.max(1)));
    match nonzero.filter(|&n| n <= i64::MAX as u64 / 16) {
        Some(_) => Ok(sizes.iter().product()),
        None => Err(FileError::malformed("", format!("sizes {sizes:?} are too large"))),
    }
}

fn dense_strides(sizes: &[u64]) -> Vec<u64> {
    let mut strides = vec![1; sizes.len()];
    for i in (1..sizes.len()).rev() {
        strides[i - 1] = strides[i] * sizes[i].max(1);
    }
    strides
}
