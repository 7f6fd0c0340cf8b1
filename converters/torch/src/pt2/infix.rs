//! Symbolic sizes as older versions write them: as text with operators, `2*s0 + (s1//4)`.

use airconv_ir::dim::Dim;

use super::expr::{MAX_DEPTH, Ratio, apply, power};

/// Whether an expression is written with operators rather than as `Add(Symbol('s0'), ...)`.
pub(super) fn is_infix(text: &str) -> bool {
    !text.contains('\'') && !text.contains("Integer(")
}

/// Reads an expression; `symbol` gives the size of a name.
pub(super) fn parse(text: &str, symbol: &mut dyn FnMut(&str) -> Dim) -> Result<Dim, String> {
    let mut parser = Parser { rest: text, symbol };
    let value = parser.sum(0)?;
    match parser.rest.trim() {
        "" => value.whole().ok_or_else(|| "it is no whole number".to_owned()),
        left => Err(format!("`{left}` is left over")),
    }
}

struct Parser<'t, 's> {
    rest: &'t str,
    symbol: &'s mut dyn FnMut(&str) -> Dim,
}

impl<'t> Parser<'t, '_> {
    fn skip(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
    fn word(&mut self) -> &'t str {
        self.rest = self.rest.trim_start();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn sum(&mut self, depth: usize) -> Result<Ratio, String> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let mut total = self.product(depth)?;
        loop {
            if self.skip("+") {
                total = total.plus(&self.product(depth)?)?;
            } else if self.skip("-") {
                let term = self.product(depth)?.times(&Ratio::int(-1))?;
                total = total.plus(&term)?;
            } else {
                return Ok(total);
            }
        }
    }
    fn product(&mut self, depth: usize) -> Result<Ratio, String> {
        let mut total = self.signed(depth)?;
        loop {
            if self.skip("//") {
                let by = self.signed(depth)?;
                total = apply("FloorDiv", &[total, by])?;
            } else if self.skip("*") {
                total = total.times(&self.signed(depth)?)?;
            } else if self.skip("/") {
                total = total.divided(&self.signed(depth)?)?;
            } else {
                return Ok(total);
            }
        }
    }
    fn signed(&mut self, depth: usize) -> Result<Ratio, String> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        if self.skip("-") {
            return self.signed(depth + 1)?.times(&Ratio::int(-1));
        }
        let base = self.atom(depth)?;
        if self.skip("**") {
            let exponent = self.signed(depth + 1)?;
            return power(&base, &exponent);
        }
        Ok(base)
    }
    fn atom(&mut self, depth: usize) -> Result<Ratio, String> {
        if self.skip("(") {
            let inner = self.sum(depth + 1)?;
            return if self.skip(")") { Ok(inner) } else { Err("a bracket is missing".to_owned()) };
        }
        let word = self.word();
        if let Ok(n) = word.parse::<i64>() {
            return Ok(Ratio::int(n));
        }
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            let value = word.parse().map_err(|_| format!("`{word}` is no number"))?;
            return Ratio::float(value);
        }
        if word.is_empty() {
            return Err("a number is missing".to_owned());
        }
        if self.skip("(") {
            let mut args = Vec::new();
            while !self.skip(")") {
                args.push(self.sum(depth + 1)?);
                if !self.skip(",") && !self.rest.trim_start().starts_with(')') {
                    return Err("a bracket is missing".to_owned());
                }
            }
            return apply(word, &args);
        }
        Ok(Ratio::int((self.symbol)(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use airconv_ir::entity::SymbolId;

    fn read(text: &str) -> Result<i64, String> {
        let dim = parse(text, &mut |name| Dim::from(SymbolId(u32::from(name != "s0"))))?;
        Ok(dim.eval(&|s| Some(if s == SymbolId(0) { 10 } else { 3 })).unwrap())
    }

    #[test]
    fn operators_bind_as_in_python() {
        assert_eq!(read("2*s0 + 1 - u1"), Ok(18));
        assert_eq!(read("(s0//4)*-u1"), Ok(-6));
        assert_eq!(read("s0**2//5 + 6/3"), Ok(22));
        assert_eq!(read("Max(1, Mod(s0, 4)) + -1"), Ok(1));
        assert_eq!(read("TruncToInt(0.25*ToFloat(s0))"), Ok(2));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(read("2*").is_err());
        assert!(read("(s0").unwrap_err().contains("bracket"));
        assert!(read("s0 s1").unwrap_err().contains("left over"));
        assert!(read(&"(".repeat(9999)).unwrap_err().contains("deeply"));
        assert!(read(&"-".repeat(9999)).unwrap_err().contains("deeply"));
        assert!(read("s0/0").unwrap_err().contains("zero"));
    }
}
