//! Opens a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::container::{Header, LARGE_ALIGN, MAGIC, check_blobs, malformed};
use crate::error::ReadError;
use crate::limits::Limits;
use crate::program::Storage;
use crate::record::Digest;
use crate::version::{Version, upgrade};
use crate::{Contents, Program};

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// How much the file may hold.
    pub limits: Limits,
    /// Read the whole file into memory instead of mapping it: safe against changes of the
    /// file while it is in use, at the price of memory and time.
    pub no_mmap: bool,
    /// Check the digest of every tensor; takes as long as reading the whole file.
    pub verify_digests: bool,
}

/// An open file: its program, and its tensors as slices of it.
#[derive(Clone, Debug)]
pub struct IrFile {
    /// The version that the file was written as.
    pub version: Version,
    /// The lowest minor version that its contents need.
    pub needs: u16,
    /// The identity of the file: it covers the program and, through the digests in the
    /// program, all tensors.
    pub digest: Digest,
    /// The program and the bytes of its blobs.
    pub contents: Contents,
    bytes: Bytes,
}

/// Whether these first bytes of a file are those of an .ir file.
pub fn is_ir(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

/// Memory that starts at a page, so that blobs have their alignment in memory as in the file.
struct Aligned {
    memory: Vec<u8>,
    skip: usize,
}

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(self.skip..).unwrap_or_default()
    }
}

fn load(mut file: File, size: u64) -> io::Result<Bytes> {
    let page = LARGE_ALIGN as usize;
    let wanted = usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut memory: Vec<u8> = Vec::new();
    memory
        .try_reserve_exact(wanted.saturating_add(page))
        .map_err(|_| io::ErrorKind::OutOfMemory)?;
    let skip = memory.as_ptr().align_offset(page).min(page);
    memory.resize(skip, 0);
    let read = file.by_ref().take(size).read_to_end(&mut memory)?;
    if read < wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Bytes::from_owner(Aligned { memory, skip }))
}

/// Opens a file. Checks everything but the digests of the tensors and the padding between
/// them, which [`IrFile::verify_digests`] does.
pub fn read(path: &Path, options: &ReadOptions) -> Result<IrFile, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    let (size, limit) = (meta.len(), options.limits.file_bytes);
    if !meta.is_file() {
        return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    if size > limit {
        return Err(ReadError::Limit { what: "bytes of the file", found: size, limit });
    }
    let bytes = if options.no_mmap {
        load(file, size).map_err(io)?
    } else {
        // SAFETY: the map is read-only and private to this process's view. Another process
        // that changes the file while it is mapped changes what is read; one that truncates
        // it makes access fail with a signal. SPEC.md states this, and `no_mmap` avoids it.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Bytes::from_owner(map)
    };
    let open = read_bytes(bytes, &options.limits)?;
    if options.verify_digests {
        open.verify_digests()?;
    }
    Ok(open)
}

/// Opens a file that is in memory; tensors are slices of it.
pub fn read_bytes(bytes: Bytes, limits: &Limits) -> Result<IrFile, ReadError> {
    let (header, digest) = Header::decode(&bytes, limits)?;
    let section = header.program;
    if section.length > limits.program_bytes {
        let (what, limit) = ("bytes of the program section", limits.program_bytes);
        return Err(ReadError::Limit { what, found: section.length, limit });
    }
    // The ranges of sections and blobs are within the file: C-112, C-120.
    let part = |offset: u64, length: u64| bytes.slice(offset as usize..(offset + length) as usize);
    let text = part(section.offset, section.length);
    // C-116
    if <[u8; 32]>::from(Sha256::digest(&text)) != section.digest {
        return Err(ReadError::Digest { what: "the program".into() });
    }
    let program = Program::decode(&text, limits)?;
    check_blobs(&program.blobs, &header.tensors)?;
    check_references(&program)?;
    let data = program.blobs.iter().map(|b| part(b.offset, b.length)).collect();
    let wrong = |_| ReadError::Version { version: header.version, needs: header.needs };
    let file_version = Version { minor: header.needs, ..header.version };
    let program = upgrade(program, file_version).map_err(wrong)?;
    Ok(IrFile {
        version: header.version,
        needs: header.needs,
        digest,
        contents: Contents { program, data },
        bytes,
    })
}

/// C-123: tensors refer to blobs that exist; C-124: each blob is referred to.
fn check_references(program: &Program) -> Result<(), ReadError> {
    let mut used = vec![false; program.blobs.len()];
    for (i, tensor) in program.tensors.iter().enumerate() {
        if let Storage::Blob(blob) = tensor.storage {
            match used.get_mut(blob as usize) {
                Some(seen) => *seen = true,
                None => {
                    let count = program.blobs.len();
                    let message = format!("tensor {i} refers to blob {blob} of {count}");
                    return Err(malformed("C-123", message));
                }
            }
        }
    }
    match used.iter().position(|seen| !seen) {
        Some(i) => Err(malformed("C-124", format!("no tensor refers to blob {i}"))),
        None => Ok(()),
    }
}

impl IrFile {
    /// Checks the BLAKE3 digest of every blob (C-125) and that the padding between them is
    /// zero (C-126).
    pub fn verify_digests(&self) -> Result<(), ReadError> {
        let Contents { program, data } = &self.contents;
        let mut end = None;
        for (i, (blob, bytes)) in program.blobs.iter().zip(data).enumerate() {
            if blake3::hash(bytes) != blob.digest.0 {
                return Err(ReadError::Digest { what: format!("blob {i}") });
            }
            if let Some(end) = end {
                let gap = self.bytes.get(end as usize..blob.offset as usize).unwrap_or_default();
                if gap.iter().any(|&b| b != 0) {
                    return Err(malformed("C-126", format!("padding before blob {i} is not zero")));
                }
            }
            end = Some(blob.offset + blob.length);
        }
        Ok(())
    }
}
