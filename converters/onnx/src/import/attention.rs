//! Reading rules of the attention family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
