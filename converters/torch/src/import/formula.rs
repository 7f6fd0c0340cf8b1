//! Elementwise formulas: written like arithmetic, made into hub nodes at the end.
//!
//! Many operators of PyTorch are a short expression of hub ops. A [`Formula`] is such an
//! expression; parts of it that are used more than once become one node each.

use std::ops::{Add, Div, Mul, Neg, Sub};
use std::rc::Rc;

use airconv_ir::builder::{BuildError, Builder};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{
    self, Abs, Ceil, Cos, Equal, Erf, Exp, Floor, IntRounding, IsNan, Less, LessOrEqual, Log,
    NanRule, Op, Pow, Round, Select, Sign, Sin, Sqrt, Tan, Tanh,
};
use rustc_hash::FxHashMap;

use super::call::{CallCx, Stop};

/// An elementwise expression.
#[derive(Clone, Debug)]
pub(super) struct Formula(Rc<Node>);

#[derive(Debug)]
enum Node {
    Value(ValueId),
    /// A number of the dtype in which the formula is computed.
    Number(f64),
    /// An op of operands that broadcast.
    Op(Box<Op>, Vec<Formula>),
}

/// A value as a formula.
pub(super) fn value(v: ValueId) -> Formula {
    Formula(Rc::new(Node::Value(v)))
}

/// A number as a formula.
pub(super) fn number(v: f64) -> Formula {
    Formula(Rc::new(Node::Number(v)))
}

/// `yes` where the condition holds, `no` elsewhere.
pub(super) fn when(
    condition: &Formula,
    yes: impl Into<Formula>,
    no: impl Into<Formula>,
) -> Formula {
    apply(Select {}, [condition.clone(), yes.into(), no.into()])
}

/// The polynomial with these coefficients, that of the highest power first.
pub(super) fn polynomial(x: &Formula, coefficients: &[f64]) -> Formula {
    let mut terms = coefficients.iter();
    let first = number(terms.next().copied().unwrap_or(0.0));
    terms.fold(first, |sum, &c| sum * x + c)
}

/// The Chebyshev series `c0/2 + c1 T1(x) + c2 T2(x) ...` for x in [-1, 1], by Clenshaw's
/// recurrence.
pub(super) fn chebyshev(x: &Formula, coefficients: &[f64]) -> Formula {
    let twice = x * 2.0;
    let (mut b1, mut b2) = (number(0.0), number(0.0));
    for &c in coefficients.iter().skip(1).rev() {
        let next = &twice * &b1 - &b2 + c;
        b2 = std::mem::replace(&mut b1, next);
    }
    x * b1 - b2 + coefficients.first().copied().unwrap_or(0.0) / 2.0
}

fn apply<const N: usize>(op: impl Into<Op>, operands: [Formula; N]) -> Formula {
    Formula(Rc::new(Node::Op(Box::new(op.into()), operands.into())))
}

macro_rules! unary {
    ($($(#[doc = $doc:literal])* $name:ident = $op:expr;)*) => {
        impl Formula {$(
            $(#[doc = $doc])*
            pub(super) fn $name(&self) -> Formula { apply($op, [self.clone()]) }
        )*}
    };
}

unary! {
    /// |x|
    abs = Abs {};
    /// Least integer not below.
    ceil = Ceil {};
    /// Cosine.
    cos = Cos {};
    /// Error function.
    erf = Erf {};
    /// e to the power.
    exp = Exp {};
    /// Greatest integer not above.
    floor = Floor {};
    /// Whether it is NaN.
    is_nan = IsNan {};
    /// Natural logarithm.
    log = Log {};
    /// Nearest integer, ties to even.
    round = Round {};
    /// -1, 0 or 1.
    sign = Sign {};
    /// Sine.
    sin = Sin {};
    /// Square root.
    sqrt = Sqrt {};
    /// Tangent.
    tan = Tan {};
    /// Hyperbolic tangent.
    tanh = Tanh {};
}

macro_rules! binary {
    ($($(#[doc = $doc:literal])* $name:ident = $op:expr;)*) => {
        impl Formula {$(
            $(#[doc = $doc])*
            pub(super) fn $name(&self, other: impl Into<Formula>) -> Formula {
                apply($op, [self.clone(), other.into()])
            }
        )*}
    };
}

binary! {
    /// Both hold.
    and = op::And {};
    /// One of them holds.
    or = op::Or {};
    /// Equal.
    eq = Equal {};
    /// Less.
    lt = Less {};
    /// Less or equal.
    le = LessOrEqual {};
    /// The greater one, NaN wins.
    max = op::Max { nan: NanRule::Propagate };
    /// The lesser one, NaN wins.
    min = op::Min { nan: NanRule::Propagate };
    /// Power.
    pow = Pow {};
}

impl Formula {
    /// Greater.
    pub(super) fn gt(&self, other: impl Into<Formula>) -> Formula {
        other.into().lt(self.clone())
    }
    /// Whether it is infinite.
    pub(super) fn is_infinite(&self) -> Formula {
        self.abs().eq(f64::INFINITY)
    }
    /// x * x
    pub(super) fn squared(&self) -> Formula {
        self * self
    }
    /// 1 / x
    pub(super) fn inverse(&self) -> Formula {
        number(1.0) / self
    }
    /// Without its fraction.
    pub(super) fn truncated(&self) -> Formula {
        when(&self.lt(0.0), self.ceil(), self.floor())
    }
    /// exp(x) - 1, exact near 0: tanh(x/2) (exp(x) + 1).
    pub(super) fn exp_m1(&self) -> Formula {
        let large = self.gt(30.0);
        when(&large, self.exp(), (self * 0.5).tanh() * (self.exp() + 1.0))
    }
    /// log(1 + x), exact near 0: the error of 1 + x is divided out (Kahan).
    pub(super) fn log_1p(&self) -> Formula {
        let sum = self + 1.0;
        let shift = &sum - 1.0;
        let plain = shift.eq(0.0).or(sum.is_infinite());
        let safe = when(&plain, 1.0, &shift);
        let near = sum.log() * (self / safe);
        when(&shift.eq(0.0), self, when(&sum.is_infinite(), &sum, near))
    }
}

impl From<f64> for Formula {
    fn from(v: f64) -> Self {
        number(v)
    }
}
impl From<&Formula> for Formula {
    fn from(f: &Formula) -> Self {
        f.clone()
    }
}

macro_rules! arithmetic {
    ($($trait:ident $method:ident $op:expr;)*) => {$(
        arithmetic! { @pair $trait $method $op, Formula, Formula }
        arithmetic! { @pair $trait $method $op, &Formula, Formula }
        arithmetic! { @pair $trait $method $op, Formula, &Formula }
        arithmetic! { @pair $trait $method $op, &Formula, &Formula }
        arithmetic! { @pair $trait $method $op, Formula, f64 }
        arithmetic! { @pair $trait $method $op, &Formula, f64 }
    )*};
    (@pair $trait:ident $method:ident $op:expr, $left:ty, $right:ty) => {
        impl $trait<$right> for $left {
            type Output = Formula;
            fn $method(self, other: $right) -> Formula {
                let left: Formula = self.into();
                apply($op, [left, other.into()])
            }
        }
    };
}

arithmetic! {
    Add add op::Add {};
    Sub sub op::Sub {};
    Mul mul op::Mul {};
    Div div op::Div { rounding: IntRounding::Trunc };
}

impl Neg for &Formula {
    type Output = Formula;
    fn neg(self) -> Formula {
        apply(op::Neg {}, [self.clone()])
    }
}
impl Neg for Formula {
    type Output = Formula;
    fn neg(self) -> Formula {
        -&self
    }
}

/// What was made of the parts of a formula.
struct Made<'b, 'm> {
    b: &'b mut Builder<'m>,
    dtype: DType,
    nodes: FxHashMap<*const Node, ValueId>,
    numbers: FxHashMap<u64, ValueId>,
}

impl Made<'_, '_> {
    fn make(&mut self, formula: &Formula) -> Result<ValueId, BuildError> {
        match &*formula.0 {
            Node::Value(v) => Ok(*v),
            Node::Number(n) => {
                if let Some(&v) = self.numbers.get(&n.to_bits()) {
                    return Ok(v);
                }
                let v = self.b.scalar(self.dtype, *n)?;
                self.numbers.insert(n.to_bits(), v);
                Ok(v)
            }
            Node::Op(op, operands) => {
                let key = Rc::as_ptr(&formula.0);
                if let Some(&v) = self.nodes.get(&key) {
                    return Ok(v);
                }
                let values: Result<Vec<_>, _> = operands.iter().map(|o| self.make(o)).collect();
                let v = self.b.broadcasting((**op).clone(), &values?)?;
                self.nodes.insert(key, v);
                Ok(v)
            }
        }
    }
}

impl CallCx<'_> {
    /// Makes the nodes of a formula; its numbers have this dtype.
    pub(super) fn formula(&mut self, formula: &Formula, dtype: DType) -> Result<ValueId, Stop> {
        let mut b = self.b();
        let (nodes, numbers) = (FxHashMap::default(), FxHashMap::default());
        Ok(Made { b: &mut b, dtype, nodes, numbers }.make(formula)?)
    }
    /// Applies a formula to tensors in a wider dtype and rounds the result to that of the first.
    pub(super) fn computed_in(
        &mut self,
        work: DType,
        operands: &[ValueId],
        f: impl FnOnce(&[Formula]) -> Formula,
    ) -> Result<ValueId, Stop> {
        let dtype = match operands {
            [first, ..] => self.dtype(*first)?,
            [] => work,
        };
        let mut wide = Vec::with_capacity(operands.len());
        for &v in operands {
            wide.push(value(self.cast(v, work)?));
        }
        let y = self.formula(&f(&wide), work)?;
        self.cast(y, dtype)
    }
    /// The same in f32, or in f64 for f64: what PyTorch does for narrow floats.
    pub(super) fn computed(
        &mut self,
        operands: &[ValueId],
        f: impl FnOnce(&[Formula]) -> Formula,
    ) -> Result<ValueId, Stop> {
        let work = match operands {
            [first, ..] => work_dtype(self.dtype(*first)?),
            [] => DType::F32,
        };
        self.computed_in(work, operands, f)
    }
}

/// The dtype in which a float function is computed: that of `f32` for what is narrower.
pub(super) fn work_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F64 | DType::C64 | DType::C128 => dtype,
        _ => DType::F32,
    }
}
