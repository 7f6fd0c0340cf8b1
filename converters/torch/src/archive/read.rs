//! Reading: entries are slices of the mapped file; only compressed ones are unpacked.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::Path;

use airconv_api::Limits;
use bytes::Bytes;
use zip::CompressionMethod;
use zip::read::{ArchiveOffset, Config};

use crate::error::FileError;

/// The most that deflate can shrink: 258 bytes in two bits, about.
const DEFLATE_RATIO: u64 = 1032;

/// A zip archive in memory or in a mapped file.
///
/// Names are as PyTorch's own reader takes them: without the folder that all entries are in.
#[derive(Debug)]
pub struct Archive {
    bytes: Bytes,
    zip: Zip,
    root: String,
    entries: Vec<Entry>,
    by_name: BTreeMap<String, usize>,
    /// How many bytes may still be unpacked.
    unpack: Cell<u64>,
}

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name below the archive's folder.
    pub name: String,
    /// The bytes when unpacked.
    pub size: u64,
    /// The first byte in the archive.
    start: usize,
    /// The bytes in the archive.
    packed: usize,
    /// Whether it is compressed.
    deflated: bool,
    index: usize,
}

/// A file as bytes: mapped if `map`, else read. Anything but a regular file is refused.
///
/// A mapped file must not be changed or cut short while the bytes are in use.
pub fn map_file(path: &Path, map: bool) -> Result<Bytes, FileError> {
    open_bytes(path, map).map_err(|e| FileError::system(path.display().to_string(), e.to_string()))
}

fn open_bytes(path: &Path, map: bool) -> io::Result<Bytes> {
    // Opening a pipe would block, so the kind is looked at first.
    let regular = |found: &fs::Metadata| match found.is_file() {
        true => Ok(found.len()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    };
    regular(&fs::metadata(path)?)?;
    let mut file = File::open(path)?;
    let length = regular(&file.metadata()?)?;
    let size = usize::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    if size == 0 {
        return Ok(Bytes::new());
    }
    if map {
        // SAFETY: the map is read-only and lives as long as the bytes made of it. That nobody
        // changes the file meanwhile is what the documentation of `map_file` asks for.
        let map = unsafe { memmap2::MmapOptions::new().len(size).map(&file)? };
        return Ok(Bytes::from_owner(map));
    }
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(size).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    file.by_ref().take(length).read_to_end(&mut buffer)?;
    Ok(buffer.into())
}

impl Archive {
    /// Opens a file by mapping it.
    pub fn open(path: &Path, map: bool, limits: &Limits) -> Result<Self, FileError> {
        let bytes = map_file(path, map)?;
        Self::from_bytes(bytes, limits).map_err(|e| e.within(&path.display().to_string()))
    }

    /// Reads the list of entries. Refused are names that lead out of the archive or stand twice,
    /// encryption, compression other than deflate, and entries that share bytes or claim to
    /// unpack to more than their compression can give.
    pub fn from_bytes(bytes: Bytes, limits: &Limits) -> Result<Self, FileError> {
        let mut zip = open_zip(&bytes)?;
        if zip.has_duplicate_names() {
            return Err(FileError::malformed("", "two entries of the archive have one name"));
        }
        if zip.len() as u64 > limits.nodes {
            return Err(FileError::limit("", format!("the archive has {} entries", zip.len())));
        }
        let mut entries = Vec::with_capacity(zip.len());
        for index in 0..zip.len() {
            entries.extend(entry(&mut zip, index, bytes.len())?);
        }
        refuse_overlap(&entries)?;
        let root = common_folder(&entries);
        let mut by_name = BTreeMap::new();
        for (i, entry) in entries.iter_mut().enumerate() {
            entry.name.drain(..root.len());
            by_name.insert(entry.name.clone(), i);
        }
        let unpack = Cell::new(limits.expanded_bytes);
        Ok(Self { bytes, zip, root, entries, by_name, unpack })
    }

    /// The folder that all entries are in, with its slash; empty if there is none.
    pub fn root(&self) -> &str {
        &self.root
    }
    /// All entries in the order of the archive's directory.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
    /// Whether there is an entry of this name.
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
    /// The bytes of an entry: a slice of the archive if it is stored, else unpacked.
    pub fn get(&self, name: &str) -> Result<Bytes, FileError> {
        match self.by_name.get(name).and_then(|&i| self.entries.get(i)) {
            Some(entry) => self.read(entry),
            None => Err(FileError::malformed(name, "the archive has no such entry")),
        }
    }
    /// The bytes of an entry if there is one of this name.
    pub fn find(&self, name: &str) -> Result<Option<Bytes>, FileError> {
        if self.has(name) { self.get(name).map(Some) } else { Ok(None) }
    }
    /// An entry as text.
    pub fn text(&self, name: &str) -> Result<String, FileError> {
        String::from_utf8(self.get(name)?.to_vec())
            .map_err(|_| FileError::malformed(name, "it is not UTF-8 text"))
    }

    /// The bytes of an entry of this archive.
    pub fn read(&self, entry: &Entry) -> Result<Bytes, FileError> {
        if !entry.deflated {
            return Ok(self.bytes.slice(entry.start..entry.start + entry.packed));
        }
        let left = self.unpack.get().checked_sub(entry.size).ok_or_else(|| {
            let message = format!("it unpacks to {} bytes, more than may be unpacked", entry.size);
            FileError::limit(&entry.name, message)
        })?;
        self.unpack.set(left);
        // Clones share the directory and the bytes.
        let mut zip = self.zip.clone();
        let mut file = zip.by_index(entry.index).map_err(|e| bad_zip(&entry.name, &e))?;
        let mut out = Vec::new();
        // One byte more than stated is enough to see that the statement is wrong.
        let got = (&mut file)
            .take(entry.size + 1)
            .read_to_end(&mut out)
            .map_err(|e| FileError::malformed(&entry.name, e.to_string()))?;
        if got as u64 != entry.size {
            return Err(FileError::malformed(
                &entry.name,
                format!("the archive states {} bytes and has {got}", entry.size),
            ));
        }
        Ok(out.into())
    }
}

type Zip = zip::ZipArchive<Cursor<Bytes>>;

fn open_zip(bytes: &Bytes) -> Result<Zip, FileError> {
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    zip::ZipArchive::with_config(config, Cursor::new(bytes.clone())).map_err(|e| bad_zip("", &e))
}

fn bad_zip(place: &str, error: &zip::result::ZipError) -> FileError {
    FileError::malformed(place, format!("the zip archive is damaged: {error}"))
}

/// An entry with its place in the archive; nothing for a folder.
fn entry(zip: &mut Zip, index: usize, length: usize) -> Result<Option<Entry>, FileError> {
    let file = zip.by_index_raw(index).map_err(|e| bad_zip("", &e))?;
    let name = std::str::from_utf8(file.name_raw())
        .map_err(|_| FileError::malformed("", "the name of an entry is not UTF-8 text"))?
        .to_owned();
    if let Some(reason) = unsafe_name(&name) {
        return Err(FileError::malformed(format!("{name:?}"), reason));
    }
    if name.ends_with('/') && file.size() == 0 {
        return Ok(None);
    }
    if file.encrypted() {
        return Err(FileError::unsupported(name, "it is encrypted"));
    }
    let (size, packed) = (file.size(), file.compressed_size());
    let deflated = match file.compression() {
        CompressionMethod::Stored if size == packed => false,
        CompressionMethod::Stored => {
            return Err(FileError::malformed(name, "it is stored with two different sizes"));
        }
        CompressionMethod::Deflated => true,
        other => {
            return Err(FileError::unsupported(name, format!("it is compressed by {other:?}")));
        }
    };
    if deflated && size > packed.saturating_mul(DEFLATE_RATIO).saturating_add(64) {
        let message = format!("{packed} bytes are said to unpack to {size}, which cannot be");
        return Err(FileError::malformed(name, message));
    }
    let range = file.data_start().and_then(|start| {
        let end = start.checked_add(packed).filter(|&end| end <= length as u64)?;
        Some((usize::try_from(start).ok()?, usize::try_from(end - start).ok()?))
    });
    let Some((start, packed)) = range else {
        return Err(FileError::malformed(name, "its bytes are not all in the file"));
    };
    Ok(Some(Entry { name, size, start, packed, deflated, index }))
}

/// Why a name could lead somewhere else than into the archive.
fn unsafe_name(name: &str) -> Option<&'static str> {
    let folder = name.strip_suffix('/').unwrap_or(name);
    if name.is_empty() || name.contains('\0') {
        return Some("an entry of the archive has an empty name or one with a zero byte");
    }
    if name.starts_with('/') || name.contains('\\') || folder.get(1..2) == Some(":") {
        return Some("the name of an entry is not a path below the archive");
    }
    if folder.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some("the name of an entry has empty parts, `.` or `..`");
    }
    None
}

/// Refuses entries that share bytes, by which small archives unpack to large ones.
fn refuse_overlap(entries: &[Entry]) -> Result<(), FileError> {
    let mut by_start: Vec<&Entry> = entries.iter().filter(|e| e.packed > 0).collect();
    by_start.sort_by_key(|e| e.start);
    for pair in by_start.windows(2) {
        if let [a, b] = pair
            && a.start + a.packed > b.start
        {
            let message = format!("it shares bytes with `{}`", a.name);
            return Err(FileError::malformed(&b.name, message));
        }
    }
    Ok(())
}

/// The first part of the names if all have the same.
fn common_folder(entries: &[Entry]) -> String {
    let Some((folder, _)) = entries.first().and_then(|e| e.name.split_once('/')) else {
        return String::new();
    };
    let folder = format!("{folder}/");
    if entries.iter().all(|e| e.name.starts_with(&folder)) { folder } else { String::new() }
}
