//! Programs as native artefacts with a caller in C.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use airconv_api::Report;
use airconv_ir::array::Array;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::Module;
use airconv_ir::text::{ParseOptions, parse};
use airconv_llvm::Isa;
use airconv_llvm::artefact::{Kind, Sanitizer, Settings, build};

const CALLER: &str = include_str!("../caller_of_net.c");

/// A program with the shapes of its inputs and of its outputs.
pub struct Net {
    pub text: String,
    pub inputs: Vec<(&'static str, Vec<usize>)>,
    pub outputs: Vec<Vec<usize>>,
}

pub fn numbers(len: usize, mut seed: u64) -> Vec<f32> {
    (0..len)
        .map(|_| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

impl Net {
    pub fn module(&self) -> Module {
        parse(&self.text, &ParseOptions::default()).unwrap()
    }

    pub fn usual(&self) -> Vec<Vec<f32>> {
        let count = |shape: &[usize]| shape.iter().product();
        self.inputs.iter().zip(1..).map(|((_, shape), seed)| numbers(count(shape), seed)).collect()
    }

    pub fn data(&self, values: &[Vec<f32>]) -> BTreeMap<String, Datum> {
        let array = |((name, shape), x): (&(&str, Vec<usize>), &Vec<f32>)| {
            let array = Array::from_vec(shape.clone(), x.clone()).unwrap();
            ((*name).to_owned(), array.into())
        };
        self.inputs.iter().zip(values).map(array).collect()
    }

    /// What the interpreter gives, one output after the other, and the same of the sizes of all
    /// numbers, which errors may be a part of.
    pub fn expected(&self, values: &[Vec<f32>]) -> [Vec<f32>; 2] {
        let run = |text: &str, values: &[Vec<f32>]| {
            let module = parse(text, &ParseOptions::default()).unwrap();
            let mut interpreter = Interpreter::new(module, EvalLimits::default());
            joined(&interpreter.run(&self.data(values)).unwrap())
        };
        let size = |line: &str| match line.starts_with("tensor") {
            true => line.replace('-', ""),
            false => line.to_owned(),
        };
        let sizes: Vec<String> = self.text.lines().map(size).collect();
        let of = |x: &Vec<f32>| x.iter().map(|x| x.abs()).collect();
        let absolute: Vec<Vec<f32>> = values.iter().map(of).collect();
        [run(&self.text, values), run(&(sizes.join("\n") + "\n"), &absolute)]
    }

    /// Builds an artefact with its caller.
    pub fn build(&self, folder: &Path, settings: &Settings) {
        let mut report = Report::default();
        let made = folder.join("net.a");
        let done = build(&self.module(), &made, Kind::Archive, settings, &mut report);
        assert!(done.is_ok(), "{:?}", report.diagnostics);
        self.compile(folder, &["net.a"], settings.sanitizer);
    }

    /// Compiles the caller with an artefact.
    pub fn compile(&self, folder: &Path, artefact: &[&str], sanitizer: Option<Sanitizer>) {
        let mut sizes = String::new();
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        let list = |all: Vec<String>| all.join(", ");
        for (i, (_, shape)) in self.inputs.iter().enumerate() {
            let dims = list(shape.iter().map(usize::to_string).collect());
            let _ = writeln!(sizes, "static const int64_t shape{i}[] = {{{dims}}};");
        }
        let shapes = list((0..self.inputs.len()).map(|i| format!("shape{i}")).collect());
        let ins = list(self.inputs.iter().map(|(_, s)| count(s).to_string()).collect());
        let outs = list(self.outputs.iter().map(|s| count(s).to_string()).collect());
        let all: usize = self.outputs.iter().map(|s| count(s)).sum();
        let _ = write!(
            sizes,
            "static const int64_t *const shapes[] = {{{shapes}}};\n\
             static const int64_t in_count[] = {{{ins}}}, out_count[] = {{{outs}}}, out_all = {all};\n"
        );
        std::fs::write(folder.join("sizes.h"), sizes).unwrap();
        std::fs::write(folder.join("caller.c"), CALLER).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "caller.c"]);
        cc.args(artefact)
            .args(sanitizer.map(Sanitizer::flag))
            .args(["-o", "caller", "-lm", "-pthread"]);
        finished(cc.current_dir(folder));
    }

    /// Runs the caller.
    pub fn run(&self, folder: &Path, values: &[Vec<f32>], threads: usize) -> Vec<f32> {
        let bytes: Vec<u8> = values.iter().flatten().flat_map(|x| x.to_ne_bytes()).collect();
        std::fs::write(folder.join("in"), bytes).unwrap();
        finished(Command::new("./caller").arg(threads.to_string()).current_dir(folder));
        floats(&folder.join("out"))
    }
}

/// Compares numbers, whose errors may be so much of the sizes of what was added.
pub fn compare(got: &[f32], [wanted, sizes]: &[Vec<f32>; 2], within: f32) {
    assert_eq!(got.len(), wanted.len());
    for (i, ((x, y), size)) in got.iter().zip(wanted).zip(sizes).enumerate() {
        let fine = match y.is_finite() {
            // Subnormal numbers are zeros in native code.
            true => (x - y).abs() <= within * size + 1e-34,
            false => x == y || x.is_nan() && y.is_nan(),
        };
        assert!(fine, "number {i}: {x} not {y}, of sums of up to {size}");
    }
}

/// The numbers of a file.
pub fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_ne_bytes(b.try_into().unwrap())).collect()
}

pub fn joined(outputs: &[(String, Datum)]) -> Vec<f32> {
    let floats = |d: &Datum| d.as_array().unwrap().as_slice::<f32>().unwrap().to_vec();
    outputs.iter().flat_map(|(_, d)| floats(d)).collect()
}

pub fn finished(command: &mut Command) -> String {
    let out = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(out.status.success(), "{command:?}: {}{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

pub fn settings(levels: &[Isa]) -> Settings {
    Settings { levels: levels.to_vec(), ..Settings::default() }
}
