//! Writing rules of the elementwise family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
