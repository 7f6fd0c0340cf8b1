//! Reading rules of the sequence family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
