//! Reading rules of the quant family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
