//! Simpler forms of expressions whose values are known to lie within bounds.
//!
//! Quantised programs round a float, limit it to the range of a byte, make a byte of it, check
//! that nothing was lost, and make a float of the byte again. Where the limits show that the float
//! is a whole number that the integer types on the way can hold, the way there and back is left
//! out. What is known of an expression is its [`Fact`]; all changes keep every value.

use crate::ir::{BinOp, Const, Elem, Expr, ExprId, Kernel, KernelBuilder, Scalar, UnOp};
use crate::schedule::{rewrite, rewrite_with};
use airconv_ir::dim::Dim;

/// Whole numbers up to here are exact in `f32`, and so are sums of two of them up to here.
const WHOLE: f64 = 16_777_216.0;

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fact {
    /// It is not less, unless it is NaN.
    low: f64,
    /// It is not greater, unless it is NaN.
    high: f64,
    /// It is a whole number, infinite or NaN.
    whole: bool,
    /// It is not NaN.
    number: bool,
    /// It is not minus zero.
    plus: bool,
}

/// The least and the greatest value of a type, if it is of integers or truth values.
fn limits(ty: Scalar) -> Option<(f64, f64)> {
    Some(match ty {
        Scalar::Bool => (0.0, 1.0),
        Scalar::F32 | Scalar::F64 => return None,
        ty if ty.is_signed() => {
            let half = 2f64.powi(ty.bits() as i32 - 1);
            (-half, half - 1.0)
        }
        ty => (0.0, 2f64.powi(ty.bits() as i32) - 1.0),
    })
}

impl Fact {
    /// Of any value of a type.
    fn of_type(ty: Scalar) -> Fact {
        match limits(ty) {
            Some((low, high)) => Fact { low, high, whole: true, number: true, plus: true },
            None => Fact {
                low: f64::NEG_INFINITY,
                high: f64::INFINITY,
                whole: false,
                number: false,
                plus: false,
            },
        }
    }

    /// Of any element of a buffer.
    fn of_elem(elem: Elem) -> Fact {
        Fact::of_type(elem.scalar())
    }

    fn of_const(c: Const) -> Fact {
        let x = c.as_f64();
        if x.is_nan() {
            return Fact::of_type(c.ty);
        }
        let plus = x != 0.0 || x.is_sign_positive();
        Fact { low: x, high: x, whole: x.fract() == 0.0, number: true, plus }
    }

    fn is_finite(self) -> bool {
        self.number && self.low.is_finite() && self.high.is_finite()
    }

    /// Whether it is a whole number of a type.
    fn fits(self, ty: Scalar) -> bool {
        // Bounds of 64 bits are not exact.
        let within = limits(ty).is_some_and(|(low, high)| low <= self.low && self.high <= high);
        self.whole && self.is_finite() && within && self.low.abs().max(self.high.abs()) < 2e15
    }

    /// Of either of two values.
    fn or(self, other: Fact) -> Fact {
        Fact {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            whole: self.whole && other.whole,
            number: self.number && other.number,
            plus: self.plus && other.plus,
        }
    }
}

/// A kernel with the same values in simpler expressions.
pub fn simplify(kernel: &Kernel) -> Kernel {
    let mut known = Known { facts: Vec::new() };
    let made = rewrite_with(kernel, &mut Dim::clone, &mut |b, expr| known.simpler(b, expr));
    // What is no longer needed is left out by the copy.
    rewrite(&made, &mut Dim::clone)
}

/// What is known of the expressions of a kernel under construction.
struct Known {
    facts: Vec<Fact>,
}

impl Known {
    fn add(&mut self, b: &mut KernelBuilder, expr: Expr) -> ExprId {
        let id = b.add(expr);
        while self.facts.len() <= id.0 as usize {
            let next = ExprId(self.facts.len() as u32);
            let fact = self.fact(b, next);
            self.facts.push(fact);
        }
        id
    }

    fn of(&self, id: ExprId) -> Fact {
        self.facts[id.0 as usize]
    }

    fn constant(&mut self, b: &mut KernelBuilder, c: Const) -> ExprId {
        self.add(b, Expr::Const(c))
    }

    /// What is known of an expression, given what is known of those before it.
    fn fact(&self, b: &KernelBuilder, id: ExprId) -> Fact {
        let ty = b.ty(id);
        let any = Fact::of_type(ty);
        match *b.kernel.expr(id) {
            Expr::Const(c) => Fact::of_const(c),
            Expr::Load { param, .. } => Fact::of_elem(b.kernel.params[param as usize].elem),
            Expr::Select(_, x, y) | Expr::Guard(_, x, y) => self.of(x).or(self.of(y)),
            Expr::Check { x, .. } => self.of(x),
            Expr::Cast(to, x) => cast_fact(to, b.ty(x), self.of(x)),
            Expr::Unary(op, x) => unary_fact(op, self.of(x), any),
            Expr::Binary(op, x, y) if !op.compares() => {
                binary_fact(op, ty, self.of(x), self.of(y)).unwrap_or(any)
            }
            _ => any,
        }
    }

    /// The expression, or a simpler one of the same value.
    fn simpler(&mut self, b: &mut KernelBuilder, expr: Expr) -> ExprId {
        match expr {
            Expr::Cast(to, x) => self.cast(b, to, x),
            Expr::Binary(BinOp::Eq, x, y)
                if b.ty(x).is_int() && self.root(b, x) == self.root(b, y) =>
            {
                self.constant(b, Const::bool(true))
            }
            Expr::Binary(BinOp::Sub, x, y) if is_plus_zero(b, y) => x,
            Expr::Binary(BinOp::Add, x, y) if is_plus_zero(b, y) && self.of(x).plus => x,
            Expr::Select(c, x, y) => match b.kernel.expr(c) {
                Expr::Const(c) if c.bits != 0 => x,
                Expr::Const(_) => y,
                _ => self.add(b, expr),
            },
            _ => self.add(b, expr),
        }
    }

    /// The value that casts, each of which keeps it, were made from.
    fn root(&self, b: &KernelBuilder, id: ExprId) -> ExprId {
        let mut at = id;
        while let Expr::Cast(to, x) = *b.kernel.expr(at) {
            if to.is_float() || to == Scalar::Bool || !self.of(x).fits(to) {
                break;
            }
            at = x;
        }
        at
    }

    fn cast(&mut self, b: &mut KernelBuilder, to: Scalar, x: ExprId) -> ExprId {
        if b.ty(x) == to {
            return x;
        }
        if to == Scalar::Bool || !b.ty(x).is_int() && !b.ty(x).is_float() {
            return self.add(b, Expr::Cast(to, x));
        }
        let root = self.root(b, x);
        if let Expr::Const(c) = *b.kernel.expr(root)
            && let Some(value) = c.as_int()
            && self.of(root).fits(if to.is_float() { Scalar::I32 } else { to })
            && (to != Scalar::F32 || value.abs() <= WHOLE as i128)
        {
            return self.constant(b, Const::from_i128(to, value));
        }
        let (ty, fact) = (b.ty(root), self.of(root));
        if ty == to && to.is_float() {
            // An integer has no minus zero.
            if fact.plus {
                return root;
            }
            let zero = self.constant(b, Const::from_f64(to, 0.0));
            return self.add(b, Expr::Binary(BinOp::Add, root, zero));
        }
        if to == Scalar::F32
            && ty.is_int()
            && let Some(made) = self.float_sum(b, root)
        {
            return made;
        }
        let both = fact.fits(to) && fact.fits(Scalar::I32);
        if ty.is_float() && to.is_int() && to != Scalar::I32 && both {
            // By way of the type whose conversion is cheapest.
            let middle = self.add(b, Expr::Cast(Scalar::I32, root));
            return self.add(b, Expr::Cast(to, middle));
        }
        if root != x && ty == to {
            return root;
        }
        // A float that does not fit would be limited, where the integer on the way keeps its low
        // bits; and the way from one float type to another stays.
        let from = if ty.is_float() && !fact.fits(to) { x } else { root };
        self.add(b, Expr::Cast(to, from))
    }

    /// A sum or difference of whole numbers as a float, where one of them was a float.
    fn float_sum(&mut self, b: &mut KernelBuilder, id: ExprId) -> Option<ExprId> {
        let Expr::Binary(op @ (BinOp::Add | BinOp::Sub), x, y) = *b.kernel.expr(id) else {
            return None;
        };
        let exact = |f: Fact| f.whole && f.is_finite() && f.low.abs().max(f.high.abs()) <= WHOLE;
        let (fx, fy) = (self.of(x), self.of(y));
        // The integers must not wrap either.
        let result = binary_fact(op, Scalar::F64, fx, fy)?;
        if !(exact(fx) && exact(fy) && exact(result) && result.fits(b.ty(id))) {
            return None;
        }
        let float = |known: &Known, x| b.ty(known.root(b, x)) == Scalar::F32;
        if !float(self, x) && !float(self, y) {
            return None;
        }
        let (x, y) = (self.cast(b, Scalar::F32, x), self.cast(b, Scalar::F32, y));
        Some(self.simpler(b, Expr::Binary(op, x, y)))
    }
}

fn is_plus_zero(b: &KernelBuilder, id: ExprId) -> bool {
    matches!(b.kernel.expr(id), Expr::Const(c) if c.ty.is_float() && c.bits == 0)
}

fn cast_fact(to: Scalar, from: Scalar, x: Fact) -> Fact {
    let any = Fact::of_type(to);
    let Some((least, most)) = limits(to) else {
        if from.is_float() {
            return match to {
                // Wider: nothing changes.
                Scalar::F64 => x,
                _ => any,
            };
        }
        // Rounding keeps order.
        let round = |v: f64| if to == Scalar::F32 { f64::from(v as f32) } else { v };
        return Fact {
            low: round(x.low),
            high: round(x.high),
            whole: true,
            number: true,
            plus: true,
        };
    };
    if to == Scalar::Bool {
        return any;
    }
    if from.is_float() {
        let cut = |v: f64| v.trunc().clamp(least, most);
        let (mut low, mut high) = (cut(x.low), cut(x.high));
        if !x.number {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        return Fact { low, high, ..any };
    }
    if x.fits(to) { Fact { low: x.low, high: x.high, ..any } } else { any }
}

fn unary_fact(op: UnOp, x: Fact, any: Fact) -> Fact {
    match op {
        UnOp::Round => Fact {
            low: x.low.round_ties_even(),
            high: x.high.round_ties_even(),
            whole: true,
            number: x.number,
            plus: x.whole && x.plus,
        },
        UnOp::Floor => Fact {
            low: x.low.floor(),
            high: x.high.floor(),
            whole: true,
            number: x.number,
            plus: x.plus,
        },
        _ => any,
    }
}

/// Of a binary operation other than a comparison; `None` where nothing is known.
fn binary_fact(op: BinOp, ty: Scalar, x: Fact, y: Fact) -> Option<Fact> {
    // Sums and products of whole floats are whole: those that are too large to be exact have no
    // digits after the point.
    let whole = x.whole && y.whole;
    match op {
        BinOp::MaxNum | BinOp::MinNum | BinOp::Max | BinOp::Min => {
            let greater = matches!(op, BinOp::MaxNum | BinOp::Max);
            let pick = |a: f64, b: f64| if greater { a.max(b) } else { a.min(b) };
            let (mut low, mut high) = (pick(x.low, y.low), pick(x.high, y.high));
            let numbers = matches!(op, BinOp::MaxNum | BinOp::MinNum);
            // A number wins over NaN, so that it may come through as it is.
            for (other, this) in [(x, y), (y, x)] {
                if numbers && !other.number {
                    (low, high) = (low.min(this.low), high.max(this.high));
                }
            }
            let number = if numbers { x.number || y.number } else { x.number && y.number };
            Some(Fact { low, high, whole, number, plus: x.plus && y.plus })
        }
        BinOp::Add | BinOp::Sub | BinOp::Mul => {
            if !x.is_finite() || !y.is_finite() {
                // What is certain is the sign of a zero.
                let plus = op == BinOp::Add && ty.is_float() && (x.plus || y.plus)
                    || op == BinOp::Sub && ty.is_float() && x.plus;
                return ty.is_float().then(|| Fact { plus, whole, ..Fact::of_type(ty) });
            }
            let ends = match op {
                BinOp::Add => [x.low + y.low, x.high + y.high, x.low + y.low, x.high + y.high],
                BinOp::Sub => [x.low - y.high, x.high - y.low, x.low - y.high, x.high - y.low],
                _ => [x.low * y.low, x.low * y.high, x.high * y.low, x.high * y.high],
            };
            let low = ends.iter().copied().fold(f64::INFINITY, f64::min);
            let high = ends.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if let Some((least, most)) = limits(ty) {
                let fits = least <= low && high <= most && low.abs().max(high.abs()) < 2e15;
                return fits.then_some(Fact { low, high, whole: true, number: true, plus: true });
            }
            let round = |v: f64| if ty == Scalar::F32 { f64::from(v as f32) } else { v };
            let (low, high) = (round(low), round(high));
            let plus = match op {
                BinOp::Add => x.plus || y.plus,
                BinOp::Sub => x.plus,
                _ => false,
            };
            Some(Fact { low, high, whole, number: low.is_finite() && high.is_finite(), plus })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interp::run_kernel;
    use crate::memory::Mem;
    use crate::text::{parse, print};

    /// Runs a kernel over floats before and after, and gives how many expressions there are.
    fn check(body: &str, value: &str, to: Elem) -> (usize, usize) {
        let name = to.name();
        let text = format!(
            "kernel \"k\" {{\n  param p0 = read f32\n  param p1 = write {name}\n  sizes 1\n  \
             var v0 = size 0\n  var v1 = counter\n  e0 = load p0 [v1] : f32\n{body}  \
             independent v1 < [v0] {{\n    p1 [v1] = {value}\n  }}\n}}\n"
        );
        let kernel = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let after = simplify(&kernel);
        let given = [
            0.0,
            -0.0,
            0.49,
            0.5,
            1.5,
            -0.5,
            -3.7,
            254.5,
            255.5,
            300.0,
            -300.0,
            1e9,
            -1e9,
            3e38,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            127.4,
            128.0,
            -128.5,
            -129.0,
            1e-40,
        ];
        let run = |kernel: &Kernel| {
            let mut from = given;
            let mut out = vec![0u8; given.len() * to.bytes()];
            let buffers = [
                Mem { ptr: from.as_mut_ptr().cast(), len: given.len() * 4 },
                Mem { ptr: out.as_mut_ptr(), len: out.len() },
            ];
            run_kernel(kernel, &buffers, &[given.len() as i64]).expect("it runs");
            out
        };
        assert_eq!(run(&kernel), run(&after), "{}", print(&after));
        (kernel.exprs.len(), after.exprs.len())
    }

    /// Rounds, limits to bytes from `low` to `high`, makes a byte and checks it.
    fn quantise(zero: f32, (low, high): (f32, f32), byte: &str) -> String {
        format!(
            "  e1 = const f32 0.37 : f32\n  e2 = div e0 e1 : f32\n  e3 = round e2 : f32\n  \
             e4 = const f32 {zero:?} : f32\n  e5 = add e3 e4 : f32\n  \
             e6 = const f32 {low:?} : f32\n  e7 = max_num e5 e6 : f32\n  \
             e8 = const f32 {high:?} : f32\n  e9 = min e7 e8 : f32\n  e10 = cast i64 e9 : i64\n  \
             e11 = cast i32 e10 : i32\n  e12 = cast i64 e11 : i64\n  e13 = eq e10 e12 : bool\n  \
             e14 = cast {byte} e11 : {byte}\n  e15 = const {byte} 0 : {byte}\n  \
             e16 = select e13 e14 e15 : {byte}\n"
        )
    }

    #[test]
    fn bytes_that_floats_go_through() {
        for (zero, range, byte) in [
            (9.0, (0.0, 255.0), "u8"),
            (0.0, (0.0, 255.0), "u8"),
            (-22.0, (-128.0, 127.0), "i8"),
            (0.0, (-128.0, 127.0), "i8"),
        ] {
            let there = quantise(zero, range, byte);
            let back = format!(
                "{there}  e17 = cast i32 e16 : i32\n  e18 = const i32 {} : i32\n  \
                 e19 = sub e17 e18 : i32\n  e20 = cast f32 e19 : f32\n",
                zero as i32
            );
            let (before, after) = check(&back, "e20", Elem::F32);
            assert!(before == 21 && after <= 12, "{before} {after}");
            let elem = if byte == "u8" { Elem::U8 } else { Elem::I8 };
            let (before, after) = check(&there, "e16", elem);
            assert!(before == 17 && after <= 12, "{before} {after}");
        }
    }

    #[test]
    fn limits_that_are_too_wide_stay() {
        // Beyond a byte, so that the byte wraps.
        let wide = quantise(0.0, (-200.0, 127.0), "i8");
        check(&wide, "e16", Elem::I8);
        let nan = wide.replace("max_num", "max");
        check(&nan, "e16", Elem::I8);
        check("  e1 = cast i32 e0 : i32\n  e2 = cast f32 e1 : f32\n", "e2", Elem::F32);
        check(
            "  e1 = round e0 : f32\n  e2 = cast i64 e1 : i64\n  e3 = cast f32 e2 : f32\n",
            "e3",
            Elem::F32,
        );
        check(
            "  e1 = cast u8 e0 : u8\n  e2 = cast i8 e1 : i8\n  e3 = cast f32 e2 : f32\n",
            "e3",
            Elem::F32,
        );
    }
}
