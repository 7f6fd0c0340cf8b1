//! Reading rules of the string family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
