//! The hub's own files as formats: `.ir` and `.irt`.

use std::path::Path;

use airconv_ir::diag::Diagnostic;
use airconv_ir::module::Module;
use airconv_ir::text::{self, ParseOptions, PrintOptions};
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
    fn read(
        &self,
        path: &Path,
        options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed> {
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
        wire::write_ir(module.module(), path, &wire::WriteOptions::default()).map(|_| ()).map_err(
            |e| {
                report.push(Diagnostic::error("ir-write", e.to_string()));
                Failed::System
            },
        )
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}

/// The most bytes of tensors that are written into a text.
const LARGEST_TEXT: u64 = 256 << 20;

/// Reads `.irt` files.
#[derive(Clone, Copy, Debug, Default)]
pub struct IrtReader;

impl Reader for IrtReader {
    fn format(&self) -> &'static str {
        "irt"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["irt"]
    }
    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(b"airconv ")
    }
    fn read(
        &self,
        path: &Path,
        _options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed> {
        let source = crate::files::read_whole(path, report)?;
        let malformed = |report: &mut Report, message: String| {
            report.push(Diagnostic::error("irt-read", message));
            Failed::Malformed
        };
        let source = String::from_utf8(source)
            .map_err(|_| malformed(report, "the text is not UTF-8".to_owned()))?;
        text::parse(&source, &ParseOptions::default()).map_err(|e| malformed(report, e.to_string()))
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}

/// Writes `.irt` files with all tensors in the text.
#[derive(Clone, Copy, Debug, Default)]
pub struct IrtWriter;

impl Writer for IrtWriter {
    fn format(&self) -> &'static str {
        "irt"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["irt"]
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
        let module = module.module();
        let bytes: u64 = module.tensors.values().filter_map(|t| t.byte_len()).sum();
        if bytes > LARGEST_TEXT {
            report.push(
                Diagnostic::error(
                    "irt-size",
                    format!("{bytes} bytes of tensors are too many for a text"),
                )
                .help("write .ir, or look at it with `airconv print`"),
            );
            return Err(Failed::Unsupported);
        }
        let options = PrintOptions { inline_up_to: u64::MAX, ..PrintOptions::default() };
        let written = crate::files::write_whole(path, |out| text::write(module, &options, out));
        written.map_err(|e| {
            report.push(Diagnostic::error("irt-write", format!("{}: {e}", path.display())));
            Failed::System
        })
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}
