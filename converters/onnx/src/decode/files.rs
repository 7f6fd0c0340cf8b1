//! Files as bytes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;

/// Opens a file as bytes: mapped where `use_mmap` is set, else read. An empty file gives empty
/// bytes; anything but a regular file is refused.
///
/// A mapped file must not be changed or cut short while the bytes are in use.
pub fn map_file(path: &Path, use_mmap: bool) -> io::Result<Bytes> {
    // Opening a pipe would block, so the kind is checked first; and again on what was opened.
    refuse_irregular(path, &fs::metadata(path)?)?;
    let file = File::open(path)?;
    refuse_irregular(path, &file.metadata()?)?;
    map_open_file(file, use_mmap)
}

/// Bytes of an open regular file.
pub(crate) fn map_open_file(mut file: File, use_mmap: bool) -> io::Result<Bytes> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(Bytes::new());
    }
    let size = usize::try_from(length).map_err(|_| {
        io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("the file has {length} bytes, more than this machine can address"),
        )
    })?;
    if use_mmap {
        // SAFETY: the map is read-only and lives as long as the bytes made of it. That nobody
        // changes the file meanwhile is what the documentation of `map_file` asks for.
        let map = unsafe { memmap2::MmapOptions::new().len(size).map(&file)? };
        return Ok(Bytes::from_owner(map));
    }
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(size).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    file.by_ref().take(length).read_to_end(&mut buffer)?;
    Ok(Bytes::from(buffer))
}

fn refuse_irregular(path: &Path, found: &fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let what = if found.is_dir() { "is a folder" } else { "is not a regular file" };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{} {what}: name a file on disk", path.display()),
    ))
}
