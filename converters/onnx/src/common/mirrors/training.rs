//! Mirrored ops of the training family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
