//! Diagnostics: collected, not thrown one by one.

use std::fmt;

use crate::entity::OriginId;
use crate::module::{Module, Origin};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something worth knowing.
    Note,
    /// Something that may be wrong.
    Warning,
    /// Numbers or structure would be lost; refused unless allowed by name.
    Lossy,
    /// It cannot go on.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Lossy => "lossy",
            Self::Error => "error",
        })
    }
}

/// One thing to say about a program, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A short stable code: a SPEC label, or `area-what`.
    pub code: String,
    /// What is the matter.
    pub message: String,
    /// Places in the source, resolved to text.
    pub at: Vec<String>,
    /// Text of the line of the program it is about.
    pub line: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }
    /// A warning.
    pub fn warning(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }
    /// A note.
    pub fn note(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, message)
    }
    /// A diagnostic of any severity.
    pub fn new(severity: Severity, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity,
            code: code.into(),
            message: message.into(),
            at: Vec::new(),
            line: None,
            help: None,
        }
    }
    /// Adds a place in the source; one without text adds nothing.
    pub fn at(mut self, place: impl Into<String>) -> Self {
        let place = place.into();
        if !place.is_empty() {
            self.at.push(place);
        }
        self
    }
    /// Adds the place of an origin.
    pub fn at_origin(self, module: &Module, origin: OriginId) -> Self {
        match module.source_of(origin) {
            Some(source) => self.at(source.to_string()),
            None => self,
        }
    }
    /// Adds the program line.
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.line = Some(line.into());
        self
    }
    /// Adds advice.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: {}", self.severity, self.code, self.message)?;
        for place in &self.at {
            write!(f, "\n  at {place}")?;
        }
        if let Some(line) = &self.line {
            write!(f, "\n  | {line}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown place"),
            Self::Source { path, name, op, .. } => {
                f.write_str(op)?;
                if !name.is_empty() {
                    write!(f, " `{name}`")?;
                }
                if !path.is_empty() {
                    write!(f, " in {path}")?;
                }
                Ok(())
            }
            Self::Derived { by, .. } => write!(f, "made by {by}"),
        }
    }
}
