//! Statements and blocks of kernels as C.

use std::collections::BTreeSet;

use airconv_ir::dim::{Atom, Dim};
use rustc_hash::FxHashMap;

use super::expr::{bare, is_atom};
use super::helpers::{Helpers, c_type};
use super::indented;
use super::index::{self, Names};
use crate::analysis::{Effects, Level, Placement, dims, operands};
use crate::ir::{Access, Elem, Expr, ExprId, Kernel, Scalar, Stmt, Var, VarDef};

/// A block that is being written.
#[derive(Default)]
pub(super) struct Block {
    text: String,
    /// What is known of expressions: a name, or a text that can stand in other expressions.
    known: FxHashMap<ExprId, String>,
}

/// A kernel that is being written. The last block is the one that code goes to.
pub(super) struct Writer<'a> {
    pub(super) k: &'a Kernel,
    pub(super) helpers: &'a mut Helpers,
    pub(super) types: Vec<Scalar>,
    placement: Placement,
    /// How many users each expression has.
    uses: Vec<u32>,
    levels: Vec<Level>,
    blocks: Vec<Block>,
    /// How often each expression has got a name.
    named: FxHashMap<ExprId, u32>,
    /// How many extents have got a name.
    extents: u32,
    pub(super) params: BTreeSet<u32>,
    sizes: BTreeSet<Var>,
    pub(super) checks: bool,
}

/// The function of a kernel.
pub(super) fn function(kernel: &Kernel, name: &str, helpers: &mut Helpers) -> String {
    let mut w = Writer::new(kernel, helpers);
    w.statements(&kernel.body, kernel.grid().is_some());
    let body = w.blocks.remove(0).text;
    let mut head = String::new();
    for (used, argument) in [
        (!w.params.is_empty(), "bufs"),
        (!w.sizes.is_empty(), "sizes"),
        (kernel.grid().is_some(), "begin"),
        (kernel.grid().is_some(), "end"),
        (w.checks, "status"),
    ] {
        if !used {
            head += &format!("(void){argument};\n");
        }
    }
    for &p in &w.params {
        let param = kernel.params[p as usize];
        let constant = if param.access == Access::Read { "const " } else { "" };
        head += &format!("{constant}{} *restrict p{p} = bufs[{p}];\n", stored_type(param.elem));
    }
    for &v in &w.sizes {
        if let VarDef::Size(n) = kernel.vars[v.0 as usize] {
            head += &format!("const int64_t v{} = sizes[{n}];\n", v.0);
        }
    }
    for (i, ty) in kernel.locals.iter().enumerate() {
        head += &format!("{} l{i} = 0;\n(void)l{i};\n", c_type(*ty));
    }
    let text = format!(
        "static void {name}(void *const *bufs, const int64_t *sizes, int64_t begin, int64_t end, \
         int32_t *status)\n{{\n{head}{body}}}\n"
    );
    indented(&text)
}

/// The C type of an element in memory.
pub(super) fn stored_type(elem: Elem) -> &'static str {
    match elem {
        Elem::Bool => "uint8_t",
        Elem::F16 | Elem::Bf16 => "uint16_t",
        other => c_type(other.scalar()),
    }
}

impl<'a> Writer<'a> {
    fn new(k: &'a Kernel, helpers: &'a mut Helpers) -> Self {
        let mut uses = vec![0; k.exprs.len()];
        let mut count = |x: ExprId| uses[x.0 as usize] += 1;
        let mut indices: Vec<&Dim> = Vec::new();
        for expr in &k.exprs {
            operands(expr).for_each(&mut count);
            indices.extend(dims(expr));
        }
        let mut lists = vec![&k.body[..]];
        while let Some(list) = lists.pop() {
            for stmt in list {
                match stmt {
                    Stmt::For { extent, body, .. } => {
                        indices.push(extent);
                        lists.push(body);
                    }
                    Stmt::Store { at, value, .. } => {
                        indices.push(at);
                        count(*value);
                    }
                    Stmt::Set { value, .. } => count(*value),
                    Stmt::If { cond, then, otherwise } => {
                        count(*cond);
                        lists.extend([&then[..], &otherwise[..]]);
                    }
                    Stmt::While { cond, body } => {
                        count(*cond);
                        lists.push(body);
                    }
                }
            }
        }
        for dim in indices {
            dim.symbols(&mut |v| {
                if let VarDef::Value(x) = k.vars[v.0 as usize] {
                    count(x);
                }
            });
        }
        Writer {
            k,
            helpers,
            types: (0..k.exprs.len()).map(|i| k.ty(ExprId(i as u32))).collect(),
            placement: Placement::new(k),
            uses,
            levels: vec![Level::default()],
            blocks: vec![Block::default()],
            named: FxHashMap::default(),
            extents: 0,
            params: BTreeSet::new(),
            sizes: BTreeSet::new(),
            checks: false,
        }
    }

    /// Writes a line of the current block.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(block) = self.blocks.last_mut() {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }

    pub(super) fn open(&mut self, level: Level) {
        self.levels.push(level);
        self.blocks.push(Block::default());
    }

    /// The text of the current block, which ends.
    pub(super) fn close(&mut self) -> String {
        self.levels.pop();
        self.blocks.pop().map(|b| b.text).unwrap_or_default()
    }

    /// Forgets what some effects change.
    fn forget(&mut self, effects: &Effects) {
        for block in &mut self.blocks {
            block.known.retain(|x, _| self.placement.survives(*x, effects));
        }
    }

    /// A text for the value of an expression, which is computed in the block where it is best.
    pub(super) fn value(&mut self, x: ExprId) -> String {
        match self.k.expr(x) {
            Expr::Const(c) => return super::expr::literal(*c),
            Expr::Local(l) => return format!("l{}", l.0),
            Expr::Index(d) if d.as_symbol().is_some() => return self.dim(d),
            _ => {}
        }
        if let Some(text) = self.blocks.iter().rev().find_map(|b| b.known.get(&x)) {
            return text.clone();
        }
        let place = self.placement.place(x, &self.levels);
        let here = place + 1 == self.levels.len();
        let (levels, blocks) = (self.levels.split_off(place + 1), self.blocks.split_off(place + 1));
        let text = self.compute(x);
        let text = if is_atom(&text) {
            text
        } else if here && self.uses[x.0 as usize] == 1 && text.len() <= 64 {
            format!("({text})")
        } else {
            let name = self.name(x);
            self.line(&format!(
                "const {} {name} = {};",
                c_type(self.types[x.0 as usize]),
                bare(&text)
            ));
            name
        };
        if let Some(block) = self.blocks.last_mut() {
            block.known.insert(x, text.clone());
        }
        self.levels.extend(levels);
        self.blocks.extend(blocks);
        text
    }

    /// A new name for an expression.
    pub(super) fn name(&mut self, x: ExprId) -> String {
        let count = self.named.entry(x).or_default();
        *count += 1;
        match *count {
            1 => format!("e{}", x.0),
            n => format!("e{}_{n}", x.0),
        }
    }

    fn statements(&mut self, list: &[Stmt], grid: bool) {
        for stmt in list {
            match stmt {
                Stmt::For { var, extent, body, .. } => self.repeat(*var, extent, body, grid),
                Stmt::Store { param, at, value } => {
                    self.params.insert(*param);
                    let value = self.value(*value);
                    let at = self.dim(at);
                    let (at, value) = (bare(&at), bare(&value));
                    let value = match self.k.params[*param as usize].elem {
                        Elem::F16 => format!("{}({value})", self.helpers.f16_of_f32()),
                        Elem::Bf16 => format!("{}({value})", self.helpers.bf16_of_f32()),
                        _ => value.to_owned(),
                    };
                    self.line(&format!("p{param}[{at}] = {value};"));
                    self.forget(&Effects { stores: true, ..Effects::default() });
                }
                Stmt::Set { local, value } => {
                    let value = self.value(*value);
                    self.line(&format!("l{} = {};", local.0, bare(&value)));
                    self.forget(&Effects { sets: [*local].into(), stores: false });
                }
                Stmt::If { cond, then, otherwise } => {
                    let cond = self.value(*cond);
                    let cond = bare(&cond);
                    let arm = |effects| Level { conditional: true, effects, ..Level::default() };
                    self.open(arm(Effects::of(then)));
                    self.statements(then, false);
                    let then = self.close();
                    self.open(arm(Effects::of(otherwise)));
                    self.statements(otherwise, false);
                    let otherwise = self.close();
                    if otherwise.is_empty() {
                        self.line(&format!("if ({cond}) {{\n{then}}}"));
                    } else {
                        self.line(&format!("if ({cond}) {{\n{then}}} else {{\n{otherwise}}}"));
                    }
                }
                Stmt::While { cond, body } => {
                    let effects = Effects::of(body);
                    self.forget(&effects);
                    self.open(Level {
                        repeats: true,
                        conditional: true,
                        effects,
                        ..Level::default()
                    });
                    let cond = self.value(*cond);
                    self.line(&format!("if (!{cond}) {{\nbreak;\n}}"));
                    self.statements(body, false);
                    let body = self.close();
                    self.line(&format!("for (;;) {{\n{body}}}"));
                }
            }
        }
    }

    /// A loop, with those that are all that is in it. What is taken out of them stands behind
    /// one condition, that all of them run.
    fn repeat(&mut self, var: Var, extent: &Dim, body: &[Stmt], grid: bool) {
        let effects = Effects::of(body);
        let mut loops = vec![(var, extent)];
        let mut inner = body;
        while let [Stmt::For { var, extent, body, .. }] = inner {
            let binds = loops.iter().map(|(v, _)| *v).collect();
            let level =
                Level { binds, conditional: true, effects: effects.clone(), ..Level::default() };
            if !self.known_before(extent, &level) {
                break;
            }
            loops.push((*var, extent));
            inner = body;
        }
        self.forget(&effects);
        let extents: Vec<String> = loops.iter().map(|(_, d)| self.extent(d)).collect();
        let grid_end = "last";
        if grid {
            let n = &extents[0];
            self.line(&format!("const int64_t {grid_end} = end < {n} ? end : {n};"));
        }
        let mut conditions = Vec::new();
        for (i, (_, d)) in loops.iter().enumerate() {
            if i == 0 && grid {
                conditions.push(format!("begin < {grid_end}"));
            } else if d.as_known().is_none_or(|k| k <= 0) {
                conditions.push(format!("0 < {}", extents[i]));
            }
        }
        self.open(Level {
            header: true,
            conditional: !conditions.is_empty(),
            effects: effects.clone(),
            ..Level::default()
        });
        for (var, _) in &loops {
            self.open(Level {
                repeats: true,
                binds: vec![*var],
                effects: effects.clone(),
                ..Level::default()
            });
        }
        self.statements(inner, false);
        let mut text = self.close();
        let mut taken_out = false;
        for (i, (var, _)) in loops.iter().enumerate().rev() {
            let v = format!("v{}", var.0);
            let head = match i == 0 && grid {
                true => format!("for (int64_t {v} = begin; {v} < {grid_end}; {v}++)"),
                false => format!("for (int64_t {v} = 0; {v} < {}; {v}++)", extents[i]),
            };
            let before = self.close();
            taken_out |= !before.is_empty();
            text = format!("{before}{head} {{\n{text}}}\n");
        }
        if taken_out && !conditions.is_empty() {
            text = format!("if ({}) {{\n{text}}}\n", conditions.join(" && "));
        }
        self.line(text.trim_end());
    }

    /// A text for an extent that is short enough to be computed again and again.
    pub(super) fn extent(&mut self, d: &Dim) -> String {
        let text = self.dim(d);
        if is_atom(&text) || d.as_known().is_some() {
            return text;
        }
        self.extents += 1;
        let name = format!("n{}", self.extents);
        self.line(&format!("const int64_t {name} = {};", bare(&text)));
        name
    }

    /// Whether an index expression can be computed before a block.
    fn known_before(&self, d: &Dim, level: &Level) -> bool {
        let mut known = divides_by_constants(d);
        d.symbols(&mut |v| {
            known &= match self.k.vars[v.0 as usize] {
                VarDef::Size(_) => true,
                VarDef::Counter => !level.binds.contains(&v),
                VarDef::Value(x) => self.placement.hoistable(x, level),
            }
        });
        known
    }

    /// A text for an index expression.
    pub(super) fn dim(&mut self, d: &Dim) -> String {
        let (mut vars, mut texts) = (Vec::new(), FxHashMap::default());
        d.symbols(&mut |v| vars.push(v));
        let mut computed = false;
        for v in vars {
            let text = match self.k.vars[v.0 as usize] {
                VarDef::Value(x) => {
                    computed = true;
                    self.value(x)
                }
                VarDef::Counter => format!("v{}", v.0),
                VarDef::Size(_) => {
                    self.sizes.insert(v);
                    format!("v{}", v.0)
                }
            };
            texts.insert(v, text);
        }
        let k = self.k;
        let least = |v: Var| match k.vars[v.0 as usize] {
            VarDef::Counter => Some(0),
            VarDef::Size(_) | VarDef::Value(_) => None,
        };
        // Counters and sizes are bounded by memory; what was computed may be any number.
        index::text(d, &Names { texts: &texts, wraps: computed, least: &least }, self.helpers)
    }
}

/// Whether an index expression divides by numbers only.
fn divides_by_constants(d: &Dim) -> bool {
    let Dim::Expr(e) = d else { return true };
    e.terms().iter().flat_map(|t| t.atoms()).all(|atom| {
        let own = match atom {
            Atom::FloorDiv(_, b) | Atom::CeilDiv(_, b) | Atom::Mod(_, b) => b.as_known().is_some(),
            _ => true,
        };
        own && atom.args().all(divides_by_constants)
    })
}
