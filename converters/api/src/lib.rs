//! The interface between the hub and its converters. A converter crate depends on this and
//! on the hub, and on nothing else of the project.
//!
//! A [`Reader`] turns a file into a [`Module`], a [`Writer`] turns a verified module into
//! files, an [`Executor`] runs one. A [`Registry`] knows those that are linked in. What
//! happened on the way is a [`Report`]: diagnostics and the ledger of changes.

pub mod bisect;
pub mod compare;
pub mod conformance;
pub mod diff;
pub mod files;
pub mod hub;
pub mod inline;
pub mod inputs;
pub mod interpreter;
pub mod legalize;
pub mod limits;
pub mod npz;
pub mod report;
mod waiting;
pub mod weights;

use std::collections::BTreeMap;
use std::path::Path;

use airconv_ir::interp::Datum;
use airconv_ir::module::Module;
use airconv_ir::op::OpKind;
use airconv_ir::verify::Verified;

pub use airconv_ir as ir;
pub use airconv_ir::diag::{Diagnostic, Severity};
pub use airconv_ir::specialize::{Given, Reread};
pub use limits::Limits;
pub use report::{Ledger, LedgerEntry, LedgerKind, Report, Written};

/// A conversion that did not succeed; the report of the call says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The input is malformed or over a limit.
    #[error("the input is malformed")]
    Malformed,
    /// Something in it is not supported.
    #[error("something is not supported")]
    Unsupported,
    /// What was asked for by name or value is not there, such as a size to be fixed.
    #[error("something that was asked for is not there")]
    Argument,
    /// The system failed: a file could not be read or written.
    #[error("the system failed")]
    System,
}

/// An option of reading, writing or running that not every converter has a use for. Each says
/// which it takes ([`Reader::takes`], [`Writer::takes`], [`Executor::takes`]), so that no option
/// that was given is left out in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// [`ReadOptions::inputs`].
    InputType,
    /// [`WriteOptions::opset`].
    Opset,
    /// [`WriteOptions::external_from`].
    ExternalFrom,
    /// [`WriteOptions::single_file`].
    SingleFile,
    /// [`WriteOptions::isa`] and [`RunOptions::isa`].
    Isa,
    /// [`RunOptions::threads`].
    Threads,
    /// [`RunOptions::precision`].
    Precision,
    /// [`RunOptions::native_only`].
    NativeOnly,
}

impl Choice {
    /// The option as the command line has it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::InputType => "--input-type",
            Self::Opset => "--opset",
            Self::ExternalFrom => "--external-from",
            Self::SingleFile => "--single-file",
            Self::Isa => "--isa",
            Self::Threads => "--threads",
            Self::Precision => "--precision",
            Self::NativeOnly => "--native-only",
        }
    }
}

/// Those of `choices` that were made.
fn made<const N: usize>(choices: [(bool, Choice); N]) -> Vec<Choice> {
    choices.into_iter().filter_map(|(given, choice)| given.then_some(choice)).collect()
}

/// Options of reading.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Bounds on untrusted input.
    pub limits: Limits,
    /// Whether files are read instead of mapped.
    pub no_mmap: bool,
    /// The types of inputs, for formats that do not state them: `x` and `f32[N, 3]`.
    pub inputs: Vec<(String, String)>,
}

impl ReadOptions {
    /// What is asked for that not every reader takes.
    pub fn choices(&self) -> Vec<Choice> {
        made([(!self.inputs.is_empty(), Choice::InputType)])
    }
}

/// Options of writing.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// The operator set version to write, for formats that have one.
    pub opset: Option<i64>,
    /// Names of lossy steps that are allowed.
    pub allow_lossy: Vec<String>,
    /// The size in bytes from which tensors go to a file beside, for formats that allow it.
    pub external_from: Option<u64>,
    /// Whether code goes to one file rather than several, for formats that are code.
    pub single_file: bool,
    /// Instruction set levels of native code, such as `v3`; those that are usual when empty.
    pub isa: Vec<String>,
}

impl WriteOptions {
    /// What is asked for that not every writer takes.
    pub fn choices(&self) -> Vec<Choice> {
        made([
            (self.opset.is_some(), Choice::Opset),
            (self.external_from.is_some(), Choice::ExternalFrom),
            (self.single_file, Choice::SingleFile),
            (!self.isa.is_empty(), Choice::Isa),
        ])
    }
}

/// A converter into the hub.
pub trait Reader {
    /// The format's short name, as in `--from`.
    fn format(&self) -> &'static str;
    /// File extensions without the dot.
    fn extensions(&self) -> &'static [&'static str];
    /// Whether the first bytes of a file look like this format.
    fn sniff(&self, head: &[u8]) -> bool;
    /// The options that make a difference to it.
    fn takes(&self) -> &'static [Choice] {
        &[]
    }
    /// Reads a module, at stage `Imported`.
    fn read(
        &self,
        path: &Path,
        options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed>;
    /// What is supported, derived from the rules.
    fn support(&self) -> Vec<SupportRow>;
    /// What gives meaning to opaque nodes of the format once more is known of their operands,
    /// where the format has such nodes.
    fn reread(&self) -> Option<&dyn Reread> {
        None
    }
}

/// A converter out of the hub.
pub trait Writer {
    /// The format's short name, as in `--to`.
    fn format(&self) -> &'static str;
    /// File extensions without the dot.
    fn extensions(&self) -> &'static [&'static str];
    /// Whether it writes a folder; then a path that ends in `-FORMAT` is one of its format too.
    fn writes_folder(&self) -> bool {
        false
    }
    /// The options that make a difference to it.
    fn takes(&self) -> &'static [Choice] {
        &[]
    }
    /// Writes a module. Files appear whole or not at all.
    fn write(
        &self,
        module: &Verified<'_>,
        path: &Path,
        options: &WriteOptions,
        report: &mut Report,
    ) -> Result<(), Failed>;
    /// What is supported, derived from the rules.
    fn support(&self) -> Vec<SupportRow>;
}

/// How an executor runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// How many threads; 0 for as many as there are.
    pub threads: usize,
    /// The instruction set level of native code, such as `v3`; the machine's when absent.
    pub isa: Option<String>,
    /// How exact products of `f32` have to be: `f32`, or `f32-high` (an error of four millionths
    /// of the operands' size) or `bf16` where that is faster; `f32` when absent.
    pub precision: Option<String>,
    /// Whether ops without native code are refused rather than left to the interpreter.
    pub native_only: bool,
    /// Whether the process is there for this run: pages of all files that it has mapped, code and
    /// others, may be given back to the system when they are not needed for a while. It changes no
    /// result.
    pub owns_process: bool,
}

impl RunOptions {
    /// What is asked for that not every executor takes.
    pub fn choices(&self) -> Vec<Choice> {
        made([
            (self.threads != 0, Choice::Threads),
            (self.isa.is_some(), Choice::Isa),
            (self.precision.is_some(), Choice::Precision),
            (self.native_only, Choice::NativeOnly),
        ])
    }
}

/// Something that runs hub modules.
pub trait Executor {
    /// The name, as in `--executor`.
    fn name(&self) -> &'static str;
    /// Whether it can be used on this machine, or what to install.
    fn available(&self) -> Result<(), String>;
    /// The options that make a difference to it.
    fn takes(&self) -> &'static [Choice] {
        &[]
    }
    /// Whether it runs nodes that have no meaning in the hub, as their source format means them.
    fn takes_opaque(&self) -> bool {
        false
    }
    /// Runs a module on named inputs.
    fn run(
        &self,
        module: &Verified<'_>,
        inputs: &BTreeMap<String, Datum>,
        options: &RunOptions,
        report: &mut Report,
    ) -> Result<Vec<(String, Datum)>, Failed>;
}

/// How well an op is supported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// One op for one op.
    Native,
    /// By decomposition into others.
    Decomposed,
    /// Not at all, with the reason.
    No(String),
}

/// A row of a support table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupportRow {
    /// The op as the format calls it.
    pub source: String,
    /// The hub op, where there is exactly one.
    pub hub: Option<OpKind>,
    /// How well.
    pub support: Support,
    /// Restrictions and versions.
    pub notes: String,
}

/// The converters and executors that are linked in.
#[derive(Default)]
pub struct Registry {
    readers: Vec<Box<dyn Reader>>,
    writers: Vec<Box<dyn Writer>>,
    executors: Vec<Box<dyn Executor>>,
}

impl Registry {
    /// Adds a reader.
    pub fn reader(mut self, reader: impl Reader + 'static) -> Self {
        self.readers.push(Box::new(reader));
        self
    }
    /// Adds a writer.
    pub fn writer(mut self, writer: impl Writer + 'static) -> Self {
        self.writers.push(Box::new(writer));
        self
    }
    /// Adds an executor.
    pub fn executor(mut self, executor: impl Executor + 'static) -> Self {
        self.executors.push(Box::new(executor));
        self
    }
    /// All readers.
    pub fn readers(&self) -> impl Iterator<Item = &dyn Reader> {
        self.readers.iter().map(|r| &**r)
    }
    /// All writers.
    pub fn writers(&self) -> impl Iterator<Item = &dyn Writer> {
        self.writers.iter().map(|w| &**w)
    }
    /// All executors.
    pub fn executors(&self) -> impl Iterator<Item = &dyn Executor> {
        self.executors.iter().map(|e| &**e)
    }
    /// The executor of a name.
    pub fn executor_named(&self, name: &str) -> Option<&dyn Executor> {
        self.executors().find(|e| e.name() == name)
    }
    /// The reader for a path: of the named format, else by extension, else by content.
    pub fn reader_for(
        &self,
        path: &Path,
        format: Option<&str>,
        head: &[u8],
    ) -> Option<&dyn Reader> {
        if let Some(format) = format {
            return self.readers().find(|r| r.format() == format);
        }
        let by_content = self.readers().find(|r| r.sniff(head));
        by_content.or_else(|| self.readers().find(|r| has_extension(path, r.extensions())))
    }
    /// Fixes sizes and inputs of a module; every reader may read its opaque nodes again.
    pub fn specialize(
        &self,
        module: Module,
        given: &Given,
        report: &mut Report,
    ) -> Result<Module, Failed> {
        if given.is_empty() {
            return Ok(module);
        }
        let unknown = ir::specialize::unknown_names(&module, given);
        if !unknown.is_empty() {
            report.diagnostics.extend(unknown);
            return Err(Failed::Argument);
        }
        let formats: Vec<&dyn Reread> = self.readers().filter_map(|r| r.reread()).collect();
        match ir::specialize::specialize(module, given, &formats) {
            Ok(module) => {
                for name in given.binds.keys() {
                    report.structural("bound-input", "an input is bound to a value", name);
                }
                Ok(module)
            }
            Err(errors) => {
                report.diagnostics.extend(errors);
                Err(Failed::Unsupported)
            }
        }
    }
    /// The writer for a path: of the named format, else by extension.
    pub fn writer_for(&self, path: &Path, format: Option<&str>) -> Option<&dyn Writer> {
        match format {
            Some(format) => self.writers().find(|w| w.format() == format),
            None => self
                .writers()
                .find(|w| has_extension(path, w.extensions()) || is_folder_of(path, *w)),
        }
    }
}

/// Whether a path names a folder that a writer writes: `model-candle`, `model-candle/`.
fn is_folder_of(path: &Path, writer: &dyn Writer) -> bool {
    let name = path.file_name().and_then(|n| n.to_str());
    let stem = name.and_then(|n| n.strip_suffix(writer.format()));
    writer.writes_folder() && stem.is_some_and(|s| s.is_empty() || s.ends_with('-'))
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let ext = path.extension().and_then(|e| e.to_str());
    ext.is_some_and(|e| extensions.iter().any(|x| x.eq_ignore_ascii_case(e)))
}
