//! Writing: stored entries whose data begins at multiples of 64 bytes, without dates.

use std::io::{self, Cursor, Seek, Write};
use std::path::Path;

use airconv_api::files::Draft;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Alignment of the data of every entry.
pub const ALIGNMENT: u16 = 64;
/// The extra field that fills the space before the data: `FB`.
const FILLER: u16 = u16::from_le_bytes(*b"FB");
/// The size from which an entry needs 64-bit sizes.
const LARGE: u64 = u32::MAX as u64;

/// Writes an archive that appears whole or not at all. Equal entries make equal bytes.
pub struct ArchiveWriter<W: Write + Seek = Draft> {
    zip: ZipWriter<W>,
    root: String,
}

impl ArchiveWriter {
    /// Begins a file. Entries are put into a folder named after it, as PyTorch does.
    pub fn create(path: &Path) -> io::Result<Self> {
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
        let root = stem.filter(|s| !s.is_empty()).unwrap_or_else(|| "archive".to_owned());
        Self::with_root(path, &root)
    }
    /// Begins a file whose entries are in the folder `root`.
    pub fn with_root(path: &Path, root: &str) -> io::Result<Self> {
        Ok(Self { zip: ZipWriter::new(Draft::new(path)?), root: root.to_owned() })
    }
    /// Ends the archive and gives the file its name.
    pub fn finish(self) -> io::Result<()> {
        self.zip.finish()?.finish().map(drop)
    }
}

impl ArchiveWriter<Cursor<Vec<u8>>> {
    /// Begins an archive in memory whose entries are in the folder `root`.
    pub fn in_memory(root: &str) -> Self {
        Self { zip: ZipWriter::new(Cursor::new(Vec::new())), root: root.to_owned() }
    }
    /// Ends the archive and gives its bytes.
    pub fn into_bytes(self) -> io::Result<Vec<u8>> {
        Ok(self.zip.finish()?.into_inner())
    }
}

impl<W: Write + Seek> ArchiveWriter<W> {
    /// Adds an entry.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.add_from(name, bytes.len() as u64, |out| out.write_all(bytes))
    }

    /// Adds an entry of `size` bytes that `write` writes piece by piece, so that a large tensor
    /// is never whole in memory. Fails when it writes another number of bytes.
    pub fn add_from(
        &mut self,
        name: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .large_file(size >= LARGE)
            .with_alignment_and_header_id(ALIGNMENT, FILLER);
        self.zip.start_file(format!("{}/{name}", self.root), options)?;
        let mut counted = Counted { out: &mut self.zip, count: 0 };
        write(&mut counted)?;
        let count = counted.count;
        if count != size {
            let message = format!("entry `{name}` has {count} bytes instead of {size}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(())
    }
}

struct Counted<'a, W: Write + Seek> {
    out: &'a mut ZipWriter<W>,
    count: u64,
}

impl<W: Write + Seek> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.count += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
