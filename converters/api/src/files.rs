//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use crate::{Diagnostic, Failed, Report};

/// Bytes that are kept before they go to the file.
const BUFFER: usize = 1 << 20;

/// A file that is being written. It has its name only once [`finish`](Self::finish) returns;
/// dropped before that it leaves nothing behind, and what was there before stays.
///
/// A symbolic link keeps pointing where it did: the file that it names is replaced. What exists
/// and is no regular file, such as a pipe or a terminal, is written to directly.
#[derive(Debug)]
pub struct Draft {
    to: To,
    path: PathBuf,
}

#[derive(Debug)]
enum To {
    /// A temporary file beside the one that it becomes.
    Beside(BufWriter<NamedTempFile>),
    Direct(BufWriter<File>),
}

impl Draft {
    /// Begins the file of this name.
    pub fn new(path: &Path) -> io::Result<Self> {
        let target = match fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                return Err(io::Error::new(
                    io::ErrorKind::IsADirectory,
                    "it is a folder: name a file",
                ));
            }
            Ok(found) if !found.is_file() => {
                let file = fs::OpenOptions::new().write(true).open(path)?;
                let to = To::Direct(BufWriter::with_capacity(BUFFER, file));
                return Ok(Self { to, path: path.to_owned() });
            }
            Ok(_) => fs::canonicalize(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
        };
        if target.file_name().is_none() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it does not end in a file name",
            ));
        }
        let file = temporary_in(&folder_of(&target))?;
        Ok(Self { to: To::Beside(BufWriter::with_capacity(BUFFER, file)), path: target })
    }

    /// Where the file is until it has its name, for libraries that write by name themselves.
    pub fn place(&self) -> &Path {
        match &self.to {
            To::Beside(file) => file.get_ref().path(),
            To::Direct(_) => &self.path,
        }
    }

    /// Gives the file its name.
    pub fn finish(self) -> io::Result<Written> {
        match self.to {
            To::Direct(mut file) => {
                file.flush()?;
                Ok(Written { path: self.path, before: None, replaced: true })
            }
            To::Beside(file) => {
                let file = file.into_inner().map_err(|e| e.into_error())?;
                let replaced = self.path.exists();
                let before = if replaced { second_name(&self.path) } else { None };
                file.persist(&self.path).map_err(|e| e.error)?;
                Ok(Written { path: self.path, before, replaced })
            }
        }
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::Beside(file) => file.write(bytes),
            To::Direct(file) => file.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Beside(file) => file.flush(),
            To::Direct(file) => file.flush(),
        }
    }
}

impl Seek for Draft {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.to {
            To::Beside(file) => file.seek(to),
            To::Direct(file) => file.seek(to),
        }
    }
}

/// A file that was written, and that can still be taken back.
#[derive(Debug)]
pub struct Written {
    /// The file; where a link was named, what it leads to.
    pub path: PathBuf,
    /// Another name of what was there before; it goes when this is dropped.
    before: Option<TempPath>,
    replaced: bool,
}

impl Written {
    /// Makes the file what it was before, as far as that is possible.
    pub fn undo(self) -> io::Result<()> {
        match self.before {
            Some(before) => before.persist(&self.path).map_err(|e| e.error),
            None if self.replaced => Ok(()),
            None => fs::remove_file(&self.path),
        }
    }
}

/// Writes a file that appears whole or not at all. On an error nothing is left behind and what
/// was there before stays.
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut draft = Draft::new(path)?;
    write(&mut draft)?;
    draft.finish().map(drop)
}

/// The bytes of a file; why it cannot be read is reported.
pub fn read_whole(path: &Path, report: &mut Report) -> Result<Vec<u8>, Failed> {
    fs::read(path).map_err(|e| {
        report.push(Diagnostic::error("io-read", format!("{}: {e}", path.display())));
        Failed::System
    })
}

/// The folder that a file lies in; `.` for a bare name.
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) => PathBuf::from("."),
        None => path.to_path_buf(),
    }
}

/// A second name for a file, where the file system has such.
fn second_name(path: &Path) -> Option<TempPath> {
    let name = builder().make_in(folder_of(path), |name| fs::hard_link(path, name)).ok()?;
    Some(name.into_temp_path())
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".airconv-").suffix(".tmp");
    builder
}

/// A temporary file with the permissions that a newly created file gets. It is opened here so that
/// an error is the system's alone, without the temporary name.
fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let new = |path: &Path| File::options().read(true).write(true).create_new(true).open(path);
    builder().make_in(folder, new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_failure_keeps_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        write_whole(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write_whole(&path, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("no more"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(count(folder.path()), 1);
        assert!(write_whole(folder.path(), |out| out.write_all(b"x")).is_err());
    }

    #[test]
    fn a_file_can_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let write = |text: &[u8]| {
            let mut draft = Draft::new(&path).unwrap();
            draft.write_all(text).unwrap();
            draft.finish().unwrap()
        };
        write(b"new").undo().unwrap();
        assert_eq!(count(folder.path()), 0);
        drop(write(b"old"));
        assert_eq!(count(folder.path()), 1);
        write(b"new").undo().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(count(folder.path()), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_files_can_be_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, b"old").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        write_whole(&link, |out| out.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        let plain = folder.path().join("plain");
        fs::write(&plain, b"").unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&real), mode(&plain));
    }
}
