//! Writing rules of the control family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
