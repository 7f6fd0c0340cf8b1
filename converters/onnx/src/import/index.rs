//! Reading rules of the index family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
