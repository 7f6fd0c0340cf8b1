//! Mirrored ops of the activation family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
