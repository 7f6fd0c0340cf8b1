//! `-o model.c`: the C writer of the command line.

use std::path::Path;

use airconv_api::files::Draft;
use airconv_api::{Failed, Report, SupportRow, WriteOptions, Writer};
use airconv_ir::diag::Diagnostic;
use airconv_ir::verify::Verified;
use std::io::Write;

use super::{COptions, program_c};
use crate::lower::{LowerOptions, Stop, lower};

/// Writes a program as a C source file with a header beside it.
#[derive(Clone, Copy, Debug, Default)]
pub struct CWriter;

impl Writer for CWriter {
    fn format(&self) -> &'static str {
        "c"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["c"]
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
        let lowered =
            lower(module.module(), LowerOptions { host: false, ..LowerOptions::default() })
                .map_err(|stop| report_stop(&stop, report))?;
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let options = COptions { name, ..COptions::default() };
        let mut text =
            program_c(&lowered.program, &lowered.module, &options).map_err(|refused| {
                for why in refused.0 {
                    report.push(Diagnostic::error("c-unsupported", why));
                }
                Failed::Unsupported
            })?;
        let header = path.with_extension("h");
        if let Some(file) = header.file_name().and_then(|f| f.to_str()) {
            let made = format!("#include \"{}.h\"", text.name);
            text.source = text.source.replacen(&made, &format!("#include \"{file}\""), 1);
        }
        write_pair(path, &text.source, &header, &text.header).map_err(|e| {
            report.push(Diagnostic::error("c-write", format!("{}: {e}", path.display())));
            Failed::System
        })
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}

/// Reports why a program has no native form.
pub fn report_stop(stop: &Stop, report: &mut Report) -> Failed {
    let mut d = Diagnostic::error("native-unsupported", stop.to_string());
    if matches!(stop, Stop::NeedsSizes(_)) {
        d = d.help("fix the sizes with --dim NAME=N (`airconv inspect` lists the names)");
    }
    report.push(d);
    Failed::Unsupported
}

/// Writes two files; both are complete before either has its name.
pub fn write_pair(a: &Path, a_text: &str, b: &Path, b_text: &str) -> std::io::Result<()> {
    let mut first = Draft::new(a)?;
    first.write_all(a_text.as_bytes())?;
    let mut second = Draft::new(b)?;
    second.write_all(b_text.as_bytes())?;
    let written = second.finish()?;
    match first.finish() {
        Ok(_) => Ok(()),
        Err(e) => {
            // The first failure is what the caller hears of.
            let _ = written.undo();
            Err(e)
        }
    }
}
