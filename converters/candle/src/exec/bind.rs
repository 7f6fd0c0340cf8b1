//! What the rows of the table of calls are handed at run time: one function per kind of
//! parameter, named after it.

use candle_core::{DType as CandleType, Device as CandleDevice, Result, Tensor as T, bail};

/// An argument at run time.
#[derive(Clone, Debug)]
pub enum Bound {
    /// A tensor.
    Tensor(T),
    /// A tensor, or none.
    Maybe(Option<T>),
    /// Tensors.
    Tensors(Vec<T>),
    /// A size or a number.
    Size(usize),
    /// A shape or axes.
    Shape(Vec<usize>),
    /// A signed integer.
    Int(i64),
    /// Signed integers.
    Ints(Vec<i64>),
    /// A float.
    Float(f64),
    /// A dtype.
    DType(CandleType),
    /// A truth value.
    Bool(bool),
    /// The device.
    Device(CandleDevice),
}

/// The number of arguments is not that of parameters.
pub fn arity<R>(name: &str) -> Result<R> {
    bail!("{name} is called with another number of arguments")
}

macro_rules! kinds {
    ($($name:ident($variant:ident: $value:ident) -> $ty:ty = $take:expr;)*) => {$(
        /// The argument of a parameter of this kind.
        pub fn $name(bound: &Bound) -> Result<$ty> {
            match bound {
                Bound::$variant($value) => Ok($take),
                _ => bail!(concat!("an argument is no ", stringify!($name))),
            }
        }
    )*};
}

#[allow(non_snake_case)]
mod kinds {
    use super::*;
    kinds! {
        Tensor(Tensor: v) -> &T = v;
        Maybe(Maybe: v) -> Option<&T> = v.as_ref();
        Tensors(Tensors: v) -> &[T] = v;
        Size(Size: v) -> usize = *v;
        Number(Size: v) -> usize = *v;
        Shape(Shape: v) -> Vec<usize> = v.clone();
        Numbers(Shape: v) -> Vec<usize> = v.clone();
        Index(Int: v) -> i64 = *v;
        Int(Int: v) -> i64 = *v;
        Ints(Ints: v) -> &[i64] = v;
        Float(Float: v) -> f64 = *v;
        DType(DType: v) -> CandleType = *v;
        Bool(Bool: v) -> bool = *v;
        Device(Device: v) -> &CandleDevice = v;
    }
    /// The argument of a parameter of this kind.
    pub fn Pair(bound: &Bound) -> Result<(usize, usize)> {
        match bound {
            Bound::Shape(v) => match v[..] {
                [a, b] => Ok((a, b)),
                _ => bail!("an argument is no Pair"),
            },
            _ => bail!("an argument is no Pair"),
        }
    }
}
pub use kinds::*;

/// What the value of a row can be.
pub trait IntoTensors {
    /// The tensors, in order.
    fn into_tensors(self) -> Vec<T>;
}

impl IntoTensors for T {
    fn into_tensors(self) -> Vec<T> {
        vec![self]
    }
}

impl IntoTensors for Vec<T> {
    fn into_tensors(self) -> Vec<T> {
        self
    }
}

impl IntoTensors for (T, T) {
    fn into_tensors(self) -> Vec<T> {
        vec![self.0, self.1]
    }
}

impl IntoTensors for (T, T, T, T) {
    fn into_tensors(self) -> Vec<T> {
        vec![self.0, self.1, self.2, self.3]
    }
}

impl IntoTensors for (T, T, T) {
    fn into_tensors(self) -> Vec<T> {
        vec![self.0, self.1, self.2]
    }
}
