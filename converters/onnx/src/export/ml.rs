//! Writing rules of the ml family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
