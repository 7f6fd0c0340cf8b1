//! An ONNX model or an exported program of PyTorch as a crate, or run by candle, without the
//! command line around it:
//!
//! ```text
//! model write MODEL FOLDER
//! model run MODEL INPUTS.npz OUTPUTS.npz        (feature exec)
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;
use std::process::ExitCode;

use airconv_api::{Failed, ReadOptions, Reader, Report, WriteOptions, Writer};
use airconv_candle::CandleWriter;
use airconv_ir::module::Module;
use airconv_ir::verify::{Stage, verify};
use airconv_onnx::OnnxReader;
use airconv_torch::Pt2Reader;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut report = Report::default();
    let done = match arguments[..] {
        ["write", model, folder] => write(model, folder, &mut report),
        #[cfg(feature = "exec")]
        ["run", model, inputs, outputs] => run(model, inputs, outputs, &mut report),
        _ => {
            eprintln!("write MODEL FOLDER | run MODEL INPUTS.npz OUTPUTS.npz");
            return ExitCode::from(2);
        }
    };
    for d in &report.diagnostics {
        eprintln!("{d}");
    }
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(model: &str, report: &mut Report) -> Result<Module, Failed> {
    let path = Path::new(model);
    match path.extension().is_some_and(|e| e == "pt2") {
        true => Pt2Reader.read(path, &ReadOptions::default(), report),
        false => OnnxReader.read(path, &ReadOptions::default(), report),
    }
}

fn write(model: &str, folder: &str, report: &mut Report) -> Result<(), Failed> {
    let module = read(model, report)?;
    let verified = verify(&module, Stage::Imported).map_err(|_| Failed::Malformed)?;
    CandleWriter.write(&verified, Path::new(folder), &WriteOptions::default(), report)
}

#[cfg(feature = "exec")]
fn run(model: &str, inputs: &str, outputs: &str, report: &mut Report) -> Result<(), Failed> {
    use airconv_api::{Executor, RunOptions, inputs::from_members, npz};
    let module = read(model, report)?;
    let verified = verify(&module, Stage::Imported).map_err(|_| Failed::Malformed)?;
    let members = npz::read(Path::new(inputs)).map_err(|_| Failed::System)?;
    let inputs = from_members(&module, members).map_err(|_| Failed::Malformed)?;
    let options = RunOptions::default();
    let results =
        airconv_candle::CandleExecutor::default().run(&verified, &inputs, &options, report)?;
    let arrays = results.iter().filter_map(|(n, d)| Some((n.as_str(), d.as_array()?)));
    npz::write(Path::new(outputs), arrays).map_err(|_| Failed::System)
}
