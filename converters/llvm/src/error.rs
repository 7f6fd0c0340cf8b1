//! What can go wrong between LLVM IR text and callable code.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum LlvmError {
    /// No usable libLLVM was found, nor an `llc`.
    #[error(
        "libLLVM 19 or newer was not found (looked for {}); \
         on Debian or Ubuntu install the package `libllvm22` (`apt-get install libllvm22`), \
         or set AIRCONV_LLVM to the path of libLLVM.so{}",
        tried.join(", "),
        match why { Some(w) => format!(" ({w})"), None => String::new() }
    )]
    NotFound {
        /// The names that were tried.
        tried: Vec<String>,
        /// What the loader said about the last candidate that existed, if one did.
        why: Option<String>,
    },
    /// The library is older than what the emitted IR needs.
    #[error(
        "{} is LLVM {version}; 19 or newer is needed (Debian package `libllvm22`, \
         or set AIRCONV_LLVM to the path of a newer libLLVM.so)",
        path.display()
    )]
    TooOld {
        /// The library or program.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// The library lacks a function of the C interface.
    #[error("{} has no function {name}", path.display())]
    MissingFunction {
        /// The library.
        path: PathBuf,
        /// The C function.
        name: &'static str,
    },
    /// The IR text does not parse.
    #[error("LLVM IR does not parse: {0}")]
    Parse(String),
    /// The IR parses but is not valid.
    #[error("LLVM IR is not valid: {0}")]
    Verify(String),
    /// The target is not known to the library, or wrong for what was asked.
    #[error("target {triple}: {reason}")]
    Target {
        /// The target triple.
        triple: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The code generator refused.
    #[error("code generation failed: {0}")]
    Codegen(String),
    /// Linking or looking up in the process failed.
    #[error("JIT: {0}")]
    Jit(String),
    /// What was asked needs libLLVM itself, and only `llc` is there.
    #[error("{0} needs libLLVM (Debian package `libllvm22`); only `llc` was found")]
    NeedsLibrary(&'static str),
    /// A kernel has no native form.
    #[error("{0}")]
    Refused(String),
    /// A name with a NUL byte, or another wrong argument.
    #[error("wrong argument: {0}")]
    Argument(String),
    /// The system failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A result of this crate.
pub type Result<T, E = LlvmError> = std::result::Result<T, E>;
