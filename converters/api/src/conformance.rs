//! What a reader and a writer of one format have to hold to, as tests.
//!
//! [`conformance!`](crate::conformance!) makes the tests; a converter calls it once in its
//! `tests` folder. The [`cases`] are single ops with inputs and the outputs that they have by
//! definition, written down rather than computed.
//!
//! 1. What is written reads back at once, and runs with the expected outputs. Writing again
//!    gives the same bytes.
//! 2. The support tables are honest: of an op that a writer supports some case can be
//!    written, with the options given or with those that let it write the most; of any other
//!    none. Refusing says why and leaves no file.
//! 3. Truncated files are refused, or what was cut had no bearing on the program. Damaged
//!    ones are refused or read as something that can be verified. Nothing panics.

mod cases;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::Module;
use airconv_ir::op::OpKind;
use airconv_ir::verify::{Stage, verify};

use crate::compare::distance;
use crate::{Failed, ReadOptions, Reader, Report, Support, WriteOptions, Writer};

pub use cases::{BuildCaseError, cases};

/// One op on given inputs.
#[derive(Clone, Debug)]
pub struct OpCase {
    /// The op, the dtypes of its operands, and what is special.
    pub name: String,
    /// The op.
    pub op: OpKind,
    /// A program of this op.
    pub module: Module,
    /// Its inputs.
    pub inputs: BTreeMap<String, Datum>,
    /// What it has to give, in order.
    pub outputs: Vec<(String, Datum)>,
    /// How far outputs may be off, relative to their elements.
    pub rtol: f64,
}

/// Cuts made in one file.
const CUTS: usize = 200;

struct Kit<'a> {
    reader: &'a dyn Reader,
    writer: &'a dyn Writer,
    options: &'a WriteOptions,
    folder: tempfile::TempDir,
    failures: Vec<String>,
}

/// Check 1; a list of what is wrong.
pub fn round_trips(
    reader: &dyn Reader,
    writer: &dyn Writer,
    options: &WriteOptions,
    cases: &[OpCase],
) -> Vec<String> {
    with_kit(reader, writer, options, |kit| {
        let mut written = 0;
        for case in cases {
            let Some(path) = kit.write(case, "case") else { continue };
            written += 1;
            if let Err(e) = kit.read(&path).and_then(|m| agrees(&m, case)) {
                kit.failures.push(format!("{}: {e}", case.name));
            }
            match (kit.write(case, "again"), std::fs::read(&path)) {
                (Some(again), Ok(first)) if std::fs::read(&again).is_ok_and(|b| b == first) => {}
                _ => kit.failures.push(format!("{}: writing again gives other bytes", case.name)),
            }
        }
        if written == 0 {
            kit.failures.push("no case can be written".to_owned());
        }
    })
}

/// Check 2; a list of what is wrong. `most` are the options that let the writer write the most.
pub fn honest_support(
    reader: &dyn Reader,
    writer: &dyn Writer,
    most: &WriteOptions,
    cases: &[OpCase],
) -> Vec<String> {
    let defaults = WriteOptions::default();
    with_kit(reader, writer, &defaults, |kit| {
        let rows = writer.support();
        for row in rows.iter().chain(&reader.support()) {
            if matches!(&row.support, Support::No(reason) if reason.is_empty()) {
                kit.failures.push(format!("`{}` is not supported, without a reason", row.source));
            }
        }
        let mut named = BTreeSet::new();
        for kind in rows.iter().filter_map(|r| r.hub) {
            if !named.insert(kind) {
                kit.failures.push(format!("`{kind}` has two rows in the writer's table"));
            }
        }
        let mut by_op: BTreeMap<OpKind, Vec<&OpCase>> = BTreeMap::new();
        for case in cases {
            by_op.entry(case.op).or_default().push(case);
        }
        for (kind, cases) in by_op {
            let row = rows.iter().find(|r| r.hub == Some(kind));
            // An empty table says that everything is supported.
            let stated = match row {
                Some(r) => !matches!(r.support, Support::No(_)),
                None => rows.is_empty(),
            };
            let mut written = 0;
            let mut reasons = BTreeSet::new();
            for options in [&defaults, most] {
                kit.options = options;
                for &case in &cases {
                    match kit.attempt(case, "support") {
                        Ok(_) => written += 1,
                        Err(reason) => {
                            reasons.insert(reason);
                        }
                    }
                }
            }
            if stated && written == 0 {
                kit.failures.push(format!(
                    "`{kind}` is stated to be supported, but no case can be written: {}",
                    reasons.into_iter().collect::<Vec<_>>().join("; ")
                ));
            }
            if !stated && written > 0 {
                kit.failures
                    .push(format!("`{kind}` is stated not to be supported, but is written"));
            }
        }
    })
}

/// Check 3; a list of what is wrong.
pub fn malformed_files(
    reader: &dyn Reader,
    writer: &dyn Writer,
    options: &WriteOptions,
    cases: &[OpCase],
) -> Vec<String> {
    with_kit(reader, writer, options, |kit| {
        let mut seen = BTreeSet::new();
        // One case of every eighth op: what can go wrong is mostly the same in all files.
        let picked = cases.iter().filter(|c| seen.insert(c.op)).step_by(8);
        for case in picked {
            let Some(path) = kit.write(case, "whole") else { continue };
            let Ok(bytes) = std::fs::read(&path) else {
                kit.failures.push(format!("{}: the file is gone", case.name));
                continue;
            };
            let step = bytes.len().div_ceil(CUTS).max(1);
            for cut in (0..bytes.len()).step_by(step) {
                let what = format!("{} cut to {cut} of {} bytes", case.name, bytes.len());
                if let Some(module) = kit.read_bytes(&bytes[..cut], &what)
                    && let Err(e) = agrees(&module, case)
                {
                    kit.failures.push(format!("{what} is read, but {e}"));
                }
            }
            let mut damaged = bytes.clone();
            for at in (0..bytes.len()).step_by(step) {
                for mask in [0xff, 0x01, 0x80] {
                    damaged[at] ^= mask;
                    let what = format!("{} with byte {at} changed by {mask:#x}", case.name);
                    // A damaged constant is still a constant: only the form is checked.
                    kit.read_bytes(&damaged, &what);
                    damaged[at] = bytes[at];
                }
            }
        }
    })
}

fn with_kit<'a>(
    reader: &'a dyn Reader,
    writer: &'a dyn Writer,
    options: &'a WriteOptions,
    check: impl FnOnce(&mut Kit<'a>),
) -> Vec<String> {
    match tempfile::tempdir() {
        Ok(folder) => {
            let mut kit = Kit { reader, writer, options, folder, failures: Vec::new() };
            check(&mut kit);
            kit.failures
        }
        Err(e) => vec![format!("no folder for files: {e}")],
    }
}

impl Kit<'_> {
    fn path(&self, stem: &str) -> PathBuf {
        let extension = self.writer.extensions().first().copied().unwrap_or("bin");
        self.folder.path().join(format!("{stem}.{extension}"))
    }

    /// Writes a case; `None` when it is refused, which is no failure in itself.
    fn write(&mut self, case: &OpCase, stem: &str) -> Option<PathBuf> {
        self.attempt(case, stem).ok()
    }

    /// Writes a case, or says why it is refused.
    fn attempt(&mut self, case: &OpCase, stem: &str) -> Result<PathBuf, String> {
        let path = self.path(stem);
        // There may be none.
        let _ = std::fs::remove_file(&path);
        let verified = match verify(&case.module, Stage::Canonical) {
            Ok(v) => v,
            Err(e) => {
                let first = e.first().map(ToString::to_string).unwrap_or_default();
                self.failures.push(format!("{}: the case does not verify: {first}", case.name));
                return Err(first);
            }
        };
        let mut report = Report::default();
        let result = catch_unwind(AssertUnwindSafe(|| {
            self.writer.write(&verified, &path, self.options, &mut report)
        }));
        let mut wrong = |what: &str| self.failures.push(format!("{}: {what}", case.name));
        match result {
            Err(_) => {
                wrong("writing panics");
                Err("panic".to_owned())
            }
            Ok(Ok(())) => {
                if !path.is_file() {
                    wrong("writing gives no file");
                }
                Ok(path)
            }
            Ok(Err(failed)) => {
                if failed != Failed::Unsupported {
                    wrong(&format!("it is refused as: {failed}"));
                }
                if !report.has_errors() {
                    wrong("it is refused without an error");
                }
                if path.exists() {
                    wrong("it is refused, but there is a file");
                }
                Err(first_error(&report))
            }
        }
    }

    fn read(&self, path: &Path) -> Result<Module, String> {
        let mut report = Report::default();
        let read = || self.reader.read(path, &ReadOptions::default(), &mut report);
        let module = match catch_unwind(AssertUnwindSafe(read)) {
            Err(_) => return Err("reading panics".to_owned()),
            Ok(Err(failed)) => return Err(format!("{failed}: {}", first_error(&report))),
            Ok(Ok(module)) => module,
        };
        match verify(&module, Stage::Imported) {
            Ok(_) => Ok(module),
            Err(e) => Err(format!(
                "what is read does not verify: {}",
                e.first().map(ToString::to_string).unwrap_or_default()
            )),
        }
    }

    /// Reads bytes that may be malformed; the module when they are not.
    fn read_bytes(&mut self, bytes: &[u8], what: &str) -> Option<Module> {
        let path = self.path("malformed");
        if let Err(e) = std::fs::write(&path, bytes) {
            self.failures.push(format!("{what}: {e}"));
            return None;
        }
        let mut report = Report::default();
        let read = || self.reader.read(&path, &ReadOptions::default(), &mut report);
        match catch_unwind(AssertUnwindSafe(read)) {
            Err(_) => self.failures.push(format!("{what}: reading panics")),
            Ok(Err(_)) if !report.has_errors() => {
                self.failures.push(format!("{what}: it is refused without an error"));
            }
            Ok(Err(_)) => {}
            Ok(Ok(module)) => {
                match catch_unwind(AssertUnwindSafe(|| verify(&module, Stage::Imported).is_ok())) {
                    Err(_) => self.failures.push(format!("{what}: verifying panics")),
                    // What does not verify goes no further.
                    Ok(false) => {}
                    Ok(true) => return Some(module),
                }
            }
        }
        None
    }
}

fn first_error(report: &Report) -> String {
    report.diagnostics.last().map(ToString::to_string).unwrap_or_default()
}

/// Whether a program does what a case says.
fn agrees(module: &Module, case: &OpCase) -> Result<(), String> {
    let mut interpreter = Interpreter::new(module.clone(), EvalLimits::default());
    let run = catch_unwind(AssertUnwindSafe(|| interpreter.run(&case.inputs)));
    let got = match run {
        Err(_) => return Err("running panics".to_owned()),
        Ok(Err(e)) => return Err(format!("it does not run: {e}")),
        Ok(Ok(got)) => got,
    };
    if got.len() != case.outputs.len() {
        return Err(format!("it gives {} outputs, not {}", got.len(), case.outputs.len()));
    }
    for ((name, got), (wanted_name, want)) in got.iter().zip(&case.outputs) {
        if name != wanted_name {
            return Err(format!("output `{wanted_name}` is called `{name}`"));
        }
        let d = distance(got, want, case.rtol, case.rtol);
        if !d.agrees() {
            return Err(format!("output `{name}` is {got:?}, not {want:?}"));
        }
    }
    Ok(())
}

/// Panics with all failures, if there are any.
#[track_caller]
pub fn assert_none(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Tests of a format's reader and writer; see [`mod@crate::conformance`].
///
/// ```ignore
/// airconv_api::conformance!(MyReader, MyWriter);
/// airconv_api::conformance!(MyReader, MyWriter, most_able_options);
/// ```
#[macro_export]
macro_rules! conformance {
    ($reader:expr, $writer:expr) => {
        $crate::conformance!($reader, $writer, $crate::WriteOptions::default());
    };
    ($reader:expr, $writer:expr, $most:expr) => {
        fn conformance_cases() -> Vec<$crate::conformance::OpCase> {
            $crate::conformance::cases().expect("the cases can be built")
        }
        #[test]
        fn what_is_written_reads_back_and_agrees() {
            $crate::conformance::assert_none($crate::conformance::round_trips(
                &$reader,
                &$writer,
                &$crate::WriteOptions::default(),
                &conformance_cases(),
            ));
        }
        #[test]
        fn the_support_table_is_honest() {
            $crate::conformance::assert_none($crate::conformance::honest_support(
                &$reader,
                &$writer,
                &$most,
                &conformance_cases(),
            ));
        }
        #[test]
        fn malformed_files_are_refused() {
            $crate::conformance::assert_none($crate::conformance::malformed_files(
                &$reader,
                &$writer,
                &$crate::WriteOptions::default(),
                &conformance_cases(),
            ));
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_holds_in_the_interpreter() {
        let cases = cases().unwrap();
        let failures: Vec<String> = cases
            .iter()
            .filter_map(|c| agrees(&c.module, c).err().map(|e| format!("{}: {e}", c.name)))
            .collect();
        assert_none(failures);
        let names: BTreeSet<_> = cases.iter().map(|c| &c.name).collect();
        assert_eq!(names.len(), cases.len());
        let ops: BTreeSet<_> = cases.iter().map(|c| c.op).collect();
        assert!(ops.len() >= 60, "{}", ops.len());
    }

    /// The kit finds a writer that forgets, and a table that promises too much.
    #[test]
    fn the_kit_finds_faults() {
        use crate::hub::{IrReader, IrWriter};
        use airconv_ir::verify::Verified;
        struct Bad;
        impl Writer for Bad {
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
                let mut changed = module.module().clone();
                if let Some(output) = changed.functions[changed.entry].outputs.first_mut() {
                    output.name.push('?');
                }
                let verified = verify(&changed, Stage::Canonical).map_err(|_| Failed::Malformed)?;
                IrWriter.write(&verified, path, options, report)
            }
            fn support(&self) -> Vec<crate::SupportRow> {
                vec![crate::SupportRow {
                    source: "Add".to_owned(),
                    hub: Some(OpKind::Add),
                    support: Support::No(String::new()),
                    notes: String::new(),
                }]
            }
        }
        let cases: Vec<_> = cases().unwrap().into_iter().filter(|c| c.op == OpKind::Add).collect();
        let defaults = WriteOptions::default();
        assert_eq!(round_trips(&IrReader, &Bad, &defaults, &cases).len(), cases.len());
        assert_eq!(honest_support(&IrReader, &Bad, &defaults, &cases).len(), 2);
    }
}
