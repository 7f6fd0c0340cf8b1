//! The kernel IR: array programs as loop nests over buffers.
//!
//! Every op is an index space, index maps and a scalar body, with reduction axes; maps compose,
//! so that views cost nothing (the normal form of the Mathematics of Arrays, L. Mullin 1988).
//! The hub is lowered to it once; code generators, the portable C writer and the interpreter of
//! this level take it from there.

pub mod analysis;
pub mod c;
pub mod carrier;
pub mod check;
pub mod executor;
pub mod interp;
pub mod ir;
pub mod lower;
pub mod memory;
pub mod phases;
#[cfg(any(test, feature = "random"))]
pub mod random;
pub mod run;
pub mod schedule;
pub mod simplify;
pub mod text;
