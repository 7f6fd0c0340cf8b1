//! Expressions as C.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::{DType, FloatKind};
use airconv_ir::op::{CastRounding, ReduceKind};

use super::helpers::{Helpers, c_type, wrap_type};
use super::index::int_literal;
use super::kernel::Writer;
use crate::analysis::Level;
use crate::ir::{BinOp, Const, Elem, Expr, ExprId, Kernel, Narrow, Scalar, UnOp, Var};

/// Whether a text is a name, a number or a call-free text in parentheses that needs no name.
pub(super) fn is_atom(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A constant as C.
pub(super) fn literal(c: Const) -> String {
    let text = match c.ty {
        Scalar::Bool => return if c.bits != 0 { "true" } else { "false" }.to_owned(),
        Scalar::F32 | Scalar::F64 => {
            let x = c.as_f64();
            if x.is_nan() {
                return if x.is_sign_negative() { "(-NAN)" } else { "NAN" }.to_owned();
            }
            if x.is_infinite() {
                return if x < 0.0 { "(-INFINITY)" } else { "INFINITY" }.to_owned();
            }
            match c.ty {
                Scalar::F32 => format!("{:?}f", f32::from_bits(c.bits as u32)),
                _ => format!("{x:?}"),
            }
        }
        Scalar::U64 => format!("UINT64_C({})", c.bits),
        Scalar::U32 => format!("UINT32_C({})", c.bits),
        _ => return int_literal(c.as_int().and_then(|x| i64::try_from(x).ok()).unwrap_or(0)),
    };
    if text.starts_with('-') { format!("({text})") } else { text }
}

/// Whether compilers may warn of a comparison of integers because they see what comes of it.
fn obvious(ty: Scalar, a: &str, b: &str) -> bool {
    let number = |mut text: &str| {
        while let Some((_, rest)) = text.split_once("_t)") {
            text = rest;
        }
        let text = text.trim_start_matches(['(', '-']);
        text.starts_with(|c: char| c.is_ascii_digit())
            || text.starts_with("INT64_")
            || text.starts_with("UINT")
    };
    let (min, max) = match ty.is_signed() {
        true => (-(1i128 << (ty.bits() - 1)), (1i128 << (ty.bits() - 1)) - 1),
        false => (0, (1i128 << ty.bits()) - 1),
    };
    let limit = |text: &str| [min, max].iter().any(|x| literal(Const::from_i128(ty, *x)) == text);
    let one =
        |a: &str, b: &str| limit(a) || (number(a) && (a.contains("_t)") || b.contains("_t)")));
    a == b || one(a, b) || one(b, a)
}

/// A text without the parentheses around all of it.
pub(super) fn bare(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) else {
        return text;
    };
    let mut depth = 0;
    for c in inner.chars() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return text,
            ')' => depth -= 1,
            _ => {}
        }
    }
    inner
}

impl Writer<'_> {
    /// A text for the value of an expression, computed in the current block.
    pub(super) fn compute(&mut self, x: ExprId) -> String {
        let kernel: &Kernel = self.k;
        let ty = self.types[x.0 as usize];
        match kernel.expr(x) {
            Expr::Const(c) => literal(*c),
            Expr::Local(l) => format!("l{}", l.0),
            Expr::Index(d) => self.dim(d),
            Expr::Load { param, at } => {
                self.params.insert(*param);
                let element = format!("p{param}[{}]", bare(&self.dim(at)));
                match kernel.params[*param as usize].elem {
                    Elem::Bool => format!("{element} != 0"),
                    Elem::F16 => format!("{}({element})", self.helpers.f32_of_f16()),
                    Elem::Bf16 => format!("{}({element})", self.helpers.f32_of_bf16()),
                    _ => element,
                }
            }
            Expr::Unary(op, a) => {
                let from = self.types[a.0 as usize];
                let a = self.value(*a);
                self.unary(*op, from, &a)
            }
            Expr::Binary(op, a, b) => {
                let from = self.types[a.0 as usize];
                let (a, b) = (self.value(*a), self.value(*b));
                self.binary(*op, from, &a, &b)
            }
            Expr::Select(c, a, b) => {
                let (c, a, b) = (self.value(*c), self.value(*a), self.value(*b));
                format!("{c} ? {a} : {b}")
            }
            Expr::Guard(c, a, b) => self.guard(x, *c, *a, *b),
            Expr::Cast(to, a) => {
                let from = self.types[a.0 as usize];
                let a = self.value(*a);
                match (*to, from) {
                    (Scalar::Bool, _) => format!("{a} != 0"),
                    (to, from) if from.is_float() && to.is_int() => {
                        format!("{}({a})", self.helpers.int_of(to, from))
                    }
                    (to, Scalar::Bool) if to.is_int() => format!("({})({a} ? 1 : 0)", c_type(to)),
                    (to, _) => format!("({}){a}", c_type(to)),
                }
            }
            Expr::Bitcast(to, a) => {
                let from = self.types[a.0 as usize];
                let a = self.value(*a);
                match from.is_float() || to.is_float() {
                    true if from != *to => format!("{}({a})", self.helpers.bits(*to, from)),
                    _ => format!("({}){a}", c_type(*to)),
                }
            }
            Expr::Narrow(narrow, a) => {
                let a = self.value(*a);
                narrowed(self.helpers, *narrow, ty, &a)
            }
            Expr::Reduce { kind, axes, x: each } => self.reduce(x, *kind, axes, *each),
            Expr::Check { ok, x, code } => {
                let ok = self.value(*ok);
                self.checks = true;
                let code = u64::from(*code) + 1;
                self.line(&format!("if (!{ok} && *status == 0) {{\n*status = {code};\n}}"));
                self.value(*x)
            }
        }
    }

    fn guard(&mut self, x: ExprId, c: ExprId, a: ExprId, b: ExprId) -> String {
        let c = self.value(c);
        let arm = || Level { conditional: true, ..Level::default() };
        self.open(arm());
        let a = self.value(a);
        let before_a = self.close();
        self.open(arm());
        let b = self.value(b);
        let before_b = self.close();
        if before_a.is_empty() && before_b.is_empty() {
            return format!("{c} ? {a} : {b}");
        }
        let name = self.name(x);
        self.line(&format!("{} {name};", c_type(self.types[x.0 as usize])));
        self.line(&format!(
            "if ({c}) {{\n{before_a}{name} = {a};\n}} else {{\n{before_b}{name} = {b};\n}}"
        ));
        name
    }

    fn reduce(&mut self, x: ExprId, kind: ReduceKind, axes: &[(Var, Dim)], each: ExprId) -> String {
        let ty = self.types[x.0 as usize];
        let wide = ty == Scalar::F32 && matches!(kind, ReduceKind::Sum | ReduceKind::Prod);
        let kept = if wide { Scalar::F64 } else { ty };
        let name = self.name(x);
        let start = literal(Kernel::neutral(kind, kept));
        self.line(&format!("{} {name} = {start};", c_type(kept)));
        self.axes(axes, &mut |w: &mut Self| {
            let value = w.value(each);
            let next = w.binary(Kernel::combine(kind), kept, &name, &value);
            w.line(&format!("{name} = {};", bare(&next)));
        });
        if wide { format!("(float){name}") } else { name }
    }

    fn axes(&mut self, axes: &[(Var, Dim)], body: &mut dyn FnMut(&mut Self)) {
        let Some(((var, extent), rest)) = axes.split_first() else { return body(self) };
        let n = self.extent(extent);
        let runs = extent.as_known().is_some_and(|k| k > 0);
        self.open(Level { header: true, conditional: !runs, ..Level::default() });
        self.open(Level { repeats: true, binds: vec![*var], ..Level::default() });
        self.axes(rest, body);
        let (inner, before) = (self.close(), self.close());
        let v = format!("v{}", var.0);
        let text = format!("{before}for (int64_t {v} = 0; {v} < {n}; {v}++) {{\n{inner}}}");
        if before.is_empty() || runs {
            self.line(&text);
        } else {
            self.line(&format!("if (0 < {n}) {{\n{text}\n}}"));
        }
    }

    fn unary(&mut self, op: UnOp, ty: Scalar, x: &str) -> String {
        let t = c_type(ty);
        if !ty.is_float() {
            return match op {
                UnOp::Neg => format!("({t})(0u - ({}){x})", wrap_type(ty)),
                UnOp::Abs if ty.is_signed() => format!("{}({x})", self.helpers.abs(ty)),
                UnOp::Abs => x.to_owned(),
                UnOp::Sign => format!("{}({x})", self.helpers.sign(ty)),
                _ if ty == Scalar::Bool => format!("!{x}"),
                // Compilers warn where they see what promotion does to it.
                _ => format!("{}({})", self.helpers.not(ty), bare(x)),
            };
        }
        let name = match op {
            UnOp::Neg => return format!("-{x}"),
            UnOp::Sign => return format!("{}({x})", self.helpers.sign(ty)),
            UnOp::IsNan => return format!("isnan({x}) != 0"),
            UnOp::Not => return x.to_owned(),
            UnOp::Abs => "fabs",
            UnOp::Floor => "floor",
            UnOp::Ceil => "ceil",
            UnOp::Round => "rint",
            UnOp::Sqrt => "sqrt",
            _ => op.function().unwrap_or_default(),
        };
        format!("{name}{}({})", if ty == Scalar::F32 { "f" } else { "" }, bare(x))
    }

    fn binary(&mut self, op: BinOp, ty: Scalar, a: &str, b: &str) -> String {
        let (t, w) = (c_type(ty), wrap_type(ty));
        let f = if ty == Scalar::F32 { "f" } else { "" };
        let (float, truth) = (ty.is_float(), ty == Scalar::Bool);
        let sign = match op {
            BinOp::Add => "+",
            BinOp::Sub => "-",
            BinOp::Mul => "*",
            BinOp::Div => "/",
            BinOp::And => "&",
            BinOp::Or => "|",
            BinOp::Xor => "^",
            BinOp::Eq => "==",
            BinOp::Lt => "<",
            BinOp::Le => "<=",
            _ => "",
        };
        let function = match op {
            BinOp::Eq | BinOp::Lt | BinOp::Le if truth || (!float && obvious(ty, a, b)) => {
                self.helpers.compare(ty, op)
            }
            BinOp::Eq | BinOp::Lt | BinOp::Le => return format!("{a} {sign} {b}"),
            BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Div if float => {
                return format!("{a} {sign} {b}");
            }
            BinOp::Add | BinOp::Sub | BinOp::Mul => {
                return format!("({t})(({w}){a} {sign} ({w}){b})");
            }
            BinOp::And | BinOp::Or | BinOp::Xor if truth => return format!("{a} {sign} {b}"),
            BinOp::And | BinOp::Or | BinOp::Xor => return format!("({t})({a} {sign} {b})"),
            BinOp::Rem if float => format!("fmod{f}"),
            BinOp::Pow if float => format!("pow{f}"),
            BinOp::Pow => self.helpers.pow(ty),
            BinOp::Div => self.helpers.div(ty),
            BinOp::FloorDiv => self.helpers.floor_div(ty),
            BinOp::Rem => self.helpers.rem(ty),
            BinOp::FloorRem => self.helpers.floor_rem(ty),
            BinOp::Max => self.helpers.extreme(ty, true, true),
            BinOp::Min => self.helpers.extreme(ty, false, true),
            BinOp::MaxNum => self.helpers.extreme(ty, true, false),
            BinOp::MinNum => self.helpers.extreme(ty, false, false),
            BinOp::Shl => self.helpers.shl(ty),
            BinOp::Shr => self.helpers.shr(ty),
        };
        format!("{function}({}, {})", bare(a), bare(b))
    }
}

/// A value of a type rounded as said.
pub(super) fn narrowed(helpers: &mut Helpers, narrow: Narrow, ty: Scalar, x: &str) -> String {
    let Narrow { to, saturate, rounding } = narrow;
    if !ty.is_float() {
        let bits = to.bits();
        if bits > ty.bits() || (bits == ty.bits() && to.is_signed_int() == ty.is_signed()) {
            return format!("({}){x}", c_type(ty));
        }
        let mask = u64::MAX >> (64 - bits);
        let low = format!("((uint64_t){x} & UINT64_C({mask}))");
        return match to.is_signed_int() {
            true => {
                let top = 1u64 << (bits - 1);
                format!("({})(({low} ^ UINT64_C({top})) - UINT64_C({top}))", c_type(ty))
            }
            false => format!("({}){low}", c_type(ty)),
        };
    }
    let Some(format) = to.float_format().filter(|_| to.bits() <= 16) else {
        return match (to, ty) {
            (DType::F32, Scalar::F64) => format!("(double)(float){x}"),
            _ => format!("({}){x}", c_type(ty)),
        };
    };
    let cast = if ty == Scalar::F32 { "(float)" } else { "" };
    if format.kind == FloatKind::PowerOfTwo {
        let mode = match rounding {
            CastRounding::Up => 0,
            CastRounding::Down => 1,
            CastRounding::Nearest => 2,
        };
        let f = helpers.narrow_power();
        return format!("{cast}{f}({x}, {}, {mode})", i32::from(saturate));
    }
    let max = format!("{:?}", format.max_finite());
    let (signs, nan) = match format.kind {
        FloatKind::Finite => (2, "0.0"),
        FloatKind::Fnuz => (1, "NAN"),
        _ => (0, "NAN"),
    };
    let over = match format.kind {
        FloatKind::Finite => &max,
        _ if saturate && to.bits() == 8 => &max,
        FloatKind::Ieee => "INFINITY",
        _ => "NAN",
    };
    let f = helpers.narrow();
    let (man, exp) = (format.man_bits, format.min_exp());
    format!("{cast}{f}({x}, {man}, {exp}, {max}, {over}, {nan}, {signs})")
}
