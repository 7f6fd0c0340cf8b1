//! Writes a file in one pass, without ever holding its tensors.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::container::{ALIGN, HEADER, Header, Section, align, place};
use crate::error::WriteError;
use crate::limits::Limits;
use crate::program::{Blob, Storage};
use crate::record::{Digest, Need};
use crate::version::{Version, downgrade};
use crate::{Contents, scan};

/// Bytes that are hashed and written in one go: few enough to be in the cache still.
const PIECE: usize = 1 << 20;
/// Pieces that writing may be ahead of hashing.
const AHEAD: usize = 4;
/// Blobs up to this size are hashed before they are written.
const SMALL: usize = AHEAD * PIECE;

/// How a file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// The version to write.
    pub target: Version,
    /// Needs that the records do not show, such as those of ops.
    pub needs: Vec<Need>,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { target: Version::CURRENT, needs: Vec::new() }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The size of the file.
    pub bytes: u64,
    /// The number of distinct blobs.
    pub blobs: usize,
    /// The lowest minor version that can read it.
    pub needs: u16,
    /// The identity of the file.
    pub digest: Digest,
}

/// A place that a file can be written to.
pub trait Target: Write + Seek {
    /// Cuts off what is beyond `size`.
    fn cut(&mut self, size: u64) -> io::Result<()>;
}

impl Target for File {
    fn cut(&mut self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }
}

impl Target for Cursor<Vec<u8>> {
    fn cut(&mut self, size: u64) -> io::Result<()> {
        self.get_mut().truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(())
    }
}

impl<T: Target + ?Sized> Target for &mut T {
    fn cut(&mut self, size: u64) -> io::Result<()> {
        (**self).cut(size)
    }
}

/// Writes a file: to a temporary one beside it, which takes its place when it is complete
/// and is removed when anything fails. A link is followed.
pub fn write(
    path: &Path,
    contents: Contents,
    options: &WriteOptions,
) -> Result<Written, WriteError> {
    let path = &place_of(path)?;
    let io = |source| WriteError::Io { path: path.clone(), source };
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    // Opened here, an error is the system's alone, without the temporary name.
    let new = |path: &Path| File::options().read(true).write(true).create_new(true).open(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".airconv-").suffix(".part");
    let mut file = builder.make_in(folder, new).map_err(io)?;
    let written = write_to(file.as_file_mut(), contents, options).map_err(|e| match e {
        WriteError::Io { source, .. } => io(source),
        other => other,
    })?;
    if let Ok(old) = fs::metadata(path) {
        file.as_file().set_permissions(old.permissions()).map_err(io)?;
    }
    file.persist(path).map_err(|e| io(e.error))?;
    Ok(written)
}

/// The path that the file will have in the end. Devices and folders are refused: renaming
/// would replace them.
fn place_of(path: &Path) -> Result<PathBuf, WriteError> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(&path) {
        Ok(meta) if !meta.is_file() => Err(WriteError::NotAFile { path }),
        _ => Ok(path),
    }
}

/// Writes a file to a place that starts empty.
pub fn write_to(
    out: &mut dyn Target,
    contents: Contents,
    options: &WriteOptions,
) -> Result<Written, WriteError> {
    let Contents { program, data } = contents;
    let (mut program, needs) = downgrade(program, options.target, &options.needs)?;
    let io = |source| WriteError::Io { path: PathBuf::new(), source };
    let mut out = Output { out: io::BufWriter::with_capacity(PIECE, out), at: 0 };
    out.zeros_to(HEADER as u64).map_err(io)?;

    let start = align(HEADER as u64, ALIGN);
    out.zeros_to(start).map_err(io)?;
    let mut blobs = Blobs::default();
    for (tensor, entry) in program.tensors.iter_mut().enumerate() {
        if let Storage::Blob(blob) = &mut entry.storage {
            let Some(bytes) = data.get(*blob as usize) else {
                return Err(WriteError::NoSuchBlob { tensor, blob: *blob, count: data.len() });
            };
            *blob = blobs.put(&mut out, bytes).map_err(io)?;
        }
    }
    let tensors = Section { offset: start, length: out.at - start, digest: [0; 32] };
    program.blobs = blobs.table;
    let count = program.blobs.len();

    let text = program.encode()?;
    drop(program);
    // What is written can be read with the limits that readers have by default.
    scan::scan(&text, &Limits::default()).map_err(|e| WriteError::TooLarge(Box::new(e)))?;
    out.zeros_to(align(out.at, ALIGN)).map_err(io)?;
    let (offset, length) = (out.at, text.len() as u64);
    let program = Section { offset, length, digest: Sha256::digest(&text).into() };
    out.put(&text).map_err(io)?;

    let header = Header { version: options.target, needs, tensors, program };
    let (header, digest) = header.encode();
    let bytes = out.at;
    let mut finish = || {
        // A copy of an earlier blob may have been written beyond the end and taken back.
        out.out.flush()?;
        out.out.get_mut().cut(bytes)?;
        out.out.seek(SeekFrom::Start(0))?;
        out.out.write_all(&header)?;
        out.out.flush()
    };
    finish().map_err(io)?;
    Ok(Written { bytes, blobs: count, needs, digest })
}

struct Output<'a> {
    out: io::BufWriter<&'a mut dyn Target>,
    at: u64,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
    fn zeros_to(&mut self, end: u64) -> io::Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while self.at < end {
            let n = (end - self.at).min(ZEROS.len() as u64);
            self.put(ZEROS.get(..n as usize).unwrap_or_default())?;
        }
        Ok(())
    }
    fn back_to(&mut self, at: u64) -> io::Result<()> {
        self.out.seek(SeekFrom::Start(at))?;
        self.at = at;
        Ok(())
    }
}

#[derive(Default)]
struct Blobs {
    table: Vec<Blob>,
    by_digest: HashMap<Digest, u32>,
    by_place: HashMap<(usize, usize), u32>,
}

impl Blobs {
    /// Writes a blob unless one with the same bytes is there, and gives its position. Large
    /// ones are hashed while they are written and taken back when they turn out to be a
    /// copy, so that a tensor of a mapped file larger than memory is read once.
    fn put(&mut self, out: &mut Output<'_>, bytes: &Bytes) -> io::Result<u32> {
        let place_in_memory = (bytes.as_ptr() as usize, bytes.len());
        if let Some(&known) = self.by_place.get(&place_in_memory) {
            return Ok(known);
        }
        let back = out.at;
        let offset = place(out.at, bytes.len() as u64);
        let small = bytes.len() <= SMALL;
        let digest = if small {
            blake3::hash(bytes)
        } else {
            out.zeros_to(offset)?;
            write_and_hash(out, bytes)?
        };
        let digest = Digest(digest.into());
        let new = self.table.len() as u32;
        let blob = *self.by_digest.entry(digest).or_insert(new);
        self.by_place.insert(place_in_memory, blob);
        if blob == new {
            if small {
                out.zeros_to(offset)?;
                out.put(bytes)?;
            }
            self.table.push(Blob { offset, length: bytes.len() as u64, digest });
        } else if !small {
            out.back_to(back)?;
        }
        Ok(blob)
    }
}

/// Writes bytes while another thread, a few pieces behind, hashes them.
fn write_and_hash(out: &mut Output<'_>, bytes: &[u8]) -> io::Result<blake3::Hash> {
    thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel::<&[u8]>(AHEAD);
        let hash = move || {
            let mut hasher = blake3::Hasher::new();
            receive.into_iter().for_each(|piece| {
                hasher.update(piece);
            });
            hasher.finalize()
        };
        let hash = thread::Builder::new().spawn_scoped(scope, hash)?;
        let gone = || io::Error::other("the hashing thread ended early");
        for piece in bytes.chunks(PIECE) {
            send.send(piece).map_err(|_| gone())?;
            out.put(piece)?;
        }
        drop(send);
        hash.join().map_err(|_| gone())
    })
}
