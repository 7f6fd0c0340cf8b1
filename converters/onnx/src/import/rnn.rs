//! Reading rules of the rnn family.

use super::rules::ImportRule;

pub(super) const RULES: &[ImportRule] = &[];
