//! Mirrored ops of the string family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
