//! Writing rules of the norm family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
