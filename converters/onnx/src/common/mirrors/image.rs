//! Mirrored ops of the image family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
