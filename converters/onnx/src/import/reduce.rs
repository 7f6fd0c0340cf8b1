//! Reading rules of the reduce family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
