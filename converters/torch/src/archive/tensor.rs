//! Elements of tensors as entries, written piece by piece.

use std::io::{self, Seek, Write};

use airconv_ir::tensor::{Storage, Tensor};
use bytes::Bytes;

use super::ArchiveWriter;

/// How many bytes of a repeated element are written at once.
const CHUNK: usize = 1 << 16;

/// A digest of the elements, the same for equal ones however they are stored.
pub(crate) fn digest(tensor: &Tensor) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    for_each_chunk(tensor, &mut |chunk| {
        hasher.update(chunk);
        Ok(())
    })?;
    Ok(*hasher.finalize().as_bytes())
}

/// Adds an entry of the elements, little-endian and row-major.
pub(crate) fn add_tensor<W: Write + Seek>(
    archive: &mut ArchiveWriter<W>,
    name: &str,
    tensor: &Tensor,
) -> io::Result<()> {
    let size = tensor.byte_len().unwrap_or(0);
    archive.add_from(name, size, |out| for_each_chunk(tensor, &mut |chunk| out.write_all(chunk)))
}

/// Gives the bytes of a tensor piece by piece.
fn for_each_chunk(tensor: &Tensor, f: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    match &tensor.storage {
        Storage::Bytes(bytes) => f(bytes),
        Storage::Splat(one) => repeat(one, tensor.numel().unwrap_or(0), f),
        Storage::Strings(_) | Storage::External { .. } => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a tensor without numbers"))
        }
    }
}

fn repeat(one: &Bytes, count: u64, f: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let per_chunk = (CHUNK / one.len().max(1)).max(1) as u64;
    let chunk = one.repeat(per_chunk.min(count) as usize);
    let mut left = count;
    while left > 0 {
        let n = left.min(per_chunk);
        f(chunk.get(..n as usize * one.len()).unwrap_or_default())?;
        left -= n;
    }
    Ok(())
}
