//! The command line.

use std::path::PathBuf;

use airconv_api::Registry;
use airconv_llvm::micro::amx::Grade;
use airconv_llvm::{Isa, LlvmError, artefact};
use clap::builder::PossibleValuesParser;
use clap::{Args, CommandFactory, Parser, Subcommand};

/// One array IR, every framework: convert, optimise, run and compare array programs.
#[derive(Debug, Parser)]
#[command(
    name = "airconv",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  airconv in.onnx --opt fuse -o out.ir     read, optimise, write\n  airconv out.ir -o out.onnx --opset 17    and back, for another opset\n  airconv verify in.onnx out.onnx          are the numbers the same?\n\nExit codes: 0 done; 1 a comparison or check said no; 2 wrong command line;\n3 malformed input or over a limit; 4 not supported; 5 the system failed.\n\nEnvironment:\n  AIRCONV_CACHE_DIR  the folder of compiled kernels and recording copies of candle; empty for none\n  AIRCONV_LLVM       the path of libLLVM, 19 or newer\n  AIRCONV_PYTHON     the Python with ONNX Runtime (and OpenVINO)\n  CC                 the C compiler"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub convert: Convert,
}

impl Cli {
    /// The command line with the names that a registry knows: those are what options that take a
    /// name accept, and what the help and completions list.
    pub(crate) fn of(registry: &Registry) -> clap::Command {
        let readers = names(registry.readers().map(|r| r.format()));
        let writers = names(registry.writers().map(|w| w.format()));
        let executors = names(registry.executors().map(|e| e.name()));
        let lists = [("from", readers), ("to", writers), ("executor", executors)];
        let named = |mut command: clap::Command| {
            for (option, names) in &lists {
                if command.get_arguments().any(|a| a.get_id() == *option) {
                    let parser = PossibleValuesParser::new(names);
                    command = command.mut_arg(option, |a| a.value_parser(parser));
                }
            }
            command
        };
        let command = named(Self::command());
        let commands: Vec<String> =
            command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
        commands.iter().fold(command, |all, name| all.mut_subcommand(name, named))
    }

    /// The options that every command has.
    pub(crate) fn common(&self) -> &Common {
        match &self.command {
            None | Some(Command::Completions { .. }) => &self.convert.common,
            Some(Command::Inspect(a) | Command::Check(a)) => &a.common,
            Some(Command::Print(a)) => &a.common,
            Some(Command::Opt(a)) => &a.common,
            Some(Command::Run(a)) => &a.common,
            Some(Command::Verify(a)) => &a.common,
            Some(Command::Bench(a)) => &a.common,
            Some(Command::Bisect(a)) => &a.common,
            Some(Command::Diff(a)) => &a.common,
            Some(Command::Capture(a)) => &a.common,
            Some(Command::Support(a)) => &a.common,
        }
    }
}

/// Names in their order, each once.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut out = Vec::new();
    for name in all {
        if !out.contains(&name) {
            out.push(name);
        }
    }
    out
}

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Common {
    /// Say only what went wrong.
    #[arg(short, long, global = true, help_heading = "Output")]
    pub quiet: bool,
    /// Say more: notes and the ledger of structural changes.
    #[arg(short, long, global = true, help_heading = "Output")]
    pub verbose: bool,
    /// Print results and diagnostics as JSON.
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
}

/// How an input is read.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Reading {
    /// The format of the input, when extension and content do not tell.
    #[arg(long, value_name = "FORMAT", help_heading = "Reading")]
    pub from: Option<String>,
    /// Fix a size of the inputs by its name; `inspect` lists the names.
    #[arg(long, value_name = "NAME=N", value_parser = named_int, help_heading = "Reading")]
    pub dim: Vec<(String, i64)>,
    /// Fix an input to a value: a number, a list like 1,2,3, or @FILE.npy.
    #[arg(long, value_name = "NAME=VALUE", value_parser = named_text, help_heading = "Reading")]
    pub bind: Vec<(String, String)>,
    /// Result types of ops without meaning: lines `domain::Op = f32[1, N], i64[]`.
    #[arg(long, value_name = "FILE", help_heading = "Reading")]
    pub op_types: Option<PathBuf>,
    /// The type of an input, for formats that do not state it (TorchScript): x=f32[N, 3].
    #[arg(long, value_name = "NAME=TYPE", value_parser = named_text, help_heading = "Reading")]
    pub input_type: Vec<(String, String)>,
    /// Other numbers: a file of weights (safetensors, GGUF, a state_dict) whose names are the program's.
    #[arg(long, value_name = "FILE", help_heading = "Reading")]
    pub weights: Option<PathBuf>,
    /// Read files instead of mapping them.
    #[arg(long, help_heading = "Reading")]
    pub no_mmap: bool,
    /// The most nodes of an input.
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_nodes: Option<u64>,
    /// The deepest nesting of subgraphs.
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_depth: Option<u32>,
    /// The most bytes that unpacked tensors may take.
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    pub max_expanded: Option<u64>,
}

/// How a program is optimised.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Optimising {
    /// Passes or pipelines: none, basic, fuse, or a list of pass names.
    #[arg(long, value_name = "LIST", default_value = "none", help_heading = "Optimising")]
    pub opt: String,
    /// Stop after this many rewrites; halving it finds a guilty one.
    #[arg(long, value_name = "N", help_heading = "Optimising")]
    pub opt_limit: Option<u64>,
    /// Bytes by which constant folding may grow the program.
    #[arg(long, value_name = "BYTES", default_value_t = 0, help_heading = "Optimising")]
    pub fold_budget: u64,
}

/// `airconv IN -o OUT`
#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// The program to read.
    #[arg(value_name = "IN", required = true)]
    pub input: Option<PathBuf>,
    /// The file to write; its extension names the format.
    #[arg(short, long, value_name = "OUT", required = true)]
    pub output: Option<PathBuf>,
    /// The format to write, when the extension does not tell.
    #[arg(long, value_name = "FORMAT", help_heading = "Writing")]
    pub to: Option<String>,
    /// The opset to write (ONNX: 13 to 28); the source's when not given.
    #[arg(long, value_name = "N", help_heading = "Writing")]
    pub opset: Option<i64>,
    /// Allow a lossy step by name; the refusal of a step says its name.
    #[arg(long, value_name = "NAME", help_heading = "Writing")]
    pub allow_lossy: Vec<String>,
    /// Put tensors of this many bytes and more into a file beside the output.
    #[arg(long, value_name = "BYTES", help_heading = "Writing")]
    pub external_from: Option<u64>,
    /// Write code to one file rather than several, where the output is code.
    #[arg(long, help_heading = "Writing")]
    pub single_file: bool,
    /// Instruction set levels of native code, chosen among when it runs: v2, v3, v4, vnni and amx on
    /// x86-64 (all but v2 by default; of LLVM IR, which has one level, v4), neon on AArch64.
    #[arg(
        long,
        value_name = "LEVEL",
        value_delimiter = ',',
        value_parser = artefact_level,
        help_heading = "Writing"
    )]
    pub isa: Vec<String>,
    /// Write a report of the conversion: a page if FILE ends in .html, else JSON.
    #[arg(long, value_name = "FILE", help_heading = "Writing")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub optimising: Optimising,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show inputs, outputs, sizes, ops, parameters and what is opaque.
    Inspect(Input),
    /// Print the program as text.
    Print(Print),
    /// Check everything that can be checked and print all diagnostics.
    Check(Input),
    /// Optimise and show what each pass did or declined.
    Opt(Opt),
    /// Run the program.
    Run(Run),
    /// Compare two programs in numbers.
    Verify(Verify),
    /// Find where two programs begin to differ in numbers, or which rewrite changes them.
    Bisect(Bisect),
    /// Time native code against other frameworks, run by run in turns.
    Bench(Bench),
    /// Compare two programs in structure.
    Diff(Diff),
    /// Record a candle program, unmodified, and convert what it computes.
    Capture(Capture),
    /// Show what a converter supports.
    Support(Support),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// One input.
#[derive(Debug, Args)]
pub(crate) struct Input {
    /// The program to read.
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub common: Common,
}

/// `airconv print`
#[derive(Debug, Args)]
pub(crate) struct Print {
    /// The program to read.
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// Print everything, origins and notes too, so that it can be read back.
    #[arg(long)]
    pub full: bool,
    /// Print the entry function as a graph in DOT, for Graphviz.
    #[arg(long, conflicts_with = "full")]
    pub dot: bool,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub common: Common,
}

/// `airconv opt`
#[derive(Debug, Args)]
pub(crate) struct Opt {
    /// The program to read.
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// Show every rewrite and every refusal with its reason.
    #[arg(long)]
    pub explain: bool,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub optimising: Optimising,
    #[command(flatten)]
    pub common: Common,
}

/// What a run needs.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Running {
    /// Inputs by name, as an .npz file; drawn from the seed when not given.
    #[arg(long, value_name = "FILE.npz", help_heading = "Running")]
    pub inputs: Option<PathBuf>,
    /// The seed of drawn inputs.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        conflicts_with = "inputs",
        help_heading = "Running"
    )]
    pub seed: u64,
    /// A named size for drawn inputs, which stays symbolic in the program. Without it, a size is
    /// the least power of two that leaves no value empty.
    #[arg(
        long,
        value_name = "NAME=N",
        value_parser = named_int,
        conflicts_with = "inputs",
        help_heading = "Running"
    )]
    pub size: Vec<(String, i64)>,
    /// Threads of native code; 0 for as many as there are.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Running")]
    pub threads: usize,
    /// Instruction set level of native code: v2, v3, v4, vnni, amx or neon; this machine's by
    /// default.
    #[arg(long, value_name = "LEVEL", value_parser = level, help_heading = "Running")]
    pub isa: Option<String>,
    /// How exact products of f32 have to be in native code: f32, or f32-high (six digits) or bf16
    /// where that is faster.
    #[arg(
        long,
        value_name = "GRADE",
        value_parser = PossibleValuesParser::new(Grade::ALL.map(Grade::name)),
        help_heading = "Running"
    )]
    pub precision: Option<String>,
    /// Refuse what has no native code instead of leaving it to the interpreter.
    #[arg(long, help_heading = "Running")]
    pub native_only: bool,
}

impl Running {
    /// What executors are told.
    pub(crate) fn options(&self) -> airconv_api::RunOptions {
        airconv_api::RunOptions {
            threads: self.threads,
            isa: self.isa.clone(),
            precision: self.precision.clone(),
            native_only: self.native_only,
            owns_process: true,
        }
    }
}

/// `airconv run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The program to run.
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// What runs it.
    #[arg(long, value_name = "NAME", default_value = "interpreter", help_heading = "Running")]
    pub executor: String,
    /// Write outputs by name to an .npz file.
    #[arg(long, value_name = "FILE.npz", help_heading = "Running")]
    pub outputs: Option<PathBuf>,
    #[command(flatten)]
    pub running: Running,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub common: Common,
}

/// `airconv bench`
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The program.
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// What to compare with, separated by commas: ort, openvino, tract, rten, candle, or none; all
    /// that are installed by default.
    #[arg(long, value_name = "NAMES", help_heading = "Running")]
    pub against: Option<String>,
    /// Tell of each kernel what it takes, how it is done, and why so.
    #[arg(long, help_heading = "Running")]
    pub explain: bool,
    /// Only tell what memory and time it takes to come to the first run.
    #[arg(long, hide = true)]
    pub once: bool,
    #[command(flatten)]
    pub running: Running,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub common: Common,
}

/// `airconv verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The program that is right.
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// The program that is to be compared with it.
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// What runs them: one name for both, or one for each.
    #[arg(long, value_name = "NAME", help_heading = "Running")]
    pub executor: Vec<String>,
    /// Relative tolerance.
    #[arg(long, value_name = "X", default_value_t = 1e-4, value_parser = tolerance)]
    pub rtol: f64,
    /// Absolute tolerance.
    #[arg(long, value_name = "X", default_value_t = 1e-5, value_parser = tolerance)]
    pub atol: f64,
    #[command(flatten)]
    pub running: Running,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub common: Common,
}

/// `airconv bisect`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  airconv bisect in.onnx out.onnx              the first node that differs\n  airconv bisect in.onnx out.onnx --repro r.irt   and a program of it alone\n  airconv bisect in.onnx --opt fuse            the rewrite after which outputs differ"
)]
pub(crate) struct Bisect {
    /// The program that is right.
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// The program that is to be compared with it; without it, A as --opt makes it.
    #[arg(value_name = "B")]
    pub b: Option<PathBuf>,
    /// Relative tolerance.
    #[arg(long, value_name = "X", default_value_t = 1e-4, value_parser = tolerance)]
    pub rtol: f64,
    /// Absolute tolerance.
    #[arg(long, value_name = "X", default_value_t = 1e-5, value_parser = tolerance)]
    pub atol: f64,
    /// Write the nodes of B that are guilty as a program, and those of A beside it as
    /// FILE.right.EXT, both with the inputs that they had.
    #[arg(long, value_name = "FILE")]
    pub repro: Option<PathBuf>,
    /// The most bytes of values that may wait for those that they are compared with.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30, help_heading = "Limits")]
    pub max_waiting: u64,
    #[command(flatten)]
    pub running: Running,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub optimising: Optimising,
    #[command(flatten)]
    pub common: Common,
}

/// `airconv diff`
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The first program.
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// The program that is to be compared with it.
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// Show at most this many nodes of a function.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub common: Common,
}

/// `airconv capture`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  airconv capture -o model.onnx -- cargo run --release --example bert\n  airconv capture --prepare FOLDER        what a program needs to be recorded\n\nThe program marks what is recorded with the crate airconv-candle-trace, which --prepare writes."
)]
pub(crate) struct Capture {
    /// The file to write; its extension names the format.
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Which of several recorded programs is written.
    #[arg(long, value_name = "NAME", requires = "output")]
    pub program: Option<String>,
    /// Keep all recordings in this folder; `airconv FILE.recording -o OUT` reads them.
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
    /// Only write a recording candle-core, from the one that the package here uses, and the crate
    /// airconv-candle-trace to this folder.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["output", "keep"])]
    pub prepare: Option<PathBuf>,
    /// The opset to write (ONNX: 13 to 28).
    #[arg(long, value_name = "N", help_heading = "Writing")]
    pub opset: Option<i64>,
    /// Allow a lossy step by name.
    #[arg(long, value_name = "NAME", help_heading = "Writing")]
    pub allow_lossy: Vec<String>,
    #[command(flatten)]
    pub optimising: Optimising,
    #[command(flatten)]
    pub common: Common,
    /// The command of cargo that runs the program.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<std::ffi::OsString>,
}

/// `airconv support`
#[derive(Debug, Args)]
pub(crate) struct Support {
    /// The converter; all when not given.
    #[arg(value_name = "CONVERTER")]
    pub converter: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

fn level(text: &str) -> Result<String, String> {
    Isa::parse(text).map(|_| text.to_owned()).map_err(why)
}

fn artefact_level(text: &str) -> Result<String, String> {
    artefact::level(text).map(|_| text.to_owned()).map_err(why)
}

/// What is wrong with an argument, without saying that it is one.
fn why(error: LlvmError) -> String {
    match error {
        LlvmError::Argument(message) => message,
        other => other.to_string(),
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() && x >= 0.0 => Ok(x),
        _ => Err("a tolerance is a finite number, zero or more".to_owned()),
    }
}

fn named_text(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

fn named_int(text: &str) -> Result<(String, i64), String> {
    let (name, value) = named_text(text)?;
    let n = value.parse().map_err(|_| format!("`{value}` is not an integer"))?;
    Ok((name, n))
}
