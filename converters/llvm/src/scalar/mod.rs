//! Scalar functions of LLVM IR (`.ll`, `.bc`), read as elementwise programs: a function of numbers
//! becomes a program of arrays of one length.
//!
//! What is read is arithmetic in one straight line, comparisons, selections, conversions, and
//! calls of functions of the C library and of LLVM's intrinsics that have an op ([`calls`]).
//! Branches that LLVM can turn into selections are; memory, loops and everything else is refused
//! by name.

mod calls;
mod values;
mod walk;

use std::path::Path;

use airconv_api::{Failed, ReadOptions, Reader, Report, SupportRow};
use airconv_ir::diag::Diagnostic;
use airconv_ir::module::Module;

use crate::compile::with_module;
use crate::error::LlvmError;
use crate::library::Library;

/// What brings code of compilers that did not optimise into one line.
const PASSES: &std::ffi::CStr = c"function(sroa,early-cse,simplifycfg)";

/// Reads scalar functions.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScalarReader;

impl Reader for ScalarReader {
    fn format(&self) -> &'static str {
        "llvm"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["ll", "bc"]
    }
    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(b"BC\xC0\xDE") || head.starts_with(b"; ModuleID")
    }
    fn read(
        &self,
        path: &Path,
        _options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed> {
        let data = airconv_api::files::read_whole(path, report)?;
        let read = || -> Result<_, LlvmError> {
            let library = Library::get()?;
            with_module(library, &data, PASSES, |module| walk::program(library, module))
        };
        match read() {
            Ok(Ok(module)) => Ok(module),
            Ok(Err(why)) => {
                for why in why {
                    let text = format!("{}: {why}", path.display());
                    report.push(Diagnostic::error("llvm-read", text));
                }
                Err(Failed::Unsupported)
            }
            Err(e) => {
                let text = format!("{}: {e}", path.display());
                report.push(Diagnostic::error("llvm-read", text));
                Err(match e {
                    LlvmError::Parse(_) | LlvmError::Verify(_) => Failed::Malformed,
                    _ => Failed::System,
                })
            }
        }
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}
