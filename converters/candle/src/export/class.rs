//! Structs: modules that are alike but for numbers are one struct, loaded with those numbers.

use std::collections::BTreeMap;

use airconv_ir::array::Array;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::TensorId;
use airconv_ir::module::Module as Hub;
use rustc_hash::{FxHashMap, FxHashSet};

use super::names::{self, Used};
use super::print::{Naming, Printed, print};
use super::tree::{Body, Module, Presence, children};
use crate::program::dtype::is_float;
use crate::program::{Callee, Program, Source, Stmt, Var};

/// A number that the members of a class differ in.
#[derive(Clone, Debug)]
pub(super) struct Param {
    pub name: String,
    /// The numbers of the text that it is.
    pub columns: Vec<usize>,
    /// Whether `forward` needs it, so that it is a field.
    pub in_forward: bool,
}

/// Modules that are alike.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub name: String,
    pub params: Vec<Param>,
    /// The modules, by number.
    pub members: Vec<usize>,
    /// The names of the fields that are loaded.
    fields: Vec<String>,
    /// The numbers of the text; of those that differ, those of one module.
    texts: Vec<String>,
}

impl Class {
    /// A number that is no parameter, in the text of one of the modules.
    pub fn text(&self, column: usize, printed: &Printed) -> Option<String> {
        let own = printed.consts.get(column).map(|c| &c.text).filter(|t| !t.is_empty());
        own.or_else(|| self.texts.get(column)).cloned()
    }
}

/// All classes of a program.
pub(super) struct Classes<'p> {
    hub: &'p Hub,
    main_dtype: DType,
    of: FxHashMap<usize, usize>,
    pub classes: Vec<Class>,
    sizes: FxHashMap<usize, Vec<Dim>>,
    args: FxHashMap<usize, Vec<(String, String)>>,
    /// Modules that are absent, with those that they are like.
    absent: FxHashMap<usize, usize>,
    /// The first tensor of each module, below its path.
    within: FxHashMap<usize, String>,
    /// The one input of the program that a value is made of, without any weight.
    derived: FxHashMap<Var, Var>,
    /// The tensors of the weights file by name.
    pub tensors: BTreeMap<String, Var>,
}

impl<'p> Classes<'p> {
    /// The classes of the modules of a tree.
    pub fn of(program: &'p Program, hub: &'p Hub, root: &'p Module) -> Result<Self, String> {
        let mut classes = Self {
            hub,
            main_dtype: main_dtype(program),
            of: FxHashMap::default(),
            classes: Vec::new(),
            sizes: FxHashMap::default(),
            args: FxHashMap::default(),
            absent: FxHashMap::default(),
            within: FxHashMap::default(),
            derived: derived(program),
            tensors: BTreeMap::new(),
        };
        let mut levels: BTreeMap<usize, Vec<&Module>> = BTreeMap::new();
        height(root, &mut levels, &mut classes.absent);
        let mut used = Used::default();
        for name in RESERVED {
            used.fresh(name);
        }
        for modules in levels.values() {
            classes.level(program, modules, &mut used)?;
        }
        Ok(classes)
    }

    fn level(
        &mut self,
        program: &'p Program,
        modules: &[&'p Module],
        used: &mut Used,
    ) -> Result<(), String> {
        let mut groups: Vec<(String, Vec<(&Module, Printed)>)> = Vec::new();
        for module in modules {
            let printed = print(program, self, module, Naming::Numbered)?;
            let key = key(&printed);
            match groups.iter_mut().find(|(k, _)| *k == key) {
                Some((_, members)) => members.push((module, printed)),
                None => groups.push((key, vec![(module, printed)])),
            }
        }
        for (_, members) in groups {
            let params = params(&members);
            let texts = texts(&members);
            let Some((first, printed)) = members.first() else { continue };
            let fields: Vec<String> = printed.fields.iter().map(|f| f.name.clone()).collect();
            let name = self.class_name(program, first, &fields, used);
            let class = self.classes.len();
            for (module, printed) in &members {
                self.of.insert(module.id, class);
                self.sizes.insert(module.id, printed.sizes.iter().map(|s| s.1.clone()).collect());
                let value = |p: &Param| {
                    let own = p.columns.iter().filter_map(|&c| printed.consts.get(c));
                    let own = own.map(|c| &c.text).find(|t| !t.is_empty());
                    let other = || p.columns.first().and_then(|&c| texts.get(c));
                    (p.name.clone(), own.or_else(other).cloned().unwrap_or_default())
                };
                self.args.insert(module.id, params.iter().map(value).collect());
                if let Some(name) = self.first_tensor(module, printed) {
                    self.within.insert(module.id, name);
                }
                for (name, var) in &printed.tensors {
                    let other = self.tensors.insert(name.clone(), *var);
                    let same = |o: Var| program.info(o).source == program.info(*var).source;
                    if other.is_some_and(|o| !same(o)) {
                        return Err(format!("two tensors would be called `{name}`"));
                    }
                }
            }
            let members = members.iter().map(|(m, _)| m.id).collect();
            self.classes.push(Class { name, params, members, fields, texts });
        }
        Ok(())
    }

    /// A name for the class of a module with these fields: where a class of that name lacks one of
    /// them only, with the field that it lacks.
    fn class_name(
        &self,
        program: &Program,
        module: &Module,
        fields: &[String],
        used: &mut Used,
    ) -> String {
        if module.path.is_empty() {
            return "Model".to_owned();
        }
        let (mut name, around) = plain_name(program, module);
        if let Some(like) = self.classes.iter().find(|c| c.name == name) {
            let more: Vec<&String> = fields.iter().filter(|f| !like.fields.contains(f)).collect();
            if let [one] = more[..]
                && fields.len() == like.fields.len() + 1
            {
                name = format!("{name}With{}", names::camel(one));
            }
        }
        for word in around {
            if !used.has(&name) {
                break;
            }
            name = format!("{word}{name}");
        }
        let mut n = 1;
        let stem = name.clone();
        while used.has(&name) {
            n += 1;
            name = format!("{stem}{n}");
        }
        used.fresh(&name)
    }

    /// A module, or for one that is absent the one that it is like.
    fn present(&self, module: usize) -> usize {
        self.absent.get(&module).copied().unwrap_or(module)
    }
    /// The first tensor of a module, itself or within it, below its path.
    fn first_tensor(&self, module: &Module, printed: &Printed) -> Option<String> {
        let base = module.base.join(".");
        if let Some((name, _)) = printed.tensors.first() {
            return name.strip_prefix(&base)?.strip_prefix('.').map(str::to_owned);
        }
        let mut inner = Vec::new();
        children(&module.body, &mut inner);
        let first = inner.into_iter().find(|m| m.presence == Presence::Always)?;
        let path = first.base.strip_prefix(&module.base[..])?.join(".");
        Some(format!("{path}.{}", self.within.get(&first.id)?))
    }
    /// The first tensor of a module, below its path.
    pub fn tensor_within(&self, module: usize) -> Option<String> {
        self.within.get(&self.present(module)).cloned()
    }
    /// Whether a module is absent.
    pub fn is_absent(&self, module: usize) -> bool {
        self.absent.contains_key(&module)
    }
    /// Whether modules that are like this one differ in a number of their text.
    pub fn differs(&self, module: usize, column: usize) -> bool {
        let class = self.class_of(module).and_then(|c| self.classes.get(c));
        class.is_some_and(|c| c.params.iter().any(|p| p.columns.contains(&column)))
    }
    /// The class of a module.
    pub fn class_of(&self, module: usize) -> Option<usize> {
        self.of.get(&self.present(module)).copied()
    }
    /// Whether there are other modules of the class of a module.
    pub fn is_shared(&self, module: usize) -> bool {
        let class = self.class_of(module).and_then(|c| self.classes.get(c));
        class.is_some_and(|c| c.members.len() > 1)
    }
    /// The one input of the program that a value is made of, without any weight.
    pub fn derived(&self, var: Var) -> Option<Var> {
        self.derived.get(&var).copied()
    }
    /// The sizes that a module's `forward` is passed.
    pub fn sizes(&self, module: usize) -> Vec<Dim> {
        self.sizes.get(&self.present(module)).cloned().unwrap_or_default()
    }
    /// The names and values of the numbers that a module is loaded with.
    pub fn args(&self, module: usize) -> Vec<(String, String)> {
        self.args.get(&self.present(module)).cloned().unwrap_or_default()
    }
    /// The float dtype of most weights.
    pub fn main_dtype(&self) -> DType {
        self.main_dtype
    }
    /// The elements of a tensor of the module.
    pub fn tensor(&self, id: TensorId) -> Option<Array> {
        self.hub.tensors[id].to_array().ok()
    }
}

/// The one input of the program that values are made of, where that is so and no weight has a part
/// in it.
fn derived(program: &Program) -> FxHashMap<Var, Var> {
    let mut out: FxHashMap<Var, Var> = program.params.iter().map(|&v| (v, v)).collect();
    // What depends on sizes and small numbers only.
    let mut plain = FxHashSet::default();
    for stmt in &program.body.stmts {
        let Stmt::Let { vars, call, .. } = stmt else { continue };
        if matches!(call.callee, Callee::Layer(_)) {
            continue;
        }
        let mut sources = Vec::new();
        let all = call.vars().all(|v| {
            let small = !matches!(program.info(v).source, Source::Made | Source::Param)
                && !super::tree::is_big(program, v);
            let known = out.get(&v).copied();
            sources.extend(known);
            known.is_some() || small || plain.contains(&v)
        });
        match sources.split_first() {
            Some((first, rest)) if all && rest.iter().all(|v| v == first) => {
                out.extend(vars.iter().map(|v| (*v, *first)));
            }
            None if all => plain.extend(vars.iter().copied()),
            _ => {}
        }
    }
    out
}

/// Names that generated code has from elsewhere.
const RESERVED: &[&str] = &[
    "Model",
    "Output",
    "Tensor",
    "Result",
    "Module",
    "ModuleT",
    "Device",
    "DType",
    "D",
    "VarBuilder",
    "Linear",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "LayerNorm",
    "RmsNorm",
    "BatchNorm",
    "GroupNorm",
    "Embedding",
    "Vec",
    "Some",
    "None",
    "Ok",
    "Err",
    "Self",
    "Option",
    "Box",
    "String",
    "Debug",
    "Clone",
];

/// The text of a module that those like it share.
fn key(p: &Printed) -> String {
    let fields: Vec<String> =
        p.fields.iter().map(|f| format!("{}: {} = {}", f.name, f.ty, f.load)).collect();
    format!(
        "{}\n{} {} {}\n{}",
        fields.join("\n"),
        p.params.len(),
        p.sizes.len(),
        p.consts.len(),
        p.body
    )
}

/// The numbers of the text of members, each as the first one has it to which it is not all one.
fn texts(members: &[(&Module, Printed)]) -> Vec<String> {
    let columns = members.first().map_or(0, |(_, p)| p.consts.len());
    let text = |c: usize| {
        let mut all = members.iter().filter_map(|(_, p)| p.consts.get(c)).map(|k| &k.text);
        all.find(|t| !t.is_empty()).cloned().unwrap_or_default()
    };
    (0..columns).map(text).collect()
}

/// The numbers in which members differ; those that always agree are one.
fn params(members: &[(&Module, Printed)]) -> Vec<Param> {
    let columns = members.first().map_or(0, |(_, p)| p.consts.len());
    let mut found: Vec<(Vec<&str>, Vec<usize>)> = Vec::new();
    for c in 0..columns {
        let values: Vec<&str> =
            members.iter().filter_map(|(_, p)| p.consts.get(c)).map(|k| k.text.as_str()).collect();
        let mut known = values.iter().filter(|v| !v.is_empty());
        let first = known.next();
        if known.all(|v| Some(v) == first) {
            continue;
        }
        let agree = |a: &str, b: &str| a == b || a.is_empty() || b.is_empty();
        let same = |all: &[&str]| all.iter().zip(&values).all(|(a, b)| agree(a, b));
        match found.iter_mut().find(|(all, _)| same(all)) {
            Some((all, columns)) => {
                let gaps = all.iter_mut().zip(&values).filter(|(a, _)| a.is_empty());
                gaps.for_each(|(a, b)| *a = b);
                columns.push(c);
            }
            None => found.push((values, vec![c])),
        }
    }
    let Some((_, first)) = members.first() else { return Vec::new() };
    let mut used = Used::default();
    found
        .into_iter()
        .map(|(_, columns)| {
            let consts = columns.iter().filter_map(|&c| first.consts.get(c));
            let in_forward = consts.clone().any(|c| c.in_forward);
            let hint = consts.map(|c| c.hint.as_str()).find(|h| !h.is_empty()).unwrap_or("size");
            Param { name: used.fresh(&names::snake(hint)), columns, in_forward }
        })
        .collect()
}

/// What a module is called: as its class in the source, or after the last part of its path that
/// is no number; and the names of what it is in, for where that is taken.
pub(super) fn plain_name(program: &Program, module: &Module) -> (String, Vec<String>) {
    let mut words = module.path.iter().rev().filter(|p| p.parse::<usize>().is_err());
    let last = words.next().map_or("Block", |w| w);
    let element = module.path.last().is_some_and(|p| p.parse::<usize>().is_ok());
    let bare = last.trim_end_matches(|c: char| c.is_ascii_digit());
    let mut name = match (program.classes.get(&module.path.join(".")), last) {
        (Some(class), _) => names::camel(class),
        (None, "self") => "SelfAttention".to_owned(),
        // An element of `layer1` and the like.
        (None, _) if element && bare != last => "Block".to_owned(),
        (None, other) if other.ends_with("layers") => "Layer".to_owned(),
        (None, _) => names::camel(bare),
    };
    if let Some(singular) = name.strip_suffix('s')
        && element
        && singular.len() > 2
    {
        name = singular.to_owned();
    }
    if name == "Model" {
        name = "Network".to_owned();
    }
    (name, words.map(|w| names::camel(w)).collect())
}

/// Sorts modules by how deep they nest, and takes down those that are absent.
fn height<'m>(
    module: &'m Module,
    levels: &mut BTreeMap<usize, Vec<&'m Module>>,
    absent: &mut FxHashMap<usize, usize>,
) -> usize {
    if let Presence::Absent { like } = module.presence {
        absent.insert(module.id, like);
        return height_in(&module.body, &mut BTreeMap::new(), &mut FxHashMap::default());
    }
    let h = height_in(&module.body, levels, absent);
    levels.entry(h).or_default().push(module);
    h
}

fn height_in<'m>(
    body: &'m Body,
    levels: &mut BTreeMap<usize, Vec<&'m Module>>,
    absent: &mut FxHashMap<usize, usize>,
) -> usize {
    let mut inner = Vec::new();
    children(body, &mut inner);
    inner.into_iter().map(|m| height(m, levels, absent) + 1).max().unwrap_or(0)
}

/// The float dtype that most of the weights have.
fn main_dtype(program: &Program) -> DType {
    let mut count: BTreeMap<DType, u64> = BTreeMap::new();
    for info in &program.vars {
        let weight = matches!(info.source, Source::Weight(_) | Source::Turned(_));
        if weight && is_float(info.dtype) {
            let n = airconv_ir::dim::numel(&info.shape).as_known().unwrap_or(0);
            *count.entry(info.dtype).or_default() += n.unsigned_abs();
        }
    }
    count.into_iter().max_by_key(|(_, n)| *n).map_or(DType::F32, |(d, _)| d)
}
