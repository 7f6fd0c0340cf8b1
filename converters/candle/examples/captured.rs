//! Compares recorded candle programs with candle itself:
//!
//! ```text
//! captured RECORDINGS RESULTS [EXECUTOR]
//! ```
//!
//! For every `NAME.recording` in the one folder, the program is run on `NAME.in.npz` of the other by
//! ONNX Runtime (or `interpreter`), and what it gives is compared with `NAME.out.npz`. Prints a line
//! for each, as a row of a table in Markdown; `failed.txt` names those that were not recorded. The
//! exit code says whether all agree.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use airconv_api::inputs::from_members;
use airconv_api::interpreter::InterpreterExecutor;
use airconv_api::{Executor, ReadOptions, Reader, Report, RunOptions, compare, npz};
use airconv_candle::capture::RecordingReader;
use airconv_ir::verify::{Stage, verify};
use airconv_onnx::OrtExecutor;

/// What is allowed besides rounding.
const TOLERANCE: f64 = 1e-4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (recordings, results, executor): (_, _, Box<dyn Executor>) = match arguments[..] {
        [recordings, results] => (recordings, results, Box::new(OrtExecutor)),
        [recordings, results, "interpreter"] => (recordings, results, Box::new(InterpreterExecutor)),
        _ => {
            eprintln!("captured RECORDINGS RESULTS [interpreter]");
            return ExitCode::from(2);
        }
    };
    let (mut good, mut bad) = (0, 0);
    for path in recorded(Path::new(recordings)) {
        let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        match agrees(&path, Path::new(results), &name, executor.as_ref()) {
            Ok(row) => {
                good += 1;
                println!("| {name} | {row} |");
            }
            Err(why) => {
                bad += 1;
                println!("| {name} | - | - | {why} |");
            }
        }
    }
    let failed = std::fs::read_to_string(Path::new(results).join("failed.txt")).unwrap_or_default();
    for line in failed.lines() {
        let (name, why) = line.split_once('\t').unwrap_or((line, ""));
        println!("| {name} | - | - | candle itself fails: {why} |");
        bad += 1;
    }
    eprintln!("{good} of {} agree", good + bad);
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn recorded(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut out: Vec<PathBuf> = entries
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "recording"))
        .collect();
    out.sort();
    out
}

/// Calls, symbolic sizes and the greatest difference; else what is wrong.
fn agrees(
    path: &Path,
    results: &Path,
    name: &str,
    executor: &dyn Executor,
) -> Result<String, String> {
    let mut report = Report::default();
    let said = |report: &Report| {
        let all: Vec<String> = report.diagnostics.iter().map(|d| d.to_string()).collect();
        all.join("; ").replace('\n', " ")
    };
    let module = RecordingReader
        .read(path, &ReadOptions::default(), &mut report)
        .map_err(|_| said(&report))?;
    let lossy = report.refused(&[]);
    if lossy {
        return Err(said(&report));
    }
    let verified = verify(&module, Stage::Imported)
        .map_err(|all| all.iter().map(|d| d.to_string()).collect::<Vec<_>>().join("; "))?;
    let members = |kind: &str| {
        npz::read(&results.join(format!("{name}.{kind}.npz"))).map_err(|e| e.to_string())
    };
    let inputs = from_members(&module, members("in")?)?;
    let got = executor
        .run(&verified, &inputs, &RunOptions::default(), &mut report)
        .map_err(|_| said(&report))?;
    let mut wanted: BTreeMap<String, npz::Member> = members("out")?;
    let mut worst = 0f64;
    for (output, datum) in &got {
        let want = wanted.remove(output).ok_or_else(|| format!("`{output}` is not expected"))?;
        let dtype = datum.as_array().map(|a| a.dtype);
        let want = want.into_array(dtype)?.into();
        let distance = compare::distance(datum, &want, TOLERANCE, TOLERANCE);
        if !distance.agrees() {
            return Err(format!("`{output}` differs by {:.1e}{}", distance.max_abs, distance.structural.map(|s| format!(", {s}")).unwrap_or_default()));
        }
        worst = worst.max(distance.max_abs);
    }
    if let Some(missing) = wanted.keys().next() {
        return Err(format!("`{missing}` is missing"));
    }
    let f = module.main();
    let sizes: Vec<&str> = f.symbols.values().map(|s| s.name.as_str()).collect();
    let sizes = if sizes.is_empty() { "fixed".to_owned() } else { sizes.join(", ") };
    Ok(format!("{} | {sizes} | {worst:.1e}", f.body().nodes.len()))
}
