//! Mirrored ops of the conv family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
