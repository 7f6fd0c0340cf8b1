//! Brings a program that is written with `tch` into the hub: it is traced, saved as TorchScript,
//! and read like any other file.
//!
//! usage: LIBTORCH=FOLDER cargo run -p airconv-tch --features exec --example trace -- OUT.onnx
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::process::ExitCode;

use airconv_api::{ReadOptions, Reader, Report, WriteOptions, Writer};
use airconv_ir::module::Module;
use airconv_ir::verify::{Stage, verify};
use airconv_onnx::OnnxWriter;
use airconv_torch::ScriptReader;
use tch::nn::{self, Module as _};
use tch::{CModule, Device, Kind, Tensor};

/// A classifier of images of 12 by 12, with weights from a seed.
pub fn net() -> impl Fn(&Tensor) -> Tensor {
    tch::manual_seed(7);
    let mut store = nn::VarStore::new(Device::Cpu);
    let root = store.root();
    let window = nn::ConvConfig { padding: 1, stride: 2, ..Default::default() };
    let first = nn::conv2d(&root / "first", 1, 4, 3, window);
    let second = nn::conv2d(&root / "second", 4, 8, 3, window);
    let last = nn::linear(&root / "last", 8, 3, Default::default());
    // Tracing takes tensors that ask for no gradients.
    store.freeze();
    move |x| {
        let x = first.forward(x).relu();
        let x = second.forward(&x).gelu("none");
        last.forward(&x.mean_dim(&[2i64, 3][..], false, Kind::Float)).softmax(1, Kind::Float)
    }
}

/// Traces a function of one tensor, saves it and reads that for inputs of this type.
pub fn capture(
    function: &dyn Fn(&Tensor) -> Tensor,
    example: &Tensor,
    ty: &str,
    file: &Path,
) -> Result<Module, String> {
    let mut traced = |inputs: &[Tensor]| inputs.iter().map(function).collect();
    let inputs = [example.shallow_clone()];
    let module = CModule::create_by_tracing("Net", "forward", &inputs, &mut traced)
        .and_then(|module| module.save(file));
    module.map_err(|e| e.to_string())?;
    let names = ["argument_1"];
    let inputs = names.iter().map(|n| ((*n).to_owned(), ty.to_owned())).collect();
    let options = ReadOptions { inputs, ..ReadOptions::default() };
    let mut report = Report::default();
    ScriptReader
        .read(file, &options, &mut report)
        .map_err(|_| report.diagnostics.iter().map(|d| d.message.clone()).collect())
}

fn convert(out: &Path) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let example = Tensor::zeros([2, 1, 12, 12], (Kind::Float, Device::Cpu));
    let file = folder.path().join("net.pt");
    let module = capture(&net(), &example, "f32[N, 1, 12, 12]", &file)?;
    let verified = verify(&module, Stage::Imported).map_err(|e| format!("{e:?}"))?;
    let mut report = Report::default();
    OnnxWriter
        .write(&verified, out, &WriteOptions::default(), &mut report)
        .map_err(|_| format!("{:?}", report.diagnostics))
}

fn main() -> ExitCode {
    let Some(out) = std::env::args_os().nth(1) else {
        println!("usage: trace OUT.onnx");
        return ExitCode::from(2);
    };
    match convert(Path::new(&out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}
