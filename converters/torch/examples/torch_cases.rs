//! Runs exported programs on the interpreter and compares with the outputs that PyTorch gave.
//!
//! usage: torch_cases FOLDER [PATTERN] [--rtol R] [--atol A]
//!
//! A case is `NAME.pt2` with `NAME.npz`, or with the `.npz` of the name up to the first dot, or
//! that with `.ref`. It holds `in_0`, `in_1` ... and `out_0`, `out_1` ... by position. Prints one
//! line per case and a summary; ends with status 1 if a result is wrong.

#![allow(clippy::print_stdout)]

#[path = "../tests/common/judge.rs"]
mod judge;

use std::path::PathBuf;
use std::process::ExitCode;

use judge::Verdict;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut folder, mut pattern, mut rtol, mut atol) = (None, String::new(), 1e-4, 1e-5);
    while let Some(arg) = args.next() {
        let mut number = |slot: &mut f64| {
            *slot = args.next().and_then(|v| v.parse().ok()).unwrap_or(*slot);
        };
        match arg.as_str() {
            "--rtol" => number(&mut rtol),
            "--atol" => number(&mut atol),
            _ if folder.is_none() => folder = Some(PathBuf::from(arg)),
            _ => pattern = arg,
        }
    }
    let Some(folder) = folder else {
        println!("usage: torch_cases FOLDER [PATTERN] [--rtol R] [--atol A]");
        return ExitCode::from(2);
    };
    let mut counts = [0usize; 4];
    for path in judge::cases(&folder, &pattern) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (slot, line) = match judge::judged(&path, rtol, atol) {
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
