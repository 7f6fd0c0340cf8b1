//! The parser of kernels.

use airconv_ir::dim::{Dim, parse_dim};
use airconv_ir::dtype::DType;
use airconv_ir::entity::SymbolId;

use super::names::{
    ACCESS, BINARY, LOOPS, REDUCE, ROUNDING, SCALARS, Table, UNARY, unquote, value,
};
use crate::check::types;
use crate::ir::{
    Const, Elem, Expr, ExprId, Kernel, LocalId, Narrow, Param, Scalar, Stmt, Var, VarDef,
};

/// Why a text is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct TextError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Reads a kernel. The result need not keep the rules that the checker knows.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(text: &str) -> Result<Kernel, TextError> {
    let mut lines = Lines::new(text);
    let kernel = parse_kernel(&mut lines)?;
    lines.end()?;
    Ok(kernel)
}

/// Deepest nesting of blocks.
const MAX_DEPTH: usize = 256;

/// The lines of a text that hold something.
pub(super) struct Lines<'t> {
    lines: Vec<(usize, &'t str)>,
    next: usize,
}

pub(super) type Parsed<T> = Result<T, TextError>;

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let lines = text.lines().enumerate().map(|(i, l)| (i + 1, l.trim()));
        Self {
            lines: lines.filter(|(_, l)| !l.is_empty() && !l.starts_with("//")).collect(),
            next: 0,
        }
    }

    pub(super) fn peek(&self) -> Option<&'t str> {
        self.lines.get(self.next).map(|(_, l)| *l)
    }

    /// The next line.
    pub(super) fn take(&mut self) -> Parsed<Words<'t>> {
        let Some((line, text)) = self.lines.get(self.next) else {
            return Err(TextError { line: self.last(), what: "the text ends early".into() });
        };
        self.next += 1;
        Ok(Words { line: *line, rest: text })
    }

    fn last(&self) -> usize {
        self.lines.last().map_or(1, |(line, _)| *line)
    }

    pub(super) fn end(&mut self) -> Parsed<()> {
        match self.lines.get(self.next) {
            None => Ok(()),
            Some((line, _)) => {
                Err(TextError { line: *line, what: "more than was expected".into() })
            }
        }
    }
}

/// What is left of a line.
#[derive(Clone, Copy)]
pub(super) struct Words<'t> {
    pub(super) line: usize,
    pub(super) rest: &'t str,
}

impl<'t> Words<'t> {
    pub(super) fn error<T>(&self, what: impl Into<String>) -> Parsed<T> {
        Err(TextError { line: self.line, what: what.into() })
    }

    /// The characters up to a space, a bracket or a comma.
    pub(super) fn word(&mut self) -> &'t str {
        let stop = |c: char| c.is_whitespace() || matches!(c, '[' | ']' | ',' | '(' | ')');
        let (word, rest) = self.rest.split_at(self.rest.find(stop).unwrap_or(self.rest.len()));
        self.rest = rest.trim_start();
        word
    }

    pub(super) fn eat(&mut self, mark: &str) -> bool {
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    pub(super) fn expect(&mut self, mark: &str) -> Parsed<()> {
        if self.eat(mark) {
            return Ok(());
        }
        self.error(format!("expected `{mark}` at `{}`", self.rest))
    }

    pub(super) fn end(self) -> Parsed<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            self.error(format!("`{}` is too much", self.rest))
        }
    }

    pub(super) fn text(&mut self) -> Parsed<String> {
        match unquote(self.rest) {
            Some((text, rest)) => {
                self.rest = rest.trim_start();
                Ok(text)
            }
            None => self.error("expected a text in quotes"),
        }
    }

    pub(super) fn number(&mut self) -> Parsed<u32> {
        let word = self.word();
        word.parse().or_else(|_| self.error(format!("`{word}` is no number")))
    }

    /// A letter and a number, such as `e12`.
    pub(super) fn id(&mut self, letter: char) -> Parsed<u32> {
        let word = self.word();
        match word.strip_prefix(letter).and_then(|n| n.parse().ok()) {
            Some(n) => Ok(n),
            None => self.error(format!("`{word}` is no `{letter}` with a number")),
        }
    }

    /// The id of a declaration, which has to be the next one, and the `=` after it.
    fn next_id(&mut self, letter: char, next: usize) -> Parsed<()> {
        if self.id(letter)? as usize != next {
            return self.error(format!("expected `{letter}{next}`"));
        }
        self.expect("=")
    }

    pub(super) fn one_of<T: Copy>(&mut self, table: Table<T>, what: &str) -> Parsed<T> {
        let word = self.word();
        value(table, word).map_or_else(|| self.error(format!("`{word}` is no {what}")), Ok)
    }

    fn expr(&mut self) -> Parsed<ExprId> {
        self.id('e').map(ExprId)
    }

    fn scalar(&mut self) -> Parsed<Scalar> {
        let word = self.word();
        let found = SCALARS.into_iter().find(|s| s.name() == word);
        found.map_or_else(|| self.error(format!("`{word}` is no type")), Ok)
    }

    /// What stands in brackets.
    fn brackets(&mut self) -> Parsed<&'t str> {
        self.expect("[")?;
        let Some((inner, rest)) = self.rest.split_once(']') else {
            return self.error("expected `]`");
        };
        self.rest = rest.trim_start();
        Ok(inner)
    }

    pub(super) fn dim_of(&self, text: &str, letter: char) -> Parsed<Dim> {
        if text.trim() == "?" {
            return Ok(Dim::Any);
        }
        let mut lookup =
            |name: &str| name.strip_prefix(letter).and_then(|n| n.parse().ok()).map(SymbolId);
        parse_dim(text, &mut lookup).or_else(|e| self.error(format!("`{text}`: {e}")))
    }

    pub(super) fn dim(&mut self, letter: char) -> Parsed<Dim> {
        let inner = self.brackets()?;
        self.dim_of(inner, letter)
    }

    /// Index expressions in brackets, separated by commas.
    pub(super) fn dims(&mut self, letter: char) -> Parsed<Vec<Dim>> {
        let inner = self.brackets()?;
        pieces(inner).into_iter().map(|piece| self.dim_of(piece, letter)).collect()
    }

    fn axes(&mut self) -> Parsed<Vec<(Var, Dim)>> {
        let inner = self.brackets()?;
        let axis = |piece: &'t str| {
            let mut words = Words { line: self.line, rest: piece.trim() };
            let var = SymbolId(words.id('v')?);
            words.expect("<")?;
            Ok((var, self.dim_of(words.rest, 'v')?))
        };
        pieces(inner).into_iter().map(axis).collect()
    }
}

/// The parts between commas outside of parentheses.
fn pieces(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0usize, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text.trim().is_empty() {
        found.push(&text[start..]);
    }
    found
}

fn constant(w: &mut Words<'_>) -> Parsed<Const> {
    let ty = w.scalar()?;
    let word = w.word();
    if let Some(bits) = word.strip_prefix("0x").and_then(|h| u64::from_str_radix(h, 16).ok()) {
        return Ok(Const { ty, bits });
    }
    let found = match ty {
        Scalar::Bool => word.parse().ok().map(Const::bool),
        Scalar::F32 => word.parse().ok().map(|x: f32| Const { ty, bits: x.to_bits().into() }),
        Scalar::F64 => word.parse().ok().map(|x: f64| Const { ty, bits: x.to_bits() }),
        _ => word.parse().ok().map(|x| Const::from_i128(ty, x)),
    };
    found.map_or_else(|| w.error(format!("`{word}` is no {}", ty.name())), Ok)
}

fn expression(w: &mut Words<'_>) -> Parsed<Expr> {
    let op = w.word();
    if let Some(op) = value(UNARY, op) {
        return Ok(Expr::Unary(op, w.expr()?));
    }
    if let Some(op) = value(BINARY, op) {
        return Ok(Expr::Binary(op, w.expr()?, w.expr()?));
    }
    Ok(match op {
        "const" => Expr::Const(constant(w)?),
        "index" => Expr::Index(w.dim('v')?),
        "load" => Expr::Load { param: w.id('p')?, at: w.dim('v')? },
        "local" => Expr::Local(LocalId(w.id('l')?)),
        "select" => Expr::Select(w.expr()?, w.expr()?, w.expr()?),
        "guard" => Expr::Guard(w.expr()?, w.expr()?, w.expr()?),
        "cast" => Expr::Cast(w.scalar()?, w.expr()?),
        "bitcast" => Expr::Bitcast(w.scalar()?, w.expr()?),
        "narrow" => {
            let word = w.word();
            let to: DType = word.parse().or_else(|_| w.error(format!("`{word}` is no dtype")))?;
            let saturate = w.one_of(&[(true, "saturating"), (false, "overflowing")], "rule")?;
            let rounding = w.one_of(ROUNDING, "rounding")?;
            Expr::Narrow(Narrow { to, saturate, rounding }, w.expr()?)
        }
        "reduce" => {
            let kind = w.one_of(REDUCE, "reduction")?;
            Expr::Reduce { kind, axes: w.axes()?, x: w.expr()? }
        }
        "check" => {
            let (ok, x) = (w.expr()?, w.expr()?);
            w.expect("fails")?;
            Expr::Check { ok, x, code: w.number()? }
        }
        _ => return w.error(format!("`{op}` is no operation")),
    })
}

pub(super) fn parse_kernel(lines: &mut Lines<'_>) -> Parsed<Kernel> {
    let mut k = Kernel::default();
    let mut w = lines.take()?;
    w.expect("kernel")?;
    k.name = w.text()?;
    w.expect("{")?;
    w.end()?;
    // The types that the text states, with their lines.
    let mut stated: Vec<(usize, usize, Scalar)> = Vec::new();
    while let Some(line) = lines.peek() {
        let starts = |word: &str| line.strip_prefix(word).is_some_and(|l| l.starts_with(' '));
        let is_expr =
            line.strip_prefix('e').is_some_and(|l| l.starts_with(|c: char| c.is_ascii_digit()));
        if !is_expr && !["param", "sizes", "var", "local"].iter().any(|word| starts(word)) {
            break;
        }
        let mut w = lines.take()?;
        if is_expr {
            w.next_id('e', k.exprs.len())?;
            let expr = expression(&mut w)?;
            if w.eat(":") {
                stated.push((w.line, k.exprs.len(), w.scalar()?));
            }
            k.exprs.push(expr);
        } else {
            declaration(&mut k, &mut w)?;
        }
        w.end()?;
    }
    k.body = block(lines, MAX_DEPTH)?;
    lines.take()?.expect("}")?;
    let types = types(&k);
    for (line, i, ty) in stated {
        if types[i] != Some(ty) {
            let what = match types[i] {
                Some(is) => format!("e{i} is of {}, not {}", is.name(), ty.name()),
                None => format!("e{i} has no type"),
            };
            return Err(TextError { line, what });
        }
    }
    Ok(k)
}

fn declaration(k: &mut Kernel, w: &mut Words<'_>) -> Parsed<()> {
    match w.word() {
        "param" => {
            w.next_id('p', k.params.len())?;
            let access = w.one_of(ACCESS, "access")?;
            let word = w.word();
            let Some(elem) = Elem::ALL.into_iter().find(|e| e.name() == word) else {
                return w.error(format!("`{word}` is no element"));
            };
            k.params.push(Param { elem, access });
        }
        "sizes" => k.sizes = w.number()?,
        "var" => {
            w.next_id('v', k.vars.len())?;
            let def = match w.word() {
                "size" => VarDef::Size(w.number()?),
                "counter" => VarDef::Counter,
                "value" => VarDef::Value(w.expr()?),
                word => return w.error(format!("`{word}` is no kind of variable")),
            };
            k.vars.push(def);
        }
        _ => {
            w.next_id('l', k.locals.len())?;
            k.locals.push(w.scalar()?);
        }
    }
    Ok(())
}

/// Statements up to a closing brace, which is left.
fn block(lines: &mut Lines<'_>, depth: usize) -> Parsed<Vec<Stmt>> {
    let mut list = Vec::new();
    while let Some(line) = lines.peek() {
        if line.starts_with('}') {
            break;
        }
        let mut w = lines.take()?;
        if depth == 0 {
            return w.error("blocks are nested too deep");
        }
        let first = w.rest;
        let stmt = match w.word() {
            "if" => {
                let cond = w.expr()?;
                open(w)?;
                let then = block(lines, depth - 1)?;
                let mut w = lines.take()?;
                w.expect("}")?;
                let otherwise = if w.eat("else") {
                    open(w)?;
                    let list = block(lines, depth - 1)?;
                    close(lines)?;
                    list
                } else {
                    w.end()?;
                    Vec::new()
                };
                Stmt::If { cond, then, otherwise }
            }
            "while" => {
                let cond = w.expr()?;
                open(w)?;
                let body = block(lines, depth - 1)?;
                close(lines)?;
                Stmt::While { cond, body }
            }
            word => match value(LOOPS, word) {
                Some(kind) => {
                    let var = SymbolId(w.id('v')?);
                    w.expect("<")?;
                    let extent = w.dim('v')?;
                    open(w)?;
                    let body = block(lines, depth - 1)?;
                    close(lines)?;
                    Stmt::For { var, extent, kind, body }
                }
                None => {
                    w.rest = first;
                    assignment(w)?
                }
            },
        };
        list.push(stmt);
    }
    Ok(list)
}

fn assignment(mut w: Words<'_>) -> Parsed<Stmt> {
    let stmt = if w.rest.starts_with('l') {
        let local = LocalId(w.id('l')?);
        w.expect("=")?;
        Stmt::Set { local, value: w.expr()? }
    } else {
        let param = w.id('p')?;
        let at = w.dim('v')?;
        w.expect("=")?;
        Stmt::Store { param, at, value: w.expr()? }
    };
    w.end()?;
    Ok(stmt)
}

fn open(mut w: Words<'_>) -> Parsed<()> {
    w.expect("{")?;
    w.end()
}

pub(super) fn close(lines: &mut Lines<'_>) -> Parsed<()> {
    let mut w = lines.take()?;
    w.expect("}")?;
    w.end()
}
