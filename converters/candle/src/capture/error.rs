//! Why a recording could not be read.

use airconv_api::{Diagnostic, Failed};

/// What kept a recording from becoming a program, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct CaptureError {
    /// What sort of failure it is.
    pub kind: Kind,
    /// The file, or the call in it.
    pub place: String,
    /// What is the matter.
    pub message: String,
}

/// Sorts of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The file is not a recording, or contradicts itself.
    Malformed,
    /// It asks for what is not supported.
    Unsupported,
    /// The system failed.
    System,
}

impl CaptureError {
    /// The file is not a recording, or contradicts itself.
    pub fn malformed(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: Kind::Malformed, place: place.into(), message: message.into() }
    }
    /// It asks for what is not supported.
    pub fn unsupported(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: Kind::Unsupported, place: place.into(), message: message.into() }
    }
    /// The system failed.
    pub fn system(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: Kind::System, place: place.into(), message: message.into() }
    }
    /// As a diagnostic.
    pub fn diagnostic(&self) -> Diagnostic {
        let code = match self.kind {
            Kind::Malformed => "candle-malformed",
            Kind::Unsupported => "candle-unsupported",
            Kind::System => "io-read",
        };
        Diagnostic::error(code, self.message.clone()).at(self.place.clone())
    }
    /// As the outcome of reading.
    pub fn failed(&self) -> Failed {
        match self.kind {
            Kind::Malformed => Failed::Malformed,
            Kind::Unsupported => Failed::Unsupported,
            Kind::System => Failed::System,
        }
    }
}
