//! Mirrored ops of the signal family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
