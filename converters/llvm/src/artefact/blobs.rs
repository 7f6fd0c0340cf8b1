//! The data of an artefact: the hub program, and the constants that its kernels read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use airconv_ir::entity::TensorId;
use airconv_ir::module::Module;
use airconv_ir::tensor::Storage;
use airconv_ir::wire;
use airconv_kernel::c::native::{Blob, Placed, WeightFile, constants};
use airconv_kernel::carrier::{constant_of, lies_as_kernels_want};
use airconv_kernel::ir::{BufferId, BufferKind, Elem};
use airconv_kernel::lower::Lowered;
use bytes::Bytes;

/// Where every constant begins.
const ALIGN: usize = 64;

/// The program and its tensors as they lie in an artefact.
pub(super) struct Blobs {
    /// The hub program, an `.ir` file.
    pub(super) program: Bytes,
    /// Tensors of the program in a file beside.
    pub(super) weights: Bytes,
    /// What follows them there.
    pub(super) weights_more: Vec<u8>,
    /// Constants of the kernels that are no tensors of the program.
    pub(super) more: Vec<u8>,
    /// The length from which constants go to the file beside.
    external_from: Option<u64>,
}

/// Appends bytes at an aligned place, which is given.
fn append(to: &mut Vec<u8>, before: usize, bytes: &[u8]) -> usize {
    let at = (before + to.len()).next_multiple_of(ALIGN);
    to.resize(at - before, 0);
    to.extend_from_slice(bytes);
    at
}

/// The bytes within others, if they lie there.
fn within(whole: &Bytes, part: &Bytes) -> Option<u64> {
    let at = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    let inside = at.checked_add(part.len()).is_some_and(|end| end <= whole.len());
    (inside && !part.is_empty()).then_some(at as u64)
}

impl Blobs {
    /// The data of a module, and the module whose tensors lie in it. Tensors of at least
    /// `external_from` bytes go to a file of the name `file` beside the artefact.
    pub(super) fn new(
        module: &Module,
        scratch: &Path,
        external_from: Option<u64>,
        file: &str,
    ) -> Result<(Blobs, Module), String> {
        let failed = |e: &dyn std::fmt::Display| e.to_string();
        let mut written = module.clone();
        let mut weights = Vec::new();
        let mut places: Vec<(TensorId, usize, usize)> = Vec::new();
        if let Some(least) = external_from {
            for (id, tensor) in module.tensors.iter() {
                let Storage::Bytes(bytes) = &tensor.storage else { continue };
                if bytes.len() as u64 >= least {
                    places.push((id, append(&mut weights, 0, bytes), bytes.len()));
                }
            }
        }
        for &(id, at, len) in &places {
            written.tensors[id].storage =
                Storage::External { path: Arc::from(file), offset: at as u64, length: len as u64 };
        }
        let ir = scratch.join("program.ir");
        wire::write_ir(&written, &ir, &wire::WriteOptions::default()).map_err(|e| failed(&e))?;
        let written_tensors = written.tensors.len();
        drop(written);
        // The program is lowered as it lies in the file, so that the places of tensors are known.
        let program = Bytes::from(std::fs::read(&ir).map_err(|e| failed(&e))?);
        let weights = Bytes::from(weights);
        let mut module = wire::read_ir_bytes(program.clone(), &wire::Limits::default())
            .map_err(|e| failed(&e))?;
        if module.tensors.len() != written_tensors {
            return Err("the tensors of the program changed as it was written".to_owned());
        }
        for (id, at, len) in places {
            module.tensors[id].storage = Storage::Bytes(weights.slice(at..at + len));
        }
        let blobs =
            Blobs { program, weights, weights_more: Vec::new(), more: Vec::new(), external_from };
        Ok((blobs, module))
    }

    /// Where the constants of a program lie. What lies nowhere is added.
    pub(super) fn places(
        &mut self,
        lowered: &Lowered,
    ) -> Result<BTreeMap<BufferId, Placed>, Vec<String>> {
        let mut out = BTreeMap::new();
        let mut known: BTreeMap<TensorId, Placed> = BTreeMap::new();
        for b in constants(&lowered.program)? {
            let BufferKind::Constant(id) = lowered.program.buffer(b).kind else { continue };
            let placed = match known.get(&id) {
                Some(&placed) => placed,
                None => self.place(lowered, id).map_err(|e| vec![e])?,
            };
            known.insert(id, placed);
            out.insert(b, placed);
        }
        Ok(out)
    }

    fn place(&mut self, lowered: &Lowered, id: TensorId) -> Result<Placed, String> {
        let tensor = &lowered.module.tensors[id];
        let width = Elem::of(tensor.dtype).map_or(1, |(e, _)| e.bytes() as u64);
        if let (Storage::Bytes(bytes), true) = (&tensor.storage, lies_as_kernels_want(tensor.dtype))
        {
            let program = within(&self.program, bytes).map(|at| Placed { blob: Blob::Program, at });
            let weights = within(&self.weights, bytes).map(|at| Placed { blob: Blob::Weights, at });
            if let Some(found) = program.or(weights).filter(|p| p.at.is_multiple_of(width)) {
                return Ok(found);
            }
        }
        let memory = constant_of(tensor)?;
        let bytes = memory.bytes();
        let beside = self.external_from.is_some_and(|least| bytes.len() as u64 >= least);
        Ok(match beside {
            true => {
                let at = append(&mut self.weights_more, self.weights.len(), bytes);
                Placed { blob: Blob::Weights, at: at as u64 }
            }
            false => Placed { blob: Blob::More, at: append(&mut self.more, 0, bytes) as u64 },
        })
    }

    /// The file beside; none when there is nothing for it.
    pub(super) fn weight_file(&self, name: &str) -> Option<WeightFile> {
        let bytes = (self.weights.len() + self.weights_more.len()) as u64;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.weights).update(&self.weights_more);
        let digest = *hasher.finalize().as_bytes();
        (bytes > 0).then(|| WeightFile { name: name.to_owned(), bytes, digest })
    }
}
