//! Kernels of the kernel IR as LLVM IR.
//!
//! One function per kernel: `void NAME(ptr %ctx, i64 %begin, i64 %end)`, the shape that a thread
//! pool calls. `%ctx` points to a [`Context`]; the range is the part of the kernel's grid to do.
//! Loops that are marked for vectors, and reductions along memory, are emitted with explicit
//! vectors; what a loop does not change is computed before it. No optimisation pass is needed.

mod around;
mod dim;
mod expr;
pub mod host;
mod math;
mod memory;
mod reduce;
mod words;

use std::ffi::c_void;

use airconv_ir::dim::Dim;
use airconv_kernel::analysis::{Free, dims, free, operands};
use airconv_kernel::ir::{Access, BinOp, Expr, ExprId, Kernel, LoopKind, Scalar, Stmt, Var};
use rustc_hash::{FxHashMap, FxHashSet};

pub(crate) use self::around::{Around, emit_value};
use crate::emit::{Function, Module};
use crate::target::Isa;

/// What an emitted kernel works on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// One pointer per parameter.
    pub buffers: *const *mut c_void,
    /// One value per size.
    pub sizes: *const i64,
    /// An `i32` that becomes the code of a failed check plus one.
    pub status: *mut i32,
}

/// A kernel that has no emitted form, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

type Result<T> = std::result::Result<T, Refused>;

/// A value in a register: the same for all lanes, or one per lane.
#[derive(Clone, Debug)]
struct Value {
    name: String,
    varying: bool,
}

impl Value {
    fn uniform(name: impl Into<String>) -> Value {
        Value { name: name.into(), varying: false }
    }
    fn varying(name: impl Into<String>) -> Value {
        Value { name: name.into(), varying: true }
    }
}

/// What is known in a stretch of code that dominates what follows in it.
#[derive(Default)]
struct Scope {
    exprs: FxHashMap<ExprId, Value>,
    /// Those of them that the next statement may change.
    passing: Vec<ExprId>,
    dims: FxHashMap<Dim, Value>,
}

/// The loop whose iterations are lanes.
#[derive(Clone)]
struct Lanes {
    var: Var,
    /// How many.
    count: usize,
    /// The index of the first lane.
    first: String,
    /// Which lanes are alive; all when absent.
    mask: Option<String>,
    /// Whether at least one lane is alive in any case.
    alive: bool,
}

/// How many vectors are computed at once where each step waits for the one before it.
const ABREAST: usize = 8;

/// The most expressions of a body that is computed for [`ABREAST`] vectors at once.
const LONGEST: usize = 96;

/// Integer powers, on one line so that modules can be joined line by line.
const POWER: &str = "define internal i64 @airconv_power(i64 %a, i64 %b) { entry: br label %head \
    head: %n = phi i64 [ %b, %entry ], [ %rest, %body ] \
    %x = phi i64 [ %a, %entry ], [ %square, %body ] \
    %y = phi i64 [ 1, %entry ], [ %next, %body ] \
    %done = icmp eq i64 %n, 0 br i1 %done, label %end, label %body \
    body: %bit = and i64 %n, 1 %odd = icmp ne i64 %bit, 0 %product = mul i64 %y, %x \
    %next = select i1 %odd, i64 %product, i64 %y %square = mul i64 %x, %x \
    %rest = lshr i64 %n, 1 br label %head end: ret i64 %y }";

/// The IR text of a kernel as a function of this name.
///
/// # Errors
/// When an expression has no form on this level.
pub fn kernel_ir(kernel: &Kernel, name: &str, isa: Isa) -> Result<String> {
    let mut module = Module::new();
    let mut f = Function::new(format_args!("define void @{name}(ptr %ctx, i64 %begin, i64 %end)"));
    let buffers = f.value("load ptr, ptr %ctx, align 8");
    let place = f.at("ptr", "%ctx", 1);
    let sizes = f.value(format_args!("load ptr, ptr {place}, align 8"));
    let place = f.at("ptr", "%ctx", 2);
    let status = f.value(format_args!("load ptr, ptr {place}, align 8"));
    let mut params = Vec::with_capacity(kernel.params.len());
    for i in 0..kernel.params.len() {
        let place = f.at("ptr", &buffers, i);
        params.push(f.value(format_args!("load ptr, ptr {place}, align 8")));
    }
    let mut size_names = Vec::with_capacity(kernel.sizes as usize);
    for i in 0..kernel.sizes {
        let place = f.at("i64", &sizes, i);
        size_names.push(f.value(format_args!("load i64, ptr {place}, align 8")));
    }
    let mut locals = Vec::with_capacity(kernel.locals.len());
    for ty in &kernel.locals {
        let slot = f.value(format_args!("alloca {}", stored(*ty)));
        f.line(format_args!("store {} zeroinitializer, ptr {slot}", stored(*ty)));
        locals.push(slot);
    }
    let mutable = kernel
        .params
        .iter()
        .enumerate()
        .filter(|(_, p)| p.access == Access::ReadWrite)
        .map(|(i, _)| i as u32)
        .collect();
    let mut e = Emitter {
        kernel,
        free: free(kernel),
        f,
        isa,
        params,
        sizes: size_names,
        locals,
        status,
        mutable,
        counters: FxHashMap::default(),
        depth: Vec::new(),
        scopes: vec![Scope::default()],
        lanes: None,
        powers: false,
    };
    match kernel.grid() {
        Some((var, _, body)) => {
            let [Stmt::For { kind, .. }] = &kernel.body[..] else {
                return Err(Refused("a grid without a loop".to_owned()));
            };
            e.range(var, "%begin".to_owned(), "%end".to_owned(), *kind, body, true)?;
        }
        None => e.statements(&kernel.body)?,
    }
    e.f.line("ret void");
    if e.powers {
        module.global(POWER);
    }
    module.add(e.f);
    Ok(module.text())
}

/// The type of a value in a register.
fn ty(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Bool => "i1",
        Scalar::I8 | Scalar::U8 => "i8",
        Scalar::I16 | Scalar::U16 => "i16",
        Scalar::I32 | Scalar::U32 => "i32",
        Scalar::I64 | Scalar::U64 => "i64",
        Scalar::F32 => "float",
        Scalar::F64 => "double",
    }
}

/// The type of a local variable in memory.
fn stored(scalar: Scalar) -> &'static str {
    if scalar == Scalar::Bool { "i8" } else { ty(scalar) }
}

struct Emitter<'k> {
    kernel: &'k Kernel,
    free: Vec<Free>,
    f: Function,
    isa: Isa,
    params: Vec<String>,
    sizes: Vec<String>,
    locals: Vec<String>,
    status: String,
    /// Parameters that are both read and written.
    mutable: FxHashSet<u32>,
    /// The present values of counters.
    counters: FxHashMap<Var, String>,
    /// The counters of the enclosing loops, outermost first.
    depth: Vec<Var>,
    scopes: Vec<Scope>,
    lanes: Option<Lanes>,
    /// Whether the function of integer powers is needed.
    powers: bool,
}

impl Emitter<'_> {
    /// Whether an expression has one value per lane here.
    fn varies(&self, id: ExprId) -> bool {
        let free = &self.free[id.0 as usize];
        self.lanes.as_ref().is_some_and(|l| free.counters.contains(&l.var))
    }

    /// The type of a value with or without lanes.
    fn vty(&self, scalar: Scalar, varying: bool) -> String {
        match (&self.lanes, varying) {
            (Some(l), true) => format!("<{} x {}>", l.count, ty(scalar)),
            _ => ty(scalar).to_owned(),
        }
    }

    /// A value in all lanes.
    fn spread(&mut self, value: &Value, scalar: Scalar) -> String {
        match &self.lanes {
            Some(l) if !value.varying => {
                let count = l.count;
                crate::emit::splat(&mut self.f, count, ty(scalar), &value.name)
            }
            _ => value.name.clone(),
        }
    }

    fn scoped<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.scopes.push(Scope::default());
        let out = body(self);
        self.scopes.pop();
        out
    }

    fn statements(&mut self, body: &[Stmt]) -> Result<()> {
        for stmt in body {
            self.statement(stmt)?;
        }
        Ok(())
    }

    /// Forgets what statements may change: values of locals and of memory that is written.
    fn forget(&mut self) {
        for scope in &mut self.scopes {
            for id in scope.passing.drain(..) {
                scope.exprs.remove(&id);
            }
        }
    }

    fn statement(&mut self, stmt: &Stmt) -> Result<()> {
        self.forget();
        match stmt {
            Stmt::For { var, extent, kind, body } => {
                let end = self.dim(extent)?.name;
                let some = extent.as_known().is_some_and(|n| n > 0);
                self.range(*var, "0".to_owned(), end, *kind, body, !some)
            }
            Stmt::Store { param, at, value } => self.store(*param, at, *value),
            Stmt::Set { local, value } => {
                let scalar = self.kernel.locals[local.0 as usize];
                let v = self.expr(*value)?;
                let slot = self.locals[local.0 as usize].clone();
                let name = if scalar == Scalar::Bool {
                    self.f.value(format_args!("zext i1 {} to i8", v.name))
                } else {
                    v.name
                };
                self.f.line(format_args!("store {} {name}, ptr {slot}", stored(scalar)));
                Ok(())
            }
            Stmt::If { cond, then, otherwise } => {
                let cond = self.expr(*cond)?.name;
                let (yes, no) = (self.f.label("then"), self.f.label("else"));
                let after = self.f.label("fi");
                self.f.branch(&cond, &yes, &no);
                self.f.begin(&yes);
                self.scoped(|e| e.statements(then))?;
                self.f.jump(&after);
                self.f.begin(&no);
                self.scoped(|e| e.statements(otherwise))?;
                self.f.jump(&after);
                self.f.begin(&after);
                Ok(())
            }
            Stmt::While { cond, body } => {
                let (head, inside) = (self.f.label("while"), self.f.label("do"));
                let after = self.f.label("done");
                self.f.jump(&head);
                self.f.begin(&head);
                self.scoped(|e| {
                    let cond = e.expr(*cond)?.name;
                    e.f.branch(&cond, &inside, &after);
                    e.f.begin(&inside);
                    e.scoped(|e| e.statements(body))
                })?;
                self.f.jump(&head);
                self.f.begin(&after);
                Ok(())
            }
        }
    }

    /// A loop over a range. Where the range may be empty, nothing is computed ahead of the check.
    fn range(
        &mut self,
        var: Var,
        begin: String,
        end: String,
        kind: LoopKind,
        body: &[Stmt],
        may_be_empty: bool,
    ) -> Result<()> {
        let guard = may_be_empty.then(|| {
            let some = self.f.value(format_args!("icmp slt i64 {begin}, {end}"));
            let (inside, after) = (self.f.label("some"), self.f.label("none"));
            self.f.branch(&some, &inside, &after);
            self.f.begin(&inside);
            after
        });
        self.scoped(|e| {
            e.ahead(body, var)?;
            if kind == LoopKind::Vector && e.lanes.is_none() && e.vector_pays(var, body) {
                e.vector_loop(var, &begin, &end, body)
            } else {
                e.scalar_loop(var, &begin, &end, body)
            }
        })?;
        if let Some(after) = guard {
            self.f.jump(&after);
            self.f.begin(&after);
        }
        Ok(())
    }

    fn scalar_loop(&mut self, var: Var, begin: &str, end: &str, body: &[Stmt]) -> Result<()> {
        self.counted(var, begin, end, "1", |e| e.statements(body))
    }

    /// A loop with a step; the counter has its value inside.
    fn counted(
        &mut self,
        var: Var,
        begin: &str,
        end: &str,
        step: &str,
        body: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let head = self.f.label("for");
        let inside = self.f.label("do");
        let latch = self.f.label("next");
        let after = self.f.label("end");
        let (index, next) = (self.f.name(), self.f.name());
        let from = self.f.block().to_owned();
        self.f.jump(&head);
        self.f.begin(&head);
        self.f.line(format_args!("{index} = phi i64 [ {begin}, %{from} ], [ {next}, %{latch} ]"));
        let more = self.f.value(format_args!("icmp slt i64 {index}, {end}"));
        self.f.branch(&more, &inside, &after);
        self.f.begin(&inside);
        self.counters.insert(var, index.clone());
        self.depth.push(var);
        self.scoped(body)?;
        self.depth.pop();
        self.f.jump(&latch);
        self.f.begin(&latch);
        self.f.line(format_args!("{next} = add nsw i64 {index}, {step}"));
        self.f.jump(&head);
        self.f.begin(&after);
        self.counters.remove(&var);
        Ok(())
    }

    /// A loop whose iterations are done as lanes of vectors, and what is left over under a mask
    /// or one by one.
    fn vector_loop(&mut self, var: Var, begin: &str, end: &str, body: &[Stmt]) -> Result<()> {
        let count = self.isa.f32_lanes();
        let length = self.f.int("sub nsw", end, begin);
        let mut split = begin.to_owned();
        let widths = if self.is_long(body) { vec![ABREAST * count, count] } else { vec![count] };
        for count in widths {
            let whole = self.f.int("and", &length, -(count as i64));
            let until = self.f.int("add nsw", begin, &whole);
            self.counted(var, &split, &until, &count.to_string(), |e| {
                e.in_lanes(var, count, None, |e| e.statements(body))
            })?;
            split = until;
        }
        if !self.isa.has_masks() {
            return self.scalar_loop(var, &split, end, body);
        }
        let rest = self.f.value(format_args!("icmp slt i64 {split}, {end}"));
        let (inside, after) = (self.f.label("rest"), self.f.label("end"));
        self.f.branch(&rest, &inside, &after);
        self.f.begin(&inside);
        let left = self.f.int("sub nsw", end, &split);
        let mask = self.first_lanes(count, &left);
        self.counters.insert(var, split);
        self.depth.push(var);
        self.scoped(|e| e.in_lanes(var, count, Some(mask), |e| e.statements(body)))?;
        self.depth.pop();
        self.counters.remove(&var);
        self.f.jump(&after);
        self.f.begin(&after);
        Ok(())
    }

    /// The mask of the first lanes, fewer than there are.
    fn first_lanes(&mut self, count: usize, left: &str) -> String {
        let left = self.f.value(format_args!("trunc i64 {left} to i32"));
        let all = crate::emit::splat(&mut self.f, count, "i32", &left);
        let lanes: Vec<String> = (0..count).map(|i| format!("i32 {i}")).collect();
        self.f.value(format_args!("icmp slt <{count} x i32> <{}>, {all}", lanes.join(", ")))
    }

    fn in_lanes<T>(
        &mut self,
        var: Var,
        count: usize,
        mask: Option<String>,
        body: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let first = self.counters.get(&var).cloned().unwrap_or_default();
        let before = self.lanes.replace(Lanes { var, count, first, mask, alive: true });
        let out = body(self);
        self.lanes = before;
        out
    }

    /// Whether statements are polynomials, each step of which waits for the one before it.
    fn is_long(&self, body: &[Stmt]) -> bool {
        let mut roots: Vec<ExprId> = Vec::new();
        roots.extend(body.iter().filter_map(|s| match s {
            Stmt::Store { value, .. } => Some(*value),
            _ => None,
        }));
        let mut seen = FxHashSet::default();
        let mut long = false;
        while let Some(id) = roots.pop() {
            if !seen.insert(id) {
                continue;
            }
            let expr = self.kernel.expr(id);
            match expr {
                Expr::Unary(op, x) if math::is_polynomial(*op, self.kernel.ty(*x)) => long = true,
                // Lane by lane.
                Expr::Unary(op, _) if op.function().is_some() => return false,
                Expr::Binary(BinOp::Pow | BinOp::Rem, ..) | Expr::Reduce { .. } => {
                    return false;
                }
                _ => {}
            }
            roots.extend(operands(expr));
        }
        long && seen.len() <= LONGEST
    }

    /// Whether lanes pay: most loads and stores walk memory with the counter, or stand still.
    fn vector_pays(&self, var: Var, body: &[Stmt]) -> bool {
        if !body.iter().all(|s| matches!(s, Stmt::Store { .. })) {
            return false;
        }
        let mut good = 0usize;
        let mut bad = 0usize;
        let mut judge = |at: &Dim| match self.stride(at, var) {
            Some(s) if s.as_known() == Some(0) || s.as_known() == Some(1) => good += 1,
            _ => bad += 1,
        };
        let mut roots = Vec::new();
        for stmt in body {
            if let Stmt::Store { at, value, .. } = stmt {
                judge(at);
                roots.push(*value);
            }
        }
        let mut seen = FxHashSet::default();
        while let Some(id) = roots.pop() {
            if !seen.insert(id) {
                continue;
            }
            match self.kernel.expr(id) {
                Expr::Load { at, .. } => judge(at),
                Expr::Reduce { axes, x, .. } if self.is_along(axes, *x, var) => return false,
                _ => {}
            }
            roots.extend(operands(self.kernel.expr(id)));
        }
        bad == 0 || good >= bad
    }

    /// Whether a reduction reads memory in order along its own last axis, and not along this one:
    /// the rows of a matrix times a vector.
    fn is_along(&self, axes: &[(Var, Dim)], x: ExprId, var: Var) -> bool {
        let Some((last, extent)) = axes.last() else { return false };
        let mut todo = vec![x];
        let mut seen = FxHashSet::default();
        let mut apart = false;
        while let Some(id) = todo.pop() {
            if !seen.insert(id) {
                continue;
            }
            if let Expr::Load { at, .. } = self.kernel.expr(id) {
                apart |= !matches!(self.stride(at, var).and_then(|s| s.as_known()), Some(0 | 1));
            }
            todo.extend(operands(self.kernel.expr(id)));
        }
        apart && self.lanes_pay(*last, extent, x)
    }

    /// Emits what the statements of a loop need and the loop does not change.
    fn ahead(&mut self, body: &[Stmt], var: Var) -> Result<()> {
        let mut moving = Moving::default();
        moving.counters.insert(var);
        moving.collect(body);
        let mut exprs = Vec::new();
        let mut indices = Vec::new();
        unconditional(body, &mut exprs, &mut indices);
        for id in exprs {
            self.ahead_expr(id, &moving)?;
        }
        for at in indices {
            self.ahead_dim(at, &moving)?;
        }
        Ok(())
    }

    fn is_fixed(&self, free: &Free, moving: &Moving) -> bool {
        free.counters.iter().all(|v| self.counters.contains_key(v) && !moving.counters.contains(v))
            && free.locals.is_empty()
            && !free.loads.iter().any(|p| self.mutable.contains(p))
    }

    fn ahead_expr(&mut self, id: ExprId, moving: &Moving) -> Result<()> {
        if matches!(self.kernel.expr(id), Expr::Const(_)) || self.known(id).is_some() {
            return Ok(());
        }
        if self.is_fixed(&self.free[id.0 as usize], moving) {
            self.expr(id)?;
            return Ok(());
        }
        let kernel = self.kernel;
        let expr = kernel.expr(id);
        for at in dims(expr) {
            self.ahead_dim(at, moving)?;
        }
        match expr {
            // What stands behind a guard may not be computed before it.
            Expr::Guard(c, ..) => self.ahead_expr(*c, moving),
            Expr::Reduce { axes, x, .. } => {
                // Inside a reduction that may be empty nothing is safe.
                if axes.iter().all(|(_, n)| n.as_known().is_some_and(|n| n > 0)) {
                    self.ahead_expr(*x, moving)?;
                }
                Ok(())
            }
            other => {
                for x in operands(other).collect::<Vec<_>>() {
                    self.ahead_expr(x, moving)?;
                }
                Ok(())
            }
        }
    }

    fn ahead_dim(&mut self, at: &Dim, moving: &Moving) -> Result<()> {
        let mut free = Free::default();
        free.merge_dim(self.kernel, &self.free, at);
        if at.as_known().is_some() || at.is_any() {
            return Ok(());
        }
        if self.is_fixed(&free, moving) {
            self.dim(at)?;
            return Ok(());
        }
        let rest =
            self.without(at, &|v| moving.counters.contains(&v) || !self.counters.contains_key(&v));
        if let Some(rest) = rest {
            let mut free = Free::default();
            free.merge_dim(self.kernel, &self.free, &rest);
            if self.is_fixed(&free, moving) && rest.as_known().is_none() {
                self.dim(&rest)?;
            }
        }
        Ok(())
    }
}

/// What changes inside a loop.
#[derive(Default)]
struct Moving {
    counters: FxHashSet<Var>,
}

impl Moving {
    fn collect(&mut self, body: &[Stmt]) {
        for stmt in body {
            match stmt {
                Stmt::For { var, body, .. } => {
                    self.counters.insert(*var);
                    self.collect(body);
                }
                Stmt::If { then, otherwise, .. } => {
                    self.collect(then);
                    self.collect(otherwise);
                }
                Stmt::While { body, .. } => self.collect(body),
                Stmt::Store { .. } | Stmt::Set { .. } => {}
            }
        }
    }
}

/// The expressions and indices that each run of the statements certainly computes.
fn unconditional<'s>(body: &'s [Stmt], exprs: &mut Vec<ExprId>, indices: &mut Vec<&'s Dim>) {
    for stmt in body {
        match stmt {
            Stmt::For { extent, body, .. } => {
                indices.push(extent);
                if extent.as_known().is_some_and(|n| n > 0) {
                    unconditional(body, exprs, indices);
                }
            }
            Stmt::Store { at, value, .. } => {
                indices.push(at);
                exprs.push(*value);
            }
            Stmt::Set { value, .. } => exprs.push(*value),
            Stmt::If { cond, .. } | Stmt::While { cond, .. } => exprs.push(*cond),
        }
    }
}
