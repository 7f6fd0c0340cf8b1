//! Native artefacts: `-o model.o`, `.a` and `.so`, each with `model.h`, and the way back; and the
//! same as `.ll` and `.bc` with a C file beside, for other compilers.
//!
//! The kernels are those that run in this process ([`crate::executor`]), compiled by LLVM once per
//! instruction set level; which of them run is decided when a context is made. What makes contexts
//! and runs them is the C writer's, compiled by the machine's C compiler. The hub program lies in
//! the section `.airconv` of what is written, as an `.ir` file whose tensors are the weights that
//! the code reads, or that says where they are in a file beside; reading the artefact gives the
//! program back.

mod blobs;
mod codes;
mod link;
mod text;

use std::path::Path;

use airconv_api::{Choice, Failed, ReadOptions, Reader, Report, SupportRow, WriteOptions, Writer};
use airconv_ir::diag::Diagnostic;
use airconv_ir::module::Module;
use airconv_ir::tensor::Storage;
use airconv_ir::verify::Verified;
use airconv_ir::wire;
use airconv_kernel::c::native::{Chains, External, Level};
use airconv_kernel::c::{COptions, Kernels, program_c, report_stop};
use airconv_kernel::ir::{Expr, Narrow, Program};
use airconv_kernel::lower::{LowerOptions, lower};
use bytes::Bytes;

use crate::cache::Cache;
use crate::compile::{Compiler, Modules, Output};
use crate::error::LlvmError;
use crate::executor::fused;
use crate::kernel::host;
use crate::select::attention::{BETWEEN, LEAST_ROWS};
use crate::select::whole::has_bytes;
use crate::target::{Isa, Target};
use blobs::Blobs;
use codes::Codes;

/// The section that holds the hub program.
const SECTION: &str = ".airconv";

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A relocatable object.
    Object,
    /// A static library.
    Archive,
    /// A shared library.
    Shared,
    /// The kernels of one level and the data as LLVM IR, and the driver as a C file beside.
    Text,
    /// The same with the IR as bitcode.
    Bitcode,
}

impl Kind {
    /// The format's name, which is the extension too.
    fn extension(self) -> &'static str {
        match self {
            Kind::Object => "o",
            Kind::Archive => "a",
            Kind::Shared => "so",
            Kind::Text => "ll",
            Kind::Bitcode => "bc",
        }
    }

    /// Whether it is IR, of one level.
    fn is_ir(self) -> bool {
        matches!(self, Kind::Text | Kind::Bitcode)
    }
}

/// Writes native artefacts of one kind.
#[derive(Clone, Copy, Debug)]
pub struct NativeWriter(pub Kind);

/// Reads the hub program that an artefact carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeReader;

/// How an artefact is made.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The instruction set levels; those of [`default_levels`] when there are none.
    pub levels: Vec<Isa>,
    /// The size in bytes from which constants go to the file `STEM.weights` beside.
    pub external_from: Option<u64>,
    /// Checks that are built into the code.
    pub sanitizer: Option<Sanitizer>,
    /// Whether AMX tiles are used wherever they can be at the level that has them, whatever the
    /// cost; for tests.
    pub always_tiles: bool,
}

/// Checks that are built into the code, which then needs the libraries of the C compiler for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sanitizer {
    /// Accesses outside of memory, in all code, and undefined behaviour in what is C.
    Address,
    /// Races of threads.
    Thread,
}

impl Sanitizer {
    /// The flag of the C compiler.
    pub fn flag(self) -> &'static str {
        match self {
            Sanitizer::Address => "-fsanitize=address,undefined",
            Sanitizer::Thread => "-fsanitize=thread",
        }
    }
}

/// The levels that artefacts can have on this machine's architecture.
pub fn levels() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| condition(*isa).is_some())
}

/// The level of a name, of those that artefacts can have here.
///
/// # Errors
/// When there is no such level here; the message says which there are.
pub fn level(name: &str) -> Result<Isa, LlvmError> {
    let found = Isa::parse(name).ok().filter(|isa| condition(*isa).is_some());
    found.ok_or_else(|| LlvmError::Argument(no_level(name)))
}

fn no_level(name: &str) -> String {
    let known: Vec<&str> = levels().map(Isa::name).collect();
    format!("an artefact has no code for level `{name}` here; there are {}", known.join(", "))
}

/// The levels of this machine's architecture that an artefact has unless it is told, best first.
pub fn default_levels() -> Vec<Isa> {
    match cfg!(target_arch = "x86_64") {
        true => vec![Isa::Amx, Isa::Vnni, Isa::V4, Isa::V3],
        false => vec![Isa::Neon],
    }
}

/// What code of a level is compiled for. That of tiles may use what the levels below have, and
/// tiles.
fn target(isa: Isa) -> Target {
    match isa {
        Isa::Amx => {
            let features = "+amx-tile,+amx-bf16,+avx512vnni".to_owned();
            Target { isa, features, ..Target::of(Isa::V4) }
        }
        _ => Target::of(isa),
    }
}

impl Writer for NativeWriter {
    fn format(&self) -> &'static str {
        self.0.extension()
    }
    fn extensions(&self) -> &'static [&'static str] {
        match self.0 {
            Kind::Object => &["o"],
            Kind::Archive => &["a"],
            Kind::Shared => &["so"],
            Kind::Text => &["ll"],
            Kind::Bitcode => &["bc"],
        }
    }
    fn takes(&self) -> &'static [Choice] {
        &[Choice::ExternalFrom, Choice::Isa]
    }
    fn write(
        &self,
        module: &Verified<'_>,
        path: &Path,
        options: &WriteOptions,
        report: &mut Report,
    ) -> Result<(), Failed> {
        if report.refused(&options.allow_lossy) {
            return Err(Failed::Unsupported);
        }
        let levels: Result<Vec<Isa>, LlvmError> =
            options.isa.iter().map(|name| level(name)).collect();
        let levels = levels.map_err(|e| {
            report.push(Diagnostic::error("native-level", e.to_string()));
            Failed::Argument
        })?;
        let settings =
            Settings { levels, external_from: options.external_from, ..Settings::default() };
        build(module.module(), path, self.0, &settings, report)
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}

/// Writes a module as an artefact with its header, and with a file of weights where that is asked
/// for.
///
/// # Errors
/// As reported: what has no native form, levels of other machines, and what failed on this one.
pub fn build(
    module: &Module,
    path: &Path,
    kind: Kind,
    settings: &Settings,
    report: &mut Report,
) -> Result<(), Failed> {
    Build { path, report }.run(module, kind, settings)
}

/// What C asks before it uses a level; `None` for levels that artefacts cannot have here.
fn condition(isa: Isa) -> Option<String> {
    let all = |names: &[&str]| {
        let each: Vec<String> =
            names.iter().map(|n| format!("__builtin_cpu_supports(\"{n}\")")).collect();
        each.join(" && ")
    };
    let x86 = cfg!(target_arch = "x86_64");
    match isa {
        Isa::V4 if x86 => {
            let needs = ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "fma", "bmi2"];
            Some(all(&needs))
        }
        // Leave to use tiles is asked for beside.
        Isa::Vnni | Isa::Amx => {
            condition(Isa::V4).map(|v4| format!("{v4} && {}", all(&["avx512vnni"])))
        }
        Isa::V3 if x86 => Some(all(&["avx2", "fma", "bmi", "bmi2"])),
        Isa::V2 if x86 => Some(all(&["sse4.2", "popcnt"])),
        Isa::Neon if cfg!(target_arch = "aarch64") => Some(String::new()),
        _ => None,
    }
}

/// The function with which kernels round to narrow floats, where they call one.
fn narrow(program: &Program, modules: &[(Isa, Modules)]) -> Option<(String, Vec<(i32, Narrow)>)> {
    let call = format!("@{}(", host::NARROW);
    if !modules.iter().flat_map(|(_, m)| m.values()).any(|t| t.contains(&call)) {
        return None;
    }
    let mut codes = std::collections::BTreeMap::new();
    for kernel in &program.kernels {
        codes.extend(kernel.exprs.iter().filter_map(|e| match e {
            Expr::Narrow(n, _) => Some((host::narrow_code(*n), *n)),
            _ => None,
        }));
    }
    Some((host::NARROW.to_owned(), codes.into_iter().collect()))
}

/// One artefact in the making.
struct Build<'a> {
    path: &'a Path,
    report: &'a mut Report,
}

impl Build<'_> {
    fn system(&mut self, what: impl std::fmt::Display) -> Failed {
        let text = format!("{}: {what}", self.path.display());
        self.report.push(Diagnostic::error("native-write", text));
        Failed::System
    }

    fn unsupported(&mut self, what: impl std::fmt::Display) -> Failed {
        self.report.push(Diagnostic::error("native-unsupported", what.to_string()));
        Failed::Unsupported
    }

    fn run(&mut self, module: &Module, kind: Kind, settings: &Settings) -> Result<(), Failed> {
        let mut levels = self.levels(&settings.levels)?;
        if kind.is_ir() {
            if settings.levels.is_empty() {
                // Tiles and VNNI are more levels, and this is one.
                levels.retain(|(isa, _)| *isa <= Isa::V4 || !isa.is_x86());
            }
            levels.truncate(1);
        }
        let folder = tempfile::tempdir().map_err(|e| self.system(e))?;
        let stem = self.path.file_stem().map(|s| s.to_string_lossy().into_owned());
        let stem = stem.unwrap_or_else(|| "model".to_owned());
        let beside = format!("{stem}.weights");
        let (mut blobs, module) =
            Blobs::new(module, folder.path(), settings.external_from, &beside)
                .map_err(|e| self.system(e))?;
        let isas: Vec<Isa> = levels.iter().map(|(isa, _)| *isa).collect();
        let bytes = isas.iter().any(|&isa| has_bytes(isa));
        let lowering = LowerOptions { host: false, channel_last: true, bytes };
        let lowered =
            lower(&fused(module), lowering).map_err(|stop| report_stop(&stop, self.report))?;
        let codes = Codes::new(&lowered.program, &isas, settings.always_tiles)
            .map_err(|e| self.unsupported(e))?;
        levels.retain(|(isa, _)| codes.levels.contains(isa));
        let constants = blobs.places(&lowered).map_err(|why| self.all_unsupported(why))?;
        let weights = blobs.weight_file(&beside);
        let external = External {
            levels: levels.into_iter().map(|(_, level)| level).collect(),
            constants,
            narrow: narrow(&lowered.program, &codes.modules),
            kernels: codes.kernels,
            weights: weights.clone(),
            chains: Chains { at: codes.chains, between: BETWEEN, least_rows: LEAST_ROWS },
            numbers: codes.numbers,
        };
        let options = COptions { name: stem, kernels: Kernels::External(Box::new(external)) };
        let text = program_c(&lowered.program, &lowered.module, &options)
            .map_err(|refused| self.all_unsupported(refused.0))?;
        drop(lowered);
        let header = self.path.with_extension("h");
        let mut files = Vec::new();
        if let Some(file) = weights {
            let bytes = [&blobs.weights[..], &blobs.weights_more, &file.digest].concat();
            files.push((self.path.with_file_name(&beside), bytes));
        }
        files.push((header, text.header.clone().into_bytes()));
        if let (true, [isa, ..]) = (kind.is_ir(), &isas[..]) {
            let target = target(*isa);
            let modules = codes.modules.iter().flat_map(|(_, m)| m.values());
            let ir = text::module(&text.name, modules, &blobs, &target);
            let made = match kind {
                Kind::Bitcode => Compiler::find()
                    .and_then(|c| c.compile(&ir, &target, Output::Bitcode))
                    .map_err(|e| self.system(e))?,
                _ => ir.into_bytes(),
            };
            files.push((self.path.with_extension("c"), text.source.into_bytes()));
            files.push((self.path.to_owned(), made));
        } else {
            let mut objects = Vec::new();
            for (isa, modules) in &codes.modules {
                objects.extend(self.compiled(*isa, modules, settings.sanitizer)?);
            }
            let parts = link::Parts { text: &text, objects: &objects, blobs: &blobs, settings };
            let made = parts.link(kind, folder.path()).map_err(|e| self.system(e))?;
            let bytes = std::fs::read(made).map_err(|e| self.system(e))?;
            files.push((self.path.to_owned(), bytes));
        }
        link::place(&files).map_err(|e| self.system(e))?;
        let beside = files.into_iter().map(|(path, _)| path).filter(|path| path != self.path);
        self.report.written.beside.extend(beside);
        Ok(())
    }

    fn all_unsupported(&mut self, why: Vec<String>) -> Failed {
        for why in why {
            self.unsupported(why);
        }
        Failed::Unsupported
    }

    /// The levels of an artefact, best first, with what C asks for.
    fn levels(&mut self, wanted: &[Isa]) -> Result<Vec<(Isa, Level)>, Failed> {
        let mut wanted = if wanted.is_empty() { default_levels() } else { wanted.to_vec() };
        wanted.sort_by(|a, b| b.cmp(a));
        wanted.dedup();
        let mut out = Vec::new();
        for isa in wanted {
            let Some(condition) = condition(isa) else {
                return Err(self.unsupported(no_level(isa.name())));
            };
            let (name, tiles) = (isa.name().to_owned(), isa == Isa::Amx);
            out.push((isa, Level { name, condition, tiles }));
        }
        Ok(out)
    }

    /// The objects of the kernels of a level.
    fn compiled(
        &mut self,
        isa: Isa,
        modules: &Modules,
        sanitizer: Option<Sanitizer>,
    ) -> Result<Vec<std::sync::Arc<[u8]>>, Failed> {
        let compiler = Compiler::find().map_err(|e| self.system(e))?;
        let target = target(isa);
        let made = match sanitizer {
            None => {
                let texts: Vec<&str> = modules.values().map(String::as_str).collect();
                compiler.compile_all(&texts, &target, &Cache::user(), 2)
            }
            Some(sanitizer) => modules
                .values()
                .map(|t| compiler.instrumented(t, &target, sanitizer).map(Into::into))
                .collect(),
        };
        made.map_err(|e| self.system(e))
    }
}

impl Reader for NativeReader {
    fn format(&self) -> &'static str {
        "native"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["so", "o", "a"]
    }
    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(b"\x7fELF") || head.starts_with(b"!<arch>\n")
    }
    fn read(
        &self,
        path: &Path,
        _options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed> {
        let data = airconv_api::files::read_whole(path, report)?;
        let malformed = |report: &mut Report, what: String| {
            report.push(Diagnostic::error("native-read", format!("{}: {what}", path.display())));
            Failed::Malformed
        };
        let program = match section(&data) {
            Ok(Some(program)) => Bytes::copy_from_slice(program),
            Ok(None) => {
                let what = "it carries no program: airconv did not write it".to_owned();
                return Err(malformed(report, what));
            }
            Err(e) => return Err(malformed(report, e.to_string())),
        };
        let mut module = wire::read_ir_bytes(program, &wire::Limits::default())
            .map_err(|e| malformed(report, e.to_string()))?;
        load_beside(&mut module, path, report)?;
        Ok(module)
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}

/// Gives tensors that lie in files beside an artefact their bytes.
fn load_beside(module: &mut Module, path: &Path, report: &mut Report) -> Result<(), Failed> {
    let mut files: std::collections::BTreeMap<std::sync::Arc<str>, Bytes> = Default::default();
    for tensor in module.tensors.values_mut() {
        let Storage::External { path: name, offset, length } = tensor.storage.clone() else {
            continue;
        };
        if !files.contains_key(&name) {
            let data = airconv_api::files::read_whole(&path.with_file_name(&*name), report)?;
            files.insert(name.clone(), Bytes::from(data));
        }
        let range = usize::try_from(offset).ok().zip(usize::try_from(length).ok());
        let found = files.get(&name).zip(range).and_then(|(data, (from, len))| {
            let end = from.checked_add(len).filter(|&end| end <= data.len())?;
            Some(data.slice(from..end))
        });
        let Some(bytes) = found else {
            let what = format!("{}: `{name}` is too short", path.display());
            report.push(Diagnostic::error("native-read", what));
            return Err(Failed::Malformed);
        };
        tensor.storage = Storage::Bytes(bytes);
    }
    Ok(())
}

/// The section with the program, in an object, a shared library or a member of an archive.
fn section(data: &[u8]) -> object::Result<Option<&[u8]>> {
    use object::{Object, ObjectSection};
    let of_object = |data| -> object::Result<Option<&[u8]>> {
        let file = object::File::parse(data)?;
        file.section_by_name(SECTION).map(|s| s.data()).transpose()
    };
    if !data.starts_with(b"!<arch>\n") {
        return of_object(data);
    }
    let archive = object::read::archive::ArchiveFile::parse(data)?;
    for member in archive.members() {
        if let Some(found) = of_object(member?.data(data)?)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
