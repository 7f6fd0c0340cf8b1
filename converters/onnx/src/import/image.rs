//! Reading rules of the image family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
