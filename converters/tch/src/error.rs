//! Why a run fails.

use std::fmt;

use tch::TchError;

/// The reason of a failed run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub String);

/// A result of a step of a run.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The same with what failed in front.
    pub fn at(self, place: &str) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

/// A failure with this reason.
pub fn fail<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error(reason.into()))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Libtorch adds where in its sources it failed, and a stack: these lines are left out.
impl From<TchError> for Error {
    fn from(e: TchError) -> Self {
        let text = e.to_string();
        let text = text.strip_prefix("Internal torch error: ").unwrap_or(&text);
        let lines = text.lines().take_while(|l| !l.starts_with("Exception raised from"));
        Self(lines.collect::<Vec<_>>().join("\n").trim_end().to_owned())
    }
}
