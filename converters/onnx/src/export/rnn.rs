//! Writing rules of the rnn family.

use super::rules::ExportRule;

pub(super) const RULES: &[ExportRule] = &[];
