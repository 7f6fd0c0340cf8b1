//! The [`Reader`] of `.pt2` files.

use std::path::Path;

use airconv_api::{Failed, ReadOptions, Reader, Report, Support, SupportRow};
use airconv_ir::module::Module;

use super::import::import;
use super::payload::Payloads;
use super::records::{ExportedProgram, SchemaVersion};
use crate::archive::Archive;
use crate::error::FileError;
use crate::import::all_rules;

/// Reads `.pt2` files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pt2Reader;

/// The major version of the schema that is read.
const SCHEMA_MAJOR: i64 = 8;

impl Reader for Pt2Reader {
    fn format(&self) -> &'static str {
        "pt2"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["pt2"]
    }
    fn sniff(&self, _head: &[u8]) -> bool {
        // A zip archive may hold anything.
        false
    }
    fn read(
        &self,
        path: &Path,
        options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed> {
        let read = read(path, options, report);
        let module = read.map_err(|e| {
            let failed = e.failed();
            report.push(e.within(&path.display().to_string()).diagnostic());
            failed
        })?;
        if report.has_errors() { Err(Failed::Unsupported) } else { Ok(module) }
    }
    fn support(&self) -> Vec<SupportRow> {
        let mut rows: Vec<SupportRow> = all_rules()
            .map(|rule| SupportRow {
                source: match rule.overload {
                    None | Some("") => rule.name.replace("::", "."),
                    Some(overload) => format!("{}.{overload}", rule.name.replace("::", ".")),
                },
                hub: match rule.makes {
                    [one] => Some(*one),
                    _ => None,
                },
                support: Support::Native,
                notes: String::new(),
            })
            .collect();
        rows.sort_by(|a, b| a.source.cmp(&b.source));
        rows
    }
}

fn read(path: &Path, options: &ReadOptions, report: &mut Report) -> Result<Module, FileError> {
    let archive = Archive::open(path, !options.no_mmap, &options.limits)?;
    let bytes = archive.get(model_entry(&archive)?)?;
    let program = parse(&bytes, options)?;
    check_version(program.schema_version)?;
    let payloads = Payloads::open(&archive, &options.limits)?;
    import(&program, &payloads, options, report)
}

/// The entry of the one program of the archive.
fn model_entry(archive: &Archive) -> Result<&str, FileError> {
    let models: Vec<&str> = archive
        .entries()
        .iter()
        .map(|e| e.name.as_str())
        .filter(|n| n.starts_with("models/") && n.ends_with(".json"))
        .collect();
    match models.as_slice() {
        [one] => Ok(one),
        [] => Err(FileError::malformed(
            "",
            "this is no archive of torch.export: it has no models/NAME.json",
        )),
        many => Err(FileError::unsupported(
            "",
            format!("it holds several programs: {}", many.join(", ")),
        )),
    }
}

fn parse(bytes: &[u8], options: &ReadOptions) -> Result<ExportedProgram, FileError> {
    if bytes.len() as u64 > options.limits.decoded_bytes {
        return Err(FileError::limit("", format!("the program has {} bytes", bytes.len())));
    }
    serde_json::from_slice(bytes).map_err(|e| FileError::malformed("models", e.to_string()))
}

fn check_version(version: SchemaVersion) -> Result<(), FileError> {
    match version.major {
        SCHEMA_MAJOR => Ok(()),
        major => Err(FileError::unsupported(
            "",
            format!(
                "its schema is version {major}.{}; version {SCHEMA_MAJOR} is read, which \
                 PyTorch 2.6 and later write",
                version.minor
            ),
        )),
    }
}
