//! Mirrored ops of the shape family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
