//! The native types behind [`Data`], and macros that pick the right one at run time.

use std::fmt::Debug;

use num_complex::Complex;
use num_traits::{AsPrimitive, NumAssign, PrimInt, WrappingAdd, WrappingMul, WrappingSub};

use super::{Data, StrBytes};

/// A Rust type that some [`Data`] variant holds.
pub trait Element: Clone + Default + PartialEq + Debug + Send + Sync + 'static {
    /// The elements, when `data` holds this type.
    fn slice(data: &Data) -> Option<&[Self]>;
    /// The elements for writing, when `data` holds this type.
    fn slice_mut(data: &mut Data) -> Option<&mut [Self]>;
    /// The data that holds `values`.
    fn wrap(values: Vec<Self>) -> Data;
}

/// An element type with arithmetic: integers, floats and complex numbers.
pub trait NumberElement: Element + Copy + NumAssign {}
impl<T: Element + Copy + NumAssign> NumberElement for T {}

/// An element type with arithmetic and order: integers and floats.
pub trait RealElement: NumberElement + PartialOrd + AsPrimitive<f64> {}
impl<T: NumberElement + PartialOrd + AsPrimitive<f64>> RealElement for T {}

/// A native integer.
pub trait IntElement:
    RealElement + PrimInt + WrappingAdd + WrappingSub + WrappingMul + AsPrimitive<i128>
{
}
impl<T> IntElement for T where
    T: RealElement + PrimInt + WrappingAdd + WrappingSub + WrappingMul + AsPrimitive<i128>
{
}

/// A native float.
pub trait FloatElement: RealElement + num_traits::Float {}
impl<T: RealElement + num_traits::Float> FloatElement for T {}

macro_rules! elements {
    ($($t:ty => $var:ident),* $(,)?) => { $(
        impl Element for $t {
            fn slice(data: &Data) -> Option<&[Self]> {
                match data { Data::$var(v) => Some(v), _ => None }
            }
            fn slice_mut(data: &mut Data) -> Option<&mut [Self]> {
                match data { Data::$var(v) => Some(v), _ => None }
            }
            fn wrap(values: Vec<Self>) -> Data {
                Data::$var(values)
            }
        }
    )* };
}

elements! {
    bool => Bool, i8 => I8, i16 => I16, i32 => I32, i64 => I64,
    u8 => U8, u16 => U16, u32 => U32, u64 => U64, f32 => F32, f64 => F64,
    Complex<f32> => C64, Complex<f64> => C128, StrBytes => Str,
}

/// Evaluates the body with `$v` bound to the vector inside a [`Data`], whatever its type.
///
/// Works on `data`, `&data` and `&mut data` as `match` does.
#[macro_export]
macro_rules! dispatch_all {
    ($data:expr, |$v:pat_param| $body:expr) => {
        match $data {
            $crate::array::Data::Bool($v) => $body,
            $crate::array::Data::I8($v) => $body,
            $crate::array::Data::I16($v) => $body,
            $crate::array::Data::I32($v) => $body,
            $crate::array::Data::I64($v) => $body,
            $crate::array::Data::U8($v) => $body,
            $crate::array::Data::U16($v) => $body,
            $crate::array::Data::U32($v) => $body,
            $crate::array::Data::U64($v) => $body,
            $crate::array::Data::F32($v) => $body,
            $crate::array::Data::F64($v) => $body,
            $crate::array::Data::C64($v) => $body,
            $crate::array::Data::C128($v) => $body,
            $crate::array::Data::Str($v) => $body,
        }
    };
}

/// Like [`dispatch_all!`](crate::dispatch_all) for integers only; other data evaluates the `else`.
#[macro_export]
macro_rules! dispatch_int {
    ($data:expr, |$v:pat_param| $body:expr, else $other:expr) => {
        match $data {
            $crate::array::Data::I8($v) => $body,
            $crate::array::Data::I16($v) => $body,
            $crate::array::Data::I32($v) => $body,
            $crate::array::Data::I64($v) => $body,
            $crate::array::Data::U8($v) => $body,
            $crate::array::Data::U16($v) => $body,
            $crate::array::Data::U32($v) => $body,
            $crate::array::Data::U64($v) => $body,
            _ => $other,
        }
    };
}

/// Like [`dispatch_all!`](crate::dispatch_all) for `f32` and `f64` only; other data evaluates the
/// `else`.
#[macro_export]
macro_rules! dispatch_float {
    ($data:expr, |$v:pat_param| $body:expr, else $other:expr) => {
        match $data {
            $crate::array::Data::F32($v) => $body,
            $crate::array::Data::F64($v) => $body,
            _ => $other,
        }
    };
}

/// Like [`dispatch_all!`](crate::dispatch_all) for integers and floats; other data evaluates the
/// `else`.
#[macro_export]
macro_rules! dispatch_real {
    ($data:expr, |$v:pat_param| $body:expr, else $other:expr) => {
        match $data {
            $crate::array::Data::I8($v) => $body,
            $crate::array::Data::I16($v) => $body,
            $crate::array::Data::I32($v) => $body,
            $crate::array::Data::I64($v) => $body,
            $crate::array::Data::U8($v) => $body,
            $crate::array::Data::U16($v) => $body,
            $crate::array::Data::U32($v) => $body,
            $crate::array::Data::U64($v) => $body,
            $crate::array::Data::F32($v) => $body,
            $crate::array::Data::F64($v) => $body,
            _ => $other,
        }
    };
}

/// Like [`dispatch_all!`](crate::dispatch_all) for integers, floats and complex numbers; other
/// data evaluates the `else`.
#[macro_export]
macro_rules! dispatch_numeric {
    ($data:expr, |$v:pat_param| $body:expr, else $other:expr) => {
        match $data {
            $crate::array::Data::C64($v) => $body,
            $crate::array::Data::C128($v) => $body,
            other => $crate::dispatch_real!(other, |$v| $body, else $other),
        }
    };
}
