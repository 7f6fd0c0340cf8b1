//! Tensor elements in files beside the model: found safely when reading, laid out for mapping
//! when writing.
//!
//! A model names such a file itself, so the name is not trusted: it must lead, without links, to
//! a regular file below the model's folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use airconv_api::files::{Draft, Written, folder_of};
use bytes::Bytes;

use crate::decode::map_open_file;
use crate::proto::StringStringEntryProto;

/// Alignment of every tensor in a file that [`ExternalWriter`] makes.
pub const ALIGNMENT: u64 = 64;
/// Alignment of tensors of at least [`PAGE_FROM`] bytes.
pub const PAGE_ALIGNMENT: u64 = 4096;
/// Size from which tensors begin on a page.
pub const PAGE_FROM: u64 = 64 << 10;

/// Bytes handed to the operating system at a time.
const PIECE: usize = 4 << 20;

/// Why external tensor data cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalError {
    /// There is no `location`.
    #[error(
        "the external data of the tensor has no location: write the model again with its weights"
    )]
    NoLocation,
    /// A key that may stand once stands twice.
    #[error("the external data of the tensor gives `{key}` twice: remove one")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// `offset` or `length` is not a number of bytes.
    #[error(
        "the external data of the tensor gives {key} as {value:?}: it must be a decimal number of \
         bytes"
    )]
    BadNumber {
        /// The key.
        key: &'static str,
        /// What stands there.
        value: String,
    },
    /// The location leads, or could lead, out of the model's folder.
    #[error(
        "external data location {location:?} {reason}: put the data file into the model's folder \
         and name it relative to that"
    )]
    Unsafe {
        /// The location.
        location: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A part of the path is a symbolic link.
    #[error(
        "{} is a symbolic link, which external data may not pass through: copy the file that it \
         points to in its place",
        path.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// The location names something else than a regular file.
    #[error("{} is not a regular file: external data must be a file on disk", path.display())]
    NotAFile {
        /// What was found.
        path: PathBuf,
    },
    /// There is no such file.
    #[error(
        "the data file {} is missing: keep it together with the model, under the name it was \
         written with",
        path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file changed between being checked and being opened.
    #[error(
        "{} was exchanged while it was being opened: try again when nothing writes to the folder",
        path.display()
    )]
    Exchanged {
        /// The file.
        path: PathBuf,
    },
    /// The file ends before the tensor does.
    #[error(
        "{} has {file_bytes} bytes, but the tensor needs {length} bytes from byte {offset}: the \
         file is cut short or belongs to another model",
        path.display()
    )]
    OutOfBounds {
        /// The file.
        path: PathBuf,
        /// Its size.
        file_bytes: u64,
        /// First byte asked for.
        offset: u64,
        /// Number of bytes asked for.
        length: u64,
    },
    /// The stated length is not what type and shape of the tensor need.
    #[error(
        "the external data has {length} bytes, but type and shape of the tensor need {expected}: \
         the model is damaged"
    )]
    LengthMismatch {
        /// Stated length.
        length: u64,
        /// Length that the tensor needs.
        expected: u64,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Where the elements of one tensor lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalRef {
    /// The file, relative to the model's folder, as the model spells it.
    pub location: String,
    /// First byte.
    pub offset: u64,
    /// Number of bytes; up to the end of the file when absent.
    pub length: Option<u64>,
    /// SHA-1 of the file as the model states it; it is not checked.
    pub checksum: Option<String>,
    /// Entries under other keys, in order.
    pub other: Vec<(String, String)>,
}

impl ExternalRef {
    /// Reads the entries of [`TensorProto::external_data`](crate::proto::TensorProto).
    pub fn parse(entries: &[StringStringEntryProto]) -> Result<Self, ExternalError> {
        let mut location = None;
        let (mut offset, mut length) = (None, None);
        let mut found = Self::default();
        for entry in entries {
            let value = entry.value();
            let again = match entry.key() {
                "location" => location.replace(value.to_owned()).is_some(),
                "offset" => offset.replace(number("offset", value)?).is_some(),
                "length" => length.replace(number("length", value)?).is_some(),
                "checksum" => found.checksum.replace(value.to_owned()).is_some(),
                key => {
                    found.other.push((key.to_owned(), value.to_owned()));
                    false
                }
            };
            if again {
                return Err(ExternalError::Duplicate { key: entry.key().to_owned() });
            }
        }
        found.location = location.ok_or(ExternalError::NoLocation)?;
        found.offset = offset.unwrap_or(0);
        found.length = length;
        Ok(found)
    }

    /// The entries that [`parse`](Self::parse) reads back.
    pub fn entries(&self) -> Vec<StringStringEntryProto> {
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value),
        };
        let mut entries = vec![
            entry("location", self.location.clone()),
            entry("offset", self.offset.to_string()),
        ];
        entries.extend(self.length.map(|length| entry("length", length.to_string())));
        entries.extend(self.checksum.clone().map(|sum| entry("checksum", sum)));
        entries.extend(self.other.iter().map(|(key, value)| entry(key, value.clone())));
        entries
    }
}

fn number(key: &'static str, value: &str) -> Result<u64, ExternalError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if digits { value.parse().ok() } else { None };
    parsed.ok_or_else(|| ExternalError::BadNumber { key, value: value.to_owned() })
}

/// The data files of one model. Each is opened once; tensors are views of it.
#[derive(Debug)]
pub struct ExternalFiles {
    folder: PathBuf,
    use_mmap: bool,
    open: Mutex<BTreeMap<PathBuf, Bytes>>,
}

impl ExternalFiles {
    /// Data files in the folder of the model; an empty path is the current folder. With
    /// `use_mmap` files are mapped, else read whole.
    pub fn new(folder: &Path, use_mmap: bool) -> Result<Self, ExternalError> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let folder = fs::canonicalize(folder).map_err(|source| io_error(folder, source))?;
        Ok(Self { folder, use_mmap, open: Mutex::default() })
    }

    /// Data files beside a model file.
    pub fn beside(model: &Path, use_mmap: bool) -> Result<Self, ExternalError> {
        Self::new(&folder_of(model), use_mmap)
    }

    /// The bytes of one tensor, without copying. `expected` is the number of bytes that its type
    /// and shape need: it stands in for an absent length and must equal a stated one.
    pub fn load(&self, data: &ExternalRef, expected: Option<u64>) -> Result<Bytes, ExternalError> {
        if let (Some(length), Some(expected)) = (data.length, expected)
            && length != expected
        {
            return Err(ExternalError::LengthMismatch { length, expected });
        }
        let path = self.path_of(&data.location)?;
        let file = self.open(&path)?;
        let file_bytes = file.len() as u64;
        let length =
            data.length.or(expected).unwrap_or_else(|| file_bytes.saturating_sub(data.offset));
        let range =
            data.offset.checked_add(length).filter(|end| *end <= file_bytes).and_then(|end| {
                Some(usize::try_from(data.offset).ok()?..usize::try_from(end).ok()?)
            });
        match range {
            Some(range) => Ok(file.slice(range)),
            None => {
                Err(ExternalError::OutOfBounds { path, file_bytes, offset: data.offset, length })
            }
        }
    }

    /// The path below the folder that a location spells.
    fn path_of(&self, location: &str) -> Result<PathBuf, ExternalError> {
        let mut path = self.folder.clone();
        for part in parts_of(location)
            .map_err(|reason| ExternalError::Unsafe { location: location.to_owned(), reason })?
        {
            path.push(part);
        }
        Ok(path)
    }

    fn open(&self, path: &Path) -> Result<Bytes, ExternalError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = open.get(path) {
            return Ok(bytes.clone());
        }
        let file = self.open_checked(path)?;
        let bytes = map_open_file(file, self.use_mmap).map_err(|source| io_error(path, source))?;
        open.insert(path.to_path_buf(), bytes.clone());
        Ok(bytes)
    }

    /// Opens a file after looking at every step of the way to it.
    fn open_checked(&self, path: &Path) -> Result<File, ExternalError> {
        let below = path.strip_prefix(&self.folder).map_err(|_| outside(path))?;
        let mut step = self.folder.clone();
        let mut checked = None;
        for part in below.components() {
            step.push(part);
            let found = fs::symlink_metadata(&step).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    ExternalError::Missing { path: path.to_path_buf() }
                }
                _ => io_error(&step, source),
            })?;
            if found.file_type().is_symlink() {
                return Err(ExternalError::Link { path: step });
            }
            checked = Some(found);
        }
        let not_a_file = || ExternalError::NotAFile { path: path.to_path_buf() };
        let checked = checked.filter(fs::Metadata::is_file).ok_or_else(not_a_file)?;
        let real = fs::canonicalize(path).map_err(|source| io_error(path, source))?;
        if !real.starts_with(&self.folder) {
            return Err(outside(path));
        }
        let file = File::open(&real).map_err(|source| io_error(path, source))?;
        let opened = file.metadata().map_err(|source| io_error(path, source))?;
        if !opened.is_file() || !same_file(&checked, &opened) {
            return Err(ExternalError::Exchanged { path: path.to_path_buf() });
        }
        Ok(file)
    }
}

fn outside(path: &Path) -> ExternalError {
    ExternalError::Unsafe {
        location: path.display().to_string(),
        reason: "lies outside the model's folder",
    }
}

fn io_error(path: &Path, source: io::Error) -> ExternalError {
    ExternalError::Io { path: path.to_path_buf(), source }
}

#[cfg(unix)]
fn same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    one.len() == other.len()
}

/// Folder and file names of a location, or what is wrong with it. The rules are those of every
/// operating system at once, so that a model is as good on one as on another.
fn parts_of(location: &str) -> Result<Vec<&str>, &'static str> {
    let drive = |text: &str| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic()) && bytes.next() == Some(b':')
    };
    if location.is_empty() {
        return Err("is empty");
    }
    if location.contains('\0') {
        return Err("contains a zero byte");
    }
    if location.contains('\\') {
        return Err("contains a backslash (folders are separated by `/`)");
    }
    if location.starts_with('/') {
        return Err("is an absolute path");
    }
    if location.ends_with('/') {
        return Err("names a folder");
    }
    let mut parts = Vec::new();
    for part in location.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err("contains `..`"),
            _ if drive(part) => return Err("names a drive"),
            _ if cfg!(windows) && part.contains(':') => return Err("contains a colon"),
            _ => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err("names no file");
    }
    Ok(parts)
}

/// Writes tensors one after the other into one data file.
///
/// The file has its name only once [`finish`](Self::finish) returns; a writer dropped before that
/// leaves nothing behind. After a failed write the offsets are void: drop the writer.
#[derive(Debug)]
pub struct ExternalWriter {
    file: Draft,
    path: PathBuf,
    location: String,
    at: u64,
}

impl ExternalWriter {
    /// Begins the file `name` in `folder`, the folder that the model will lie in. The name is one
    /// that a reader accepts, without folders.
    pub fn new(folder: &Path, name: &str) -> Result<Self, ExternalError> {
        let refuse = |reason| ExternalError::Unsafe { location: name.to_owned(), reason };
        match parts_of(name).map_err(refuse)?.as_slice() {
            [only] if *only == name => {}
            _ => return Err(refuse("is not a plain file name")),
        }
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let path = folder.join(name);
        if path.is_dir() {
            return Err(ExternalError::NotAFile { path });
        }
        let file = Draft::new(&path).map_err(|source| io_error(folder, source))?;
        Ok(Self { file, path, location: name.to_owned(), at: 0 })
    }

    /// Appends one tensor and says where it lies.
    pub fn append(&mut self, data: &[u8]) -> Result<ExternalRef, ExternalError> {
        self.append_chunks(data.len() as u64, [data])
    }

    /// Appends one tensor of `length` bytes that comes in chunks and says where it lies.
    pub fn append_chunks<'a>(
        &mut self,
        length: u64,
        chunks: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<ExternalRef, ExternalError> {
        let offset = self.align(if length >= PAGE_FROM { PAGE_ALIGNMENT } else { ALIGNMENT })?;
        let mut written = 0u64;
        for chunk in chunks {
            for piece in chunk.chunks(PIECE) {
                self.put(piece)?;
            }
            written = written.saturating_add(chunk.len() as u64);
        }
        if written != length {
            return Err(ExternalError::LengthMismatch { length: written, expected: length });
        }
        Ok(ExternalRef {
            location: self.location.clone(),
            offset,
            length: Some(length),
            ..ExternalRef::default()
        })
    }

    /// Gives the file its name, in place of any file that had it.
    pub fn finish(self) -> Result<Written, ExternalError> {
        self.file.finish().map_err(|source| io_error(&self.path, source))
    }

    fn align(&mut self, to: u64) -> Result<u64, ExternalError> {
        const ZEROS: [u8; PAGE_ALIGNMENT as usize] = [0; PAGE_ALIGNMENT as usize];
        let gap = self.at.next_multiple_of(to) - self.at;
        self.put(&ZEROS[..gap as usize])?;
        Ok(self.at)
    }

    fn put(&mut self, piece: &[u8]) -> Result<(), ExternalError> {
        self.file.write_all(piece).map_err(|source| io_error(&self.path, source))?;
        self.at += piece.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(pairs: &[(&str, &str)]) -> Vec<StringStringEntryProto> {
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: Some((*key).into()),
            value: Some((*value).into()),
        };
        pairs.iter().map(entry).collect()
    }

    fn at(location: &str) -> ExternalRef {
        ExternalRef { location: location.into(), ..Default::default() }
    }

    #[test]
    fn entries_are_parsed() {
        let list = entries(&[
            ("location", "w.bin"),
            ("offset", "4096"),
            ("length", "12"),
            ("checksum", "ab"),
            ("prepacked", "1"),
        ]);
        let data = ExternalRef::parse(&list).expect("valid");
        assert_eq!((data.offset, data.length), (4096, Some(12)));
        assert_eq!(data.other, [("prepacked".to_owned(), "1".to_owned())]);
        assert_eq!(data.entries(), list);
        assert!(matches!(ExternalRef::parse(&[]), Err(ExternalError::NoLocation)));
        for number in ["", "-1", "+1", " 1", "0x10", "1.0", "18446744073709551616"] {
            let list = entries(&[("location", "w"), ("offset", number)]);
            assert!(matches!(ExternalRef::parse(&list), Err(ExternalError::BadNumber { .. })));
        }
        let twice = entries(&[("location", "a"), ("location", "b")]);
        assert!(matches!(ExternalRef::parse(&twice), Err(ExternalError::Duplicate { .. })));
    }

    #[test]
    fn tensors_are_views_of_one_map() {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("sub")).expect("made");
        fs::write(folder.path().join("sub/w.bin"), [1u8, 2, 3, 4, 5]).expect("written");
        for use_mmap in [true, false] {
            let files = ExternalFiles::new(folder.path(), use_mmap).expect("opened");
            let part = ExternalRef { offset: 1, length: Some(3), ..at("./sub/w.bin") };
            let one = files.load(&part, Some(3)).expect("valid");
            assert_eq!(one[..], [2, 3, 4]);
            let rest = files.load(&at("sub/w.bin"), None).expect("valid");
            assert_eq!(rest[..], [1, 2, 3, 4, 5]);
            assert_eq!(one.as_ptr() as usize, rest.as_ptr() as usize + 1);
            assert_eq!(files.load(&at("sub/w.bin"), Some(2)).expect("valid")[..], [1, 2]);
            let none = ExternalRef { offset: 5, ..at("sub/w.bin") };
            assert!(files.load(&none, None).expect("valid").is_empty());
            for (offset, length) in [(6, None), (3, Some(3)), (u64::MAX, Some(2)), (0, Some(6))] {
                let wrong = ExternalRef { offset, length, ..at("sub/w.bin") };
                let refused = files.load(&wrong, None);
                assert!(matches!(refused, Err(ExternalError::OutOfBounds { .. })), "{offset}");
            }
            let refused = files.load(&part, Some(4));
            assert!(matches!(refused, Err(ExternalError::LengthMismatch { .. })));
            assert!(matches!(files.load(&at("no"), None), Err(ExternalError::Missing { .. })));
            assert!(matches!(files.load(&at("sub"), None), Err(ExternalError::NotAFile { .. })));
            let through = files.load(&at("sub/w.bin/x"), None);
            assert!(matches!(through, Err(ExternalError::Missing { .. })));
        }
    }

    #[test]
    fn locations_stay_below_the_folder() {
        let outer = tempfile::tempdir().expect("folder");
        let inner = outer.path().join("model");
        fs::create_dir(&inner).expect("made");
        fs::write(outer.path().join("secret"), b"s").expect("written");
        fs::write(inner.join("w"), b"w").expect("written");
        let files = ExternalFiles::new(&inner, true).expect("opened");
        let absolute = inner.join("w").display().to_string();
        for location in [
            "",
            ".",
            "/",
            "w/",
            "../secret",
            "a/../w",
            "..",
            "..\\secret",
            "a\\b",
            "C:\\w",
            "C:w",
            "c:/w",
            "a/C:w",
            "\\\\host\\w",
            "//host/w",
            "w\0",
            &absolute,
        ] {
            let refused = files.load(&at(location), None);
            assert!(matches!(refused, Err(ExternalError::Unsafe { .. })), "{location:?}");
        }
        assert_eq!(files.load(&at("w"), Some(1)).expect("valid")[..], *b"w");
        assert_eq!(files.load(&at(".//w"), Some(1)).expect("valid")[..], *b"w");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_refused() {
        use std::os::unix::fs::symlink;
        let outer = tempfile::tempdir().expect("folder");
        let inner = outer.path().join("model");
        fs::create_dir_all(inner.join("real")).expect("made");
        fs::write(outer.path().join("secret"), b"s").expect("written");
        fs::write(inner.join("real/w"), b"w").expect("written");
        symlink("../secret", inner.join("out")).expect("linked");
        symlink("real/w", inner.join("in")).expect("linked");
        symlink("real", inner.join("dir")).expect("linked");
        symlink("..", inner.join("up")).expect("linked");
        let files = ExternalFiles::new(&inner, true).expect("opened");
        for location in ["out", "in", "dir/w", "up/secret"] {
            let refused = files.load(&at(location), None);
            assert!(matches!(refused, Err(ExternalError::Link { .. })), "{location}");
        }
        // The model's folder itself may be reached through a link.
        symlink(&inner, outer.path().join("alias")).expect("linked");
        let files =
            ExternalFiles::beside(&outer.path().join("alias/m.onnx"), true).expect("opened");
        assert!(files.load(&at("real/w"), Some(1)).is_ok());
    }

    #[test]
    fn written_tensors_are_aligned_and_read_back() {
        let folder = tempfile::tempdir().expect("folder");
        let large: Vec<u8> = (0..PAGE_FROM as usize).map(|byte| byte as u8).collect();
        let mut writer = ExternalWriter::new(folder.path(), "m.onnx.data").expect("begun");
        let small = writer.append(b"abc").expect("written");
        let next = writer.append(b"defg").expect("written");
        let page = writer.append_chunks(PAGE_FROM, large.chunks(1000)).expect("written");
        let none = writer.append(b"").expect("written");
        assert!(!folder.path().join("m.onnx.data").exists());
        let made = writer.finish().expect("finished");
        assert_eq!((small.offset, next.offset, page.offset), (0, 64, 4096));
        assert_eq!(fs::metadata(&made.path).expect("there").len(), 4096 + PAGE_FROM);
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1);
        let files = ExternalFiles::new(folder.path(), true).expect("opened");
        let load = |data: &ExternalRef| {
            let data = ExternalRef::parse(&data.entries()).expect("valid");
            files.load(&data, None).expect("valid")
        };
        assert_eq!(load(&small)[..], *b"abc");
        assert_eq!(load(&next)[..], *b"defg");
        assert_eq!(load(&page)[..], large[..]);
        assert!(load(&none).is_empty());
    }

    #[test]
    fn an_unfinished_file_disappears() {
        let folder = tempfile::tempdir().expect("folder");
        let mut writer = ExternalWriter::new(folder.path(), "d").expect("begun");
        writer.append(&[0; 100]).expect("written");
        assert!(matches!(
            writer.append_chunks(3, [&b"ab"[..]]),
            Err(ExternalError::LengthMismatch { .. })
        ));
        drop(writer);
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 0);
        for name in ["", "a/b", "../a", "./a", "C:a", "a\\b"] {
            assert!(ExternalWriter::new(folder.path(), name).is_err(), "{name:?}");
        }
    }
}
