//! What the tests share: where the corpus is, ONNX test data, comparison.

pub mod fuzz;
pub mod node_case;
pub mod programs;

use std::path::PathBuf;

/// The root of the project.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Python of the project's virtual environment, or what `AIRCONV_PYTHON` names.
pub fn python() -> PathBuf {
    match std::env::var_os("AIRCONV_PYTHON") {
        Some(path) => path.into(),
        None => root().join(".venv/bin/python"),
    }
}

/// The Python that has PyTorch, or what `AIRCONV_TORCH_PYTHON` names; `corpus/torch_setup.sh`
/// makes it.
pub fn torch_python() -> PathBuf {
    match std::env::var_os("AIRCONV_TORCH_PYTHON") {
        Some(path) => path.into(),
        None => root().join(".torch/venv/bin/python"),
    }
}

/// The folder that the corpus scripts fill, or what `AIRCONV_CORPUS` names.
pub fn corpus() -> PathBuf {
    match std::env::var_os("AIRCONV_CORPUS") {
        Some(folder) => folder.into(),
        None => root().join(".corpus"),
    }
}
