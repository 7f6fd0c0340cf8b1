//! Scalar expressions, with and without lanes.

use airconv_ir::dtype::DType;
use airconv_kernel::ir::{BinOp, Const, Expr, ExprId, Kernel, Narrow, Scalar, UnOp};

use super::{Emitter, Refused, Result, Value, stored, ty};

/// A constant as LLVM writes it.
pub(super) fn literal(c: Const) -> String {
    match c.ty {
        Scalar::Bool => (if c.bits != 0 { "true" } else { "false" }).to_owned(),
        // Single precision constants are written as doubles of the same value.
        Scalar::F32 => format!("0x{:016X}", f64::from(f32::from_bits(c.bits as u32)).to_bits()),
        Scalar::F64 => format!("0x{:016X}", c.bits),
        _ => c.as_int().unwrap_or(0).to_string(),
    }
}

impl Emitter<'_> {
    pub(super) fn known(&self, id: ExprId) -> Option<Value> {
        let usable = |v: &&Value| self.lanes.is_some() || !v.varying;
        self.scopes.iter().rev().find_map(|s| s.exprs.get(&id).filter(usable).cloned())
    }

    /// The value of an expression.
    pub(super) fn expr(&mut self, id: ExprId) -> Result<Value> {
        if let Some(v) = self.known(id) {
            return Ok(v);
        }
        let value = self.compute(id)?;
        let free = &self.free[id.0 as usize];
        // What memory or locals say may change.
        let lasts = free.locals.is_empty() && !free.loads.iter().any(|p| self.mutable.contains(p));
        if let Some(scope) = self.scopes.last_mut() {
            scope.exprs.insert(id, value.clone());
            if !lasts {
                scope.passing.push(id);
            }
        }
        Ok(value)
    }

    fn compute(&mut self, id: ExprId) -> Result<Value> {
        let kernel = self.kernel;
        let scalar = kernel.ty(id);
        match kernel.expr(id) {
            Expr::Const(c) => Ok(Value::uniform(literal(*c))),
            Expr::Index(d) => self.dim(d),
            Expr::Load { param, at } => self.load(*param, at),
            Expr::Local(l) => {
                let slot = self.locals[l.0 as usize].clone();
                let v = self.f.value(format_args!("load {}, ptr {slot}", stored(scalar)));
                Ok(Value::uniform(if scalar == Scalar::Bool {
                    self.f.value(format_args!("trunc i8 {v} to i1"))
                } else {
                    v
                }))
            }
            Expr::Unary(op, x) => {
                let v = self.expr(*x)?;
                self.unary(*op, kernel.ty(*x), v)
            }
            Expr::Binary(op, a, b) => {
                let from = kernel.ty(*a);
                if *op == BinOp::Div
                    && let Some(x) = logistic_of(kernel, *a, *b)
                {
                    let x = self.expr(x)?;
                    return Ok(self.logistic(&x));
                }
                let (a, b) = (self.expr(*a)?, self.expr(*b)?);
                self.binary(*op, from, a, b)
            }
            Expr::Select(c, a, b) => {
                let (c, a, b) = (self.expr(*c)?, self.expr(*a)?, self.expr(*b)?);
                Ok(self.select(scalar, &c, &a, &b))
            }
            Expr::Guard(c, a, b) => self.guard(*c, *a, *b),
            Expr::Cast(to, x) => {
                let v = self.expr(*x)?;
                let from = kernel.ty(*x);
                if (from, *to) == (Scalar::F32, Scalar::I32) && v.varying && self.isa.is_x86() {
                    return Ok(self.words(*x, &v));
                }
                self.cast(from, *to, v)
            }
            Expr::Bitcast(to, x) => {
                let v = self.expr(*x)?;
                let (from, to) = (kernel.ty(*x), *to);
                if ty(from) == ty(to) {
                    return Ok(v);
                }
                Ok(self.map(&v, from, to, "bitcast"))
            }
            Expr::Narrow(n, x) => {
                let v = self.expr(*x)?;
                self.narrow(*n, kernel.ty(*x), v)
            }
            Expr::Reduce { kind, axes, x } => self.reduce(*kind, axes, *x),
            Expr::Check { ok, x, code } => {
                let c = self.expr(*ok)?;
                self.check(&c, *code);
                self.expr(*x)
            }
        }
    }

    /// A conversion instruction.
    pub(super) fn map(&mut self, v: &Value, from: Scalar, to: Scalar, op: &str) -> Value {
        let (a, b) = (self.vty(from, v.varying), self.vty(to, v.varying));
        let name = self.f.value(format_args!("{op} {a} {} to {b}", v.name));
        Value { name, varying: v.varying }
    }

    /// An instruction on two values of one type.
    pub(super) fn op2(&mut self, op: &str, scalar: Scalar, a: &Value, b: &Value) -> Value {
        let varying = a.varying || b.varying;
        let t = self.vty(scalar, varying);
        let (x, y) = if varying {
            (self.spread(a, scalar), self.spread(b, scalar))
        } else {
            (a.name.clone(), b.name.clone())
        };
        Value { name: self.f.value(format_args!("{op} {t} {x}, {y}")), varying }
    }

    /// A call of an intrinsic whose operands and result have one type.
    pub(super) fn intrinsic(&mut self, name: &str, scalar: Scalar, args: &[&Value]) -> Value {
        let varying = args.iter().any(|a| a.varying);
        let t = self.vty(scalar, varying);
        let suffix = self.suffix(scalar, varying);
        let mut list = Vec::with_capacity(args.len());
        for a in args {
            let n = if varying { self.spread(a, scalar) } else { a.name.clone() };
            list.push(format!("{t} {n}"));
        }
        let types = vec![t.as_str(); args.len()].join(", ");
        self.f.declare(format!("{t} @llvm.{name}.{suffix}({types})"));
        let name =
            self.f.value(format_args!("call {t} @llvm.{name}.{suffix}({})", list.join(", ")));
        Value { name, varying }
    }

    /// How intrinsic names spell a type.
    pub(super) fn suffix(&self, scalar: Scalar, varying: bool) -> String {
        let one = match scalar {
            Scalar::F32 => "f32".to_owned(),
            Scalar::F64 => "f64".to_owned(),
            other => format!("i{}", other.bits()),
        };
        match (&self.lanes, varying) {
            (Some(l), true) => format!("v{}{one}", l.count),
            _ => one,
        }
    }

    /// A constant of a type.
    pub(super) fn number(&self, scalar: Scalar, x: f64) -> Value {
        Value::uniform(literal(Const::from_f64(scalar, x)))
    }

    pub(super) fn whole(&self, scalar: Scalar, x: i128) -> Value {
        Value::uniform(literal(Const::from_i128(scalar, x)))
    }

    pub(super) fn select(&mut self, scalar: Scalar, c: &Value, a: &Value, b: &Value) -> Value {
        let varying = c.varying || a.varying || b.varying;
        if !varying {
            let t = ty(scalar);
            return Value::uniform(
                self.f.value(format_args!("select i1 {}, {t} {}, {t} {}", c.name, a.name, b.name)),
            );
        }
        let t = self.vty(scalar, true);
        let (x, y) = (self.spread(a, scalar), self.spread(b, scalar));
        let cond = if c.varying {
            format!("{} {}", self.vty(Scalar::Bool, true), c.name)
        } else {
            format!("i1 {}", c.name)
        };
        Value::varying(self.f.value(format_args!("select {cond}, {t} {x}, {t} {y}")))
    }

    fn guard(&mut self, c: ExprId, a: ExprId, b: ExprId) -> Result<Value> {
        let scalar = self.kernel.ty(a);
        let cond = self.expr(c)?;
        if cond.varying {
            // Each side is computed for its lanes only.
            let inside = self.under(&cond, false, a)?;
            let outside = self.under(&cond, true, b)?;
            return Ok(self.select(scalar, &cond, &inside, &outside));
        }
        let varying = self.varies(a) || self.varies(b);
        let t = self.vty(scalar, varying);
        let (yes, no, after) = (self.f.label("then"), self.f.label("else"), self.f.label("fi"));
        self.f.branch(&cond.name, &yes, &no);
        let mut sides = Vec::new();
        for (label, x) in [(yes, a), (no, b)] {
            self.f.begin(&label);
            let name = self.scoped(|e| {
                let v = e.expr(x)?;
                Ok(if varying { e.spread(&v, scalar) } else { v.name })
            })?;
            sides.push(format!("[ {name}, %{} ]", self.f.block()));
            self.f.jump(&after);
        }
        self.f.begin(&after);
        let name = self.f.value(format_args!("phi {t} {}", sides.join(", ")));
        Ok(Value { name, varying })
    }

    /// An expression for the lanes in which a condition holds, or does not.
    fn under(&mut self, cond: &Value, negated: bool, x: ExprId) -> Result<Value> {
        let simple = matches!(self.kernel.expr(x), Expr::Const(_));
        if simple {
            return self.expr(x);
        }
        let Some(lanes) = self.lanes.clone() else {
            return Err(Refused("lanes without a loop".to_owned()));
        };
        let t = self.vty(Scalar::Bool, true);
        let mut mask = cond.name.clone();
        if negated {
            let all = self.spread(&Value::uniform("true"), Scalar::Bool);
            mask = self.f.value(format_args!("xor {t} {mask}, {all}"));
        }
        if let Some(outer) = &lanes.mask {
            mask = self.f.value(format_args!("and {t} {mask}, {outer}"));
        }
        let before = self.lanes.replace(super::Lanes { mask: Some(mask), alive: false, ..lanes });
        let out = self.scoped(|e| e.expr(x));
        self.lanes = before;
        out
    }

    /// Notes a failure unless the condition holds in all lanes that are alive.
    fn check(&mut self, ok: &Value, code: u32) {
        let good = if ok.varying {
            let t = self.vty(Scalar::Bool, true);
            let mut name = ok.name.clone();
            if let Some(mask) = self.lanes.as_ref().and_then(|l| l.mask.clone()) {
                let all = self.spread(&Value::uniform("true"), Scalar::Bool);
                let dead = self.f.value(format_args!("xor {t} {mask}, {all}"));
                name = self.f.value(format_args!("or {t} {name}, {dead}"));
            }
            let count = self.lanes.as_ref().map_or(1, |l| l.count);
            self.f.declare(format!("i1 @llvm.vector.reduce.and.v{count}i1({t})"));
            self.f.value(format_args!("call i1 @llvm.vector.reduce.and.v{count}i1({t} {name})"))
        } else {
            ok.name.clone()
        };
        let (bad, fine) = (self.f.label("bad"), self.f.label("fine"));
        self.f.branch(&good, &fine, &bad);
        self.f.begin(&bad);
        let status = self.status.clone();
        self.f.line(format_args!(
            "store atomic i32 {}, ptr {status} monotonic, align 4",
            i64::from(code) + 1
        ));
        self.f.jump(&fine);
        self.f.begin(&fine);
    }

    fn binary(&mut self, op: BinOp, scalar: Scalar, a: Value, b: Value) -> Result<Value> {
        let float = scalar.is_float();
        let signed = scalar.is_signed();
        Ok(match op {
            BinOp::Add if float => self.op2("fadd contract", scalar, &a, &b),
            BinOp::Sub if float => self.op2("fsub contract", scalar, &a, &b),
            BinOp::Mul if float => self.op2("fmul contract", scalar, &a, &b),
            BinOp::Div if float => self.op2("fdiv", scalar, &a, &b),
            BinOp::Add => self.op2("add", scalar, &a, &b),
            BinOp::Sub => self.op2("sub", scalar, &a, &b),
            BinOp::Mul => self.op2("mul", scalar, &a, &b),
            BinOp::Rem if float => {
                self.library2(if scalar == Scalar::F32 { "fmodf" } else { "fmod" }, scalar, &a, &b)
            }
            BinOp::FloorRem if float => {
                let name = if scalar == Scalar::F32 { "fmodf" } else { "fmod" };
                let r = self.library2(name, scalar, &a, &b);
                let zero = self.number(scalar, 0.0);
                let magnitude = self.intrinsic("fabs", scalar, &[&r]);
                let signed_zero = self.intrinsic("copysign", scalar, &[&magnitude, &b]);
                let sum = self.op2("fadd", scalar, &r, &b);
                let r_neg = self.compare_as("fcmp olt", scalar, &r, &zero);
                let b_neg = self.compare_as("fcmp olt", scalar, &b, &zero);
                let crosses = self.op2("xor", Scalar::Bool, &r_neg, &b_neg);
                let is_zero = self.compare_as("fcmp oeq", scalar, &r, &zero);
                let moved = self.select(scalar, &crosses, &sum, &r);
                self.select(scalar, &is_zero, &signed_zero, &moved)
            }
            BinOp::Div | BinOp::FloorDiv if !signed => self.op2("udiv", scalar, &a, &b),
            BinOp::Rem | BinOp::FloorRem if !signed => self.op2("urem", scalar, &a, &b),
            BinOp::Div | BinOp::FloorDiv | BinOp::Rem | BinOp::FloorRem => {
                self.signed_division(op, scalar, &a, &b)
            }
            BinOp::Pow if !float => self.int_pow(scalar, &a, &b),
            BinOp::Pow => {
                let name = if scalar == Scalar::F32 { "powf" } else { "pow" };
                self.library2(name, scalar, &a, &b)
            }
            BinOp::Max if float => self.extreme_float("fcmp ogt", scalar, &a, &b),
            BinOp::Min if float => self.extreme_float("fcmp olt", scalar, &a, &b),
            BinOp::MaxNum if float => self.intrinsic("maxnum", scalar, &[&a, &b]),
            BinOp::MinNum if float => self.intrinsic("minnum", scalar, &[&a, &b]),
            BinOp::Max | BinOp::MaxNum if scalar == Scalar::Bool => self.op2("or", scalar, &a, &b),
            BinOp::Min | BinOp::MinNum if scalar == Scalar::Bool => self.op2("and", scalar, &a, &b),
            BinOp::Max | BinOp::MaxNum => {
                self.intrinsic(if signed { "smax" } else { "umax" }, scalar, &[&a, &b])
            }
            BinOp::Min | BinOp::MinNum => {
                self.intrinsic(if signed { "smin" } else { "umin" }, scalar, &[&a, &b])
            }
            BinOp::And => self.op2("and", scalar, &a, &b),
            BinOp::Or => self.op2("or", scalar, &a, &b),
            BinOp::Xor => self.op2("xor", scalar, &a, &b),
            BinOp::Shl | BinOp::Shr => self.shift(op, scalar, &a, &b),
            BinOp::Eq | BinOp::Lt | BinOp::Le => {
                let name = match (op, float, signed) {
                    (BinOp::Eq, true, _) => "fcmp oeq",
                    (BinOp::Lt, true, _) => "fcmp olt",
                    (_, true, _) => "fcmp ole",
                    (BinOp::Eq, ..) => "icmp eq",
                    (BinOp::Lt, _, true) => "icmp slt",
                    (BinOp::Lt, ..) => "icmp ult",
                    (_, _, true) => "icmp sle",
                    _ => "icmp ule",
                };
                self.compare_as(name, scalar, &a, &b)
            }
        })
    }

    /// The greater or the lesser of two floats; NaN wins. The form is one for which machines have
    /// an instruction, with a test of the first operand.
    pub(super) fn extreme_float(
        &mut self,
        op: &str,
        scalar: Scalar,
        a: &Value,
        b: &Value,
    ) -> Value {
        let wins = self.compare_as(op, scalar, a, b);
        let best = self.select(scalar, &wins, a, b);
        let nan = self.compare_as("fcmp uno", scalar, a, a);
        self.select(scalar, &nan, a, &best)
    }

    /// A comparison, which gives truth values.
    pub(super) fn compare_as(&mut self, op: &str, scalar: Scalar, a: &Value, b: &Value) -> Value {
        self.op2(op, scalar, a, b)
    }

    /// Division of signed integers; MIN / -1 is MIN, and leaves nothing.
    fn signed_division(&mut self, op: BinOp, scalar: Scalar, a: &Value, b: &Value) -> Value {
        let (zero, one) = (self.whole(scalar, 0), self.whole(scalar, 1));
        let minus_one = self.whole(scalar, -1);
        let by_minus = self.compare_as("icmp eq", scalar, b, &minus_one);
        let safe = self.select(scalar, &by_minus, &one, b);
        let q = self.op2("sdiv", scalar, a, &safe);
        let negated = self.op2("sub", scalar, &zero, a);
        let q = self.select(scalar, &by_minus, &negated, &q);
        if op == BinOp::Div {
            return q;
        }
        let back = self.op2("mul", scalar, &q, b);
        let r = self.op2("sub", scalar, a, &back);
        if op == BinOp::Rem {
            return r;
        }
        let inexact = self.compare_as("icmp ne", scalar, &r, &zero);
        let signs = self.op2("xor", scalar, &r, b);
        let differ = self.compare_as("icmp slt", scalar, &signs, &zero);
        let crosses = self.op2("and", Scalar::Bool, &inexact, &differ);
        if op == BinOp::FloorDiv {
            let less = self.op2("sub", scalar, &q, &one);
            return self.select(scalar, &crosses, &less, &q);
        }
        let more = self.op2("add", scalar, &r, b);
        self.select(scalar, &crosses, &more, &r)
    }

    fn shift(&mut self, op: BinOp, scalar: Scalar, a: &Value, b: &Value) -> Value {
        let width = self.whole(scalar, scalar.bits().into());
        let inside = self.compare_as("icmp ult", scalar, b, &width);
        let zero = self.whole(scalar, 0);
        let count = self.select(scalar, &inside, b, &zero);
        if op == BinOp::Shl {
            let y = self.op2("shl", scalar, a, &count);
            return self.select(scalar, &inside, &y, &zero);
        }
        if !scalar.is_signed() {
            let y = self.op2("lshr", scalar, a, &count);
            return self.select(scalar, &inside, &y, &zero);
        }
        let last = self.whole(scalar, i128::from(scalar.bits()) - 1);
        let count = self.select(scalar, &inside, b, &last);
        self.op2("ashr", scalar, a, &count)
    }

    fn unary(&mut self, op: UnOp, scalar: Scalar, x: Value) -> Result<Value> {
        let float = scalar.is_float();
        let zero = self.whole(scalar, 0);
        Ok(match op {
            UnOp::Neg if float => {
                let t = self.vty(scalar, x.varying);
                let name = self.f.value(format_args!("fneg {t} {}", x.name));
                Value { name, varying: x.varying }
            }
            UnOp::Neg => self.op2("sub", scalar, &zero, &x),
            UnOp::Abs if float => self.intrinsic("fabs", scalar, &[&x]),
            UnOp::Abs if scalar.is_signed() => {
                let negative = self.compare_as("icmp slt", scalar, &x, &zero);
                let minus = self.op2("sub", scalar, &zero, &x);
                self.select(scalar, &negative, &minus, &x)
            }
            UnOp::Abs => x,
            UnOp::Sign => {
                let (one, minus) = (self.whole(scalar, 1), self.whole(scalar, -1));
                let (gt, lt) = match (float, scalar.is_signed()) {
                    (true, _) => ("fcmp ogt", "fcmp olt"),
                    (_, true) => ("icmp sgt", "icmp slt"),
                    _ => ("icmp ugt", "icmp ult"),
                };
                let up = self.compare_as(gt, scalar, &x, &zero);
                let down = self.compare_as(lt, scalar, &x, &zero);
                // Zeros give +0 and NaN itself.
                let rest = if float { self.op2("fadd", scalar, &x, &zero) } else { zero };
                let low = self.select(scalar, &down, &minus, &rest);
                self.select(scalar, &up, &one, &low)
            }
            UnOp::Floor => self.intrinsic("floor", scalar, &[&x]),
            UnOp::Ceil => self.intrinsic("ceil", scalar, &[&x]),
            UnOp::Round => self.intrinsic("roundeven", scalar, &[&x]),
            UnOp::Sqrt => self.intrinsic("sqrt", scalar, &[&x]),
            UnOp::Not if scalar == Scalar::Bool => {
                self.op2("xor", scalar, &x, &Value::uniform("true"))
            }
            UnOp::Not => {
                let ones = self.whole(scalar, -1);
                self.op2("xor", scalar, &x, &ones)
            }
            UnOp::IsNan if float => self.compare_as("fcmp uno", scalar, &x, &x),
            UnOp::IsNan => Value::uniform("false"),
            _ if !float => return Err(Refused(format!("{op:?} of {}", scalar.name()))),
            _ => match op.function() {
                Some(name) => self.transcendental(op, name, scalar, &x),
                None => return Err(Refused(format!("{op:?} of {}", scalar.name()))),
            },
        })
    }

    pub(super) fn cast(&mut self, from: Scalar, to: Scalar, v: Value) -> Result<Value> {
        if from == to {
            return Ok(v);
        }
        if to == Scalar::Bool {
            let zero = self.whole(from, 0);
            let op = if from.is_float() { "fcmp une" } else { "icmp ne" };
            return Ok(self.compare_as(op, from, &v, &zero));
        }
        Ok(match (from.is_float(), to.is_float()) {
            (true, true) if from == Scalar::F32 => self.map(&v, from, to, "fpext"),
            (true, true) => self.map(&v, from, to, "fptrunc"),
            (true, false) => {
                let name = if to.is_signed() { "fptosi.sat" } else { "fptoui.sat" };
                let (a, b) = (self.vty(from, v.varying), self.vty(to, v.varying));
                let (sa, sb) = (self.suffix(from, v.varying), self.suffix(to, v.varying));
                self.f.declare(format!("{b} @llvm.{name}.{sb}.{sa}({a})"));
                let out =
                    self.f.value(format_args!("call {b} @llvm.{name}.{sb}.{sa}({a} {})", v.name));
                Value { name: out, varying: v.varying }
            }
            (false, true) => {
                let op = if from.is_signed() { "sitofp" } else { "uitofp" };
                self.map(&v, from, to, op)
            }
            (false, false) => {
                if from.bits() == to.bits() {
                    return Ok(v);
                }
                let op = if to.bits() < from.bits() {
                    "trunc"
                } else if from.is_signed() {
                    "sext"
                } else {
                    "zext"
                };
                self.map(&v, from, to, op)
            }
        })
    }

    fn narrow(&mut self, n: Narrow, scalar: Scalar, v: Value) -> Result<Value> {
        match n.to {
            _ if !scalar.is_float() => {
                let gone = scalar.bits().saturating_sub(n.to.bits());
                if gone == 0 {
                    return Ok(v);
                }
                let by = self.whole(scalar, gone.into());
                let up = self.op2("shl", scalar, &v, &by);
                let op = if n.to.is_signed_int() { "ashr" } else { "lshr" };
                Ok(self.op2(op, scalar, &up, &by))
            }
            // What the type holds anyway.
            DType::F64 => Ok(v),
            DType::F32 if scalar == Scalar::F32 => Ok(v),
            DType::F32 => {
                let single = self.cast(scalar, Scalar::F32, v)?;
                self.cast(Scalar::F32, scalar, single)
            }
            DType::F16 if scalar == Scalar::F32 => {
                let half = self.half_ty(v.varying);
                let t = self.vty(scalar, v.varying);
                let h = self.f.value(format_args!("fptrunc {t} {} to {half}", v.name));
                let name = self.f.value(format_args!("fpext {half} {h} to {t}"));
                Ok(Value { name, varying: v.varying })
            }
            DType::BF16 if scalar == Scalar::F32 => {
                let bits = self.bf16_bits(&v);
                Ok(self.map(&bits, Scalar::I32, Scalar::F32, "bitcast"))
            }
            _ => self.narrow_elsewhere(n, scalar, &v),
        }
    }

    /// The type of half precision values.
    pub(super) fn half_ty(&self, varying: bool) -> String {
        match (&self.lanes, varying) {
            (Some(l), true) => format!("<{} x half>", l.count),
            _ => "half".to_owned(),
        }
    }

    /// The bits of a single rounded to bfloat16, in the upper half of an `i32`.
    pub(super) fn bf16_bits(&mut self, v: &Value) -> Value {
        let i = Scalar::I32;
        let bits = self.map(v, Scalar::F32, i, "bitcast");
        let (n16, one) = (self.whole(i, 16), self.whole(i, 1));
        let (half, mask) = (self.whole(i, 0x7fff), self.whole(i, -0x10000));
        let quiet = self.whole(i, 0x0040_0000);
        let shifted = self.op2("lshr", i, &bits, &n16);
        let odd = self.op2("and", i, &shifted, &one);
        let bias = self.op2("add", i, &odd, &half);
        let rounded = self.op2("add", i, &bits, &bias);
        let nan = self.compare_as("fcmp uno", Scalar::F32, v, v);
        let kept = self.op2("or", i, &bits, &quiet);
        let chosen = self.select(i, &nan, &kept, &rounded);
        self.op2("and", i, &chosen, &mask)
    }
}

/// Of what a quotient is the logistic function, if it is one in single precision: 1 over the sum
/// of 1 and the exponential of that.
fn logistic_of(kernel: &Kernel, a: ExprId, b: ExprId) -> Option<ExprId> {
    let one = u64::from(1f32.to_bits());
    let is_one = |e: ExprId| matches!(kernel.expr(e), Expr::Const(Const { ty: Scalar::F32, bits }) if *bits == one);
    let power = |e: ExprId| match kernel.expr(e) {
        Expr::Unary(UnOp::Exp, x) => Some(*x),
        _ => None,
    };
    match kernel.expr(b) {
        Expr::Binary(BinOp::Add, x, y) if is_one(a) && is_one(*x) => power(*y),
        Expr::Binary(BinOp::Add, x, y) if is_one(a) && is_one(*y) => power(*x),
        _ => None,
    }
}
