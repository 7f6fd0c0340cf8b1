//! Reading rules of the training family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
