//! Programs as native artefacts with a caller in C.
#![expect(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use airconv_api::Report;
use airconv_ir::array::Array;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
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

    /// The types of inputs, and of outputs.
    fn types(&self) -> [Vec<DType>; 2] {
        let module = self.module();
        let ty = |v: &ValueId| module.main().ty(*v).dtype().unwrap();
        let body = module.main().body();
        [&body.params, &body.results].map(|list| list.iter().map(ty).collect())
    }

    /// Numbers of about one, or any bytes.
    pub fn usual(&self) -> Vec<Vec<f32>> {
        let count = |shape: &[usize]| shape.iter().product();
        let [types, _] = self.types();
        let given = self.inputs.iter().zip(types).zip(1..);
        let list = given.map(|(((_, shape), ty), seed)| {
            let list = numbers(count(shape), seed);
            let range = |x: f32| match ty {
                DType::U8 => ((x + 1.0) * 128.0).floor(),
                DType::I8 => (x * 128.0).floor(),
                _ => x,
            };
            list.into_iter().map(range).collect()
        });
        list.collect()
    }

    fn arrays(&self, values: &[Vec<f32>]) -> Vec<Array> {
        let [types, _] = self.types();
        let array = |shape: &[usize], x: &[f32], ty| match ty {
            DType::F32 => Array::from_vec(shape.to_vec(), x.to_vec()),
            _ => {
                let whole: Vec<i64> = x.iter().map(|&x| x as i64).collect();
                Array::from_i64s(ty, shape.to_vec(), &whole)
            }
        };
        let given = self.inputs.iter().zip(values).zip(types);
        given.map(|(((_, shape), x), ty)| array(shape, x, ty).unwrap()).collect()
    }

    pub fn data(&self, values: &[Vec<f32>]) -> BTreeMap<String, Datum> {
        let names = self.inputs.iter().map(|(name, _)| (*name).to_owned());
        names.zip(self.arrays(values).into_iter().map(Datum::from)).collect()
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

    /// The driver's source, for one level or for what artefacts of IR have.
    pub fn driver(&self, levels: &[Isa]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let mut report = Report::default();
        let made = dir.path().join("net.ll");
        let done = build(&self.module(), &made, Kind::Text, &settings(levels), &mut report);
        assert!(done.is_ok(), "{:?}", report.diagnostics);
        std::fs::read_to_string(dir.path().join("net.c")).unwrap()
    }

    /// Compiles the caller with an artefact.
    pub fn compile(&self, folder: &Path, artefact: &[&str], sanitizer: Option<Sanitizer>) {
        let mut sizes = String::new();
        let [ins, outs] = self.types();
        let bytes = |(shape, ty): (&Vec<usize>, DType)| {
            (shape.iter().product::<usize>() * ty.bits() as usize / 8).to_string()
        };
        let list = |all: Vec<String>| all.join(", ");
        for (i, (_, shape)) in self.inputs.iter().enumerate() {
            let dims = list(shape.iter().map(usize::to_string).collect());
            let _ = writeln!(sizes, "static const int64_t shape{i}[] = {{{dims}}};");
        }
        let shapes = list((0..self.inputs.len()).map(|i| format!("shape{i}")).collect());
        let ins = list(self.inputs.iter().map(|(_, s)| s).zip(ins).map(bytes).collect());
        let outs = list(self.outputs.iter().zip(outs).map(bytes).collect());
        let _ = write!(
            sizes,
            "static const int64_t *const shapes[] = {{{shapes}}};\n\
             static const size_t in_bytes[] = {{{ins}}}, out_bytes[] = {{{outs}}};\n"
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

    /// The bytes that the interpreter gives, one output after the other.
    pub fn bytes(&self, values: &[Vec<f32>]) -> Vec<u8> {
        let mut interpreter = Interpreter::new(self.module(), EvalLimits::default());
        let outputs = interpreter.run(&self.data(values)).unwrap();
        outputs.iter().flat_map(|(_, d)| d.as_array().unwrap().to_bytes().unwrap()).collect()
    }

    /// Runs the caller, whose numbers are floats.
    pub fn run(&self, folder: &Path, values: &[Vec<f32>], threads: usize) -> Vec<f32> {
        self.run_bytes(folder, values, threads);
        floats(&folder.join("out"))
    }

    /// Runs the caller.
    pub fn run_bytes(&self, folder: &Path, values: &[Vec<f32>], threads: usize) -> Vec<u8> {
        let arrays = self.arrays(values);
        let bytes: Vec<u8> = arrays.iter().flat_map(|a| a.to_bytes().unwrap()).collect();
        std::fs::write(folder.join("in"), bytes).unwrap();
        finished(Command::new("./caller").arg(threads.to_string()).current_dir(folder));
        std::fs::read(folder.join("out")).unwrap()
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
