//! Reading rules of the elementwise family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
