//! Runs ONNX models on both executors and compares with what ONNX Runtime gave.
//!
//! usage: onnx REFERENCES MODEL.onnx ...
//!
//! REFERENCES is the folder of `corpus/references.py`: `ID.CASE.npz` with `in:NAME`, `out:NAME`.
//! Prints a line per model, case and executor; ends with status 1 if a result is wrong.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use airconv_api::compare::distance;
use airconv_api::{Executor, ReadOptions, Reader, Report, RunOptions, inputs, npz};
use airconv_ir::interp::Datum;
use airconv_ir::module::Module;
use airconv_ir::verify::{Stage, verify};
use airconv_onnx::OnnxReader;
use airconv_tch::{TchExecutor, TorchScriptExecutor};

/// How far an output may be off, relative to its greatest element.
const TOLERANCE: f64 = 1e-3;

fn messages(report: &Report) -> String {
    let all: Vec<&str> = report.diagnostics.iter().map(|d| d.message.as_str()).collect();
    all.join("; ").replace('\n', " ")
}

/// The references of a model, by the id that its package and name give it.
fn references(folder: &Path, model: &Path) -> Vec<PathBuf> {
    let stem = model.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let package = model.parent().and_then(Path::file_name).map(|s| s.to_string_lossy());
    let id = format!("{}__{stem}", package.unwrap_or_default());
    let files = ["A", "B", "C", "D"].into_iter().flat_map(|case| {
        [format!("{id}.{case}.npz"), format!("{stem}.{case}.npz")].map(|name| folder.join(name))
    });
    files.filter(|f| f.is_file()).collect()
}

fn run(executor: &dyn Executor, module: &Module, reference: &Path) -> Result<String, String> {
    let members = npz::read(reference).map_err(|e| e.to_string())?;
    let wanted: Vec<_> = members
        .iter()
        .filter_map(|(k, m)| Some((k.strip_prefix("out:")?.to_owned(), m.clone())))
        .collect();
    let given: BTreeMap<String, Datum> = inputs::from_members(module, members)?;
    let verified = verify(module, Stage::Imported).map_err(|e| format!("{:?}", e.first()))?;
    let mut report = Report::default();
    let options = RunOptions { threads: 1, ..RunOptions::default() };
    let start = Instant::now();
    let got = executor.run(&verified, &given, &options, &mut report);
    let got = got.map_err(|failed| format!("{failed:?}: {}", messages(&report)))?;
    let took = start.elapsed().as_millis();
    let mut worst = 0f64;
    for (name, want) in wanted {
        let Some((_, datum)) = got.iter().find(|(n, _)| *n == name) else { continue };
        let dtype = datum.as_array().map(|a| a.dtype);
        let want = want.into_array(dtype)?;
        let values = want.to_f64s().unwrap_or_default();
        let greatest = values.iter().filter(|v| v.is_finite()).fold(0f64, |m, v| m.max(v.abs()));
        let d = distance(datum, &want.into(), TOLERANCE, TOLERANCE * greatest);
        if !d.agrees() {
            return Err(format!("WRONG {name}: {d:?}"));
        }
        worst = worst.max(d.max_abs / greatest.max(1e-30));
    }
    Ok(format!("agrees {worst:.1e} {took} ms"))
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(folder) = args.next() else {
        println!("usage: onnx REFERENCES MODEL.onnx ...");
        return ExitCode::from(2);
    };
    let mut wrong = false;
    for path in args {
        let mut report = Report::default();
        let Ok(module) = OnnxReader.read(&path, &ReadOptions::default(), &mut report) else {
            println!("{}: not read: {}", path.display(), messages(&report));
            continue;
        };
        for reference in references(&folder, &path) {
            let executors: [&dyn Executor; 2] = [&TorchScriptExecutor, &TchExecutor];
            for executor in executors {
                let said = run(executor, &module, &reference).unwrap_or_else(|why| why);
                wrong |= said.starts_with("WRONG");
                let case = reference.file_stem().unwrap_or_default().to_string_lossy();
                println!("{case:50} {:11} {said}", executor.name());
            }
        }
    }
    if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
