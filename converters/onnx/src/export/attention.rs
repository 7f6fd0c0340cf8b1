//! Writing rules of the attention family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
