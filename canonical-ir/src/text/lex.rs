//! Tokens: names, ids, strings, numbers, hexadecimal data.

use super::{ErrorKind, TextLimits};

/// What is wrong, and at which byte.
#[derive(Debug)]
pub(super) struct Fail {
    pub(super) kind: ErrorKind,
    pub(super) at: usize,
    pub(super) message: String,
}

/// The result of reading a part of the text.
pub(super) type Parsed<T> = Result<T, Box<Fail>>;

/// An error at a byte of the text.
pub(super) fn fail<T>(kind: ErrorKind, at: usize, message: impl Into<String>) -> Parsed<T> {
    Err(Box::new(Fail { kind, at, message: message.into() }))
}

/// Longest text of a size that is looked at; the parser of sizes takes no longer ones.
const MAX_DIM: usize = 1 << 16;

/// A number as it stands in the text.
#[derive(Clone, Copy)]
pub(super) struct Number<'a> {
    pub(super) at: usize,
    pub(super) text: &'a str,
    /// Whether it is written as an integer.
    pub(super) integer: bool,
}

/// A place in the text.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    limits: &'a TextLimits,
}

pub(super) fn starts_name(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_'
}

pub(super) fn continues_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'.'
}

/// Whether the text is one name token.
pub(super) fn is_name(text: &str) -> bool {
    text.bytes().next().is_some_and(starts_name) && text.bytes().all(continues_name)
}

/// The number in an id such as `n12`, in its one spelling.
pub(super) fn id_number(text: &str, prefix: &str) -> Option<u32> {
    let digits = text.strip_prefix(prefix)?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let canonical = digits == "0" || !digits.starts_with('0');
    (plain && canonical).then(|| digits.parse().ok()).flatten()
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, limits: &'a TextLimits) -> Parsed<Self> {
        if text.len() > limits.bytes {
            let message =
                format!("the text has {} bytes, the limit is {}", text.len(), limits.bytes);
            return fail(ErrorKind::Limit, 0, message);
        }
        Ok(Self { text, at: 0, limits })
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or(&[])
    }

    fn between(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or("")
    }

    /// The next byte that belongs to a token.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            let rest = self.rest();
            match rest.first()? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'/' if rest.get(1) == Some(&b'/') => {
                    self.at += rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
                }
                &b => return Some(b),
            }
        }
    }

    /// The place of the next token.
    pub(super) fn here(&mut self) -> usize {
        self.peek();
        self.at
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// An error at the next token.
    pub(super) fn expected<T>(&mut self, what: impl std::fmt::Display) -> Parsed<T> {
        let at = self.here();
        fail(ErrorKind::Syntax, at, format!("expected {what}"))
    }

    pub(super) fn expect(&mut self, byte: u8) -> Parsed<()> {
        match self.eat(byte) {
            true => Ok(()),
            false => self.expected(format_args!("`{}`", char::from(byte))),
        }
    }

    fn check_token(&self, start: usize) -> Parsed<()> {
        match self.at - start > self.limits.token {
            true => fail(ErrorKind::Limit, start, "a name, string or number is too long"),
            false => Ok(()),
        }
    }

    /// The next token, if it is a name, without going past it.
    pub(super) fn peek_name(&mut self) -> Option<&'a str> {
        self.peek().filter(|&b| starts_name(b))?;
        let rest = self.rest();
        let length = rest.iter().position(|&b| !continues_name(b)).unwrap_or(rest.len());
        (length <= self.limits.token).then(|| self.between(self.at, self.at + length))
    }

    /// The next token, which must be a name.
    pub(super) fn name(&mut self, what: &str) -> Parsed<&'a str> {
        match self.peek_name() {
            Some(name) => {
                self.at += name.len();
                Ok(name)
            }
            None => self.expected(what),
        }
    }

    /// Goes past the next token if it is this name.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let found = self.peek_name() == Some(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// The number of an id whose prefix is a name, such as `n12`, if that is the next token.
    pub(super) fn named_id(&mut self, prefix: &str) -> Option<u32> {
        let name = self.peek_name()?;
        let id = id_number(name, prefix)?;
        self.at += name.len();
        Some(id)
    }

    /// The number of an id such as `%12`.
    pub(super) fn id(&mut self, prefix: u8) -> Parsed<u32> {
        let start = self.here();
        self.expect(prefix)?;
        let rest = self.rest();
        let length = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        let digits = self.between(self.at, self.at + length);
        match id_number(digits, "") {
            Some(id) if length > 0 => {
                self.at += length;
                Ok(id)
            }
            _ => fail(
                ErrorKind::Syntax,
                start,
                format!("expected an id: `{}` and a number of 32 bits", char::from(prefix)),
            ),
        }
    }

    pub(super) fn string(&mut self) -> Parsed<String> {
        let start = self.here();
        if !self.eat(b'"') {
            return self.expected("a string");
        }
        let mut out = String::new();
        loop {
            let plain = self.rest().iter().position(|b| matches!(b, b'"' | b'\\' | b'\n'));
            let Some(plain) = plain else {
                return fail(ErrorKind::Syntax, start, "the string has no end");
            };
            out.push_str(self.between(self.at, self.at + plain));
            self.at += plain;
            self.check_token(start)?;
            match self.rest().first() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => return fail(ErrorKind::Syntax, start, "the string has no end on its line"),
            }
        }
    }

    /// An escape, from its backslash on.
    fn escape(&mut self) -> Parsed<char> {
        let at = self.at;
        let escape = self.rest().get(1).copied();
        self.at += 2;
        Ok(match escape {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let rest = self.rest();
                let end = rest.iter().take(8).position(|&b| b == b'}').unwrap_or(0);
                let digits = self.between(self.at + 1, self.at + end);
                let code = (rest.first() == Some(&b'{') && !digits.starts_with('+'))
                    .then(|| u32::from_str_radix(digits, 16).ok())
                    .flatten()
                    .and_then(char::from_u32);
                self.at += end + 1;
                match code {
                    Some(c) => c,
                    None => {
                        return fail(
                            ErrorKind::Syntax,
                            at,
                            "expected a code point such as \\u{7f}",
                        );
                    }
                }
            }
            _ => return fail(ErrorKind::Syntax, at, r#"expected one of \" \\ \n \r \t \u{...}"#),
        })
    }

    /// Hexadecimal data in quotes.
    pub(super) fn hex(&mut self) -> Parsed<Vec<u8>> {
        let start = self.here();
        if !self.eat(b'"') {
            return self.expected("hexadecimal digits in quotes");
        }
        let rest = self.rest();
        let Some(length) = rest.iter().position(|&b| b == b'"') else {
            return fail(ErrorKind::Syntax, start, "the data has no end");
        };
        let digit = |b: u8| char::from(b).to_digit(16);
        let pair = |p: &[u8]| match *p {
            [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
            _ => None,
        };
        let digits = rest.get(..length).unwrap_or(&[]);
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
        self.at += length + 1;
        match bytes {
            Some(bytes) => Ok(bytes),
            None => fail(ErrorKind::Syntax, start, "expected pairs of hexadecimal digits"),
        }
    }

    /// A number, or a name that stands for one.
    pub(super) fn number(&mut self) -> Parsed<Number<'a>> {
        let at = self.here();
        let digits = |c: &mut Self| {
            let rest = c.rest();
            let n = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
            c.at += n;
            n > 0
        };
        let mut integer = true;
        if self.peek().is_some_and(starts_name) {
            match self.name("a number")? {
                "true" | "false" | "inf" | "nan" => integer = false,
                _ => return fail(ErrorKind::Syntax, at, "expected a number"),
            }
        } else {
            self.at += usize::from(self.rest().first() == Some(&b'-'));
            if self.rest().starts_with(b"inf") {
                self.at += 3;
                integer = false;
            } else {
                if !digits(self) {
                    return fail(ErrorKind::Syntax, at, "expected a number");
                }
                if let [b'.', d, ..] = self.rest()
                    && d.is_ascii_digit()
                {
                    self.at += 1;
                    digits(self);
                    integer = false;
                }
                if let [b'e' | b'E', ..] = self.rest() {
                    self.at += 1;
                    self.at += usize::from(matches!(self.rest().first(), Some(b'+' | b'-')));
                    if !digits(self) {
                        return fail(ErrorKind::Syntax, at, "expected digits after the `e`");
                    }
                    integer = false;
                }
            }
            if self.rest().first().is_some_and(|&b| starts_name(b)) {
                return fail(ErrorKind::Syntax, at, "a number ends in letters");
            }
        }
        self.check_token(at)?;
        Ok(Number { at, text: self.between(at, self.at), integer })
    }

    /// An integer.
    pub(super) fn integer<T: std::str::FromStr>(&mut self) -> Parsed<T> {
        let number = self.number()?;
        match number.text.parse() {
            Ok(v) if number.integer => Ok(v),
            _ => fail(ErrorKind::Syntax, number.at, "expected an integer in range"),
        }
    }

    /// The text of a size: up to a comma or a closing bracket outside its own parentheses.
    pub(super) fn dim(&mut self) -> Parsed<(usize, &'a str)> {
        let at = self.here();
        let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
        let rest = self.rest();
        let mut length = rest.len().min(MAX_DIM + 1);
        for (i, &b) in rest.iter().enumerate().take(MAX_DIM + 1) {
            if quoted {
                (quoted, escaped) = (escaped || b != b'"', !escaped && b == b'\\');
                continue;
            }
            match b {
                b'"' => quoted = true,
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b',' if depth > 0 => {}
                b',' | b')' | b']' | b'}' | b'/' => {
                    length = i;
                    break;
                }
                _ => {}
            }
        }
        if length > MAX_DIM {
            return fail(ErrorKind::Limit, at, "a size is too long or has no end");
        }
        self.at += length;
        match self.text.get(at..self.at) {
            Some(text) if !text.trim_ascii().is_empty() => Ok((at, text.trim_ascii())),
            _ => fail(ErrorKind::Syntax, at, "expected a size"),
        }
    }

    /// What stands up to the next white space.
    pub(super) fn until_space(&mut self) -> &'a str {
        let at = self.here();
        let rest = self.rest();
        self.at += rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        self.between(at, self.at)
    }
}
