//! Short forms for the ops that decompositions and converters use most. Elementwise forms
//! broadcast their operands by NumPy's rules.

use smallvec::SmallVec;

use super::{BuildError, Builder};
use crate::dim::{Dim, Shape, broadcast_shapes};
use crate::dtype::DType;
use crate::entity::ValueId;
use crate::infer::InferError;
use crate::op::*;

type R = Result<ValueId, BuildError>;

macro_rules! unary {
    ($($(#[doc = $doc:literal])* $name:ident = $Op:ident;)*) => {
        impl Builder<'_> {$(
            $(#[doc = $doc])*
            pub fn $name(&mut self, x: ValueId) -> R {
                self.emit($Op {}, &[x])
            }
        )*}
    };
}

macro_rules! binary {
    ($($(#[doc = $doc:literal])* $name:ident = $op:expr;)*) => {
        impl Builder<'_> {$(
            $(#[doc = $doc])*
            pub fn $name(&mut self, a: ValueId, b: ValueId) -> R {
                self.broadcasting($op, &[a, b])
            }
        )*}
    };
}

unary! {
    /// -x
    neg = Neg;
    /// |x|
    abs = Abs;
    /// sign
    sign = Sign;
    /// floor
    floor = Floor;
    /// ceil
    ceil = Ceil;
    /// round half to even
    round = Round;
    /// square root
    sqrt = Sqrt;
    /// exponential
    exp = Exp;
    /// natural logarithm
    log = Log;
    /// sine
    sin = Sin;
    /// cosine
    cos = Cos;
    /// tanh
    tanh = Tanh;
    /// error function
    erf = Erf;
    /// logical not
    not = Not;
    /// is NaN
    is_nan = IsNan;
}

binary! {
    /// a + b
    add = Add {};
    /// a - b
    sub = Sub {};
    /// a * b
    mul = Mul {};
    /// a / b, integers toward zero
    div = Div { rounding: IntRounding::Trunc };
    /// remainder with floor, as Python's %
    rem_floor = Rem { rounding: IntRounding::Floor };
    /// a to the power b of the same dtype
    pow = Pow {};
    /// maximum, NaN wins
    max = Max { nan: NanRule::Propagate };
    /// minimum, NaN wins
    min = Min { nan: NanRule::Propagate };
    /// a == b
    equal = Equal {};
    /// a < b
    less = Less {};
    /// a <= b
    less_or_equal = LessOrEqual {};
    /// logical and
    and = And {};
    /// logical or
    or = Or {};
}

impl Builder<'_> {
    /// Emits an elementwise op on operands broadcast to their common shape.
    pub fn broadcasting(&mut self, op: impl Into<Op>, operands: &[ValueId]) -> R {
        let mut shape = Shape::new();
        for &v in operands {
            let ty = self.tensor_ty(v)?;
            shape = broadcast_shapes(&shape, &ty.shape).map_err(|e| InferError::Invalid {
                label: "broadcast".to_owned(),
                message: e.to_string(),
            })?;
        }
        let mut wide = SmallVec::<[ValueId; 4]>::new();
        for &v in operands {
            wide.push(self.broadcast_to(v, &shape)?);
        }
        self.emit(op, &wide)
    }
    /// Broadcasts to a shape, in a way that a target with broadcasting ops may leave out; the
    /// value itself when it has it already.
    pub fn broadcast_to(&mut self, x: ValueId, dims: &[Dim]) -> R {
        if self.tensor_ty(x)?.shape.as_slice() == dims {
            return Ok(x);
        }
        self.emit(Broadcast { dims: dims.to_vec(), implicit: true }, &[x])
    }
    /// Broadcasts to the shape of another value.
    pub fn broadcast_like(&mut self, x: ValueId, like: ValueId) -> R {
        let shape = self.tensor_ty(like)?.shape;
        self.broadcast_to(x, &shape)
    }
    /// where(condition, x, y)
    pub fn select(&mut self, condition: ValueId, x: ValueId, y: ValueId) -> R {
        self.broadcasting(Select {}, &[condition, x, y])
    }
    /// Cast; the value itself when it has the dtype already.
    pub fn cast(&mut self, x: ValueId, to: DType) -> R {
        if self.ty(x).dtype() == Some(to) {
            return Ok(x);
        }
        self.emit(Cast { to, saturate: true, rounding: CastRounding::Up }, &[x])
    }
    /// Reshape; the value itself when it has the shape already.
    pub fn reshape(&mut self, x: ValueId, dims: &[Dim]) -> R {
        if self.tensor_ty(x)?.shape.as_slice() == dims {
            return Ok(x);
        }
        self.emit(Reshape { dims: dims.to_vec() }, &[x])
    }
    /// Permutes axes.
    pub fn transpose(&mut self, x: ValueId, perm: &[i64]) -> R {
        if perm.iter().enumerate().all(|(i, &p)| i as i64 == p) {
            return Ok(x);
        }
        self.emit(Transpose { perm: perm.to_vec() }, &[x])
    }
    /// Inserts axes of size 1 at these positions of the result, ascending.
    pub fn unsqueeze(&mut self, x: ValueId, axes: &[usize]) -> R {
        let mut dims = self.tensor_ty(x)?.shape;
        for &a in axes {
            dims.insert(a.min(dims.len()), Dim::Known(1));
        }
        self.reshape(x, &dims)
    }
    /// Removes axes, which have size 1.
    pub fn squeeze(&mut self, x: ValueId, axes: &[usize]) -> R {
        let shape = self.tensor_ty(x)?.shape;
        let dims: Shape = shape
            .into_iter()
            .enumerate()
            .filter(|(i, _)| !axes.contains(i))
            .map(|(_, d)| d)
            .collect();
        self.reshape(x, &dims)
    }
    /// Reduction along axes.
    pub fn reduce(&mut self, kind: ReduceKind, x: ValueId, axes: &[usize], keepdims: bool) -> R {
        let axes = axes.iter().map(|&a| a as i64).collect();
        self.emit(Reduce { kind, axes, keepdims }, &[x])
    }
    /// Mean along axes, from sum and count in the dtype of x.
    pub fn mean(&mut self, x: ValueId, axes: &[usize], keepdims: bool) -> R {
        let ty = self.tensor_ty(x)?;
        let sum = self.reduce(ReduceKind::Sum, x, axes, keepdims)?;
        let count = axes.iter().filter_map(|&a| ty.shape.get(a)).fold(Dim::Known(1), |n, d| &n * d);
        let count = self.dim_scalar(&count)?;
        let count = self.cast(count, ty.dtype)?;
        self.div(sum, count)
    }
    /// The part [start, end) of one axis.
    pub fn slice_axis(&mut self, x: ValueId, axis: usize, start: Dim, end: Dim) -> R {
        let op =
            Slice { axes: vec![axis as i64], starts: vec![start], ends: vec![end], steps: vec![1] };
        self.emit(op, &[x])
    }
    /// One index of an axis, which is dropped.
    pub fn index_axis(&mut self, x: ValueId, axis: usize, index: i64) -> R {
        let part = self.slice_axis(x, axis, Dim::Known(index), Dim::Known(index + 1))?;
        self.squeeze(part, &[axis])
    }
    /// Concatenation.
    pub fn concat(&mut self, parts: &[ValueId], axis: usize) -> R {
        if let [one] = parts {
            return Ok(*one);
        }
        self.emit(Concat { axis: axis as i64 }, parts)
    }
    /// 0, 1, 2 ... n - 1.
    pub fn iota(&mut self, dtype: DType, n: Dim) -> R {
        self.emit(Iota { dtype, dims: vec![n], axis: 0 }, &[])
    }
    /// A constant of x's dtype, broadcast to x's shape.
    pub fn full_like(&mut self, x: ValueId, value: f64) -> R {
        let ty = self.tensor_ty(x)?;
        let c = self.scalar(ty.dtype, value)?;
        self.broadcast_to(c, &ty.shape)
    }
    /// A scalar of x's dtype.
    pub fn scalar_like(&mut self, x: ValueId, value: f64) -> R {
        let dtype = self.tensor_ty(x)?.dtype;
        self.scalar(dtype, value)
    }
    /// x + c for a constant c.
    pub fn add_const(&mut self, x: ValueId, c: f64) -> R {
        let c = self.scalar_like(x, c)?;
        self.add(x, c)
    }
    /// x * c for a constant c.
    pub fn mul_const(&mut self, x: ValueId, c: f64) -> R {
        let c = self.scalar_like(x, c)?;
        self.mul(x, c)
    }
    /// NumPy matmul.
    pub fn matmul(&mut self, a: ValueId, b: ValueId) -> R {
        self.emit(Matmul {}, &[a, b])
    }
}
