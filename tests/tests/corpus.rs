//! Every model of the corpus, at every level of optimisation, through `.ir` and back to ONNX,
//! judged in ONNX Runtime on the reference inputs.
#![expect(clippy::print_stderr, reason = "a test that counts says what it counted")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use airconv_api::compare::distance;
use airconv_api::npz;
use airconv_api::{ReadOptions, Report, WriteOptions, Writer};
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::op::Op;
use airconv_ir::pass::{PassCx, Pipeline, run_pipeline};
use airconv_ir::specialize::{Given, size_names, specialize};
use airconv_ir::verify::{Stage, verify};
use airconv_ir::wire;
use airconv_onnx::{OnnxReader, OnnxWriter};
use airconv_tests::node_case::{first_error, read};
use airconv_tests::{corpus, python, root};

/// The models of the corpus with the id that the references have for them.
fn models() -> Vec<(String, PathBuf)> {
    let mut out = Vec::new();
    let stem = |p: &Path| p.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
    let files = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|e| e.path()).collect()
    };
    for package in files(&corpus().join("models")) {
        let name = package.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        for file in files(&package) {
            if file.extension().is_some_and(|e| e == "onnx") {
                out.push((format!("{name}__{}", stem(&file)), file));
            }
        }
    }
    for file in files(&corpus().join("generated")) {
        if file.extension().is_some_and(|e| e == "onnx") {
            out.push((stem(&file), file));
        }
    }
    out.sort();
    assert!(out.len() >= 40, "the corpus is filled by ./test; there are {} models", out.len());
    out
}

/// Reads, optimises, goes through `.ir`, and writes ONNX.
fn convert(file: &Path, opt: &str, folder: &Path, id: &str) -> Result<(), String> {
    let (module, report) = read(file, &ReadOptions::default());
    let mut module = module.ok_or_else(|| first_error(&report))?;
    let pipeline = Pipeline::parse(opt).map_err(|e| e.to_string())?;
    let mut cx = PassCx::default();
    cx.options.verify = Some(Stage::Imported);
    run_pipeline(&mut module, &pipeline, &mut cx).map_err(|e| e.to_string())?;
    let ir = folder.join(format!("{id}.{opt}.ir"));
    wire::write_ir(&module, &ir, &wire::WriteOptions::default()).map_err(|e| e.to_string())?;
    let module = wire::read_ir(&ir, &wire::ReadOptions::default()).map_err(|e| e.to_string())?;
    let verified = verify(&module, Stage::Imported)
        .map_err(|e| e.first().map_or(String::new(), |d| d.to_string()))?;
    let mut report = Report::default();
    let out = folder.join(format!("{id}.{opt}.onnx"));
    OnnxWriter
        .write(&verified, &out, &WriteOptions::default(), &mut report)
        .map_err(|_| first_error(&report))
}

fn round_trips(opt: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut failed = Vec::new();
    let models = models();
    for (id, file) in &models {
        if let Err(why) = convert(file, opt, folder.path(), id) {
            failed.push(format!("{id}: {why}"));
        }
    }
    assert!(failed.is_empty(), "not converted at {opt}:\n{}", failed.join("\n"));
    let mut judge = Command::new(python());
    judge.arg(root().join("tests/judge_models.py")).arg(corpus()).arg(folder.path()).arg(opt);
    let judged = judge.output().unwrap();
    eprintln!("{opt}: {}", String::from_utf8_lossy(&judged.stdout));
    assert!(
        judged.status.success(),
        "{}{}",
        String::from_utf8_lossy(&judged.stdout),
        String::from_utf8_lossy(&judged.stderr)
    );
}

#[test]
fn unoptimised_models_give_exactly_the_same() {
    round_trips("none");
}

#[test]
fn basic_optimisation_keeps_the_numbers() {
    round_trips("basic");
}

#[test]
fn fusing_keeps_the_numbers() {
    round_trips("fuse");
}

/// The same input gives the same bytes, in other folders and with other hash seeds (each
/// `HashMap` of the standard library has its own).
#[test]
fn the_same_input_gives_the_same_bytes() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (id, file) in models() {
        for folder in [&first, &second] {
            convert(&file, "fuse", folder.path(), &id).unwrap();
        }
        for ending in ["ir", "onnx"] {
            let bytes = |folder: &tempfile::TempDir| {
                std::fs::read(folder.path().join(format!("{id}.fuse.{ending}"))).unwrap()
            };
            assert!(bytes(&first) == bytes(&second), "{id}.{ending} differs between two runs");
        }
    }
}

/// A model whose ranks hang on a run-time input and on sizes is whole once these are fixed,
/// whether they are when the source is read or when the hub's file is.
#[test]
fn a_model_of_many_ranks_is_whole_when_it_is_fixed() {
    let file = corpus().join("models/silero-vad/silero_vad.onnx");
    let (module, report) = read(&file, &ReadOptions::default());
    let module = module.unwrap_or_else(|| panic!("{}", first_error(&report)));
    assert!(verify(&module, Stage::Canonical).is_err());
    let folder = tempfile::tempdir().unwrap();
    let ir = folder.path().join("model.ir");
    wire::write_ir(&module, &ir, &wire::WriteOptions::default()).unwrap();
    let stored = wire::read_ir(&ir, &wire::ReadOptions::default()).unwrap();
    for variant in ["A", "B"] {
        let name = format!("references/silero-vad__silero_vad.{variant}.npz");
        let mut wanted = BTreeMap::new();
        let mut given = Given::default();
        let mut inputs = BTreeMap::new();
        for (key, member) in npz::read(&corpus().join(name)).unwrap() {
            let array = member.into_array(None).unwrap();
            match key.split_once(':') {
                Some(("in", "sr")) => {
                    given.binds.insert("sr".to_owned(), array.into());
                }
                Some(("in", input)) => {
                    for (axis, &size) in array.shape.iter().enumerate() {
                        given.dims.insert(format!("{input}_{axis}"), size as i64);
                    }
                    inputs.insert(input.to_owned(), array.into());
                }
                Some(("out", output)) => {
                    wanted.insert(output.to_owned(), Datum::from(array));
                }
                _ => {}
            }
        }
        let names = size_names(&module);
        given.dims.retain(|name, _| names.contains(name));
        for module in [&module, &stored] {
            let made = specialize(module.clone(), &given, &[&OnnxReader]).unwrap();
            verify(&made, Stage::Canonical).unwrap();
            let opaque = made.main().nodes.values().any(|n| matches!(n.op, Op::Opaque(_)));
            assert!(!opaque);
            let outputs = Interpreter::new(made, EvalLimits::default()).run(&inputs).unwrap();
            for (name, got) in outputs {
                let d = distance(&got, &wanted[&name], 1e-4, 1e-5);
                assert!(d.agrees(), "{variant} {name}: {} apart", d.max_abs);
            }
        }
    }
}
