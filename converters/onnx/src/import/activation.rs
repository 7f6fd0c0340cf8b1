//! Reading rules of the activation family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
