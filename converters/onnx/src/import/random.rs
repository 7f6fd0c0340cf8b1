//! Reading rules of the random family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
