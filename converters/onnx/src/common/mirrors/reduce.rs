//! Mirrored ops of the reduce family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
