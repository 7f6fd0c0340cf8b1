//! Mirrored ops of the control family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
