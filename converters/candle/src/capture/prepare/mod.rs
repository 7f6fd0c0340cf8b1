//! Making a candle-core and a candle-nn that record, from the user's own copies.

mod edits;
mod v0_11;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use edits::{Change, Edit};

/// The source that is added to candle-core.
const RECORDING: &str = include_str!("../shim/recording.rs");

/// The crate that marks inputs and outputs, as programs use it.
const TRACE: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../../trace/Cargo.toml")),
    ("build.rs", include_str!("../../../trace/build.rs")),
    ("src/lib.rs", include_str!("../../../trace/src/lib.rs")),
    ("src/names.rs", include_str!("../../../trace/src/names.rs")),
    ("src/record.rs", include_str!("../../../trace/src/record.rs")),
    ("src/sizes.rs", include_str!("../../../trace/src/sizes.rs")),
    ("src/values.rs", include_str!("../../../trace/src/values.rs")),
];

/// A crate of candle of which a recording copy is made.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// The versions that are known, and their edits.
    versions: &'static [(&'static str, &'static [Edit])],
    /// Files that are added to its sources.
    added: &'static [(&'static str, &'static str)],
}

/// candle-core, whose tensors keep the calls that made them.
pub const CORE: Part = Part {
    name: "candle-core",
    versions: &[("0.11", v0_11::CORE)],
    added: &[("recording.rs", RECORDING)],
};

/// candle-nn, whose attention on CPUs is made of calls.
pub const NN: Part = Part { name: "candle-nn", versions: &[("0.11", v0_11::NN)], added: &[] };

/// Why there is no recording candle-core.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The version has no set of edits.
    #[error("{name} {version} is not known; a recording can be made of {known}")]
    Version {
        /// The crate.
        name: &'static str,
        /// The version found.
        version: String,
        /// The versions that are known.
        known: String,
    },
    /// A file is not what the edits expect.
    #[error("{file}: {why}")]
    Edit {
        /// The file, below the source folder.
        file: String,
        /// Which edit has no place.
        why: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
}

impl Part {
    /// The edits for a version.
    pub fn edits_for(&self, version: &str) -> Result<&'static [Edit], PrepareError> {
        let family = |v: &str| v.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        let found = self.versions.iter().find(|(known, _)| *known == family(version));
        found.map(|(_, edits)| *edits).ok_or_else(|| PrepareError::Version {
            name: self.name,
            version: version.to_owned(),
            known: self
                .versions
                .iter()
                .map(|(v, _)| format!("{v}.x"))
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    /// A name for what is made from a version by its edits: it changes whenever they do.
    pub fn key(&self, version: &str) -> Result<String, PrepareError> {
        let mut hash = blake3::Hasher::new();
        for (_, text) in self.added {
            hash.update(text.as_bytes());
        }
        hash.update(format!("{:?}", self.edits_for(version)?).as_bytes());
        let digest = hash.finalize().to_hex();
        Ok(format!("{}-{version}-{}", self.name, &digest[..16]))
    }

    /// Writes a recording copy of the crate in `source` to the folder `to`, which appears whole or
    /// not at all; what is there already is kept.
    pub fn prepare(&self, source: &Path, version: &str, to: &Path) -> Result<(), PrepareError> {
        let edits = self.edits_for(version)?;
        if to.join("Cargo.toml").exists() {
            return Ok(());
        }
        let parent = airconv_api::files::folder_of(to);
        fs::create_dir_all(&parent).map_err(|e| io_error(&parent, e))?;
        let draft = tempfile::Builder::new()
            .prefix(".airconv-")
            .tempdir_in(&parent)
            .map_err(|e| io_error(&parent, e))?;
        copy_folder(&source.join("src"), &draft.path().join("src"))?;
        for name in ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md"] {
            let from = source.join(name);
            if from.exists() {
                copy_file(&from, &draft.path().join(name))?;
            }
        }
        without_targets(&draft.path().join("Cargo.toml"))?;
        for (file, text) in self.added {
            let added = draft.path().join("src").join(file);
            fs::write(&added, text).map_err(|e| io_error(&added, e))?;
        }
        apply_all(&draft.path().join("src"), edits)?;
        let made = draft.keep();
        if let Err(e) = fs::rename(&made, to) {
            let _ = fs::remove_dir_all(&made);
            // Another process may have been quicker.
            if !to.join("Cargo.toml").exists() {
                return Err(io_error(to, e));
            }
        }
        Ok(())
    }
}

/// Writes the crate `airconv-candle-trace` to a folder.
pub fn write_trace_crate(to: &Path) -> Result<(), PrepareError> {
    for (name, text) in TRACE {
        let path = to.join(name);
        let folder = airconv_api::files::folder_of(&path);
        fs::create_dir_all(&folder).map_err(|e| io_error(&folder, e))?;
        fs::write(&path, text).map_err(|e| io_error(&path, e))?;
    }
    Ok(())
}

/// Makes all edits below a source folder.
fn apply_all(folder: &Path, edits: &[Edit]) -> Result<(), PrepareError> {
    let mut files: Vec<&str> = edits.iter().map(|e| e.file).collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        let path = folder.join(file);
        let source = fs::read_to_string(&path).map_err(|e| io_error(&path, e))?;
        let here: Vec<Edit> = edits.iter().filter(|e| e.file == file).copied().collect();
        let edited = edits::apply(&source, &here)
            .map_err(|why| PrepareError::Edit { file: file.to_owned(), why })?;
        fs::write(&path, edited).map_err(|e| io_error(&path, e))?;
    }
    Ok(())
}

/// Tests, examples and benchmarks are not copied, so the manifest must not name them.
fn without_targets(manifest: &Path) -> Result<(), PrepareError> {
    let text = fs::read_to_string(manifest).map_err(|e| io_error(manifest, e))?;
    let mut out = String::with_capacity(text.len());
    let mut keep = true;
    for line in text.lines() {
        if line.starts_with('[') {
            keep = !["[[example]]", "[[test]]", "[[bench]]", "[[bin]]"].contains(&line.trim())
                && !line.starts_with("[dev-dependencies")
                && !line.starts_with("[workspace");
        }
        if keep {
            out.push_str(line);
            out.push('\n');
        }
    }
    // It belongs to no workspace, wherever it lies.
    out.push_str("\n[workspace]\n");
    fs::write(manifest, out).map_err(|e| io_error(manifest, e))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), PrepareError> {
    fs::create_dir_all(to).map_err(|e| io_error(to, e))?;
    let entries = fs::read_dir(from).map_err(|e| io_error(from, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| io_error(from, e))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|e| io_error(&path, e))?;
        if kind.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            copy_file(&path, &target)?;
        }
    }
    Ok(())
}

/// Copies the contents: files of the registry may be read-only.
fn copy_file(from: &Path, to: &Path) -> Result<(), PrepareError> {
    let bytes = fs::read(from).map_err(|e| io_error(from, e))?;
    fs::write(to, bytes).map_err(|e| io_error(to, e))
}

fn io_error(path: &Path, error: io::Error) -> PrepareError {
    PrepareError::Io { path: path.display().to_string(), error }
}

/// The folder in which recording copies are kept: `AIRCONV_CACHE_DIR`, else below the user's cache.
pub fn cache_folder() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    var("AIRCONV_CACHE_DIR")
        .or_else(|| var("XDG_CACHE_HOME").map(|p| p.join("airconv")))
        .or_else(|| var("HOME").map(|p| p.join(".cache/airconv")))
        .unwrap_or_else(std::env::temp_dir)
        .join("capture")
}
