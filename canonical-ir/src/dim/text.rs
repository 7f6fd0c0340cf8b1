//! The text form of sizes: `2*N + 3`, `floordiv(N, 2)`, `max(N, "my axis")`, `?`.
//!
//! ```text
//! sum     = ["-"] product { ("+" | "-") product }
//! product = factor { "*" factor }
//! factor  = "-" factor | integer | name | function "(" sum { "," sum } ")" | "(" sum ")" | "?"
//! name    = [A-Za-z_][A-Za-z0-9_.]* | '"' characters and escapes '"'
//! ```

use std::fmt::{self, Write as _};

use super::{Atom, Dim};
use crate::entity::SymbolId;

/// Longest text that [`parse_dim`] reads, in bytes.
const MAX_LENGTH: usize = 1 << 16;
/// Deepest nesting of parentheses and signs that [`parse_dim`] reads.
const MAX_NESTING: usize = 64;

/// Why a text is not a size. Positions count bytes from the start.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DimParseError {
    /// Something else stands where the grammar asks for `expected`.
    #[error("expected {expected} at byte {at}")]
    Expected {
        /// Where.
        at: usize,
        /// What the grammar asks for.
        expected: &'static str,
    },
    /// The caller knows no symbol of this name.
    #[error("unknown symbol {name:?} at byte {at}")]
    UnknownSymbol {
        /// Where the name starts.
        at: usize,
        /// The name without quotes and escapes.
        name: String,
    },
    /// There is no function of this name.
    #[error("unknown function {name:?} at byte {at}")]
    UnknownFunction {
        /// Where the name starts.
        at: usize,
        /// The name.
        name: String,
    },
    /// A function has too few or too many arguments.
    #[error("{name} at byte {at} cannot take {count} argument(s)")]
    Arguments {
        /// Where the function starts.
        at: usize,
        /// The function.
        name: &'static str,
        /// How many arguments stand there.
        count: usize,
    },
    /// An integer does not fit in 64 bits with sign.
    #[error("integer at byte {at} is out of range")]
    IntegerRange {
        /// Where the integer starts.
        at: usize,
    },
    /// Parentheses or signs are nested too deeply.
    #[error("nesting at byte {at} is too deep")]
    TooDeep {
        /// Where the limit is crossed.
        at: usize,
    },
    /// The text is longer than any expression may be.
    #[error("text of {length} bytes is too long")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
}

/// Writes a [`Dim`] with the names of its symbols; see [`Dim::display`].
pub struct DimDisplay<'a> {
    dim: &'a Dim,
    names: &'a dyn Fn(SymbolId) -> String,
}

impl fmt::Display for DimDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dim.write(f, &|f, s| write_name(f, &(self.names)(s)))
    }
}

type SymbolWriter<'a> = &'a dyn Fn(&mut fmt::Formatter<'_>, SymbolId) -> fmt::Result;

impl Dim {
    /// The text form. Names that are not plain identifiers are quoted. [`parse_dim`] reads it back
    /// as the same `Dim` when the names are distinct, and its text is not over the parser's limits.
    pub fn display<'a>(&'a self, names: &'a dyn Fn(SymbolId) -> String) -> DimDisplay<'a> {
        DimDisplay { dim: self, names }
    }

    pub(super) fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        symbol: SymbolWriter<'_>,
    ) -> fmt::Result {
        let e = match self {
            Dim::Known(k) => return write!(f, "{k}"),
            Dim::Any => return f.write_char('?'),
            Dim::Expr(e) => e,
        };
        for (i, term) in e.terms().iter().enumerate() {
            // i64::MIN has no positive counterpart to stand after a minus.
            let minus = term.coeff() < 0 && term.coeff() != i64::MIN;
            f.write_str(match (i, minus) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            })?;
            let factor = if minus { -term.coeff() } else { term.coeff() };
            if factor != 1 || term.atoms().is_empty() {
                write!(f, "{factor}")?;
                if !term.atoms().is_empty() {
                    f.write_char('*')?;
                }
            }
            for (i, atom) in term.atoms().iter().enumerate() {
                if i > 0 {
                    f.write_char('*')?;
                }
                let name = match atom {
                    Atom::Symbol(s) => {
                        symbol(f, *s)?;
                        continue;
                    }
                    Atom::FloorDiv(..) => "floordiv",
                    Atom::CeilDiv(..) => "ceildiv",
                    Atom::Mod(..) => "mod",
                    Atom::Min(_) => "min",
                    Atom::Max(_) => "max",
                    Atom::Broadcast(_) => "broadcast",
                };
                f.write_str(name)?;
                for (i, arg) in atom.args().enumerate() {
                    f.write_str(if i == 0 { "(" } else { ", " })?;
                    arg.write(f, symbol)?;
                }
                f.write_char(')')?;
            }
        }
        Ok(())
    }
}

fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn continues_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    if name.starts_with(starts_name) && name.chars().all(continues_name) {
        return f.write_str(name);
    }
    f.write_char('"')?;
    for c in name.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// Reads the text form of a size. `lookup` gives the symbol of a name.
///
/// Text of more than 64 KiB and nesting of more than 64 levels are errors. An expression over the
/// limits of [`Dim`] reads as `Any`.
pub fn parse_dim(
    text: &str,
    lookup: &mut dyn FnMut(&str) -> Option<SymbolId>,
) -> Result<Dim, DimParseError> {
    if text.len() > MAX_LENGTH {
        return Err(DimParseError::TooLong { length: text.len() });
    }
    let mut parser = Parser { text, at: 0, depth: 0, lookup };
    let dim = parser.sum()?;
    match parser.peek() {
        None => Ok(dim),
        Some(_) => Err(parser.expected("an operator or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    lookup: &'a mut dyn FnMut(&str) -> Option<SymbolId>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The next character that is not white space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed.chars().next()
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn take_while(&mut self, accept: fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or("")
    }

    fn expected(&self, expected: &'static str) -> DimParseError {
        DimParseError::Expected { at: self.at, expected }
    }

    fn nested<T>(
        &mut self,
        f: impl FnOnce(&mut Self) -> Result<T, DimParseError>,
    ) -> Result<T, DimParseError> {
        if self.depth >= MAX_NESTING {
            return Err(DimParseError::TooDeep { at: self.at });
        }
        self.depth += 1;
        let out = f(self);
        self.depth -= 1;
        out
    }

    fn sum(&mut self) -> Result<Dim, DimParseError> {
        let mut sum = self.product()?;
        loop {
            if self.eat('+') {
                sum = sum.add(&self.product()?);
            } else if self.eat('-') {
                sum = sum.sub(&self.product()?);
            } else {
                return Ok(sum);
            }
        }
    }

    fn product(&mut self) -> Result<Dim, DimParseError> {
        let mut product = self.factor()?;
        while self.eat('*') {
            product = product.mul(&self.factor()?);
        }
        Ok(product)
    }

    fn factor(&mut self) -> Result<Dim, DimParseError> {
        match self.peek() {
            Some('?') => {
                self.at += 1;
                Ok(Dim::Any)
            }
            Some('-') => {
                self.at += 1;
                if self.peek().is_some_and(|c| c.is_ascii_digit()) {
                    return self.integer(true);
                }
                self.nested(|p| p.factor()).map(|d| d.neg())
            }
            Some('(') => {
                self.at += 1;
                let inner = self.nested(|p| p.sum())?;
                if self.eat(')') { Ok(inner) } else { Err(self.expected("`)`")) }
            }
            Some('"') => {
                let at = self.at;
                let name = self.quoted()?;
                self.symbol(at, &name)
            }
            Some(c) if c.is_ascii_digit() => self.integer(false),
            Some(c) if starts_name(c) => {
                let at = self.at;
                let name = self.take_while(continues_name);
                if self.eat('(') { self.function(at, name) } else { self.symbol(at, name) }
            }
            _ => Err(self.expected("a size")),
        }
    }

    fn symbol(&mut self, at: usize, name: &str) -> Result<Dim, DimParseError> {
        match (self.lookup)(name) {
            Some(id) => Ok(Dim::symbol(id)),
            None => Err(DimParseError::UnknownSymbol { at, name: name.to_owned() }),
        }
    }

    fn integer(&mut self, negative: bool) -> Result<Dim, DimParseError> {
        let at = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit());
        let value = digits.parse::<u64>().ok().and_then(|v| {
            if negative { 0i64.checked_sub_unsigned(v) } else { i64::try_from(v).ok() }
        });
        value.map(Dim::Known).ok_or(DimParseError::IntegerRange { at })
    }

    fn quoted(&mut self) -> Result<String, DimParseError> {
        // The opening quote is one byte.
        self.at += 1;
        let mut name = String::new();
        loop {
            let at = self.at;
            let mut chars = self.rest().chars();
            let Some(c) = chars.next() else { return Err(self.expected("`\"`")) };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(name),
                '\\' => {
                    let escape = chars.next();
                    self.at += escape.map_or(0, char::len_utf8);
                    name.push(match escape {
                        Some(c @ ('"' | '\\')) => c,
                        Some('n') => '\n',
                        Some('r') => '\r',
                        Some('t') => '\t',
                        Some('u') => self.code_point(at)?,
                        _ => return Err(DimParseError::Expected { at, expected: "an escape" }),
                    });
                }
                c => name.push(c),
            }
        }
    }

    /// `{hex digits}`
    fn code_point(&mut self, at: usize) -> Result<char, DimParseError> {
        let digits = self
            .rest()
            .strip_prefix('{')
            .and_then(|r| r.split_once('}'))
            .map(|(digits, _)| digits)
            .filter(|d| (1..=6).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_hexdigit()));
        let c = digits
            .and_then(|d| u32::from_str_radix(d, 16).ok())
            .and_then(char::from_u32)
            .ok_or(DimParseError::Expected { at, expected: "a code point such as \\u{7f}" })?;
        self.at += digits.map_or(0, str::len) + 2;
        Ok(c)
    }

    /// The arguments and the closing parenthesis of a function.
    fn function(&mut self, at: usize, name: &str) -> Result<Dim, DimParseError> {
        type Binary = fn(&Dim, &Dim) -> Dim;
        type List = fn(Vec<Dim>) -> Dim;
        let (name, binary, list): (&'static str, Option<Binary>, List) = match name {
            "floordiv" => ("floordiv", Some(Dim::floor_div), |_| Dim::Any),
            "ceildiv" => ("ceildiv", Some(Dim::ceil_div), |_| Dim::Any),
            "mod" => ("mod", Some(Dim::rem), |_| Dim::Any),
            "min" => ("min", None, |v| Dim::min_all(v)),
            "max" => ("max", None, |v| Dim::max_all(v)),
            "broadcast" => ("broadcast", None, |v| Dim::broadcast_all(v)),
            _ => return Err(DimParseError::UnknownFunction { at, name: name.to_owned() }),
        };
        let mut args = Vec::new();
        if self.peek() != Some(')') {
            args = self.nested(|p| {
                let mut args = vec![p.sum()?];
                while p.eat(',') {
                    args.push(p.sum()?);
                }
                Ok(args)
            })?;
        }
        if !self.eat(')') {
            return Err(self.expected("`,` or `)`"));
        }
        match (binary, &args[..]) {
            (Some(f), [a, b]) => Ok(f(a, b)),
            (None, [_, ..]) => Ok(list(args)),
            _ => Err(DimParseError::Arguments { at, name, count: args.len() }),
        }
    }
}
