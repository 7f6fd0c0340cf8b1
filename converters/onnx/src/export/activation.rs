//! Writing rules of the activation family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
