//! The [`Reader`] of `.onnx` files.

use std::path::Path;

use airconv_api::ir::diag::Diagnostic;
use airconv_api::ir::module::Module;
use airconv_api::ir::specialize::{OpaqueNode, Place, Reading};
use airconv_api::{Failed, ReadOptions, Reader, Report, Reread, Support, SupportRow};

use crate::common::op_name;
use crate::decode::{Limits, decode_model, map_file, scan_model};
use crate::external::ExternalFiles;
use crate::import::{all_rules, import_model, reread};

/// Reads `.onnx` files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnnxReader;

impl Reread for OnnxReader {
    fn format(&self) -> &'static str {
        "onnx"
    }
    fn reread(&self, node: &OpaqueNode<'_>, place: Place<'_>) -> Reading {
        reread(node, place)
    }
}

impl Reader for OnnxReader {
    fn format(&self) -> &'static str {
        "onnx"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["onnx"]
    }
    fn sniff(&self, _head: &[u8]) -> bool {
        // Protobuf has no magic number.
        false
    }
    fn read(
        &self,
        path: &Path,
        options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed> {
        let bytes = map_file(path, !options.no_mmap).map_err(|e| {
            report.push(Diagnostic::error("io-read", format!("{}: {e}", path.display())));
            Failed::System
        })?;
        if bytes.is_empty() {
            report.error("onnx-empty", format!("{}: the file is empty", path.display()));
            return Err(Failed::Malformed);
        }
        let mut limits = Limits::default();
        limits.max_decoded_bytes = options.limits.decoded_bytes;
        let malformed = |report: &mut Report, message: String| {
            let help = "the file is truncated, damaged, or not an ONNX model";
            report.push(Diagnostic::error("onnx-protobuf", message).help(help));
            Failed::Malformed
        };
        let scan = scan_model(&bytes, &limits).map_err(|e| malformed(report, e.to_string()))?;
        if let Some((message, field)) = scan.first_unknown {
            report.push(Diagnostic::warning(
                "onnx-unknown-field",
                format!(
                    "{} unknown fields are dropped, the first is field {field} of {message}",
                    scan.unknown_fields
                ),
            ));
        }
        let model = decode_model(bytes, &limits).map_err(|e| malformed(report, e.to_string()))?;
        let files = ExternalFiles::beside(path, !options.no_mmap).ok();
        import_model(&model, files, options, report)
    }
    fn reread(&self) -> Option<&dyn Reread> {
        Some(self)
    }
    fn support(&self) -> Vec<SupportRow> {
        let mut rows: Vec<SupportRow> = all_rules()
            .map(|rule| SupportRow {
                source: op_name(rule.domain, rule.name),
                hub: match rule.makes {
                    [one] => Some(*one),
                    _ => None,
                },
                support: Support::Native,
                notes: match rule.until {
                    i64::MAX => format!("since {}", rule.since),
                    until => format!("{} to {until}", rule.since),
                },
            })
            .collect();
        rows.sort_by(|a, b| (&a.source, &a.notes).cmp(&(&b.source, &b.notes)));
        rows
    }
}
