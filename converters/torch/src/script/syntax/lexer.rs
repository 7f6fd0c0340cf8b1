//! Characters to tokens, with indentation as brackets.

use std::sync::Arc;

use crate::error::FileError;

/// A token with its line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: Tok,
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tok {
    Name(String),
    /// Below 2^64: the sign is a token of its own.
    Int(u64),
    Float(f64),
    Imaginary(f64),
    Str(Arc<str>),
    /// An operator or bracket.
    Op(&'static str),
    Newline,
    Indent,
    Dedent,
    End,
}

/// Operators and brackets; those that begin like a shorter one come first.
const OPS: &[&str] = &[
    "...", "**", "//", "->", "<=", ">=", "==", "!=", "<<", ">>", "(", ")", "[", "]", "{", "}", ",",
    ":", ".", "=", "+", "-", "*", "/", "%", "@", "<", ">", "&", "|", "^", "~", ";",
];

/// The tokens of a text.
pub(super) fn tokens(path: &str, text: &str) -> Result<Vec<Token>, FileError> {
    let lexer = Lexer { path, text, at: 0, line: 1, open: 0, indents: vec![0], out: Vec::new() };
    lexer.run()
}

struct Lexer<'a> {
    path: &'a str,
    text: &'a str,
    at: usize,
    line: u32,
    /// How many brackets are open; line ends count only where none is.
    open: usize,
    indents: Vec<usize>,
    out: Vec<Token>,
}

impl Lexer<'_> {
    fn run(mut self) -> Result<Vec<Token>, FileError> {
        loop {
            if self.open == 0 && self.at_line_start() && !self.indentation()? {
                continue;
            }
            let Some(c) = self.peek() else { break };
            match c {
                '\n' => {
                    if self.open == 0 {
                        self.push(Tok::Newline);
                    }
                    self.at += 1;
                    self.line += 1;
                }
                ' ' | '\t' | '\r' => self.at += 1,
                '#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                '\\' if self.rest().starts_with("\\\n") => {
                    self.at += 2;
                    self.line += 1;
                }
                '"' | '\'' => self.string(c)?,
                c if c.is_alphabetic() || c == '_' => self.name(),
                c if c.is_ascii_digit() => self.number()?,
                '.' if self.rest().as_bytes().get(1).is_some_and(u8::is_ascii_digit) => {
                    self.number()?;
                }
                other => self.operator(other)?,
            }
        }
        if !matches!(self.out.last(), None | Some(Token { kind: Tok::Newline, .. })) {
            self.push(Tok::Newline);
        }
        while self.indents.len() > 1 {
            self.indents.pop();
            self.push(Tok::Dedent);
        }
        self.push(Tok::End);
        Ok(self.out)
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }
    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }
    fn push(&mut self, kind: Tok) {
        self.out.push(Token { kind, line: self.line });
    }
    fn bad<T>(&self, message: impl Into<String>) -> Result<T, FileError> {
        Err(FileError::malformed(format!("{}:{}", self.path, self.line), message))
    }
    fn at_line_start(&self) -> bool {
        self.at == 0 || self.text.as_bytes().get(self.at - 1) == Some(&b'\n')
    }

    /// Takes the indentation of a line; whether the line has something on it.
    fn indentation(&mut self) -> Result<bool, FileError> {
        let rest = self.rest();
        let width = rest.len() - rest.trim_start_matches(' ').len();
        let after = rest.get(width..).unwrap_or_default();
        if after.is_empty() || after.starts_with(['\n', '\r', '#']) {
            match rest.find('\n') {
                Some(end) => {
                    self.at += end + 1;
                    self.line += 1;
                }
                None => self.at = self.text.len(),
            }
            return Ok(self.at >= self.text.len());
        }
        if after.starts_with('\t') {
            return self.bad("a line begins with a tab");
        }
        self.at += width;
        let current = self.indents.last().copied().unwrap_or(0);
        if width > current {
            self.indents.push(width);
            self.push(Tok::Indent);
        }
        while self.indents.last().is_some_and(|&i| i > width) {
            self.indents.pop();
            self.push(Tok::Dedent);
        }
        if self.indents.last() != Some(&width) {
            return self.bad("the indentation fits no line before");
        }
        Ok(true)
    }

    fn name(&mut self) {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default().to_owned();
        self.at += end;
        self.push(Tok::Name(name));
    }

    fn number(&mut self) -> Result<(), FileError> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let digits = |mut i: usize| {
            while bytes.get(i).is_some_and(u8::is_ascii_digit) {
                i += 1;
            }
            i
        };
        let mut end = digits(0);
        let mut float = false;
        if bytes.get(end) == Some(&b'.') {
            (end, float) = (digits(end + 1), true);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent > end + 1 + sign {
                (end, float) = (exponent, true);
            }
        }
        let text = rest.get(..end).unwrap_or_default();
        let imaginary = bytes.get(end) == Some(&b'j');
        let token = match (float || imaginary, text.parse::<f64>(), text.parse::<u64>()) {
            (false, _, Ok(n)) => Tok::Int(n),
            (true, Ok(v), _) if imaginary => Tok::Imaginary(v),
            (true, Ok(v), _) => Tok::Float(v),
            _ => return self.bad(format!("`{text}` is no number that fits")),
        };
        self.at += end + usize::from(imaginary);
        self.push(token);
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), FileError> {
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        let mut out = Vec::new();
        loop {
            match bytes.get(at) {
                None | Some(b'\n') => return self.bad("a text does not end on its line"),
                Some(&b) if b == quote as u8 => break,
                Some(b'\\') => {
                    at = escape(bytes, at + 1, &mut out)
                        .map_or_else(|| self.bad("a text has an escape that is not known"), Ok)?
                }
                Some(&b) => {
                    out.push(b);
                    at += 1;
                }
            }
        }
        self.at = at + 1;
        match String::from_utf8(out) {
            Ok(text) => self.push(Tok::Str(text.into())),
            Err(_) => return self.bad("a text is not UTF-8"),
        }
        Ok(())
    }

    fn operator(&mut self, c: char) -> Result<(), FileError> {
        let Some(op) = OPS.iter().find(|op| self.rest().starts_with(**op)) else {
            return self.bad(format!("`{c}` is not understood"));
        };
        match *op {
            "(" | "[" | "{" => self.open += 1,
            ")" | "]" | "}" => self.open = self.open.saturating_sub(1),
            _ => {}
        }
        self.at += op.len();
        self.push(Tok::Op(op));
        Ok(())
    }
}

/// Appends what follows a backslash; the position after it.
fn escape(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Option<usize> {
    let plain = match *bytes.get(at)? {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'a' => 7,
        b'b' => 8,
        b'v' => 11,
        b'f' => 12,
        c @ (b'\\' | b'"' | b'\'') => c,
        b'x' => {
            let digits = std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            return Some(at + 3);
        }
        b'0'..=b'7' => {
            let octal = bytes.get(at..)?.iter().take(3).take_while(|b| (b'0'..=b'7').contains(b));
            let (count, value) =
                octal.fold((0, 0u32), |(n, v), b| (n + 1, v * 8 + u32::from(b - b'0')));
            out.push(u8::try_from(value).ok()?);
            return Some(at + count);
        }
        _ => return None,
    };
    out.push(plain);
    Some(at + 1)
}
