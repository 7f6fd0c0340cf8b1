//! Writing: from a program of candle calls to a crate.
//!
//! Statements are put in [order](order), the [tree](tree) says which statements are one module of the source, [classes](class) which
//! modules are one struct, and what is [printed](print) becomes [files](files).

mod class;
mod files;
mod helpers;
mod literal;
mod names;
mod optional;
mod order;
mod parity;
mod print;
mod size;
mod source;
mod template;
mod tree;
mod weights;

use std::path::Path;

use airconv_api::{Choice, Failed, Report, SupportRow, WriteOptions, Writer};
use airconv_ir::diag::Diagnostic;
use airconv_ir::verify::Verified;

use crate::lower::{lower, support};

/// Writes programs as crates: a folder with the code, the weights, an example and a test.
#[derive(Clone, Copy, Debug, Default)]
pub struct CandleWriter;

impl Writer for CandleWriter {
    fn format(&self) -> &'static str {
        "candle"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["candle"]
    }
    fn writes_folder(&self) -> bool {
        true
    }
    fn takes(&self) -> &'static [Choice] {
        &[Choice::SingleFile]
    }
    fn write(
        &self,
        module: &Verified<'_>,
        path: &Path,
        options: &WriteOptions,
        report: &mut Report,
    ) -> Result<(), Failed> {
        if report.refused(&options.allow_lossy) {
            return Err(Failed::Unsupported);
        }
        let lowered = lower(module.module(), report)?;
        let code = files::code(&lowered, path, options.single_file).map_err(|why| {
            report.push(Diagnostic::error("candle-unsupported", why));
            Failed::Unsupported
        })?;
        let parity = parity::sample(module.module(), &lowered.program);
        files::write(&code, &lowered, parity, path).map_err(|why| {
            report.push(Diagnostic::error("candle-write", format!("{}: {why}", path.display())));
            Failed::System
        })
    }
    fn support(&self) -> Vec<SupportRow> {
        support()
    }
}
