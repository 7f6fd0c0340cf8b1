//! Dense host arrays, for the interpreter and for constant folding.
//!
//! An [`Array`] holds its elements in row-major order in a vector of a native type. Which one
//! follows from the dtype:
//!
//! | dtype                                              | [`Data`]                         |
//! |----------------------------------------------------|----------------------------------|
//! | `i2`, `i4`, `i8`                                   | `I8`, sign-extended              |
//! | `u2`, `u4`, `u8`                                   | `U8`                             |
//! | `f16`, `bf16`, every 8-, 6- and 4-bit float, `f32` | `F32`, exactly the dtype's value |
//! | every other one                                    | the variant of the same name     |
//!
//! A kernel may compute in the native type and then has to bring its results back to the dtype:
//! [`Array::narrowed`] rounds floats and wraps integers.

mod cast;
mod codec;
mod element;
mod float8;
mod movement;

use std::fmt;
use std::sync::Arc;

use num_complex::Complex;
pub use num_complex::Complex64;
use num_traits::AsPrimitive;
use thiserror::Error;

pub use cast::cast;
pub use element::{Element, FloatElement, IntElement, NumberElement, RealElement};
pub use float8::{
    RoundMode, Rounder, round_slice_to, round_slice_to_dtype, round_to, round_to_dtype,
};

use crate::dtype::DType;
use crate::{dispatch_all, dispatch_int};

/// One element of a `string` array: bytes, which need not be UTF-8.
pub type StrBytes = Arc<[u8]>;

/// What can be wrong with the arguments of an array operation.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ArrayError {
    /// The product of the dims overflows.
    #[error("shape {shape:?} has more elements than can be counted")]
    ShapeOverflow {
        /// The shape.
        shape: Vec<usize>,
    },
    /// The result cannot be allocated.
    #[error("an array of {elements} elements does not fit in memory")]
    TooLarge {
        /// The element count asked for.
        elements: usize,
    },
    /// The number of elements is not the product of the dims.
    #[error("expected {expected} elements, found {actual}")]
    Length {
        /// What the shape asks for.
        expected: usize,
        /// What was given.
        actual: usize,
    },
    /// The number of bytes is not what dtype and shape ask for.
    #[error("{dtype} data: expected {expected} bytes, found {actual}")]
    ByteLength {
        /// The dtype.
        dtype: DType,
        /// What dtype and shape ask for.
        expected: usize,
        /// What was given.
        actual: usize,
    },
    /// Strings have no fixed-size form.
    #[error("string arrays have no byte layout")]
    NoByteLayout,
    /// The data variant is not the one for the dtype.
    #[error("{variant} data cannot hold {dtype}")]
    Variant {
        /// The dtype.
        dtype: DType,
        /// The name of the variant.
        variant: &'static str,
    },
    /// Two dtypes should be the same.
    #[error("expected {expected}, found {actual}")]
    DTypeMismatch {
        /// The dtype that the others set.
        expected: DType,
        /// The one that differs.
        actual: DType,
    },
    /// The scalar is of a kind that the dtype cannot take.
    #[error("{scalar} is not a {dtype} value")]
    ScalarKind {
        /// The dtype.
        dtype: DType,
        /// The scalar.
        scalar: Scalar,
    },
    /// The integer is outside the dtype's range.
    #[error("{value} is out of range for {dtype}")]
    ScalarRange {
        /// The dtype.
        dtype: DType,
        /// The integer.
        value: i128,
    },
    /// An element or row index is too large.
    #[error("index {index} is out of range for length {len}")]
    Index {
        /// The index.
        index: usize,
        /// How many there are.
        len: usize,
    },
    /// An axis is too large.
    #[error("axis {axis} is out of range for rank {rank}")]
    Axis {
        /// The axis.
        axis: usize,
        /// The rank.
        rank: usize,
    },
    /// A list has not one entry for each axis.
    #[error("expected one entry for each of {expected} axes, found {actual}")]
    Rank {
        /// The rank.
        expected: usize,
        /// The number of entries.
        actual: usize,
    },
    /// The axes are not each named once.
    #[error("{axes:?} does not name each axis once")]
    Permutation {
        /// The axes.
        axes: Vec<usize>,
    },
    /// One shape does not go with another.
    #[error("shape {from:?} does not fit {to:?}")]
    ShapeMismatch {
        /// The shape that was found.
        from: Vec<usize>,
        /// The shape that it should go with.
        to: Vec<usize>,
    },
    /// A slice reaches outside its axis.
    #[error("axis {axis}: {len} elements from {start} by {step} leave 0..{dim}")]
    Slice {
        /// The axis.
        axis: usize,
        /// Its length.
        dim: usize,
        /// The first index.
        start: usize,
        /// The distance between indices.
        step: isize,
        /// How many.
        len: usize,
    },
    /// A negative pad removes more than there is, or a size overflows.
    #[error("axis {axis} of length {dim} cannot be padded by {low} and {high}")]
    Pad {
        /// The axis.
        axis: usize,
        /// Its length.
        dim: usize,
        /// Elements added before.
        low: i64,
        /// Elements added after.
        high: i64,
    },
    /// There is nothing to concatenate.
    #[error("concat needs at least one array")]
    NoArrays,
    /// No conversion exists between the dtypes.
    #[error("no cast from {from} to {to}")]
    Cast {
        /// The source.
        from: DType,
        /// The target.
        to: DType,
    },
    /// A string does not spell a value of the dtype.
    #[error("`{text}` is not a {to} value")]
    Parse {
        /// The target.
        to: DType,
        /// The string, made printable.
        text: String,
    },
}

/// The elements of an array, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `bool`.
    Bool(Vec<bool>),
    /// `i2`, `i4` and `i8`, sign-extended.
    I8(Vec<i8>),
    /// `i16`.
    I16(Vec<i16>),
    /// `i32`.
    I32(Vec<i32>),
    /// `i64`.
    I64(Vec<i64>),
    /// `u2`, `u4` and `u8`.
    U8(Vec<u8>),
    /// `u16`.
    U16(Vec<u16>),
    /// `u32`.
    U32(Vec<u32>),
    /// `u64`.
    U64(Vec<u64>),
    /// `f32` and every narrower float.
    F32(Vec<f32>),
    /// `f64`.
    F64(Vec<f64>),
    /// `c64`.
    C64(Vec<Complex<f32>>),
    /// `c128`.
    C128(Vec<Complex<f64>>),
    /// `string`.
    Str(Vec<StrBytes>),
}

impl Data {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        dispatch_all!(self, |v| v.len())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the variant in lower case.
    pub fn variant(&self) -> &'static str {
        self.widest().name()
    }

    /// The dtype whose values are all those that the variant can hold.
    pub fn widest(&self) -> DType {
        match self {
            Data::Bool(_) => DType::Bool,
            Data::I8(_) => DType::I8,
            Data::I16(_) => DType::I16,
            Data::I32(_) => DType::I32,
            Data::I64(_) => DType::I64,
            Data::U8(_) => DType::U8,
            Data::U16(_) => DType::U16,
            Data::U32(_) => DType::U32,
            Data::U64(_) => DType::U64,
            Data::F32(_) => DType::F32,
            Data::F64(_) => DType::F64,
            Data::C64(_) => DType::C64,
            Data::C128(_) => DType::C128,
            Data::Str(_) => DType::String,
        }
    }

    /// Whether elements of `dtype` are held in this variant.
    pub fn holds(&self, dtype: DType) -> bool {
        self.widest() == native(dtype)
    }

    /// `numel` times zero, false or the empty string, in the variant for `dtype`.
    pub(crate) fn zeros(dtype: DType, numel: usize) -> Result<Data, ArrayError> {
        Ok(match native(dtype) {
            DType::Bool => Data::Bool(filled(false, numel)?),
            DType::I8 => Data::I8(filled(0, numel)?),
            DType::I16 => Data::I16(filled(0, numel)?),
            DType::I32 => Data::I32(filled(0, numel)?),
            DType::I64 => Data::I64(filled(0, numel)?),
            DType::U8 => Data::U8(filled(0, numel)?),
            DType::U16 => Data::U16(filled(0, numel)?),
            DType::U32 => Data::U32(filled(0, numel)?),
            DType::U64 => Data::U64(filled(0, numel)?),
            DType::F64 => Data::F64(filled(0.0, numel)?),
            DType::C64 => Data::C64(filled(Complex::new(0.0, 0.0), numel)?),
            DType::C128 => Data::C128(filled(Complex::new(0.0, 0.0), numel)?),
            DType::String => Data::Str(filled(StrBytes::default(), numel)?),
            _ => Data::F32(filled(0.0, numel)?),
        })
    }
}

/// The dtype that names the native type in which elements of `dtype` are held.
fn native(dtype: DType) -> DType {
    match dtype {
        DType::I2 | DType::I4 => DType::I8,
        DType::U2 | DType::U4 => DType::U8,
        d if d.is_float() && d != DType::F64 => DType::F32,
        d => d,
    }
}

/// An empty vector with room for `numel` elements, or an error where allocation fails.
fn with_room<T>(numel: usize) -> Result<Vec<T>, ArrayError> {
    let mut v = Vec::new();
    v.try_reserve_exact(numel).map_err(|_| ArrayError::TooLarge { elements: numel })?;
    Ok(v)
}

fn filled<T: Clone>(value: T, numel: usize) -> Result<Vec<T>, ArrayError> {
    let mut v = with_room(numel)?;
    v.resize(numel, value);
    Ok(v)
}

/// The product of the dims; 1 for rank zero, and 0 wherever a dim is 0.
///
/// # Errors
/// When the product does not fit in a `usize`.
pub fn checked_numel(shape: &[usize]) -> Result<usize, ArrayError> {
    if shape.contains(&0) {
        return Ok(0);
    }
    let product = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    product.ok_or_else(|| ArrayError::ShapeOverflow { shape: shape.to_vec() })
}

/// Distances, in elements, between neighbours along each axis of a row-major array.
pub fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        // Overflow needs a zero dim, and then no element is ever addressed.
        strides[axis - 1] = strides[axis].wrapping_mul(shape[axis]);
    }
    strides
}

/// The coordinates of element `index` in row-major order, or `None` where there is no such element.
pub fn unravel(index: usize, shape: &[usize]) -> Option<Vec<usize>> {
    let mut rest = index;
    let mut coords = vec![0; shape.len()];
    for (c, &dim) in coords.iter_mut().zip(shape).rev() {
        *c = rest.checked_rem(dim)?;
        rest /= dim;
    }
    (rest == 0).then_some(coords)
}

/// The position in row-major order of the element at `coords`, or `None` where there is none.
pub fn ravel(coords: &[usize], shape: &[usize]) -> Option<usize> {
    if coords.len() != shape.len() {
        return None;
    }
    let step = |index: usize, (&c, &dim): (&usize, &usize)| {
        if c < dim { index.checked_mul(dim)?.checked_add(c) } else { None }
    };
    coords.iter().zip(shape).try_fold(0, step)
}

/// One value of any dtype.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A float.
    Float(f64),
    /// A complex number.
    Complex(Complex<f64>),
    /// A byte string.
    Str(StrBytes),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool(x) => x.fmt(f),
            Scalar::Int(x) => x.fmt(f),
            Scalar::Float(x) => write!(f, "{x:?}"),
            Scalar::Complex(x) => x.fmt(f),
            Scalar::Str(x) => write!(f, "\"{}\"", x.escape_ascii()),
        }
    }
}

impl Scalar {
    fn mismatch(&self, dtype: DType) -> ArrayError {
        ArrayError::ScalarKind { dtype, scalar: self.clone() }
    }

    fn int(&self, dtype: DType) -> Result<i128, ArrayError> {
        let Scalar::Int(value) = *self else { return Err(self.mismatch(dtype)) };
        match dtype.int_range() {
            Some((lo, hi)) if (lo..=hi).contains(&value) => Ok(value),
            _ => Err(ArrayError::ScalarRange { dtype, value }),
        }
    }

    fn f32(&self, dtype: DType) -> Result<f32, ArrayError> {
        match (self, Rounder::new(dtype, false, RoundMode::Nearest)) {
            (Scalar::Int(x), Some(r)) => Ok(r.round(cast::sticky_f64(*x))),
            (Scalar::Int(x), None) => Ok(*x as f32),
            (Scalar::Float(x), Some(r)) => Ok(r.round(*x)),
            (Scalar::Float(x), None) => Ok(*x as f32),
            _ => Err(self.mismatch(dtype)),
        }
    }

    fn f64(&self, dtype: DType) -> Result<f64, ArrayError> {
        match self {
            Scalar::Int(x) => Ok(*x as f64),
            Scalar::Float(x) => Ok(*x),
            _ => Err(self.mismatch(dtype)),
        }
    }
}

/// A dense array of any dtype.
///
/// Everything here assumes what the constructors guarantee: `data` is the variant for `dtype`, has
/// as many elements as `shape` asks for, and each is a value of `dtype`. Code that writes to the
/// fields keeps it so; where it does not, operations return errors or misplaced values.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The element type.
    pub dtype: DType,
    /// The dims, outermost first.
    pub shape: Vec<usize>,
    /// The elements in row-major order.
    pub data: Data,
}

impl Array {
    /// An array of elements that are values of `dtype` already.
    ///
    /// # Errors
    /// When `data` is not the variant for `dtype`, or not as long as `shape` asks for.
    pub fn new(dtype: DType, shape: Vec<usize>, data: Data) -> Result<Array, ArrayError> {
        let array = Array { dtype, shape, data };
        array.check()?;
        Ok(array)
    }

    /// An array of results that were computed in the native type: floats are rounded as
    /// [`round_to_dtype`] does, integers keep the low bits that `dtype` has.
    ///
    /// # Errors
    /// As for [`Array::new`].
    pub fn narrowed(dtype: DType, shape: Vec<usize>, data: Data) -> Result<Array, ArrayError> {
        let mut array = Array::new(dtype, shape, data)?;
        match &mut array.data {
            Data::F32(v) => round_slice_to_dtype(dtype, v),
            Data::I8(v) => cast::wrap_signed(dtype, v),
            Data::U8(v) => cast::wrap_unsigned(dtype, v),
            _ => {}
        }
        Ok(array)
    }

    /// An array of native elements; the dtype is the one that names their type.
    ///
    /// # Errors
    /// When there are not as many values as `shape` asks for.
    pub fn from_vec<T: Element>(shape: Vec<usize>, values: Vec<T>) -> Result<Array, ArrayError> {
        let data = T::wrap(values);
        Array::new(data.widest(), shape, data)
    }

    /// Checks that the data go with dtype and shape.
    pub fn check(&self) -> Result<(), ArrayError> {
        if !self.data.holds(self.dtype) {
            return Err(ArrayError::Variant { dtype: self.dtype, variant: self.data.variant() });
        }
        let (expected, actual) = (checked_numel(&self.shape)?, self.data.len());
        if expected == actual { Ok(()) } else { Err(ArrayError::Length { expected, actual }) }
    }

    /// An array of zeros; false for `bool`, empty for `string`, and for `f8e8m0`, which has no
    /// zero, NaN.
    ///
    /// # Errors
    /// When it is too large.
    pub fn zeros(dtype: DType, shape: Vec<usize>) -> Result<Array, ArrayError> {
        let mut data = Data::zeros(dtype, checked_numel(&shape)?)?;
        if let (DType::F8E8M0, Data::F32(v)) = (dtype, &mut data) {
            v.fill(f32::NAN);
        }
        Ok(Array { dtype, shape, data })
    }

    /// An array with every element equal to `value`, converted as [`Array::set`] does.
    ///
    /// # Errors
    /// When it is too large, or the value cannot be one of `dtype`.
    pub fn full(dtype: DType, shape: Vec<usize>, value: &Scalar) -> Result<Array, ArrayError> {
        let numel = checked_numel(&shape)?;
        let mut one = Array { dtype, shape: Vec::new(), data: Data::zeros(dtype, 1)? };
        one.set(0, value)?;
        let data = dispatch_all!(one.data, |mut v| {
            let value = v.pop().unwrap_or_default();
            Element::wrap(filled(value, numel)?)
        });
        Ok(Array { dtype, shape, data })
    }

    /// An integer array from values that have to be in range of `dtype`.
    ///
    /// # Errors
    /// When `dtype` is no integer, a value is out of range, or the count is not the shape's.
    pub fn from_i64s(dtype: DType, shape: Vec<usize>, values: &[i64]) -> Result<Array, ArrayError> {
        let first = Scalar::Int(values.first().copied().unwrap_or(0).into());
        let (lo, hi) = dtype.int_range().ok_or_else(|| first.mismatch(dtype))?;
        let numel = checked_numel(&shape)?;
        if values.len() != numel {
            return Err(ArrayError::Length { expected: numel, actual: values.len() });
        }
        if let Some(&x) = values.iter().find(|&&x| i128::from(x) < lo || i128::from(x) > hi) {
            return Err(ArrayError::ScalarRange { dtype, value: x.into() });
        }
        let mut data = Data::zeros(dtype, numel)?;
        fn fill<T: IntElement>(out: &mut [T], values: &[i64])
        where
            i64: AsPrimitive<T>,
        {
            out.iter_mut().zip(values).for_each(|(o, &x)| *o = x.as_());
        }
        dispatch_int!(&mut data, |v| fill(v, values), else ());
        Ok(Array { dtype, shape, data })
    }

    /// A float array from values that are rounded once, as [`round_to_dtype`] does.
    ///
    /// # Errors
    /// When `dtype` is no float, or the count is not the shape's.
    pub fn from_f64s(dtype: DType, shape: Vec<usize>, values: &[f64]) -> Result<Array, ArrayError> {
        let data = match Rounder::new(dtype, false, RoundMode::Nearest) {
            Some(r) => Data::F32(values.iter().map(|&x| r.round(x)).collect()),
            None if dtype == DType::F32 => Data::F32(values.iter().map(|&x| x as f32).collect()),
            None => Data::F64(values.to_vec()),
        };
        Array::new(dtype, shape, data)
    }

    /// An array of strings.
    ///
    /// # Errors
    /// When the count is not the shape's.
    pub fn from_strs<S: AsRef<[u8]>>(shape: Vec<usize>, values: &[S]) -> Result<Array, ArrayError> {
        let values = values.iter().map(|s| StrBytes::from(s.as_ref())).collect();
        Array::new(DType::String, shape, Data::Str(values))
    }

    /// A rank-zero array.
    ///
    /// # Errors
    /// When the value cannot be one of `dtype`.
    pub fn scalar(dtype: DType, value: &Scalar) -> Result<Array, ArrayError> {
        Array::full(dtype, Vec::new(), value)
    }

    /// How many elements there are.
    pub fn numel(&self) -> usize {
        self.data.len()
    }

    /// How many axes there are.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Distances, in elements, between neighbours along each axis.
    pub fn strides(&self) -> Vec<usize> {
        row_major_strides(&self.shape)
    }

    /// The elements, when their native type is `T`.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(&self.data)
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// When the new shape has another number of elements.
    pub fn reshape(self, shape: Vec<usize>) -> Result<Array, ArrayError> {
        if checked_numel(&shape)? != self.numel() {
            return Err(ArrayError::ShapeMismatch { from: self.shape, to: shape });
        }
        Ok(Array { shape, ..self })
    }

    /// Element `index` in row-major order.
    pub fn get(&self, index: usize) -> Option<Scalar> {
        Some(match &self.data {
            Data::Bool(v) => Scalar::Bool(*v.get(index)?),
            Data::F32(v) => Scalar::Float((*v.get(index)?).into()),
            Data::F64(v) => Scalar::Float(*v.get(index)?),
            Data::C64(v) => {
                let z = v.get(index)?;
                Scalar::Complex(Complex::new(z.re.into(), z.im.into()))
            }
            Data::C128(v) => Scalar::Complex(*v.get(index)?),
            Data::Str(v) => Scalar::Str(v.get(index)?.clone()),
            ints => dispatch_int!(ints, |v| Scalar::Int((*v.get(index)?).into()), else return None),
        })
    }

    /// Replaces element `index`, in row-major order.
    ///
    /// An integer may become a float or a complex number, and a float a complex number; they are
    /// rounded once, without saturation. Every other change of kind is an error.
    ///
    /// # Errors
    /// When there is no such element, or the value cannot be one of the dtype.
    pub fn set(&mut self, index: usize, value: &Scalar) -> Result<(), ArrayError> {
        let (dtype, len) = (self.dtype, self.data.len());
        if index >= len {
            return Err(ArrayError::Index { index, len });
        }
        match &mut self.data {
            Data::Bool(v) => match value {
                Scalar::Bool(x) => v[index] = *x,
                _ => return Err(value.mismatch(dtype)),
            },
            Data::F32(v) => v[index] = value.f32(dtype)?,
            Data::F64(v) => v[index] = value.f64(dtype)?,
            Data::C64(v) => {
                v[index] = match value {
                    Scalar::Complex(z) => Complex::new(z.re as f32, z.im as f32),
                    _ => Complex::new(value.f32(dtype)?, 0.0),
                }
            }
            Data::C128(v) => {
                v[index] = match value {
                    Scalar::Complex(z) => *z,
                    _ => Complex::new(value.f64(dtype)?, 0.0),
                }
            }
            Data::Str(v) => match value {
                Scalar::Str(s) => v[index] = s.clone(),
                _ => return Err(value.mismatch(dtype)),
            },
            ints => {
                let x = value.int(dtype)?;
                dispatch_int!(ints, |v| v[index] = x.as_(), else ());
            }
        }
        Ok(())
    }

    /// The elements of an integer array, or `None` for another dtype or a value above the range of
    /// `i64`.
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        if let Data::U64(v) = &self.data {
            return v.iter().map(|&x| i64::try_from(x).ok()).collect();
        }
        fn widen<T: IntElement + AsPrimitive<i64>>(v: &[T]) -> Vec<i64> {
            v.iter().map(|&x| x.as_()).collect()
        }
        dispatch_int!(&self.data, |v| Some(widen(v)), else None)
    }

    /// The elements of an integer or float array as `f64`, or `None` for another dtype.
    pub fn to_f64s(&self) -> Option<Vec<f64>> {
        fn widen<T: RealElement>(v: &[T]) -> Vec<f64> {
            v.iter().map(|&x| x.as_()).collect()
        }
        crate::dispatch_real!(&self.data, |v| Some(widen(v)), else None)
    }
}

#[cfg(test)]
mod tests;
