//! Reading rules of the norm family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
