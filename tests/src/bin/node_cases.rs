//! Runs the ONNX node tests through the reader and the interpreter and prints a table.
//!
//! usage: node_cases FOLDER [PATTERN] [--write OUT --opset N] [--opt LIST] [--executor NAME] [--native-only] [--isa LEVEL]
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use airconv_api::{Executor, ReadOptions, Report, RunOptions, WriteOptions, Writer};
use airconv_ir::module::Module;
use airconv_ir::pass::{PassCx, PassOptions, Pipeline, run_pipeline};
use airconv_ir::verify::{Stage, verify};
use airconv_onnx::OnnxWriter;
use airconv_tests::node_case::{Verdict, all_cases, by_executor, first_error, read, run_changed};

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_default());
    let mut pattern = String::new();
    let (mut out, mut opset) = (None, None);
    let mut passes = "none".to_owned();
    let mut executor = "interpreter".to_owned();
    let mut options = RunOptions::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--write" => out = args.next().map(PathBuf::from),
            "--opt" => passes = args.next().unwrap_or_default(),
            "--executor" => executor = args.next().unwrap_or_default(),
            "--native-only" => options.native_only = true,
            "--isa" => options.isa = args.next(),
            "--opset" => opset = args.next().and_then(|v| v.parse().ok()),
            _ => pattern = arg,
        }
    }
    if let Some(out) = &out {
        std::fs::create_dir_all(out).unwrap_or_else(|e| panic!("{}: {e}", out.display()));
    }
    let chosen = executor_named(&executor);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for case in all_cases(&folder) {
        let name = case.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if !name.contains(&pattern) {
            continue;
        }
        let (label, why) = match &out {
            Some(out) => write(&case, out, &name, opset),
            None => match run_changed(
                &case,
                &|m| optimise(m, &passes),
                &by_executor(&*chosen, &options),
            ) {
                Verdict::Pass => ("pass", String::new()),
                Verdict::NotRead(e) => ("not read", e),
                Verdict::NotRun(e) => ("not run", e),
                Verdict::Wrong(e) => ("WRONG", e),
            },
        };
        *counts.entry(label).or_default() += 1;
        if !why.is_empty() {
            println!("{label:9} {name}: {}", why.replace('\n', " "));
        }
    }
    println!("{counts:?}");
}

/// Under these flags generated C compiles without a word, and its faults end the run.
const C_FLAGS: &str = "-std=c11 -O1 -Wall -Wextra -Werror -pedantic -fsanitize=address,undefined \
                       -fno-sanitize-recover=all";

/// An executor by name.
fn executor_named(name: &str) -> Box<dyn Executor> {
    match name {
        "kernel" => Box::new(airconv_kernel::executor::KernelExecutor),
        "c" => Box::new(airconv_kernel::c::CExecutor {
            flags: C_FLAGS.split(' ').map(str::to_owned).collect(),
        }),
        "llvm" => Box::new(airconv_llvm::executor::LlvmExecutor),
        "interpreter" => Box::new(airconv_api::interpreter::InterpreterExecutor),
        other => panic!("there is no executor `{other}` here"),
    }
}

/// Runs passes, with the module verified after each.
fn optimise(module: &mut Module, passes: &str) -> Result<(), String> {
    let pipeline = Pipeline::parse(passes).map_err(|e| e.to_string())?;
    let mut cx =
        PassCx::new(PassOptions { verify: Some(Stage::Imported), ..PassOptions::default() });
    run_pipeline(module, &pipeline, &mut cx).map(|_| ()).map_err(|e| e.to_string())
}

/// Reads a case's model and writes it to `out/<case>.onnx`.
fn write(case: &Path, out: &Path, name: &str, opset: Option<i64>) -> (&'static str, String) {
    let (module, report) = read(&case.join("model.onnx"), &ReadOptions::default());
    let Some(module) = module else { return ("not read", first_error(&report)) };
    let verified = match verify(&module, Stage::Imported) {
        Ok(v) => v,
        Err(errors) => {
            let text = errors.first().map(ToString::to_string).unwrap_or_default();
            return ("invalid", text);
        }
    };
    let mut report = Report::default();
    let options = WriteOptions { opset, ..Default::default() };
    match OnnxWriter.write(&verified, &out.join(format!("{name}.onnx")), &options, &mut report) {
        Ok(()) => ("written", String::new()),
        Err(_) => ("refused", first_error(&report)),
    }
}
