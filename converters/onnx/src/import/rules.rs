//! The table of reading rules, made of the tables of the families.

use std::sync::LazyLock;

use airconv_ir::op::OpKind;
use rustc_hash::FxHashMap;

use super::node::{NodeCx, Outcome};
use crate::common::mirror::Mirror;
use crate::common::{MICROSOFT, ML, ONNX, PREVIEW};

/// How an op of a range of versions is read.
#[derive(Clone, Copy)]
pub struct ImportRule {
    /// The domain.
    pub domain: &'static str,
    /// The op's name.
    pub name: &'static str,
    /// The first version of the domain that the rule reads.
    pub since: i64,
    /// The last version, for ops that were removed or replaced.
    pub until: i64,
    /// The hub ops that it makes.
    pub makes: &'static [OpKind],
    pub(crate) import: Import,
}

#[derive(Clone, Copy)]
pub(crate) enum Import {
    Mirror(&'static Mirror),
    Rule(fn(&mut NodeCx<'_, '_>) -> Outcome),
}

impl ImportRule {
    /// A rule for an op of any domain.
    pub(crate) const fn of(
        domain: &'static str,
        name: &'static str,
        since: i64,
        makes: &'static [OpKind],
        rule: fn(&mut NodeCx<'_, '_>) -> Outcome,
    ) -> Self {
        Self { domain, name, since, until: i64::MAX, makes, import: Import::Rule(rule) }
    }
    /// A rule for a standard op.
    pub(crate) const fn new(
        name: &'static str,
        since: i64,
        makes: &'static [OpKind],
        rule: fn(&mut NodeCx<'_, '_>) -> Outcome,
    ) -> Self {
        Self::of(ONNX, name, since, makes, rule)
    }
    /// A rule for an op of ai.onnx.ml.
    pub(crate) const fn ml(
        name: &'static str,
        since: i64,
        makes: &'static [OpKind],
        rule: fn(&mut NodeCx<'_, '_>) -> Outcome,
    ) -> Self {
        Self::of(ML, name, since, makes, rule)
    }
    /// A rule for an op of com.microsoft.
    pub(crate) const fn ms(
        name: &'static str,
        makes: &'static [OpKind],
        rule: fn(&mut NodeCx<'_, '_>) -> Outcome,
    ) -> Self {
        Self::of(MICROSOFT, name, 1, makes, rule)
    }
    /// A rule for a preview op.
    pub(crate) const fn preview(
        name: &'static str,
        makes: &'static [OpKind],
        rule: fn(&mut NodeCx<'_, '_>) -> Outcome,
    ) -> Self {
        Self::of(PREVIEW, name, 1, makes, rule)
    }
    /// The rule ends with this version.
    pub(crate) const fn until(mut self, version: i64) -> Self {
        self.until = version;
        self
    }
}

/// All rules: first the mirrors, then those of the families.
pub fn all_rules() -> impl Iterator<Item = ImportRule> {
    let mirrors = crate::common::mirrors::ALL.iter().copied().flatten().map(|m| ImportRule {
        domain: m.domain,
        name: m.name,
        since: m.since,
        until: i64::MAX,
        makes: std::slice::from_ref(&m.kind),
        import: Import::Mirror(m),
    });
    mirrors.chain(FAMILIES.iter().copied().flatten().copied())
}

const FAMILIES: &[&[ImportRule]] = &[
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

type Table = FxHashMap<(&'static str, &'static str), Vec<ImportRule>>;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    for rule in all_rules() {
        table.entry((rule.domain, rule.name)).or_default().push(rule);
    }
    for rules in table.values_mut() {
        rules.sort_by_key(|r| std::cmp::Reverse(r.since));
    }
    table
});

/// What the table says of an op at a version.
pub(crate) enum Found {
    Rule(ImportRule),
    Deprecated(i64),
    None,
}

/// The rule for an op at a version of its domain.
pub(crate) fn find(domain: &str, name: &str, version: i64) -> Found {
    // The key's lifetime is shortened by looking up through a borrowed tuple.
    let Some(rules) = TABLE.get(&(domain, name) as &(&str, &str)) else { return Found::None };
    match rules.iter().find(|r| r.since <= version) {
        Some(rule) if version <= rule.until => Found::Rule(*rule),
        Some(rule) => Found::Deprecated(rule.until + 1),
        None => Found::None,
    }
}
