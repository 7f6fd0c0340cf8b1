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

#[path = "../tests/common/captured.rs"]
mod captured;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use airconv_api::Executor;
use airconv_api::interpreter::InterpreterExecutor;
use airconv_onnx::OrtExecutor;

use captured::agrees;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (recordings, results, executor): (_, _, Box<dyn Executor>) = match arguments[..] {
        [recordings, results] => (recordings, results, Box::new(OrtExecutor)),
        [recordings, results, "interpreter"] => {
            (recordings, results, Box::new(InterpreterExecutor))
        }
        _ => {
            eprintln!("captured RECORDINGS RESULTS [interpreter]");
            return ExitCode::from(2);
        }
    };
    let (mut good, mut bad) = (0, 0);
    for path in recorded(Path::new(recordings)) {
        let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        match agrees(&path, Path::new(results), &name, executor.as_ref()) {
            Ok(got) => {
                good += 1;
                let sizes =
                    if got.sizes.is_empty() { "fixed".to_owned() } else { got.sizes.join(", ") };
                println!("| {name} | {} | {sizes} | {:.1e} |", got.nodes, got.worst);
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
