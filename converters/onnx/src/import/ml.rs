//! Reading rules of the ml family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
