//! Writing rules of the string family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
