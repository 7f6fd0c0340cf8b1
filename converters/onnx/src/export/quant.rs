//! Writing rules of the quant family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
