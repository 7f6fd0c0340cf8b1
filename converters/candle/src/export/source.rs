//! The text of structs and of files.

use std::collections::BTreeSet;

use airconv_ir::dim::Dim;
use airconv_ir::entity::SymbolId;

use super::class::{Class, Classes};
use super::names;
use super::print::{Naming, Printed, print};
use super::tree::{Body, Item, Module, Presence};
use crate::program::dtype::held;
use crate::program::{Program, Var};

/// A struct as text, and what it uses.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub name: String,
    pub text: String,
    pub helpers: BTreeSet<&'static str>,
}

/// The structs of all classes, outer ones first.
pub(super) fn structs(
    program: &Program,
    classes: &Classes<'_>,
    root: &Module,
) -> Result<Vec<Written>, String> {
    let mut out = Vec::new();
    let mut order = Vec::new();
    by_use(classes, root, &mut order);
    for class in order.into_iter().filter_map(|i| classes.classes.get(i)) {
        let Some(module) = class.members.first().and_then(|&id| find(root, id)) else { continue };
        let printed = print(program, classes, module, Naming::Told)?;
        if let (true, Some((_, dim))) = (module.path.is_empty(), printed.sizes.first()) {
            return Err(format!(
                "the size `{}` is not known where it is read",
                dim_text(program, dim)
            ));
        }
        let text = structure(program, classes, class, module, &printed);
        let text = with_class_names(&text, classes);
        out.push(Written { name: class.name.clone(), text, helpers: printed.helpers });
    }
    Ok(out)
}

/// Classes by where they are first used: each after the one that uses it.
fn by_use(classes: &Classes<'_>, module: &Module, order: &mut Vec<usize>) {
    let Some(class) = classes.class_of(module.id).filter(|c| !order.contains(c)) else { return };
    order.push(class);
    by_use_in(classes, &module.body, order);
}

fn by_use_in(classes: &Classes<'_>, body: &Body, order: &mut Vec<usize>) {
    for item in &body.items {
        match item {
            Item::Child(m) => by_use(classes, m, order),
            Item::If { then, other, .. } => {
                by_use_in(classes, then, order);
                by_use_in(classes, other, order);
            }
            Item::Loop { body, .. } => by_use_in(classes, body, order),
            Item::Stmt(..) => {}
        }
    }
}

fn find(module: &Module, id: usize) -> Option<&Module> {
    if module.id == id { Some(module) } else { find_in(&module.body, id) }
}

fn find_in(body: &Body, id: usize) -> Option<&Module> {
    body.items.iter().find_map(|item| match item {
        Item::Child(m) if matches!(m.presence, Presence::Absent { .. }) => None,
        Item::Child(m) => find(m, id),
        Item::If { then, other, .. } => find_in(then, id).or_else(|| find_in(other, id)),
        Item::Loop { body, .. } => find_in(body, id),
        Item::Stmt(..) => None,
    })
}

/// Numbers in the place of `__kN__`: those that differ by name.
fn with_numbers(text: &str, printed: &Printed, class: &Class, field: bool) -> String {
    replace(text, "__k", |i| {
        let param = class.params.iter().find(|p| p.columns.contains(&i));
        match param {
            Some(p) if field => Some(format!("self.{}", p.name)),
            Some(p) => Some(p.name.clone()),
            None => class.text(i, printed),
        }
    })
}

fn with_class_names(text: &str, classes: &Classes<'_>) -> String {
    replace(text, "__class", |i| classes.classes.get(i).map(|c| c.name.clone()))
}

/// Replaces `PREFIX` and a number and `__`.
fn replace(text: &str, prefix: &str, f: impl Fn(usize) -> Option<String>) -> String {
    let mut parts = text.split(prefix);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let found = part.split_once("__").and_then(|(n, rest)| Some((f(n.parse().ok()?)?, rest)));
        match found {
            Some((text, rest)) => {
                out.push_str(&text);
                out.push_str(rest);
            }
            None => {
                out.push_str(prefix);
                out.push_str(part);
            }
        }
    }
    out
}

fn structure(
    program: &Program,
    classes: &Classes<'_>,
    class: &Class,
    module: &Module,
    printed: &Printed,
) -> String {
    let root = module.path.is_empty();
    let params = &class.params;
    let mut fields = String::new();
    for f in &printed.fields {
        fields.push_str(&format!("{}: {},\n", f.name, f.ty));
    }
    for p in params.iter().filter(|p| p.in_forward) {
        fields.push_str(&format!("{}: usize,\n", p.name));
    }
    let mut args: Vec<String> = params.iter().map(|p| format!("{}: usize", p.name)).collect();
    args.push("vb: VarBuilder".to_owned());
    let mut loads = String::new();
    for f in &printed.fields {
        loads.push_str(&format!("{}: {},\n", f.name, f.load));
    }
    for p in params.iter().filter(|p| p.in_forward) {
        loads.push_str(&format!("{},\n", p.name));
    }
    let mut loads = with_numbers(&loads, printed, class, false);
    for p in params {
        // `stride: stride` is `stride`.
        loads = loads.replace(&format!("{0}: {0},", p.name), &format!("{},", p.name));
    }
    let unread = |p: &&String| !super::files::mentions(&printed.body, p);
    let mut inputs: Vec<String> = printed
        .params
        .iter()
        .map(|p| format!("{}{p}: &Tensor", if unread(&p) { "_" } else { "" }))
        .collect();
    inputs.extend(printed.sizes.iter().map(|(n, _)| format!("{n}: usize")));
    let results = &module.body.results;
    let result = match (root, results.len()) {
        (true, n) if n != 1 => "Output".to_owned(),
        (_, 1) => "Tensor".to_owned(),
        (_, n) => format!("({})", vec!["Tensor"; n].join(", ")),
    };
    let body = with_numbers(&printed.body, printed, class, true);
    let doc = if root { "The model.".to_owned() } else { member_paths(class, module) };
    let wide = results.len() > 6 && !root;
    let wide = if wide { "#[allow(clippy::type_complexity)]\n" } else { "" };
    let many = if inputs.len() > 6 { "#[allow(clippy::too_many_arguments)]\n" } else { "" };
    let many_load = if args.len() > 7 { "#[allow(clippy::too_many_arguments)]\n" } else { "" };
    let shapes = signature_doc(program, module, printed);
    let unused =
        if printed.fields.is_empty() && !params.iter().any(|_| true) { "_vb" } else { "vb" };
    let args = args.join(", ").replace("vb: VarBuilder", &format!("{unused}: VarBuilder"));
    let name = &class.name;
    let load_doc = "/// Loads the weights.";
    let extra = if root { loading(classes) } else { String::new() };
    let visibility = "pub";
    format!(
        "/// {doc}\n#[derive(Clone, Debug)]\n{visibility} struct {name} {{\n{fields}}}\n\
         impl {name} {{\n{extra}{load_doc}\n{many_load}pub fn load({args}) -> Result<Self> {{\n\
         Ok(Self {{\n{loads}}})\n}}\n{shapes}{wide}{many}pub fn forward(&self, {}) -> Result<{result}> \
         {{\n{body}\n}}\n}}\n{}",
        inputs.join(", "),
        if root { output_struct(program, module) } else { String::new() }
    )
}

/// How the root is loaded from a file.
fn loading(classes: &Classes<'_>) -> String {
    let dtype = held(classes.main_dtype()).map_or("F32", |h| h.name);
    format!(
        "/// Loads the weights from a safetensors file.\n\
         pub fn from_safetensors(path: impl AsRef<std::path::Path>, device: &Device) -> \
         Result<Self> {{\nlet weights = std::fs::read(path)?;\n\
         let vb = VarBuilder::from_buffered_safetensors(weights, DType::{dtype}, device)?;\n\
         Self::load(vb)\n}}\n"
    )
}

/// Where the members of a class are, as one path where possible.
fn member_paths(class: &Class, first: &Module) -> String {
    let dotted = names::quoted(&first.path.join("."));
    match class.members.len() {
        1 => format!("`{dotted}` of the model."),
        2 => format!("`{dotted}` of the model, and one more like it."),
        n => format!("`{dotted}` of the model, and {} more like it.", n - 1),
    }
}

/// The struct of results, where there is not exactly one.
fn output_struct(program: &Program, module: &Module) -> String {
    if module.body.results.len() == 1 {
        return String::new();
    }
    let mut used = names::Used::default();
    let mut fields = String::new();
    for (name, &var) in program.outputs.iter().zip(&module.body.results) {
        let field = used.fresh(&names::output(name));
        fields.push_str(&format!("/// {}.\npub {field}: Tensor,\n", type_text(program, var)));
    }
    format!(
        "/// What the model gives.\n#[derive(Clone, Debug)]\npub struct Output {{\n{fields}}}\n"
    )
}

/// Shapes and dtypes of parameters and results.
fn signature_doc(program: &Program, module: &Module, printed: &Printed) -> String {
    let mut lines = Vec::new();
    for (name, &var) in printed.params.iter().zip(&module.inputs) {
        lines.push(format!("/// - `{name}`: {}", type_text(program, var)));
    }
    for (name, dim) in &printed.sizes {
        lines.push(format!("/// - `{name}`: the size `{}`", dim_text(program, dim)));
    }
    let results = module.body.results.iter().map(|&v| type_text(program, v));
    let results: Vec<String> = results.collect();
    if results.len() == 1 || !module.path.is_empty() {
        lines.push(format!("///\n/// Gives {}.", results.join(", ")));
    }
    let lead = "/// Applies it to:\n///\n";
    if printed.params.is_empty() { String::new() } else { format!("{lead}{}\n", lines.join("\n")) }
}

/// A type as documentation.
pub(super) fn type_text(program: &Program, var: Var) -> String {
    let info = program.info(var);
    let sizes: Vec<String> = info.shape.iter().map(|d| dim_text(program, d)).collect();
    format!("`{}` `[{}]`", info.dtype, sizes.join(", "))
}

fn dim_text(program: &Program, dim: &Dim) -> String {
    let symbol = |s: SymbolId| program.symbols.get(s.0 as usize).cloned().unwrap_or_default();
    names::quoted(&dim.display(&symbol).to_string())
}

/// Rust text in its usual form.
pub(super) fn formatted(text: &str) -> Result<String, String> {
    match syn::parse_file(text) {
        Ok(file) => Ok(spaced(&prettyplease::unparse(&file))),
        Err(e) => Err(format!("the code is not Rust: {e}")),
    }
}

/// Text with empty lines between items.
fn spaced(text: &str) -> String {
    let mut out = String::new();
    let mut before = "";
    for line in text.lines() {
        let starts = |prefixes: &[&str], l: &str| prefixes.iter().any(|p| l.starts_with(p));
        let lead = ["//!", "use ", "mod ", "pub(crate) use "];
        let kind = |l: &str| lead.iter().position(|p| l.starts_with(p));
        let item = starts(&["///", "#[", "pub ", "fn ", "impl ", "const ", "mod ops {"], line);
        let ended = before == "}" || before.ends_with(" {}") || (item && kind(before).is_some());
        let inner = before == "    }"
            && line != "}"
            && line.starts_with("    ")
            && !line.starts_with("     ");
        let changed = kind(before).is_some() && kind(line).is_some() && kind(before) != kind(line);
        if !before.is_empty() && !line.is_empty() && (ended || inner || changed) {
            out.push('\n');
        }
        out.push_str(line);
        out.push('\n');
        before = line;
    }
    out
}

/// The `use` lines that a text needs.
pub(super) fn imports(text: &str) -> String {
    let words: BTreeSet<&str> =
        text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
    let layers = [
        "BatchNorm",
        "Conv1d",
        "Conv1dConfig",
        "Conv2d",
        "Conv2dConfig",
        "ConvTranspose1d",
        "ConvTranspose1dConfig",
        "ConvTranspose2d",
        "ConvTranspose2dConfig",
        "Embedding",
        "GroupNorm",
        "LayerNorm",
        "Linear",
        "RmsNorm",
        "VarBuilder",
    ];
    let mut core: Vec<&str> =
        ["D", "DType", "Device"].into_iter().filter(|w| words.contains(w)).collect();
    let close: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let calls_layer =
        layer_fields(text, &layers).iter().any(|f| close.contains(&format!("self.{f}.forward(")));
    if calls_layer {
        core.push("Module");
    }
    if words.contains("forward_t") {
        core.push("ModuleT");
    }
    core.extend(["Result", "Tensor"].into_iter().filter(|w| words.contains(w)));
    let nn: Vec<&str> = layers.into_iter().filter(|w| words.contains(w)).collect();
    let mut out = String::new();
    for (krate, list) in [("candle_core", core), ("candle_nn", nn)] {
        match &list[..] {
            [] => {}
            [one] => out.push_str(&format!("use {krate}::{one};\n")),
            many => out.push_str(&format!("use {krate}::{{{}}};\n", many.join(", "))),
        }
    }
    out
}

/// The fields of a text whose type is a layer.
fn layer_fields<'t>(text: &'t str, layers: &[&str]) -> Vec<&'t str> {
    text.lines()
        .filter_map(|l| l.trim().trim_end_matches(',').split_once(": "))
        .filter(|(_, ty)| layers.contains(ty))
        .map(|(name, _)| name)
        .collect()
}
