//! Tokens to syntax trees: files, classes, functions, statements.

use std::sync::Arc;

use super::ast::{Class, Expr, ExprKind, Field, Function, Param, Source, Stmt, StmtKind, TypeExpr};
use super::lexer::{Tok, Token, tokens};
use crate::error::FileError;

/// How deep brackets and blocks may nest.
const DEPTH: usize = 128;

/// Parses a file of source.
pub fn parse_source(path: &str, text: &str) -> Result<Source, FileError> {
    let mut parser = Parser::new(path, text)?;
    let mut source = Source { path: path.into(), classes: Vec::new(), functions: Vec::new() };
    while *parser.peek() != Tok::End {
        match parser.word() {
            Some("class") => source.classes.push(parser.class()?),
            Some("def") => source.functions.push(parser.function()?),
            // Files of the first versions state their operator set: `op_version_set = 1`.
            Some("op_version_set" | "import" | "from") => parser.skip_line(),
            _ => return parser.unexpected("a class or a function"),
        }
    }
    Ok(source)
}

/// Parses a type by itself, as type tags of pickles have it.
pub fn parse_type(text: &str) -> Result<TypeExpr, FileError> {
    let mut parser = Parser::new("type", text)?;
    let ty = parser.ty()?;
    match parser.peek() {
        Tok::Newline | Tok::End => Ok(ty),
        _ => parser.unexpected("the end of the type"),
    }
}

pub(super) struct Parser {
    path: Arc<str>,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

pub(super) type Parsed<T> = Result<T, FileError>;

impl Parser {
    fn new(path: &str, text: &str) -> Parsed<Self> {
        Ok(Self { path: path.into(), tokens: tokens(path, text)?, at: 0, depth: 0 })
    }

    // Tokens.

    pub(super) fn peek(&self) -> &Tok {
        self.tokens.get(self.at).map_or(&Tok::End, |t| &t.kind)
    }
    pub(super) fn peek_after(&self) -> &Tok {
        self.tokens.get(self.at + 1).map_or(&Tok::End, |t| &t.kind)
    }
    pub(super) fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |t| t.line)
    }
    /// The name that is next.
    pub(super) fn word(&self) -> Option<&str> {
        match self.peek() {
            Tok::Name(name) => Some(name),
            _ => None,
        }
    }
    pub(super) fn next(&mut self) -> Tok {
        let token = self.peek().clone();
        self.at += 1;
        token
    }
    pub(super) fn bad<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(FileError::malformed(format!("{}:{}", self.path, self.line()), message))
    }
    pub(super) fn unexpected<T>(&self, wanted: &str) -> Parsed<T> {
        let found = match self.peek() {
            Tok::Name(name) => format!("`{name}`"),
            Tok::Int(n) => format!("`{n}`"),
            Tok::Float(v) | Tok::Imaginary(v) => format!("`{v}`"),
            Tok::Str(_) => "a text".to_owned(),
            Tok::Op(op) => format!("`{op}`"),
            Tok::Newline => "the end of the line".to_owned(),
            Tok::Indent => "a deeper line".to_owned(),
            Tok::Dedent => "the end of the block".to_owned(),
            Tok::End => "the end of the file".to_owned(),
        };
        self.bad(format!("{found} stands where {wanted} is expected"))
    }
    pub(super) fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Tok::Op(found) if *found == op)
    }
    pub(super) fn eat(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        self.at += usize::from(found);
        found
    }
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.word() == Some(word);
        self.at += usize::from(found);
        found
    }
    pub(super) fn expect(&mut self, op: &str) -> Parsed<()> {
        if self.eat(op) { Ok(()) } else { self.unexpected(&format!("`{op}`")) }
    }
    pub(super) fn name(&mut self) -> Parsed<String> {
        match self.peek() {
            Tok::Name(name) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }
    fn newline(&mut self) -> Parsed<()> {
        if self.eat(";") {
            return Ok(());
        }
        match self.peek() {
            Tok::Newline => {
                self.at += 1;
                Ok(())
            }
            _ => self.unexpected("the end of the line"),
        }
    }
    fn skip_line(&mut self) {
        while !matches!(self.next(), Tok::Newline | Tok::End) {}
    }
    /// Runs a part of the parser one level deeper.
    pub(super) fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEPTH {
            let place = format!("{}:{}", self.path, self.line());
            return Err(FileError::limit(place, "the program nests too deep"));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    // Types.

    pub(super) fn ty(&mut self) -> Parsed<TypeExpr> {
        self.deeper(|p| {
            if p.eat("...") {
                return Ok(TypeExpr::plain("..."));
            }
            let mut name = p.name()?;
            while p.eat(".") {
                name = format!("{name}.{}", p.name()?);
            }
            let close = match p.peek() {
                Tok::Op("[") => "]",
                Tok::Op("(") => ")",
                _ => return Ok(TypeExpr { name, args: Vec::new() }),
            };
            p.at += 1;
            let mut args = Vec::new();
            // `Tuple[()]` is the type of the empty tuple.
            if p.eat("(") {
                p.expect(")")?;
            }
            while !p.eat(close) {
                args.push(p.ty()?);
                if !p.eat(",") && !p.is_op(close) {
                    return p.unexpected(&format!("`{close}`"));
                }
            }
            Ok(TypeExpr { name, args })
        })
    }

    // Classes and functions.

    fn class(&mut self) -> Parsed<Class> {
        let line = self.line();
        self.next();
        let name = self.name()?;
        let mut base = None;
        if self.eat("(") {
            if !self.is_op(")") {
                base = self.expr()?.dotted();
            }
            self.expect(")")?;
        }
        let (fields, lists, methods) = Default::default();
        let mut class = Class { name, base, fields, lists, methods, line };
        self.begin_block()?;
        while !self.end_block() {
            self.member(&mut class)?;
        }
        Ok(class)
    }

    fn member(&mut self, class: &mut Class) -> Parsed<()> {
        match self.word() {
            Some("def") => {
                class.methods.push(self.function()?);
                return Ok(());
            }
            Some("pass") => {
                self.next();
                return self.newline();
            }
            Some("__annotations__") => return self.annotation(class),
            _ => {}
        }
        let line = self.line();
        let name = self.name()?;
        if self.eat(":") {
            let ty = self.ty()?;
            let value = if self.eat("=") { Some(self.expr()?) } else { None };
            class.fields.push(field(name, Some(ty), value, line));
        } else {
            self.expect("=")?;
            let value = self.expr()?;
            match names(&value) {
                Some(list) if name.starts_with("__") => class.lists.push((name, list)),
                _ => class.fields.push(field(name, None, Some(value), line)),
            }
        }
        self.newline()
    }

    /// `__annotations__["0"] = type`: an attribute whose name is no word.
    fn annotation(&mut self, class: &mut Class) -> Parsed<()> {
        let line = self.line();
        self.next();
        if self.eat("=") {
            self.skip_line();
            return Ok(());
        }
        self.expect("[")?;
        let Tok::Str(name) = self.next() else { return self.unexpected("a text") };
        self.expect("]")?;
        self.expect("=")?;
        let ty = self.ty()?;
        let value = if self.eat("=") { Some(self.expr()?) } else { None };
        class.fields.push(field(name.to_string(), Some(ty), value, line));
        self.newline()
    }

    fn function(&mut self) -> Parsed<Function> {
        let line = self.line();
        self.next();
        let name = self.name()?;
        self.expect("(")?;
        let mut params = Vec::new();
        let mut keyword_only = false;
        while !self.eat(")") {
            if self.eat("*") {
                keyword_only = true;
            } else {
                let name = self.name()?;
                let ty = if self.eat(":") { Some(self.ty()?) } else { None };
                let default = if self.eat("=") { Some(self.expr()?) } else { None };
                params.push(Param { name, ty, default, keyword_only });
            }
            if !self.eat(",") && !self.is_op(")") {
                return self.unexpected("`)`");
            }
        }
        let returns = if self.eat("->") { Some(self.ty()?) } else { None };
        let body = self.block()?;
        Ok(Function { name, params, returns, body, line })
    }

    // Statements.

    fn begin_block(&mut self) -> Parsed<()> {
        self.expect(":")?;
        self.newline()?;
        match self.next() {
            Tok::Indent => Ok(()),
            _ => {
                self.at -= 1;
                self.unexpected("a deeper line")
            }
        }
    }
    fn end_block(&mut self) -> bool {
        let ends = matches!(self.peek(), Tok::Dedent | Tok::End);
        self.at += usize::from(ends);
        ends
    }
    fn block(&mut self) -> Parsed<Vec<Stmt>> {
        self.deeper(|p| {
            // A body on the same line: `if x: return y`.
            if p.is_op(":") && *p.peek_after() != Tok::Newline {
                p.next();
                return Ok(vec![p.statement()?]);
            }
            p.begin_block()?;
            let mut body = Vec::new();
            while !p.end_block() {
                body.push(p.statement()?);
            }
            Ok(body)
        })
    }

    fn statement(&mut self) -> Parsed<Stmt> {
        let line = self.line();
        let kind = match self.word() {
            Some("if") => self.conditional()?,
            Some("for") => self.for_loop()?,
            Some("while") => {
                self.next();
                let condition = self.expr()?;
                StmtKind::While(condition, self.block()?)
            }
            Some("with") => self.with()?,
            Some("def") => StmtKind::Function(self.function()?),
            _ => {
                let kind = self.simple()?;
                self.newline()?;
                kind
            }
        };
        Ok(Stmt { kind, line })
    }

    fn conditional(&mut self) -> Parsed<StmtKind> {
        self.next();
        let condition = self.expr()?;
        let then = self.block()?;
        let otherwise = match self.word() {
            Some("elif") => {
                let line = self.line();
                vec![Stmt { kind: self.deeper(Self::conditional)?, line }]
            }
            Some("else") => {
                self.next();
                self.block()?
            }
            _ => Vec::new(),
        };
        Ok(StmtKind::If(condition, then, otherwise))
    }

    fn for_loop(&mut self) -> Parsed<StmtKind> {
        self.next();
        let target = self.target_list()?;
        if !self.eat_word("in") {
            return self.unexpected("`in`");
        }
        let over = self.expr_list()?;
        Ok(StmtKind::For { target, over, body: self.block()? })
    }

    fn with(&mut self) -> Parsed<StmtKind> {
        self.next();
        let mut items = Vec::new();
        loop {
            let manager = self.expr()?;
            let name = if self.eat_word("as") { Some(self.name()?) } else { None };
            items.push((manager, name));
            if !self.eat(",") {
                break;
            }
        }
        Ok(StmtKind::With(items, self.block()?))
    }

    fn simple(&mut self) -> Parsed<StmtKind> {
        let ends = matches!(self.peek_after(), Tok::Newline);
        match self.word() {
            Some("pass") if ends => {
                self.next();
                return Ok(StmtKind::Pass);
            }
            Some("break") if ends => {
                self.next();
                return Ok(StmtKind::Break);
            }
            Some("continue") if ends => {
                self.next();
                return Ok(StmtKind::Continue);
            }
            Some("return") => {
                self.next();
                let none = matches!(self.peek(), Tok::Newline);
                return Ok(StmtKind::Return(if none { None } else { Some(self.expr_list()?) }));
            }
            Some("assert") => {
                self.next();
                let condition = self.expr()?;
                let message = if self.eat(",") { Some(self.expr()?) } else { None };
                return Ok(StmtKind::Assert(condition, message));
            }
            _ => {}
        }
        let first = self.expr_list()?;
        if self.eat(":") {
            let ty = Some(self.ty()?);
            self.assignable(&first)?;
            self.expect("=")?;
            let value = self.expr_list()?;
            return Ok(StmtKind::Assign { target: first, ty, value });
        }
        if self.eat("=") {
            self.assignable(&first)?;
            let value = self.expr_list()?;
            return Ok(StmtKind::Assign { target: first, ty: None, value });
        }
        Ok(StmtKind::Expr(first))
    }

    fn assignable(&self, target: &Expr) -> Parsed<()> {
        match &target.kind {
            ExprKind::Name(_) | ExprKind::Attr(..) | ExprKind::Index(..) => Ok(()),
            ExprKind::Tuple(parts) | ExprKind::List(parts) => {
                parts.iter().try_for_each(|p| self.assignable(p))
            }
            _ => self.bad("a value is assigned to something that cannot take it"),
        }
    }
}

/// The attribute of a class; `Final[T]` is `T` and says that it never changes.
fn field(name: String, ty: Option<TypeExpr>, value: Option<Expr>, line: u32) -> Field {
    let (ty, is_final) = match ty {
        Some(TypeExpr { name, mut args }) if name == "Final" && args.len() == 1 => {
            (args.pop(), true)
        }
        other => (other, false),
    };
    Field { name, ty, is_final, value, line }
}

/// The texts of a list of texts.
fn names(value: &Expr) -> Option<Vec<String>> {
    let ExprKind::List(items) = &value.kind else { return None };
    let text = |item: &Expr| match &item.kind {
        ExprKind::Str(text) => Some(text.to_string()),
        _ => None,
    };
    items.iter().map(text).collect()
}
