//! Elementwise arithmetic: numbers, truth values and complex numbers, and conversions between
//! dtypes.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::module::Node;
use airconv_ir::op::{CastRounding, IntRounding, NanRule, Op};

use super::Stop;
use super::compute::needed;
use super::pull::{Pull, Val, scalar_of};
use crate::ir::{BinOp, Const, Expr, ExprId, Narrow, Scalar, UnOp};

impl Pull<'_, '_> {
    /// The result of an elementwise op at coordinates.
    pub(super) fn elementwise(
        &mut self,
        node: &Node,
        op: &Op,
        dtype: DType,
        at: &[Dim],
    ) -> Result<Val, Stop> {
        let a = self.element(needed(node.operand(0))?, at)?;
        let from = self.l.tensor(needed(node.operand(0))?)?.dtype;
        let Some(second) = node.operand(1) else {
            if let Val::Complex(re, im) = a {
                return self.complex_unary(op, re, im);
            }
            let x = a.real()?;
            let un = unary(op).ok_or_else(|| Stop::no_form(op))?;
            let y = self.b.unary(un, x);
            return Ok(Val::Real(if un == UnOp::IsNan { y } else { self.rounded(dtype, y) }));
        };
        let b = self.element(second, at)?;
        if let (Val::Complex(..), _) | (_, Val::Complex(..)) = (a, b) {
            let (a, b) = (self.parts(a), self.parts(b));
            return self.complex_binary(op, a, b);
        }
        let (a, b) = (a.real()?, b.real()?);
        let ty = self.b.ty(a);
        if let Op::Pow(_) = op {
            return self.pow(dtype, a, b);
        }
        let bin = binary(op, ty).ok_or_else(|| Stop::no_form(op))?;
        let b = match op {
            Op::Div(_) | Op::Rem(_) if ty.is_int() => self.divisor(b, op.name()),
            // A shift by the width of a narrow integer or more leaves nothing.
            _ => b,
        };
        let y = self.b.binary(bin, a, b);
        if bin.compares() {
            return Ok(Val::Real(y));
        }
        if let (Op::ShiftLeft(_) | Op::ShiftRight(_), Some(_)) = (op, from.int_range())
            && from.bits() < 8
        {
            return Err(Stop::no_form(op));
        }
        Ok(Val::Real(self.rounded(dtype, y)))
    }

    /// A divisor that is not zero: a run in which it is fails.
    fn divisor(&mut self, b: ExprId, op: &str) -> ExprId {
        if let Expr::Const(c) = self.b.kernel.expr(b)
            && c.bits != 0
        {
            return b;
        }
        let ty = self.b.ty(b);
        let (zero, one) = (Const::from_i128(ty, 0), Const::from_i128(ty, 1));
        let (zero, one) = (self.b.constant(zero), self.b.constant(one));
        let bad = self.b.binary(BinOp::Eq, b, zero);
        let safe = self.b.add(Expr::Select(bad, one, b));
        let ok = self.not(bad);
        let code = self.l.failure(&format!("`{op}` of integers by zero"));
        self.b.add(Expr::Check { ok, x: safe, code })
    }

    fn pow(&mut self, dtype: DType, a: ExprId, b: ExprId) -> Result<Val, Stop> {
        let (ta, tb) = (self.b.ty(a), self.b.ty(b));
        if ta.is_float() {
            let wide = if ta == Scalar::F64 || tb.bits() > 32 { Scalar::F64 } else { Scalar::F32 };
            let (x, y) = (self.b.cast(wide, a), self.b.cast(wide, b));
            // A square is one product, rounded alike.
            let two = matches!(self.b.kernel.expr(y), Expr::Const(c) if c.as_f64() == 2.0);
            let y =
                if two { self.b.binary(BinOp::Mul, x, x) } else { self.b.binary(BinOp::Pow, x, y) };
            let y = self.b.cast(ta, y);
            return Ok(Val::Real(self.rounded(dtype, y)));
        }
        if tb.is_float() {
            let (x, y) = (self.b.cast(Scalar::F64, a), self.b.cast(Scalar::F64, b));
            let y = self.b.binary(BinOp::Pow, x, y);
            return self.converted(DType::F64, dtype, Val::Real(y), true, CastRounding::Nearest);
        }
        Ok(Val::Real(self.int_pow(a, b)))
    }

    /// An integer power.
    fn int_pow(&mut self, a: ExprId, b: ExprId) -> ExprId {
        let (ta, tb) = (self.b.ty(a), self.b.ty(b));
        let one = self.b.constant(Const::from_i128(ta, 1));
        if let Expr::Const(c) = self.b.kernel.expr(b)
            && let Some(e @ 0..=64) = c.as_int()
        {
            let (mut out, mut base, mut e) = (one, a, e);
            while e > 0 {
                if e & 1 == 1 {
                    out = if out == one { base } else { self.b.binary(BinOp::Mul, out, base) };
                }
                e >>= 1;
                if e > 0 {
                    base = self.b.binary(BinOp::Mul, base, base);
                }
            }
            return out;
        }
        let wide = if tb.is_signed() { Scalar::I64 } else { Scalar::U64 };
        let zero_e = self.b.constant(Const::from_i128(tb, 0));
        let one_e = self.b.constant(Const::from_i128(tb, 1));
        let (base, exponent) = (self.b.cast(wide, a), self.b.cast(wide, b));
        let out = self.b.binary(BinOp::Pow, base, exponent);
        let out = self.b.cast(ta, out);
        if !tb.is_signed() {
            return out;
        }
        // To a negative power: 1 stays, -1 alternates, others vanish, and zero fails.
        let negative = self.b.binary(BinOp::Lt, b, zero_e);
        let zero = self.b.constant(Const::from_i128(ta, 0));
        let is_zero = self.b.binary(BinOp::Eq, a, zero);
        let is_one = self.b.binary(BinOp::Eq, a, one);
        let mut unit = self.b.add(Expr::Select(is_one, one, zero));
        if ta.is_signed() {
            let minus = self.b.constant(Const::from_i128(ta, -1));
            let is_minus = self.b.binary(BinOp::Eq, a, minus);
            let odd = self.b.binary(BinOp::And, b, one_e);
            let odd = self.b.binary(BinOp::Eq, odd, one_e);
            let sign = self.b.add(Expr::Select(odd, minus, one));
            unit = self.b.add(Expr::Select(is_minus, sign, unit));
        }
        let value = self.b.add(Expr::Select(negative, unit, out));
        let bad = self.b.binary(BinOp::And, negative, is_zero);
        let ok = self.not(bad);
        let code = self.l.failure("`pow` of integer zero to a negative power");
        self.b.add(Expr::Check { ok, x: value, code })
    }

    fn complex_unary(&mut self, op: &Op, re: ExprId, im: ExprId) -> Result<Val, Stop> {
        match op {
            Op::Neg(_) => {
                Ok(Val::Complex(self.b.unary(UnOp::Neg, re), self.b.unary(UnOp::Neg, im)))
            }
            Op::Abs(_) => {
                let a = self.b.binary(BinOp::Mul, re, re);
                let b = self.b.binary(BinOp::Mul, im, im);
                let sum = self.b.binary(BinOp::Add, a, b);
                Ok(Val::Real(self.b.unary(UnOp::Sqrt, sum)))
            }
            Op::IsNan(_) => {
                let (a, b) = (self.b.unary(UnOp::IsNan, re), self.b.unary(UnOp::IsNan, im));
                Ok(Val::Real(self.b.binary(BinOp::Or, a, b)))
            }
            op => Err(Stop::no_form(op)),
        }
    }

    fn complex_binary(
        &mut self,
        op: &Op,
        (ar, ai): (ExprId, ExprId),
        (br, bi): (ExprId, ExprId),
    ) -> Result<Val, Stop> {
        let mut both =
            |bin| Ok(Val::Complex(self.b.binary(bin, ar, br), self.b.binary(bin, ai, bi)));
        match op {
            Op::Add(_) => both(BinOp::Add),
            Op::Sub(_) => both(BinOp::Sub),
            Op::Mul(_) => {
                let (re, im) = self.complex_product((ar, ai), (br, bi));
                Ok(Val::Complex(re, im))
            }
            Op::Equal(_) => {
                let (x, y) = (self.b.binary(BinOp::Eq, ar, br), self.b.binary(BinOp::Eq, ai, bi));
                Ok(Val::Real(self.b.binary(BinOp::And, x, y)))
            }
            op => Err(Stop::no_form(op)),
        }
    }

    /// A product of complex numbers.
    pub fn complex_product(
        &mut self,
        (ar, ai): (ExprId, ExprId),
        (br, bi): (ExprId, ExprId),
    ) -> (ExprId, ExprId) {
        let rr = self.b.binary(BinOp::Mul, ar, br);
        let ii = self.b.binary(BinOp::Mul, ai, bi);
        let ri = self.b.binary(BinOp::Mul, ar, bi);
        let ir = self.b.binary(BinOp::Mul, ai, br);
        (self.b.binary(BinOp::Sub, rr, ii), self.b.binary(BinOp::Add, ri, ir))
    }

    /// A value converted from one dtype to another, as the hub's `cast` does.
    pub fn converted(
        &mut self,
        from: DType,
        to: DType,
        val: Val,
        saturate: bool,
        rounding: CastRounding,
    ) -> Result<Val, Stop> {
        if from == to {
            return Ok(val);
        }
        if to.is_complex() {
            let part = scalar_of(to)?;
            let (re, im) = self.parts(val);
            return Ok(Val::Complex(self.b.cast(part, re), self.b.cast(part, im)));
        }
        if to == DType::Bool {
            let (re, im) = self.parts(val);
            let re_set = self.b.cast(Scalar::Bool, re);
            return Ok(Val::Real(match val {
                Val::Real(_) => re_set,
                Val::Complex(..) => {
                    let im_set = self.b.cast(Scalar::Bool, im);
                    self.b.binary(BinOp::Or, re_set, im_set)
                }
            }));
        }
        let x = self.parts(val).0;
        let (source, target) = (self.b.ty(x), scalar_of(to)?);
        if source.is_float() && target.is_int() && target.bits() < 32 {
            // By way of i32, and zero where that does not hold the value.
            let wide = self.b.cast(Scalar::I64, x);
            let back = self.b.cast(Scalar::I32, wide);
            let again = self.b.cast(Scalar::I64, back);
            let fits = self.b.binary(BinOp::Eq, wide, again);
            let narrow = self.b.cast(target, back);
            let zero = self.b.constant(Const::from_i128(target, 0));
            let y = self.b.add(Expr::Select(fits, narrow, zero));
            return Ok(Val::Real(self.rounded(to, y)));
        }
        let narrow = Narrow { to, saturate, rounding };
        let is_narrow_float = to.is_float() && !matches!(to, DType::F32 | DType::F64);
        if is_narrow_float && source != Scalar::F32 {
            // Rounded once: in the wide type, which then holds a value that F32 has too.
            let wide = self.b.cast(Scalar::F64, x);
            let y = self.narrowed(narrow, wide);
            return Ok(Val::Real(self.b.cast(Scalar::F32, y)));
        }
        let y = self.b.cast(target, x);
        Ok(Val::Real(if is_narrow_float { self.narrowed(narrow, y) } else { self.rounded(to, y) }))
    }

    pub(super) fn bitcast(&mut self, x: ValueId, to: DType, at: &[Dim]) -> Result<Val, Stop> {
        let from = self.l.tensor(x)?.dtype;
        let plain = |d: DType| {
            matches!(
                d,
                DType::I8
                    | DType::I16
                    | DType::I32
                    | DType::I64
                    | DType::U8
                    | DType::U16
                    | DType::U32
                    | DType::U64
                    | DType::F32
                    | DType::F64
            )
        };
        // A truth value is a byte, 0 or 1.
        if from == DType::Bool && matches!(to, DType::I8 | DType::U8) {
            let value = self.real(x, at)?;
            return Ok(Val::Real(self.b.cast(scalar_of(to)?, value)));
        }
        if !plain(from) || !plain(to) || from.bits() != to.bits() {
            return Err(Stop::Unsupported(format!("`bitcast` from {from} to {to}")));
        }
        let value = self.real(x, at)?;
        let target = scalar_of(to)?;
        if self.b.ty(value) == target {
            return Ok(Val::Real(value));
        }
        Ok(Val::Real(self.b.add(Expr::Bitcast(target, value))))
    }
}

/// The operation of a unary op.
fn unary(op: &Op) -> Option<UnOp> {
    Some(match op {
        Op::Neg(_) => UnOp::Neg,
        Op::Abs(_) => UnOp::Abs,
        Op::Sign(_) => UnOp::Sign,
        Op::Floor(_) => UnOp::Floor,
        Op::Ceil(_) => UnOp::Ceil,
        Op::Round(_) => UnOp::Round,
        Op::Sqrt(_) => UnOp::Sqrt,
        Op::Exp(_) => UnOp::Exp,
        Op::Log(_) => UnOp::Log,
        Op::Sin(_) => UnOp::Sin,
        Op::Cos(_) => UnOp::Cos,
        Op::Tan(_) => UnOp::Tan,
        Op::Asin(_) => UnOp::Asin,
        Op::Acos(_) => UnOp::Acos,
        Op::Atan(_) => UnOp::Atan,
        Op::Sinh(_) => UnOp::Sinh,
        Op::Cosh(_) => UnOp::Cosh,
        Op::Tanh(_) => UnOp::Tanh,
        Op::Asinh(_) => UnOp::Asinh,
        Op::Acosh(_) => UnOp::Acosh,
        Op::Atanh(_) => UnOp::Atanh,
        Op::Erf(_) => UnOp::Erf,
        Op::Not(_) | Op::BitNot(_) => UnOp::Not,
        Op::IsNan(_) => UnOp::IsNan,
        _ => return None,
    })
}

/// The operation of a binary op on operands of a type.
fn binary(op: &Op, ty: Scalar) -> Option<BinOp> {
    let whole = ty.is_int();
    Some(match op {
        Op::Add(_) => BinOp::Add,
        Op::Sub(_) => BinOp::Sub,
        Op::Mul(_) => BinOp::Mul,
        Op::Div(d) if whole && d.rounding == IntRounding::Floor => BinOp::FloorDiv,
        Op::Div(_) => BinOp::Div,
        Op::Rem(r) if r.rounding == IntRounding::Floor => BinOp::FloorRem,
        Op::Rem(_) => BinOp::Rem,
        Op::Max(m) if m.nan == NanRule::Propagate => BinOp::Max,
        Op::Max(_) => BinOp::MaxNum,
        Op::Min(m) if m.nan == NanRule::Propagate => BinOp::Min,
        Op::Min(_) => BinOp::MinNum,
        Op::And(_) | Op::BitAnd(_) => BinOp::And,
        Op::Or(_) | Op::BitOr(_) => BinOp::Or,
        Op::Xor(_) | Op::BitXor(_) => BinOp::Xor,
        Op::ShiftLeft(_) => BinOp::Shl,
        Op::ShiftRight(_) => BinOp::Shr,
        Op::Equal(_) => BinOp::Eq,
        Op::Less(_) => BinOp::Lt,
        Op::LessOrEqual(_) => BinOp::Le,
        _ => return None,
    })
}
