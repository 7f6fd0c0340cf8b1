//! Writing rules of the index family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
