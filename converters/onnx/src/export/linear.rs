//! Writing rules of the linear family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
