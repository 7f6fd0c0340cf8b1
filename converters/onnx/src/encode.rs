//! ONNX messages to bytes, and files that appear whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use prost::Message;
use tempfile::NamedTempFile;

use crate::proto::ModelProto;

/// Most bytes that one serialised message can have: every protobuf reader stops here.
pub const MAX_MODEL_BYTES: usize = i32::MAX as usize;

/// Why a model cannot be serialised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message would be longer than protobuf allows.
    #[error(
        "the model takes {bytes} bytes, and an ONNX file holds at most {MAX_MODEL_BYTES}: \
         store the weights in an external data file"
    )]
    TooLarge {
        /// Size that the message would have.
        bytes: usize,
    },
    /// The buffer for the message could not be allocated.
    #[error(
        "no memory for the {bytes} bytes of the serialised model: store the weights in an \
         external data file"
    )]
    OutOfMemory {
        /// Size of the buffer.
        bytes: usize,
    },
    /// The serialiser refused.
    #[error("the model could not be serialised: {0}")]
    Encode(#[from] prost::EncodeError),
}

/// Serialises a model. Fields come in a fixed order, so that equal models give equal bytes.
pub fn encode_model(model: &ModelProto) -> Result<Vec<u8>, EncodeError> {
    let bytes = model.encoded_len();
    if bytes > MAX_MODEL_BYTES {
        return Err(EncodeError::TooLarge { bytes });
    }
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).map_err(|_| EncodeError::OutOfMemory { bytes })?;
    model.encode(&mut buffer)?;
    Ok(buffer)
}

/// Writes a file that appears whole or not at all: the bytes go to a temporary file in the same
/// folder, which then takes the name.
///
/// A symbolic link keeps pointing where it did: the file that it names is replaced. What exists
/// and is no regular file, such as a pipe or a terminal, is written to directly.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                format!("{} is a folder: name a file", path.display()),
            ));
        }
        Ok(found) if !found.is_file() => {
            let mut file = fs::OpenOptions::new().write(true).open(path)?;
            return file.write_all(bytes).and_then(|()| file.flush());
        }
        Ok(_) => fs::canonicalize(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(error) => return Err(error),
    };
    if target.file_name().is_none() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} does not end in a file name", path.display()),
        ));
    }
    let mut file = temporary_in(&folder_of(&target))?;
    file.as_file_mut().write_all(bytes)?;
    file.persist(&target).map_err(|failed| failed.error)?;
    Ok(())
}

/// The folder that a file lies in; `.` for a bare name.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) => PathBuf::from("."),
        None => path.to_path_buf(),
    }
}

/// A temporary file beside the file that it will become, with the permissions that a newly
/// created file gets.
pub(crate) fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".airconv-").suffix(".tmp");
    #[cfg(unix)]
    let builder = {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666))
    };
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{GraphProto, TensorProto};
    use bytes::Bytes;

    #[test]
    fn too_large_is_refused() {
        // One shared block, counted many times: the test itself stays small.
        let block = Bytes::from(vec![0u8; 16 << 20]);
        let tensor = TensorProto { raw_data: Some(block), ..Default::default() };
        let graph = GraphProto { initializer: vec![tensor; 128], ..Default::default() };
        let model = ModelProto { graph: Some(graph), ..Default::default() };
        match encode_model(&model) {
            Err(EncodeError::TooLarge { bytes }) => assert!(bytes > MAX_MODEL_BYTES),
            other => panic!("expected TooLarge, got {:?}", other.map(|b| b.len())),
        }
    }

    #[test]
    fn a_file_is_replaced_and_nothing_stays_behind() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("m.onnx");
        write_atomic(&path, b"one")?;
        write_atomic(&path, b"two!")?;
        assert_eq!(fs::read(&path)?, b"two!");
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        assert!(write_atomic(folder.path(), b"x").is_err());
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, b"old")?;
        std::os::unix::fs::symlink("real", &link)?;
        write_atomic(&link, b"new")?;
        assert!(fs::symlink_metadata(&link)?.file_type().is_symlink());
        assert_eq!(fs::read(&real)?, b"new");
        Ok(())
    }
}
