//! Running a cargo command with a candle that records.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde::Deserialize;

use super::interrupt;
use super::prepare::{self, CORE, NN, Part, PrepareError};

/// Why a program could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The command is not one of cargo.
    #[error("`{0}` is not cargo: write `airconv capture -o OUT -- cargo run ...`")]
    NotCargo(String),
    /// cargo could not be run, or failed.
    #[error("{0}")]
    Cargo(String),
    /// The program does not use candle, or more than one.
    #[error("{0}")]
    Candle(String),
    /// The recording candle-core could not be made.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The command failed.
    #[error("the command ended with {0}")]
    Failed(ExitStatus),
    /// A file could not be read or written.
    #[error("{0}")]
    Io(String),
}

/// The candle that a package is built with.
#[derive(Clone, Debug)]
pub struct Found {
    /// candle-core, and candle-nn if it is used.
    pub parts: Vec<FoundPart>,
    /// The folder of the package's lock file.
    pub workspace: PathBuf,
}

/// A crate of candle in the registry's folder.
#[derive(Clone, Debug)]
pub struct FoundPart {
    /// Which one it is.
    pub part: Part,
    /// Its source.
    pub folder: PathBuf,
    /// Its version.
    pub version: String,
}

impl Found {
    /// Writes recording copies, each to the folder that `to` names for it, and gives what cargo has
    /// to be told to build with them.
    pub fn prepare(
        &self,
        to: impl Fn(&FoundPart) -> Result<PathBuf, CommandError>,
    ) -> Result<Vec<String>, CommandError> {
        let mut patches = Vec::new();
        for found in &self.parts {
            let folder = to(found)?;
            found.part.prepare(&found.folder, &found.version, &folder)?;
            let folder = fs::canonicalize(&folder).unwrap_or(folder);
            patches.push(patch(found.part.name, &folder));
        }
        Ok(patches)
    }
}

/// A command of cargo in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cargo {
    program: OsString,
    toolchain: Option<OsString>,
    rest: Vec<OsString>,
}

impl Cargo {
    fn parse(command: &[OsString]) -> Result<Self, CommandError> {
        let Some((program, rest)) = command.split_first() else {
            return Err(CommandError::NotCargo(String::new()));
        };
        if Path::new(program).file_stem() != Some(OsStr::new("cargo")) {
            return Err(CommandError::NotCargo(program.to_string_lossy().into_owned()));
        }
        let (toolchain, rest) = match rest.split_first() {
            Some((first, rest)) if first.to_string_lossy().starts_with('+') => {
                (Some(first.clone()), rest)
            }
            _ => (None, rest),
        };
        Ok(Self { program: program.clone(), toolchain, rest: rest.to_vec() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.toolchain);
        command
    }

    /// The option that forbids another lock file, if there is one.
    fn locked(&self) -> Option<&'static str> {
        let given = |word: &&str| self.rest.iter().take_while(|w| *w != "--").any(|w| w == *word);
        ["--locked", "--frozen"].into_iter().find(given)
    }

    /// Options of the command that say which package is meant and how it is resolved.
    fn package_options(&self) -> Vec<OsString> {
        let mut out = Vec::new();
        let mut words = self.rest.iter().take_while(|w| *w != "--");
        while let Some(word) = words.next() {
            let text = word.to_string_lossy();
            if ["--offline", "--all-features", "--no-default-features"].contains(&text.as_ref())
                || ["--manifest-path=", "--features="].iter().any(|p| text.starts_with(p))
            {
                out.push(word.clone());
            } else if ["--manifest-path", "--features", "-F"].contains(&text.as_ref()) {
                out.push(word.clone());
                out.extend(words.next().cloned());
            }
        }
        out
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    manifest_path: PathBuf,
}

/// Finds the candle that a cargo command builds with.
pub fn find(command: &[OsString]) -> Result<Found, CommandError> {
    let cargo = Cargo::parse(command)?;
    if let Some(word) = cargo.locked() {
        return Err(CommandError::Cargo(format!(
            "`{word}` cannot be kept: the lock file is another while a program is recorded, and is \
             put back afterwards"
        )));
    }
    let out = cargo
        .command()
        .args(["metadata", "--format-version", "1"])
        .args(cargo.package_options())
        .output()
        .map_err(|e| CommandError::Cargo(format!("cargo could not be run: {e}")))?;
    if !out.status.success() {
        let text = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        return Err(CommandError::Cargo(format!("cargo metadata failed: {text}")));
    }
    from_metadata(&out.stdout)
}

/// What cargo calls the registry whose packages are replaced.
const CRATES_IO: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

fn from_metadata(json: &[u8]) -> Result<Found, CommandError> {
    let metadata: Metadata = serde_json::from_slice(json)
        .map_err(|e| CommandError::Cargo(format!("what cargo metadata says is damaged: {e}")))?;
    let mut parts = Vec::new();
    for part in [CORE, NN] {
        parts.extend(found_part(&metadata, part)?);
    }
    if parts.first().is_none_or(|p| p.part.name != CORE.name) {
        return Err(CommandError::Candle("the package does not use candle-core".to_owned()));
    }
    Ok(Found { parts, workspace: metadata.workspace_root })
}

/// The one crate of a name, if there is one.
fn found_part(metadata: &Metadata, part: Part) -> Result<Option<FoundPart>, CommandError> {
    let name = part.name;
    let mut found = metadata.packages.iter().filter(|p| p.name == name);
    let package = match (found.next(), found.next()) {
        (Some(package), None) => package,
        (None, _) => return Ok(None),
        (Some(a), Some(b)) => {
            let message =
                format!("the package uses {name} {} and {} at once", a.version, b.version);
            return Err(CommandError::Candle(message));
        }
    };
    match package.source.as_deref() {
        Some(source) if CRATES_IO.contains(&source) => {}
        other => {
            let message = format!(
                "{name} comes from {}: only that of crates.io can be replaced",
                other.unwrap_or("a folder")
            );
            return Err(CommandError::Candle(message));
        }
    }
    let folder = package.manifest_path.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok(Some(FoundPart { part, folder, version: package.version.clone() }))
}

/// Runs a cargo command with a recording candle-core; recordings go to the folder `to`, and their
/// files are what it gives. The lock file is afterwards what it was before.
pub fn record(command: &[OsString], to: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let cargo = Cargo::parse(command)?;
    let found = find(command)?;
    let cache = prepare::cache_folder();
    let patches = found.prepare(|p| Ok(cache.join(p.part.key(&p.version)?)))?;
    let lock = Kept::of(found.workspace.join("Cargo.lock"));
    let mut command = cargo.command();
    for patch in &patches {
        command.args(["--config", patch]);
    }
    command.args(&cargo.rest).env("AIRCONV_RECORDING", "1").env("AIRCONV_RECORDING_TO", to);
    let status = interrupt::status(&mut command)
        .map_err(|e| CommandError::Cargo(format!("cargo could not be run: {e}")))?;
    drop(lock);
    if !status.success() {
        return Err(CommandError::Failed(status));
    }
    let io = |e: std::io::Error| CommandError::Io(format!("{}: {e}", to.display()));
    let mut out = Vec::new();
    for entry in fs::read_dir(to).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension() == Some(OsStr::new("recording")) {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

/// What cargo has to be told to build with another crate of a name.
fn patch(name: &str, folder: &Path) -> String {
    // A JSON string is a TOML string too.
    let path = serde_json::Value::from(folder.to_string_lossy().into_owned());
    format!("patch.crates-io.{name}.path={path}")
}

/// A file that is put back when this goes.
struct Kept {
    path: PathBuf,
    contents: Option<Vec<u8>>,
}

impl Kept {
    fn of(path: PathBuf) -> Self {
        let contents = fs::read(&path).ok();
        Self { path, contents }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(contents) = &self.contents
            && fs::read(&self.path).ok().as_ref() != Some(contents)
        {
            // Nothing can be done about a failure here, and cargo would only write it anew.
            let _ = fs::write(&self.path, contents);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn a_cargo_command_is_taken_apart() {
        let command = words("cargo +nightly run --manifest-path a/Cargo.toml -F x -- --features y");
        let cargo = Cargo::parse(&command).unwrap();
        assert_eq!(cargo.toolchain, Some("+nightly".into()));
        assert_eq!(cargo.package_options(), words("--manifest-path a/Cargo.toml -F x"));
        assert!(matches!(Cargo::parse(&words("make run")), Err(CommandError::NotCargo(_))));
        assert!(matches!(Cargo::parse(&[]), Err(CommandError::NotCargo(_))));
        assert_eq!(Cargo::parse(&words("cargo run --locked")).unwrap().locked(), Some("--locked"));
        assert_eq!(Cargo::parse(&words("cargo run -- --locked")).unwrap().locked(), None);
    }

    #[test]
    fn the_one_candle_of_a_registry_is_found() {
        let package = |version: &str, source: &str| {
            format!(
                r#"{{"name":"candle-core","version":"{version}","source":{source},"manifest_path":"/r/c/Cargo.toml"}}"#
            )
        };
        let metadata = |packages: &[String]| {
            format!(r#"{{"packages":[{}],"workspace_root":"/w"}}"#, packages.join(","))
        };
        let registry = format!("\"{}\"", CRATES_IO[0]);
        let registry = registry.as_str();
        let good = metadata(&[package("0.11.1", registry)]);
        let found = from_metadata(good.as_bytes()).unwrap();
        assert_eq!(found.workspace, PathBuf::from("/w"));
        let [core] = &found.parts[..] else { panic!("{found:?}") };
        assert_eq!((core.folder.as_path(), core.version.as_str()), (Path::new("/r/c"), "0.11.1"));
        let nn = good.replace("[{", "[{\"name\":\"candle-nn\",\"version\":\"0.11.1\",\"source\":\"sparse+https://index.crates.io/\",\"manifest_path\":\"/r/n/Cargo.toml\"},{");
        assert_eq!(from_metadata(nn.as_bytes()).unwrap().parts.len(), 2);
        let refused = |packages: &[String], what: &str| {
            let error = from_metadata(metadata(packages).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        refused(&[], "does not use candle-core");
        refused(&[package("0.11.1", registry), package("0.10.0", registry)], "0.11.1 and 0.10.0");
        refused(&[package("0.11.1", "null")], "a folder");
        refused(&[package("0.11.1", "\"registry+https://example.org/index\"")], "example.org");
        assert!(from_metadata(b"{").is_err());
    }

    #[test]
    fn a_file_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Cargo.lock");
        fs::write(&path, "before").unwrap();
        let kept = Kept::of(path.clone());
        fs::write(&path, "after").unwrap();
        drop(kept);
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    }
}
