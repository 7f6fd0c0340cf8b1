//! Models of the corpus on both executors, against what ONNX Runtime gave.
#![expect(clippy::print_stderr, reason = "a test that counts says what it counted")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use airconv_api::compare::distance;
use airconv_api::{Executor, Failed, ReadOptions, Reader, Report, RunOptions, inputs, npz};
use airconv_ir::interp::Datum;
use airconv_ir::module::Module;
use airconv_ir::verify::{Stage, verify};
use airconv_onnx::OnnxReader;
use airconv_tch::{TchExecutor, TorchScriptExecutor};

/// How far an output may be off, relative to its greatest element.
const TOLERANCE: f64 = 2e-3;

/// Packages of real models that are small enough for a test.
const PACKAGES: &[&str] = &["basic-pitch", "magika", "rapidocr-onnxruntime"];

fn messages(report: &Report) -> String {
    let all: Vec<&str> = report.diagnostics.iter().map(|d| d.message.as_str()).collect();
    all.join("; ").replace('\n', " ")
}

/// The references of a model, by the id that its package and name give it.
fn references(folder: &Path, model: &Path) -> Vec<PathBuf> {
    let stem = model.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let package = model.parent().and_then(Path::file_name).map(|s| s.to_string_lossy());
    let id = format!("{}__{stem}", package.unwrap_or_default());
    let files = ["A", "B", "C", "D"].into_iter().flat_map(|case| {
        [format!("{id}.{case}.npz"), format!("{stem}.{case}.npz")].map(|name| folder.join(name))
    });
    files.filter(|f| f.is_file()).collect()
}

/// The folder that the corpus scripts fill, or what `AIRCONV_CORPUS` names.
fn corpus() -> PathBuf {
    match std::env::var_os("AIRCONV_CORPUS") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.corpus"),
    }
}

/// The ONNX files of a folder.
fn models(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut out: Vec<PathBuf> = entries.map(|e| e.path()).collect();
    out.retain(|p| p.extension().is_some_and(|e| e == "onnx"));
    out.sort();
    out
}

/// What came of a run.
enum Verdict {
    Agrees,
    Refused(String),
    Wrong(String),
}

fn run(executor: &dyn Executor, module: &Module, reference: &Path) -> Result<Verdict, String> {
    let members = npz::read(reference).map_err(|e| e.to_string())?;
    let (wanted, members): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|(key, _)| key.starts_with("out:"));
    let given: BTreeMap<String, Datum> =
        inputs::from_members(module, members.into_iter().collect())?;
    let verified = verify(module, Stage::Imported).map_err(|e| format!("{:?}", e.first()))?;
    let mut report = Report::default();
    let options = RunOptions { threads: 1, ..RunOptions::default() };
    let got = match executor.run(&verified, &given, &options, &mut report) {
        Ok(got) => got,
        Err(Failed::Unsupported) => return Ok(Verdict::Refused(messages(&report))),
        Err(failed) => return Err(format!("{failed:?}: {}", messages(&report))),
    };
    for (key, want) in wanted {
        let Some((_, datum)) = got.iter().find(|(n, _)| key.strip_prefix("out:") == Some(n)) else {
            return Ok(Verdict::Wrong(format!("there is no {key}")));
        };
        let want = want.into_array(datum.as_array().map(|a| a.dtype))?;
        let values = want.to_f64s().unwrap_or_default();
        let greatest = values.iter().filter(|v| v.is_finite()).fold(0f64, |m, v| m.max(v.abs()));
        let d = distance(datum, &want.into(), TOLERANCE, TOLERANCE * greatest);
        if !d.agrees() {
            return Ok(Verdict::Wrong(format!("{key}: {d:?}")));
        }
    }
    Ok(Verdict::Agrees)
}

#[test]
fn models_agree_with_onnx_runtime() {
    let references_at = corpus().join("references");
    let mut all = models(&corpus().join("generated"));
    for package in PACKAGES {
        all.extend(models(&corpus().join("models").join(package)));
    }
    assert!(all.len() >= 30, "the corpus is filled by ./test; there are {} models", all.len());
    let (mut agreed, mut refused, mut wrong) = (0, BTreeMap::new(), Vec::new());
    for path in all {
        let mut report = Report::default();
        let read = OnnxReader.read(&path, &ReadOptions::default(), &mut report);
        let Ok(module) = read else { continue };
        for reference in references(&references_at, &path) {
            let case = reference.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let executors: [&dyn Executor; 2] = [&TorchScriptExecutor, &TchExecutor];
            for executor in executors {
                match run(executor, &module, &reference) {
                    Ok(Verdict::Agrees) => agreed += 1,
                    Ok(Verdict::Refused(why)) => drop(refused.insert(case.clone(), why)),
                    Ok(Verdict::Wrong(why)) | Err(why) => {
                        wrong.push(format!("{} {case}: {why}", executor.name()));
                    }
                }
            }
        }
    }
    for (case, why) in &refused {
        eprintln!("refused {case}: {why}");
    }
    eprintln!("{agreed} runs agree, {} cases are refused", refused.len());
    assert!(wrong.is_empty(), "{agreed} agree, wrong:\n{}", wrong.join("\n"));
    assert!(agreed >= 60, "{agreed}");
}
