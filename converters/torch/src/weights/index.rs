//! Weights in several files: a JSON object says which tensor is in which.

use std::collections::BTreeMap;
use std::path::Path;

use airconv_api::Limits;
use airconv_api::files::folder_of;
use serde::Deserialize;

use super::{Weights, read_weights};
use crate::error::FileError;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Reads all files that an index names. They have to lie beside it.
pub(super) fn read(
    path: &Path,
    bytes: &[u8],
    map: bool,
    limits: &Limits,
) -> Result<Weights, FileError> {
    let index: Index = serde_json::from_slice(bytes)
        .map_err(|e| FileError::malformed("", format!("it is no index of weights: {e}")))?;
    let mut files: Vec<&str> = index.weight_map.values().map(String::as_str).collect();
    files.sort_unstable();
    files.dedup();
    let mut out = Weights::default();
    for file in files {
        if file.contains(['/', '\\', ':', '\0']) || matches!(file, "" | "." | "..") {
            let message = format!("the index names {file:?}, which is not a file beside it");
            return Err(FileError::malformed("", message));
        }
        if file.ends_with(".json") {
            return Err(FileError::malformed(file, "an index names an index"));
        }
        let part = read_weights(&folder_of(path).join(file), map, limits)?;
        let mine = |name: &str| index.weight_map.get(name).is_some_and(|f| f == file);
        out.tensors.extend(part.tensors.into_iter().filter(|w| mine(&w.name)));
        out.metadata.extend(part.metadata);
    }
    out.metadata.sort();
    out.metadata.dedup();
    if out.tensors.len() != index.weight_map.len() {
        let missing = index.weight_map.keys().find(|name| out.get(name).is_none());
        let message = format!("tensor `{}` is not in the file named", missing.map_or("", |m| m));
        return Err(FileError::malformed("", message));
    }
    Ok(out)
}
