//! Writing rules of the image family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
