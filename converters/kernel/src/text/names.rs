//! Spellings that the printer and the parser share.

use airconv_ir::op::{CastRounding, ReduceKind};

use crate::ir::{Access, BinOp, LoopKind, Scalar, UnOp};

/// A list of values with their spellings.
pub(super) type Table<T> = &'static [(T, &'static str)];

pub(super) const UNARY: Table<UnOp> = &[
    (UnOp::Neg, "neg"),
    (UnOp::Abs, "abs"),
    (UnOp::Sign, "sign"),
    (UnOp::Floor, "floor"),
    (UnOp::Ceil, "ceil"),
    (UnOp::Round, "round"),
    (UnOp::Sqrt, "sqrt"),
    (UnOp::Exp, "exp"),
    (UnOp::Log, "log"),
    (UnOp::Sin, "sin"),
    (UnOp::Cos, "cos"),
    (UnOp::Tan, "tan"),
    (UnOp::Asin, "asin"),
    (UnOp::Acos, "acos"),
    (UnOp::Atan, "atan"),
    (UnOp::Sinh, "sinh"),
    (UnOp::Cosh, "cosh"),
    (UnOp::Tanh, "tanh"),
    (UnOp::Asinh, "asinh"),
    (UnOp::Acosh, "acosh"),
    (UnOp::Atanh, "atanh"),
    (UnOp::Erf, "erf"),
    (UnOp::Not, "not"),
    (UnOp::IsNan, "is_nan"),
];

pub(super) const BINARY: Table<BinOp> = &[
    (BinOp::Add, "add"),
    (BinOp::Sub, "sub"),
    (BinOp::Mul, "mul"),
    (BinOp::Div, "div"),
    (BinOp::FloorDiv, "floor_div"),
    (BinOp::Rem, "rem"),
    (BinOp::FloorRem, "floor_rem"),
    (BinOp::Pow, "pow"),
    (BinOp::Max, "max"),
    (BinOp::Min, "min"),
    (BinOp::MaxNum, "max_num"),
    (BinOp::MinNum, "min_num"),
    (BinOp::And, "and"),
    (BinOp::Or, "or"),
    (BinOp::Xor, "xor"),
    (BinOp::Shl, "shl"),
    (BinOp::Shr, "shr"),
    (BinOp::Eq, "eq"),
    (BinOp::Lt, "lt"),
    (BinOp::Le, "le"),
];

pub(super) const REDUCE: Table<ReduceKind> = &[
    (ReduceKind::Sum, "sum"),
    (ReduceKind::Prod, "prod"),
    (ReduceKind::Max, "max"),
    (ReduceKind::Min, "min"),
    (ReduceKind::And, "and"),
    (ReduceKind::Or, "or"),
];

pub(super) const ROUNDING: Table<CastRounding> =
    &[(CastRounding::Up, "up"), (CastRounding::Down, "down"), (CastRounding::Nearest, "nearest")];

pub(super) const LOOPS: Table<LoopKind> = &[
    (LoopKind::Serial, "serial"),
    (LoopKind::Independent, "independent"),
    (LoopKind::Vector, "vector"),
];

pub(super) const ACCESS: Table<Access> =
    &[(Access::Read, "read"), (Access::Write, "write"), (Access::ReadWrite, "readwrite")];

pub(super) const SCALARS: [Scalar; 11] = [
    Scalar::Bool,
    Scalar::I8,
    Scalar::I16,
    Scalar::I32,
    Scalar::I64,
    Scalar::U8,
    Scalar::U16,
    Scalar::U32,
    Scalar::U64,
    Scalar::F32,
    Scalar::F64,
];

/// The spelling of a value.
pub(super) fn name<T: PartialEq>(table: Table<T>, value: &T) -> &'static str {
    table.iter().find(|(v, _)| v == value).map_or("?", |(_, name)| name)
}

/// The value of a spelling.
pub(super) fn value<T: Copy>(table: Table<T>, name: &str) -> Option<T> {
    table.iter().find(|(_, n)| *n == name).map(|(v, _)| *v)
}

/// A text in quotes, on one line.
pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The text between quotes at the start, and what follows it.
pub(super) fn unquote(text: &str) -> Option<(String, &str)> {
    let rest = text.strip_prefix('"')?;
    let (mut out, mut chars) = (String::new(), rest.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &rest[at + 1..])),
            '\\' => match chars.next()?.1 {
                c @ ('"' | '\\') => out.push(c),
                'n' => out.push('\n'),
                'u' => {
                    if chars.next()?.1 != '{' {
                        return None;
                    }
                    let mut code = String::new();
                    loop {
                        match chars.next()?.1 {
                            '}' => break,
                            c => code.push(c),
                        }
                    }
                    out.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
                }
                _ => return None,
            },
            c => out.push(c),
        }
    }
    None
}
