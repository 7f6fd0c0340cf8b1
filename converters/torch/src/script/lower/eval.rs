//! Running statements and expressions.

use std::sync::Arc;

use airconv_api::Limits;
use airconv_ir::dtype::DType;
use rustc_hash::FxHashMap;

use super::Outcome;
use super::heap::{Cell, Heap, Object, Ref};
use super::sink::AtenSink;
use super::value::Value;
use crate::error::FileError;
use crate::import::arg::Arg;
use crate::import::call::Stop;
use crate::script::archive::{self, ObjectId, Script, TensorId};
use crate::script::syntax::ast::{Expr, ExprKind, Function, Source, Stmt, StmtKind};

/// How deep calls may be inside of each other.
const DEPTH: usize = 100;
/// The most steps of a program: statements and calls, of which those that are left in the
/// program count for more.
const STEPS: u64 = 2_000_000;
/// Names that programs use without having set them.
const NAMESPACES: &[&str] = &["torch", "ops", "__torch__", "CONSTANTS"];

/// Why running ended.
#[derive(Debug)]
pub(super) enum Halt {
    Error(FileError),
    /// The program raised an exception: its message and where.
    Raised(String, String),
}

pub(super) type Run<V> = Result<V, Halt>;

/// The variables of a function.
pub(super) type Env<T> = FxHashMap<String, Value<T>>;

/// How a list of statements ended.
#[derive(Debug, PartialEq)]
pub(super) enum Flow<T> {
    Next,
    Return(Value<T>),
    Break,
    Continue,
}

/// A region that is being filled.
pub(super) struct Frame<S: AtenSink> {
    /// The region; none for the function itself.
    pub region: Option<S::Region>,
    /// Tensors from outside by their name outside.
    pub captured: FxHashMap<S::Tensor, S::Tensor>,
    /// Tensors of the archive that were used here.
    pub params: FxHashMap<TensorId, S::Tensor>,
}

impl<S: AtenSink> Frame<S> {
    pub(super) fn new(region: Option<S::Region>) -> Self {
        Self { region, captured: FxHashMap::default(), params: FxHashMap::default() }
    }
}

/// A program while it is run.
pub(super) struct Lower<'s, 'k, S: AtenSink> {
    pub script: &'s Script,
    pub sink: &'k mut S,
    pub heap: Heap<S::Tensor>,
    objects: FxHashMap<ObjectId, Ref>,
    pub frames: Vec<Frame<S>>,
    /// The frame that a tensor was made in, for those not of the first.
    pub birth: FxHashMap<S::Tensor, usize>,
    steps: u64,
    depth: usize,
    path: Arc<str>,
    line: u32,
}

impl<'s, 'k, S: AtenSink> Lower<'s, 'k, S> {
    pub(super) fn new(script: &'s Script, sink: &'k mut S, limits: &Limits) -> Self {
        Self {
            script,
            sink,
            heap: Heap::default(),
            objects: FxHashMap::default(),
            frames: vec![Frame::new(None)],
            birth: FxHashMap::default(),
            steps: limits.nodes.min(STEPS),
            depth: 0,
            path: "".into(),
            line: 0,
        }
    }

    /// Runs a method of the root.
    pub(super) fn run(
        &mut self,
        source: &'s Source,
        function: &'s Function,
        args: &[Arg<S::Tensor>],
    ) -> Run<Outcome<S::Tensor>> {
        let root = self.archived(&self.script.root)?;
        let mut values = vec![root];
        let types = function.params.iter().skip(1).map(|p| p.ty.as_ref());
        for (arg, ty) in args.iter().zip(types) {
            let value = self.typed_value(arg, ty)?;
            values.push(value);
        }
        if args.len() + 1 > function.params.len() {
            return self.invalid(format!("{} inputs are given, too many", args.len()));
        }
        (self.path, self.line) = (source.path.clone(), function.line);
        let result = self.call_function(source, function, values, Vec::new())?;
        let result = self.output(&result, 0)?;
        Ok(Outcome { result, changed: self.changed()? })
    }

    // Places and errors.

    /// Goes on at another line of the same file.
    pub(super) fn at_line(&mut self, line: u32) {
        self.line = line;
    }
    /// The objects of the archive that were used, with their places.
    pub(super) fn objects(&self) -> &FxHashMap<ObjectId, Ref> {
        &self.objects
    }
    pub(super) fn at(&self) -> String {
        format!("{}:{}", self.path, self.line)
    }
    pub(super) fn invalid<V>(&self, message: impl Into<String>) -> Run<V> {
        Err(Halt::Error(FileError::malformed(self.at(), message)))
    }
    pub(super) fn unsupported<V>(&self, message: impl Into<String>) -> Run<V> {
        Err(Halt::Error(FileError::unsupported(self.at(), message)))
    }
    pub(super) fn stopped<V>(&self, result: Result<V, Stop>, what: &str) -> Run<V> {
        let name = |message: String| match what {
            "" => message,
            what => format!("`{what}`: {message}"),
        };
        match result {
            Ok(value) => Ok(value),
            Err(Stop::Invalid(message)) => self.invalid(name(message)),
            Err(Stop::Unsupported(message)) => self.unsupported(name(message)),
        }
    }
    pub(super) fn step(&mut self) -> Run<()> {
        self.steps(1)
    }
    /// Takes some of the steps that are left.
    pub(super) fn steps(&mut self, count: u64) -> Run<()> {
        match self.steps.checked_sub(count) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                let message = "the program takes too long: unrolled, it takes too many steps";
                Err(Halt::Error(FileError::limit(self.at(), message)))
            }
        }
    }

    // Functions.

    pub(super) fn call_function(
        &mut self,
        source: &'s Source,
        function: &'s Function,
        args: Vec<Value<S::Tensor>>,
        named: Vec<(String, Value<S::Tensor>)>,
    ) -> Run<Value<S::Tensor>> {
        if self.depth >= DEPTH {
            return Err(Halt::Error(FileError::limit(self.at(), "calls are too deep")));
        }
        let mut env = self.bind(source, function, args, named)?;
        let (path, line) = (std::mem::replace(&mut self.path, source.path.clone()), self.line);
        self.depth += 1;
        let flow = self.block(&function.body, &mut env);
        self.depth -= 1;
        let flow = flow?;
        (self.path, self.line) = (path, line);
        match flow {
            Flow::Return(value) => Ok(value),
            Flow::Next => Ok(Value::None),
            Flow::Break | Flow::Continue => self.invalid("`break` outside of a loop"),
        }
    }

    /// The variables that a function begins with.
    fn bind(
        &mut self,
        source: &'s Source,
        function: &'s Function,
        args: Vec<Value<S::Tensor>>,
        named: Vec<(String, Value<S::Tensor>)>,
    ) -> Run<Env<S::Tensor>> {
        let name = &function.name;
        if args.len() > function.params.len() {
            return self.invalid(format!("`{name}` is given {} arguments, too many", args.len()));
        }
        let mut env = Env::default();
        for (param, value) in function.params.iter().zip(args) {
            env.insert(param.name.clone(), value);
        }
        for (key, value) in named {
            if function.position(&key).is_none() || env.contains_key(&key) {
                return self.invalid(format!("`{name}` is given `{key}` twice or needlessly"));
            }
            env.insert(key, value);
        }
        for param in &function.params {
            if env.contains_key(&param.name) {
                continue;
            }
            let Some(default) = &param.default else {
                return self.invalid(format!("`{name}` lacks its argument `{}`", param.name));
            };
            let outer = std::mem::replace(&mut self.path, source.path.clone());
            let value = self.expr(default, &mut Env::default());
            self.path = outer;
            env.insert(param.name.clone(), value?);
        }
        Ok(env)
    }

    // Statements.

    pub(super) fn block(
        &mut self,
        body: &'s [Stmt],
        env: &mut Env<S::Tensor>,
    ) -> Run<Flow<S::Tensor>> {
        for stmt in body {
            match self.statement(stmt, env)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, stmt: &'s Stmt, env: &mut Env<S::Tensor>) -> Run<Flow<S::Tensor>> {
        self.step()?;
        self.line = stmt.line;
        match &stmt.kind {
            StmtKind::Assign { target, value, .. } => {
                let value = self.expr(value, env)?;
                self.assign(target, value, env)?;
            }
            StmtKind::Expr(value) => {
                self.expr(value, env)?;
            }
            StmtKind::If(condition, then, otherwise) => {
                return self.conditional(condition, then, otherwise, env);
            }
            StmtKind::For { target, over, body } => {
                return self.for_loop(target, over, body, env);
            }
            StmtKind::While(condition, body) => return self.while_loop(condition, body, env),
            StmtKind::Return(None) => return Ok(Flow::Return(Value::None)),
            StmtKind::Return(Some(value)) => return Ok(Flow::Return(self.expr(value, env)?)),
            StmtKind::Pass => {}
            StmtKind::Break => return Ok(Flow::Break),
            StmtKind::Continue => return Ok(Flow::Continue),
            StmtKind::With(managers, body) => return self.with(managers, body, env),
            StmtKind::Assert(condition, _) => {
                let value = self.expr(condition, env)?;
                match self.truth(&value)? {
                    Some(true) => {}
                    Some(false) => return Err(Halt::Raised("assertion".to_owned(), self.at())),
                    None => self.sink.assume("an assertion holds", &self.at()),
                }
            }
            StmtKind::Function(function) => {
                return self.unsupported(format!("function `{}` inside of another", function.name));
            }
        }
        Ok(Flow::Next)
    }

    /// `with`: modes of gradients and the like have no bearing on values.
    fn with(
        &mut self,
        managers: &'s [(Expr, Option<String>)],
        body: &'s [Stmt],
        env: &mut Env<S::Tensor>,
    ) -> Run<Flow<S::Tensor>> {
        for (manager, name) in managers {
            let value = self.expr(manager, env)?;
            let class = match &value {
                Value::Object(at) => self.heap.object(*at).map(|o| o.class.to_string()),
                _ => None,
            };
            if class.as_deref().is_none_or(|c| !c.contains(".autograd.")) {
                return self.unsupported(format!("`with` of {}", value.kind()));
            }
            if let Some(name) = name {
                env.insert(name.clone(), Value::None);
            }
        }
        self.block(body, env)
    }

    pub(super) fn assign(
        &mut self,
        target: &'s Expr,
        value: Value<S::Tensor>,
        env: &mut Env<S::Tensor>,
    ) -> Run<()> {
        match &target.kind {
            ExprKind::Name(name) => {
                env.insert(name.clone(), value);
                Ok(())
            }
            ExprKind::Tuple(targets) | ExprKind::List(targets) => {
                let items = self.items(&value)?;
                if items.len() != targets.len() {
                    let (have, want) = (items.len(), targets.len());
                    return self.invalid(format!("{have} values are assigned to {want} names"));
                }
                targets.iter().zip(items).try_for_each(|(t, v)| self.assign(t, v, env))
            }
            ExprKind::Attr(of, name) => {
                let object = self.expr(of, env)?;
                match object {
                    Value::Object(at) => match self.heap.object_mut(at) {
                        Some(object) => {
                            object.set(name, value);
                            Ok(())
                        }
                        None => self.invalid("an attribute of nothing is set"),
                    },
                    other => self.invalid(format!("an attribute of {} is set", other.kind())),
                }
            }
            ExprKind::Index(of, index) => {
                let (of, index) = (self.expr(of, env)?, self.expr(index, env)?);
                self.set_item(&of, index, value)
            }
            _ => self.invalid("a value is assigned to something that cannot take it"),
        }
    }

    /// The elements of a list, tuple, or the pieces of a tensor along its first axis.
    pub(super) fn items(&mut self, value: &Value<S::Tensor>) -> Run<Vec<Value<S::Tensor>>> {
        match value {
            Value::List(at) => Ok(self.heap.list(*at).to_vec()),
            Value::Tuple(items) | Value::Named(_, items) => Ok(items.to_vec()),
            other => self.invalid(format!("{} has no elements", other.kind())),
        }
    }

    // Expressions.

    pub(super) fn expr(
        &mut self,
        expr: &'s Expr,
        env: &mut Env<S::Tensor>,
    ) -> Run<Value<S::Tensor>> {
        self.line = expr.line;
        Ok(match &expr.kind {
            ExprKind::Name(name) => return self.name(name, env),
            ExprKind::Attr(of, name) => {
                let of = self.expr(of, env)?;
                return self.attr(&of, name);
            }
            ExprKind::Index(of, index) => {
                let (of, index) = (self.expr(of, env)?, self.expr(index, env)?);
                return self.get_item(&of, &index);
            }
            ExprKind::Slice(..) | ExprKind::Ellipsis => {
                return self.unsupported("a slice in brackets");
            }
            ExprKind::Call(function, args, named) => return self.call(function, args, named, env),
            ExprKind::Int(n) => Value::int(*n),
            ExprKind::Float(v) => Value::Float(*v),
            ExprKind::Imaginary(v) => Value::Complex(0.0, *v),
            ExprKind::Str(text) => Value::Str(text.clone()),
            ExprKind::Bool(b) => Value::Bool(*b),
            ExprKind::None => Value::None,
            ExprKind::List(items) => {
                let items = self.exprs(items, env)?;
                Value::List(self.heap.push(Cell::List(items)))
            }
            ExprKind::Tuple(items) => Value::tuple(self.exprs(items, env)?),
            ExprKind::Dict(pairs) => {
                let mut out = Vec::new();
                for (key, value) in pairs {
                    let key = self.expr(key, env)?;
                    out.push((key, self.expr(value, env)?));
                }
                Value::Dict(self.heap.push(Cell::Dict(out)))
            }
            ExprKind::Unary(op, of) => {
                let of = self.expr(of, env)?;
                let name = match *op {
                    "-" => "neg",
                    "not" => "__not__",
                    "~" => "bitwise_not",
                    _ => return Ok(of),
                };
                return self.operator(&format!("aten::{name}"), vec![of], Vec::new());
            }
            ExprKind::Binary(op, a, b) => return self.binary(op, a, b, env),
            ExprKind::Ternary(condition, then, otherwise) => {
                let condition = self.expr(condition, env)?;
                return match self.truth(&condition)? {
                    Some(true) => self.expr(then, env),
                    Some(false) => self.expr(otherwise, env),
                    None => self.choice(&condition, then, otherwise, env),
                };
            }
        })
    }

    pub(super) fn exprs(
        &mut self,
        list: &'s [Expr],
        env: &mut Env<S::Tensor>,
    ) -> Run<Vec<Value<S::Tensor>>> {
        list.iter().map(|e| self.expr(e, env)).collect()
    }

    fn binary(
        &mut self,
        op: &str,
        a: &'s Expr,
        b: &'s Expr,
        env: &mut Env<S::Tensor>,
    ) -> Run<Value<S::Tensor>> {
        let first = self.expr(a, env)?;
        if let "and" | "or" = op {
            return match (op, self.truth(&first)?) {
                ("and", Some(false)) | ("or", Some(true)) => Ok(first),
                (_, Some(_)) => self.expr(b, env),
                (_, None) => {
                    let second = self.expr(b, env)?;
                    let name = if op == "and" { "aten::__and__" } else { "aten::__or__" };
                    self.operator(name, vec![first, second], Vec::new())
                }
            };
        }
        let second = self.expr(b, env)?;
        let name = match op {
            "is" => "__is__",
            "is not" => "__isnot__",
            "in" => "__contains__",
            "not in" => "__contains__",
            "==" => "eq",
            "!=" => "ne",
            "<" => "lt",
            "<=" => "le",
            ">" => "gt",
            ">=" => "ge",
            "+" => "add",
            "-" => "sub",
            "*" => "mul",
            "/" => "div",
            "//" => "floordiv",
            "%" => "remainder",
            "**" => "pow",
            "@" => "matmul",
            "&" => "__and__",
            "|" => "__or__",
            "^" => "__xor__",
            "<<" => "__lshift__",
            ">>" => "__rshift__",
            other => return self.unsupported(format!("operator `{other}`")),
        };
        let args = if name == "__contains__" { vec![second, first] } else { vec![first, second] };
        let value = self.operator(&format!("aten::{name}"), args, Vec::new())?;
        match op {
            "not in" => self.operator("aten::__not__", vec![value], Vec::new()),
            _ => Ok(value),
        }
    }

    fn name(&mut self, name: &str, env: &Env<S::Tensor>) -> Run<Value<S::Tensor>> {
        match env.get(name) {
            // One that is missing may still be passed on; who looks at it is refused.
            Some(value) => Ok(value.clone()),
            None if NAMESPACES.contains(&name) => Ok(Value::Name(name.into())),
            None => self.invalid(format!("`{name}` has no value")),
        }
    }

    pub(super) fn attr(&mut self, of: &Value<S::Tensor>, name: &str) -> Run<Value<S::Tensor>> {
        match of {
            Value::Name(space) if **space == *"CONSTANTS" => {
                let constant = name.strip_prefix('c').and_then(|n| n.parse::<usize>().ok());
                match constant.and_then(|i| self.script.constants.get(i)) {
                    Some(value) => self.archived(value),
                    None => self.invalid(format!("there is no constant `{name}`")),
                }
            }
            Value::Name(space) => {
                // A member of an enumeration.
                if let Some((_, class)) = self.script.class(space)
                    && let Some(value) = class.field(name).and_then(|f| f.value.as_ref())
                {
                    return self.expr(value, &mut Env::default());
                }
                Ok(Value::Name(format!("{space}.{name}").into()))
            }
            Value::Object(at) => self.attr_of_object(*at, name),
            Value::Named(class, items) => {
                let found = self
                    .script
                    .class(class)
                    .and_then(|(_, class)| class.fields.iter().position(|f| f.name == name));
                match found.and_then(|i| items.get(i)) {
                    Some(value) => Ok(value.clone()),
                    None => self.invalid(format!("a tuple has no field `{name}`")),
                }
            }
            other => self.invalid(format!("{} has no attribute `{name}`", other.kind())),
        }
    }

    fn attr_of_object(&mut self, at: Ref, name: &str) -> Run<Value<S::Tensor>> {
        let Some(object) = self.heap.object(at) else { return self.invalid("there is no object") };
        if let Some(value) = object.get(name) {
            return Ok(value.clone());
        }
        let source = object.source.and_then(|id| self.script.object(id));
        if let Some(value) = source.and_then(|o| o.get(name)) {
            let value = self.archived(value)?;
            // Tensors are looked up again, as their names differ by region.
            if !matches!(value, Value::Tensor(_))
                && let Some(object) = self.heap.object_mut(at)
            {
                object.set(name, value.clone());
            }
            return Ok(value);
        }
        let class = object.class.clone();
        let field = self.script.class(&class).and_then(|(_, c)| c.field(name)?.value.as_ref());
        match field {
            Some(constant) => self.expr(constant, &mut Env::default()),
            None => self.invalid(format!("an object of class `{class}` has no `{name}`")),
        }
    }

    /// A value of the archive.
    pub(super) fn archived(&mut self, value: &'s archive::Value) -> Run<Value<S::Tensor>> {
        self.step()?;
        Ok(match value {
            archive::Value::None => Value::None,
            archive::Value::Bool(b) => Value::Bool(*b),
            archive::Value::Int(n) => Value::int(*n),
            archive::Value::Float(v) => Value::Float(*v),
            archive::Value::Complex(re, im) => Value::Complex(*re, *im),
            archive::Value::Str(text) => Value::Str(text.clone()),
            archive::Value::Device(name) => Value::Device(name.clone()),
            archive::Value::Tensor(id) => Value::Tensor(self.parameter(*id)?),
            archive::Value::List(items) => {
                let items = items.iter().map(|v| self.archived(v)).collect::<Run<_>>()?;
                Value::List(self.heap.push(Cell::List(items)))
            }
            archive::Value::Tuple(items) => {
                Value::tuple(items.iter().map(|v| self.archived(v)).collect::<Run<_>>()?)
            }
            archive::Value::Dict(pairs) => {
                let mut out = Vec::new();
                for (key, value) in pairs {
                    let key = self.archived(key)?;
                    out.push((key, self.archived(value)?));
                }
                Value::Dict(self.heap.push(Cell::Dict(out)))
            }
            archive::Value::Object(id) => Value::Object(self.object(*id)?),
        })
    }

    fn object(&mut self, id: ObjectId) -> Run<Ref> {
        if let Some(&at) = self.objects.get(&id) {
            return Ok(at);
        }
        let Some(object) = self.script.object(id) else { return self.invalid("no such object") };
        let class = object.class.clone();
        let object = Object { class, source: Some(id), attrs: Vec::new() };
        let at = self.heap.push(Cell::Object(object));
        self.objects.insert(id, at);
        Ok(at)
    }

    /// A tensor of the archive: once in the region where it is used first.
    fn parameter(&mut self, id: TensorId) -> Run<S::Tensor> {
        if let Some(&tensor) = self.frames.iter().rev().find_map(|f| f.params.get(&id)) {
            return Ok(tensor);
        }
        let Some(tensor) = self.script.tensor(id) else { return self.invalid("no such tensor") };
        let made = self.sink.constant(tensor);
        let made = self.stopped(made, &tensor.name)?;
        self.born(made);
        if let Some(frame) = self.frames.last_mut() {
            frame.params.insert(id, made);
        }
        Ok(made)
    }

    // Regions.

    /// Notes where a tensor was made.
    pub(super) fn born(&mut self, tensor: S::Tensor) {
        let frame = self.frames.len() - 1;
        if frame > 0 {
            self.birth.entry(tensor).or_insert(frame);
        }
    }
    pub(super) fn born_all(&mut self, arg: &Arg<S::Tensor>) {
        match arg {
            Arg::Tensor(t) | Arg::Number(t) => self.born(*t),
            Arg::List(items) => items.iter().for_each(|i| self.born_all(i)),
            _ => {}
        }
    }
    /// The name of a tensor in the current region.
    pub(super) fn local(&mut self, tensor: S::Tensor) -> Run<S::Tensor> {
        let from = self.birth.get(&tensor).copied().unwrap_or(0);
        let mut name = tensor;
        for i in from + 1..self.frames.len() {
            let Some(frame) = self.frames.get_mut(i) else { continue };
            let Some(region) = frame.region else { continue };
            name = match frame.captured.get(&name) {
                Some(inner) => *inner,
                None => {
                    let inner = self.sink.capture(region, name);
                    let inner = self.stopped(inner, "")?;
                    if let Some(frame) = self.frames.get_mut(i) {
                        frame.captured.insert(name, inner);
                    }
                    self.birth.insert(inner, i);
                    inner
                }
            };
        }
        Ok(name)
    }
    /// Refuses a write from a branch or loop to a tensor outside of it, which it may not reach.
    pub(super) fn refuse_outer_write(&self, tensor: S::Tensor, name: &str) -> Run<()> {
        let from = self.birth.get(&tensor).copied().unwrap_or(0);
        match from + 1 == self.frames.len() {
            true => Ok(()),
            false => self.unsupported(format!(
                "`{name}` writes to a tensor from outside of a branch or loop that only a run \
                 decides"
            )),
        }
    }
    /// The element type of a tensor.
    pub(super) fn dtype(&mut self, tensor: S::Tensor) -> Run<DType> {
        let dtype = self.sink.dtype(tensor);
        self.stopped(dtype, "")
    }
}
