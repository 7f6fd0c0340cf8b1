//! The [`Reader`] of `.pt2` files.

use std::path::Path;

use airconv_api::{Failed, ReadOptions, Reader, Report, Support, SupportRow};
use airconv_ir::module::Module;
use bytes::Bytes;

use super::container::Container;
use super::import::import;
use super::payload::Payloads;
use super::records::{ExportedProgram, SchemaVersion};
use crate::archive::Archive;
use crate::error::FileError;
use crate::import::all_rules;

/// Reads `.pt2` files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pt2Reader;

/// The major versions of the schema that are read, and what writes them.
const SCHEMAS: &[(i64, &str)] = &[(7, "PyTorch 2.5"), (8, "PyTorch 2.6 and later")];

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
        let archive = Archive::open(path, !options.no_mmap, &options.limits);
        finish(archive, Some(path), options, report)
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

impl Pt2Reader {
    /// Reads an archive that is in memory.
    pub fn read_bytes(
        &self,
        bytes: Bytes,
        options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed> {
        finish(Archive::from_bytes(bytes, &options.limits), None, options, report)
    }
}

/// Reads an archive that was opened, and reports what is wrong.
fn finish(
    archive: Result<Archive, FileError>,
    path: Option<&Path>,
    options: &ReadOptions,
    report: &mut Report,
) -> Result<Module, Failed> {
    let read = archive.and_then(|archive| read_archive(&archive, options, report));
    let module = read.map_err(|e| {
        let failed = e.failed();
        let e = match path {
            Some(path) => e.within(&path.display().to_string()),
            None => e,
        };
        report.push(e.diagnostic());
        failed
    })?;
    if report.has_errors() { Err(Failed::Unsupported) } else { Ok(module) }
}

/// Reads the program of an archive.
pub(super) fn read_archive(
    archive: &Archive,
    options: &ReadOptions,
    report: &mut Report,
) -> Result<Module, FileError> {
    let container = Container::of(archive)?;
    let program = parse(&archive.get(container.program())?, options)?;
    check_version(program.schema_version)?;
    let payloads = Payloads::open(archive, &container, &options.limits)?;
    import(&program, &payloads, options, report)
}

fn parse(bytes: &[u8], options: &ReadOptions) -> Result<ExportedProgram, FileError> {
    if bytes.len() as u64 > options.limits.decoded_bytes {
        return Err(FileError::limit("", format!("the program has {} bytes", bytes.len())));
    }
    serde_json::from_slice(bytes).map_err(|e| FileError::malformed("models", e.to_string()))
}

fn check_version(version: SchemaVersion) -> Result<(), FileError> {
    let known = SCHEMAS.iter().any(|(major, _)| *major == version.major);
    if known {
        return Ok(());
    }
    let list: Vec<String> =
        SCHEMAS.iter().map(|(major, writers)| format!("{major} ({writers})")).collect();
    Err(FileError::unsupported(
        "",
        format!(
            "its schema is version {}.{}; these are read: {}",
            version.major,
            version.minor,
            list.join(", ")
        ),
    ))
}
