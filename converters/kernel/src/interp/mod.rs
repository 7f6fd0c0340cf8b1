//! The interpreter of kernels: slow, readable and right.
//!
//! It says what a kernel means: expressions are evaluated where they stand, every access is
//! checked, guards are lazy. What is remembered of an expression is forgotten as soon as a
//! counter, a local or memory that it depends on changes.

mod memory;
mod ops;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};

use airconv_ir::dim::Dim;
use airconv_ir::op::ReduceKind;

use crate::analysis::{Free, free};
use crate::check::check_kernel;
use crate::ir::{Const, Expr, ExprId, Kernel, Scalar, Stmt, Var, VarDef};
use crate::memory::Mem;

/// Why a run of a kernel ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A check did not hold; its code, the first one of the run.
    #[error("check {0} does not hold")]
    Check(u32),
    /// A load or store outside of its buffer.
    #[error("element {at} of parameter {param}, which has {len}")]
    OutOfBounds {
        /// The parameter.
        param: u32,
        /// The element.
        at: i64,
        /// How many elements there are.
        len: usize,
    },
    /// An index expression without a value.
    #[error("an index expression has no value")]
    BadIndex,
    /// The kernel breaks a rule of the IR, or was called with too few buffers or sizes.
    #[error("malformed: {0}")]
    Malformed(String),
}

/// Runs a kernel.
///
/// The memory of the buffers has to be valid for reads and writes.
///
/// # Errors
/// A failed check is reported at the end of the run; every other fault ends the run.
pub fn run_kernel(kernel: &Kernel, buffers: &[Mem], sizes: &[i64]) -> Result<(), Fault> {
    check_kernel(kernel).map_err(|errors| Fault::Malformed(errors.join("; ")))?;
    if buffers.len() != kernel.params.len() || sizes.len() != kernel.sizes as usize {
        let (b, s) = (buffers.len(), sizes.len());
        return Err(Fault::Malformed(format!("called with {b} buffers and {s} sizes")));
    }
    let run = Run::new(kernel, buffers, sizes);
    run.statements(&kernel.body)?;
    run.failed.get().map_or(Ok(()), |code| Err(Fault::Check(code)))
}

/// A source of change, for what is remembered of expressions.
#[derive(Clone, Copy)]
enum Source {
    Counter(u32),
    Local(u32),
    Memory,
}

/// A value of an expression and when it was found.
#[derive(Clone, Copy, Default)]
struct Known {
    bits: u64,
    at: u64,
}

struct Run<'k> {
    k: &'k Kernel,
    buffers: &'k [Mem],
    sizes: &'k [i64],
    types: Vec<Scalar>,
    sources: Vec<Vec<Source>>,
    /// Values, found at time 0 when never.
    known: Vec<Cell<Known>>,
    counters: Vec<Cell<i64>>,
    locals: Vec<Cell<u64>>,
    counter_changed: Vec<Cell<u64>>,
    local_changed: Vec<Cell<u64>>,
    memory_changed: Cell<u64>,
    now: Cell<u64>,
    failed: Cell<Option<u32>>,
    /// A fault within an index expression.
    inner: RefCell<Option<Fault>>,
}

impl<'k> Run<'k> {
    fn new(k: &'k Kernel, buffers: &'k [Mem], sizes: &'k [i64]) -> Self {
        let sources = |f: &Free| {
            let counters = f.counters.iter().map(|v| Source::Counter(v.0));
            let locals = f.locals.iter().map(|l| Source::Local(l.0));
            let memory = (!f.loads.is_empty()).then_some(Source::Memory);
            counters.chain(locals).chain(memory).collect()
        };
        Run {
            k,
            buffers,
            sizes,
            types: (0..k.exprs.len()).map(|i| k.ty(ExprId(i as u32))).collect(),
            sources: free(k).iter().map(sources).collect(),
            known: vec![Cell::default(); k.exprs.len()],
            counters: vec![Cell::new(0); k.vars.len()],
            locals: vec![Cell::new(0); k.locals.len()],
            counter_changed: vec![Cell::new(0); k.vars.len()],
            local_changed: vec![Cell::new(0); k.locals.len()],
            memory_changed: Cell::new(0),
            now: Cell::new(1),
            failed: Cell::new(None),
            inner: RefCell::new(None),
        }
    }

    fn tick(&self) -> u64 {
        self.now.set(self.now.get() + 1);
        self.now.get()
    }

    fn set_counter(&self, var: Var, value: i64) {
        self.counters[var.0 as usize].set(value);
        self.counter_changed[var.0 as usize].set(self.tick());
    }

    fn statements(&self, list: &[Stmt]) -> Result<(), Fault> {
        for stmt in list {
            match stmt {
                Stmt::For { var, extent, body, .. } => {
                    for i in 0..self.dim(extent)? {
                        self.set_counter(*var, i);
                        self.statements(body)?;
                    }
                }
                Stmt::Store { param, at, value } => {
                    let value = self.expr(*value)?;
                    self.store(*param, self.dim(at)?, value)?;
                    self.memory_changed.set(self.tick());
                }
                Stmt::Set { local, value } => {
                    let value = self.expr(*value)?;
                    self.locals[local.0 as usize].set(value);
                    self.local_changed[local.0 as usize].set(self.tick());
                }
                Stmt::If { cond, then, otherwise } => {
                    let taken = if self.expr(*cond)? != 0 { then } else { otherwise };
                    self.statements(taken)?;
                }
                Stmt::While { cond, body } => {
                    while self.expr(*cond)? != 0 {
                        self.statements(body)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn dim(&self, dim: &Dim) -> Result<i64, Fault> {
        if let Some(k) = dim.as_known() {
            return Ok(k);
        }
        let value = dim.eval(&|var| match self.k.vars[var.0 as usize] {
            VarDef::Size(n) => Some(self.sizes[n as usize]),
            VarDef::Counter => Some(self.counters[var.0 as usize].get()),
            VarDef::Value(x) => match self.expr(x) {
                Ok(bits) => Some(bits as i64),
                Err(fault) => {
                    *self.inner.borrow_mut() = Some(fault);
                    None
                }
            },
        });
        value.ok_or_else(|| self.inner.borrow_mut().take().unwrap_or(Fault::BadIndex))
    }

    /// The bits of the value of an expression, as those of a [`Const`].
    fn expr(&self, id: ExprId) -> Result<u64, Fault> {
        match self.k.expr(id) {
            Expr::Const(c) => return Ok(c.bits),
            Expr::Local(l) => return Ok(self.locals[l.0 as usize].get()),
            _ => {}
        }
        let known = &self.known[id.0 as usize];
        let Known { bits, at } = known.get();
        let holds = |source: &Source| match *source {
            Source::Counter(v) => self.counter_changed[v as usize].get() <= at,
            Source::Local(l) => self.local_changed[l as usize].get() <= at,
            Source::Memory => self.memory_changed.get() <= at,
        };
        if at != 0 && self.sources[id.0 as usize].iter().all(holds) {
            return Ok(bits);
        }
        let bits = self.compute(id)?;
        known.set(Known { bits, at: self.now.get() });
        Ok(bits)
    }

    fn compute(&self, id: ExprId) -> Result<u64, Fault> {
        let ty = |x: &ExprId| self.types[x.0 as usize];
        Ok(match self.k.expr(id) {
            Expr::Const(c) => c.bits,
            Expr::Local(l) => self.locals[l.0 as usize].get(),
            Expr::Index(d) => self.dim(d)? as u64,
            Expr::Load { param, at } => self.load(*param, self.dim(at)?)?,
            Expr::Unary(op, x) => ops::unary(*op, ty(x), self.expr(*x)?),
            Expr::Binary(op, a, b) => {
                let found = ops::binary(*op, ty(a), self.expr(*a)?, self.expr(*b)?);
                let fault = || Fault::Malformed(format!("e{} divides by zero", id.0));
                found.ok_or_else(fault)?
            }
            Expr::Select(c, a, b) => {
                let (c, a, b) = (self.expr(*c)?, self.expr(*a)?, self.expr(*b)?);
                if c != 0 { a } else { b }
            }
            Expr::Guard(c, a, b) => self.expr(if self.expr(*c)? != 0 { *a } else { *b })?,
            Expr::Cast(to, x) => ops::cast(*to, ty(x), self.expr(*x)?),
            Expr::Bitcast(_, x) => self.expr(*x)?,
            Expr::Narrow(narrow, x) => ops::narrow(*narrow, ty(x), self.expr(*x)?),
            Expr::Reduce { kind, axes, x } => {
                let ty = ty(x);
                let mut total = Total::new(*kind, ty);
                self.reduce(axes, *x, &mut total)?;
                total.value()
            }
            Expr::Check { ok, x, code } => {
                if self.expr(*ok)? == 0 && self.failed.get().is_none() {
                    self.failed.set(Some(*code));
                }
                self.expr(*x)?
            }
        })
    }

    fn reduce(&self, axes: &[(Var, Dim)], x: ExprId, total: &mut Total) -> Result<(), Fault> {
        let Some(((var, extent), rest)) = axes.split_first() else {
            total.add(self.expr(x)?);
            return Ok(());
        };
        for i in 0..self.dim(extent)? {
            self.set_counter(*var, i);
            self.reduce(rest, x, total)?;
        }
        Ok(())
    }

    fn load(&self, param: u32, at: i64) -> Result<u64, Fault> {
        let (mem, elem) = (self.buffers[param as usize], self.k.params[param as usize].elem);
        memory::load(mem, elem, at).ok_or_else(|| self.outside(param, at))
    }

    fn store(&self, param: u32, at: i64, value: u64) -> Result<(), Fault> {
        let (mem, elem) = (self.buffers[param as usize], self.k.params[param as usize].elem);
        memory::store(mem, elem, at, value).ok_or_else(|| self.outside(param, at))
    }

    fn outside(&self, param: u32, at: i64) -> Fault {
        let (mem, elem) = (self.buffers[param as usize], self.k.params[param as usize].elem);
        Fault::OutOfBounds { param, at, len: mem.len / elem.bytes() }
    }
}

/// A reduction under way. Sums and products of `F32` are kept in double precision.
struct Total {
    kind: ReduceKind,
    ty: Scalar,
    bits: u64,
    wide: Option<f64>,
}

impl Total {
    fn new(kind: ReduceKind, ty: Scalar) -> Total {
        let neutral = Kernel::neutral(kind, ty);
        let sums = matches!(kind, ReduceKind::Sum | ReduceKind::Prod) && ty == Scalar::F32;
        Total { kind, ty, bits: neutral.bits, wide: sums.then(|| neutral.as_f64()) }
    }

    fn add(&mut self, bits: u64) {
        match &mut self.wide {
            Some(wide) => {
                let x = Const { ty: self.ty, bits }.as_f64();
                *wide = if self.kind == ReduceKind::Sum { *wide + x } else { *wide * x };
            }
            None => {
                let op = Kernel::combine(self.kind);
                self.bits = ops::binary(op, self.ty, self.bits, bits).unwrap_or(self.bits);
            }
        }
    }

    fn value(self) -> u64 {
        self.wide.map_or(self.bits, |wide| Const::from_f64(self.ty, wide).bits)
    }
}
