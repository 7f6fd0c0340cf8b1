//! Writing rules of the reduce family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
