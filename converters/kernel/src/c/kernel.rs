//! Statements and blocks of kernels as C.

use std::collections::BTreeSet;

use airconv_ir::dim::{Atom, Dim, Range};
use rustc_hash::FxHashMap;

use super::expr::{bare, is_atom};
use super::helpers::{Helpers, c_type};
use super::indented;
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

/// An integer literal of type `int64_t`, or of `int` where that is as good.
pub(super) fn int_literal(k: i64) -> String {
    match k {
        i64::MIN => "INT64_MIN".to_owned(),
        -1_000_000..0 => format!("({k})"),
        0..=1_000_000 => k.to_string(),
        _ if k < 0 => format!("(-INT64_C({}))", -k),
        _ => format!("INT64_C({k})"),
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
        let mut extents: Vec<String> = Vec::new();
        for (i, (_, d)) in loops.iter().enumerate() {
            extents.push(if i == 0 && grid { String::new() } else { self.extent(d) });
        }
        let mut conditions = Vec::new();
        for (i, (_, d)) in loops.iter().enumerate() {
            if i == 0 && grid {
                conditions.push("begin < end".to_owned());
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
                true => format!("for (int64_t {v} = begin; {v} < end; {v}++)"),
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
        let e = match d {
            Dim::Known(k) => return int_literal(*k),
            Dim::Any => return "0".to_owned(),
            Dim::Expr(e) => e.clone(),
        };
        let mut computed = false;
        d.symbols(&mut |v| {
            computed |= matches!(self.k.vars[v.0 as usize], VarDef::Value(_));
        });
        let simple = d.as_symbol().is_some();
        // Counters and sizes are bounded by memory; what was computed may be any number.
        let cast = if computed && !simple { "(uint64_t)" } else { "" };
        let mut text = String::new();
        for (i, term) in e.terms().iter().enumerate() {
            let minus = cast.is_empty() && term.coeff() < 0 && term.coeff() != i64::MIN;
            text += match (i, minus) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            };
            let factor = if minus { -term.coeff() } else { term.coeff() };
            let mut factors = Vec::new();
            if factor != 1 || term.atoms().is_empty() {
                factors.push(format!("{cast}{}", int_literal(factor)));
            }
            for atom in term.atoms() {
                factors.push(format!("{cast}{}", self.atom(atom)));
            }
            text += &factors.join(" * ");
        }
        match (simple, cast.is_empty()) {
            (true, _) => text,
            (false, true) => format!("({text})"),
            (false, false) => format!("(int64_t)({text})"),
        }
    }

    fn atom(&mut self, atom: &Atom) -> String {
        let list: Vec<String> = match atom {
            Atom::Symbol(_) => Vec::new(),
            _ => atom.args().cloned().collect::<Vec<_>>().iter().map(|d| self.dim(d)).collect(),
        };
        let mut args = atom.args();
        let (first, second) = (args.next(), args.next());
        // C divides toward zero, which is the same for what is not negative.
        let plain = first.is_some_and(|d| self.not_negative(d))
            && second.and_then(Dim::as_known).is_some_and(|k| k > 0);
        let call = |f: String, list: &[String]| format!("{f}({})", list.join(", "));
        match atom {
            Atom::Symbol(v) => match self.k.vars[v.0 as usize] {
                VarDef::Size(_) => {
                    self.sizes.insert(*v);
                    format!("v{}", v.0)
                }
                VarDef::Counter => format!("v{}", v.0),
                VarDef::Value(x) => self.value(x),
            },
            Atom::FloorDiv(..) if plain => format!("({} / {})", list[0], list[1]),
            Atom::Mod(..) if plain => format!("({} % {})", list[0], list[1]),
            Atom::FloorDiv(..) => call(self.helpers.floor_div(Scalar::I64), &list),
            Atom::CeilDiv(..) => call(self.helpers.ceil_div(), &list),
            Atom::Mod(..) => call(self.helpers.floor_rem(Scalar::I64), &list),
            Atom::Min(_) | Atom::Max(_) => {
                let greater = matches!(atom, Atom::Max(_));
                let f = self.helpers.extreme(Scalar::I64, greater, true);
                let fold = |a: String, b: String| format!("{f}({a}, {b})");
                list.into_iter().reduce(fold).unwrap_or_default()
            }
            Atom::Broadcast(_) => {
                let fold = |a: String, b: String| format!("({a} == 1 ? {b} : {a})");
                list.into_iter().reduce(fold).unwrap_or_default()
            }
        }
    }

    fn not_negative(&self, d: &Dim) -> bool {
        let range = |v: Var| match self.k.vars[v.0 as usize] {
            VarDef::Counter => Range { min: Some(0), max: None },
            VarDef::Size(_) | VarDef::Value(_) => Range { min: None, max: None },
        };
        d.range(&range).min.is_some_and(|min| min >= 0)
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
