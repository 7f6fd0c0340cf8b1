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
    Access, Binding, BufferId, BufferKind, Elem, KernelId, Launch, Loop, Program, Step, VarDef,
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
    let plan = plan(program).map_err(Refused)?;
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
        out: String::new(),
        refused: Vec::new(),
    };
    let planned = w.planning();
    let shapes = w.output_shapes();
    let run = w.run();
    let mut functions = w.external();
    for k in w.kernels.clone() {
        if options.kernels != Kernels::Inline {
            break;
        }
        let text = kernel::function(program.kernel(k), &w.kernel_name(k), &mut w.helpers);
        functions += &format!("/* {} */\n{text}\n", comment(&program.kernel(k).name));
    }
    let data = constants::text(program, module, &w.plan, &options.constants, &mut w.refused);
    if !w.refused.is_empty() {
        w.refused.sort();
        w.refused.dedup();
        return Err(Refused(w.refused));
    }
    let name = &w.name;
    let source = format!(
        "/* {name}: generated code. */\n#include \"{name}.h\"\n\n{INCLUDES}\n{}{}\n{data}{functions}{}",
        w.types(),
        w.helpers.text(),
        indented(&format!("{planned}\n{shapes}\n{run}\n{}", w.error_texts())),
    );
    let header = header::text(program, name, &w.errors, &w.given);
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

struct Writer<'p> {
    p: &'p Program,
    plan: Plan,
    name: String,
    helpers: Helpers,
    /// What the codes 1, 2, ... mean.
    errors: Vec<String>,
    /// Sizes that have a value where code is written.
    bound: BTreeSet<SymbolId>,
    /// What computed sizes are at most.
    limits: BTreeMap<SymbolId, Dim>,
    /// Sizes that the shapes of the inputs give.
    given: BTreeSet<SymbolId>,
    kernels: BTreeSet<KernelId>,
    options: &'p COptions,
    out: String,
    refused: Vec<String>,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn kernel_name(&self, k: KernelId) -> String {
        format!("k{}_{}", k.0, identifier(&self.p.kernel(k).name))
    }

    /// The code of an error.
    fn code(&mut self, what: &str) -> usize {
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
    fn dim(&mut self, d: &Dim) -> String {
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

    fn named(&mut self, d: &Dim, texts: &FxHashMap<SymbolId, String>) -> String {
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
        let name = self.name.clone();
        let slots = self.plan.slots.len();
        self.line(&format!(
            "int64_t {name}_workspace(const int64_t *const *input_shapes)\n{{\n\
             struct {name}_plan p;\nconst int32_t status = plan(input_shapes, &p);\n\
             return status != 0 ? -(int64_t)status : p.o[{slots}];\n}}"
        ));
        std::mem::take(&mut self.out)
    }

    fn output_shapes(&mut self) -> String {
        let name = self.name.clone();
        self.line(&format!(
            "int32_t {name}_output_shapes(const int64_t *const *input_shapes,\n\
             int64_t *const *output_shapes)\n{{\nstruct {name}_plan p;\n\
             const int32_t status = plan(input_shapes, &p);\nconst int64_t *s = p.s;\n\
             (void)s;\n(void)output_shapes;\nif (status != 0) {{\nreturn status;\n}}"
        ));
        for (k, (_, b)) in self.p.outputs.iter().enumerate() {
            for (axis, d) in self.p.buffer(*b).shape.iter().enumerate() {
                let text = self.most(d);
                self.line(&format!("output_shapes[{k}][{axis}] = {text};"));
            }
        }
        self.line("return 0;\n}");
        std::mem::take(&mut self.out)
    }

    fn run(&mut self) -> String {
        let name = self.name.clone();
        self.line(&format!(
            "int32_t {name}_run(const void *const *inputs, const int64_t *const *input_shapes,\n\
             void *const *outputs, int64_t *const *output_shapes, void *workspace)\n{{\n\
             struct {name}_plan p;\nint32_t status = plan(input_shapes, &p);\n\
             int64_t *s = p.s, *o = p.o;\nunsigned char *w = workspace;\n\
             (void)inputs;\n(void)outputs;\n(void)output_shapes;\n(void)s;\n(void)o;\n(void)w;\n\
             if (status != 0) {{\nreturn status;\n}}"
        ));
        if self.options.kernels != Kernels::Inline {
            let code = self.code("this processor lacks instructions that the code needs");
            self.line(&format!(
                "p.level = level_of_this_machine();\nif (p.level < 0) {{\nreturn {code};\n}}"
            ));
        }
        for (b, place) in self.plan.places.clone() {
            let i = b.0;
            let at = match (self.p.buffer(b).kind.clone(), place) {
                (BufferKind::Input(n), _) => format!("(void *)inputs[{n}]"),
                (BufferKind::Constant(_), _) => match self.options.constants.get(&b) {
                    Some(at) => format!("(void *)({name}_program + {at})"),
                    None => format!("(void *)c{i}"),
                },
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

    /// Elements of a buffer, to read.
    fn elements(&self, b: BufferId) -> String {
        let elem = self.p.buffer(b).dtype.and_then(Elem::of).map_or(Elem::U8, |(e, _)| e);
        format!("((const {} *)b{})", stored_type(elem), b.0)
    }

    fn steps(&mut self, steps: &[Step]) {
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
    fn fits(&mut self, b: BufferId, times: Option<&str>) {
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

    fn launch(&mut self, launch: &Launch) {
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
        let buffers: Vec<String> = launch.buffers.iter().map(|b| format!("b{}", b.0)).collect();
        let sizes: Vec<String> = launch.sizes.iter().map(|d| self.dim(d)).collect();
        let name = match self.options.kernels {
            Kernels::Inline => self.kernel_name(launch.kernel),
            Kernels::External(_) => String::new(),
        };
        // Kernels in C find out by themselves.
        let items = if name.is_empty() { self.items(launch) } else { String::new() };
        self.line(&format!("{{\nvoid *const bufs[] = {{{}}};", buffers.join(", ")));
        let argument = if sizes.is_empty() {
            "NULL"
        } else {
            self.line(&format!("const int64_t sizes[] = {{{}}};", sizes.join(", ")));
            "sizes"
        };
        if name.is_empty() {
            let k = launch.kernel.0;
            self.line(&format!(
                "const struct context context = {{bufs, {argument}, &status}};\n\
                 kernels[p.level][{k}](&context, 0, (uint64_t){items});\nif (status != 0) {{\n\
                 return status;\n}}\n}}"
            ));
            return;
        }
        self.line(&format!(
            "{name}(bufs, {argument}, 0, INT64_MAX, &status);\nif (status != 0) {{\n\
             return status;\n}}\n}}"
        ));
    }

    /// How many items the grid of a launched kernel has.
    fn items(&mut self, launch: &Launch) -> String {
        let kernel = self.p.kernel(launch.kernel);
        let Some((_, extent, _)) = kernel.grid() else { return "1".to_owned() };
        let extent = extent.substitute(&mut |v| match kernel.vars.get(v.0 as usize) {
            Some(VarDef::Size(i)) => launch.sizes.get(*i as usize).cloned(),
            // A computed extent is for the kernel to find.
            _ => Some(Dim::Any),
        });
        if extent.is_any() {
            let what = format!("kernel `{}` has a grid of a computed size", kernel.name);
            self.refused.push(what);
            return "0".to_owned();
        }
        let text = self.dim(&extent);
        let max = self.helpers.extreme(crate::ir::Scalar::I64, true, true);
        format!("{max}({text}, 0)")
    }

    /// Declarations of external kernels with a table by level, and the choice of a level.
    fn external(&mut self) -> String {
        let Kernels::External(levels) = &self.options.kernels else { return String::new() };
        let name = &self.name;
        let mut out = format!(
            "extern const unsigned char {name}_program[];\n\n\
             struct context {{\n    void *const *buffers;\n    const int64_t *sizes;\n    \
             int32_t *status;\n}};\n\n\
             typedef void (*kernel)(const struct context *, uint64_t, uint64_t);\n\n"
        );
        let count = self.p.kernels.len();
        for level in levels {
            for k in 0..count {
                out += &format!(
                    "void {name}_k{k}_{}(const struct context *, uint64_t, uint64_t);\n",
                    level.suffix
                );
            }
        }
        out += &format!("\nstatic const kernel kernels[{}][{}] = {{\n", levels.len(), count.max(1));
        for level in levels {
            out += "    {";
            for k in 0..count {
                out += &format!("{name}_k{k}_{}, ", level.suffix);
            }
            out += if count == 0 { "0},\n" } else { "},\n" };
        }
        out += "};\n\nstatic int level_of_this_machine(void)\n{\n";
        for (i, level) in levels.iter().enumerate() {
            if level.condition.is_empty() {
                out += &format!("    return {i};\n");
                break;
            }
            out += &format!("    if ({}) {{\n        return {i};\n    }}\n", level.condition);
        }
        let last_may_fail = levels.last().is_some_and(|l| !l.condition.is_empty());
        if last_may_fail {
            out += "    return -1;\n";
        }
        out + "}\n\n"
    }

    fn repeat(&mut self, l: &Loop) {
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
        let (name, sizes, slots) = (&self.name, self.p.sizes.len(), self.plan.slots.len());
        format!(
            "struct {name}_plan {{\n    int64_t s[{}]; /* the sizes */\n    \
             int64_t o[{}]; /* where parts of the workspace start */\n    int level; /* which kernels run */\n}};\n\n",
            sizes.max(1),
            slots + 1
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
