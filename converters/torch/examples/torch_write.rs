//! Writes many models as `.pt2` files, for checks against PyTorch.
//!
//! usage: torch_write FOLDER < LIST
//!
//! Each line of the list is a name and the path of an `.onnx` or `.pt2` file; it becomes
//! `FOLDER/NAME.pt2`. Prints one line per model: `ok`, or `refused` with all reasons.

#![allow(clippy::print_stdout)]

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use airconv_api::{Failed, ReadOptions, Reader, Report, WriteOptions, Writer};
use airconv_ir::verify::{Stage, verify};
use airconv_onnx::OnnxReader;
use airconv_torch::{Pt2Reader, Pt2Writer};

fn main() {
    let Some(folder) = std::env::args().nth(1).map(PathBuf::from) else {
        println!("usage: torch_write FOLDER < LIST");
        return;
    };
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let Some((name, path)) = line.split_once(' ') else { continue };
        let mut report = Report::default();
        let out = folder.join(format!("{name}.pt2"));
        match convert(Path::new(path), &out, &mut report) {
            Ok(()) => println!("ok {name}"),
            Err(_) => {
                let all: Vec<&str> =
                    report.diagnostics.iter().map(|d| d.message.as_str()).collect();
                println!("refused {name}: {}", all.join("; "));
            }
        }
    }
}

fn convert(path: &Path, out: &Path, report: &mut Report) -> Result<(), Failed> {
    let options = ReadOptions::default();
    let module = match path.extension().is_some_and(|e| e == "pt2") {
        true => Pt2Reader.read(path, &options, report)?,
        false => OnnxReader.read(path, &options, report)?,
    };
    let verified = verify(&module, Stage::Imported).map_err(|errors| {
        report.diagnostics.extend(errors);
        Failed::Malformed
    })?;
    let allow = vec!["torch-seed".to_owned(), "torch-default".to_owned()];
    let options = WriteOptions { allow_lossy: allow, ..WriteOptions::default() };
    Pt2Writer.write(&verified, out, &options, report)
}
