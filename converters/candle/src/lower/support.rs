//! What can be lowered, for tables of support.

use airconv_api::{Support, SupportRow};
use airconv_ir::op::{OpKind, Tier};

use super::rules;

/// A row per hub op: by a rule, by decomposition, or not.
pub fn support() -> Vec<SupportRow> {
    OpKind::ALL
        .iter()
        .map(|&kind| {
            let support = match (rules::find(kind), kind.info().tier) {
                (Some(_), _) => Support::Native,
                (None, Tier::Composite) => Support::Decomposed,
                (None, _) => Support::No("candle has nothing for it".to_owned()),
            };
            let notes = String::new();
            SupportRow { source: kind.info().name.to_owned(), hub: Some(kind), support, notes }
        })
        .collect()
}
