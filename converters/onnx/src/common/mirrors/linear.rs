//! Mirrored ops of the linear family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
