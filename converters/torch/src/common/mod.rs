//! The vocabulary that reading and writing share.

pub mod dtype;
pub(crate) mod opaque;
#[cfg(test)]
pub(crate) mod rng;
pub mod schema;
