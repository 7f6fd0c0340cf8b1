//! The files of a crate, and how they come into being.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use airconv_ir::array::Array;
use airconv_ir::dtype::DType;
use safetensors::tensor::{Dtype, View};

use super::class::Classes;
use super::helpers::{HELPERS, with_dependencies};
use super::names::{Used, quoted, snake};
use super::parity::Sample;
use super::source::{Written, formatted, imports, structs, type_text};
use super::{tree, weights};
use crate::lower::Lowered;
use crate::program::dtype::is_float;
use crate::program::{Program, Var};

/// The table in `Cargo.toml` that marks a folder as written here.
const MARK: &str = "[package.metadata.airconv]";
/// How often modules that lack something are completed, each time without those that did not
/// become alike by it.
const MOST_TRIES: usize = 3;
/// The most lines of one file that holds all structs.
const LONG: usize = 500;

/// Crates that the code names.
const CRATES: &[&str] = &["alloc", "candle_core", "candle_nn", "core", "half", "std", "test"];

/// A crate without its weights.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub name: String,
    /// Paths and texts.
    pub files: Vec<(String, String)>,
    pub tensors: std::collections::BTreeMap<String, Var>,
}

/// The code of a crate that goes to this folder.
pub(super) fn code(lowered: &Lowered, path: &Path, single: bool) -> Result<Code, String> {
    let program = super::order::chained(&lowered.program);
    let root = tree::root(&program);
    let mut except = BTreeSet::new();
    for _ in 0..MOST_TRIES {
        let (mut program, mut root) = (program.clone(), root.clone());
        let pairs = super::optional::complete(&mut program, &mut root, &except);
        if pairs.is_empty() {
            break;
        }
        let Ok(classes) = Classes::of(&program, &lowered.module, &root) else { break };
        let alike = |(a, b): &&(usize, usize)| classes.class_of(*a) == classes.class_of(*b);
        if pairs.iter().all(|p| alike(&p)) {
            return crate_of(&program, &root, classes, path, single);
        }
        except.extend(pairs.iter().filter(|p| !alike(p)).map(|p| p.0));
    }
    let classes = Classes::of(&program, &lowered.module, &root)?;
    crate_of(&program, &root, classes, path, single)
}

/// The files of modules whose classes are known.
fn crate_of(
    program: &Program,
    root: &tree::Module,
    classes: Classes<'_>,
    path: &Path,
    single: bool,
) -> Result<Code, String> {
    let structs = structs(program, &classes, root)?;
    let name = crate_name(path);
    let mut helpers: BTreeSet<&'static str> =
        structs.iter().flat_map(|s| s.helpers.iter().copied()).collect();
    with_dependencies(&mut helpers);
    let mut files = library(program, &structs, &helpers, single)?;
    files.push(("Cargo.toml".to_owned(), manifest(&name, &files)));
    files.push((".gitignore".to_owned(), "/target\n".to_owned()));
    files.push(("examples/run.rs".to_owned(), example(&name, program)?));
    files.push(("README.md".to_owned(), readme(&name, program)));
    let mut tensors = classes.tensors;
    for (input, default) in program.inputs.iter().zip(&program.defaults) {
        if let Some(var) = default {
            tensors.insert(default_name(input), *var);
        }
    }
    Ok(Code { name, files, tensors })
}

/// What the weights file calls the default of an input.
fn default_name(input: &str) -> String {
    format!("default.{input}")
}

/// The crate's name, after the folder's.
fn crate_name(path: &Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_suffix(".candle").unwrap_or(&name).to_owned();
    match snake(&name) {
        taken if CRATES.contains(&taken.as_str()) => format!("{taken}_model"),
        name => name,
    }
}

fn library(
    program: &Program,
    structs: &[Written],
    helpers: &BTreeSet<&'static str>,
    single: bool,
) -> Result<Vec<(String, String)>, String> {
    let lead = lead(program);
    let all: String = structs.iter().map(|s| s.text.as_str()).collect();
    let whole = formatted(&all)?;
    if single {
        let ops = if helpers.is_empty() { String::new() } else { inline_ops(helpers) };
        let text = format!("{lead}{}\n{whole}{ops}", imports(&whole));
        return Ok(vec![("src/lib.rs".to_owned(), formatted(&text)?)]);
    }
    let mut files = Vec::new();
    let module = if helpers.is_empty() { "" } else { "mod ops;\n" };
    if whole.lines().count() <= LONG {
        let text = format!("{lead}{module}{}\n{all}", imports(&whole));
        files.push(("src/lib.rs".to_owned(), formatted(&text)?));
    } else {
        files.extend(in_parts(&lead, module, structs)?);
    }
    if !helpers.is_empty() {
        let mods: String = helpers.iter().map(|h| format!("mod {h};\n")).collect();
        let uses: String = helpers.iter().map(|h| format!("pub(crate) use {h}::{h};\n")).collect();
        let text = format!("//! What candle lacks, as functions on tensors.\n\n{mods}\n{uses}");
        files.push(("src/ops/mod.rs".to_owned(), text));
        for helper in HELPERS.iter().filter(|h| helpers.contains(h.name)) {
            files.push((format!("src/ops/{}.rs", helper.name), helper.text.to_owned()));
        }
    }
    Ok(files)
}

/// The model in `lib.rs`, the other structs in files of some hundred lines, each named after its
/// first one.
fn in_parts(
    lead: &str,
    module: &str,
    structs: &[Written],
) -> Result<Vec<(String, String)>, String> {
    let mut parts: Vec<(String, String, Vec<&str>)> = Vec::new();
    let mut files = Used::default();
    for taken in CRATES.iter().chain(&["lib", "main", "ops"]) {
        files.fresh(taken);
    }
    for s in structs.iter().skip(1) {
        let lines = s.text.lines().count();
        match parts.last_mut() {
            Some((_, text, names)) if text.lines().count() + lines <= LONG / 2 => {
                text.push_str(&s.text);
                names.push(&s.name);
            }
            _ => parts.push((files.fresh(&snake(&s.name)), s.text.clone(), vec![&s.name])),
        }
    }
    let exported = |text: &str, own: &[&str]| {
        let mut uses = String::new();
        for (file, _, names) in &parts {
            let used: Vec<&str> =
                names.iter().copied().filter(|n| !own.contains(n) && mentions(text, n)).collect();
            match &used[..] {
                [] => {}
                [one] => uses.push_str(&format!("use crate::{file}::{one};\n")),
                many => uses.push_str(&format!("use crate::{file}::{{{}}};\n", many.join(", "))),
            }
        }
        uses
    };
    let mut files = Vec::new();
    let first = structs.first().map(|s| s.text.as_str()).unwrap_or_default();
    let mods: String = parts.iter().map(|(n, ..)| format!("mod {n};\n")).collect();
    let whole = formatted(first)?;
    let text = format!("{lead}{mods}{module}{}{}\n{first}", imports(&whole), exported(first, &[]));
    files.push(("src/lib.rs".to_owned(), formatted(&text)?));
    for (name, text, own) in &parts {
        let ops = if text.contains("ops::") && has_ops(text) { "use crate::ops;\n" } else { "" };
        let whole = formatted(text)?;
        let text = format!("{}{}{ops}\n{text}", imports(&whole), exported(text, own));
        files.push((format!("src/{name}.rs"), formatted(&text)?));
    }
    Ok(files)
}

/// Whether a text calls a helper, rather than `candle_nn::ops`.
fn has_ops(text: &str) -> bool {
    text.replace("candle_nn::ops::", "").replace("candle_nn :: ops :: ", "").contains("ops::")
}

pub(super) fn mentions(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == name)
}

/// The helpers as modules within the file.
fn inline_ops(helpers: &BTreeSet<&'static str>) -> String {
    let mut text = String::from("mod ops {\n");
    for helper in HELPERS.iter().filter(|h| helpers.contains(h.name)) {
        text.push_str(&format!(
            "pub(crate) use {0}::{0};\nmod {0} {{\n{1}}}\n",
            helper.name, helper.text
        ));
    }
    text.push_str("}\n");
    text
}

/// What the crate is, from inputs to outputs.
fn lead(program: &Program) -> String {
    let mut text =
        String::from("//! A model for [candle](https://github.com/huggingface/candle).\n//!\n");
    let list = |names: &[String], vars: &[Var]| {
        let lines = names
            .iter()
            .zip(vars)
            .map(|(n, &v)| format!("//! - `{}`: {}\n", quoted(n), type_text(program, v)));
        lines.collect::<String>()
    };
    text.push_str("//! Inputs:\n//!\n");
    text.push_str(&list(&program.inputs, &program.params));
    text.push_str("//!\n//! Outputs:\n//!\n");
    text.push_str(&list(&program.outputs, &program.body.results));
    text.push('\n');
    text
}

fn manifest(name: &str, files: &[(String, String)]) -> String {
    let half = files.iter().any(|(_, t)| t.contains("half::"));
    let half = if half { "half = \"2\"\n" } else { "" };
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         {MARK}\nformat = 1\n\n\
         [features]\n# Devices other than the CPU.\n\
         cuda = [\"candle-core/cuda\", \"candle-nn/cuda\"]\n\
         metal = [\"candle-core/metal\", \"candle-nn/metal\"]\n\n\
         [dependencies]\ncandle-core = \"0.11\"\ncandle-nn = \"0.11\"\n{half}"
    )
}

/// The arguments of `forward` from tensors by name.
fn arguments(program: &Program, tensor: impl Fn(&str) -> String) -> String {
    program.inputs.iter().map(|n| tensor(n)).collect::<Vec<_>>().join(", ")
}

/// Pairs of the names and the tensors of the results.
fn outputs(program: &Program) -> String {
    if let [one] = &program.outputs[..] {
        return format!("[({one:?}, output)]");
    }
    let mut used = Used::default();
    let pairs = program
        .outputs
        .iter()
        .map(|n| format!("({n:?}, output.{})", used.fresh(&super::names::output(n))));
    format!("[{}]", pairs.collect::<Vec<_>>().join(", "))
}

fn example(name: &str, program: &Program) -> Result<String, String> {
    let arguments = arguments(program, |n| format!("&input({n:?})?"));
    let outputs = outputs(program);
    let text = format!(
        "//! Runs the model on tensors of a file: `run [--cuda N | --metal] IN.safetensors \
         [OUT.safetensors]`.\n\n\
         use std::collections::HashMap;\n\
         use candle_core::{{Device, Result, Tensor, bail}};\n\
         use {name}::Model;\n\n\
         fn main() -> Result<()> {{\n\
         let mut device = Device::Cpu;\nlet mut files = Vec::new();\n\
         let mut arguments = std::env::args().skip(1);\n\
         while let Some(argument) = arguments.next() {{\n\
         match argument.as_str() {{\n\
         \"--cuda\" => {{\n\
         let ordinal = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);\n\
         device = Device::new_cuda(ordinal)?;\n}}\n\
         \"--metal\" => device = Device::new_metal(0)?,\n\
         _ => files.push(argument),\n}}\n}}\n\
         let Some(inputs) = files.first() else {{\n\
         bail!(\"name a safetensors file with the inputs\")\n}};\n\
         let inputs = candle_core::safetensors::load(inputs, &device)?;\n\
         let input = |name: &str| match inputs.get(name) {{\n\
         Some(tensor) => Ok(tensor.clone()),\n\
         None => bail!(\"there is no tensor `{{name}}`\"),\n}};\n\
         let weights = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/model.safetensors\");\n\
         let model = Model::from_safetensors(weights, &device)?;\n\
         let output = model.forward({arguments})?;\n\
         let outputs: HashMap<&str, Tensor> = {outputs}.into();\n\
         for (name, tensor) in &outputs {{\n\
         println!(\"{{name}}: {{:?}} {{:?}}\", tensor.dtype(), tensor.dims());\n}}\n\
         if let Some(path) = files.get(1) {{\n\
         candle_core::safetensors::save(&outputs, path)?;\n}}\nOk(())\n}}\n"
    );
    let text = if program.inputs.is_empty() {
        text.replace("let input = |name", "let _input = |name")
    } else if program.defaults.iter().any(Option::is_some) {
        let read = "let weights = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/model.safetensors\");\n";
        let defaults = "let defaults = candle_core::safetensors::load(weights, &device)?;\n";
        let get = "inputs.get(name)";
        let or = "inputs.get(name).or_else(|| defaults.get(&format!(\"default.{name}\")))";
        text.replace(read, "")
            .replace("let input = |name", &format!("{read}{defaults}let input = |name"))
            .replace(get, or)
    } else {
        text
    };
    formatted(&text)
}

fn test(name: &str, program: &Program) -> Result<String, String> {
    let arguments = arguments(program, |n| format!("&tensors[{:?}]", format!("in.{n}")));
    let mut used = Used::default();
    let mut checks = String::new();
    for output in &program.outputs {
        let field = match program.outputs.len() {
            1 => "output".to_owned(),
            _ => format!("output.{}", used.fresh(&super::names::output(output))),
        };
        let expected = format!("out.{output}");
        checks.push_str(&format!("check({output:?}, &{field}, &tensors[{expected:?}])?;\n"));
    }
    let text = format!(
        "//! The model gives what it gave where it came from.\n\n\
         use candle_core::{{DType, Device, Result, Tensor}};\n\
         use {name}::Model;\n\n\
         #[test]\nfn outputs_are_what_they_were() -> Result<()> {{\n\
         let device = Device::Cpu;\n\
         let folder = env!(\"CARGO_MANIFEST_DIR\");\n\
         let model = Model::from_safetensors(format!(\"{{folder}}/model.safetensors\"), &device)?;\n\
         let tensors = candle_core::safetensors::load(\
         format!(\"{{folder}}/tests/parity.safetensors\"), &device)?;\n\
         let output = model.forward({arguments})?;\n{checks}Ok(())\n}}\n\n\
         /// The greatest difference of elements is small in proportion to the greatest element.\n\
         fn check(name: &str, actual: &Tensor, expected: &Tensor) -> Result<()> {{\n\
         assert_eq!(actual.dims(), expected.dims(), \"`{{name}}`\");\n\
         if expected.elem_count() == 0 {{\nreturn Ok(());\n}}\n\
         let actual = actual.to_dtype(DType::F64)?;\n\
         let expected = expected.to_dtype(DType::F64)?;\n\
         let greatest = |x: Tensor| x.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();\n\
         let scale = greatest(expected.clone())?.max(1e-6);\n\
         let difference = greatest((actual - expected)?)? / scale;\n\
         assert!(difference < 1e-4, \"`{{name}}` differs by {{difference}}\");\nOk(())\n}}\n"
    );
    formatted(&text)
}

fn readme(name: &str, program: &Program) -> String {
    let list = |names: &[String], vars: &[Var]| {
        let lines = names.iter().zip(vars);
        let line =
            |(n, &v): (&String, &Var)| format!("| `{}` | {} |\n", quoted(n), type_text(program, v));
        lines.map(line).collect::<String>()
    };
    format!(
        "# {name}\n\nA model for [candle](https://github.com/huggingface/candle). \
         `model.safetensors` holds the weights.\n\n\
         | input | type |\n|---|---|\n{}\n| output | type |\n|---|---|\n{}\n\
         ```sh\ncargo run --release --example run -- inputs.safetensors outputs.safetensors\n\
         cargo test --release\n```\n",
        list(&program.inputs, &program.params),
        list(&program.outputs, &program.body.results)
    )
}

/// An array as a tensor of a file.
struct Stored(Array);

impl View for Stored {
    fn dtype(&self) -> Dtype {
        weights::file_dtype(self.0.dtype).unwrap_or(Dtype::F32)
    }
    fn shape(&self) -> &[usize] {
        &self.0.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.to_bytes().unwrap_or_default())
    }
    fn data_len(&self) -> usize {
        self.0.numel() * self.0.dtype.bits() as usize / 8
    }
}

/// Whether a sample can be compared within a bound.
fn is_exact_enough(sample: &Sample) -> bool {
    sample
        .outputs
        .values()
        .all(|a| !is_float(a.dtype) || matches!(a.dtype, DType::F32 | DType::F64))
}

/// Writes the crate. The folder appears whole or not at all; a folder that is there is replaced
/// if it was written here, else left alone.
pub(super) fn write(
    code: &Code,
    lowered: &Lowered,
    parity: Option<Sample>,
    path: &Path,
) -> Result<(), String> {
    let text = |e: std::io::Error| e.to_string();
    let replaced = match std::fs::read_to_string(path.join("Cargo.toml")) {
        Ok(manifest) if manifest.contains(MARK) => true,
        _ if is_empty_or_absent(path) => false,
        _ => {
            return Err(
                "it exists and is no crate that was written here: remove it first".to_owned()
            );
        }
    };
    let parent = airconv_api::files::folder_of(path);
    let draft = tempfile::Builder::new().prefix(".airconv-").tempdir_in(parent).map_err(text)?;
    for (name, content) in &code.files {
        let file = draft.path().join(name);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(text)?;
        }
        std::fs::write(&file, content).map_err(text)?;
    }
    let weights_file = draft.path().join("model.safetensors");
    weights::write(&lowered.program, &lowered.module, &code.tensors, &weights_file)?;
    if let Some(sample) = parity.filter(is_exact_enough) {
        let folder = draft.path().join("tests");
        std::fs::create_dir_all(&folder).map_err(text)?;
        std::fs::write(folder.join("parity.rs"), test(&code.name, &lowered.program)?)
            .map_err(text)?;
        let inputs = sample.inputs.into_iter().map(|(n, a)| (format!("in.{n}"), a));
        let outputs = sample.outputs.into_iter().map(|(n, a)| (format!("out.{n}"), a));
        let mut all = Vec::new();
        for (name, array) in inputs.chain(outputs) {
            all.push((name, Stored(weights::in_file(&array)?)));
        }
        safetensors::serialize_to_file(all, None, &folder.join("parity.safetensors"))
            .map_err(|e| e.to_string())?;
    }
    tidy(draft.path()).map_err(text)?;
    publish(draft, path, replaced).map_err(text)
}

/// Gives the code the form of rustfmt, in its default configuration, where it is installed; what
/// is written without it is the same code in the form of prettyplease.
fn tidy(folder: &Path) -> std::io::Result<()> {
    // An empty configuration, so that none of the folders around counts.
    let config = folder.join("rustfmt.toml");
    std::fs::write(&config, "")?;
    let roots = ["src/lib.rs", "examples/run.rs", "tests/parity.rs"];
    let present = roots.into_iter().map(|f| folder.join(f)).filter(|f| f.is_file());
    let _ = std::process::Command::new("rustfmt")
        .args(["--quiet", "--edition", "2024", "--config-path"])
        .arg(&config)
        .args(present)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    std::fs::remove_file(config)
}

fn is_empty_or_absent(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) => e.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Gives the folder its name.
fn publish(draft: tempfile::TempDir, path: &Path, replaced: bool) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(draft.path(), std::fs::Permissions::from_mode(0o755))?;
    }
    if replaced {
        let parent = airconv_api::files::folder_of(path);
        let old = tempfile::Builder::new().prefix(".airconv-").tempdir_in(parent)?;
        let aside = old.path().join("old");
        std::fs::rename(path, &aside)?;
        if let Err(e) = std::fs::rename(draft.path(), path) {
            std::fs::rename(&aside, path)?;
            return Err(e);
        }
    } else {
        if path.exists() {
            std::fs::remove_dir(path)?;
        }
        std::fs::rename(draft.path(), path)?;
    }
    // What has its name is not to be removed.
    let _ = draft.keep();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_files_of_their_own() {
        let long = |name: &str| {
            let lines = "// A line of a long struct.\n".repeat(LONG);
            let text = format!("pub struct {name};\n{lines}");
            Written { name: name.to_owned(), text, helpers: BTreeSet::new() }
        };
        let structs = ["Model", "Lib", "Ops", "Std", "Half", "Block1", "Block_1"].map(long);
        let files = in_parts("", "", &structs).unwrap();
        let names: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), structs.len(), "{names:?}");
        assert!(files[0].1.contains("pub struct Model"), "{}", files[0].1);
        for taken in ["src/main.rs", "src/ops.rs", "src/std.rs", "src/half.rs"] {
            assert!(!names.contains(taken), "{names:?}");
        }
    }

    #[test]
    fn crates_are_not_named_after_those_that_they_use() {
        for (folder, name) in [("std", "std_model"), ("candle-core", "candle_core_model")] {
            assert_eq!(crate_name(Path::new(folder)), name);
        }
        assert_eq!(crate_name(Path::new("bert.candle")), "bert");
    }
}
