//! What the rows of the table of calls are handed: one function per kind of parameter, named
//! after it.

use airconv_torch::common::schema::Param;
use airconv_torch::export::program::Arg;
use tch::{Kind as TchKind, Scalar as TchScalar, Tensor as T};

use crate::error::{Result, fail};

/// An argument at run time.
#[derive(Debug)]
pub enum Bound {
    /// What the schema says.
    Default,
    /// Nothing.
    None,
    /// A tensor.
    Tensor(T),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A string.
    Str(String),
    /// A dtype.
    Kind(TchKind),
    /// A list.
    List(Vec<Bound>),
}

impl Bound {
    /// Whether it says no more than the schema of the parameter.
    pub fn is_default(&self, param: &Param) -> bool {
        match (self, Arg::default_of(param)) {
            (Self::Default, _) => true,
            (Self::None, Some(Arg::None)) => true,
            (Self::Int(a), Some(Arg::Int(b))) => *a == b,
            (Self::Float(a), Some(Arg::Float(b))) => *a == b,
            (Self::Bool(a), Some(Arg::Bool(b))) => *a == b,
            _ => false,
        }
    }
    /// What it is, for messages.
    fn what(&self) -> &'static str {
        match self {
            Self::Default => "a default",
            Self::None => "nothing",
            Self::Tensor(_) => "a tensor",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a truth value",
            Self::Str(_) => "a string",
            Self::Kind(_) => "a dtype",
            Self::List(_) => "a list",
        }
    }
    /// Itself unless it is nothing.
    fn some(&self) -> Option<&Self> {
        match self {
            Self::None => None,
            other => Some(other),
        }
    }
    fn items(&self) -> Result<&[Self]> {
        match self {
            Self::List(items) => Ok(items),
            other => other.wrong("a list"),
        }
    }
    fn wrong<R>(&self, wanted: &str) -> Result<R> {
        fail(format!("{} where {wanted} should be", self.what()))
    }
}

/// The kinds of parameters.
#[allow(non_snake_case)]
mod kinds {
    use super::*;

    pub fn Tensor(b: &Bound) -> Result<&T> {
        match b {
            Bound::Tensor(t) => Ok(t),
            other => other.wrong("a tensor"),
        }
    }
    pub fn Maybe(b: &Bound) -> Result<Option<&T>> {
        b.some().map(Tensor).transpose()
    }
    pub fn Tensors(b: &Bound) -> Result<Vec<&T>> {
        b.items()?.iter().map(Tensor).collect()
    }
    pub fn Maybes(b: &Bound) -> Result<Vec<Option<&T>>> {
        b.items()?.iter().map(Maybe).collect()
    }
    pub fn Int(b: &Bound) -> Result<i64> {
        match b {
            Bound::Int(n) => Ok(*n),
            Bound::Bool(b) => Ok((*b).into()),
            other => other.wrong("an integer"),
        }
    }
    pub fn MaybeInt(b: &Bound) -> Result<Option<i64>> {
        b.some().map(Int).transpose()
    }
    pub fn Ints(b: &Bound) -> Result<Vec<i64>> {
        match b {
            Bound::List(items) => items.iter().map(Int).collect(),
            one => Ok(vec![Int(one)?]),
        }
    }
    pub fn MaybeInts(b: &Bound) -> Result<Option<Vec<i64>>> {
        b.some().map(Ints).transpose()
    }
    pub fn Float(b: &Bound) -> Result<f64> {
        match b {
            Bound::Float(v) => Ok(*v),
            Bound::Int(n) => Ok(*n as f64),
            Bound::Bool(b) => Ok(f64::from(u8::from(*b))),
            other => other.wrong("a number"),
        }
    }
    pub fn MaybeFloat(b: &Bound) -> Result<Option<f64>> {
        b.some().map(Float).transpose()
    }
    pub fn Bool(b: &Bound) -> Result<bool> {
        match b {
            Bound::Bool(b) => Ok(*b),
            other => other.wrong("a truth value"),
        }
    }
    pub fn Scalar(b: &Bound) -> Result<TchScalar> {
        match b {
            Bound::Float(v) => Ok(TchScalar::float(*v)),
            other => Ok(TchScalar::int(Int(other)?)),
        }
    }
    pub fn MaybeScalar(b: &Bound) -> Result<Option<TchScalar>> {
        b.some().map(Scalar).transpose()
    }
    pub fn Str(b: &Bound) -> Result<&str> {
        match b {
            Bound::Str(text) => Ok(text),
            other => other.wrong("a string"),
        }
    }
    /// How a Fourier transform is scaled; nothing is the usual way.
    pub fn Norm(b: &Bound) -> Result<&str> {
        b.some().map_or(Ok("backward"), Str)
    }
    pub fn Kind(b: &Bound) -> Result<TchKind> {
        match b {
            Bound::Kind(kind) => Ok(*kind),
            other => other.wrong("a dtype"),
        }
    }
    pub fn MaybeKind(b: &Bound) -> Result<Option<TchKind>> {
        b.some().map(Kind).transpose()
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

impl IntoTensors for (T, T) {
    fn into_tensors(self) -> Vec<T> {
        vec![self.0, self.1]
    }
}

impl IntoTensors for (T, T, T) {
    fn into_tensors(self) -> Vec<T> {
        vec![self.0, self.1, self.2]
    }
}

impl IntoTensors for Vec<T> {
    fn into_tensors(self) -> Vec<T> {
        self
    }
}

/// The default of a parameter.
pub fn default_of(param: &Param) -> Result<Bound> {
    match Arg::default_of(param) {
        Some(arg) => literal(&arg),
        None => fail(format!("`{}` has no default", param.name)),
    }
}

fn literal(arg: &Arg) -> Result<Bound> {
    Ok(match arg {
        Arg::None => Bound::None,
        Arg::Int(n) => Bound::Int(*n),
        Arg::Float(v) => Bound::Float(*v),
        Arg::Bool(b) => Bound::Bool(*b),
        Arg::Str(text) => Bound::Str(text.clone()),
        Arg::List(items) => Bound::List(items.iter().map(literal).collect::<Result<_>>()?),
        _ => return fail("a default that is no literal"),
    })
}
