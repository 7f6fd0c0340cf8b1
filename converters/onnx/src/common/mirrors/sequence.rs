//! Mirrored ops of the sequence family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
