//! Writing rules of the sequence family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
