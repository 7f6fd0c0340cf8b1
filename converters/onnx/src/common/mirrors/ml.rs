//! Mirrored ops of the ml family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
