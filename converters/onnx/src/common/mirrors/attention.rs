//! Mirrored ops of the attention family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
