//! Runs exported programs on the interpreter and compares with the outputs that PyTorch gave.
//!
//! usage: torch_cases FOLDER [PATTERN] [--rtol R] [--atol A] [--ir OUT]
//!
//! With `--ir` the programs are also written to the folder OUT in the hub's own format.
//!
//! A case is `NAME.pt2` (or `NAME.pt`) with `NAME.npz`, or with the `.npz` of the name up to the
//! first dot, or that with `.ref`. It holds `in_0`, `in_1` ... and `out_0`, `out_1` ... by
//! position. Prints one line per case and a summary; ends with status 1 if a result is wrong.

#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use airconv_api::hub::IrWriter;
use airconv_api::interpreter::InterpreterExecutor;
use airconv_api::npz::{self, Member};
use airconv_api::{
    Executor, ReadOptions, Reader, Report, RunOptions, WriteOptions, Writer, compare,
};
use airconv_ir::array::{Array, RoundMode, cast};
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;
use airconv_ir::module::{InputRole, Module, OutputRole};
use airconv_ir::verify::{Stage, verify};
use airconv_torch::Pt2Reader;

enum Verdict {
    Pass(f64),
    Refused(String),
    Wrong(String),
    NoReference,
}

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
    for path in cases(&folder, &pattern) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (slot, line) = match case(&path, hub.as_deref(), rtol, atol) {
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

fn cases(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut out: Vec<PathBuf> = entries
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "pt2"))
        .filter(|p| p.to_string_lossy().contains(pattern))
        .collect();
    out.sort();
    out
}

fn reference(path: &Path) -> Option<BTreeMap<String, Member>> {
    let name = path.file_name()?.to_str()?;
    let first = name.split('.').next()?;
    let stem = path.file_stem()?.to_str()?;
    let candidates = [format!("{stem}.npz"), format!("{first}.npz"), format!("{first}.ref.npz")];
    let found = candidates.iter().map(|n| path.with_file_name(n)).find(|p| p.is_file())?;
    npz::read(&found).ok()
}

fn case(path: &Path, hub: Option<&Path>, rtol: f64, atol: f64) -> Verdict {
    let Some(members) = reference(path) else { return Verdict::NoReference };
    let mut report = Report::default();
    let options = ReadOptions::default();
    let module = match Pt2Reader.read(path, &options, &mut report) {
        Ok(module) => module,
        Err(_) => return Verdict::Refused(messages(&report)),
    };
    if let Some(folder) = hub {
        if let Err(why) = write_hub(&module, &folder.join(path.file_stem().unwrap_or_default())) {
            return Verdict::Wrong(why);
        }
    }
    match run(&module, members, rtol, atol) {
        Ok(worst) => Verdict::Pass(worst),
        Err(verdict) => verdict,
    }
}

fn write_hub(module: &Module, stem: &Path) -> Result<(), String> {
    let verified = verify(module, Stage::Canonical).map_err(|e| e[0].message.clone())?;
    let mut report = Report::default();
    let path = PathBuf::from(format!("{}.ir", stem.display()));
    IrWriter
        .write(&verified, &path, &WriteOptions::default(), &mut report)
        .map_err(|_| messages(&report))
}

fn messages(report: &Report) -> String {
    let all: Vec<String> = report.diagnostics.iter().map(|d| d.message.clone()).collect();
    all.join("; ")
}

/// An array in a dtype; NumPy has no `bf16`, which is kept as `f32`.
fn of_dtype(member: Member, dtype: Option<DType>) -> Result<Array, String> {
    let array = member.into_array(dtype)?;
    match dtype {
        Some(DType::BF16) => {
            cast(&array, DType::BF16, true, RoundMode::Nearest).map_err(|e| e.to_string())
        }
        _ => Ok(array),
    }
}

fn run(
    module: &Module,
    mut members: BTreeMap<String, Member>,
    rtol: f64,
    atol: f64,
) -> Result<f64, Verdict> {
    let f = module.main();
    let mut inputs = BTreeMap::new();
    let given = f.inputs.iter().zip(&f.body().params);
    let users = given.filter(|(i, _)| matches!(i.role, InputRole::User { .. }));
    for (position, (input, value)) in users.enumerate() {
        let dtype = f.ty(*value).dtype();
        if let Some(member) = members.remove(&format!("in_{position}")) {
            let array = of_dtype(member, dtype).map_err(Verdict::Wrong)?;
            inputs.insert(input.name.clone(), Datum::from(array));
        }
    }
    let verified = verify(module, Stage::Canonical)
        .map_err(|e| Verdict::Wrong(format!("not valid: {}", e[0].message)))?;
    let mut report = Report::default();
    let outputs = InterpreterExecutor
        .run(&verified, &inputs, &RunOptions::default(), &mut report)
        .map_err(|_| Verdict::Wrong(messages(&report)))?;
    let users = f.outputs.iter().zip(outputs);
    let users = users.filter(|(o, _)| matches!(o.role, OutputRole::User(_)));
    let mut worst = 0f64;
    for (position, (_, (name, got))) in users.enumerate() {
        let Some(member) = members.remove(&format!("out_{position}")) else { continue };
        let dtype = match &got {
            Datum::Tensor(a) => Some(a.dtype),
            _ => None,
        };
        let want = Datum::from(of_dtype(member, dtype).map_err(Verdict::Wrong)?);
        let distance = compare::distance(&got, &want, rtol, atol);
        if !distance.agrees() {
            return Err(Verdict::Wrong(format!("{name}: {distance:?}")));
        }
        worst = worst.max(distance.max_rel);
    }
    match members.keys().find(|k| k.starts_with("out_")) {
        Some(missing) => Err(Verdict::Wrong(format!("there is no {missing}"))),
        None => Ok(worst),
    }
}
