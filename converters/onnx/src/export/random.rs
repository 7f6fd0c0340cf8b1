//! Writing rules of the random family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
