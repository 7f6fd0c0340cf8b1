//! The vocabulary that reading and writing share.

pub mod dtype;
#[cfg(test)]
pub(crate) mod rng;
pub mod schema;
