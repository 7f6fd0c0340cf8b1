//! Writing rules of the training family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
