//! Writes many models as `.pt2` files, for checks against PyTorch.
//!
//! usage: torch_write FOLDER < LIST
//!        torch_write FOLDER --cases
//!
//! Each line of the list is a name and the path of an `.onnx` or `.pt2` file; it becomes
//! `FOLDER/NAME.pt2`. With `--cases`, the programs of the conformance kit are written, and beside
//! them `NAME.npz` with `in_0`, `out_0` ... Prints one line per model: `ok`, or `refused` with all
//! reasons.

#![allow(clippy::print_stdout)]

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use airconv_api::npz;
use airconv_api::{Failed, ReadOptions, Reader, Report, WriteOptions, Writer};
use airconv_ir::interp::Datum;
use airconv_ir::module::Module;
use airconv_ir::verify::{Stage, verify};
use airconv_onnx::OnnxReader;
use airconv_torch::{Pt2Reader, Pt2Writer};

fn main() {
    let Some(folder) = std::env::args().nth(1).map(PathBuf::from) else {
        println!("usage: torch_write FOLDER < LIST");
        return;
    };
    if std::env::args().nth(2).as_deref() == Some("--cases") {
        return write_cases(&folder);
    }
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let Some((name, path)) = line.split_once(' ') else { continue };
        let mut report = Report::default();
        let out = folder.join(format!("{name}.pt2"));
        let done = convert(Path::new(path), &out, &mut report);
        say(name, done.is_ok(), &report);
    }
}

fn say(name: &str, written: bool, report: &Report) {
    if written {
        return println!("ok {name}");
    }
    let all: Vec<&str> = report.diagnostics.iter().map(|d| d.message.as_str()).collect();
    println!("refused {name}: {}", all.join("; "));
}

fn write_cases(folder: &Path) {
    for case in airconv_api::conformance::cases().unwrap_or_default() {
        let name: String =
            case.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let mut report = Report::default();
        let written = write(&case.module, &folder.join(format!("{name}.pt2")), &mut report);
        say(&name, written.is_ok(), &report);
        let inputs = case.module.main().inputs.iter().filter_map(|i| case.inputs.get(&i.name));
        let inputs = inputs.enumerate().map(|(i, d)| (format!("in_{i}"), d));
        let outputs = case.outputs.iter().enumerate();
        let outputs = outputs.map(|(i, (_, d))| (format!("out_{i}"), d));
        let all: Vec<(String, &Datum)> = inputs.chain(outputs).collect();
        let arrays = all.iter().filter_map(|(n, d)| Some((n.as_str(), d.as_array()?)));
        if written.is_ok() {
            npz::write(&folder.join(format!("{name}.npz")), arrays).ok();
        }
    }
}

fn convert(path: &Path, out: &Path, report: &mut Report) -> Result<(), Failed> {
    let options = ReadOptions::default();
    let module = match path.extension().is_some_and(|e| e == "pt2") {
        true => Pt2Reader.read(path, &options, report)?,
        false => OnnxReader.read(path, &options, report)?,
    };
    write(&module, out, report)
}

fn write(module: &Module, out: &Path, report: &mut Report) -> Result<(), Failed> {
    let verified = verify(module, Stage::Imported).map_err(|errors| {
        report.diagnostics.extend(errors);
        Failed::Malformed
    })?;
    let allow = vec!["torch-default".to_owned()];
    let options = WriteOptions { allow_lossy: allow, ..WriteOptions::default() };
    Pt2Writer.write(&verified, out, &options, report)
}
