//! The [`Reader`] of files that hold weights only.
//!
//! They become a function without inputs whose outputs are the tensors by name, so that they can
//! be inspected, compared, written as another format, and given to a program with `--weights`.

use std::path::Path;

use airconv_api::{Failed, ReadOptions, Reader, Report, SupportRow};
use airconv_ir::module::{ArgKindRole, Entity, Module, OutputRole};

use super::{Budget, Weights, read_weights};
use crate::error::FileError;
use crate::import::Importer;

/// Reads `.safetensors`, `.gguf`, `.pth` and `.bin` files.
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightsReader;

impl Reader for WeightsReader {
    fn format(&self) -> &'static str {
        "weights"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["safetensors", "gguf", "pth", "bin"]
    }
    fn sniff(&self, head: &[u8]) -> bool {
        super::gguf::sniff(head)
    }
    fn read(
        &self,
        path: &Path,
        options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed> {
        let read = read_weights(path, !options.no_mmap, &options.limits)
            .and_then(|weights| module(&weights, options, report));
        read.map_err(|e| {
            report.push(e.diagnostic());
            e.failed()
        })
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}

/// The tensors as outputs of a function.
fn module(
    weights: &Weights,
    options: &ReadOptions,
    report: &mut Report,
) -> Result<Module, FileError> {
    let mut imp = Importer::new("weights");
    let mut budget = Budget::new(&options.limits);
    for weight in &weights.tensors {
        let tensor = weight.view.tensor(&mut budget).map_err(|e| e.within(&weight.name))?;
        let value = imp.constant_value(tensor, &weight.name);
        let about = Entity::Value(imp.func, value);
        let kind = if weight.requires_grad { "parameter" } else { "buffer" };
        imp.module.note(about, "torch.kind", kind);
        let role = OutputRole::User(ArgKindRole::Tensor);
        imp.function_mut().add_output(&weight.name, value, role);
    }
    for (key, text) in &weights.metadata {
        imp.module.note(Entity::Module, &format!("weights.{key}"), text.as_str());
    }
    for (name, blocks) in &weights.decoded {
        let message = format!("blocks of {blocks} are decoded to f32");
        report.structural("gguf-decoded", &message, name);
    }
    for name in &weights.skipped {
        report.structural("torch-no-tensor", "entries that are no tensor are left out", name);
    }
    Ok(imp.module)
}
