//! The table of writing rules, made of the tables of the families.

use std::sync::LazyLock;

use airconv_api::ir::op::{Op, OpKind};
use rustc_hash::FxHashMap;

use super::node::{ExportCx, Refuse};
use crate::common::mirror::Mirror;

/// How a hub op is written.
#[derive(Clone, Copy)]
pub struct ExportRule {
    /// The hub op.
    pub kind: OpKind,
    pub(crate) export: Export,
}

#[derive(Clone, Copy)]
pub(crate) enum Export {
    Mirror(&'static Mirror),
    Rule(fn(&mut ExportCx<'_, '_>, &Op) -> Result<(), Refuse>),
}

impl ExportRule {
    /// A rule of a function. It may refuse; then the op is decomposed.
    pub(crate) const fn new(
        kind: OpKind,
        rule: fn(&mut ExportCx<'_, '_>, &Op) -> Result<(), Refuse>,
    ) -> Self {
        Self { kind, export: Export::Rule(rule) }
    }
}

/// All rules: those of the families, then the mirrors.
pub fn all_rules() -> impl Iterator<Item = ExportRule> {
    let mirrors = crate::common::mirrors::ALL
        .iter()
        .copied()
        .flatten()
        .map(|m| ExportRule { kind: m.kind, export: Export::Mirror(m) });
    FAMILIES.iter().copied().flatten().copied().chain(mirrors)
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
    super::ml::RULES,
    super::norm::RULES,
    super::quant::RULES,
    super::random::RULES,
    super::reduce::RULES,
    super::rnn::RULES,
    super::sequence::RULES,
    super::shape::RULES,
    super::signal::RULES,
    super::string::RULES,
    super::training::RULES,
];

static TABLE: LazyLock<FxHashMap<OpKind, Vec<ExportRule>>> = LazyLock::new(|| {
    let mut table: FxHashMap<OpKind, Vec<ExportRule>> = FxHashMap::default();
    for rule in all_rules() {
        table.entry(rule.kind).or_default().push(rule);
    }
    table
});

/// The rules of an op, in the order in which they are tried.
pub(crate) fn find(kind: OpKind) -> &'static [ExportRule] {
    TABLE.get(&kind).map_or(&[], Vec::as_slice)
}
