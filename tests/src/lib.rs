//! What the tests share: where the corpus is, ONNX test data, comparison.

pub mod compare;
pub mod fuzz;
pub mod node_case;

use std::path::PathBuf;

/// The folder that the corpus scripts fill, or what `AIRCONV_CORPUS` names.
pub fn corpus() -> PathBuf {
    match std::env::var_os("AIRCONV_CORPUS") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.corpus"),
    }
}
