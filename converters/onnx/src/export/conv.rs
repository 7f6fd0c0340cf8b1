//! Writing rules of the conv family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
