//! Mirrored ops of the rnn family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
