//! Mirrored ops of the random family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
