//! The [`Writer`] of `.gguf` files: the weights of a program by name, their elements as they are.

use std::io::{Seek, Write};
use std::path::Path;

use airconv_api::files::Draft;
use airconv_api::{Diagnostic, Failed, Report, SupportRow, WriteOptions, Writer};
use airconv_ir::tensor::{Storage, Tensor};
use airconv_ir::verify::Verified;

use super::super::writer::{elements, named_tensors};
use super::PLAIN;

/// Elements of a tensor begin at a multiple of this.
const ALIGNMENT: u64 = 32;
/// The most axes that the format has.
const MOST_AXES: usize = 4;
/// The type of a text among named values.
const TEXT: u32 = 8;
/// What models are named when nothing says how they are built.
const ARCHITECTURE: &str = "unknown";

/// Writes `.gguf` files, version 3.
#[derive(Clone, Copy, Debug, Default)]
pub struct GgufWriter;

impl Writer for GgufWriter {
    fn format(&self) -> &'static str {
        "gguf"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["gguf"]
    }
    fn write(
        &self,
        module: &Verified<'_>,
        path: &Path,
        options: &WriteOptions,
        report: &mut Report,
    ) -> Result<(), Failed> {
        let module = module.module();
        let named = named_tensors(module, report);
        let mut records = Vec::new();
        for (name, tensor) in &named {
            match kind(tensor) {
                Ok(kind) => records.push((name.as_str(), *tensor, kind)),
                Err(why) => report.push(Diagnostic::error("gguf-tensor", why).at(name.clone())),
            }
        }
        if report.refused(&options.allow_lossy) || report.has_errors() {
            return Err(Failed::Unsupported);
        }
        save(&records, path).map_err(|e| {
            report.error("io-write", format!("{}: {e}", path.display()));
            Failed::System
        })
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}

/// The number of the type of a tensor's elements, or why the format does not hold it.
fn kind(tensor: &Tensor) -> Result<u32, String> {
    if matches!(tensor.storage, Storage::External { .. }) {
        return Err("its elements are in a file that has not been opened".to_owned());
    }
    if tensor.dims.len() > MOST_AXES {
        return Err(format!("GGUF has tensors of at most {MOST_AXES} axes"));
    }
    let found = PLAIN.iter().find(|(_, dtype)| *dtype == tensor.dtype);
    found.map(|(kind, _)| *kind).ok_or_else(|| format!("GGUF has no {}", tensor.dtype))
}

/// Writes the header, and then tensors one after the other.
fn save(records: &[(&str, &Tensor, u32)], path: &Path) -> std::io::Result<()> {
    let mut header = b"GGUF".to_vec();
    header.extend(3u32.to_le_bytes());
    header.extend((records.len() as u64).to_le_bytes());
    header.extend(1u64.to_le_bytes());
    put_text(&mut header, "general.architecture");
    header.extend(TEXT.to_le_bytes());
    put_text(&mut header, ARCHITECTURE);
    let mut offset = 0u64;
    for (name, tensor, kind) in records {
        put_text(&mut header, name);
        header.extend((tensor.dims.len() as u32).to_le_bytes());
        header.extend(tensor.dims.iter().rev().flat_map(|d| d.to_le_bytes()));
        header.extend(kind.to_le_bytes());
        header.extend(offset.to_le_bytes());
        offset += tensor.byte_len().unwrap_or(0).next_multiple_of(ALIGNMENT);
    }
    let mut draft = Draft::new(path)?;
    draft.write_all(&header)?;
    for (_, tensor, _) in records {
        align(&mut draft)?;
        draft.write_all(&elements(tensor))?;
    }
    align(&mut draft)?;
    draft.finish().map(drop)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn align(draft: &mut Draft) -> std::io::Result<()> {
    let at = draft.stream_position()?;
    let gap = at.next_multiple_of(ALIGNMENT) - at;
    draft.write_all(&[0; ALIGNMENT as usize][..gap as usize])
}
