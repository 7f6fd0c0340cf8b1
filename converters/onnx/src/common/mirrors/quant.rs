//! Mirrored ops of the quant family.

use crate::common::mirror::Mirror;

pub(super) const MIRRORS: &[Mirror] = &[];
