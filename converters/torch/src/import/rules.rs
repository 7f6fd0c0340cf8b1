//! The table of reading rules, made of the tables of the families.

use std::sync::LazyLock;

use airconv_ir::op::OpKind;
use rustc_hash::FxHashMap;

use super::arg::Returns;
use super::call::{CallCx, Stop};
use super::synonym;

/// What a rule gives.
pub(crate) type Outcome = Result<Returns, Stop>;

/// How an operator is read.
#[derive(Clone, Copy)]
pub struct ImportRule {
    /// The qualified name, `aten::add`.
    pub name: &'static str,
    /// The overload; `None` for all that have no rule of their own.
    pub overload: Option<&'static str>,
    /// The hub ops that it makes besides casts and broadcasts.
    pub makes: &'static [OpKind],
    pub(crate) rule: fn(&mut CallCx<'_>) -> Outcome,
}

impl ImportRule {
    /// A rule for all overloads of an operator that have no rule of their own.
    pub(crate) const fn new(
        name: &'static str,
        makes: &'static [OpKind],
        rule: fn(&mut CallCx<'_>) -> Outcome,
    ) -> Self {
        Self { name, overload: None, makes, rule }
    }
    /// A rule for one overload.
    pub(crate) const fn of(
        name: &'static str,
        overload: &'static str,
        makes: &'static [OpKind],
        rule: fn(&mut CallCx<'_>) -> Outcome,
    ) -> Self {
        Self { name, overload: Some(overload), makes, rule }
    }
}

/// All rules.
pub fn all_rules() -> impl Iterator<Item = &'static ImportRule> {
    FAMILIES.iter().copied().flatten()
}

const FAMILIES: &[&[ImportRule]] = &[
    super::activation::RULES,
    super::attention::RULES,
    super::compare::RULES,
    super::complex::RULES,
    super::conv::RULES,
    super::create::RULES,
    super::decomposition::RULES,
    super::diagonal::RULES,
    super::distance::RULES,
    super::dropout::RULES,
    super::elementwise::RULES,
    super::embedding::RULES,
    super::factor::RULES,
    super::encoder::RULES,
    super::fft::RULES,
    super::gradient::RULES,
    super::image::RULES,
    super::incomplete::RULES,
    super::index::RULES,
    super::integer::RULES,
    super::join::RULES,
    super::layout::RULES,
    super::linalg::RULES,
    super::linear::RULES,
    super::loss::RULES,
    super::math::RULES,
    super::misc::RULES,
    super::norm::RULES,
    super::order::RULES,
    super::pad::RULES,
    super::patch::RULES,
    super::polynomial::RULES,
    super::pool::RULES,
    super::prims::RULES,
    super::random::RULES,
    super::reduce::RULES,
    super::rnn::RULES,
    super::scan::RULES,
    super::scatter::RULES,
    super::segment::RULES,
    super::shape::RULES,
    super::singular::RULES,
    super::special::RULES,
];

type Table = FxHashMap<(&'static str, Option<&'static str>), &'static ImportRule>;

static TABLE: LazyLock<Table> =
    LazyLock::new(|| all_rules().map(|rule| ((rule.name, rule.overload), rule)).collect());

/// The rule for an overload of an operator, or of one that means the same: another name of it,
/// or the view of which it is a copy.
pub(crate) fn find(name: &str, overload: &str) -> Option<&'static ImportRule> {
    let other = || synonym::of(name).and_then(|name| find_named(name, overload));
    let viewed = || name.strip_suffix("_copy").and_then(|name| find_named(name, overload));
    find_named(name, overload).or_else(other).or_else(viewed)
}

fn find_named(name: &str, overload: &str) -> Option<&'static ImportRule> {
    let exact = TABLE.get(&(name, Some(overload)) as &(&str, Option<&str>));
    exact.or_else(|| TABLE.get(&(name, None) as &(&str, Option<&str>))).copied()
}

/// The rule for an operator, and whether it is that of the form that does not write: `add_` is
/// read as `add`, whose result is then written.
pub(crate) fn find_functional(name: &str, overload: &str) -> Option<&'static ImportRule> {
    find(name, overload).or_else(|| {
        let functional = name.strip_suffix('_')?;
        find(functional, overload)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::schema::schemas;

    #[test]
    fn every_rule_is_for_an_operator_that_exists_and_is_the_only_one() {
        for rule in all_rules() {
            let found = match rule.overload {
                Some(overload) => schemas().find(rule.name, overload).is_some(),
                None => schemas().overloads(rule.name).next().is_some(),
            };
            assert!(found, "{} {:?}", rule.name, rule.overload);
            let same = |r: &&ImportRule| (r.name, r.overload) == (rule.name, rule.overload);
            assert_eq!(all_rules().filter(same).count(), 1, "{}", rule.name);
        }
    }
}
