//! The [`Reader`] of recordings.

use std::path::Path;

use airconv_api::{Failed, ReadOptions, Reader, Report, Support, SupportRow};
use airconv_ir::module::Module;
use bytes::Bytes;

use super::error::CaptureError;
use super::{build, recording, rules};

/// Reads recordings of candle programs.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordingReader;

impl Reader for RecordingReader {
    fn format(&self) -> &'static str {
        "recording"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["recording"]
    }
    fn sniff(&self, head: &[u8]) -> bool {
        // The first bytes are the length of the header.
        head.get(8..).is_some_and(|rest| rest.starts_with(recording::HEAD))
    }
    fn read(
        &self,
        path: &Path,
        options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed> {
        let read = recording::open(path, !options.no_mmap)
            .and_then(|bytes| read_bytes(&bytes, options, report));
        read.map_err(|e| {
            report.push(e.diagnostic());
            e.failed()
        })
    }
    fn support(&self) -> Vec<SupportRow> {
        let row = |name: &str| SupportRow {
            source: name.to_owned(),
            hub: None,
            support: Support::Native,
            notes: String::new(),
        };
        rules::all().map(|rule| row(rule.name)).collect()
    }
}

/// Reads a recording that is in memory.
pub(super) fn read_bytes(
    bytes: &Bytes,
    options: &ReadOptions,
    report: &mut Report,
) -> Result<Module, CaptureError> {
    let recording = recording::parse(bytes, &options.limits)?;
    build::module(&recording, report)
}
