//! The printer of kernels.

use std::fmt::Write;

use airconv_ir::dim::Dim;

use super::names::{ACCESS, BINARY, LOOPS, REDUCE, ROUNDING, UNARY, name, quote};
use crate::check::types;
use crate::ir::{Const, Expr, Kernel, Scalar, Stmt, VarDef};

/// The text form of a kernel. Kernels that break a rule have one as well.
pub fn print(kernel: &Kernel) -> String {
    let mut out = String::new();
    print_kernel(&mut out, kernel, "");
    out
}

/// Writes a line; writing to a string cannot fail.
macro_rules! line {
    ($out:expr, $indent:expr, $($arg:tt)*) => {{
        $out.push_str($indent);
        let _ = writeln!($out, $($arg)*);
    }};
}
pub(super) use line;

pub(super) fn print_kernel(out: &mut String, kernel: &Kernel, indent: &str) {
    let inner = &format!("{indent}  ");
    out.push_str(indent);
    out.push_str("kernel ");
    quote(out, &kernel.name);
    out.push_str(" {\n");
    for (i, p) in kernel.params.iter().enumerate() {
        line!(out, inner, "param p{i} = {} {}", name(ACCESS, &p.access), p.elem.name());
    }
    line!(out, inner, "sizes {}", kernel.sizes);
    for (i, var) in kernel.vars.iter().enumerate() {
        match var {
            VarDef::Size(n) => line!(out, inner, "var v{i} = size {n}"),
            VarDef::Counter => line!(out, inner, "var v{i} = counter"),
            VarDef::Value(x) => line!(out, inner, "var v{i} = value e{}", x.0),
        }
    }
    for (i, ty) in kernel.locals.iter().enumerate() {
        line!(out, inner, "local l{i} = {}", ty.name());
    }
    let types = types(kernel);
    for (i, expr) in kernel.exprs.iter().enumerate() {
        let text = expression(expr);
        match types[i] {
            Some(ty) => line!(out, inner, "e{i} = {text} : {}", ty.name()),
            None => line!(out, inner, "e{i} = {text}"),
        }
    }
    statements(out, &kernel.body, inner);
    line!(out, indent, "}}");
}

/// An index expression.
pub(super) fn dim(d: &Dim) -> String {
    d.display(&|s| format!("v{}", s.0)).to_string()
}

/// A constant without its type.
fn constant(c: Const) -> String {
    match c.ty {
        Scalar::Bool if c.bits < 2 => (c.bits == 1).to_string(),
        Scalar::F32 if c.bits <= u64::from(u32::MAX) => {
            let x = f32::from_bits(c.bits as u32);
            if x.is_nan() { format!("{:#x}", c.bits) } else { format!("{x:?}") }
        }
        Scalar::F64 => {
            let x = f64::from_bits(c.bits);
            if x.is_nan() { format!("{:#x}", c.bits) } else { format!("{x:?}") }
        }
        _ => match c.as_int() {
            Some(x) if Const::from_i128(c.ty, x) == c => x.to_string(),
            _ => format!("{:#x}", c.bits),
        },
    }
}

fn expression(expr: &Expr) -> String {
    match expr {
        Expr::Const(c) => format!("const {} {}", c.ty.name(), constant(*c)),
        Expr::Index(d) => format!("index [{}]", dim(d)),
        Expr::Load { param, at } => format!("load p{param} [{}]", dim(at)),
        Expr::Local(l) => format!("local l{}", l.0),
        Expr::Unary(op, x) => format!("{} e{}", name(UNARY, op), x.0),
        Expr::Binary(op, a, b) => format!("{} e{} e{}", name(BINARY, op), a.0, b.0),
        Expr::Select(c, a, b) => format!("select e{} e{} e{}", c.0, a.0, b.0),
        Expr::Guard(c, a, b) => format!("guard e{} e{} e{}", c.0, a.0, b.0),
        Expr::Cast(to, x) => format!("cast {} e{}", to.name(), x.0),
        Expr::Bitcast(to, x) => format!("bitcast {} e{}", to.name(), x.0),
        Expr::Narrow(n, x) => {
            let saturate = if n.saturate { "saturating" } else { "overflowing" };
            format!("narrow {} {saturate} {} e{}", n.to, name(ROUNDING, &n.rounding), x.0)
        }
        Expr::Reduce { kind, axes, x } => {
            let axis = |(var, extent): &(_, Dim)| axis(*var, extent);
            let axes: Vec<String> = axes.iter().map(axis).collect();
            format!("reduce {} [{}] e{}", name(REDUCE, kind), axes.join(", "), x.0)
        }
        Expr::Check { ok, x, code } => format!("check e{} e{} fails {code}", ok.0, x.0),
    }
}

fn axis(var: crate::ir::Var, extent: &Dim) -> String {
    format!("v{} < {}", var.0, dim(extent))
}

fn statements(out: &mut String, list: &[Stmt], indent: &str) {
    let inner = &format!("{indent}  ");
    for stmt in list {
        match stmt {
            Stmt::For { var, extent, kind, body } => {
                line!(out, indent, "{} v{} < [{}] {{", name(LOOPS, kind), var.0, dim(extent));
                statements(out, body, inner);
                line!(out, indent, "}}");
            }
            Stmt::Store { param, at, value } => {
                line!(out, indent, "p{param} [{}] = e{}", dim(at), value.0);
            }
            Stmt::Set { local, value } => line!(out, indent, "l{} = e{}", local.0, value.0),
            Stmt::If { cond, then, otherwise } => {
                line!(out, indent, "if e{} {{", cond.0);
                statements(out, then, inner);
                if !otherwise.is_empty() {
                    line!(out, indent, "}} else {{");
                    statements(out, otherwise, inner);
                }
                line!(out, indent, "}}");
            }
            Stmt::While { cond, body } => {
                line!(out, indent, "while e{} {{", cond.0);
                statements(out, body, inner);
                line!(out, indent, "}}");
            }
        }
    }
}
