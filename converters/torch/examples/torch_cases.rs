//! Runs exported programs on the interpreter and compares with the outputs that PyTorch gave.
//!
//! usage: torch_cases FOLDER [PATTERN] [--rtol R] [--atol A] [--ir OUT]
//!
//! With `--ir` the programs are also written to the folder OUT in the hub's own format.
//!
//! A case is `NAME.pt2` with `NAME.npz`, or with the `.npz` of the name up to the first dot, or
//! that with `.ref`. It holds `in_0`, `in_1` ... and `out_0`, `out_1` ... by position. Prints one
//! line per case and a summary; ends with status 1 if a result is wrong.

#![allow(clippy::print_stdout)]

#[path = "../tests/common/judge.rs"]
mod judge;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use airconv_api::hub::IrWriter;
use airconv_api::{ReadOptions, Reader, Report, WriteOptions, Writer};
use airconv_ir::verify::{Stage, verify};
use airconv_torch::Pt2Reader;
use judge::Verdict;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut folder, mut pattern, mut rtol, mut atol) = (None, String::new(), 1e-4, 1e-5);
    let mut hub = None;
    while let Some(arg) = args.next() {
        let mut number = |slot: &mut f64| {
            *slot = args.next().and_then(|v| v.parse().ok()).unwrap_or(*slot);
        };
        match arg.as_str() {
            "--rtol" => number(&mut rtol),
            "--atol" => number(&mut atol),
            "--ir" => hub = args.next().map(PathBuf::from),
            _ if folder.is_none() => folder = Some(PathBuf::from(arg)),
            _ => pattern = arg,
        }
    }
    let Some(folder) = folder else {
        println!("usage: torch_cases FOLDER [PATTERN] [--rtol R] [--atol A] [--ir OUT]");
        return ExitCode::from(2);
    };
    let mut counts = [0usize; 4];
    for path in judge::cases(&folder, &pattern) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let written = hub.as_deref().map_or(Ok(()), |hub| write_hub(&path, hub));
        let verdict = match written {
            Ok(()) => judge::judged(&path, rtol, atol),
            Err(why) => Verdict::Wrong(why),
        };
        let (slot, line) = match verdict {
            Verdict::Pass(worst) => (0, format!("pass {name} {worst:.1e}")),
            Verdict::Refused(why) => (1, format!("refused {name}: {why}")),
            Verdict::Wrong(why) => (2, format!("WRONG {name}: {why}")),
            Verdict::NoReference => (3, format!("no reference {name}")),
        };
        counts[slot] += 1;
        println!("{line}");
    }
    let [pass, refused, wrong, without] = counts;
    println!("{pass} pass, {refused} refused, {wrong} wrong, {without} without reference");
    if wrong > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Writes a program that can be read in the hub's format.
fn write_hub(program: &Path, folder: &Path) -> Result<(), String> {
    let mut report = Report::default();
    let Ok(module) = Pt2Reader.read(program, &ReadOptions::default(), &mut report) else {
        return Ok(());
    };
    let verified = verify(&module, Stage::Canonical).map_err(|e| e[0].message.clone())?;
    let stem = program.file_stem().unwrap_or_default().to_string_lossy();
    let path = folder.join(format!("{stem}.ir"));
    IrWriter
        .write(&verified, &path, &WriteOptions::default(), &mut report)
        .map_err(|_| judge::messages(&report))
}
