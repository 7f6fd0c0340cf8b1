//! Writing rules of the signal family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
