//! Why a file could not be read or written.

use airconv_api::{Diagnostic, Failed};

/// What kept a file from being read or written, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct FileError {
    /// What sort of failure it is.
    pub kind: ErrorKind,
    /// The file, the entry of an archive, the line of a program.
    pub place: String,
    /// What is the matter.
    pub message: String,
}

/// Sorts of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The bytes are not what the format says.
    Malformed,
    /// They are, and more than a limit allows.
    Limit,
    /// They are, and what they ask for is not supported.
    Unsupported,
    /// The system failed.
    System,
}

impl FileError {
    /// The bytes are not what the format says.
    pub fn malformed(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, place, message)
    }
    /// More than a limit allows.
    pub fn limit(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, place, message)
    }
    /// Something that is not supported.
    pub fn unsupported(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, place, message)
    }
    /// The system failed.
    pub fn system(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::System, place, message)
    }
    fn new(kind: ErrorKind, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, place: place.into(), message: message.into() }
    }
    /// The same failure in a larger place: `model.pt` before `data.pkl`.
    pub fn within(mut self, outer: &str) -> Self {
        self.place = match self.place.as_str() {
            "" => outer.to_owned(),
            inner => format!("{outer}: {inner}"),
        };
        self
    }
    /// As a diagnostic.
    pub fn diagnostic(&self) -> Diagnostic {
        let code = match self.kind {
            ErrorKind::Malformed => "torch-malformed",
            ErrorKind::Limit => "torch-limit",
            ErrorKind::Unsupported => "torch-unsupported",
            ErrorKind::System => "io-read",
        };
        Diagnostic::error(code, self.message.clone()).at(self.place.clone())
    }
    /// As the outcome of a conversion.
    pub fn failed(&self) -> Failed {
        match self.kind {
            ErrorKind::Malformed | ErrorKind::Limit => Failed::Malformed,
            ErrorKind::Unsupported => Failed::Unsupported,
            ErrorKind::System => Failed::System,
        }
    }
}
