//! Syntax trees, with the line on which each part begins.

use std::sync::Arc;

/// A file of source.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its name in the archive.
    pub path: Arc<str>,
    /// Its classes.
    pub classes: Vec<Class>,
    /// Its functions.
    pub functions: Vec<Function>,
}

/// A class: of modules, of named tuples, of other objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// The name in its file.
    pub name: String,
    /// What it derives from: `Module`, `NamedTuple`, `Interface`, `Enum`.
    pub base: Option<String>,
    /// Its attributes in order.
    pub fields: Vec<Field>,
    /// Lists of names, such as `__parameters__`.
    pub lists: Vec<(String, Vec<String>)>,
    /// Its methods.
    pub methods: Vec<Function>,
    /// The line.
    pub line: u32,
}

/// An attribute of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The name.
    pub name: String,
    /// The type; none for the members of an `Enum`.
    pub ty: Option<TypeExpr>,
    /// Whether it is a constant of the class.
    pub is_final: bool,
    /// The value of a constant, the default of a named tuple's field.
    pub value: Option<Expr>,
    /// The line.
    pub line: u32,
}

/// A function or method.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// The name in its file or class.
    pub name: String,
    /// The parameters, `self` included.
    pub params: Vec<Param>,
    /// The type of the result.
    pub returns: Option<TypeExpr>,
    /// What it does.
    pub body: Vec<Stmt>,
    /// The line.
    pub line: u32,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// The name.
    pub name: String,
    /// The type.
    pub ty: Option<TypeExpr>,
    /// The default value.
    pub default: Option<Expr>,
    /// Whether it is passed by name only.
    pub keyword_only: bool,
}

/// A type: a dotted name with arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeExpr {
    /// The name, `Optional` or `__torch__.net.Net`.
    pub name: String,
    /// What stands in brackets.
    pub args: Vec<TypeExpr>,
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Stmt {
    /// What it says.
    pub kind: StmtKind,
    /// The line.
    pub line: u32,
}

/// Kinds of statements.
#[derive(Clone, Debug, PartialEq)]
pub enum StmtKind {
    /// `target = value`, also `target : type = value`.
    Assign {
        /// A name, an attribute, an element or a tuple of them.
        target: Expr,
        /// The type where one is stated.
        ty: Option<TypeExpr>,
        /// The value.
        value: Expr,
    },
    /// An expression whose value is not used.
    Expr(Expr),
    /// `if`, with an empty second list where there is no `else`.
    If(Expr, Vec<Stmt>, Vec<Stmt>),
    /// `for target in over`.
    For {
        /// What takes the elements.
        target: Expr,
        /// What is gone through.
        over: Expr,
        /// What is repeated.
        body: Vec<Stmt>,
    },
    /// `while`.
    While(Expr, Vec<Stmt>),
    /// `return`.
    Return(Option<Expr>),
    /// `pass`.
    Pass,
    /// `break`.
    Break,
    /// `continue`.
    Continue,
    /// `with`: each manager with the name that takes what it gives.
    With(Vec<(Expr, Option<String>)>, Vec<Stmt>),
    /// `assert`.
    Assert(Expr, Option<Expr>),
    /// `def` inside of a function.
    Function(Function),
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it says.
    pub kind: ExprKind,
    /// The line.
    pub line: u32,
}

/// Kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A name.
    Name(String),
    /// `of.name`.
    Attr(Box<Expr>, String),
    /// `of[index]`.
    Index(Box<Expr>, Box<Expr>),
    /// `begin:end:step` in brackets.
    Slice(Option<Box<Expr>>, Option<Box<Expr>>, Option<Box<Expr>>),
    /// A call with arguments by place and by name.
    Call(Box<Expr>, Vec<Expr>, Vec<(String, Expr)>),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// An imaginary number.
    Imaginary(f64),
    /// A text.
    Str(Arc<str>),
    /// A truth value.
    Bool(bool),
    /// `None`.
    None,
    /// `...`.
    Ellipsis,
    /// A list.
    List(Vec<Expr>),
    /// A tuple.
    Tuple(Vec<Expr>),
    /// A dictionary.
    Dict(Vec<(Expr, Expr)>),
    /// `-x`, `+x`, `~x`, `not x`.
    Unary(&'static str, Box<Expr>),
    /// An operator between two expressions.
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// `then if condition else otherwise`: condition, then, otherwise.
    Ternary(Box<Expr>, Box<Expr>, Box<Expr>),
}

impl TypeExpr {
    /// A type without arguments.
    pub fn plain(name: &str) -> Self {
        Self { name: name.to_owned(), args: Vec::new() }
    }
}

impl std::fmt::Display for TypeExpr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        for (i, arg) in self.args.iter().enumerate() {
            write!(f, "{}{arg}", if i == 0 { "[" } else { ", " })?;
        }
        if self.args.is_empty() { Ok(()) } else { f.write_str("]") }
    }
}

impl Expr {
    /// The dotted name that an expression is, `torch.nn.functional`.
    pub fn dotted(&self) -> Option<String> {
        match &self.kind {
            ExprKind::Name(name) => Some(name.clone()),
            ExprKind::Attr(of, name) => Some(format!("{}.{name}", of.dotted()?)),
            _ => None,
        }
    }
}

impl Function {
    /// The position of a parameter.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.params.iter().position(|p| p.name == name)
    }
}

impl Class {
    /// A method.
    pub fn method(&self, name: &str) -> Option<&Function> {
        self.methods.iter().find(|m| m.name == name)
    }
    /// An attribute.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }
    /// The names of a list such as `__parameters__`.
    pub fn list(&self, name: &str) -> &[String] {
        self.lists.iter().find(|(n, _)| n == name).map_or(&[], |(_, names)| names)
    }
}
