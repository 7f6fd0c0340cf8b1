//! Writing rules of the shape family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
