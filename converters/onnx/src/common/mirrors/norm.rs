//! Mirrored ops of the norm family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
