//! What can be lowered: found out by lowering the programs of the conformance kit.
//!
//! Ops without such a program are known by their rule alone.

use std::collections::BTreeMap;

use airconv_api::conformance::{OpCase, cases};
use airconv_api::{Report, Support, SupportRow};
use airconv_ir::op::{OpKind, Tier};

use super::{lower, rules};

/// The most programs of an op that are tried.
const TRIED: usize = 6;

/// A row per hub op: by calls of its own, in simpler ops, or not, and why.
pub fn support() -> Vec<SupportRow> {
    let all = cases().unwrap_or_default();
    let mut by_op: BTreeMap<OpKind, Vec<&OpCase>> = BTreeMap::new();
    for case in &all {
        by_op.entry(case.op).or_default().push(case);
    }
    OpKind::ALL.iter().map(|&kind| row(kind, by_op.get(&kind).map_or(&[], |v| &v[..]))).collect()
}

/// What lowering the programs of an op came to.
#[derive(Default)]
struct Tried {
    native: bool,
    decomposed: bool,
    /// Why one of them was refused.
    reason: Option<String>,
}

fn row(kind: OpKind, cases: &[&OpCase]) -> SupportRow {
    let tried = attempt(kind, cases);
    let ruled = rules::find(kind).is_some();
    let (support, notes) = match (tried.native, tried.decomposed, tried.reason) {
        (true, _, reason) => (Support::Native, reason.unwrap_or_default()),
        (false, true, reason) => (Support::Decomposed, reason.unwrap_or_default()),
        (false, false, Some(reason)) => (Support::No(reason), String::new()),
        (false, false, None) if ruled => (Support::Native, String::new()),
        (false, false, None) if kind.info().tier == Tier::Composite => {
            (Support::Decomposed, "no program tries whether its parts can be written".to_owned())
        }
        (false, false, None) => {
            (Support::No("candle has nothing for it".to_owned()), String::new())
        }
    };
    SupportRow { source: kind.info().name.to_owned(), hub: Some(kind), support, notes }
}

fn attempt(kind: OpKind, cases: &[&OpCase]) -> Tried {
    let mut out = Tried::default();
    let simpler = format!("`{}` is written as simpler ops", kind.name());
    for case in cases.iter().take(TRIED) {
        let mut report = Report::default();
        if lower(&case.module, &mut report).is_err() {
            let first = report.diagnostics.into_iter().next();
            out.reason = out.reason.or(first.map(|d| d.message));
            continue;
        }
        let entries = &report.ledger.entries;
        match entries.iter().any(|e| e.message.starts_with(&simpler)) {
            true => out.decomposed = true,
            false => out.native = true,
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_lowering_comes_to() {
        let rows = support();
        let of = |name: &str| rows.iter().find(|r| r.source == name).map(|r| &r.support);
        assert_eq!(of("relu"), Some(&Support::Native));
        assert_eq!(of("mish"), Some(&Support::Decomposed));
        for none in ["complex", "string_split", "svm_classifier"] {
            assert!(matches!(of(none), Some(Support::No(_))), "{none}: {:?}", of(none));
        }
    }
}
