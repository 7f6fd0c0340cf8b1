//! Expressions.
//!
//! Saved programs have few operators, as most are calls; those that are there bind as in Python.

use super::ast::{Expr, ExprKind};
use super::lexer::Tok;
use super::parser::{Parsed, Parser};

/// How strongly operators bind; `not` is between `and` and comparisons.
const LEVELS: &[(&str, u8)] = &[
    ("or", 1),
    ("and", 2),
    ("in", 4),
    ("is", 4),
    ("<", 4),
    ("<=", 4),
    (">", 4),
    (">=", 4),
    ("==", 4),
    ("!=", 4),
    ("|", 5),
    ("^", 6),
    ("&", 7),
    ("<<", 8),
    (">>", 8),
    ("+", 9),
    ("-", 9),
    ("*", 10),
    ("/", 10),
    ("//", 10),
    ("%", 10),
    ("@", 10),
];
const NOT: u8 = 3;
const COMPARE: u8 = 4;
const UNARY: u8 = 11;

impl Parser {
    /// Expressions with commas between them: a tuple, unless it is one without a comma.
    pub(super) fn expr_list(&mut self) -> Parsed<Expr> {
        let line = self.line();
        let first = self.expr()?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.eat(",") {
            if matches!(self.peek(), Tok::Newline | Tok::End) || self.is_op("=") || self.is_op(":")
            {
                break;
            }
            items.push(self.expr()?);
        }
        Ok(Expr { kind: ExprKind::Tuple(items), line })
    }

    /// What a loop assigns to: names with commas between them.
    pub(super) fn target_list(&mut self) -> Parsed<Expr> {
        let line = self.line();
        let first = self.postfix()?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.eat(",") && self.word() != Some("in") {
            items.push(self.postfix()?);
        }
        Ok(Expr { kind: ExprKind::Tuple(items), line })
    }

    /// An expression.
    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        self.deeper(|p| {
            let line = p.line();
            let then = p.binary(0)?;
            if !p.eat_word("if") {
                return Ok(then);
            }
            let condition = p.binary(0)?;
            if !p.eat_word("else") {
                return p.unexpected("`else`");
            }
            let otherwise = p.expr()?;
            let parts = (Box::new(condition), Box::new(then), Box::new(otherwise));
            Ok(Expr { kind: ExprKind::Ternary(parts.0, parts.1, parts.2), line })
        })
    }

    /// The operator that is next, how strongly it binds, and how many tokens it has.
    fn operator(&self) -> Option<(&'static str, u8, usize)> {
        match self.peek() {
            Tok::Op(found) => LEVELS.iter().find(|(op, _)| op == found).map(|r| (r.0, r.1, 1)),
            Tok::Name(word) => {
                let after = match self.peek_after() {
                    Tok::Name(word) => word.as_str(),
                    _ => "",
                };
                match (word.as_str(), after) {
                    ("is", "not") => Some(("is not", COMPARE, 2)),
                    ("not", "in") => Some(("not in", COMPARE, 2)),
                    (word, _) => LEVELS.iter().find(|(op, _)| *op == word).map(|r| (r.0, r.1, 1)),
                }
            }
            _ => None,
        }
    }

    fn binary(&mut self, least: u8) -> Parsed<Expr> {
        let line = self.line();
        let mut left = self.unary()?;
        // A chain of operators makes a deep tree on the left, which is bounded too.
        let mut chain = 0;
        while let Some((op, level, tokens)) = self.operator().filter(|(_, l, _)| *l > least) {
            chain += 1;
            if chain > 64 {
                return self.bad("too many operators in one expression");
            }
            for _ in 0..tokens {
                self.next();
            }
            let right = self.deeper(|p| p.binary(level))?;
            let kind = ExprKind::Binary(op, Box::new(left), Box::new(right));
            left = Expr { kind, line };
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let line = self.line();
        if self.eat_word("not") {
            let of = self.deeper(|p| p.binary(NOT))?;
            return Ok(Expr { kind: ExprKind::Unary("not", Box::new(of)), line });
        }
        if let (true, Tok::Int(n)) = (self.is_op("-"), self.peek_after()) {
            // The least integer has no positive counterpart.
            let value = i64::try_from(-i128::from(*n));
            self.next();
            self.next();
            let Ok(value) = value else { return self.bad("an integer does not fit") };
            let literal = Expr { kind: ExprKind::Int(value), line };
            return if self.is_op("**") { self.bad("`-x ** y` is not clear") } else { Ok(literal) };
        }
        for op in ["-", "+", "~"] {
            if self.eat(op) {
                let of = self.deeper(|p| p.binary(UNARY - 1))?;
                return Ok(Expr { kind: ExprKind::Unary(op, Box::new(of)), line });
            }
        }
        let base = self.postfix()?;
        if !self.eat("**") {
            return Ok(base);
        }
        let exponent = self.deeper(Self::unary)?;
        let kind = ExprKind::Binary("**", Box::new(base), Box::new(exponent));
        Ok(Expr { kind, line })
    }

    /// An atom with attributes, calls and indices after it.
    pub(super) fn postfix(&mut self) -> Parsed<Expr> {
        let line = self.line();
        let mut of = self.atom()?;
        let mut chain = 0;
        loop {
            chain += 1;
            if chain > 256 {
                return self.bad("too many attributes, calls and indices in one expression");
            }
            let kind = if self.eat(".") {
                ExprKind::Attr(Box::new(of), self.name()?)
            } else if self.eat("(") {
                let (args, named) = self.arguments()?;
                ExprKind::Call(Box::new(of), args, named)
            } else if self.eat("[") {
                let index = self.index()?;
                ExprKind::Index(Box::new(of), Box::new(index))
            } else {
                return Ok(of);
            };
            of = Expr { kind, line };
        }
    }

    #[allow(clippy::type_complexity)]
    fn arguments(&mut self) -> Parsed<(Vec<Expr>, Vec<(String, Expr)>)> {
        let (mut args, mut named) = (Vec::new(), Vec::new());
        while !self.eat(")") {
            let by_name =
                matches!(self.peek(), Tok::Name(_)) && matches!(self.peek_after(), Tok::Op("="));
            if by_name {
                let name = self.name()?;
                self.next();
                named.push((name, self.expr()?));
            } else if named.is_empty() {
                args.push(self.expr()?);
            } else {
                return self.unexpected("an argument with a name");
            }
            if !self.eat(",") && !self.is_op(")") {
                return self.unexpected("`)`");
            }
        }
        Ok((args, named))
    }

    fn index(&mut self) -> Parsed<Expr> {
        let line = self.line();
        let mut items = Vec::new();
        let mut comma = false;
        while !self.eat("]") {
            items.push(self.slice()?);
            let again = self.eat(",");
            comma |= again;
            if !again && !self.is_op("]") {
                return self.unexpected("`]`");
            }
        }
        match (items.len(), comma) {
            (1, false) => items.pop().map_or_else(|| self.unexpected("an index"), Ok),
            _ => Ok(Expr { kind: ExprKind::Tuple(items), line }),
        }
    }

    fn slice(&mut self) -> Parsed<Expr> {
        let line = self.line();
        let begin = if self.is_op(":") { None } else { Some(self.expr()?) };
        if !self.eat(":") {
            return begin.map_or_else(|| self.unexpected("an index"), Ok);
        }
        let ends = |p: &Self| p.is_op(":") || p.is_op("]") || p.is_op(",");
        let end = if ends(self) { None } else { Some(Box::new(self.expr()?)) };
        let step = match self.eat(":") && !ends(self) {
            true => Some(Box::new(self.expr()?)),
            false => None,
        };
        Ok(Expr { kind: ExprKind::Slice(begin.map(Box::new), end, step), line })
    }

    fn atom(&mut self) -> Parsed<Expr> {
        let line = self.line();
        let kind = match self.peek().clone() {
            Tok::Int(n) => match i64::try_from(n) {
                Ok(n) => ExprKind::Int(n),
                Err(_) => return self.bad("an integer does not fit"),
            },
            Tok::Float(v) => ExprKind::Float(v),
            Tok::Imaginary(v) => ExprKind::Imaginary(v),
            Tok::Str(text) => ExprKind::Str(text),
            Tok::Name(name) => match name.as_str() {
                "None" => ExprKind::None,
                "True" => ExprKind::Bool(true),
                "False" => ExprKind::Bool(false),
                "inf" => ExprKind::Float(f64::INFINITY),
                "nan" => ExprKind::Float(f64::NAN),
                "lambda" | "yield" | "await" | "async" => {
                    return self.bad(format!("`{name}` is not understood"));
                }
                _ => ExprKind::Name(name),
            },
            Tok::Op("...") => ExprKind::Ellipsis,
            Tok::Op("(") => {
                self.next();
                return self.parenthesised(line);
            }
            Tok::Op("[") => {
                self.next();
                let kind = ExprKind::List(self.items("]")?);
                return Ok(Expr { kind, line });
            }
            Tok::Op("{") => {
                self.next();
                return self.dict(line);
            }
            _ => return self.unexpected("a value"),
        };
        self.next();
        Ok(Expr { kind, line })
    }

    fn items(&mut self, close: &str) -> Parsed<Vec<Expr>> {
        let mut items = Vec::new();
        while !self.eat(close) {
            items.push(self.expr()?);
            if !self.eat(",") && !self.is_op(close) {
                return self.unexpected(&format!("`{close}`"));
            }
        }
        Ok(items)
    }

    /// What stands in parentheses: one expression, or a tuple.
    fn parenthesised(&mut self, line: u32) -> Parsed<Expr> {
        if self.eat(")") {
            return Ok(Expr { kind: ExprKind::Tuple(Vec::new()), line });
        }
        let first = self.expr()?;
        if self.eat(")") {
            return Ok(first);
        }
        self.expect(",")?;
        let mut items = vec![first];
        items.extend(self.items(")")?);
        Ok(Expr { kind: ExprKind::Tuple(items), line })
    }

    fn dict(&mut self, line: u32) -> Parsed<Expr> {
        let mut pairs = Vec::new();
        while !self.eat("}") {
            let key = self.expr()?;
            self.expect(":")?;
            pairs.push((key, self.expr()?));
            if !self.eat(",") && !self.is_op("}") {
                return self.unexpected("`}`");
            }
        }
        Ok(Expr { kind: ExprKind::Dict(pairs), line })
    }
}
