//! Files that hold weights only: `safetensors`, GGUF, and what `torch.save` makes of a dictionary
//! of tensors, today in a zip archive and before PyTorch 1.6 without one.

mod gguf;
mod index;
mod legacy;
mod reader;
mod safetensors;
mod state_dict;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use std::path::Path;

use airconv_api::Limits;
use bytes::Bytes;

use crate::archive::{Archive, map_file};
use crate::error::FileError;

pub use gguf::GgufWriter;
pub use reader::WeightsReader;
pub use state_dict::Storages;
pub use view::{Budget, View};
pub use writer::SafetensorsWriter;

/// The tensors of a file by name, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    /// The tensors.
    pub tensors: Vec<Weight>,
    /// What the file says about itself, by name.
    pub metadata: Vec<(String, String)>,
    /// Where the tensors were found in a checkpoint that has other things too: `state_dict`.
    pub found_in: Option<String>,
    /// Entries that hold no tensor, by name.
    pub skipped: Vec<String>,
    /// Tensors that were in quantised blocks and were decoded, with the type of the blocks.
    pub decoded: Vec<(String, String)>,
}

/// A named tensor.
#[derive(Clone, Debug)]
pub struct Weight {
    /// The name, `layer1.0.conv1.weight`.
    pub name: String,
    /// The elements.
    pub view: View,
    /// Whether it is trained.
    pub requires_grad: bool,
}

impl Weights {
    /// A tensor by its name.
    pub fn get(&self, name: &str) -> Option<&Weight> {
        self.tensors.iter().find(|w| w.name == name)
    }
}

/// Reads the weights of a file; the content tells its format. Elements stay in the mapped file.
///
/// Known are `safetensors`, GGUF, a `state_dict` (`.pt`, `.pth`, `.bin`) with or without a zip archive
/// around it, a TorchScript module, and the `.index.json` of weights in several files.
pub fn read_weights(path: &Path, map: bool, limits: &Limits) -> Result<Weights, FileError> {
    let place = path.display().to_string();
    read_one(path, map, limits).map_err(|e| match e.place.starts_with(&place) {
        true => e,
        false => e.within(&place),
    })
}

/// Reads the archive that `torch.save` makes of a dictionary of tensors.
pub(crate) fn read_state_dict(bytes: Bytes, limits: &Limits) -> Result<Weights, FileError> {
    state_dict::from_archive(&Archive::from_bytes(bytes, limits)?, limits)
}

fn read_one(path: &Path, map: bool, limits: &Limits) -> Result<Weights, FileError> {
    let bytes = map_file(path, map)?;
    match bytes.get(..4) {
        Some(b"PK\x03\x04") => read_state_dict(bytes, limits),
        Some([0x80, 2..=5, ..]) => legacy::read(&bytes, limits),
        Some(_) if gguf::sniff(&bytes) => gguf::read(&bytes, limits),
        Some([b'{', ..]) => index::read(path, &bytes, map, limits),
        _ if safetensors::sniff(&bytes) => safetensors::read(&bytes, limits),
        _ => Err(FileError::malformed("", "it is no file of weights that is known")),
    }
}
