//! Types of values.

use crate::dim::{Dim, Shape};
use crate::dtype::DType;

/// The type of a tensor: element type and one size per axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// The element type.
    pub dtype: DType,
    /// The size of each axis, outermost first.
    pub shape: Shape,
}

impl TensorType {
    /// A tensor type of these sizes.
    pub fn new(dtype: DType, shape: impl IntoIterator<Item = Dim>) -> Self {
        Self { dtype, shape: shape.into_iter().collect() }
    }
    /// The type of a rank-0 tensor.
    pub fn scalar(dtype: DType) -> Self {
        Self { dtype, shape: Shape::new() }
    }
    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }
    /// All sizes as numbers, when every one is known.
    pub fn known_shape(&self) -> Option<Vec<usize>> {
        self.shape.iter().map(|d| d.as_known().and_then(|v| usize::try_from(v).ok())).collect()
    }
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A ranked tensor.
    Tensor(TensorType),
    /// A tensor of known element type and unknown rank. Legal at stage `Imported` and
    /// inside containers.
    Unranked(DType),
    /// A list of values of one type.
    Sequence(Box<Type>),
    /// A value that may be absent.
    Optional(Box<Type>),
    /// A map from keys of an integer or string dtype.
    Map(DType, Box<Type>),
    /// Nothing is known. Legal at stage `Imported` only.
    Unknown,
}

impl Type {
    /// A ranked tensor type.
    pub fn tensor(dtype: DType, shape: impl IntoIterator<Item = Dim>) -> Self {
        Self::Tensor(TensorType::new(dtype, shape))
    }
    /// The tensor type, if this is a ranked tensor.
    pub fn as_tensor(&self) -> Option<&TensorType> {
        match self {
            Self::Tensor(t) => Some(t),
            Self::Unranked(_)
            | Self::Sequence(_)
            | Self::Optional(_)
            | Self::Map(..)
            | Self::Unknown => None,
        }
    }
    /// The element type of a ranked or unranked tensor.
    pub fn dtype(&self) -> Option<DType> {
        match self {
            Self::Tensor(t) => Some(t.dtype),
            Self::Unranked(dtype) => Some(*dtype),
            Self::Sequence(_) | Self::Optional(_) | Self::Map(..) | Self::Unknown => None,
        }
    }
    /// Whether the type is complete enough for stage `Canonical`: ranked at the top level,
    /// nothing unknown.
    pub fn is_canonical(&self) -> bool {
        fn inner(ty: &Type) -> bool {
            match ty {
                Type::Tensor(_) | Type::Unranked(_) => true,
                Type::Sequence(t) | Type::Optional(t) | Type::Map(_, t) => inner(t),
                Type::Unknown => false,
            }
        }
        match self {
            Self::Tensor(t) => t.shape.iter().all(|d| *d != Dim::Any),
            Self::Unranked(_) | Self::Unknown => false,
            Self::Sequence(_) | Self::Optional(_) | Self::Map(..) => inner(self),
        }
    }
    /// Rewrites every size in the type.
    pub fn map_dims(&self, f: &mut dyn FnMut(&Dim) -> Dim) -> Self {
        match self {
            Self::Tensor(t) => Self::tensor(t.dtype, t.shape.iter().map(f)),
            Self::Sequence(t) => Self::Sequence(Box::new(t.map_dims(f))),
            Self::Optional(t) => Self::Optional(Box::new(t.map_dims(f))),
            Self::Map(k, t) => Self::Map(*k, Box::new(t.map_dims(f))),
            Self::Unranked(_) | Self::Unknown => self.clone(),
        }
    }
    /// Visits every size in the type.
    pub fn for_each_dim(&self, f: &mut dyn FnMut(&Dim)) {
        match self {
            Self::Tensor(t) => t.shape.iter().for_each(f),
            Self::Sequence(t) | Self::Optional(t) | Self::Map(_, t) => t.for_each_dim(f),
            Self::Unranked(_) | Self::Unknown => {}
        }
    }
    /// Whether `self` says at least as much as `general` and nothing against it:
    /// `f32[2,N]` refines `f32[?,N]`, which refines an unranked f32 tensor.
    pub fn refines(&self, general: &Type) -> bool {
        match (self, general) {
            (_, Self::Unknown) => true,
            (Self::Tensor(a), Self::Tensor(b)) => {
                a.dtype == b.dtype
                    && a.shape.len() == b.shape.len()
                    && a.shape.iter().zip(&b.shape).all(|(x, y)| *y == Dim::Any || x == y)
            }
            (Self::Tensor(a), Self::Unranked(d)) => a.dtype == *d,
            (Self::Unranked(a), Self::Unranked(b)) => a == b,
            (Self::Sequence(a), Self::Sequence(b)) | (Self::Optional(a), Self::Optional(b)) => {
                a.refines(b)
            }
            (Self::Map(k, a), Self::Map(l, b)) => k == l && a.refines(b),
            _ => false,
        }
    }
}

impl From<TensorType> for Type {
    fn from(ty: TensorType) -> Self {
        Self::Tensor(ty)
    }
}
