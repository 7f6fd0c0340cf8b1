//! ONNX Runtime as an executor, through a Python that has it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use airconv_api::ir::array::Array;
use airconv_api::ir::diag::Diagnostic;
use airconv_api::ir::interp::Datum;
use airconv_api::ir::verify::Verified;
use airconv_api::{Executor, Failed, Report, RunOptions, WriteOptions, Writer, npz};

use crate::OnnxWriter;

/// What the other side runs: one thread, no graph optimisations, arrays by name.
const SCRIPT: &str = r#"
import sys
import numpy as np
import onnxruntime as ort

model, inputs, outputs = sys.argv[1:4]
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
options.log_severity_level = 4
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
feeds = dict(np.load(inputs, allow_pickle=False))
for spec in session.get_inputs():
    if spec.name in feeds and spec.type == "tensor(string)":
        feeds[spec.name] = feeds[spec.name].astype(object)
results = session.run(None, feeds)
arrays = {}
for spec, value in zip(session.get_outputs(), results):
    if not isinstance(value, np.ndarray):
        sys.exit(f"output {spec.name} is not a tensor")
    arrays[spec.name] = value.astype(str) if value.dtype == object else value
np.savez(outputs, **{f"{i:06}": v for i, v in enumerate(arrays.values())})
"#;

/// Runs modules in ONNX Runtime. Its Python is named by `AIRCONV_PYTHON`, else it is that
/// of `.venv` here, else `python3`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrtExecutor;

/// The Python with ONNX Runtime: what `AIRCONV_PYTHON` names, else that of `.venv` here, else
/// `python3`.
pub fn python() -> PathBuf {
    if let Some(path) = std::env::var_os("AIRCONV_PYTHON") {
        return path.into();
    }
    let local = PathBuf::from(".venv/bin/python");
    if local.exists() { local } else { PathBuf::from("python3") }
}

impl Executor for OrtExecutor {
    fn name(&self) -> &'static str {
        "ort"
    }
    fn available(&self) -> Result<(), String> {
        let probe = Command::new(python()).args(["-c", "import onnxruntime, numpy"]).output();
        match probe {
            Ok(out) if out.status.success() => Ok(()),
            _ => Err("needs a Python with onnxruntime and numpy (pip install onnxruntime); name it with AIRCONV_PYTHON".to_owned()),
        }
    }
    fn takes_opaque(&self) -> bool {
        true
    }
    fn run(
        &self,
        module: &Verified<'_>,
        inputs: &BTreeMap<String, Datum>,
        _options: &RunOptions,
        report: &mut Report,
    ) -> Result<Vec<(String, Datum)>, Failed> {
        let system = |report: &mut Report, message: String| {
            report.push(Diagnostic::error("ort", message));
            Failed::System
        };
        let folder = tempfile::tempdir().map_err(|e| system(report, e.to_string()))?;
        let file = |name: &str| folder.path().join(name);
        let (model, given, made) = (file("model.onnx"), file("in.npz"), file("out.npz"));
        OnnxWriter.write(module, &model, &WriteOptions::default(), report)?;
        let mut arrays: Vec<(&str, &Array)> = Vec::new();
        for (name, datum) in inputs {
            match datum.as_array() {
                Some(a) => arrays.push((name, a)),
                None => return Err(system(report, format!("input `{name}` is not a tensor"))),
            }
        }
        npz::write(&given, arrays).map_err(|e| system(report, e.to_string()))?;
        let out = Command::new(python())
            .args(["-c", SCRIPT])
            .args([&model, &given, &made])
            .output()
            .map_err(|e| system(report, e.to_string()))?;
        if !out.status.success() {
            let text = String::from_utf8_lossy(&out.stderr);
            let last = text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it failed");
            return Err(system(report, format!("ONNX Runtime: {last}")));
        }
        let members = npz::read(&made).map_err(|e| system(report, e.to_string()))?;
        let f = module.module().main();
        let mut results = Vec::new();
        for ((output, &value), member) in
            f.outputs.iter().zip(&f.body().results).zip(members.into_values())
        {
            let array = member.into_array(f.ty(value).dtype());
            let array =
                array.map_err(|e| system(report, format!("output `{}`: {e}", output.name)))?;
            results.push((output.name.clone(), array.into()));
        }
        Ok(results)
    }
}
