//! The [`Writer`] of `.pt2` files.

use std::collections::BTreeMap;
use std::io::{self, Seek, Write};
use std::path::Path;

use airconv_api::{Failed, Report, Support, SupportRow, WriteOptions, Writer};
use airconv_ir::op::{OpKind, Tier};
use airconv_ir::verify::Verified;
use rustc_hash::FxHashMap;

use super::emit::{emit, stored_meta};
use super::records::{PayloadConfig, PayloadMeta};
use crate::archive::{ArchiveWriter, add_tensor, digest};
use crate::export::program::{Input, Program, Stored, StoredKind};
use crate::export::{all_rules, export};

/// Writes `.pt2` files that `torch.export.load` opens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pt2Writer;

impl Writer for Pt2Writer {
    fn format(&self) -> &'static str {
        "pt2"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["pt2"]
    }
    fn write(
        &self,
        module: &Verified<'_>,
        path: &Path,
        options: &WriteOptions,
        report: &mut Report,
    ) -> Result<(), Failed> {
        let program = export(module, report)?;
        if report.refused(&options.allow_lossy) {
            return Err(Failed::Unsupported);
        }
        let json = json_of(&program).map_err(|message| {
            report.error("torch-write", message);
            Failed::Unsupported
        })?;
        report.written.opsets.insert("torch:aten".to_owned(), 10);
        write_archive(path, &program, &json).map_err(|e| {
            report.error("io-write", format!("{}: {e}", path.display()));
            Failed::System
        })
    }
    fn support(&self) -> Vec<SupportRow> {
        OpKind::ALL.iter().map(|&kind| row(kind)).collect()
    }
}

/// Ops that graphs are made of; they have no rule.
fn of_graphs(kind: OpKind) -> bool {
    matches!(
        kind,
        OpKind::Constant
            | OpKind::DimValue
            | OpKind::DimsOf
            | OpKind::ShapeOf
            | OpKind::Size
            | OpKind::Identity
    )
}

fn row(kind: OpKind) -> SupportRow {
    let support = if of_graphs(kind) || all_rules().any(|r| r.kind == kind) {
        Support::Native
    } else if kind.info().tier == Tier::Composite {
        Support::Decomposed
    } else {
        Support::No("there is no rule for it".to_owned())
    };
    SupportRow { source: kind.name().to_owned(), hub: Some(kind), support, notes: String::new() }
}

fn json_of(program: &Program) -> Result<Vec<u8>, String> {
    serde_json::to_vec(&emit(program)?).map_err(|e| e.to_string())
}

/// A program as an archive of `torch.export` in memory, with all its weights.
///
/// # Errors
/// When the program says something that such an archive cannot.
pub fn to_bytes(program: &Program) -> Result<Vec<u8>, String> {
    let json = json_of(program)?;
    let mut archive = ArchiveWriter::in_memory("model");
    let filled = fill(&mut archive, program, &json);
    filled.and_then(|()| archive.into_bytes()).map_err(|e| e.to_string())
}

fn write_archive(path: &Path, program: &Program, json: &[u8]) -> io::Result<()> {
    let mut archive = ArchiveWriter::create(path)?;
    fill(&mut archive, program, json)?;
    archive.finish()
}

fn fill<W: Write + Seek>(
    archive: &mut ArchiveWriter<W>,
    program: &Program,
    json: &[u8],
) -> io::Result<()> {
    let stored = || {
        program.inputs.iter().filter_map(|i| match i {
            Input::Stored(s) => Some(s),
            Input::User(_) => None,
        })
    };
    let saved = |s: &&Stored| matches!(s.kind, StoredKind::Parameter | StoredKind::Buffer);
    let weights: Vec<&Stored> = stored().filter(saved).collect();
    let constants: Vec<&Stored> = stored().filter(|s| !saved(s)).collect();
    payload(archive, program, ("data/weights/", "weight", "model_weights_config.json"), &weights)?;
    payload(
        archive,
        program,
        ("data/constants/", "tensor", "model_constants_config.json"),
        &constants,
    )?;
    archive.add("models/model.json", json)?;
    archive.add("data/sample_inputs/model.pt", b"")?;
    archive.add("archive_format", b"pt2")?;
    archive.add("archive_version", b"0")?;
    archive.add(".data/version", b"6\n")?;
    archive.add("byteorder", b"little")
}

/// Writes tensors and the table of what they are. Equal ones are written once, and so have one
/// memory once they are loaded, unless the program changes them.
fn payload<W: Write + Seek>(
    archive: &mut ArchiveWriter<W>,
    program: &Program,
    (folder, stem, table): (&str, &str, &str),
    tensors: &[&Stored],
) -> io::Result<()> {
    let invalid = |e: String| io::Error::new(io::ErrorKind::InvalidData, e);
    let mut config = BTreeMap::new();
    let mut seen: FxHashMap<(i64, bool, [u8; 32]), String> = FxHashMap::default();
    let mut count = 0usize;
    for stored in tensors {
        let meta = stored_meta(stored).map_err(invalid)?;
        let key = (meta.dtype, meta.requires_grad, digest(&stored.tensor)?);
        let is_changed = program.changes(&stored.name);
        let known = if is_changed { None } else { seen.get(&key).cloned() };
        let name = match known {
            Some(name) => name,
            None => {
                let name = format!("{stem}_{count}");
                count += 1;
                add_tensor(archive, &format!("{folder}{name}"), &stored.tensor)?;
                name
            }
        };
        if !is_changed {
            seen.insert(key, name.clone());
        }
        let payload = PayloadMeta {
            path_name: name,
            is_param: stored.kind == StoredKind::Parameter,
            use_pickle: false,
            tensor_meta: Some(meta),
        };
        config.insert(stored.name.clone(), payload);
    }
    let json = serde_json::to_vec(&PayloadConfig { config }).map_err(|e| invalid(e.to_string()))?;
    archive.add(&format!("{folder}{table}"), &json)
}
