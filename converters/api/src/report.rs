//! What happened during a conversion.

use std::collections::BTreeMap;
use std::path::PathBuf;

use airconv_ir::diag::{Diagnostic, Severity};

/// Diagnostics and the ledger of one conversion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Everything that was said, in order.
    pub diagnostics: Vec<Diagnostic>,
    /// What changed on the way.
    pub ledger: Ledger,
    /// What a writer made beside the file that it was asked for.
    pub written: Written,
}

/// What a writer made, where that is more than one file of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// The operator sets of the output, by domain as in [`airconv_ir::module::Module::opsets`].
    pub opsets: BTreeMap<String, i64>,
    /// Files that belong to the output and have names of their own.
    pub beside: Vec<PathBuf>,
}

/// The changes that a conversion made beyond spelling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// The entries, in order of first occurrence.
    pub entries: Vec<LedgerEntry>,
}

/// A kind of change and how often it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerEntry {
    /// Structural or lossy.
    pub kind: LedgerKind,
    /// The stable name, as `--allow-lossy` takes it.
    pub name: String,
    /// What it means.
    pub message: String,
    /// The first place.
    pub first: String,
    /// How often.
    pub count: u64,
}

/// Whether numbers can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerKind {
    /// The form changed: decomposed, renamed, regrouped.
    Structural,
    /// Information was lost; refused unless allowed by name.
    Lossy,
}

impl Ledger {
    /// Notes a change; equal ones are counted.
    pub fn add(&mut self, kind: LedgerKind, name: &str, message: &str, place: impl Into<String>) {
        let same = |e: &&mut LedgerEntry| e.kind == kind && e.name == name && e.message == message;
        match self.entries.iter_mut().find(same) {
            Some(entry) => entry.count += 1,
            None => self.entries.push(LedgerEntry {
                kind,
                name: name.to_owned(),
                message: message.to_owned(),
                first: place.into(),
                count: 1,
            }),
        }
    }
}

impl Report {
    /// Adds a diagnostic.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
    /// Adds an error.
    pub fn error(&mut self, code: &str, message: impl Into<String>) {
        self.push(Diagnostic::error(code, message));
    }
    /// Whether any diagnostic is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity >= Severity::Error)
    }
    /// Notes a structural change.
    pub fn structural(&mut self, name: &str, message: &str, place: impl Into<String>) {
        self.ledger.add(LedgerKind::Structural, name, message, place);
    }
    /// Notes a lossy change; whether it is allowed is for [`Report::refused`].
    pub fn lossy(&mut self, name: &str, message: &str, place: impl Into<String>) {
        self.ledger.add(LedgerKind::Lossy, name, message, place);
    }
    /// Turns lossy entries that are not allowed into errors; whether there were any.
    pub fn refused(&mut self, allowed: &[String]) -> bool {
        let mut any = false;
        for e in &self.ledger.entries {
            if e.kind == LedgerKind::Lossy && !allowed.contains(&e.name) {
                any = true;
                let times =
                    if e.count > 1 { format!(" ({} times)", e.count) } else { String::new() };
                self.diagnostics.push(
                    Diagnostic::new(
                        Severity::Error,
                        format!("lossy-{}", e.name),
                        format!("{}{times}", e.message),
                    )
                    .at(e.first.clone())
                    .help(format!("allow it with --allow-lossy {}", e.name)),
                );
            }
        }
        any
    }
}
