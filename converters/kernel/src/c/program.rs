//! Programs as C: one function that runs the steps over memory that the caller gives.

use std::collections::{BTreeMap, BTreeSet};

use airconv_ir::dim::{Atom, Dim, numel};
use airconv_ir::entity::SymbolId;
use airconv_ir::module::Module;
use rustc_hash::FxHashMap;

use super::helpers::Helpers;
use super::index::{self, Names, int_literal};
use super::kernel::stored_type;
use super::plan::{Place, Plan, bytes, plan};
use super::{
    COptions, CSource, INCLUDES, Kernels, Refused, constants, header, indented, kernel, limits,
};
use crate::analysis::Effects;
use crate::check::check_program;
use crate::ir::{
    Access, Binding, BufferId, BufferKind, Elem, Fit, KernelId, Launch, Loop, Program, Step,
};

/// A program as a source file and a header; see the head of the generated header for how it is
/// called.
///
/// # Errors
/// Everything in the program that C has no form for: ops that only the interpreter of the hub
/// runs, and sizes that are computed and have no bound.
pub fn program_c<'p>(
    program: &'p Program,
    module: &Module,
    options: &'p COptions,
) -> Result<CSource, Refused> {
    check_program(program).map_err(Refused)?;
    let hosts: Vec<String> = program.host_ops().keys().map(|op| format!("op `{op}`")).collect();
    if !hosts.is_empty() {
        return Err(Refused(hosts));
    }
    let chains = match &options.kernels {
        Kernels::External(external) => external.chains.at.keys().copied().collect(),
        Kernels::Inline => BTreeSet::new(),
    };
    let plan = plan(program, chains).map_err(Refused)?;
    let mut w = Writer {
        p: program,
        plan,
        name: identifier(if options.name.is_empty() { &program.name } else { &options.name }),
        helpers: Helpers::default(),
        errors: program.failures.clone(),
        bound: BTreeSet::new(),
        limits: limits::of(program, module),
        given: BTreeSet::new(),
        kernels: BTreeSet::new(),
        options,
        products: 0,
        launches: 0,
        chain: Vec::new(),
        chains: 0,
        ready: String::new(),
        once: BTreeMap::new(),
        once_bytes: Vec::new(),
        out: String::new(),
        refused: Vec::new(),
    };
    if options.kernels != Kernels::Inline {
        w.find_once();
    }
    let planned = w.planning();
    let shapes = w.output_shapes();
    let steps = w.body();
    let run = w.run();
    let life = w.life();
    let (mut before, mut functions) = (String::new(), String::new());
    match &options.kernels {
        Kernels::External(external) => {
            before = Writer::runtime(external);
            functions = w.external(external);
        }
        Kernels::Inline => {
            for k in w.kernels.clone() {
                let text = kernel::function(program.kernel(k), &w.kernel_name(k), &mut w.helpers);
                functions += &format!("/* {} */\n{text}\n", comment(&program.kernel(k).name));
            }
        }
    }
    let data = constants::text(&w, module);
    w.refused.extend(data.1);
    if !w.refused.is_empty() {
        w.refused.sort();
        w.refused.dedup();
        return Err(Refused(w.refused));
    }
    let name = &w.name;
    let first = if before.is_empty() { "" } else { "#define _GNU_SOURCE\n" };
    let source = format!(
        "/* {name}: generated code. */\n{first}#include \"{name}.h\"\n\n{INCLUDES}\n{before}{}\n{}{functions}{}{}",
        w.helpers.text(),
        data.0,
        w.types(),
        indented(&format!("{planned}\n{shapes}\n{steps}\n{run}\n{life}\n{}", w.error_texts())),
    );
    let header = header::text(program, name, &w.errors, &w.given, &options.kernels);
    Ok(CSource { name: name.clone(), source, header })
}

/// A text within a comment.
pub(super) fn comment(text: &str) -> String {
    text.replace("*/", "* /").replace(|c: char| c.is_control(), " ")
}

/// A name of C that is like a text.
fn identifier(text: &str) -> String {
    let mut name: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert_str(0, "model_");
    }
    name
}

pub(super) struct Writer<'p> {
    pub(super) p: &'p Program,
    pub(super) plan: Plan,
    pub(super) name: String,
    pub(super) helpers: Helpers,
    /// What the codes 1, 2, ... mean.
    errors: Vec<String>,
    /// Sizes that have a value where code is written.
    bound: BTreeSet<SymbolId>,
    /// What computed sizes are at most.
    limits: BTreeMap<SymbolId, Dim>,
    /// Sizes that the shapes of the inputs give.
    pub(super) given: BTreeSet<SymbolId>,
    kernels: BTreeSet<KernelId>,
    pub(super) options: &'p COptions,
    /// How many launches of products there are.
    pub(super) products: usize,
    /// How many launches were written.
    pub(super) launches: usize,
    /// The launches of the chain that is written.
    pub(super) chain: Vec<&'p Launch>,
    /// How many chains there are.
    pub(super) chains: usize,
    /// What makes products and chains ready.
    pub(super) ready: String,
    /// The addresses of what is made once, when a context is, and of what stands for it.
    pub(super) once: BTreeMap<BufferId, String>,
    /// The bytes of each piece of memory for that.
    pub(super) once_bytes: Vec<i64>,
    out: String,
    pub(super) refused: Vec<String>,
}

impl<'p> Writer<'p> {
    pub(super) fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn kernel_name(&self, k: KernelId) -> String {
        format!("k{}_{}", k.0, identifier(&self.p.kernel(k).name))
    }

    /// What was written so far, which is begun anew.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// The code of an error.
    pub(super) fn code(&mut self, what: &str) -> usize {
        let found = self.errors.iter().skip(self.p.failures.len()).position(|e| e == what);
        match found {
            Some(i) => self.p.failures.len() + i + 1,
            None => {
                self.errors.push(what.to_owned());
                self.errors.len()
            }
        }
    }

    fn size_name(&self, s: SymbolId) -> &str {
        &self.p.sizes[s.0 as usize].name
    }

    /// A text for a size; sizes without a value are refused.
    pub(super) fn dim(&mut self, d: &Dim) -> String {
        let mut texts = FxHashMap::default();
        let mut missing = Vec::new();
        d.symbols(&mut |s| {
            if !self.bound.contains(&s) {
                missing.push(s);
            }
            texts.insert(s, format!("s[{}]", s.0));
        });
        for s in missing {
            let what = format!("size `{}` has no value where it is needed", self.size_name(s));
            self.refused.push(what);
        }
        self.named(d, &texts)
    }

    /// A text for the most that a size can be, by what the inputs give.
    fn most(&mut self, d: &Dim) -> String {
        let limited = d.substitute(&mut |s| match self.given.contains(&s) {
            true => None,
            false => self.limits.get(&s).cloned(),
        });
        let mut texts = FxHashMap::default();
        let mut endless = Vec::new();
        limited.symbols(&mut |s| {
            let given = self.given.contains(&s);
            texts.insert(s, format!("s[{}]", s.0));
            if !given {
                endless.push(s);
            }
        });
        for s in endless {
            let what = format!("size `{}` is computed and has no bound", self.size_name(s));
            self.refused.push(what);
        }
        self.named(&limited, &texts)
    }

    pub(super) fn named(&mut self, d: &Dim, texts: &FxHashMap<SymbolId, String>) -> String {
        let names = Names { texts, wraps: true, least: &|_| None };
        index::text(d, &names, &mut self.helpers)
    }

    /// Binds the sizes in an expression to a value, or checks it.
    fn bind(&mut self, d: &Dim, value: &str, what: &str) {
        let mut unbound = BTreeSet::new();
        d.symbols(&mut |s| {
            if !self.bound.contains(&s) {
                unbound.insert(s);
            }
        });
        let list: Vec<SymbolId> = unbound.into_iter().collect();
        match list[..] {
            [] => {
                let text = self.dim(d);
                if text == value {
                    return;
                }
                let code = self.code(what);
                self.line(&format!("if ({value} != {text}) {{\nreturn {code};\n}}"));
            }
            [s] if affine(d, s) => {
                let at = |k: i64| d.substitute(&mut |v| (v == s).then_some(Dim::Known(k)));
                let (rest, by) = (at(0), at(1).sub(&at(0)));
                let code = self.code(what);
                let i = s.0;
                if rest.as_known() == Some(0) && by.as_known() == Some(1) {
                    self.line(&format!("s[{i}] = {value};"));
                } else {
                    let (rest, by) = (self.dim(&rest), self.dim(&by));
                    let i64 = crate::ir::Scalar::I64;
                    let (div, rem) = (self.helpers.div(i64), self.helpers.rem(i64));
                    self.line(&format!(
                        "s[{i}] = {div}({value} - {rest}, {by});\n\
                         if ({by} == 0 || {rem}({value} - {rest}, {by}) != 0) {{\n\
                         return {code};\n}}"
                    ));
                }
                let range = self.p.sizes[i as usize].range;
                let low = range.min.map(|k| format!("s[{i}] < {}", int_literal(k)));
                let high = range.max.map(|k| format!("s[{i}] > {}", int_literal(k)));
                let outside: Vec<String> = low.into_iter().chain(high).collect();
                if !outside.is_empty() {
                    let outside = outside.join(" || ");
                    self.line(&format!("if ({outside}) {{\nreturn {code};\n}}"));
                }
                self.bound.insert(s);
            }
            // Other uses of these sizes bind them.
            _ => {}
        }
    }

    /// The function that finds the sizes and the places in the workspace.
    fn planning(&mut self) -> String {
        self.line(&format!(
            "static int32_t plan(const int64_t *const *input_shapes, struct {}_plan *p)\n{{\n\
             int64_t *s = p->s, *o = p->o;\n(void)s;\n(void)input_shapes;",
            self.name
        ));
        // Shapes that are sizes by themselves first: others may need them.
        for pass in 0..2 {
            for (n, (name, b)) in self.p.inputs.clone().iter().enumerate() {
                for (axis, d) in self.p.buffer(*b).shape.iter().enumerate() {
                    let simple = d.as_symbol().is_some_and(|s| !self.bound.contains(&s));
                    if simple == (pass == 0) {
                        let value = format!("input_shapes[{n}][{axis}]");
                        let what = format!("input `{name}` has another size along axis {axis}");
                        self.bind(d, &value, &what);
                    }
                }
            }
        }
        self.given = self.bound.clone();
        self.line("o[0] = 0;");
        for (i, slot) in self.plan.slots.clone().iter().enumerate() {
            let texts: Vec<String> = slot.iter().map(|d| self.most(d)).collect();
            let max = self.helpers.extreme(crate::ir::Scalar::I64, true, true);
            let most = texts.into_iter().reduce(|a, b| format!("{max}({a}, {b})"));
            let most = most.unwrap_or_default();
            self.line(&format!("o[{}] = o[{i}] + ({most} + 63) / 64 * 64;", i + 1));
        }
        self.line("return 0;\n}\n");
        std::mem::take(&mut self.out)
    }

    fn output_shapes(&mut self) -> String {
        let name = self.name.clone();
        self.line(&format!(
            "void {name}_output_shapes(const {name}_context *x, int64_t *const *output_shapes)\n{{\n\
             const int64_t *s = x->p.s;\n(void)s;\n(void)output_shapes;"
        ));
        for (k, (_, b)) in self.p.outputs.iter().enumerate() {
            for (axis, d) in self.p.buffer(*b).shape.iter().enumerate() {
                let text = self.most(d);
                self.line(&format!("output_shapes[{k}][{axis}] = {text};"));
            }
        }
        self.line("}");
        std::mem::take(&mut self.out)
    }

    /// The text of a constant's address.
    pub(super) fn constant(&self, b: BufferId) -> Option<String> {
        if let Some(text) = self.once.get(&b) {
            return Some(text.clone());
        }
        if !matches!(self.p.buffer(b).kind, BufferKind::Constant(_)) {
            return None;
        }
        match &self.options.kernels {
            Kernels::External(e) if e.constants.contains_key(&b) => {
                e.constants.get(&b).map(|&placed| self.placed(placed))
            }
            _ => Some(format!("(void *)(uintptr_t)c{}", b.0)),
        }
    }

    /// The function of all steps.
    fn body(&mut self) -> String {
        let (name, sizes) = (self.name.clone(), self.p.sizes.len().max(1));
        self.line(&format!(
            "static int32_t steps({name}_context *x, const void *const *inputs,\n\
             void *const *outputs, int64_t *const *output_shapes, unsigned char *w)\n{{\n\
             int32_t status = 0;\nint64_t s[{sizes}];\nconst int64_t *o = x->p.o;\n\
             (void)inputs;\n(void)outputs;\n(void)output_shapes;\n(void)o;\n(void)w;\n\
             (void)status;\nmemcpy(s, x->p.s, sizeof s);\n(void)s;"
        ));
        for (b, place) in self.plan.places.clone() {
            let i = b.0;
            let at = match (self.p.buffer(b).kind.clone(), place) {
                (BufferKind::Input(n), _) => format!("(void *)(uintptr_t)inputs[{n}]"),
                _ if self.once.contains_key(&b) => self.constant(b).unwrap_or_default(),
                (BufferKind::Constant(_), _) => self.constant(b).unwrap_or_default(),
                (_, Place::Slot(slot)) => format!("w + o[{slot}]"),
                (_, Place::Output(k)) => format!("outputs[{k}]"),
                _ => "NULL".to_owned(),
            };
            self.line(&format!("void *b{i} = {at};\n(void)b{i};"));
        }
        self.bound = self.given.clone();
        let steps = &self.p.steps;
        self.steps(steps);
        for (k, (_, b)) in self.p.outputs.iter().enumerate() {
            let (i, buffer) = (b.0, self.p.buffer(*b));
            let size = self.dim(&bytes(buffer));
            self.line(&format!(
                "if (b{i} != outputs[{k}]) {{\nmemcpy(outputs[{k}], b{i}, (size_t){size});\n}}"
            ));
            if !buffer.shape.is_empty() {
                self.line("if (output_shapes != NULL) {");
                for (axis, d) in buffer.shape.iter().enumerate() {
                    let text = self.dim(d);
                    self.line(&format!("output_shapes[{k}][{axis}] = {text};"));
                }
                self.line("}");
            }
        }
        self.line("return 0;\n}");
        std::mem::take(&mut self.out)
    }

    /// The function that callers run.
    fn run(&mut self) -> String {
        let (name, external) = (self.name.clone(), self.options.kernels != Kernels::Inline);
        let none = self.code("there is no workspace: none is given, and the context has none");
        let busy = self.code("the workspace of the context is in use by another run");
        let (enter, leave) = match external {
            true => ("const uint64_t mode = ac_flush();\n", "ac_restore(mode);\n"),
            false => ("", ""),
        };
        self.line(&format!(
            "int32_t {name}_run({name}_context *x, const void *const *inputs, void *const *outputs,\n\
             int64_t *const *output_shapes, void *workspace)\n{{\n\
             const bool own = workspace == NULL;\n\
             if (own && x->own == NULL) {{\nreturn {none};\n}}\n\
             if (own && atomic_flag_test_and_set(&x->busy)) {{\nreturn {busy};\n}}\n\
             {enter}const int32_t status = steps(x, inputs, outputs, output_shapes, \
             own ? x->own : (unsigned char *)workspace);\n{leave}\
             if (own) {{\natomic_flag_clear(&x->busy);\n}}\nreturn status;\n}}"
        ));
        std::mem::take(&mut self.out)
    }

    /// The functions that make a context and end it.
    fn life(&mut self) -> String {
        let (name, slots) = (self.name.clone(), self.plan.slots.len());
        let memory = self.code("there is not enough memory");
        let (mut spare, mut open, mut close) = ("", String::new(), "");
        if let Kernels::External(external) = &self.options.kernels {
            let ready = std::mem::take(&mut self.ready);
            let mut once = String::new();
            for (i, bytes) in self.once_bytes.iter().enumerate() {
                once += &format!(
                    "x->once[{i}] = ac_memory(&x->e, INT64_C({bytes}));\n\
                     if (x->once[{i}] == NULL) {{\nreturn {memory};\n}}\n"
                );
            }
            self.line(&format!(
                "static int32_t ready({name}_context *x)\n{{\nconst int64_t *s = x->p.s;\n\
                 struct ac_shape shape;\nint32_t status = 0;\n(void)s;\n(void)shape;\n\
                 (void)status;\n{once}{ready}return 0;\n}}\n"
            ));
            let level = self.code("this processor lacks instructions that the code needs");
            open = format!(
                "if (status == 0 && (x->e.level = level_of_this_machine()) < 0) {{\n\
                 status = {level};\n}}\n\
                 if (status == 0 && !ac_open(&x->e, options->threads)) {{\n\
                 status = {memory};\n}}\n"
            );
            if let Some(file) = &external.weights {
                let code = self.code("the file with the weights cannot be mapped, or is another's");
                let (name, bytes) = (string(&file.name), file.bytes);
                let digest: String = file.digest.iter().map(|b| format!("\\{b:03o}")).collect();
                open += &format!(
                    "if (status == 0 && !ac_map(&x->e, options->weights != NULL ? \
                     options->weights : {name}, INT64_C({bytes}), \"{digest}\")) {{\n\
                     status = {code};\n}}\n"
                );
            }
            open += "if (status == 0) {\nconst uint64_t mode = ac_flush();\nstatus = ready(x);\n\
                     ac_restore(mode);\n}\n";
            spare = " + x->e.transient + x->e.scratch * x->e.pool.threads";
            close = "ac_close(&x->e);\n";
        }
        self.line(&format!(
            "int64_t {name}_workspace(const {name}_context *x)\n{{\n\
             return x->p.o[{slots}]{spare};\n}}\n\n\
             void {name}_destroy({name}_context *x)\n{{\nif (x != NULL) {{\n{close}\
             free(x->memory);\nfree(x);\n}}\n}}\n\n\
             int32_t {name}_create({name}_context **made, const int64_t *const *input_shapes,\n\
             const struct {name}_options *options)\n{{\n\
             const struct {name}_options usual = {{0, 0, NULL}};\n\
             {name}_context *x = aligned_alloc(_Alignof({name}_context), sizeof *x);\n\
             *made = NULL;\nif (x == NULL) {{\nreturn {memory};\n}}\n\
             memset(x, 0, sizeof *x);\natomic_flag_clear(&x->busy);\n\
             options = options != NULL ? options : &usual;\n(void)options;\n\
             int32_t status = plan(input_shapes, &x->p);\n{open}\
             if (status == 0 && options->own_workspace) {{\n\
             x->memory = malloc((size_t){name}_workspace(x) + 64);\n\
             if (x->memory == NULL) {{\nstatus = {memory};\n}} else {{\n\
             x->own = (unsigned char *)(((uintptr_t)x->memory + 63) & ~(uintptr_t)63);\n}}\n}}\n\
             if (status != 0) {{\n{name}_destroy(x);\nreturn status;\n}}\n\
             *made = x;\nreturn 0;\n}}"
        ));
        std::mem::take(&mut self.out)
    }

    /// Whether a kernel can run loop by loop.
    pub(super) fn kernels_have_nest(&self, k: u32) -> bool {
        match &self.options.kernels {
            Kernels::Inline => true,
            Kernels::External(e) => e.kernels.get(k as usize).is_some_and(|k| k.nest.is_some()),
        }
    }

    /// Elements of a buffer, to read.
    fn elements(&self, b: BufferId) -> String {
        let elem = self.p.buffer(b).dtype.and_then(Elem::of).map_or(Elem::U8, |(e, _)| e);
        format!("((const {} *)b{})", stored_type(elem), b.0)
    }

    fn steps(&mut self, steps: &'p [Step]) {
        for step in steps {
            match step {
                Step::Launch(launch) => self.launch(launch),
                Step::Bind(binding) => self.bind_values(binding),
                Step::BindShape(b) => {
                    for d in &self.p.buffer(*b).shape {
                        // A size that is not bound yet is refused here.
                        self.dim(d);
                    }
                }
                Step::Fit(fit) => self.fit(fit),
                Step::Alias { to, from } => self.alias(*to, *from),
                Step::Assert { condition, message } => {
                    let count = self.dim(&numel(&self.p.buffer(*condition).shape));
                    let (code, elements) = (self.code(message), self.elements(*condition));
                    self.line(&format!(
                        "for (int64_t i = 0; i < {count}; i++) {{\nif ({elements}[i] == 0) {{\n\
                         return {code};\n}}\n}}"
                    ));
                }
                Step::If { condition, then, otherwise } => {
                    let before = self.bound.clone();
                    self.line(&format!("if ({}[0] != 0) {{", self.elements(*condition)));
                    self.steps(then);
                    let after = std::mem::replace(&mut self.bound, before);
                    self.line("} else {");
                    self.steps(otherwise);
                    self.line("}");
                    self.bound.retain(|s| after.contains(s));
                }
                Step::Loop(l) => self.repeat(l),
                Step::Host(_) | Step::Free(_) => {}
            }
        }
    }

    fn fit(&mut self, fit: &Fit) {
        let (from, to) = (self.dim(&fit.from), self.dim(&fit.to));
        let code = self.code(&format!("sizes do not fit: `{}`", fit.op));
        let one = if fit.or_one { format!(" && {from} != 1") } else { String::new() };
        self.line(&format!("if ({from} != {to}{one}) {{\nreturn {code};\n}}"));
    }

    fn bind_values(&mut self, binding: &Binding) {
        let shape = &self.p.buffer(binding.buffer).shape;
        let count = numel(shape);
        let wanted = binding.dims.len();
        if count.as_known() != Some(wanted as i64) {
            let (text, code) = (self.dim(&count), self.code("a shape of another rank"));
            self.line(&format!("if ({text} != {wanted}) {{\nreturn {code};\n}}"));
        }
        for (i, d) in binding.dims.iter().enumerate() {
            let value = format!("(int64_t){}[{i}]", self.elements(binding.buffer));
            self.bind(d, &value, "a computed size is not what it has to be");
        }
    }

    fn alias(&mut self, to: BufferId, from: BufferId) {
        let (a, b) = (&self.p.buffer(to).shape, &self.p.buffer(from).shape);
        let what = "a value has another shape than it has to have";
        if a.len() == b.len() {
            for (to, from) in a.iter().zip(b) {
                let mut bound = true;
                to.symbols(&mut |s| bound &= self.bound.contains(&s));
                if !bound {
                    let value = self.dim(from);
                    self.bind(to, &value, what);
                }
            }
        }
        let (n, m) = (numel(a), numel(b));
        if n != m {
            let (n, m, code) = (self.dim(&n), self.dim(&m), self.code(what));
            self.line(&format!("if ({n} != {m}) {{\nreturn {code};\n}}"));
        }
        self.line(&format!("b{} = b{};", to.0, from.0));
    }

    /// Makes sure that a computed size fits into what was planned.
    pub(super) fn fits(&mut self, b: BufferId, times: Option<&str>) {
        let buffer = self.p.buffer(b);
        let size = bytes(buffer);
        let mut computed = times.is_some();
        size.symbols(&mut |s| computed |= !self.given.contains(&s));
        if !computed {
            return;
        }
        let room = match self.plan.places.get(&b) {
            Some(Place::Slot(i)) => format!("o[{}] - o[{i}]", i + 1),
            _ => self.most(&size),
        };
        let need = times.map_or_else(|| self.dim(&size), str::to_owned);
        let code = self.code("a computed size is beyond its bound");
        self.line(&format!("if ({need} < 0 || {need} > {room}) {{\nreturn {code};\n}}"));
    }

    fn launch(&mut self, launch: &'p Launch) {
        if self.is_of_chain(launch) {
            return;
        }
        let kernel = self.p.kernel(launch.kernel);
        let writes = |i: usize| kernel.params[i].access != Access::Read;
        for (i, b) in launch.buffers.iter().enumerate().filter(|(i, _)| writes(*i)) {
            let memory = &self.plan.memory;
            let shared = |(j, c): (usize, &BufferId)| {
                j != i && !memory[c.0 as usize].is_disjoint(&memory[b.0 as usize])
            };
            if launch.buffers.iter().enumerate().any(shared) {
                let what = format!("kernel `{}` writes what it reads as another", kernel.name);
                self.refused.push(what);
            }
            self.fits(*b, None);
        }
        if Effects::of(&kernel.body) == Effects::default() {
            return;
        }
        self.kernels.insert(launch.kernel);
        let once = self.runs_once(launch);
        let buffer = |b: &BufferId| match once {
            true => self.constant(*b).unwrap_or_default(),
            false => format!("b{}", b.0),
        };
        let buffers: Vec<String> = launch.buffers.iter().map(buffer).collect();
        let (arrays, argument) = self.arrays("", &buffers, launch);
        let mut bound = format!("{{\n{arrays}");
        let options = self.options;
        if let Kernels::External(external) = &options.kernels {
            bound += &format!("\nconst struct ac_bound bound = {{bufs, {argument}, &status}};");
            self.external_launch(external, launch, &bound, once);
            return;
        }
        let name = self.kernel_name(launch.kernel);
        self.line(&format!(
            "{bound}\n{name}(bufs, {argument}, 0, INT64_MAX, &status);\nif (status != 0) {{\n\
             return status;\n}}\n}}"
        ));
    }

    /// The arrays of the buffers and sizes of a launch, whose names end with a suffix, and what
    /// stands for that of the sizes.
    pub(super) fn arrays(
        &mut self,
        suffix: &str,
        buffers: &[String],
        launch: &Launch,
    ) -> (String, String) {
        let sizes: Vec<String> = launch.sizes.iter().map(|d| self.dim(d)).collect();
        let mut text = format!("void *const bufs{suffix}[] = {{{}}};", buffers.join(", "));
        if sizes.is_empty() {
            return (text, "NULL".to_owned());
        }
        text += &format!("\nconst int64_t sizes{suffix}[] = {{{}}};", sizes.join(", "));
        (text, format!("sizes{suffix}"))
    }

    fn repeat(&mut self, l: &'p Loop) {
        if let Some(s) = l.fresh.first() {
            let what = format!("size `{}` changes with each round of a loop", self.size_name(*s));
            self.refused.push(what);
            return;
        }
        let what = "a loop gives a value of another shape than it takes";
        let trips =
            l.trips.map_or("INT64_MAX".to_owned(), |b| format!("(int64_t){}[0]", self.elements(b)));
        let run =
            l.condition.map_or("true".to_owned(), |b| format!("{}[0] != 0", self.elements(b)));
        self.line(&format!(
            "{{\nconst int64_t trips = {trips};\nbool running = {run};\nint64_t i;"
        ));
        for [first, seen, ..] in &l.carried {
            let size = self.copied(*first, *seen, what);
            self.line(&format!("memcpy(b{}, b{}, (size_t){size});", seen.0, first.0));
        }
        self.line("for (i = 0; running && i < trips; i++) {");
        let iteration = self.p.buffer(l.iteration).dtype.and_then(Elem::of);
        let iteration = stored_type(iteration.map_or(Elem::I64, |(e, _)| e));
        self.line(&format!("*({iteration} *)b{} = ({iteration})i;", l.iteration.0));
        self.line(&format!("*(uint8_t *)b{} = running;", l.running.0));
        let before = self.bound.clone();
        self.steps(&l.body);
        self.line(&format!("running = {}[0] != 0;", self.elements(l.next)));
        for (one, all) in self.stacks(l) {
            let size = self.dim(&bytes(self.p.buffer(one)));
            self.fits(all, Some(&format!("((i + 1) * {size})")));
            let (one, all) = (one.0, all.0);
            self.line(&format!(
                "memcpy((unsigned char *)b{all} + i * {size}, b{one}, (size_t){size});"
            ));
        }
        match &l.carried[..] {
            [[_, seen, made, _]] => {
                let size = self.copied(*made, *seen, what);
                self.line(&format!("memmove(b{}, b{}, (size_t){size});", seen.0, made.0));
            }
            many => {
                for [_, seen, made, _] in many {
                    let size = self.copied(*made, *seen, what);
                    let slot = self.plan.staging.get(seen).copied().unwrap_or(0);
                    self.line(&format!("memcpy(w + o[{slot}], b{}, (size_t){size});", made.0));
                }
                for [_, seen, ..] in many {
                    let size = self.dim(&bytes(self.p.buffer(*seen)));
                    let slot = self.plan.staging.get(seen).copied().unwrap_or(0);
                    self.line(&format!("memcpy(b{}, w + o[{slot}], (size_t){size});", seen.0));
                }
            }
        }
        self.line("}");
        self.bound = before;
        for [_, seen, _, result] in &l.carried {
            // A result that nobody uses has no shape.
            if self.p.buffer(*result).shape.len() == self.p.buffer(*seen).shape.len() {
                self.alias(*result, *seen);
            }
        }
        for (one, all) in self.stacks(l) {
            let (one, all) = (&self.p.buffer(one).shape, &self.p.buffer(all).shape);
            if let Some((count, rest)) = all.split_first() {
                self.bind(count, "i", what);
                for (to, from) in rest.iter().zip(one) {
                    let value = self.dim(from);
                    self.bind(to, &value, what);
                }
            }
        }
        self.line("}");
    }

    /// What a loop stacks that somebody uses; other stacks have no shape.
    fn stacks(&self, l: &Loop) -> Vec<(BufferId, BufferId)> {
        let rank = |b: BufferId| self.p.buffer(b).shape.len();
        l.stacked.iter().copied().filter(|(one, all)| rank(*all) == rank(*one) + 1).collect()
    }

    /// The number of bytes of a value that is copied to where another one lies.
    fn copied(&mut self, from: BufferId, to: BufferId, what: &str) -> String {
        let (a, b) = (bytes(self.p.buffer(from)), bytes(self.p.buffer(to)));
        let size = self.dim(&b);
        if a != b {
            let (a, code) = (self.dim(&a), self.code(what));
            self.line(&format!("if ({a} != {size}) {{\nreturn {code};\n}}"));
        }
        size
    }

    fn types(&self) -> String {
        let (name, sizes, slots) =
            (&self.name, self.p.sizes.len().max(1), self.plan.slots.len() + 1);
        let mut more = String::new();
        if self.options.kernels != Kernels::Inline {
            let (products, once) = (self.products.max(1), self.once_bytes.len().max(1));
            more = format!(
                "    struct ac_engine e;\n    struct ac_product products[{products}];\n    \
                 void *once[{once}]; /* what is the same in every run */\n"
            );
            if self.chains > 0 {
                more += &format!("    struct ac_chain chains[{}];\n", self.chains);
            }
        }
        format!(
            "struct {name}_plan {{\n    int64_t s[{sizes}]; /* the sizes */\n    \
             int64_t o[{slots}]; /* where parts of the workspace start */\n}};\n\n\
             struct {name}_context {{\n    struct {name}_plan p;\n{more}    \
             void *memory;\n    unsigned char *own; /* its workspace, within the memory */\n    \
             atomic_flag busy; /* a run uses it */\n}};\n\n"
        )
    }

    fn error_texts(&self) -> String {
        let mut out =
            format!("const char *{}_error(int32_t code)\n{{\nswitch (code) {{\n", self.name);
        out += "case 0:\nreturn \"no error\";\n";
        for (i, text) in self.errors.iter().enumerate() {
            out += &format!("case {}:\nreturn {};\n", i + 1, string(text));
        }
        out + "default:\nreturn \"an unknown error\";\n}\n}\n"
    }
}

/// A string literal.
fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            // Never a trigraph.
            b'?' => out.push_str("\\?"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out + "\""
}

/// Whether an expression is a multiple of a symbol plus what does not hold the symbol.
fn affine(d: &Dim, s: SymbolId) -> bool {
    fn holds(d: &Dim, s: SymbolId) -> bool {
        let mut found = false;
        d.symbols(&mut |v| found |= v == s);
        found
    }
    let Dim::Expr(e) = d else { return false };
    e.terms().iter().all(|term| {
        let bare = term.atoms().iter().filter(|a| **a == Atom::Symbol(s)).count();
        bare <= 1 && !term.atoms().iter().any(|a| a.args().any(|d| holds(d, s)))
    })
}
