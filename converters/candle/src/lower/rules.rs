//! The table of lowering rules, made of the tables of the families.

use std::sync::LazyLock;

use airconv_ir::op::{Op, OpKind};
use rustc_hash::FxHashMap;

use super::cx::{Cx, Refuse};

/// How an op is lowered. A rule may refuse; a composite is then decomposed.
pub(super) type Rule = for<'a, 'm> fn(&mut Cx<'a, 'm>, &'m Op) -> Result<(), Refuse>;

/// All rules by family.
pub(super) const FAMILIES: &[&[(OpKind, Rule)]] = &[
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
    super::pool::RULES,
    super::quant::RULES,
    super::reduce::RULES,
    super::rnn::RULES,
    super::shape::RULES,
];

static TABLE: LazyLock<FxHashMap<OpKind, Rule>> =
    LazyLock::new(|| FAMILIES.iter().copied().flatten().copied().collect());

/// The rule of an op.
pub(super) fn find(kind: OpKind) -> Option<Rule> {
    TABLE.get(&kind).copied()
}
