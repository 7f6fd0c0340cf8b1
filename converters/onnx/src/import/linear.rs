//! Reading rules of the linear family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
