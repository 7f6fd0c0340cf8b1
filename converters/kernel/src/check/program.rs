//! The checker of programs.

use std::collections::BTreeSet;

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;

use super::check_kernel;
use super::kernel::has_any;
use crate::ir::{Access, BufferId, BufferKind, Elem, Expr, HostOp, Launch, Loop, Program, Step};

/// Finds everything that is wrong with a program and its kernels.
///
/// # Errors
/// One line per fault, with its place.
pub fn check_program(program: &Program) -> Result<(), Vec<String>> {
    let mut check = Check { p: program, errors: Vec::new() };
    for (i, kernel) in program.kernels.iter().enumerate() {
        let place = format!("kernel {i}");
        if let Err(errors) = check_kernel(kernel) {
            check.errors.extend(errors.into_iter().map(|e| format!("{place}: {e}")));
        }
        for expr in &kernel.exprs {
            if let Expr::Check { code, .. } = expr
                && *code as usize >= program.failures.len()
            {
                check.error(&place, format!("no failure {code}"));
            }
        }
    }
    check.buffers();
    let mut live: BTreeSet<BufferId> = BTreeSet::new();
    for (i, buffer) in program.buffers.iter().enumerate() {
        if matches!(buffer.kind, BufferKind::Input(_) | BufferKind::Constant(_)) {
            live.insert(BufferId(i as u32));
        }
    }
    check.steps(&program.steps, "steps", &mut live);
    for (name, buffer) in &program.outputs {
        check.reads(&format!("output {name:?}"), *buffer, &live);
    }
    if check.errors.is_empty() { Ok(()) } else { Err(check.errors) }
}

struct Check<'p> {
    p: &'p Program,
    errors: Vec<String>,
}

impl Check<'_> {
    fn error(&mut self, place: &str, what: impl std::fmt::Display) {
        self.errors.push(format!("{place}: {what}"));
    }

    fn dim(&mut self, place: &str, dim: &Dim) {
        let mut wrong = Vec::new();
        dim.symbols(&mut |s| {
            if s.0 as usize >= self.p.sizes.len() {
                wrong.push(format!("no size {}", s.0));
            }
        });
        if has_any(dim) {
            wrong.push("a size that is not known".to_owned());
        }
        for what in wrong {
            self.error(place, what);
        }
    }

    fn buffers(&mut self) {
        for (i, buffer) in self.p.buffers.iter().enumerate() {
            let place = &format!("b{i}");
            buffer.shape.iter().for_each(|d| self.dim(place, d));
            match buffer.kind {
                BufferKind::Input(n) => {
                    let given = self.p.inputs.get(n as usize).map(|(_, b)| b.0 as usize);
                    if given != Some(i) {
                        self.error(place, format!("input {n} is another buffer"));
                    }
                }
                BufferKind::Temporary => {
                    if buffer.dtype.and_then(Elem::of).is_none() {
                        self.error(place, "no dtype of numbers");
                    }
                }
                BufferKind::Constant(_) | BufferKind::Host => {}
            }
        }
        for (name, b) in self.p.inputs.iter().chain(&self.p.outputs) {
            self.known(&format!("{name:?}"), *b);
        }
    }

    fn known(&mut self, place: &str, b: BufferId) -> bool {
        let known = (b.0 as usize) < self.p.buffers.len();
        if !known {
            self.error(place, format!("no buffer b{}", b.0));
        }
        known
    }

    fn dtype(&self, b: BufferId) -> Option<DType> {
        self.p.buffers.get(b.0 as usize)?.dtype
    }

    fn reads(&mut self, place: &str, b: BufferId, live: &BTreeSet<BufferId>) {
        if self.known(place, b) && !live.contains(&b) {
            self.error(place, format!("b{} holds nothing", b.0));
        }
    }

    fn writes(&mut self, place: &str, b: BufferId, live: &mut BTreeSet<BufferId>) {
        if !self.known(place, b) {
            return;
        }
        if matches!(self.p.buffer(b).kind, BufferKind::Input(_) | BufferKind::Constant(_)) {
            self.error(place, format!("b{} is not to be written", b.0));
        }
        live.insert(b);
    }

    /// An array whose elements have one of some types.
    fn array(&mut self, place: &str, b: BufferId, what: &str, fits: fn(DType) -> bool) {
        if self.known(place, b) && !self.dtype(b).is_some_and(fits) {
            self.error(place, format!("b{} is no array of {what}", b.0));
        }
    }

    fn condition(&mut self, place: &str, b: BufferId) {
        self.array(place, b, "bool", |d| d == DType::Bool);
    }

    fn integers(&mut self, place: &str, b: BufferId) {
        self.array(place, b, "integers", DType::is_integer);
    }

    fn alike(&mut self, place: &str, a: BufferId, b: BufferId) {
        if self.known(place, a) && self.known(place, b) && self.dtype(a) != self.dtype(b) {
            self.error(place, format!("b{} and b{} are of different dtypes", a.0, b.0));
        }
    }

    fn steps(&mut self, steps: &[Step], place: &str, live: &mut BTreeSet<BufferId>) {
        for (n, step) in steps.iter().enumerate() {
            let place = &format!("{place}.{n}");
            match step {
                Step::Launch(launch) => self.launch(place, launch, live),
                Step::Bind(binding) => {
                    self.reads(place, binding.buffer, live);
                    self.integers(place, binding.buffer);
                    binding.dims.iter().for_each(|d| self.dim(place, d));
                }
                Step::BindShape(b) => self.reads(place, *b, live),
                Step::Fit(fit) => [&fit.from, &fit.to].into_iter().for_each(|d| self.dim(place, d)),
                Step::Alias { to, from } => {
                    self.reads(place, *from, live);
                    self.alike(place, *to, *from);
                    self.writes(place, *to, live);
                }
                Step::Host(HostOp { operands, results, .. }) => {
                    operands.iter().flatten().for_each(|b| self.reads(place, *b, live));
                    results.iter().flatten().for_each(|b| self.writes(place, *b, live));
                }
                Step::Assert { condition, .. } => {
                    self.reads(place, *condition, live);
                    self.condition(place, *condition);
                }
                Step::If { condition, then, otherwise } => {
                    self.reads(place, *condition, live);
                    self.condition(place, *condition);
                    let mut other = live.clone();
                    self.steps(then, &format!("{place}.then"), live);
                    self.steps(otherwise, &format!("{place}.else"), &mut other);
                    live.retain(|b| other.contains(b));
                }
                Step::Loop(l) => self.repeat(place, l, live),
                // What lives in one branch or in a body only may hold nothing by then.
                Step::Free(b) => {
                    self.known(place, *b);
                    live.remove(b);
                }
            }
        }
    }

    fn repeat(&mut self, place: &str, l: &Loop, live: &mut BTreeSet<BufferId>) {
        for b in [l.trips, l.condition].into_iter().flatten() {
            self.reads(place, b, live);
        }
        l.trips.iter().for_each(|b| self.integers(place, *b));
        l.condition.iter().chain([&l.running, &l.next]).for_each(|b| self.condition(place, *b));
        self.integers(place, l.iteration);
        let mut inner = live.clone();
        self.writes(place, l.iteration, &mut inner);
        self.writes(place, l.running, &mut inner);
        for [first, seen, given, result] in &l.carried {
            self.reads(place, *first, live);
            self.writes(place, *seen, &mut inner);
            [seen, given, result].into_iter().for_each(|b| self.alike(place, *first, *b));
        }
        for size in &l.fresh {
            self.dim(place, &Dim::symbol(*size));
        }
        let body = &format!("{place}.body");
        self.steps(&l.body, body, &mut inner);
        let given = l.carried.iter().map(|c| c[2]).chain(l.stacked.iter().map(|s| s.0));
        for b in given.chain([l.next]) {
            self.reads(body, b, &inner);
        }
        for (one, all) in &l.stacked {
            self.alike(place, *one, *all);
        }
        for b in l.carried.iter().map(|c| c[3]).chain(l.stacked.iter().map(|s| s.1)) {
            self.writes(place, b, live);
        }
    }

    fn launch(&mut self, place: &str, launch: &Launch, live: &mut BTreeSet<BufferId>) {
        launch.sizes.iter().for_each(|d| self.dim(place, d));
        let p = self.p;
        let Some(kernel) = p.kernels.get(launch.kernel.0 as usize) else {
            return self.error(place, format!("no kernel k{}", launch.kernel.0));
        };
        if launch.sizes.len() != kernel.sizes as usize {
            let (given, needed) = (launch.sizes.len(), kernel.sizes);
            self.error(place, format!("{given} sizes for {needed}"));
        }
        if launch.buffers.len() != kernel.params.len() {
            let (given, needed) = (launch.buffers.len(), kernel.params.len());
            self.error(place, format!("{given} buffers for {needed}"));
        }
        for (i, (param, b)) in kernel.params.iter().zip(&launch.buffers).enumerate() {
            if !self.known(place, *b) {
                continue;
            }
            let elem = self.dtype(*b).and_then(Elem::of).map(|(elem, _)| elem);
            if elem != Some(param.elem) {
                let held = elem.map_or("nothing that kernels know", Elem::name);
                let what = format!("p{i} of {} is b{} of {held}", param.elem.name(), b.0);
                self.error(place, what);
            }
            if param.access == Access::Read {
                self.reads(place, *b, live);
            }
        }
        for (param, b) in kernel.params.iter().zip(&launch.buffers) {
            if param.access != Access::Read {
                self.writes(place, *b, live);
            }
        }
    }
}
