//! The [`Writer`] of TorchScript archives.

use std::io::{self, Seek, Write};
use std::path::Path;

use airconv_api::{Failed, Report, SupportRow, WriteOptions, Writer};
use airconv_ir::verify::Verified;
use rustc_hash::FxHashMap;

use super::print::{Modules, print};
use crate::archive::{ArchiveWriter, add_tensor, digest};
use crate::export::export;
use crate::export::program::{Input, Program, Stored, StoredKind};
use crate::pickle::{PickleWriter, TensorParts};
use crate::pt2::Pt2Writer;

/// Writes TorchScript archives that `torch.jit.load` and libtorch open.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScriptWriter;

/// The version of the format whose operators are meant.
const VERSION: &[u8] = b"10\n";

impl Writer for ScriptWriter {
    fn format(&self) -> &'static str {
        "torchscript"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["pt"]
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
        let modules = Modules::of(&program);
        let source = print(&program, &modules).map_err(|message| {
            report.error("torch-write", message);
            Failed::Unsupported
        })?;
        let written = ArchiveWriter::create(path).and_then(|mut archive| {
            fill(&mut archive, &program, &modules, &source)?;
            archive.finish()
        });
        written.map_err(|e| {
            report.error("io-write", format!("{}: {e}", path.display()));
            Failed::System
        })
    }
    fn support(&self) -> Vec<SupportRow> {
        Pt2Writer.support()
    }
}

/// A program as a TorchScript archive in memory, with all its weights.
///
/// # Errors
/// When the program says something that TorchScript cannot, or a tensor has no dtype of PyTorch.
pub fn to_bytes(program: &Program) -> Result<Vec<u8>, String> {
    let modules = Modules::of(program);
    let source = print(program, &modules)?;
    let mut archive = ArchiveWriter::in_memory("model");
    let filled = fill(&mut archive, program, &modules, &source);
    filled.and_then(|()| archive.into_bytes()).map_err(|e| e.to_string())
}

fn fill<W: Write + Seek>(
    archive: &mut ArchiveWriter<W>,
    program: &Program,
    modules: &Modules,
    source: &str,
) -> io::Result<()> {
    let mut records = Records::default();
    for input in &program.inputs {
        if let Input::Stored(stored) = input {
            records.add(archive, stored, program.changes(&stored.name))?;
        }
    }
    let mut pickle = PickleWriter::new();
    object(&mut pickle, modules, 0, program, &records)?;
    archive.add("data.pkl", &pickle.finish())?;
    archive.add("code/__torch__.py", source.as_bytes())?;
    let mut constants = PickleWriter::new();
    constants.empty_tuple();
    archive.add("constants.pkl", &constants.finish())?;
    archive.add("version", VERSION)?;
    archive.add("byteorder", b"little")
}

/// Which entry holds the elements of which tensor. Equal ones have one entry, and so one memory
/// once they are loaded, unless the program changes them.
#[derive(Default)]
struct Records {
    count: usize,
    by_name: FxHashMap<String, String>,
    seen: FxHashMap<(airconv_ir::dtype::DType, [u8; 32]), String>,
}

impl Records {
    fn add<W: Write + Seek>(
        &mut self,
        archive: &mut ArchiveWriter<W>,
        stored: &Stored,
        is_changed: bool,
    ) -> io::Result<()> {
        let content = (stored.tensor.dtype, digest(&stored.tensor)?);
        let known = if is_changed { None } else { self.seen.get(&content).cloned() };
        let key = match known {
            Some(key) => key,
            None => {
                let key = self.count.to_string();
                self.count += 1;
                add_tensor(archive, &format!("data/{key}"), &stored.tensor)?;
                key
            }
        };
        if !is_changed {
            self.seen.insert(content, key.clone());
        }
        self.by_name.insert(stored.name.clone(), key);
        Ok(())
    }
}

/// A module with its tensors and the modules in it.
fn object(
    pickle: &mut PickleWriter,
    modules: &Modules,
    at: usize,
    program: &Program,
    records: &Records,
) -> io::Result<()> {
    let Some(module) = modules.list.get(at) else { return Ok(()) };
    pickle.object("__torch__", &module.class).dict();
    pickle.str("training").bool(false).str("_is_full_backward_hook").none();
    for (attribute, input) in &module.tensors {
        let Some(Input::Stored(stored)) = program.inputs.get(*input) else { continue };
        pickle.str(attribute);
        tensor(pickle, stored, records)?;
    }
    for (attribute, inner) in &module.modules {
        pickle.str(attribute);
        object(pickle, modules, *inner, program, records)?;
    }
    pickle.end_dict().end_object();
    Ok(())
}

fn tensor(pickle: &mut PickleWriter, stored: &Stored, records: &Records) -> io::Result<()> {
    let tensor = &stored.tensor;
    let mut strides: Vec<i64> = Vec::with_capacity(tensor.dims.len());
    let mut step = 1i64;
    for &size in tensor.dims.iter().rev() {
        strides.push(step);
        step = step.saturating_mul(size.max(1) as i64);
    }
    strides.reverse();
    let parts = TensorParts {
        key: records.by_name.get(&stored.name).map_or("", String::as_str),
        dtype: tensor.dtype,
        numel: tensor.numel().unwrap_or(0),
        offset: 0,
        sizes: &tensor.dims,
        strides: &strides,
        requires_grad: stored.kind == StoredKind::Parameter && tensor.dtype.is_float(),
    };
    match pickle.tensor(&parts) {
        Some(_) => Ok(()),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "a tensor of no dtype of PyTorch")),
    }
}
