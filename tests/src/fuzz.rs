//! Mutation fuzzing of the readers, and of what runs on a program that was read.
//!
//! A case is made from a seed and a number alone. It goes through reading, verification, the
//! `basic` and `fuse` pipelines, specialisation, the writers and the interpreter; a panic is caught and named
//! by its place.

pub mod archives;
pub mod mutate;
pub mod onnx;
pub mod seeds;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};

use airconv_api::{ReadOptions, Report, WriteOptions, inputs};
use airconv_ir::array::Array;
use airconv_ir::dim::Dim;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::Module;
use airconv_ir::pass::{PassCx, PassOptions, Pipeline, run_pipeline};
use airconv_ir::specialize::{Given, size_names, specialize};
use airconv_ir::text::{self, ParseOptions, PrintOptions};
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_ir::wire;
use airconv_onnx::OnnxReader;
use airconv_onnx::decode::{Limits, decode_model, scan_model};
use airconv_onnx::encode::encode_model;
use airconv_onnx::export::export_model;
use airconv_onnx::import::import_model;
use airconv_torch::{Pt2Reader, ScriptReader};
use bytes::Bytes;

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `.onnx`.
    Onnx,
    /// `.ir`.
    Ir,
    /// `.irt`.
    Irt,
    /// `.pt2`: archives of `torch.export`.
    Pt2,
    /// `.pt`: TorchScript.
    Script,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [Kind::Onnx, Kind::Ir, Kind::Irt, Kind::Pt2, Kind::Script];

    /// The file extension.
    pub fn name(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::Ir => "ir",
            Self::Irt => "irt",
            Self::Pt2 => "pt2",
            Self::Script => "pt",
        }
    }
}

/// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of a case.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut rng = Self(seed ^ number.wrapping_mul(0xa24b_aed4_963e_e407));
        rng.bits();
        rng
    }
    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `n`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.bits() % n as u64) as usize }
    }
    /// Whether a thing of one chance in `n` happens.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    /// One of the items, unless there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let at = self.below(items.len());
        items.get(at)
    }
}

/// How far a case came, or where it panicked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It is no program of the format.
    NotRead,
    /// The verifier refused it.
    NotVerified,
    /// It was run through everything, and the interpreter failed by name.
    Refused,
    /// It was run and gave results.
    Ran,
    /// Something panicked: the stage, the place and the message.
    Panicked(String),
    /// A stage broke a promise without a panic: what it made was not accepted.
    Broken(String),
}

static STAGE: AtomicU8 = AtomicU8::new(0);
const STAGES: [&str; 11] = [
    "mutate",
    "read",
    "verify",
    "basic",
    "fuse",
    "onnx-write",
    "ir-write",
    "irt-write",
    "interpret",
    "specialize",
    "torch-write",
];

/// What the case at hand is doing, for a watchdog.
pub fn stage() -> &'static str {
    STAGES[usize::from(STAGE.load(Ordering::Relaxed)).min(STAGES.len() - 1)]
}

fn at(stage: usize) {
    STAGE.store(stage as u8, Ordering::Relaxed);
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics silent and keeps their places; once per process.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|l| format!("{}:{}", l.file(), l.line()));
        let payload = info.payload();
        let message = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|&s| s.to_owned()))
            .unwrap_or_default();
        let text = format!("{}: {message}", place.unwrap_or_default());
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            let trace = std::backtrace::Backtrace::force_capture();
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("{text}\n{trace}\n").as_bytes(),
            );
        }
        PANIC.with(|p| *p.borrow_mut() = Some(text));
    }));
}

/// What the files of a format are mutated from.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// By format, in the order of [`Kind::ALL`].
    pub files: [Vec<Vec<u8>>; 5],
}

impl Corpus {
    /// The programs that are built in.
    pub fn built_in() -> Self {
        let mut corpus = Self::default();
        for model in seeds::models() {
            if let Ok(bytes) = encode_model(&model) {
                corpus.add_onnx(bytes);
            }
        }
        corpus
    }
    /// Adds a model, also in the other formats if it can be read.
    pub fn add_onnx(&mut self, bytes: Vec<u8>) {
        let read = catch_unwind(AssertUnwindSafe(|| read(Kind::Onnx, &bytes)));
        if let Ok(Some(module)) = read {
            let mut out = Cursor::new(Vec::new());
            if wire::write_ir_to(&module, &mut out, &wire::WriteOptions::default()).is_ok() {
                self.files[1].push(out.into_inner());
            }
            self.files[2].push(text::print(&module, &PrintOptions::default()).into_bytes());
            let (exported, script) = archives::written(&module);
            self.files[3].extend(exported);
            self.files[4].extend(script);
        }
        self.files[0].push(bytes);
    }
    /// Adds a file of one format.
    pub fn add(&mut self, kind: Kind, bytes: Vec<u8>) {
        self.files[kind as usize].push(bytes);
    }
    /// The file of a case.
    pub fn case(&self, kind: Kind, seed: u64, number: u64) -> Vec<u8> {
        at(0);
        let mut rng = Rng::new(seed, number);
        mutate::case(kind, &self.files[kind as usize], &mut rng)
    }
}

fn read_options() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.limits.expanded_bytes = 64 << 20;
    options.limits.decoded_bytes = 256 << 20;
    options
}

/// Reads a file in memory.
pub fn read(kind: Kind, bytes: &[u8]) -> Option<Module> {
    match kind {
        Kind::Onnx => {
            let bytes = Bytes::copy_from_slice(bytes);
            let mut limits = Limits::default();
            limits.max_decoded_bytes = 256 << 20;
            scan_model(&bytes, &limits).ok()?;
            let model = decode_model(bytes, &limits).ok()?;
            import_model(&model, None, &read_options(), &mut Report::default()).ok()
        }
        Kind::Ir => {
            wire::read_ir_bytes(Bytes::copy_from_slice(bytes), &wire::Limits::default()).ok()
        }
        Kind::Irt => text::parse(std::str::from_utf8(bytes).ok()?, &ParseOptions::default()).ok(),
        Kind::Pt2 => {
            let bytes = Bytes::copy_from_slice(bytes);
            Pt2Reader.read_bytes(bytes, &read_options(), &mut Report::default()).ok()
        }
        Kind::Script => {
            let mut options = read_options();
            options.inputs = archives::input_types(bytes);
            let bytes = Bytes::copy_from_slice(bytes);
            ScriptReader.read_bytes(bytes, &options, &mut Report::default()).ok()
        }
    }
}

/// Runs a file through everything.
pub fn drive(kind: Kind, bytes: &[u8]) -> Outcome {
    PANIC.with(|p| *p.borrow_mut() = None);
    match catch_unwind(AssertUnwindSafe(|| all_stages(kind, bytes))) {
        Ok(outcome) => outcome,
        Err(_) => {
            let text = PANIC.with(|p| p.borrow_mut().take()).unwrap_or_default();
            Outcome::Panicked(format!("{} {text}", stage()))
        }
    }
}

fn all_stages(kind: Kind, bytes: &[u8]) -> Outcome {
    at(1);
    let Some(module) = read(kind, bytes) else { return Outcome::NotRead };
    at(2);
    let foreign = !matches!(kind, Kind::Ir | Kind::Irt);
    let level = if foreign { Stage::Imported } else { Stage::Canonical };
    if let Err(errors) = verify(&module, level) {
        if foreign {
            let first = errors.first().map(|d| d.message.clone()).unwrap_or_default();
            return Outcome::Broken(format!("read but not verified: {first}"));
        }
        if verify(&module, Stage::Imported).is_err() {
            return Outcome::NotVerified;
        }
    }
    for (stage, name) in [(3, "basic"), (4, "fuse")] {
        at(stage);
        let mut optimised = module.clone();
        let Ok(pipeline) = Pipeline::parse(name) else { continue };
        let mut cx = PassCx::new(PassOptions {
            verify: Some(Stage::Imported),
            fold_operand_bytes: 16 << 20,
            ..PassOptions::default()
        });
        if let Err(e) = run_pipeline(&mut optimised, &pipeline, &mut cx) {
            return Outcome::Broken(format!("{name}: {e}"));
        }
        if name == "fuse" {
            write_all(&optimised);
        }
    }
    at(9);
    for given in [sizes_given(&module), inputs_given(&module)] {
        let Ok(made) = specialize(module.clone(), &given, &[&OnnxReader]) else { continue };
        if let Err(errors) = verify(&made, Stage::Imported) {
            let first = errors.first().map(|d| d.message.clone()).unwrap_or_default();
            return Outcome::Broken(format!("specialised but not verified: {first}"));
        }
    }
    write_all(&module);
    at(8);
    if elements(&module).is_none_or(|n| n > 1 << 20) {
        return Outcome::Refused;
    }
    let Ok(given) = inputs::seeded(&module, 1, &BTreeMap::new()) else { return Outcome::Refused };
    let limits = EvalLimits { array_bytes: 64 << 20, steps: 20_000, depth: 32 };
    // Once more, with numbers that no one expects.
    let mut rng = Rng::new(1, bytes.len() as u64);
    let extreme = given.iter().map(|(name, v)| (name.clone(), extreme(v, &mut rng))).collect();
    let _ = Interpreter::new(module.clone(), limits).run(&extreme);
    match Interpreter::new(module, limits).run(&given) {
        Ok(_) => Outcome::Ran,
        Err(_) => Outcome::Refused,
    }
}

/// All sizes fixed.
fn sizes_given(module: &Module) -> Given {
    let dims = size_names(module).into_iter().map(|name| (name, 2)).collect();
    Given { dims, max_nodes: MOST_MADE, ..Given::default() }
}

/// All small inputs bound.
fn inputs_given(module: &Module) -> Given {
    let few = elements(module).is_some_and(|n| n <= 1 << 12);
    let made = if few { inputs::seeded(module, 2, &BTreeMap::new()).ok() } else { None };
    Given { binds: made.unwrap_or_default(), max_nodes: MOST_MADE, ..Given::default() }
}

/// The most nodes that specialising makes.
const MOST_MADE: u64 = 20_000;

/// An input with some elements replaced.
fn extreme(value: &Datum, rng: &mut Rng) -> Datum {
    let Some(a) = value.as_array() else { return value.clone() };
    if a.dtype.is_integer() {
        let Some(mut v) = a.to_i64s() else { return value.clone() };
        for item in &mut v {
            if rng.one_in(2) {
                *item = rng.pick(mutate::INTS).copied().unwrap_or(0);
            }
        }
        Array::from_i64s(a.dtype, a.shape.clone(), &v).map_or_else(|_| value.clone(), Datum::from)
    } else {
        let Some(mut v) = a.to_f64s() else { return value.clone() };
        for item in &mut v {
            if rng.one_in(2) {
                *item = f64::from(rng.pick(mutate::FLOATS).copied().unwrap_or(0.0));
            }
        }
        Array::from_f64s(a.dtype, a.shape.clone(), &v).map_or_else(|_| value.clone(), Datum::from)
    }
}

/// Writes a module in every form, in memory.
fn write_all(module: &Module) {
    at(5);
    if let Ok(verified) = verify(module, Stage::Imported) {
        let exported = export_model(&verified, &WriteOptions::default(), &mut Report::default());
        if let Ok(model) = exported {
            let _ = encode_model(&model);
        }
    }
    at(6);
    let _ = wire::write_ir_to(module, &mut Cursor::new(Vec::new()), &wire::WriteOptions::default());
    let bytes: u64 =
        module.tensors.values().filter_map(|t| t.byte_len()).fold(0, u64::saturating_add);
    at(10);
    if bytes < 16 << 20 {
        archives::written(module);
    }
    at(7);
    if bytes < 16 << 20 {
        let _ = text::print(module, &PrintOptions::default());
    }
}

/// The elements of all inputs at the sizes that [`inputs::seeded`] takes.
fn elements(module: &Module) -> Option<u64> {
    let f = module.main();
    let mut all = 0u64;
    for &param in &f.body().params {
        let Type::Tensor(t) = f.ty(param) else { return None };
        let mut n = 1u64;
        for d in &t.shape {
            let size = |d: &Dim| d.eval(&|s| Some(f.symbols.get(s)?.range.min.unwrap_or(1).max(1)));
            n = n.saturating_mul(u64::try_from(size(d)?).ok()?);
        }
        all = all.saturating_add(n);
    }
    Some(all)
}
