//! What is written is judged by the framework that it is for: `.pt2` and `.pt` files of ONNX
//! models run in PyTorch and have to give what ONNX Runtime gave; ONNX files of exported programs
//! run in ONNX Runtime and have to give what PyTorch gave.
#![expect(clippy::print_stderr, reason = "a test that counts says what it counted")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use airconv_api::compare::distance;
use airconv_api::npz::{self, Member};
use airconv_api::{Executor, ReadOptions, Reader, Report, RunOptions, WriteOptions, Writer};
use airconv_ir::array::Array;
use airconv_ir::interp::Datum;
use airconv_ir::module::{InputRole, Module, OutputRole};
use airconv_ir::verify::{Stage, verify};
use airconv_onnx::OrtExecutor;
use airconv_tests::node_case::{first_error, read};
use airconv_tests::{corpus, root, torch_python};
use airconv_torch::{Pt2Reader, Pt2Writer, ScriptWriter};

/// Models of the corpus that PyTorch can say, static ones and such with sizes of any kind.
const MODELS: &[&str] = &[
    "awkward_names",
    "basic-pitch__nmp",
    "block_decoder",
    "block_encoder",
    "conv_batch_norm",
    "corner_arithmetic",
    "dims_of_all_kinds",
    "functions_nested",
    "if_thermostat",
    "index_gymnastics",
    "loop_newton",
    "magika__model",
    "metadata_everywhere",
    "opset7_classic",
    "qdq_conv",
    "rapidocr-onnxruntime__ch_ppocr_mobile_v2.0_cls_infer",
    "rnn_lengths",
    "scan_filter",
];

/// Those that are also decomposed, saved again, and compiled.
const TWICE: &[&str] = &["block_encoder", "conv_batch_norm", "dims_of_all_kinds"];

fn model(id: &str) -> PathBuf {
    match id.split_once("__") {
        Some((package, name)) => corpus().join(format!("models/{package}/{name}.onnx")),
        None => corpus().join(format!("generated/{id}.onnx")),
    }
}

/// The references of a model by case.
fn references(id: &str) -> Vec<(char, PathBuf)> {
    let file = |case| (case, corpus().join(format!("references/{id}.{case}.npz")));
    ('A'..='D').map(file).filter(|(_, path)| path.is_file()).collect()
}

/// Stores a reference with its arrays by position, as `torch_check.py` wants them.
fn by_position(module: &Module, from: &Path, to: &Path) {
    let f = module.main();
    let mut members = npz::read(from).unwrap();
    let mut arrays: Vec<(String, Array)> = Vec::new();
    let mut add = |key: String, name: String, dtype| {
        if let Some(member) = members.remove(&key) {
            arrays.push((name, member.into_array(dtype).unwrap()));
        }
    };
    let users = f.inputs.iter().zip(&f.body().params);
    let users = users.filter(|(i, _)| matches!(i.role, InputRole::User { .. }));
    for (i, (input, &value)) in users.enumerate() {
        add(format!("in:{}", input.name), format!("in_{i}"), f.ty(value).dtype());
    }
    for (i, (output, &value)) in f.outputs.iter().zip(&f.body().results).enumerate() {
        for (kind, stem) in [("out", "out"), ("opt", "opt")] {
            let dtype = f.ty(value).dtype();
            add(format!("{kind}:{}", output.name), format!("{stem}_{i}"), dtype);
        }
    }
    npz::write(to, arrays.iter().map(|(n, a)| (n.as_str(), a))).unwrap();
}

fn write(writer: &dyn Writer, module: &Module, path: &Path) -> Result<(), String> {
    let verified = verify(module, Stage::Imported)
        .map_err(|e| e.first().map_or(String::new(), |d| d.to_string()))?;
    let mut report = Report::default();
    writer
        .write(&verified, path, &WriteOptions::default(), &mut report)
        .map_err(|_| first_error(&report))
}

fn judged(folder: &Path, more: &[&str]) {
    let python = torch_python();
    assert!(python.is_file(), "there is no PyTorch: corpus/torch_setup.sh makes it");
    let mut judge = Command::new(python);
    judge.env("OMP_NUM_THREADS", "1").arg(root().join("corpus/torch_check.py"));
    let judged = judge.arg(folder).args(more).output().unwrap();
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    eprintln!("{said}");
    let errors = String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success(), "{said}{errors}");
    assert!(said.contains("agrees"), "{said}{errors}");
}

#[test]
fn pytorch_runs_what_is_written_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut failed = Vec::new();
    let mut written = 0;
    for id in MODELS {
        let path = model(id);
        if !path.is_file() && id.contains("__") {
            eprintln!("{id} was not fetched");
            continue;
        }
        let (module, report) = read(&path, &ReadOptions::default());
        let module = module.unwrap_or_else(|| panic!("{id}: {}", first_error(&report)));
        for (case, reference) in references(id) {
            by_position(&module, &reference, &folder.path().join(format!("{id}.{case}.npz")));
        }
        let writers: [(&dyn Writer, &str); 2] = [(&Pt2Writer, "pt2"), (&ScriptWriter, "pt")];
        for (writer, ending) in writers {
            match write(writer, &module, &folder.path().join(format!("{id}.{ending}"))) {
                Ok(()) => written += 1,
                Err(why) => failed.push(format!("{id}.{ending}: {why}")),
            }
        }
    }
    assert!(failed.is_empty(), "not written:\n{}", failed.join("\n"));
    assert!(written >= 2 * 16, "{written}");
    judged(folder.path(), &[]);
    let only = TWICE.join(",");
    judged(folder.path(), &["--only", &only, "--decompose", "--compile", "aot_eager"]);
}

/// Exported programs that ONNX can say.
const PROGRAMS: &[&str] =
    &["conv_net", "conv_net.core", "transformer", "transformer.core", "lstm", "sizes", "nested"];

#[test]
fn onnx_runtime_runs_what_comes_from_pytorch() {
    // The executor takes the Python of `.venv` here.
    std::env::set_current_dir(root()).unwrap();
    let data = root().join("converters/torch/tests/data");
    for name in PROGRAMS {
        let mut report = Report::default();
        let path = data.join(format!("{name}.pt2"));
        let module = Pt2Reader.read(&path, &ReadOptions::default(), &mut report);
        let module = module.unwrap_or_else(|_| panic!("{name}: {}", first_error(&report)));
        let stem = name.split('.').next().unwrap();
        for case in ["npz", "other.npz"] {
            let reference = data.join(format!("{stem}.{case}"));
            if reference.is_file() {
                compare(name, &module, npz::read(&reference).unwrap());
            }
        }
    }
}

fn compare(name: &str, module: &Module, mut members: BTreeMap<String, Member>) {
    let f = module.main();
    let users = f.inputs.iter().zip(&f.body().params);
    let users = users.filter(|(i, _)| matches!(i.role, InputRole::User { .. }));
    let mut inputs = BTreeMap::new();
    for (i, (input, &value)) in users.enumerate() {
        let member = members.remove(&format!("in_{i}")).unwrap();
        let array = member.into_array(f.ty(value).dtype()).unwrap();
        inputs.insert(input.name.clone(), Datum::from(array));
    }
    let verified = verify(module, Stage::Canonical).unwrap();
    let mut report = Report::default();
    let options = RunOptions { threads: 1, ..RunOptions::default() };
    let ran = OrtExecutor.run(&verified, &inputs, &options, &mut report);
    let ran = ran.unwrap_or_else(|_| panic!("{name}: {}", first_error(&report)));
    let outputs = f.outputs.iter().zip(ran);
    let users = outputs.filter(|(o, _)| matches!(o.role, OutputRole::User(_)));
    for (i, (_, (output, got))) in users.enumerate() {
        let Some(member) = members.remove(&format!("out_{i}")) else { continue };
        let want = Datum::from(member.into_array(None).unwrap());
        let d = distance(&got, &want, 1e-4, 1e-5);
        assert!(d.agrees(), "{name}: output `{output}`: {d:?}");
    }
    assert!(!members.keys().any(|k| k.starts_with("out_")), "{name}: {:?}", members.keys());
}
