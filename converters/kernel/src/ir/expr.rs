//! Scalar expressions: pure functions of index variables, locals and memory.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::SymbolId;
use airconv_ir::op::ReduceKind;

use super::types::{Const, Scalar};

/// An expression of a kernel: an index into [`Kernel::exprs`](super::Kernel::exprs), in which
/// equal expressions stand once and operands stand before their users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExprId(pub u32);

/// A mutable local variable of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalId(pub u32);

/// An index variable: a size, a loop counter or an index that was computed. Index expressions
/// are hub [`Dim`]s over these.
pub type Var = SymbolId;

/// One operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnOp {
    /// Negation; integers wrap.
    Neg,
    /// Absolute value; integers wrap.
    Abs,
    /// -1, 0 or 1; NaN and zeros: NaN and +0.
    Sign,
    /// Toward minus infinity.
    Floor,
    /// Toward plus infinity.
    Ceil,
    /// To nearest, ties to even.
    Round,
    /// Square root.
    Sqrt,
    /// e to the power.
    Exp,
    /// Natural logarithm.
    Log,
    /// Sine of radians.
    Sin,
    /// Cosine of radians.
    Cos,
    /// Tangent of radians.
    Tan,
    /// Inverse sine.
    Asin,
    /// Inverse cosine.
    Acos,
    /// Inverse tangent.
    Atan,
    /// Hyperbolic sine.
    Sinh,
    /// Hyperbolic cosine.
    Cosh,
    /// Hyperbolic tangent.
    Tanh,
    /// Inverse hyperbolic sine.
    Asinh,
    /// Inverse hyperbolic cosine.
    Acosh,
    /// Inverse hyperbolic tangent.
    Atanh,
    /// The error function.
    Erf,
    /// Logical or bitwise complement.
    Not,
    /// Whether a float is NaN.
    IsNan,
}

impl UnOp {
    /// The function of C's `math.h`, in double precision, that computes it; `None` where a machine
    /// has instructions for it.
    pub fn function(self) -> Option<&'static str> {
        Some(match self {
            UnOp::Exp => "exp",
            UnOp::Log => "log",
            UnOp::Sin => "sin",
            UnOp::Cos => "cos",
            UnOp::Tan => "tan",
            UnOp::Asin => "asin",
            UnOp::Acos => "acos",
            UnOp::Atan => "atan",
            UnOp::Sinh => "sinh",
            UnOp::Cosh => "cosh",
            UnOp::Tanh => "tanh",
            UnOp::Asinh => "asinh",
            UnOp::Acosh => "acosh",
            UnOp::Atanh => "atanh",
            UnOp::Erf => "erf",
            _ => return None,
        })
    }
}

/// Two operands of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BinOp {
    /// Sum; integers wrap.
    Add,
    /// Difference; integers wrap.
    Sub,
    /// Product; integers wrap.
    Mul,
    /// Quotient, integers toward zero. MIN / -1 is MIN. The divisor of integers is not zero.
    Div,
    /// Integer quotient toward minus infinity. The divisor is not zero.
    FloorDiv,
    /// What `Div` leaves; for floats as C's `fmod`. The divisor of integers is not zero.
    Rem,
    /// What `FloorDiv` leaves; for floats of the sign of the divisor.
    FloorRem,
    /// Power. Of 64-bit integers it wraps, and the exponent counts as unsigned.
    Pow,
    /// The greater; NaN wins.
    Max,
    /// The lesser; NaN wins.
    Min,
    /// The greater; a number wins over NaN.
    MaxNum,
    /// The lesser; a number wins over NaN.
    MinNum,
    /// Logical or bitwise and.
    And,
    /// Logical or bitwise or.
    Or,
    /// Logical or bitwise exclusive or.
    Xor,
    /// Shift to the left; counts outside the width give 0.
    Shl,
    /// Shift to the right, arithmetic for signed; counts outside the width give the sign fill.
    Shr,
    /// Equality, a truth value.
    Eq,
    /// Less, a truth value; false with NaN.
    Lt,
    /// Less or equal, a truth value; false with NaN.
    Le,
}

impl BinOp {
    /// Whether the result is a truth value.
    pub fn compares(self) -> bool {
        matches!(self, BinOp::Eq | BinOp::Lt | BinOp::Le)
    }
}

/// A pure expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// A constant.
    Const(Const),
    /// The value of an index expression, an `I64`.
    Index(Dim),
    /// An element of a buffer parameter, counted in elements from its start.
    Load {
        /// The parameter.
        param: u32,
        /// The element.
        at: Dim,
    },
    /// The present value of a local variable.
    Local(LocalId),
    /// A unary operation.
    Unary(UnOp, ExprId),
    /// A binary operation.
    Binary(BinOp, ExprId, ExprId),
    /// The second where the first holds, else the third; both may be computed.
    Select(ExprId, ExprId, ExprId),
    /// The second where the first holds, else the third; the other one is not evaluated, so
    /// that its loads need not be within their buffers.
    Guard(ExprId, ExprId, ExprId),
    /// A value in another type. Float to integer: toward zero, saturating, NaN gives 0.
    /// Integer to integer: the low bits. To `Bool`: whether it differs from zero.
    Cast(Scalar, ExprId),
    /// The same bits in a type of the same width.
    Bitcast(Scalar, ExprId),
    /// A float or integer rounded to what a narrower hub dtype can hold, in the type that
    /// carries it. Integers keep their low bits, extended as the dtype has a sign or not.
    Narrow(Narrow, ExprId),
    /// A combination over index variables that each run from 0 to their extent. Sums and products
    /// of floats may be taken in any order.
    Reduce {
        /// How.
        kind: ReduceKind,
        /// The variables with their extents, outermost first.
        axes: Vec<(Var, Dim)>,
        /// What is combined.
        x: ExprId,
    },
    /// The second; when the first does not hold, the run fails with the code.
    Check {
        /// What has to hold.
        ok: ExprId,
        /// The value; harmless to compute in any case.
        x: ExprId,
        /// What went wrong: an index into [`Program::failures`](super::Program::failures).
        code: u32,
    },
}

impl Expr {
    /// The expression with other operands and other indices. An index that is known then is a
    /// constant.
    pub fn renamed(&self, m: &dyn Fn(ExprId) -> ExprId, f: &mut dyn FnMut(&Dim) -> Dim) -> Expr {
        match self {
            Expr::Const(_) | Expr::Local(_) => self.clone(),
            Expr::Index(d) => match f(d) {
                Dim::Known(k) => Expr::Const(Const::from_i128(Scalar::I64, k.into())),
                d => Expr::Index(d),
            },
            Expr::Load { param, at } => Expr::Load { param: *param, at: f(at) },
            Expr::Unary(op, x) => Expr::Unary(*op, m(*x)),
            Expr::Binary(op, x, y) => Expr::Binary(*op, m(*x), m(*y)),
            Expr::Select(c, x, y) => Expr::Select(m(*c), m(*x), m(*y)),
            Expr::Guard(c, x, y) => Expr::Guard(m(*c), m(*x), m(*y)),
            Expr::Cast(ty, x) => Expr::Cast(*ty, m(*x)),
            Expr::Bitcast(ty, x) => Expr::Bitcast(*ty, m(*x)),
            Expr::Narrow(n, x) => Expr::Narrow(*n, m(*x)),
            Expr::Reduce { kind, axes, x } => Expr::Reduce {
                kind: *kind,
                axes: axes.iter().map(|(v, d)| (*v, f(d))).collect(),
                x: m(*x),
            },
            Expr::Check { ok, x, code } => Expr::Check { ok: m(*ok), x: m(*x), code: *code },
        }
    }
}

/// A rounding to a dtype narrower than its carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Narrow {
    /// The dtype.
    pub to: DType,
    /// Whether floats beyond the range become the greatest number rather than infinity or NaN.
    pub saturate: bool,
    /// Rounding to `f8e8m0`.
    pub rounding: airconv_ir::op::CastRounding,
}
