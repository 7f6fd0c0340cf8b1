//! Mirrored ops of the index family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
