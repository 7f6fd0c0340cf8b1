//! Reading rules of the conv family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
