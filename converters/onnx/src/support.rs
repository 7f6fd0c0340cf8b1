//! What can be written, and from which opset on: found out by writing.
//!
//! The facts of versions are in the schemas, and rules and decompositions decide together what
//! they come to. So the programs of the conformance kit are written at each opset, and the table
//! says what came of it. Ops without such a program are known by their rule alone, and the
//! opset by the schema of what is read as them.

use std::collections::{BTreeMap, BTreeSet};

use airconv_api::conformance::{OpCase, cases};
use airconv_api::ir::op::{OpKind, Tier};
use airconv_api::ir::verify::{Stage, verify};
use airconv_api::{Report, Support, SupportRow, WriteOptions};

use crate::common::{NEWEST, OLDEST_WRITTEN, schema};
use crate::export::{all_rules, export_model};

/// The most programs of an op that are tried.
const TRIED: usize = 6;

/// What writing an op came to.
#[derive(Default)]
struct Tried {
    /// The lowest opset at which it has its own form.
    native: Option<i64>,
    /// The lowest opset at which it is written in simpler ops.
    decomposed: Option<i64>,
    /// Why it could not be written at the newest opset where that was tried.
    reason: Option<String>,
}

/// The table of the writer.
pub(crate) fn written() -> Vec<SupportRow> {
    let all = cases().unwrap_or_default();
    let mut by_op: BTreeMap<OpKind, Vec<&OpCase>> = BTreeMap::new();
    for case in &all {
        by_op.entry(case.op).or_default().push(case);
    }
    OpKind::ALL.iter().map(|&kind| row(kind, by_op.get(&kind).map_or(&[], |v| &v[..]))).collect()
}

fn row(kind: OpKind, cases: &[&OpCase]) -> SupportRow {
    let ruled = all_rules().any(|r| r.kind == kind) || of_graphs(kind);
    let tried = attempt(kind, cases);
    let (support, notes) = match (tried.native, tried.decomposed) {
        (Some(native), Some(simpler)) if simpler < native => {
            (Support::Native, format!("opset {native}; in simpler ops from {simpler}"))
        }
        (Some(native), _) => (Support::Native, format!("opset {native}")),
        (None, Some(simpler)) => (Support::Decomposed, format!("opset {simpler}")),
        (None, None) => match (tried.reason, ruled) {
            (Some(reason), _) => (Support::No(reason), String::new()),
            (None, true) => (Support::Native, by_schema(kind)),
            // Whether its parts have a form was not tried, so it is not claimed.
            (None, false) if kind.info().tier == Tier::Composite => (
                Support::No("it has no rule, and no program tries its parts".to_owned()),
                String::new(),
            ),
            (None, false) => (Support::No("no rule".to_owned()), String::new()),
        },
    };
    SupportRow { source: kind.name().to_owned(), hub: Some(kind), support, notes }
}

/// Ops that graphs and functions are made of; they have no rule.
fn of_graphs(kind: OpKind) -> bool {
    matches!(
        kind,
        OpKind::Constant | OpKind::DimValue | OpKind::DimsOf | OpKind::Call | OpKind::Opaque
    )
}

/// The lowest opset that has the op that is read as this one, or the domain of it.
fn by_schema(kind: OpKind) -> String {
    let mut domains = BTreeSet::new();
    let mut first: Option<i64> = None;
    for rule in crate::import::all_rules().filter(|r| *r.makes == [kind]) {
        if rule.domain.is_empty() {
            let since = schema::first_version(rule.domain, rule.name).unwrap_or(rule.since);
            first = Some(first.map_or(since, |v| v.min(since)));
        } else {
            domains.insert(rule.domain);
        }
    }
    match first {
        Some(v) => format!("opset {}", v.max(OLDEST_WRITTEN)),
        None => domains.into_iter().collect::<Vec<_>>().join(", "),
    }
}

fn attempt(kind: OpKind, cases: &[&OpCase]) -> Tried {
    let mut out = Tried::default();
    let simpler = format!("`{}` is written as simpler ops", kind.name());
    for case in cases.iter().take(TRIED) {
        let Ok(verified) = verify(&case.module, Stage::Imported) else { continue };
        for opset in OLDEST_WRITTEN..=NEWEST {
            if out.native.is_some_and(|v| v <= opset) {
                break;
            }
            let options = WriteOptions { opset: Some(opset), ..WriteOptions::default() };
            let mut report = Report::default();
            let written = export_model(&verified, &options, &mut report).is_ok()
                && !report.refused(&options.allow_lossy);
            if !written {
                out.reason = report.diagnostics.into_iter().next().map(|d| d.message);
                continue;
            }
            let entries = &report.ledger.entries;
            if entries.iter().any(|e| e.message.starts_with(&simpler)) {
                out.decomposed = Some(out.decomposed.map_or(opset, |v| v.min(opset)));
            } else {
                out.native = Some(opset);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_writing_comes_to() {
        let rows = written();
        let of = |name: &str| rows.iter().find(|r| r.source == name).unwrap();
        assert_eq!(
            (&of("relu").support, of("relu").notes.as_str()),
            (&Support::Native, "opset 13")
        );
        let norm = of("layer_normalization");
        assert_eq!(norm.support, Support::Native);
        assert!(norm.notes.starts_with("opset 17"), "{}", norm.notes);
        for none in ["fft", "complex", "assert"] {
            assert!(matches!(of(none).support, Support::No(_)), "{none}");
        }
    }
}
