//! Reading rules of the signal family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
