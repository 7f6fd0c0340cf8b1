//! The hub's own files as formats: `.ir`.

use std::path::Path;

use airconv_ir::diag::Diagnostic;
use airconv_ir::module::Module;
use airconv_ir::verify::Verified;
use airconv_ir::wire;

use crate::{Failed, ReadOptions, Reader, Report, SupportRow, WriteOptions, Writer};

/// Reads `.ir` files.
#[derive(Clone, Copy, Debug, Default)]
pub struct IrReader;

impl Reader for IrReader {
    fn format(&self) -> &'static str {
        "ir"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["ir"]
    }
    fn sniff(&self, head: &[u8]) -> bool {
        wire::is_ir(head)
    }
    fn read(&self, path: &Path, options: &ReadOptions, report: &mut Report) -> Result<Module, Failed> {
        let read = wire::ReadOptions { no_mmap: options.no_mmap, ..Default::default() };
        wire::read_ir(path, &read).map_err(|e| {
            report.push(Diagnostic::error("ir-read", format!("{}: {e}", path.display())));
            if e.is_system() { Failed::System } else { Failed::Malformed }
        })
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}

/// Writes `.ir` files.
#[derive(Clone, Copy, Debug, Default)]
pub struct IrWriter;

impl Writer for IrWriter {
    fn format(&self) -> &'static str {
        "ir"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["ir"]
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
        wire::write_ir(module.module(), path, &wire::WriteOptions::default()).map(|_| ()).map_err(|e| {
            report.push(Diagnostic::error("ir-write", format!("{}: {e}", path.display())));
            Failed::System
        })
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}
