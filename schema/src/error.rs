//! What can be wrong with a file.

use std::io;
use std::path::PathBuf;

use crate::version::{Unsupported, Version};

/// A constraint of the specification that a file breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{label}: {message}")]
pub struct Malformed {
    /// The label in `SPEC.md`.
    pub label: &'static str,
    /// What is there and what should be.
    pub message: String,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system said no.
    #[error("cannot read `{path}`: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not start as an .ir file does.
    #[error("not an .ir file")]
    NotIr,
    /// It was sent or stored as text, which changed line ends or bytes over 127.
    #[error("an .ir file that was damaged by a transfer in text mode; copy it again as binary")]
    TextMode,
    /// It is shorter than it says, or too short to say anything.
    #[error("the file is cut off: {found} bytes of {expected}")]
    Truncated {
        /// The size that it should have.
        expected: u64,
        /// The size that it has.
        found: u64,
    },
    /// Its version is not one that this crate reads.
    #[error("{}", version_message(*version, *needs))]
    Version {
        /// The version that it was written as.
        version: Version,
        /// The lowest minor version that can read it.
        needs: u16,
    },
    /// It breaks a rule.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is over a limit.
    #[error("over a limit: {what} {found}, allowed {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        limit: u64,
    },
    /// A digest does not fit the bytes.
    #[error("the digest of {what} does not fit its bytes: the file is damaged")]
    Digest {
        /// What it is the digest of.
        what: String,
    },
    /// The program is not made of the known records.
    #[error("C-210: the program section does not fit the schema: {0}")]
    Records(String),
}

fn version_message(version: Version, needs: u16) -> String {
    let ours = Version::CURRENT;
    if version.major == 0 && ours.major > 0 {
        return format!(
            "the file has format version {version}, from before 1.0, which nothing reads any more; \
             make it again from its source with a current airconv"
        );
    }
    if (version.major, needs) > (ours.major, ours.minor) {
        return format!(
            "the file has format version {version} and needs {}.{needs}, this airconv reads up to \
             {ours}; use a newer airconv, or write the file with --target-version {ours}",
            version.major
        );
    }
    format!("the file has format version {version}, this airconv reads {ours}")
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system said no.
    #[error("cannot write `{path}`: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The place exists and is not a regular file.
    #[error("cannot write `{path}`: it exists and is not a regular file", path = path.display())]
    NotAFile {
        /// The place.
        path: PathBuf,
    },
    /// The program cannot be had in the version that was asked for.
    #[error(transparent)]
    Version(#[from] Unsupported),
    /// A tensor refers to bytes that are not there.
    #[error("tensor {tensor} refers to blob {blob}, there are {count}")]
    NoSuchBlob {
        /// The tensor.
        tensor: usize,
        /// The blob.
        blob: u32,
        /// The number of blobs.
        count: usize,
    },
    /// The records could not be encoded.
    #[error("cannot encode the program: {0}")]
    Encode(String),
    /// The program is one that readers refuse.
    #[error("the program is too large or too deep for the format: {0}")]
    TooLarge(#[source] Box<ReadError>),
}
