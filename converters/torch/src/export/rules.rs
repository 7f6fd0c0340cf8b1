//! The table of writing rules, made of the tables of the families.

use std::sync::LazyLock;

use airconv_ir::op::{Op, OpKind};
use rustc_hash::FxHashMap;

use super::cx::{ExportCx, Written};

/// How a hub op is written.
#[derive(Clone, Copy)]
pub struct ExportRule {
    /// The hub op.
    pub kind: OpKind,
    pub(super) write: fn(&mut ExportCx<'_, '_>, &Op) -> Written,
}

impl ExportRule {
    /// A rule of a function. It may refuse; then the op is decomposed.
    pub(super) const fn new(
        kind: OpKind,
        write: fn(&mut ExportCx<'_, '_>, &Op) -> Written,
    ) -> Self {
        Self { kind, write }
    }
}

/// All rules.
pub fn all_rules() -> impl Iterator<Item = ExportRule> {
    FAMILIES.iter().copied().flatten().copied()
}

const FAMILIES: &[&[ExportRule]] = &[
    super::activation::RULES,
    super::attention::RULES,
    super::control::RULES,
    super::conv::RULES,
    super::elementwise::RULES,
    super::image::RULES,
    super::index::RULES,
    super::linear::RULES,
    super::norm::RULES,
    super::pool::RULES,
    super::random::RULES,
    super::reduce::RULES,
    super::rnn::RULES,
    super::scatter::RULES,
    super::shape::RULES,
    super::signal::RULES,
];

static TABLE: LazyLock<FxHashMap<OpKind, ExportRule>> =
    LazyLock::new(|| all_rules().map(|rule| (rule.kind, rule)).collect());

/// The rule of an op.
pub(super) fn find(kind: OpKind) -> Option<ExportRule> {
    TABLE.get(&kind).copied()
}
